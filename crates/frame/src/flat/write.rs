//! Changes to a flat frame: each is published by one store of a hash slot.

use super::{
    COUNT_AT, DEAD_AT, EXTENTS_AT, FlatRef, Found, GARBAGE_AT, HASH_AT, HASH_USED_AT, HEAD_AT, LONGEST_AT, ORDER_AT,
    Order, TAIL_AT, TOMBSTONE, hash_entry, hash_of, most_hashed, order_growth, tail_capacity,
};
use crate::{
    NoRoom, Stored, UNIT_BYTES, Value,
    bytes::{FrameMut, narrow, put_u16, put_u64, u16_at, units_for, write_u16s},
    record::{DEAD, record_units, set_link, write_record},
};

/// Numbers of an order array in a unit.
const PER_UNIT: usize = UNIT_BYTES / 2;

/// Where a key's record is, or would be, in a frame that was not changed since.
#[derive(Clone, Copy)]
pub struct Spot {
    hash: u64,
    found: Option<Found>,
}

/// Room for a record, in a frame that was not changed since.
#[derive(Clone, Copy)]
pub struct Reserved(Spot);

impl<'a> FlatRef<'a> {
    /// Looks a key up that may be put next: where it belongs, and its record.
    pub fn probe(self, key: &[u8]) -> (Spot, Option<Stored<'a>>) {
        self.probe_hashed(key, hash_of(key))
    }

    /// The same, by a caller who has the key's hash from [`super::FlatLookup::prefetch_to_put`].
    pub fn probe_hashed(self, key: &[u8], hash: u64) -> (Spot, Option<Stored<'a>>) {
        self.prefetch_room();
        let found = self.find(key, hash);
        let stored = found.map(|found| self.record(found.unit).flat_stored());
        (Spot { hash, found }, stored)
    }
}

/// A flat frame, to be changed.
#[derive(Debug)]
pub struct FlatMut<'a> {
    pub(super) frame: FrameMut<'a>,
}

impl<'a> FlatMut<'a> {
    /// The frame as a flat one; the caller knows that it is one.
    pub fn new(frame: impl Into<FrameMut<'a>>) -> Self {
        Self { frame: frame.into() }
    }

    /// The frame, to be read.
    pub fn as_ref(&self) -> FlatRef<'a> {
        FlatRef::new(self.frame)
    }

    fn add(&mut self, field: usize, amount: isize) {
        let value = usize::from(u16_at(self.frame, field)).saturating_add_signed(amount);
        put_u16(self.frame, field, narrow(value));
    }

    /// Writes a record into room that was asked for; returns its unit.
    fn write(&mut self, key: &[u8], stored: &Stored<'_>) -> usize {
        let unit = self
            .as_ref()
            .tail()
            .saturating_sub(record_units(key.len(), stored.value.stored_len()));
        put_u16(self.frame, TAIL_AT, narrow(unit));
        if key.len() > self.as_ref().longest_key() {
            put_u16(self.frame, LONGEST_AT, narrow(key.len()));
        }
        if matches!(stored.value, Value::Extent { .. }) {
            put_u16(self.frame, EXTENTS_AT, 1);
        }
        write_record(self.frame, unit * UNIT_BYTES, key.len(), 0, key, stored);
        unit
    }

    /// The first free slot for a key that is not in the table.
    fn free_slot(&self, hash: u64) -> Option<usize> {
        let bits = self.as_ref().hash_bits();
        let slots = 1usize << bits;
        let first = (hash >> (64 - bits)) as usize;
        (0..slots)
            .map(|step| HASH_AT + 2 * ((first + step) & (slots - 1)))
            .find(|slot| matches!(u16_at(self.frame, *slot), 0 | TOMBSTONE))
    }

    /// Enters a record that was written for a key that is not in the table, which has room.
    fn enter(&mut self, hash: u64, unit: usize) {
        let Some(slot) = self.free_slot(hash) else { return };
        if u16_at(self.frame, slot) == 0 {
            self.add(HASH_USED_AT, 1);
        }
        put_u16(self.frame, slot, hash_entry(unit, hash));
        self.add(COUNT_AT, 1);
    }

    fn hash_is_full(&self) -> bool {
        let slots = 1usize << self.as_ref().hash_bits();
        usize::from(u16_at(self.frame, HASH_USED_AT)) >= most_hashed(slots)
    }

    fn need(&self, units: usize) -> Result<(), NoRoom> {
        if units <= self.as_ref().free_units() {
            Ok(())
        } else {
            Err(NoRoom { units })
        }
    }

    /// Inserts or replaces; true when the key, which is not empty, was there before. [`NoRoom`] leaves the frame as it was,
    /// and asks for it to be rebuilt.
    pub fn put(&mut self, key: &[u8], stored: &Stored<'_>) -> Result<bool, NoRoom> {
        let reserved = self.reserve(self.as_ref().probe(key).0, key.len(), stored.value.stored_len())?;
        Ok(self.publish(reserved, key, stored))
    }

    /// Sees to it that a record of these lengths, for the key that was probed, can be put: what follows cannot fail.
    pub fn reserve(&mut self, spot: Spot, key_len: usize, value_len: usize) -> Result<Reserved, NoRoom> {
        let units = record_units(key_len, value_len);
        let order = self.as_ref().order();
        if spot.found.is_some() {
            self.need(units + order_growth(order))?;
            return Ok(Reserved(spot));
        }
        if self.hash_is_full() {
            return Err(NoRoom { units });
        }
        if !self.is_to_be_merged(order) {
            let longer = Order {
                tail_len: order.tail_len + 1,
                ..order
            };
            self.need(units + order_growth(longer))?;
        } else if self.tail_goes_on(order) {
            // Two units of the sorted array may be begun before the tail is full again.
            self.need(units + usize::from(order.tail_len) / PER_UNIT + 1)?;
            self.take_tail_over(order);
        } else {
            // Merged, the order has one record in its tail, which takes up to one unit of the sorted array to come.
            self.need(units + self.merge_units(order) + 1)?;
            self.merge_tail(order);
        }
        Ok(Reserved(spot))
    }

    /// Puts the record that room was reserved for, in this frame, which was not changed since; true when its key was there.
    pub fn publish(&mut self, reserved: Reserved, key: &[u8], stored: &Stored<'_>) -> bool {
        let Spot { hash, found } = reserved.0;
        if let Some(found) = found {
            let old_units = self.as_ref().record(found.unit).flat_units();
            let unit = self.write(key, stored);
            put_u16(self.frame, found.slot, hash_entry(unit, hash));
            set_link(self.frame, found.unit * UNIT_BYTES, narrow(unit << 3));
            self.add(GARBAGE_AT, old_units as isize);
            return true;
        }
        let unit = self.write(key, stored);
        let order = self.as_ref().order();
        let at = usize::from(order.tail_unit) * UNIT_BYTES + 2 * usize::from(order.tail_len);
        put_u16(self.frame, at, narrow(unit));
        put_u64(
            self.frame,
            ORDER_AT,
            Order {
                tail_len: order.tail_len + 1,
                ..order
            }
            .word(),
        );
        self.enter(hash, unit);
        false
    }

    /// Whether the tail takes no more; a few before that where the sorted array would end with a unit then.
    fn is_to_be_merged(&self, order: Order) -> bool {
        let (sorted, tail) = (usize::from(order.sorted_len), usize::from(order.tail_len));
        let capacity = tail_capacity(self.frame.len());
        tail >= capacity || tail + PER_UNIT > capacity && sorted % PER_UNIT != 0 && (sorted + tail) % PER_UNIT == 0
    }

    /// Whether the tail is what a sorted array would go on with: ascending, and right behind it.
    fn tail_goes_on(&self, order: Order) -> bool {
        let (sorted, tail) = (usize::from(order.sorted_len), usize::from(order.tail_len));
        let frame = self.as_ref();
        let sorted_end = usize::from(order.sorted_unit) + sorted / PER_UNIT;
        let tail_end = usize::from(order.tail_unit) + units_for(2 * tail_capacity(self.frame.len()));
        if sorted % PER_UNIT != 0
            || tail % PER_UNIT != 0
            || usize::from(order.tail_unit) != sorted_end
            || frame.head() != tail_end
        {
            return false;
        }
        let key = |unit: usize| frame.record(unit).flat_key();
        let mut last = sorted.checked_sub(1).map(|last| key(frame.sorted_at(order, last)));
        (0..tail).all(|index| {
            let next = key(frame.tail_at(order, index));
            last.replace(next).is_none_or(|last| last < next)
        })
    }

    /// Makes the tail, as it lies, the end of the sorted array, and begins another behind it, in room that was asked for.
    fn take_tail_over(&mut self, order: Order) {
        let taken = usize::from(order.tail_len) / PER_UNIT;
        put_u16(self.frame, HEAD_AT, narrow(self.as_ref().head() + taken));
        let longer = Order {
            sorted_len: order.sorted_len + order.tail_len,
            tail_unit: narrow(usize::from(order.tail_unit) + taken),
            tail_len: 0,
            ..order
        };
        put_u64(self.frame, ORDER_AT, longer.word());
    }

    fn merge_units(&self, order: Order) -> usize {
        units_for(2 * (usize::from(order.sorted_len) + usize::from(order.tail_len)))
            + units_for(2 * tail_capacity(self.frame.len()))
    }

    /// Writes new order arrays into room that was asked for: the sorted one with the tail's records in it, the tail empty.
    fn merge_tail(&mut self, order: Order) {
        let frame = self.as_ref();
        let units = frame.units();
        let old = units_for(2 * usize::from(order.sorted_len)) + units_for(2 * tail_capacity(frame.frame.len()));
        self.write_order(&units);
        put_u16(self.frame, DEAD_AT, 0);
        self.add(GARBAGE_AT, old as isize);
    }

    /// Writes the sorted array and an empty tail at the head, and makes them the order.
    pub(super) fn write_order(&mut self, units: &[u16]) {
        let sorted_unit = self.as_ref().head();
        let tail_unit = sorted_unit + units_for(2 * units.len());
        write_u16s(self.frame, sorted_unit, units);
        put_u16(
            self.frame,
            HEAD_AT,
            narrow(tail_unit + units_for(2 * tail_capacity(self.frame.len()))),
        );
        let order = Order {
            sorted_unit: narrow(sorted_unit),
            sorted_len: narrow(units.len()),
            tail_unit: narrow(tail_unit),
            tail_len: 0,
        };
        put_u64(self.frame, ORDER_AT, order.word());
    }

    /// Removes a record. False where there is none of that key.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(found) = self.as_ref().find(key, hash_of(key)) else {
            return false;
        };
        let units = self.as_ref().record(found.unit).flat_units();
        put_u16(self.frame, found.slot, TOMBSTONE);
        set_link(self.frame, found.unit * UNIT_BYTES, DEAD);
        self.add(COUNT_AT, -1);
        self.add(DEAD_AT, 1);
        self.add(GARBAGE_AT, units as isize);
        true
    }
}
