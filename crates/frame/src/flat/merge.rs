//! All records of a flat frame in key order, for who copies them elsewhere or merges the tail: the tail's records are sorted by
//! themselves, and the runs of the sorted array go between them as they lie.

use super::{FlatRef, MAX_TAIL, Order, gallop};
use crate::{
    UNIT_BYTES,
    bytes::{common_prefix, narrow, u64_at},
};

/// A record of the tail: its unit in the lowest 16 bits, and above them the fourteen bytes of its key behind those that all keys
/// share. So they sort as numbers, but for those whose fourteen bytes are alike.
type Late = u128;

const HEAD: Late = !0xFFFF;

fn unit_of(late: Late) -> usize {
    usize::from(late as u16)
}

impl FlatRef<'_> {
    /// The units of all records, ascending by key, deleted ones passed over; of one that was replaced, that of the newest.
    pub(super) fn units(self) -> Vec<u16> {
        let order = self.order();
        let sorted = self.sorted(order);
        let mut late = [0; MAX_TAIL];
        let late = late.get_mut(..usize::from(order.tail_len)).unwrap_or_default();
        for (index, late) in late.iter_mut().enumerate() {
            *late = self.tail_at(order, index) as Late;
            self.prefetch(unit_of(*late));
        }
        let shared = self.sort_late(&sorted, late);
        let all = || late.iter().map(|late| *late as u16).chain(sorted.iter().copied());
        let links = all().fold(0, |links, unit| links | self.record(usize::from(unit)).link());
        let mut units = Vec::with_capacity(sorted.len() + late.len());
        let mut take = |run: &[u16]| match links {
            0 => units.extend_from_slice(run),
            _ => units.extend(
                run.iter()
                    .filter_map(|unit| self.newest(usize::from(*unit)).map(narrow)),
            ),
        };
        let mut rest = &sorted[..];
        for next in &*late {
            let is_below = |place| {
                rest.get(place)
                    .is_some_and(|unit| self.is_below(usize::from(*unit), *next, shared))
            };
            let (run, behind) = rest
                .split_at_checked(gallop(0, rest.len(), is_below))
                .unwrap_or_default();
            take(run);
            take(&[*next as u16]);
            rest = behind;
        }
        take(rest);
        units
    }

    /// The sorted array. All of its records are asked for.
    fn sorted(self, order: Order) -> Vec<u16> {
        let len = usize::from(order.sorted_len);
        let mut units = Vec::with_capacity(len.next_multiple_of(4));
        let first = usize::from(order.sorted_unit);
        for unit in first..first + len.div_ceil(4) {
            let four = u64_at(self.frame, unit * UNIT_BYTES);
            let four = [
                four as u16,
                (four >> 16) as u16,
                (four >> 32) as u16,
                (four >> 48) as u16,
            ];
            for unit in four {
                self.frame.prefetch_line(usize::from(unit) * UNIT_BYTES);
            }
            units.extend_from_slice(&four);
        }
        units.truncate(len);
        units
    }

    /// Sorts the tail's records by key; how many bytes all keys of the frame share.
    fn sort_late(self, sorted: &[u16], late: &mut [Late]) -> usize {
        let key = |unit: usize| self.record(unit).flat_key();
        let Some(some) = late.first().map(|late| key(unit_of(*late))) else {
            return 0;
        };
        let ends = [sorted.first(), sorted.last()].into_iter().flatten();
        let all = ends
            .map(|unit| usize::from(*unit))
            .chain(late.iter().map(|late| unit_of(*late)));
        let shared = all.fold(some, |shared, unit| {
            shared.get(..common_prefix(shared, key(unit))).unwrap_or_default()
        });
        for late in &mut *late {
            *late |= self.key_head(unit_of(*late), shared.len());
        }
        late.sort_unstable();
        for alike in late.chunk_by_mut(|a, b| (a ^ b) & HEAD == 0) {
            alike.sort_unstable_by_key(|late| key(unit_of(*late)));
        }
        shared.len()
    }

    /// The fourteen bytes behind the first `shared` ones of a record's key, as a number that orders as they do; zeros behind
    /// the key's end.
    #[inline(always)]
    fn key_head(self, unit: usize, shared: usize) -> Late {
        let (text, key_len) = self.record(unit).text();
        let left = key_len.saturating_sub(shared);
        let head = match text.get(shared..).and_then(<[u8]>::first_chunk) {
            Some(sixteen) => u128::from_be_bytes(*sixteen),
            None => {
                let mut padded = [0; 16];
                for (to, from) in padded.iter_mut().zip(text.get(shared..).unwrap_or_default()) {
                    *to = *from;
                }
                u128::from_be_bytes(padded)
            }
        };
        match left {
            0..14 => head & !(Late::MAX >> (8 * left)),
            _ => head & HEAD,
        }
    }

    /// Whether a record's key is below that of one of the tail.
    #[inline(always)]
    fn is_below(self, unit: usize, late: Late, shared: usize) -> bool {
        let (head, wanted) = (self.key_head(unit, shared), late & HEAD);
        let key = |unit: usize| self.record(unit).flat_key();
        head < wanted || head == wanted && key(unit) < key(unit_of(late))
    }
}
