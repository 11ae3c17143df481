//! The check that stands between bytes from a disk and the code that walks them.
//!
//! A frame that passes has every reference inside its bounds, is a tree (no unit is reached twice, but for crossings that
//! entries of one node share), agrees with its own counts, and has its keys in order. What it leads to in other frames is
//! not looked at.

use crate::{
    Kind, LAYOUT_VERSION, MAX_FRAME_BYTES, MIN_FRAME_BYTES, UNIT_BYTES,
    bytes::{u8_at, u16_at, u32_at},
    flat::{COUNT_AT, DEAD_AT, FlatRef, HASH_AT, HASH_USED_AT, TOMBSTONE, hash_of},
    max_key_bytes,
    node::Ref,
    record::{DEAD, HEADER_BYTES, RecordRef},
    trie::{HEADER_UNITS, RECORDS_AT, TrieRef},
};

/// Why a frame was not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong.
    pub what: &'static str,
    /// Near which byte of the frame.
    pub offset: usize,
}

type Checked = Result<(), Invalid>;

fn ensure(holds: bool, what: &'static str, offset: usize) -> Checked {
    if holds { Ok(()) } else { Err(Invalid { what, offset }) }
}

/// Checks a frame. Its cost is that of reading the frame once or twice.
pub fn validate(frame: &[u8]) -> Result<Kind, Invalid> {
    let sized = frame.len().is_multiple_of(UNIT_BYTES) && (MIN_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&frame.len());
    ensure(sized, "frame of an impossible size", 0)?;
    let kind = Kind::of(frame).ok_or(Invalid {
        what: "unknown kind of frame",
        offset: 0,
    })?;
    ensure(
        u8_at(frame, 1) == LAYOUT_VERSION,
        "unknown layout version of a frame",
        1,
    )?;
    match kind {
        Kind::Trie => validate_trie(frame)?,
        Kind::Flat => validate_flat(frame)?,
    }
    Ok(kind)
}

/// One bit for each unit of a frame.
struct Units {
    seen: Vec<u64>,
}

impl Units {
    fn new(frame: &[u8]) -> Self {
        Self {
            seen: vec![0; frame.len() / UNIT_BYTES / 64 + 1],
        }
    }

    /// Claims units; each belongs to one thing.
    fn claim(&mut self, first: usize, count: usize, limit: usize) -> Checked {
        let offset = first * UNIT_BYTES;
        ensure(count > 0 && first + count <= limit, "a reference out of bounds", offset)?;
        for unit in first..first + count {
            let word = self.seen.get_mut(unit / 64).ok_or(Invalid {
                what: "a reference out of bounds",
                offset,
            })?;
            let bit = 1 << (unit % 64);
            ensure(*word & bit == 0, "bytes that two things claim", offset)?;
            *word |= bit;
        }
        Ok(())
    }
}

fn check_record(record: RecordRef<'_>, stored_key: usize, at: usize, end: usize, frame_bytes: usize) -> Checked {
    let fits = at + HEADER_BYTES + stored_key + record.value_len() <= end;
    ensure(fits, "a record that leaves the frame", at)?;
    ensure(
        record.key_len() <= max_key_bytes(frame_bytes),
        "a key over the limit",
        at,
    )?;
    ensure(
        !record.is_extent() || record.value_len() == 8,
        "an extent of the wrong shape",
        at,
    )
}

fn validate_trie(frame: &[u8]) -> Checked {
    let trie = TrieRef::new(frame);
    let end = frame.len() / UNIT_BYTES;
    let (head, tail) = (trie.head(), trie.tail());
    ensure(
        HEADER_UNITS <= head && head <= tail && tail <= end,
        "areas of a trie frame that overlap",
        4,
    )?;
    let mut units = Units::new(frame);
    let mut records = 0;
    let mut pending: Vec<(Ref, usize)> = vec![(trie.root_ref(), 0)];
    ensure(trie.root_ref().is_node(), "a trie frame without a root", 2)?;
    let mut is_root = true;
    while let Some((reference, depth)) = pending.pop() {
        let at = reference.offset();
        let first = at / UNIT_BYTES;
        if let Some(node) = trie.node(reference) {
            ensure(first >= HEADER_UNITS, "a reference out of bounds", at)?;
            units.claim(first, node.units(), head)?;
            ensure(
                node.prefix().len() == node.prefix_len(),
                "a prefix that leaves the frame",
                at,
            )?;
            ensure(node.count() <= node.capacity(), "a node with too many entries", at)?;
            ensure(!is_root || node.prefix_len() == 0, "a root with a prefix", at)?;
            is_root = false;
            let depth = depth + node.prefix_len();
            ensure(depth <= max_key_bytes(frame.len()), "a path over the limit", at)?;
            if !node.value().is_none() {
                ensure(
                    trie.record(node.value()).is_some(),
                    "a node's value that is no record",
                    at,
                )?;
                pending.push((node.value(), depth));
            }
            let mut below = None;
            let mut crossings: Vec<Ref> = Vec::new();
            for (byte, entry) in node.entries() {
                ensure(below < Some(byte), "entries out of order", at)?;
                below = Some(byte);
                if entry.is_crossing() {
                    if !crossings.contains(&entry) {
                        crossings.push(entry);
                        let unit = entry.offset() / UNIT_BYTES;
                        ensure(unit >= HEADER_UNITS, "a reference out of bounds", at)?;
                        units.claim(unit, 1, head)?;
                        ensure(
                            u32_at(frame, entry.offset() + 4) == 0,
                            "a crossing of the wrong shape",
                            at,
                        )?;
                    }
                } else {
                    pending.push((entry, depth + 1));
                }
            }
        } else if let Some(record) = trie.record(reference) {
            ensure(first >= tail, "a reference out of bounds", at)?;
            check_record(record, usize::from(record.link()), at, frame.len(), frame.len())?;
            units.claim(first, record.trie_units(), end)?;
            let rest = record.key_len().checked_sub(depth);
            let stores_enough = rest.is_some_and(|rest| rest <= usize::from(record.link()));
            ensure(stores_enough, "a record that stores too little of its key", at)?;
            records += 1;
        } else {
            return Err(Invalid {
                what: "a reference to nothing known",
                offset: at,
            });
        }
    }
    ensure(
        records == usize::from(u16_at(frame, RECORDS_AT)),
        "a wrong count of records",
        RECORDS_AT,
    )
}

fn validate_flat(frame: &[u8]) -> Checked {
    let flat = FlatRef::new(frame);
    let end = frame.len() / UNIT_BYTES;
    let (head, tail) = (flat.head(), flat.tail());
    let bits = u16_at(frame, 2);
    ensure((4..=12).contains(&bits), "a hash table of an impossible size", 2)?;
    let slots = 1usize << bits;
    let hash_end = (HASH_AT + 2 * slots).div_ceil(UNIT_BYTES);
    ensure(
        hash_end <= head && head <= tail && tail <= end,
        "areas of a flat frame that overlap",
        16,
    )?;
    let order = flat.order();
    let area = |unit: u16, len: usize| {
        let first = usize::from(unit);
        len == 0 || (first >= hash_end && first * UNIT_BYTES + 2 * len <= head * UNIT_BYTES)
    };
    let (sorted_len, tail_len) = (usize::from(order.sorted_len), usize::from(order.tail_len));
    ensure(area(order.sorted_unit, sorted_len), "a sorted array out of bounds", 8)?;
    let tail_capacity = crate::flat::tail_capacity(frame.len());
    ensure(
        tail_len <= tail_capacity && area(order.tail_unit, tail_capacity),
        "a tail out of bounds",
        12,
    )?;

    let check = |unit: usize| -> Checked {
        let at = unit * UNIT_BYTES;
        ensure(unit >= tail && unit < end, "a record out of bounds", at)?;
        let record = flat.record(unit);
        ensure(record.key_len() > 0, "an empty key in a flat frame", at)?;
        check_record(record, record.key_len(), at, frame.len(), frame.len())?;
        // A newer record lies below; the chain is followed to its end, within bounds.
        let mut from = unit;
        loop {
            let link = flat.record(from).link();
            if link == 0 || link == DEAD {
                return Ok(());
            }
            let next = usize::from(link >> 3);
            ensure(
                link & 7 == 0 && next >= tail && next < from,
                "a link out of bounds",
                from * UNIT_BYTES,
            )?;
            let newer = flat.record(next);
            check_record(newer, newer.key_len(), next * UNIT_BYTES, frame.len(), frame.len())?;
            ensure(
                newer.flat_key() == record.flat_key(),
                "a link to another key",
                from * UNIT_BYTES,
            )?;
            from = next;
        }
    };

    let (mut used, mut live) = (0, 0);
    for slot in 0..slots {
        let at = HASH_AT + 2 * slot;
        let entry = u16_at(frame, at);
        if entry == 0 {
            continue;
        }
        used += 1;
        if entry == TOMBSTONE {
            continue;
        }
        live += 1;
        let unit = usize::from(entry >> 3);
        check(unit)?;
        let record = flat.record(unit);
        ensure(record.link() == 0, "a hash slot to a record that was replaced", at)?;
        let hash = hash_of(record.flat_key());
        let found = flat.find(record.flat_key(), hash);
        ensure(
            found.is_some_and(|found| found.slot == at),
            "a key that its hash does not lead to",
            at,
        )?;
    }
    ensure(
        used == usize::from(u16_at(frame, HASH_USED_AT)) && used < slots,
        "a wrong count of hash slots",
        4,
    )?;
    ensure(
        live == usize::from(u16_at(frame, COUNT_AT)),
        "a wrong count of records",
        COUNT_AT,
    )?;

    let (mut ordered, mut dead) = (0, 0);
    let mut previous: Option<&[u8]> = None;
    for index in 0..sorted_len + tail_len {
        let in_sorted = index < sorted_len;
        let unit = if in_sorted {
            flat.sorted_at(order, index)
        } else {
            flat.tail_at(order, index - sorted_len)
        };
        check(unit)?;
        if in_sorted {
            let key = flat.record(unit).flat_key();
            ensure(previous < Some(key), "records out of order", unit * UNIT_BYTES)?;
            previous = Some(key);
        }
        match flat.newest(unit) {
            Some(newest) => {
                let key = flat.record(newest).flat_key();
                let found = flat.find(key, hash_of(key));
                ensure(
                    found.is_some_and(|found| found.unit == newest),
                    "an ordered record that is not hashed",
                    8,
                )?;
                ordered += 1;
            }
            None => dead += 1,
        }
    }
    ensure(ordered == live, "records that the order lacks", 8)?;
    ensure(
        dead == usize::from(u16_at(frame, DEAD_AT)),
        "a wrong count of deleted records",
        DEAD_AT,
    )
}

#[cfg(test)]
mod tests;
