//! Flat frames built from records in key order, and the choice of where to split one.

use super::{
    COUNT_AT, EXTENTS_AT, FlatMut, FlatRef, HASH_AT, HASH_BITS_AT, HASH_USED_AT, HEAD_AT, LONGEST_AT, MAX_HASH_SLOTS,
    MIN_HASH_SLOTS, TAIL_AT, hash_entry, hash_of, most_hashed, tail_capacity,
};
use crate::{
    Kind, LAYOUT_VERSION, NoRoom, Stored, UNIT_BYTES,
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

/// The hash table of a frame that holds so many records, which take so many units together, and has `spare_bytes` left
/// beside them. [`NoRoom`] where they do not fit.
fn fit(frame_bytes: usize, records: usize, units: usize, spare_bytes: usize) -> Result<u32, NoRoom> {
    let bits = choose_hash_bits(frame_bytes, records, units);
    let needed = fixed_bytes(frame_bytes, records, bits) + units * UNIT_BYTES;
    if needed.saturating_add(spare_bytes) > frame_bytes || records > most_hashed(1 << bits) {
        return Err(NoRoom { units });
    }
    Ok(bits)
}

/// Makes a flat frame of the buffer, holding these records, which ascend by key. `strip` bytes are left off each key;
/// something must be left of it. [`NoRoom`] leaves the buffer as it was.
pub fn build_flat<'f>(frame: impl Into<FrameMut<'f>>, items: &[Item<'_>], strip: usize) -> Result<(), NoRoom> {
    let frame = frame.into();
    let units = stripped_units(items, strip);
    let bits = fit(frame.len(), items.len(), units, 0)?;
    let mut builder = Builder::begin(frame, bits, units, items.len());
    for item in items {
        let key = item.key.get(strip..).unwrap_or(&[]);
        let unit = builder.take(key, item.stored.value.stored_len(), item.stored.value.is_extent());
        write_record(frame, unit * UNIT_BYTES, key.len(), 0, key, &item.stored);
    }
    builder.finish();
    Ok(())
}

/// Copies a frame's records into a fresh buffer of the same size, leaving garbage behind. [`NoRoom`] where less than
/// `spare_bytes` would be free then, and leaves the buffer as it was.
pub fn copy_flat<'f>(source: FlatRef<'_>, target: impl Into<FrameMut<'f>>, spare_bytes: usize) -> Result<(), NoRoom> {
    let frame = target.into();
    let records = source.units();
    let record = |unit: &u16| source.record(usize::from(*unit));
    let units = records.iter().map(|unit| record(unit).flat_units()).sum();
    let bits = fit(frame.len(), records.len(), units, spare_bytes)?;
    let mut builder = Builder::begin(frame, bits, units, records.len());
    for record in records.iter().map(record) {
        let unit = builder.take(record.flat_key(), record.value_len(), record.is_extent());
        record.copy_flat(frame, unit * UNIT_BYTES);
    }
    builder.finish();
    Ok(())
}

/// Makes an empty flat frame of the buffer, for records like those of another frame of the same size.
pub fn begin_flat<'f>(frame: impl Into<FrameMut<'f>>, like: FlatRef<'_>) {
    Builder::begin(frame.into(), like.hash_bits(), 0, 0).finish();
}

/// A flat frame on its way: what is not written record by record is put together aside.
struct Builder<'f> {
    frame: FrameMut<'f>,
    bits: u32,
    hashed: Vec<u16>,
    order: Vec<u16>,
    /// The unit of the last record.
    unit: usize,
    longest: usize,
    has_extents: bool,
}

impl<'f> Builder<'f> {
    /// For so many records, which take so many units together.
    fn begin(frame: FrameMut<'f>, bits: u32, units: usize, records: usize) -> Self {
        let end = frame.len() / UNIT_BYTES;
        frame.clear(0, end.saturating_sub(units));
        put_u8(frame, 0, Kind::Flat as u8);
        put_u8(frame, 1, LAYOUT_VERSION);
        put_u16(frame, HASH_BITS_AT, narrow(bits as usize));
        put_u16(frame, HEAD_AT, narrow(units_for(HASH_AT + (2usize << bits))));
        Self {
            frame,
            bits,
            hashed: vec![0; 1 << bits],
            order: Vec::with_capacity(records),
            unit: end,
            longest: 0,
            has_extents: false,
        }
    }

    /// Takes units for the next record and enters it; the caller writes it there.
    fn take(&mut self, key: &[u8], value_bytes: usize, is_extent: bool) -> usize {
        let units = record_units(key.len(), value_bytes);
        self.unit = self.unit.saturating_sub(units);
        // The text may fill the last unit in part only.
        put_u64(self.frame, (self.unit + units - 1) * UNIT_BYTES, 0);
        self.longest = self.longest.max(key.len());
        self.has_extents |= is_extent;
        let hash = hash_of(key);
        let (mut at, mask) = ((hash >> (64 - self.bits)) as usize, self.hashed.len() - 1);
        // There are more slots than records.
        while let Some(slot) = self.hashed.get_mut(at & mask) {
            if *slot == 0 {
                *slot = hash_entry(self.unit, hash);
                break;
            }
            at += 1;
        }
        self.order.push(narrow(self.unit));
        self.unit
    }

    fn finish(self) {
        write_u16s(self.frame, HASH_AT / UNIT_BYTES, &self.hashed);
        put_u16(self.frame, HASH_USED_AT, narrow(self.order.len()));
        put_u16(self.frame, COUNT_AT, narrow(self.order.len()));
        put_u16(self.frame, TAIL_AT, narrow(self.unit));
        put_u16(self.frame, LONGEST_AT, narrow(self.longest));
        put_u16(self.frame, EXTENTS_AT, u16::from(self.has_extents));
        FlatMut::new(self.frame).write_order(&self.order);
    }
}

impl<'a> FlatRef<'a> {
    /// Every record, in key order.
    pub fn items(self) -> Vec<Item<'a>> {
        let item = |unit: u16| {
            let record = self.record(usize::from(unit));
            let (key, stored) = (record.flat_key(), record.flat_stored());
            Item { key, stored }
        };
        self.units().into_iter().map(item).collect()
    }
}

/// Every record of some frames, in key order, their keys behind the path that leads to each frame. All of a frame's keys come
/// before those of the next one. The keys are put together in `keys`, which is empty.
pub fn items_behind<'a>(frames: &[(&[u8], FlatRef<'a>)], keys: &'a mut Vec<u8>) -> Vec<Item<'a>> {
    let frames: Vec<_> = frames
        .iter()
        .map(|(path, frame)| (*path, *frame, frame.units()))
        .collect();
    let (mut records, mut bytes) = (0, 0);
    for (path, frame, units) in &frames {
        let lens = units.iter().map(|unit| frame.record(usize::from(*unit)).key_len());
        bytes += path.len() * units.len() + lens.sum::<usize>();
        records += units.len();
    }
    keys.reserve_exact(bytes);
    for (path, frame, units) in &frames {
        for unit in units {
            keys.extend_from_slice(path);
            keys.extend_from_slice(frame.record(usize::from(*unit)).flat_key());
        }
    }
    let mut rest: &'a [u8] = keys;
    // One more, for who adds a record.
    let mut items = Vec::with_capacity(records + 1);
    for (path, frame, units) in frames {
        for unit in units {
            let record = frame.record(usize::from(unit));
            let stored = record.flat_stored();
            let (key, behind) = rest.split_at_checked(path.len() + record.key_len()).unwrap_or_default();
            rest = behind;
            items.push(Item { key, stored });
        }
    }
    items
}

/// Where records, which ascend by key, part into so many runs of about the same size: the ends of the runs. Each end is moved
/// by up to `slack_bytes` to where the keys on both sides have least in common, as that takes the fewest nodes above. There
/// are fewer runs than asked for where there are too few records.
pub fn part_evenly(items: &[Item<'_>], parts: usize, slack_bytes: usize) -> Vec<usize> {
    let total: usize = items.iter().map(Item::flat_bytes).sum();
    let mut ends = Vec::with_capacity(parts);
    let (mut at, mut before) = (0, 0);
    for part in 1..parts {
        let target = total * part / parts;
        // The best end near the target: what its keys share, and how far off it is.
        let mut best: Option<(usize, usize, usize)> = None;
        while let (Some(left), Some(right)) = (items.get(at), items.get(at + 1)) {
            before += left.flat_bytes();
            at += 1;
            if before + slack_bytes < target {
                continue;
            }
            let off = before.abs_diff(target);
            if off <= slack_bytes || before >= target && best.is_none() {
                best = best
                    .into_iter()
                    .chain([(common_prefix(left.key, right.key), off, at)])
                    .min();
            }
            if before >= target && before + right.flat_bytes() > target + slack_bytes {
                break;
            }
        }
        ends.extend(best.map(|best| best.2));
    }
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
