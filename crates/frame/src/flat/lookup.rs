//! A lookup in a flat frame taken apart into the steps that wait for memory, so that several lookups can wait at once.

use super::{FlatRef, HASH_AT, TOMBSTONE, hash_of};
use crate::{Stored, bytes::u16_at};

/// A lookup that has come as far as its flat frame.
#[derive(Clone, Copy, Debug)]
pub struct FlatLookup<'a, 'k> {
    flat: FlatRef<'a>,
    key: &'k [u8],
    hash: u64,
    hash_bits: u32,
}

impl<'a, 'k> FlatLookup<'a, 'k> {
    /// A lookup of a key relative to the frame, with the frame's [`FlatRef::hash_bits`].
    pub fn new(flat: FlatRef<'a>, key: &'k [u8], hash_bits: u32) -> Self {
        Self {
            flat,
            key,
            hash: hash_of(key),
            hash_bits: hash_bits.clamp(1, 15),
        }
    }

    /// The first slot of the hash table that the lookup looks at, for [`FlatLookup::touch_record`].
    #[inline]
    pub fn touch_slot(&self) -> u16 {
        let at = (self.hash >> (64 - self.hash_bits)) as usize;
        u16_at(self.flat.frame, HASH_AT + 2 * at)
    }

    /// Asks for what a put of the key looks at first, without waiting: the frame's first lines, and the slot's. The hash, for
    /// [`FlatRef::probe_hashed`].
    #[inline]
    pub fn prefetch_to_put(&self) -> u64 {
        let at = (self.hash >> (64 - self.hash_bits)) as usize;
        self.flat.frame.prefetch(HASH_AT + 2 * at);
        self.flat.frame.prefetch(0);
        self.hash
    }

    /// Asks for what a put looks at next, once the slot is there: the record behind the slot, whoever's it is, and the room that the new one takes.
    #[inline]
    pub fn prefetch_records(&self) {
        let slot = self.touch_slot();
        if slot != 0 && slot != TOMBSTONE {
            self.flat.prefetch(usize::from(slot >> 3));
        }
        self.flat.prefetch_room();
    }

    /// Reads a word of the record behind a slot, whoever's it is; it means nothing.
    #[inline]
    pub fn touch_record(&self, slot: u16) -> u16 {
        if slot == 0 || slot == TOMBSTONE {
            return 0;
        }
        self.flat.record(usize::from(slot >> 3)).link()
    }

    /// Ends the lookup.
    #[inline]
    pub fn get(&self) -> Option<Stored<'a>> {
        let found = self.flat.find_among(self.key, self.hash, self.hash_bits)?;
        Some(self.flat.record(found.unit).flat_stored())
    }
}
