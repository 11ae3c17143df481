//! A flat frame's records in key order.

use super::{FlatRef, Order};
use crate::Stored;

/// Walks a flat frame in key order. Holds positions, not bytes: the frame is given at each step, and must be the same and
/// unchanged.
#[derive(Debug)]
pub struct FlatCursor {
    order: Order,
    /// Next place in the sorted array.
    sorted: usize,
    /// The tail's records at or after the start, sorted, the next one last.
    tail: Vec<u16>,
}

impl FlatCursor {
    /// A cursor before the first record whose key is at or after `from`.
    pub fn seek(frame: FlatRef<'_>, from: &[u8]) -> Self {
        let order = frame.order();
        let sorted = if from.is_empty() {
            0
        } else {
            frame.lower_bound(order, from)
        };
        let mut tail: Vec<u16> = (0..usize::from(order.tail_len))
            .map(|index| frame.tail_at(order, index) as u16)
            .filter(|unit| frame.record(usize::from(*unit)).flat_key() >= from)
            .collect();
        tail.sort_unstable_by(|a, b| {
            frame
                .record(usize::from(*b))
                .flat_key()
                .cmp(frame.record(usize::from(*a)).flat_key())
        });
        Self { order, sorted, tail }
    }

    /// Skips records whose keys start with `prefix`; the cursor stands at or before the first of them.
    pub fn skip_prefix(&mut self, frame: FlatRef<'_>, prefix: &[u8]) {
        let len = usize::from(self.order.sorted_len);
        let within = |index: usize| {
            index < len && {
                let key = frame.record(frame.sorted_at(self.order, index)).flat_key();
                key < prefix || key.starts_with(prefix)
            }
        };
        // Gallop: double the stride while inside, then bisect the last one.
        let (mut low, mut stride) = (self.sorted, 1);
        while within(low + stride - 1) {
            low += stride;
            stride *= 2;
        }
        let mut high = (low + stride - 1).min(len);
        while low < high {
            let middle = low + (high - low) / 2;
            if within(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.sorted = low;
        while let Some(unit) = self.tail.last() {
            let key = frame.record(usize::from(*unit)).flat_key();
            if key >= prefix && !key.starts_with(prefix) {
                break;
            }
            self.tail.pop();
        }
    }

    /// The next record's unit, deleted ones passed over.
    pub(crate) fn next_unit(&mut self, frame: FlatRef<'_>) -> Option<usize> {
        loop {
            let sorted =
                (self.sorted < usize::from(self.order.sorted_len)).then(|| frame.sorted_at(self.order, self.sorted));
            let tail = self.tail.last().map(|unit| usize::from(*unit));
            let unit = match (sorted, tail) {
                (None, None) => return None,
                (Some(sorted), Some(tail)) if frame.record(tail).flat_key() < frame.record(sorted).flat_key() => {
                    self.tail.pop();
                    tail
                }
                (None, Some(tail)) => {
                    self.tail.pop();
                    tail
                }
                (Some(sorted), _) => {
                    self.sorted += 1;
                    sorted
                }
            };
            if let Some(newest) = frame.newest(unit) {
                return Some(newest);
            }
        }
    }

    /// The next record: its key relative to the frame, its version and value.
    pub fn next<'a>(&mut self, frame: FlatRef<'a>) -> Option<(&'a [u8], Stored<'a>)> {
        let unit = self.next_unit(frame)?;
        let record = frame.record(unit);
        Some((record.flat_key(), record.flat_stored()))
    }
}
