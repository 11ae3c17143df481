//! Where a blob's memory is, in one atomic word.

use std::{
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use coppice_frame::FlatRef;

use super::BlobKind;
use crate::buffer::{Address, Buffer};

/// Low bits that a kind takes, and behind them those that a flat frame's size of hash table takes: addresses of frames are
/// multiples of 64, those of values of 8.
const KIND_BITS: u32 = 2;
const KIND_MASK: usize = (1 << KIND_BITS) - 1;
const FRAME_MASK: usize = 63;

/// A blob's word; zero where the blob is not in memory.
#[derive(Default)]
pub(super) struct Word(AtomicPtr<u8>);

/// What a word says.
#[derive(Clone, Copy)]
pub(super) struct Place(*mut u8);

impl Word {
    #[inline(always)]
    pub(super) fn load(&self) -> Place {
        Place(self.0.load(Acquire))
    }

    pub(super) fn is_set(&self) -> bool {
        !self.0.load(Relaxed).is_null()
    }

    /// Makes the buffer the blob's memory. The caller holds the entry's latch, and keeps the buffer there.
    pub(super) fn publish(&self, kind: BlobKind, buffer: &Buffer) {
        let (address, more) = match (kind, buffer.address()) {
            (BlobKind::Value, Address::Value(address)) => (address, 0),
            (BlobKind::Trie, Address::Frame(address)) => (address, 0),
            (BlobKind::Flat, Address::Frame(address)) => (
                address,
                (FlatRef::new(buffer.frame()).hash_bits() as usize) << KIND_BITS,
            ),
            _ => {
                debug_assert!(false, "a buffer of another kind");
                return self.clear();
            }
        };
        let tagged = address.map_addr(|address| address | kind as usize | more & FRAME_MASK);
        self.0.store(tagged, Release);
    }

    pub(super) fn clear(&self) {
        self.0.store(ptr::null_mut(), Release);
    }
}

impl Place {
    #[inline(always)]
    pub(super) fn is(self, kind: BlobKind) -> bool {
        self.0.addr() & KIND_MASK == kind as usize
    }

    /// Of a flat frame: [`FlatRef::hash_bits`], kept here because the word is hot where the frame's header is not.
    #[inline(always)]
    pub(super) fn hash_bits(self) -> u32 {
        ((self.0.addr() & FRAME_MASK) >> KIND_BITS) as u32
    }

    /// The address of a frame's first word.
    #[inline(always)]
    pub(super) fn frame(self) -> *const u8 {
        self.0.map_addr(|address| address & !FRAME_MASK).cast_const()
    }

    /// What [`Address::Value`] gave.
    pub(super) fn value(self) -> *const u8 {
        self.0.map_addr(|address| address & !KIND_MASK).cast_const()
    }
}
