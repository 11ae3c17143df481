//! The order of a flat frame's records, as far as the frame does not tell it by itself: where the tail's records belong among
//! those of the sorted array. Finding that takes a search for each, so it is made to outlive the walk that asked for it: the
//! tail of a buffer only grows until other arrays take the place of both.

use std::{cmp::Ordering, sync::Arc};

use super::{FlatRef, MAX_TAIL, Order};
use crate::bytes::common_prefix;

/// A record of the tail.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    pub(super) unit: u16,
    /// How many records of the sorted array have smaller keys.
    pub(super) at: u16,
}

/// The order of one tail. Means nothing once the frame's memory was given to another frame.
#[derive(Debug)]
pub struct TailOrder {
    /// Where the frame's memory is.
    address: usize,
    order: Order,
    /// As many as the tail has, ascending by key.
    late: [Late; MAX_TAIL],
}

impl TailOrder {
    pub(super) fn late(&self) -> &[Late] {
        self.late.get(..usize::from(self.order.tail_len)).unwrap_or(&self.late)
    }

    /// How many of them come before a key that belongs at a place of the sorted array; of no key, all.
    pub(super) fn before(&self, frame: FlatRef<'_>, place: usize, key: Option<&[u8]>) -> usize {
        let late = self.late();
        let Some(key) = key else { return late.len() };
        late.partition_point(|late| match usize::from(late.at).cmp(&place) {
            Ordering::Less => true,
            Ordering::Equal => frame.record(usize::from(late.unit)).flat_key() < key,
            Ordering::Greater => false,
        })
    }

    /// Whether this is the order of a tail that has only grown since.
    fn is_beginning_of(&self, frame: FlatRef<'_>, order: Order) -> bool {
        let since = Order {
            tail_len: self.order.tail_len,
            ..order
        };
        self.address == frame.address() && self.order == since && self.order.tail_len <= order.tail_len
    }

    /// Finds the places of what `known`, which is the beginning of this, does not have.
    fn find(frame: FlatRef<'_>, order: Order, known: Option<&Self>) -> Self {
        let mut late = known.map_or([Late::default(); MAX_TAIL], |known| known.late);
        let known_len = known.map_or(0, |known| known.late().len());
        let tail_len = usize::from(order.tail_len).min(MAX_TAIL);
        for index in known_len..tail_len {
            frame.prefetch(frame.tail_at(order, index));
        }
        let key = |unit: u16| frame.record(usize::from(unit)).flat_key();
        let sorted = Sorted::new(frame, order);
        for index in known_len..tail_len {
            let unit = frame.tail_at(order, index) as u16;
            let wanted = frame.record(usize::from(unit));
            let at = sorted.lower_bound::<false>(wanted.flat_key(), wanted.head_at(sorted.shared)) as u16;
            let before = late.get(..index).unwrap_or_default();
            let place = before.partition_point(|other| other.at < at || other.at == at && key(other.unit) < key(unit));
            if let Some(behind) = late.get_mut(place..=index) {
                behind.rotate_right(1);
                if let Some(first) = behind.first_mut() {
                    *first = Late { unit, at };
                }
            }
        }
        Self {
            address: frame.address(),
            order,
            late,
        }
    }
}

/// The sorted array, searched by the eight bytes behind those that all of its keys share.
pub(super) struct Sorted<'a> {
    frame: FlatRef<'a>,
    order: Order,
    first: &'a [u8],
    shared: usize,
}

impl<'a> Sorted<'a> {
    pub(super) fn new(frame: FlatRef<'a>, order: Order) -> Self {
        let ends = [0, usize::from(order.sorted_len).saturating_sub(1)];
        let [first, last] = ends.map(|index| match order.sorted_len {
            0 => &[],
            _ => frame.record(frame.sorted_at(order, index)).flat_key(),
        });
        Self {
            frame,
            order,
            first,
            shared: common_prefix(first, last),
        }
    }

    /// How many keys are smaller than this one.
    pub(super) fn smaller_than(&self, key: &[u8]) -> usize {
        self.lower_bound::<true>(key, head_of(key.get(self.shared..).unwrap_or(&[])))
    }

    /// The same; `head` is what is searched by. One search of many finds the records in the cache; a lone one does not.
    fn lower_bound<const LONE: bool>(&self, key: &[u8], head: u64) -> usize {
        let Self {
            frame, order, shared, ..
        } = *self;
        let (mut low, mut high) = (0, usize::from(order.sorted_len));
        match key
            .get(..shared)
            .unwrap_or(key)
            .cmp(self.first.get(..shared).unwrap_or_default())
        {
            Ordering::Less => return low,
            Ordering::Greater => return high,
            Ordering::Equal => {}
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if LONE {
                // Whichever way it goes, the next step's record is on its way.
                frame.prefetch(frame.sorted_at(order, low + (middle - low) / 2));
                frame.prefetch(frame.sorted_at(order, middle + 1 + high.saturating_sub(middle + 1) / 2));
            }
            let record = frame.record(frame.sorted_at(order, middle));
            let found = record.head_at(shared);
            if found < head || found == head && record.flat_key() < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The first eight bytes as a number that orders as they do, zeros behind what is shorter.
pub(super) fn head_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            for (byte, from) in head.iter_mut().zip(bytes) {
                *byte = *from;
            }
            u64::from_be_bytes(head)
        }
    }
}

/// The order of a frame's records at one moment.
#[derive(Clone, Debug)]
pub struct FlatOrder {
    pub(super) order: Order,
    pub(super) tail: Option<Arc<TailOrder>>,
}

impl FlatOrder {
    /// The order as it is now. `known` is asked for what [`FlatOrder::tail`] was for this frame before, where there is a tail;
    /// that is used as far as it goes.
    pub fn of(frame: FlatRef<'_>, known: impl FnOnce() -> Option<Arc<TailOrder>>) -> Self {
        let order = frame.order();
        if order.tail_len == 0 {
            return Self { order, tail: None };
        }
        let known = known().filter(|known| known.is_beginning_of(frame, order));
        let tail = match known {
            Some(known) if known.order == order => known,
            known => Arc::new(TailOrder::find(frame, order, known.as_deref())),
        };
        Self {
            order,
            tail: Some(tail),
        }
    }

    /// What took searches, to be kept; none where there is no tail.
    pub fn tail(&self) -> Option<&Arc<TailOrder>> {
        self.tail.as_ref()
    }
}

impl FlatRef<'_> {
    pub(super) fn address(self) -> usize {
        self.frame.words_from(0).as_ptr().addr()
    }
}
