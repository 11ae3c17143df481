//! How many bytes neighbours in a flat frame's sorted array share, so that who passes over a group of keys looks at no
//! record of it. To find that out takes a look at all records of the frame: it is done once as many were looked at in
//! passing over groups, and outlives the walk, for as long as the sorted array stays.

use std::sync::Arc;

use super::{FlatRef, Order};
use crate::bytes::common_prefix;

/// Records that passing over a group looks at, about, where it is not known what neighbours share.
const LOOKS: usize = 8;
/// How many lengths are looked at in one step.
const LANES: usize = 16;

/// Which sorted array: where the frame's memory is, the array's unit and its length.
type Sorted = (usize, u16, u16);

/// For each place of one sorted array how many bytes its key shares with the one before, 255 for more as well. Means nothing
/// once the frame's memory was given to another frame.
#[derive(Debug)]
pub(super) struct SharedLengths {
    sorted: Sorted,
    lengths: Box<[u8]>,
}

impl SharedLengths {
    fn of(frame: FlatRef<'_>, order: Order) -> Self {
        let len = usize::from(order.sorted_len);
        let mut before: &[u8] = &[];
        let lengths = (0..len).map(|place| {
            let key = frame.record(frame.sorted_at(order, place)).flat_key();
            let shared = common_prefix(std::mem::replace(&mut before, key), key);
            u8::try_from(shared).unwrap_or(u8::MAX)
        });
        Self {
            sorted: sorted_of(frame, order),
            lengths: lengths.collect(),
        }
    }

    /// The first place of `low..high` whose key shares fewer than `len` bytes, at most 255, with the one before.
    #[inline]
    pub(super) fn first_below(&self, len: u8, mut low: usize, high: usize) -> usize {
        let lengths = self.lengths.get(..high).unwrap_or(&self.lengths);
        while let Some(some) = lengths.get(low..).and_then(<[u8]>::first_chunk::<LANES>) {
            if some.iter().fold(false, |is_any, shared| is_any | (*shared < len)) {
                break;
            }
            low += LANES;
        }
        let rest = lengths.get(low..).unwrap_or_default();
        rest.iter().position(|shared| *shared < len).map_or(high, |at| low + at)
    }
}

fn sorted_of(frame: FlatRef<'_>, order: Order) -> Sorted {
    (frame.address(), order.sorted_unit, order.sorted_len)
}

/// What is known of a frame from walks that passed over groups in it.
#[derive(Debug, Default)]
pub struct Skips {
    sorted: Sorted,
    /// Groups of this sorted array that were passed over.
    count: usize,
    lengths: Option<Arc<SharedLengths>>,
}

impl Skips {
    /// What neighbours share, if that is known.
    pub(super) fn lengths(&self, frame: FlatRef<'_>, order: Order) -> Option<Arc<SharedLengths>> {
        let known = self.lengths.as_ref()?;
        (known.sorted == sorted_of(frame, order)).then(|| Arc::clone(known))
    }

    /// Notes that a group is passed over; what neighbours share, if that is known from now on.
    pub(super) fn note(&mut self, frame: FlatRef<'_>, order: Order) -> Option<Arc<SharedLengths>> {
        if self.sorted != sorted_of(frame, order) {
            *self = Self {
                sorted: sorted_of(frame, order),
                ..Self::default()
            };
        }
        self.count += 1;
        if self.lengths.is_none() && self.count * LOOKS > usize::from(order.sorted_len) {
            self.lengths = Some(Arc::new(SharedLengths::of(frame, order)));
        }
        self.lengths.clone()
    }
}
