//! A flat frame's records in key order, from either end.
//!
//! The sorted array is walked as it is; where the tail's records belong among it is known when the walk begins, so that a
//! step compares no keys. A walk that skips most of the frame does not look up what it never comes to.

use std::sync::Arc;

use super::{
    FlatRef, FlatRest, Order, Skips, gallop,
    order::{FlatOrder, Late, Sorted, TailOrder, head_of},
    rest::FAR,
    skips::SharedLengths,
};
use crate::{Stored, bytes::common_prefix};

/// Walks the records of a flat frame whose keys lie within bounds, forwards, backwards, or both until the ends meet. Holds
/// positions, not bytes: the frame is given at each step, and must be the same and unchanged.
#[derive(Debug)]
pub struct FlatCursor {
    order: Order,
    /// The places of the sorted array that are left: `low..high`.
    low: usize,
    high: usize,
    tail: Option<Arc<TailOrder>>,
    /// The tail's records that are left: `first..last`, each of which belongs somewhere in `low..=high`.
    first: usize,
    last: usize,
    /// Whether the record before is the sorted array's at `low - 1`.
    is_sorted: bool,
    /// Bytes that the sorted array's keys within the bounds share, once somebody has asked.
    shared: Option<usize>,
    /// What neighbours share, if that is known.
    lengths: Option<Arc<SharedLengths>>,
}

impl FlatCursor {
    /// A cursor over the records whose keys are at or after `from`.
    pub fn seek(frame: FlatRef<'_>, from: &[u8]) -> Self {
        Self::within(frame, from, None)
    }

    /// A cursor over the records whose keys are at or after `from`, and before `to` where that is given.
    pub fn within(frame: FlatRef<'_>, from: &[u8], to: Option<&[u8]>) -> Self {
        Self::in_order(frame, FlatOrder::of(frame, || None), from, to)
    }

    /// The same, with the frame's order, which was found before.
    pub fn in_order(frame: FlatRef<'_>, order: FlatOrder, from: &[u8], to: Option<&[u8]>) -> Self {
        let FlatOrder { order, tail } = order;
        let len = usize::from(order.sorted_len);
        if len > 0 {
            frame.prefetch(frame.sorted_at(order, len - 1));
        }
        let key = |index: usize| frame.record(frame.sorted_at(order, index)).flat_key();
        // Most walks take the whole frame: the first and the last key tell.
        let low = if len == 0 || key(0) >= from {
            0
        } else {
            Sorted::new(frame, order).smaller_than(from)
        };
        let mut cursor = Self {
            order,
            low,
            high: len,
            tail: None,
            first: 0,
            last: 0,
            is_sorted: false,
            shared: None,
            lengths: None,
        };
        cursor.ask_ahead(frame);
        if let Some(to) = to
            && len > 0
            && key(len - 1) >= to
        {
            cursor.high = Sorted::new(frame, order).smaller_than(to).max(low);
        }
        if let Some(tail) = &tail {
            cursor.first = tail.before(frame, low, Some(from));
            cursor.last = tail.before(frame, cursor.high, to).max(cursor.first);
        }
        cursor.tail = tail;
        cursor
    }

    /// Goes on up to `to`, or to the frame's end, where a walk forwards has come to its end.
    pub fn go_on(&mut self, frame: FlatRef<'_>, to: Option<&[u8]>) {
        let len = usize::from(self.order.sorted_len);
        let is_below = |place: usize, to| frame.record(frame.sorted_at(self.order, place)).flat_key() < to;
        self.high = match to {
            Some(to) if self.low < len && !is_below(len - 1, to) => gallop(self.low, len, |place| is_below(place, to)),
            _ => len,
        };
        if let Some(tail) = &self.tail {
            self.last = tail.before(frame, self.high, to).max(self.first);
        }
        (self.is_sorted, self.shared) = (false, None);
    }

    /// Asks for the records that a walk forwards comes to first.
    fn ask_ahead(&self, frame: FlatRef<'_>) {
        for index in self.low..(self.low + FAR).min(self.high) {
            frame.prefetch(frame.sorted_at(self.order, index));
        }
    }

    /// Takes over what is known from walks that passed over groups.
    pub fn recall(&mut self, frame: FlatRef<'_>, skips: &Skips) {
        self.lengths = skips.lengths(frame, self.order);
    }

    /// Before a group is passed over: whether that is to be noted, since nothing is known yet.
    pub fn wants_note(&self) -> bool {
        self.lengths.is_none()
    }

    /// Notes it.
    pub fn note(&mut self, frame: FlatRef<'_>, skips: &mut Skips) {
        self.lengths = skips.note(frame, self.order);
    }

    /// Skips records whose keys start with `prefix`, as that of the record before does, which came from a walk forwards.
    pub fn skip_prefix(&mut self, frame: FlatRef<'_>, prefix: &[u8]) {
        let passes = |unit: usize| {
            let key = frame.record(unit).flat_key();
            key.get(..prefix.len()).unwrap_or(key) <= prefix
        };
        match (&self.lengths, u8::try_from(prefix.len())) {
            (Some(lengths), Ok(len)) => {
                if self.is_sorted {
                    self.low = lengths.first_below(len, self.low, self.high);
                } else if self.low < self.high && passes(frame.sorted_at(self.order, self.low)) {
                    self.low = lengths.first_below(len, self.low + 1, self.high);
                }
                self.is_sorted = false;
                // A group begins there, and most likely where as little is shared again.
                let next = lengths.first_below(len, (self.low + 1).min(self.high), self.high);
                for place in [self.low, next] {
                    if place < self.high {
                        frame.prefetch(frame.sorted_at(self.order, place));
                    }
                }
            }
            _ => self.skip_by_records(frame, prefix),
        }
        if let Some(tail) = &self.tail {
            let late = tail.late();
            self.first = gallop(self.first, self.last, |index| {
                late.get(index).is_some_and(|late| {
                    let at = usize::from(late.at);
                    at < self.low || at == self.low && passes(usize::from(late.unit))
                })
            });
        }
    }

    /// The sorted array's part of [`FlatCursor::skip_prefix`], where it is not known what neighbours share.
    fn skip_by_records(&mut self, frame: FlatRef<'_>, prefix: &[u8]) {
        let key = |unit: usize| frame.record(unit).flat_key();
        let within = |unit: usize| {
            let key = key(unit);
            key.get(..prefix.len()).unwrap_or(key) <= prefix
        };
        if self.low < self.high {
            let first = key(frame.sorted_at(self.order, self.low));
            let shared = *self
                .shared
                .get_or_insert_with(|| common_prefix(first, key(frame.sorted_at(self.order, self.high - 1))));
            let path = first.get(..shared).unwrap_or(first);
            match prefix.get(shared..).filter(|_| prefix.starts_with(path)) {
                Some(rest) => {
                    let wanted = head_of(rest);
                    let mask = match rest.len() {
                        0 => 0,
                        len @ 1..8 => !(u64::MAX >> (8 * len)),
                        _ => u64::MAX,
                    };
                    self.low = gallop(self.low, self.high, |index| {
                        let unit = frame.sorted_at(self.order, index);
                        let head = frame.record(unit).head_at(shared) & mask;
                        head < wanted || head == wanted && (rest.len() <= 8 || within(unit))
                    });
                }
                // No key is told from another by the prefix.
                None if path.get(..prefix.len()).unwrap_or(path) <= prefix => self.low = self.high,
                None => {}
            }
        }
        if self.low < self.high {
            frame.prefetch(frame.sorted_at(self.order, self.low));
        }
    }

    /// The record of the tail at an end of those that are left.
    #[inline(always)]
    fn late(&self, index: usize) -> Option<Late> {
        if self.first < self.last {
            self.tail.as_ref()?.late().get(index).copied()
        } else {
            None
        }
    }

    /// The first record that is left: its key relative to the frame, its version and value.
    #[inline]
    pub fn next<'a>(&mut self, frame: FlatRef<'a>) -> Option<(&'a [u8], Stored<'a>)> {
        loop {
            let unit = match self.late(self.first) {
                Some(late) if usize::from(late.at) <= self.low => {
                    self.first += 1;
                    self.is_sorted = false;
                    usize::from(late.unit)
                }
                _ if self.low < self.high => {
                    self.low += 1;
                    self.is_sorted = true;
                    frame.sorted_at(self.order, self.low - 1)
                }
                _ => return None,
            };
            if let Some(record) = frame.newest_record(unit) {
                return Some((record.flat_key(), record.flat_stored()));
            }
        }
    }

    /// The last record that is left.
    #[inline]
    pub fn next_back<'a>(&mut self, frame: FlatRef<'a>) -> Option<(&'a [u8], Stored<'a>)> {
        loop {
            let unit = match self.late(self.last.wrapping_sub(1)) {
                Some(late) if usize::from(late.at) >= self.high => {
                    self.last -= 1;
                    usize::from(late.unit)
                }
                _ if self.low < self.high => {
                    self.high -= 1;
                    frame.sorted_at(self.order, self.high)
                }
                _ => return None,
            };
            if let Some(record) = frame.newest_record(unit) {
                return Some((record.flat_key(), record.flat_stored()));
            }
        }
    }

    /// Makes of `rest` all that is left, one after the other, as [`FlatCursor::next`] or, from the end,
    /// [`FlatCursor::next_back`] gives it.
    #[inline]
    pub fn rest<'a>(&mut self, frame: FlatRef<'a>, reverse: bool, rest: &mut FlatRest<'a>) {
        let (at, end) = if reverse {
            (self.high, self.low)
        } else {
            (self.low, self.high)
        };
        let late = (self.first, self.last);
        rest.begin((frame, self.order), reverse, (at, end), self.tail.clone(), late);
        (self.low, self.first) = (self.high, self.last);
    }
}
