//! The check of a flat frame.

use std::ops::Range;

use super::{Checked, Units, check_record, ensure};
use crate::{
    UNIT_BYTES,
    bytes::{Frame, u16_at, units_for},
    flat::{
        COUNT_AT, DEAD_AT, EXTENTS_AT, FlatRef, GARBAGE_AT, HASH_AT, HASH_BITS_AT, HASH_USED_AT, HEAD_AT,
        MAX_HASH_SLOTS, MIN_HASH_SLOTS, ORDER_AT, TOMBSTONE, hash_of, most_hashed, order_growth, tail_capacity,
    },
    record::DEAD,
};

pub(super) fn validate(frame: Frame<'_>) -> Checked {
    let flat = FlatRef::new(frame);
    let end = frame.len() / UNIT_BYTES;
    let (head, tail) = (flat.head(), flat.tail());
    let bits = usize::from(u16_at(frame, HASH_BITS_AT));
    let slots = 1usize.checked_shl(bits as u32).unwrap_or(0);
    ensure(
        bits < 16 && (MIN_HASH_SLOTS..=MAX_HASH_SLOTS).contains(&slots),
        "a hash table of an impossible size",
        HASH_BITS_AT,
    )?;
    let hash_end = units_for(HASH_AT + 2 * slots);
    ensure(
        hash_end <= head && head <= tail && tail <= end,
        "areas of a flat frame that overlap",
        HEAD_AT,
    )?;
    let order = flat.order();
    let mut check = Check {
        frame,
        flat,
        records: tail..end,
        units: Units::new(frame),
        hashed: Units::new(frame),
    };
    let sorted_units = units_for(2 * usize::from(order.sorted_len));
    if sorted_units > 0 {
        check
            .units
            .claim(usize::from(order.sorted_unit), sorted_units, hash_end..head)?;
    }
    let tail_units = units_for(2 * tail_capacity(frame.len()));
    check
        .units
        .claim(usize::from(order.tail_unit), tail_units, hash_end..head)?;
    ensure(
        usize::from(order.sorted_unit) + sorted_units <= usize::from(order.tail_unit),
        "a tail in front of its sorted array",
        ORDER_AT,
    )?;
    ensure(
        usize::from(order.tail_len) <= tail_capacity(frame.len()),
        "a tail that is too long",
        ORDER_AT,
    )?;
    check.hash_table(slots)?;
    let live = hash_end + check.units.claimed;
    ensure(
        live + usize::from(u16_at(frame, GARBAGE_AT)) + (tail - head) == end,
        "a wrong count of garbage",
        GARBAGE_AT,
    )?;
    ensure(
        order_growth(order) <= tail - head,
        "no room for the order to grow",
        HEAD_AT,
    )?;
    ensure(
        u16_at(frame, EXTENTS_AT) <= 1,
        "a mark that is neither set nor not",
        EXTENTS_AT,
    )?;
    check.order()
}

struct Check<'a> {
    frame: Frame<'a>,
    flat: FlatRef<'a>,
    /// The units in which records lie.
    records: Range<usize>,
    units: Units,
    /// Where the hashed records begin that the order has not led to yet.
    hashed: Units,
}

impl Check<'_> {
    /// Checks a record's bounds and limits, and that nothing else lies there.
    fn record(&mut self, unit: usize) -> Checked {
        let at = unit * UNIT_BYTES;
        let record = self.flat.record(unit);
        ensure(record.key_len() > 0, "an empty key in a flat frame", at)?;
        check_record(self.frame, record, record.key_len(), at)?;
        ensure(
            record.key_len() <= self.flat.longest_key(),
            "a key longer than the frame says",
            at,
        )?;
        ensure(
            !record.is_extent() || self.flat.may_have_extents(),
            "an extent in a frame that says it has none",
            at,
        )?;
        self.units.claim(unit, record.flat_units(), self.records.clone())
    }

    /// Checks the hash table and the records that it leads to. The records come first: once no bytes belong to two of them,
    /// comparing all their keys costs no more than reading the frame.
    fn hash_table(&mut self, slots: usize) -> Checked {
        let (mut used, mut live) = (0, 0);
        for slot in (0..slots).map(|slot| HASH_AT + 2 * slot) {
            match u16_at(self.frame, slot) {
                0 => continue,
                TOMBSTONE => {}
                entry => {
                    let unit = usize::from(entry >> 3);
                    self.record(unit)?;
                    let replaced = self.flat.record(unit).link() != 0;
                    ensure(!replaced, "a hash slot to a record that was replaced", slot)?;
                    self.hashed.claim(unit, 1, self.records.clone())?;
                    live += 1;
                }
            }
            used += 1;
        }
        ensure(
            used == usize::from(u16_at(self.frame, HASH_USED_AT)) && used <= most_hashed(slots),
            "a wrong count of hash slots",
            HASH_USED_AT,
        )?;
        ensure(live == self.flat.records(), "a wrong count of records", COUNT_AT)?;
        for slot in (0..slots).map(|slot| HASH_AT + 2 * slot) {
            let entry = u16_at(self.frame, slot);
            if entry == 0 || entry == TOMBSTONE {
                continue;
            }
            let key = self.flat.record(usize::from(entry >> 3)).flat_key();
            let found = self.flat.find(key, hash_of(key));
            ensure(
                found.is_some_and(|found| found.slot == slot),
                "a key that its hash does not lead to",
                slot,
            )?;
        }
        Ok(())
    }

    /// Checks that the order arrays lead to each hashed record once, through those that it replaced, and otherwise only to
    /// deleted ones.
    fn order(&mut self) -> Checked {
        let order = self.flat.order();
        let (sorted_len, tail_len) = (usize::from(order.sorted_len), usize::from(order.tail_len));
        let mut dead = 0;
        let mut previous: Option<&[u8]> = None;
        for index in 0..sorted_len + tail_len {
            let unit = if index < sorted_len {
                self.flat.sorted_at(order, index)
            } else {
                self.flat.tail_at(order, index - sorted_len)
            };
            match self.newest(unit)? {
                Some(newest) => ensure(
                    self.hashed.give_up(newest),
                    "a record that is ordered twice, or not hashed",
                    newest * UNIT_BYTES,
                )?,
                None => dead += 1,
            }
            if index < sorted_len {
                let key = self.flat.record(unit).flat_key();
                ensure(previous < Some(key), "records out of order", unit * UNIT_BYTES)?;
                previous = Some(key);
            }
        }
        ensure(self.hashed.claimed == 0, "records that the order lacks", ORDER_AT)?;
        ensure(
            dead == usize::from(u16_at(self.frame, DEAD_AT)),
            "a wrong count of deleted records",
            DEAD_AT,
        )
    }

    /// Follows the links from a record that the order leads to, checking the replaced ones on the way, to the hashed one;
    /// None where it was deleted.
    fn newest(&mut self, first: usize) -> Result<Option<usize>, super::Invalid> {
        let mut unit = first;
        loop {
            let at = unit * UNIT_BYTES;
            let key = self.flat.record(unit).flat_key();
            let link = self.flat.record(unit).link();
            if link == 0 {
                return Ok(Some(unit));
            }
            self.record(unit)?;
            if link == DEAD {
                return Ok(None);
            }
            let next = usize::from(link >> 3);
            ensure(link & 7 == 0 && next < unit, "a link out of bounds", at)?;
            ensure(self.flat.record(next).flat_key() == key, "a link to another key", at)?;
            unit = next;
        }
    }
}
