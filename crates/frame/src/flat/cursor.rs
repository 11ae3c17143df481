//! A flat frame's records in key order, from either end.
//!
//! The sorted array is walked as it is. The tail is brought into order once, when the walk begins, and then merged with it
//! step by step. Keys are compared by the eight bytes behind what all of them share, which the tail's are kept with, and by
//! the whole only where those are equal. So a walk that skips most of the frame does not look up what it never comes to.

use super::{FlatRef, MAX_TAIL, Order};
use crate::{Stored, bytes::common_prefix};

/// A record of the tail that a walk has still to come to.
#[derive(Clone, Copy, Debug, Default)]
struct Late {
    /// The eight bytes of its key behind those that all keys share.
    head: u64,
    unit: u16,
}

/// Walks the records of a flat frame whose keys lie within bounds, forwards, backwards, or both until the ends meet. Holds
/// positions, not bytes: the frame is given at each step, and must be the same and unchanged.
#[derive(Debug)]
pub struct FlatCursor {
    order: Order,
    /// The places of the sorted array that are left: `low..high`.
    low: usize,
    high: usize,
    /// The tail's records within the bounds, ascending; `first..last` of them are left.
    late: [Late; MAX_TAIL],
    first: usize,
    last: usize,
    /// Bytes that all keys within the bounds share, and the unit of one of them.
    shared: usize,
    sample: u16,
}

/// A record is asked for so many steps before the walk comes to it: they take about as long as memory does.
const AHEAD: usize = 12;

impl FlatCursor {
    /// A cursor over the records whose keys are at or after `from`.
    pub fn seek(frame: FlatRef<'_>, from: &[u8]) -> Self {
        Self::within(frame, from, None)
    }

    /// A cursor over the records whose keys are at or after `from`, and before `to` where that is given.
    pub fn within(frame: FlatRef<'_>, from: &[u8], to: Option<&[u8]>) -> Self {
        let order = frame.order();
        let len = usize::from(order.sorted_len);
        let tail_len = usize::from(order.tail_len).min(MAX_TAIL);
        // Needed last, and asked for first: the processor waits for all of them at once, and searches meanwhile.
        for index in 0..tail_len {
            frame.prefetch(frame.tail_at(order, index));
        }
        if len > 0 {
            frame.prefetch(frame.sorted_at(order, len - 1));
        }
        let key = |index: usize| frame.record(frame.sorted_at(order, index)).flat_key();
        // Most walks take the whole frame: the first and the last key tell.
        let low = if len == 0 || key(0) >= from {
            0
        } else {
            frame.lower_bound(order, from)
        };
        let high = match to {
            Some(to) if len > 0 && key(len - 1) >= to => frame.lower_bound(order, to).max(low),
            _ => len,
        };
        let mut cursor = Self {
            order,
            low,
            high,
            late: [Late::default(); MAX_TAIL],
            first: 0,
            last: 0,
            shared: 0,
            sample: 0,
        };
        cursor.ask_ahead(frame);
        cursor.arrange_tail(frame, from, to);
        cursor
    }

    /// Asks for the records that a walk forwards comes to first.
    fn ask_ahead(&self, frame: FlatRef<'_>) {
        for index in self.low..(self.low + AHEAD).min(self.high) {
            frame.prefetch(frame.sorted_at(self.order, index));
        }
    }

    /// Brings the tail's records within the bounds into order.
    fn arrange_tail(&mut self, frame: FlatRef<'_>, from: &[u8], to: Option<&[u8]>) {
        let key = |unit: u16| frame.record(usize::from(unit)).flat_key();
        let tail = usize::from(self.order.tail_len).min(MAX_TAIL);
        let (mut sample, mut shared) = (0, 0);
        if self.low < self.high {
            sample = frame.sorted_at(self.order, self.low) as u16;
            shared = common_prefix(key(sample), key(frame.sorted_at(self.order, self.high - 1) as u16));
        }
        let mut count = 0;
        for index in 0..tail {
            let unit = frame.tail_at(self.order, index) as u16;
            let found = key(unit);
            if found < from || to.is_some_and(|to| found >= to) {
                continue;
            }
            if sample == 0 {
                (sample, shared) = (unit, found.len());
            }
            if found.get(..shared) != key(sample).get(..shared) {
                shared = common_prefix(found, key(sample));
            }
            if let Some(late) = self.late.get_mut(count) {
                late.unit = unit;
                count += 1;
            }
        }
        (self.sample, self.shared) = (sample, if sample == 0 { 0 } else { shared });
        let late = self.late.get_mut(..count).unwrap_or_default();
        for late in &mut *late {
            late.head = frame.record(usize::from(late.unit)).head_at(self.shared);
        }
        late.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| key(a.unit).cmp(key(b.unit))));
        self.last = count;
    }

    /// Whether a record of the tail comes before one of the sorted array.
    #[inline]
    fn is_before(&self, frame: FlatRef<'_>, late: Late, unit: usize) -> bool {
        let record = frame.record(unit);
        let head = record.head_at(self.shared);
        late.head < head || late.head == head && frame.record(usize::from(late.unit)).flat_key() < record.flat_key()
    }

    /// Skips records whose keys start with `prefix`; the cursor, which walks forwards, stands at or before the first.
    pub fn skip_prefix(&mut self, frame: FlatRef<'_>, prefix: &[u8]) {
        let sample = frame.record(usize::from(self.sample)).flat_key();
        let shared = sample.get(..self.shared).unwrap_or(sample);
        let Some(rest) = prefix.get(self.shared..).filter(|_| prefix.starts_with(shared)) else {
            // No key is told from another by the prefix.
            if shared.get(..prefix.len()).unwrap_or(shared) <= prefix {
                (self.low, self.first) = (self.high, self.last);
            }
            return;
        };
        let wanted = head_of(rest);
        let mask = match rest.len() {
            0 => 0,
            len @ 1..8 => !(u64::MAX >> (8 * len)),
            _ => u64::MAX,
        };
        let shared = self.shared;
        let within = |head: u64, unit: usize| {
            if head & mask != wanted || rest.len() <= 8 {
                return head & mask <= wanted;
            }
            let key = frame.record(unit).flat_key();
            key.get(..prefix.len()).unwrap_or(key) <= prefix
        };
        self.low = gallop(self.low, self.high, |index| {
            let unit = frame.sorted_at(self.order, index);
            within(frame.record(unit).head_at(shared), unit)
        });
        self.first = gallop(self.first, self.last, |index| {
            let late = self.late(index);
            within(late.head, usize::from(late.unit))
        });
        self.ask_ahead(frame);
    }

    #[inline(always)]
    fn late(&self, index: usize) -> Late {
        self.late.get(index).copied().unwrap_or_default()
    }

    /// The next record's unit, deleted ones passed over.
    #[inline]
    pub(crate) fn next_unit(&mut self, frame: FlatRef<'_>) -> Option<usize> {
        loop {
            let sorted = (self.low < self.high).then(|| frame.sorted_at(self.order, self.low));
            let late = (self.first < self.last).then(|| self.late(self.first));
            let unit = match (sorted, late) {
                (None, None) => return None,
                (Some(unit), late) if late.is_none_or(|late| !self.is_before(frame, late, unit)) => {
                    if self.low + AHEAD < self.high {
                        frame.prefetch(frame.sorted_at(self.order, self.low + AHEAD));
                    }
                    self.low += 1;
                    unit
                }
                (_, late) => {
                    self.first += 1;
                    usize::from(late?.unit)
                }
            };
            if let Some(newest) = frame.newest(unit) {
                return Some(newest);
            }
        }
    }

    /// The units of all records that are left, forwards, deleted ones passed over. Whole runs of the sorted array are taken
    /// at once.
    pub(crate) fn into_units(self, frame: FlatRef<'_>) -> Vec<u16> {
        let late = self.late.get(self.first..self.last).unwrap_or_default();
        let mut units = Vec::with_capacity(self.high - self.low + late.len());
        let mut take = |unit: usize| {
            if let Some(newest) = frame.newest(unit) {
                units.push(newest as u16);
            }
        };
        let mut low = self.low;
        for late in late {
            let end = gallop(low, self.high, |index| {
                !self.is_before(frame, *late, frame.sorted_at(self.order, index))
            });
            (low..end).for_each(|index| take(frame.sorted_at(self.order, index)));
            take(usize::from(late.unit));
            low = end;
        }
        (low..self.high).for_each(|index| take(frame.sorted_at(self.order, index)));
        units
    }

    /// The last record's unit, deleted ones passed over.
    #[inline]
    fn last_unit(&mut self, frame: FlatRef<'_>) -> Option<usize> {
        loop {
            let sorted = (self.low < self.high).then(|| frame.sorted_at(self.order, self.high - 1));
            let late = (self.first < self.last).then(|| self.late(self.last - 1));
            let unit = match (sorted, late) {
                (None, None) => return None,
                (Some(unit), late) if late.is_none_or(|late| self.is_before(frame, late, unit)) => {
                    if self.low + AHEAD < self.high {
                        frame.prefetch(frame.sorted_at(self.order, self.high - 1 - AHEAD));
                    }
                    self.high -= 1;
                    unit
                }
                (_, late) => {
                    self.last -= 1;
                    usize::from(late?.unit)
                }
            };
            if let Some(newest) = frame.newest(unit) {
                return Some(newest);
            }
        }
    }

    /// The first record that is left: its key relative to the frame, its version and value.
    #[inline]
    pub fn next<'a>(&mut self, frame: FlatRef<'a>) -> Option<(&'a [u8], Stored<'a>)> {
        let record = frame.record(self.next_unit(frame)?);
        Some((record.flat_key(), record.flat_stored()))
    }

    /// The last record that is left.
    #[inline]
    pub fn next_back<'a>(&mut self, frame: FlatRef<'a>) -> Option<(&'a [u8], Stored<'a>)> {
        let record = frame.record(self.last_unit(frame)?);
        Some((record.flat_key(), record.flat_stored()))
    }
}

/// The first eight bytes as a number that orders as they do, zeros behind what is shorter.
fn head_of(bytes: &[u8]) -> u64 {
    let mut head = [0; 8];
    for (byte, from) in head.iter_mut().zip(bytes) {
        *byte = *from;
    }
    u64::from_be_bytes(head)
}

/// The first place of `low..high` that `passes` says no of, given that it says yes of all before. Doubles its stride while
/// it passes, then bisects the last one.
#[inline]
fn gallop(mut low: usize, high: usize, passes: impl Fn(usize) -> bool) -> usize {
    let mut stride = 1;
    let mut end = high;
    while low + stride <= high {
        if !passes(low + stride - 1) {
            end = low + stride - 1;
            break;
        }
        low += stride;
        stride *= 2;
    }
    while low < end {
        let middle = low + (end - low) / 2;
        if passes(middle) {
            low = middle + 1;
        } else {
            end = middle;
        }
    }
    low
}
