//! Flat frames: the header, the hash table, lookups, and the walk in key order.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind, 2 |
//! | 1 | 1 | version of this layout, 1 |
//! | 2 | 2 | hash table: 2 to this power slots |
//! | 4 | 2 | hash slots in use, deleted ones included |
//! | 6 | 2 | records |
//! | 8 | 8 | the order word: sorted array at unit (2), its length (2), tail at unit (2), its length (2) |
//! | 16 | 2 | first free unit: order arrays grow up |
//! | 18 | 2 | first unit of the records, which grow down from the frame's end |
//! | 20 | 2 | units that nothing refers to any more |
//! | 22 | 2 | records in the order arrays that were deleted since |
//! | 24 | 2 | the longest key that was written since the frame was built |
//! | 26 | 2 | 1 if an extent was written since then, else 0 |
//! | 28 | 36 | zero |
//! | 64 | 2 × slots | the hash table |
//!
//! A hash slot is 0 (never used), 7 (deleted), or a unit's number in the upper 13 bits and the hash's lowest 3 bits below.
//! The hash is XXH3-64 (xxHash specification 0.1.1, seed 0) of the key relative to the frame; its highest bits choose the
//! slot, and a taken slot sends the search to the next one, around the end.
//!
//! The order arrays hold units of records: one sorted by key, and a tail of those inserted since, in no order. Both may
//! point to a record that was replaced or deleted; its link tells. The tail is merged into a new sorted array when full.

mod build;
mod cursor;
mod longest;
mod lookup;
mod merge;
mod order;
mod rest;
mod skips;
#[cfg(test)]
mod tests;
mod write;

use crate::{
    Stored, UNIT_BYTES,
    bytes::{Frame, narrow, u16_at, u64_at, units_for},
    record::{DEAD, RecordRef},
};

pub use build::{Item, begin_flat, build_flat, copy_flat, items_behind, part_densely, part_evenly, part_widely};
pub use cursor::FlatCursor;
pub use lookup::FlatLookup;
pub use order::{FlatOrder, TailOrder};
pub use rest::FlatRest;
pub use skips::Skips;
pub use write::{FlatMut, Reserved, Spot};

pub(crate) const HASH_BITS_AT: usize = 2;
pub(crate) const HASH_USED_AT: usize = 4;
pub(crate) const COUNT_AT: usize = 6;
pub(crate) const ORDER_AT: usize = 8;
pub(crate) const HEAD_AT: usize = 16;
pub(crate) const TAIL_AT: usize = 18;
pub(crate) const GARBAGE_AT: usize = 20;
pub(crate) const DEAD_AT: usize = 22;
pub(crate) const LONGEST_AT: usize = 24;
pub(crate) const EXTENTS_AT: usize = 26;
pub(crate) const HASH_AT: usize = 64;
/// What the processor fetches at once, in units.
const LINE_UNITS: usize = 8;
/// A hash slot whose record was deleted.
pub(crate) const TOMBSTONE: u16 = 7;

const _: () = assert!(HASH_AT == 64 && DEAD_AT + 2 == 24 && EXTENTS_AT + 2 == 28);

/// The hash of a key relative to its frame.
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// What a hash slot says of the record at a unit.
pub(crate) fn hash_entry(unit: usize, hash: u64) -> u16 {
    narrow(unit << 3) | (hash & 7) as u16
}

/// Slots of the smallest and the largest hash table: the largest frame holds fewer records than seven eighths of the latter.
pub(crate) const MIN_HASH_SLOTS: usize = 16;
pub(crate) const MAX_HASH_SLOTS: usize = 4096;

const _: () = assert!(crate::MAX_FRAME_BYTES / (2 * UNIT_BYTES) <= MAX_HASH_SLOTS);

/// How many slots of a hash table may be in use.
pub(crate) const fn most_hashed(slots: usize) -> usize {
    slots - slots / 8
}

/// Records that the tail of the largest frame takes.
pub(crate) const MAX_TAIL: usize = 64;

/// How many records the tail takes before it is merged.
pub(crate) fn tail_capacity(frame_bytes: usize) -> usize {
    (frame_bytes / 512).clamp(8, MAX_TAIL)
}

/// Units by which the sorted array grows when the tail's records join it. They are kept free, so that a rebuilt frame
/// never takes more than this one.
pub(crate) fn order_growth(order: Order) -> usize {
    let (sorted, tail) = (usize::from(order.sorted_len), usize::from(order.tail_len));
    units_for(2 * (sorted + tail)) - units_for(2 * sorted)
}

/// The order word, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) sorted_unit: u16,
    pub(crate) sorted_len: u16,
    pub(crate) tail_unit: u16,
    pub(crate) tail_len: u16,
}

impl Order {
    pub(crate) fn read(frame: Frame<'_>) -> Self {
        let word = u64_at(frame, ORDER_AT);
        Self {
            sorted_unit: word as u16,
            sorted_len: (word >> 16) as u16,
            tail_unit: (word >> 32) as u16,
            tail_len: (word >> 48) as u16,
        }
    }

    pub(crate) fn word(self) -> u64 {
        u64::from(self.sorted_unit)
            | u64::from(self.sorted_len) << 16
            | u64::from(self.tail_unit) << 32
            | u64::from(self.tail_len) << 48
    }
}

/// The first place of `low..high` that `passes` says no of, given that it says yes of all before. Doubles its stride while
/// it passes, then bisects the last one.
#[inline]
pub(crate) fn gallop(mut low: usize, high: usize, passes: impl Fn(usize) -> bool) -> usize {
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

/// A flat frame, to be read.
#[derive(Clone, Copy, Debug)]
pub struct FlatRef<'a> {
    pub(crate) frame: Frame<'a>,
}

/// Where a key's slot is, and its record.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) slot: usize,
    pub(crate) unit: usize,
}

impl<'a> FlatRef<'a> {
    /// The frame as a flat one; the caller knows that [`crate::validate`] has passed it, or has built it.
    pub fn new(frame: impl Into<Frame<'a>>) -> Self {
        Self { frame: frame.into() }
    }

    /// Size of the hash table: 2 to this power slots. A constant of the frame.
    pub fn hash_bits(self) -> u32 {
        u32::from(u16_at(self.frame, HASH_BITS_AT)).clamp(1, 15)
    }

    pub(crate) fn record(self, unit: usize) -> RecordRef<'a> {
        RecordRef::new(self.frame, unit * UNIT_BYTES)
    }

    /// Asks for a record's first two lines, without waiting.
    #[inline(always)]
    pub(crate) fn prefetch(self, unit: usize) {
        self.frame.prefetch(unit * UNIT_BYTES);
    }

    /// Asks for the room that the next record takes: it is written below the last one.
    #[inline(always)]
    pub(crate) fn prefetch_room(self) {
        self.prefetch(self.tail().saturating_sub(2 * LINE_UNITS));
    }

    pub(crate) fn find(self, key: &[u8], hash: u64) -> Option<Found> {
        self.find_among(key, hash, self.hash_bits())
    }

    fn find_among(self, key: &[u8], hash: u64, bits: u32) -> Option<Found> {
        let slots = 1usize << bits;
        let tag = (hash & 7) as u16;
        let mut at = (hash >> (64 - bits)) as usize;
        for _ in 0..slots {
            let slot = HASH_AT + 2 * at;
            let entry = u16_at(self.frame, slot);
            if entry == 0 {
                return None;
            }
            if entry & 7 == tag && entry != TOMBSTONE {
                let unit = usize::from(entry >> 3);
                // Most records lie on more than one line: what comes behind the key's beginning is needed as well.
                self.prefetch(unit + LINE_UNITS);
                if self.record(unit).flat_key() == key {
                    return Some(Found { slot, unit });
                }
            }
            at = (at + 1) & (slots - 1);
        }
        None
    }

    /// Looks a key up, relative to the frame.
    pub fn get(self, key: &[u8]) -> Option<Stored<'a>> {
        self.get_sized(key, self.hash_bits())
    }

    /// The same, by a caller who has kept [`FlatRef::hash_bits`] at hand: so the first of the frame's lines that is touched
    /// is the hash table's.
    pub fn get_sized(self, key: &[u8], hash_bits: u32) -> Option<Stored<'a>> {
        let found = self.find_among(key, hash_of(key), hash_bits.clamp(1, 15))?;
        Some(self.record(found.unit).flat_stored())
    }

    /// The frame.
    pub fn frame(self) -> Frame<'a> {
        self.frame
    }

    /// Records in the frame.
    pub fn records(self) -> usize {
        usize::from(u16_at(self.frame, COUNT_AT))
    }

    /// No key in the frame is longer than this.
    pub fn longest_key(self) -> usize {
        usize::from(u16_at(self.frame, LONGEST_AT))
    }

    /// Whether a record's value may be an extent.
    pub fn may_have_extents(self) -> bool {
        u16_at(self.frame, EXTENTS_AT) != 0
    }

    pub(crate) fn head(self) -> usize {
        usize::from(u16_at(self.frame, HEAD_AT))
    }

    pub(crate) fn tail(self) -> usize {
        usize::from(u16_at(self.frame, TAIL_AT))
    }

    pub(crate) fn free_units(self) -> usize {
        self.tail().saturating_sub(self.head())
    }

    /// Bytes that something refers to, header included, and those that a rebuilt frame's order array takes more: what a
    /// rebuilt frame with a hash table of this size would take, or more.
    pub fn live_bytes(self) -> usize {
        let garbage = usize::from(u16_at(self.frame, GARBAGE_AT)) + self.free_units();
        let growth = order_growth(self.order());
        self.frame
            .len()
            .saturating_sub(garbage.saturating_sub(growth) * UNIT_BYTES)
    }

    /// Bytes that nothing refers to any more.
    pub fn garbage_bytes(self) -> usize {
        usize::from(u16_at(self.frame, GARBAGE_AT)) * UNIT_BYTES
    }

    pub(crate) fn order(self) -> Order {
        Order::read(self.frame)
    }

    pub(crate) fn sorted_at(self, order: Order, index: usize) -> usize {
        usize::from(u16_at(
            self.frame,
            usize::from(order.sorted_unit) * UNIT_BYTES + 2 * index,
        ))
    }

    /// Four places of the sorted array from one on, the first in the lowest lane. What lies behind the array means nothing.
    #[inline(always)]
    pub(crate) fn sorted_from(self, order: Order, index: usize) -> u64 {
        let at = (usize::from(order.sorted_unit) + index / 4) * UNIT_BYTES;
        let [low, high] = [at, at + UNIT_BYTES].map(|at| u128::from(u64_at(self.frame, at)));
        ((low | high << 64) >> (16 * (index % 4))) as u64
    }

    pub(crate) fn tail_at(self, order: Order, index: usize) -> usize {
        usize::from(u16_at(
            self.frame,
            usize::from(order.tail_unit) * UNIT_BYTES + 2 * index,
        ))
    }

    /// The newest record of the key that the order arrays' record `unit` is of; None when it was deleted. A newer record
    /// lies below the one it replaced, so the chain ends.
    pub(crate) fn newest(self, mut unit: usize) -> Option<usize> {
        loop {
            match self.record(unit).link() {
                0 => return Some(unit),
                DEAD => return None,
                link => {
                    let next = usize::from(link >> 3);
                    if next >= unit {
                        return None;
                    }
                    unit = next;
                }
            }
        }
    }

    /// The record itself that [`FlatRef::newest`] finds.
    #[inline(always)]
    pub(crate) fn newest_record(self, unit: usize) -> Option<RecordRef<'a>> {
        let record = self.record(unit);
        match record.link() {
            0 => Some(record),
            _ => self.newest(unit).map(|unit| self.record(unit)),
        }
    }

    /// The first place of the sorted array whose key is not below `key`.
    pub(crate) fn lower_bound(self, order: Order, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, usize::from(order.sorted_len));
        while low < high {
            let middle = low + (high - low) / 2;
            // Whichever way it goes, the next step's record is on its way.
            self.prefetch(self.sorted_at(order, low + (middle - low) / 2));
            self.prefetch(self.sorted_at(order, middle + 1 + high.saturating_sub(middle + 1) / 2));
            if self.record(self.sorted_at(order, middle)).flat_key() < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first place of the sorted array's first `end` whose key is above `key`.
    pub(crate) fn sorted_behind(self, order: Order, end: usize, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(self.sorted_at(order, middle)).flat_key() <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The smallest key that a record has, or had; empty in an empty frame.
    pub fn first_key(self) -> &'a [u8] {
        let order = self.order();
        let sorted = (order.sorted_len > 0).then(|| self.sorted_at(order, 0));
        let late = (0..usize::from(order.tail_len)).map(|index| self.tail_at(order, index));
        let keys = sorted.into_iter().chain(late).map(|unit| self.record(unit).flat_key());
        keys.min().unwrap_or(&[])
    }

    /// The largest one.
    pub fn last_key(self) -> &'a [u8] {
        let order = self.order();
        let sorted = usize::from(order.sorted_len).checked_sub(1);
        let late = (0..usize::from(order.tail_len)).map(|index| self.tail_at(order, index));
        let units = sorted.map(|last| self.sorted_at(order, last)).into_iter().chain(late);
        units.map(|unit| self.record(unit).flat_key()).max().unwrap_or(&[])
    }

    /// Whether the record that was written last has the largest key, as where keys ascend.
    pub fn ends_with_newest(self) -> bool {
        self.records() > 0 && self.record(self.tail()).flat_key() == self.last_key()
    }

    /// Whether some record's key starts with `prefix`.
    pub fn has_prefix(self, prefix: &[u8]) -> bool {
        let order = self.order();
        let sorted = (self.lower_bound(order, prefix)..usize::from(order.sorted_len))
            .map(|index| self.sorted_at(order, index))
            .take_while(|unit| self.record(*unit).flat_key().starts_with(prefix));
        let late = (0..usize::from(order.tail_len))
            .map(|index| self.tail_at(order, index))
            .filter(|unit| self.record(*unit).flat_key().starts_with(prefix));
        sorted.chain(late).any(|unit| self.newest(unit).is_some())
    }

    /// How many records have keys that start with `prefix`.
    pub fn count_prefix(self, prefix: &[u8]) -> usize {
        if prefix.is_empty() {
            return self.records();
        }
        let order = self.order();
        let low = self.lower_bound(order, prefix);
        let sorted_len = usize::from(order.sorted_len);
        let (mut first, mut last) = (low, sorted_len);
        while first < last {
            let middle = first + (last - first) / 2;
            if self
                .record(self.sorted_at(order, middle))
                .flat_key()
                .starts_with(prefix)
            {
                first = middle + 1;
            } else {
                last = middle;
            }
        }
        let none_dead = u16_at(self.frame, DEAD_AT) == 0;
        let sorted = if none_dead {
            first - low
        } else {
            (low..first)
                .filter(|index| self.newest(self.sorted_at(order, *index)).is_some())
                .count()
        };
        let tail = (0..usize::from(order.tail_len))
            .map(|index| self.tail_at(order, index))
            .filter(|unit| self.record(*unit).flat_key().starts_with(prefix) && self.newest(*unit).is_some())
            .count();
        sorted + tail
    }
}
