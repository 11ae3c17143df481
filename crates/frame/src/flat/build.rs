//! Flat frames built from records in key order, and the choice of where to split one.

use super::{
    COUNT_AT, EXTENTS_AT, FlatCursor, FlatMut, FlatRef, HASH_AT, HASH_BITS_AT, HASH_USED_AT, HEAD_AT, LONGEST_AT,
    MAX_HASH_SLOTS, MIN_HASH_SLOTS, TAIL_AT, hash_of, most_hashed, tail_capacity,
};
use crate::{
    Kind, LAYOUT_VERSION, NoRoom, Stored, UNIT_BYTES, Value,
    bytes::{FrameMut, common_prefix, narrow, put_u8, put_u16, put_u64, units_for, write_u16s},
    record::{record_units, write_record},
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
    let end = len / UNIT_BYTES;
    frame.clear(0, end - units);
    put_u8(frame, 0, Kind::Flat as u8);
    put_u8(frame, 1, LAYOUT_VERSION);
    put_u16(frame, HASH_BITS_AT, narrow(bits as usize));
    put_u16(frame, HEAD_AT, narrow(units_for(HASH_AT + (2usize << bits))));
    let mut hashed = vec![0u16; 1 << bits];
    let mut order = Vec::with_capacity(items.len());
    let (mut unit, mut longest, mut extents) = (end, 0, 0);
    for item in items {
        let key = item.key.get(strip..).unwrap_or(&[]);
        let taken = record_units(key.len(), item.stored.value.stored_len());
        unit = unit.saturating_sub(taken);
        // The text may fill the last unit in part only.
        put_u64(frame, (unit + taken - 1) * UNIT_BYTES, 0);
        write_record(frame, unit * UNIT_BYTES, key.len(), 0, key, &item.stored);
        longest = longest.max(key.len());
        extents |= u16::from(matches!(item.stored.value, Value::Extent { .. }));
        enter(&mut hashed, bits, hash_of(key), unit);
        order.push(narrow(unit));
    }
    write_u16s(frame, HASH_AT / UNIT_BYTES, &hashed);
    put_u16(frame, HASH_USED_AT, narrow(items.len()));
    put_u16(frame, COUNT_AT, narrow(items.len()));
    put_u16(frame, TAIL_AT, narrow(unit));
    put_u16(frame, LONGEST_AT, narrow(longest));
    put_u16(frame, EXTENTS_AT, extents);
    FlatMut::new(frame).write_order(&order);
    Ok(())
}

/// Enters a record into a hash table that has a free slot.
fn enter(hashed: &mut [u16], bits: u32, hash: u64, unit: usize) {
    let (before, behind) = hashed.split_at_mut((hash >> (64 - bits)) as usize);
    if let Some(slot) = behind.iter_mut().chain(before).find(|slot| **slot == 0) {
        *slot = narrow(unit << 3) | (hash & 7) as u16;
    }
}

impl<'a> FlatRef<'a> {
    /// Every record, in key order.
    pub fn items(self) -> Vec<Item<'a>> {
        let units = FlatCursor::seek(self, &[]).into_units(self);
        let item = |unit: u16| {
            let (key, stored) = self.record(usize::from(unit)).flat_parts();
            Item { key, stored }
        };
        units.into_iter().map(item).collect()
    }
}

/// Where records, which ascend by key, part into so many runs of about the same size: the ends of the runs. Each end is moved
/// by up to `slack_bytes` to where the keys on both sides have least in common, as that takes the fewest nodes above. There
/// are fewer runs than asked for where there are too few records.
pub fn part_evenly(items: &[Item<'_>], parts: usize, slack_bytes: usize) -> Vec<usize> {
    let total: usize = items.iter().map(Item::flat_bytes).sum();
    let mut ends = Vec::with_capacity(parts);
    // The best end near the next target: what its keys share, and how far off it is.
    let mut best: Option<(usize, usize, usize)> = None;
    let mut before = 0;
    for (at, pair) in items.windows(2).enumerate() {
        let [left, right] = pair else { continue };
        before += left.flat_bytes();
        let part = ends.len() + 1;
        if part >= parts {
            break;
        }
        let target = total * part / parts;
        let off = before.abs_diff(target);
        if off <= slack_bytes || before >= target {
            let shared = common_prefix(left.key, right.key);
            if best.is_none_or(|best| (shared, off) < (best.0, best.1)) && (off <= slack_bytes || best.is_none()) {
                best = Some((shared, off, at + 1));
            }
        }
        if before + right.flat_bytes() > target + slack_bytes
            && before >= target
            && let Some((_, _, end)) = best.take()
        {
            ends.push(end);
        }
    }
    ends.extend(best.map(|best| best.2));
    ends.push(items.len());
    ends
}

/// Where records, which ascend by key, part into runs of which all but the last take about `limit_bytes`: the ends of the
/// runs.
pub fn part_densely(items: &[Item<'_>], limit_bytes: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut taken = 0;
    for (at, item) in items.iter().enumerate() {
        // What a record costs a frame beside its own bytes: its hash slot, its place in the order.
        let bytes = item.flat_bytes() + 5;
        if taken + bytes > limit_bytes && taken > 0 {
            ends.push(at);
            taken = 0;
        }
        taken += bytes;
    }
    ends.push(items.len());
    ends
}

/// The end of the first of two runs whose keys have as little in common as any neighbours among the records, and which are
/// as even as that allows. None where there are too few records to part.
pub fn part_widely(items: &[Item<'_>]) -> Option<usize> {
    let total: usize = items.iter().map(Item::flat_bytes).sum();
    let mut before = 0;
    let candidates = items.windows(2).enumerate().filter_map(|(at, pair)| {
        let [left, right] = pair else { return None };
        before += left.flat_bytes();
        Some((
            common_prefix(left.key, right.key),
            before.abs_diff(total - before),
            at + 1,
        ))
    });
    candidates.min().map(|best| best.2)
}
