//! Where a blob's memory is, in one atomic word.

use std::ptr;

use coppice_frame::FlatRef;
use coppice_sync::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    Step, is_left_out, order, witness,
};

use super::BlobKind;
use crate::buffer::{Address, Buffer};

/// Low bits: a kind's; one that says that the blob was used since eviction last came by; and those that a flat frame's size
/// of hash table takes. Addresses of frames are multiples of 128, those of values of 8.
const KIND_MASK: usize = 3;
const USED: usize = 4;
const VALUE_MASK: usize = 7;
const HASH_SHIFT: u32 = 3;
const FRAME_MASK: usize = 127;

/// A blob's word; zero where the blob is not in memory.
#[derive(Default)]
pub(super) struct Word(AtomicPtr<u8>);

/// What a word says.
#[derive(Clone, Copy)]
pub(super) struct Place(*mut u8);

impl Word {
    #[inline(always)]
    pub(super) fn load(&self) -> Place {
        Place(self.0.load(order(Acquire, Step::FindMemory)))
    }

    pub(super) fn is_set(&self) -> bool {
        !self.0.load(Relaxed).is_null()
    }

    /// Makes the buffer the blob's memory. The caller holds the entry's latch, and keeps the buffer there. `used`: eviction
    /// is to pass it over once.
    pub(super) fn publish(&self, kind: BlobKind, buffer: &Buffer, used: bool) {
        let (address, more) = match (kind, buffer.address()) {
            (BlobKind::Value, Address::Value(address)) => (address, 0),
            (BlobKind::Trie, Address::Frame(address)) => (address, 0),
            (BlobKind::Flat, Address::Frame(address)) => (
                address,
                (FlatRef::new(buffer.frame()).hash_bits() as usize) << HASH_SHIFT,
            ),
            _ => {
                debug_assert!(false, "a buffer of another kind");
                return self.clear();
            }
        };
        let more = if used { more | USED } else { more };
        let tagged = address.map_addr(|address| address | kind as usize | more & FRAME_MASK);
        witness::published(address);
        self.0.store(tagged, order(Release, Step::PublishMemory));
    }

    pub(super) fn clear(&self) {
        // Not stored: what is swapped out is known to come before, be it a use that somebody notes at this moment.
        self.0.swap(ptr::null_mut(), AcqRel);
    }

    /// Notes that a blob is used, for eviction to pass it over. A blob that changed its memory meanwhile is used anyway.
    pub(super) fn note_use(&self, place: Place) {
        let used = place.0.map_addr(|address| address | USED);
        if is_left_out(Step::CompareUse) {
            return self.0.store(used, Relaxed);
        }
        let _ = self.0.compare_exchange(place.0, used, Relaxed, Relaxed);
    }

    /// Whether the blob is in memory and was not used since this was last asked.
    pub(super) fn is_idle(&self) -> bool {
        let place = self.0.load(Relaxed);
        if place.addr() & USED != 0 {
            let idle = place.map_addr(|address| address & !USED);
            let _ = self.0.compare_exchange(place, idle, Relaxed, Relaxed);
            return false;
        }
        !place.is_null()
    }
}

impl Place {
    /// Whether the blob is in memory, of this kind, and noted as used: one comparison, which is all that a reader makes as a
    /// rule.
    #[inline(always)]
    pub(super) fn is_in_use(self, kind: BlobKind) -> bool {
        self.0.addr() & (KIND_MASK | USED) == kind as usize | USED
    }

    #[inline(always)]
    pub(super) fn is(self, kind: BlobKind) -> bool {
        self.0.addr() & KIND_MASK == kind as usize
    }

    /// Of a flat frame: [`FlatRef::hash_bits`], kept here because the word is hot where the frame's header is not.
    #[inline(always)]
    pub(super) fn hash_bits(self) -> u32 {
        ((self.0.addr() & FRAME_MASK) >> HASH_SHIFT) as u32
    }

    /// The address of a frame's first word.
    #[inline(always)]
    pub(super) fn frame(self) -> *const u8 {
        self.0.map_addr(|address| address & !FRAME_MASK).cast_const()
    }

    /// What [`Address::Value`] gave.
    pub(super) fn value(self) -> *const u8 {
        self.0.map_addr(|address| address & !VALUE_MASK).cast_const()
    }
}
