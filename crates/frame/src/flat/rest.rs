//! What is left of a walk over a flat frame, one record after the other to its end.
//!
//! Places are taken from the order some dozens at a time, and no record is waited for, if it can be helped: it is asked for
//! [`FAR`] steps before it is visited; and [`NEAR`] steps before, when its first word is there, what has replaced it is.

use std::sync::Arc;

use super::{FlatRef, Order, order::TailOrder};
use crate::{
    Frame, Stored, UNIT_BYTES,
    record::{DEAD, RecordRef},
};

/// As many steps as take about as long as memory does.
pub(super) const FAR: usize = 12;
const NEAR: usize = 6;
/// Places that are taken at once.
const MANY: usize = 64;
/// Places that a word of the order array holds.
const LANES: usize = 4;
/// The lower lane of each two.
const LOW_LANES: u64 = 0x0000_FFFF_0000_FFFF;
/// A power of two, so that an index is cut to it for nothing.
const ROOM: usize = 128;

const _: () = assert!(ROOM >= MANY + LANES + FAR && ROOM.is_power_of_two());

/// What is left of a walk over a flat frame.
#[derive(Debug)]
pub struct FlatRest<'a> {
    frame: FlatRef<'a>,
    order: Order,
    reverse: bool,
    /// Between which places of the sorted array the walk is, up to where it goes on before the next record of the tail, and
    /// where it ends.
    at: usize,
    until: usize,
    end: usize,
    tail: Option<Arc<TailOrder>>,
    /// The tail's records that are left: `first..last`.
    first: usize,
    last: usize,
    /// Units of records, `next..len` of which are still to be visited; all but the last [`FAR`] of these were asked for.
    units: [u16; ROOM],
    next: usize,
    len: usize,
    /// Where more are to be taken, if there are any.
    more_at: usize,
}

impl<'a> FlatRest<'a> {
    /// Nothing.
    pub fn none() -> Self {
        Self {
            frame: FlatRef { frame: Frame::EMPTY },
            order: Order::default(),
            reverse: false,
            at: 0,
            until: 0,
            end: 0,
            tail: None,
            first: 0,
            last: 0,
            units: [0; ROOM],
            next: 0,
            len: 0,
            more_at: 0,
        }
    }

    /// Becomes what lies from one place of the sorted array to another, and these records of the tail.
    pub(super) fn begin(
        &mut self,
        (frame, order): (FlatRef<'a>, Order),
        reverse: bool,
        (at, end): (usize, usize),
        tail: Option<Arc<TailOrder>>,
        (first, last): (usize, usize),
    ) {
        (self.frame, self.order, self.reverse) = (frame, order, reverse);
        (self.at, self.end) = (at, end);
        (self.tail, self.first, self.last) = (tail, first, last);
        (self.next, self.len, self.more_at) = (0, 0, 0);
        self.find_until();
    }

    fn find_until(&mut self) {
        let next = if self.reverse {
            self.last.wrapping_sub(1)
        } else {
            self.first
        };
        let late = self.tail.as_ref().filter(|_| self.first < self.last);
        let late = late.and_then(|tail| tail.late().get(next));
        self.until = late.map_or(self.end, |late| {
            usize::from(late.at).clamp(self.at.min(self.end), self.at.max(self.end))
        });
    }

    /// The tail's next record, which comes before what is left of the sorted array.
    fn next_late(&mut self) -> Option<u16> {
        if self.first == self.last {
            return None;
        }
        let taken = if self.reverse { self.last - 1 } else { self.first };
        if self.reverse {
            self.last = taken;
        } else {
            self.first = taken + 1;
        }
        let unit = self.tail.as_ref()?.late().get(taken)?.unit;
        self.find_until();
        Some(unit)
    }

    /// Takes more places from the order; whether there is anything to visit.
    #[inline(never)]
    fn take_more(&mut self) -> bool {
        self.units.copy_within(self.next.min(self.len)..self.len, 0);
        let asked = self.len - self.next;
        (self.next, self.len) = (0, asked);
        let mut is_end = false;
        while self.len < MANY {
            let count = self.at.abs_diff(self.until).min(LANES);
            let lanes = match count {
                0 => {
                    let Some(unit) = self.next_late() else {
                        is_end = true;
                        break;
                    };
                    self.put(u64::from(unit), 1);
                    continue;
                }
                _ if self.reverse => {
                    self.at -= count;
                    let four = self.frame.sorted_from(self.order, self.at);
                    let pairs = (four >> 16 & LOW_LANES) | (four & LOW_LANES) << 16;
                    pairs.rotate_left(32) >> (16 * (LANES - count))
                }
                _ => {
                    self.at += count;
                    self.frame.sorted_from(self.order, self.at - count)
                }
            };
            self.put(lanes, count);
        }
        if asked == 0 {
            for index in 0..FAR.min(self.len) {
                self.frame.frame.prefetch_line(self.unit_at(index) * UNIT_BYTES);
            }
        }
        self.more_at = if is_end {
            // What is asked for behind the last one is the frame's header, which is there.
            if let Some(behind) = self.units.get_mut(self.len..).and_then(<[u16]>::first_chunk_mut::<FAR>) {
                *behind = [0; FAR];
            }
            self.len
        } else {
            self.len - FAR
        };
        self.len > 0
    }

    /// Adds the first so many of four units.
    #[inline(always)]
    fn put(&mut self, lanes: u64, count: usize) {
        let room = self.units.get_mut(self.len..);
        if let Some(room) = room.and_then(<[u16]>::first_chunk_mut::<LANES>) {
            *room = std::array::from_fn(|lane| (lanes >> (16 * lane)) as u16);
        }
        self.len += count;
    }

    #[inline(always)]
    fn unit_at(&self, index: usize) -> usize {
        self.units.get(index % ROOM).copied().map_or(0, usize::from)
    }

    /// The next record.
    #[inline(always)]
    pub(super) fn next_record(&mut self) -> Option<RecordRef<'a>> {
        loop {
            if self.next == self.more_at && !self.take_more() {
                return None;
            }
            let at = self.next;
            self.next += 1;
            self.frame.frame.prefetch_line(self.unit_at(at + FAR) * UNIT_BYTES);
            let link = self.frame.record(self.unit_at(at + NEAR)).link();
            if link > DEAD {
                self.frame.frame.prefetch_line(usize::from(link >> 3) * UNIT_BYTES);
            }
            if let Some(record) = self.frame.newest_record(self.unit_at(at)) {
                return Some(record);
            }
        }
    }
}

impl<'a> Iterator for FlatRest<'a> {
    type Item = (&'a [u8], Stored<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // What leaves the frame is no record.
            if let Some(entry) = self.next_record()?.flat_entry() {
                return Some(entry);
            }
        }
    }
}
