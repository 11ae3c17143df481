//! Flat frames built from records in key order, and the choice of where to split one.

use super::{
    FlatCursor, FlatMut, FlatRef, HASH_AT, HASH_BITS_AT, HEAD_AT, MAX_HASH_SLOTS, MIN_HASH_SLOTS, TAIL_AT, hash_of,
    most_hashed, tail_capacity,
};
use crate::{
    Kind, LAYOUT_VERSION, NoRoom, Stored, UNIT_BYTES,
    bytes::{FrameMut, common_prefix, narrow, put_u8, put_u16, units_for},
    record::record_units,
};

/// A record to be put into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Relative to the frame; not empty.
    pub key: &'a [u8],
    /// Version and value.
    pub stored: Stored<'a>,
}

impl Item<'_> {
    fn units(&self) -> usize {
        record_units(self.key.len(), self.stored.value.stored_len())
    }

    /// Bytes that the record itself takes in a flat frame.
    pub fn flat_bytes(&self) -> usize {
        self.units() * UNIT_BYTES
    }
}

/// How the records of a full flat frame part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlatSplit {
    /// Those from `first` on go to a new frame, by their first bytes; both frames hang from the same node.
    Range {
        /// Index of the first item that goes.
        first: usize,
    },
    /// Those of one first byte, `first..end`, go below a node of their own, which their common prefix of `prefix_len` bytes
    /// (the first byte included) leads to. The others stay.
    Carve {
        /// Index of the first item that goes.
        first: usize,
        /// Index behind the last.
        end: usize,
        /// Bytes that lead to the new node.
        prefix_len: usize,
    },
}

/// The frame's bytes beside records, when it holds `records` of `record_units` together.
fn fixed_bytes(frame_bytes: usize, records: usize, hash_bits: u32) -> usize {
    HASH_AT + (2usize << hash_bits) + UNIT_BYTES * (units_for(2 * records) + units_for(2 * tail_capacity(frame_bytes)))
}

/// Slots for the records that the frame will hold when it is full of records like these, at most seven eighths in use;
/// or as few as these alone take, where more would not leave room for the records. So what fitted one frame fits another.
fn choose_hash_bits(frame_bytes: usize, records: usize, units: usize) -> u32 {
    let mean = (units * UNIT_BYTES / records.max(1)).max(16) + 5;
    let expected = (frame_bytes / mean).max(records + tail_capacity(frame_bytes) / 2);
    let slots = (expected * 8 / 7 + 1).next_power_of_two();
    let mut bits = slots.clamp(MIN_HASH_SLOTS, MAX_HASH_SLOTS).trailing_zeros();
    let takes = |bits: u32| most_hashed(1 << bits) >= records;
    let fits = |bits: u32| fixed_bytes(frame_bytes, records, bits) + units * UNIT_BYTES <= frame_bytes;
    while 1 << bits > MIN_HASH_SLOTS && !fits(bits) && takes(bits - 1) {
        bits -= 1;
    }
    bits
}

fn stripped_units(items: &[Item<'_>], strip: usize) -> usize {
    items
        .iter()
        .map(|item| record_units(item.key.len().saturating_sub(strip), item.stored.value.stored_len()))
        .sum()
}

/// Bytes of a frame that holds these records and nothing else.
pub fn flat_bytes_needed(frame_bytes: usize, items: &[Item<'_>]) -> usize {
    let units = stripped_units(items, 0);
    let bits = choose_hash_bits(frame_bytes, items.len(), units);
    fixed_bytes(frame_bytes, items.len(), bits) + units * UNIT_BYTES
}

/// Makes a flat frame of the buffer, holding these records, which ascend by key. `strip` bytes are left off each key;
/// something must be left of it. [`NoRoom`] leaves the buffer as it was.
pub fn build_flat<'f>(frame: impl Into<FrameMut<'f>>, items: &[Item<'_>], strip: usize) -> Result<(), NoRoom> {
    let frame = frame.into();
    let len = frame.len();
    let units = stripped_units(items, strip);
    let bits = choose_hash_bits(len, items.len(), units);
    if fixed_bytes(len, items.len(), bits) + units * UNIT_BYTES > len || items.len() > most_hashed(1 << bits) {
        return Err(NoRoom { units });
    }
    frame.clear(0, len / UNIT_BYTES);
    put_u8(frame, 0, Kind::Flat as u8);
    put_u8(frame, 1, LAYOUT_VERSION);
    put_u16(frame, HASH_BITS_AT, narrow(bits as usize));
    put_u16(frame, HEAD_AT, narrow(units_for(HASH_AT + (2usize << bits))));
    put_u16(frame, TAIL_AT, narrow(len / UNIT_BYTES));
    let mut flat = FlatMut::new(frame);
    let mut order = Vec::with_capacity(items.len());
    for item in items {
        let key = item.key.get(strip..).unwrap_or(&[]);
        let unit = flat.write(key, &item.stored);
        if !flat.enter(hash_of(key), unit) {
            return Err(NoRoom { units });
        }
        order.push(unit);
    }
    flat.write_order(&order);
    Ok(())
}

impl<'a> FlatRef<'a> {
    /// Every record, in key order.
    pub fn items(self) -> Vec<Item<'a>> {
        let mut cursor = FlatCursor::seek(self, &[]);
        let mut items = Vec::with_capacity(self.records());
        while let Some((key, stored)) = cursor.next(self) {
            items.push(Item { key, stored });
        }
        items
    }
}

/// Neighbouring records whose keys start with the same byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstByteGroup {
    /// Index of the first.
    pub first: usize,
    /// What they take in a flat frame, together.
    pub bytes: usize,
}

/// The records, which ascend by key, in groups of one first byte.
pub fn first_byte_groups(items: &[Item<'_>]) -> Vec<FirstByteGroup> {
    let mut groups: Vec<FirstByteGroup> = Vec::new();
    let mut previous = None;
    for (first, item) in items.iter().enumerate() {
        let (byte, bytes) = (item.key.first(), item.flat_bytes());
        match groups.last_mut() {
            Some(group) if previous == byte => group.bytes += bytes,
            _ => groups.push(FirstByteGroup { first, bytes }),
        }
        previous = byte;
    }
    groups
}

/// Chooses how records part that no longer fit one frame. At a boundary between first bytes if that leaves a quarter on
/// either side; else the first byte that dominates gets a node of its own. When the record to come is behind them all, the
/// left part stays as full as it can, so that ascending inserts leave full frames behind.
pub fn plan_flat_split(items: &[Item<'_>], appending: bool) -> Option<FlatSplit> {
    let groups = first_byte_groups(items);
    let total: usize = groups.iter().map(|group| group.bytes).sum();
    if groups.len() > 1 {
        let mut left = 0;
        let mut best = (0, 0);
        for pair in groups.windows(2) {
            let [group, next] = pair else { continue };
            left += group.bytes;
            let smaller = left.min(total - left);
            let score = if appending && left * 4 >= total { left } else { smaller };
            if score > best.0 {
                best = (score, next.first);
            }
        }
        if best.0 * 4 >= total {
            return Some(FlatSplit::Range { first: best.1 });
        }
    }
    let (at, &FirstByteGroup { first, .. }) = groups.iter().enumerate().max_by_key(|(_, group)| group.bytes)?;
    let end = groups.get(at + 1).map_or(items.len(), |group| group.first);
    let (low, high) = (items.get(first)?, items.get(end.checked_sub(1)?)?);
    let prefix_len = common_prefix(low.key, high.key);
    (end - first > 1).then_some(FlatSplit::Carve { first, end, prefix_len })
}
