//! Memory for frames: slots of one size, cut from a few large chunks.
//!
//! A lookup touches a handful of lines, each on a page of its own; with pages of 4 KiB each of these costs a miss in the
//! address translation as well. Chunks of 2 MiB and more are therefore aligned to what the kernel calls huge pages, and
//! ask for them. Slots go back to the pool when they are dropped, and to the system when the pool is.
//!
//! The first touch of a page waits until the system has found and cleared it, 2 MiB at a time where pages are huge. So that
//! no writer waits for that when it copies what a checkpoint holds, a thread of the engine's touches slots ahead of need.

use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
};

use coppice_frame::UNIT_BYTES;
use memmap2::{MmapMut, MmapOptions};
use parking_lot::Mutex;

use crate::budget::{Budget, Charge};

/// A huge page of x86-64, and of 64-bit ARM with small pages.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// No page is smaller.
const SMALL_PAGE_BYTES: usize = 4096;
/// Slots of the first chunk: a small database should not cost a huge page.
const FIRST_CHUNK_SLOTS: usize = 8;
/// Chunks double up to this.
const MAX_CHUNK_BYTES: usize = 32 << 20;

struct Free {
    /// Given back, or made ready ahead of need: the last one is taken first.
    slots: Vec<NonNull<AtomicU64>>,
    /// Never touched: whoever touches them first waits for the system to find memory, as long as for a huge page.
    fresh: Vec<NonNull<AtomicU64>>,
    /// Held for as long as the pool: the slots lie in them.
    chunks: Vec<MmapMut>,
    slots_of_next_chunk: usize,
}

/// Slots of one size.
pub(crate) struct Pool {
    slot_bytes: usize,
    budget: Arc<Budget>,
    free: Mutex<Free>,
}

// SAFETY: the pointers are to memory that the chunks own, each in one place at a time: the list behind the lock, or a slot.
#[allow(unsafe_code)]
unsafe impl Send for Pool {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Pool {}

/// One slot's memory, given back when dropped.
pub(crate) struct Slot {
    start: NonNull<AtomicU64>,
    pool: Arc<Pool>,
    charge: Charge,
}

// SAFETY: a slot is the one owner of its memory, and gives it out as atomics only.
#[allow(unsafe_code)]
unsafe impl Send for Slot {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Slot {}

impl Pool {
    /// A pool of slots of `slot_bytes`, a multiple of 128.
    pub(crate) fn new(slot_bytes: usize, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            slot_bytes,
            budget,
            free: Mutex::new(Free {
                slots: Vec::new(),
                fresh: Vec::new(),
                chunks: Vec::new(),
                slots_of_next_chunk: FIRST_CHUNK_SLOTS,
            }),
        })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A slot, with whatever its last user left in it.
    ///
    /// # Panics
    /// As any allocation does, where the system has no memory left.
    pub(crate) fn take(self: &Arc<Self>) -> Slot {
        self.slot(self.budget.charge(self.slot_bytes))
    }

    /// The same, if all memory together stays within `limit`.
    pub(crate) fn take_within(self: &Arc<Self>, limit: usize) -> Option<Slot> {
        let charge = self.budget.charge_within(self.slot_bytes, limit)?;
        Some(self.slot(charge))
    }

    fn slot(self: &Arc<Self>, charge: Charge) -> Slot {
        let mut free = self.free.lock();
        let start = match free.slots.pop().or_else(|| free.fresh.pop()) {
            Some(start) => start,
            None => self.grow(&mut free),
        };
        Slot {
            start,
            pool: self.clone(),
            charge,
        }
    }

    /// Has the system find memory for the slots of a huge page, unless what can be taken without waiting for that is as many
    /// bytes already; whether it was less. For a thread that has time.
    pub(crate) fn make_ready(&self, bytes: usize) -> bool {
        let mut batch = Vec::new();
        {
            let mut free = self.free.lock();
            if free.slots.len() * self.slot_bytes >= bytes {
                return false;
            }
            if free.fresh.is_empty() {
                let first = self.grow(&mut free);
                free.fresh.push(first);
            }
            let count = (HUGE_PAGE_BYTES / self.slot_bytes).max(1);
            let kept = free.fresh.len().saturating_sub(count);
            batch.extend(free.fresh.drain(kept..));
        }
        for start in &batch {
            // SAFETY: the slot is nobody's while it is in no list. It is a chunk's, which lives as long as the pool.
            #[allow(unsafe_code)]
            let words = unsafe { self.words_at(*start) };
            for word in words.iter().step_by(SMALL_PAGE_BYTES / UNIT_BYTES) {
                word.store(0, Relaxed);
            }
        }
        self.free.lock().slots.extend(batch);
        true
    }

    /// The words of a slot.
    ///
    /// # Safety
    /// `start` is that of a slot of this pool.
    #[allow(unsafe_code)]
    unsafe fn words_at(&self, start: NonNull<AtomicU64>) -> &[AtomicU64] {
        // SAFETY: as the caller says. The memory is mapped, zeroed by the system at first, aligned to 64 bytes, as long as the
        // pool says, and lives as long as the pool.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.slot_bytes / UNIT_BYTES) }
    }

    /// Adds a chunk, and takes its first slot.
    #[cold]
    fn grow(&self, free: &mut Free) -> NonNull<AtomicU64> {
        let slots = free.slots_of_next_chunk;
        let bytes = slots * self.slot_bytes;
        if 2 * bytes <= MAX_CHUNK_BYTES {
            free.slots_of_next_chunk = 2 * slots;
        }
        let is_huge = bytes >= HUGE_PAGE_BYTES;
        let layout = std::alloc::Layout::new::<[u8; 64]>();
        let mapped = MmapOptions::new()
            .len(bytes + if is_huge { HUGE_PAGE_BYTES } else { 0 })
            .map_anon();
        let Ok(mut chunk) = mapped else {
            std::alloc::handle_alloc_error(layout);
        };
        let skip = if is_huge {
            chunk.as_ptr().align_offset(HUGE_PAGE_BYTES).min(HUGE_PAGE_BYTES)
        } else {
            0
        };
        #[cfg(target_os = "linux")]
        if is_huge {
            // Refused where the kernel has none: then small ones do.
            let _ = chunk.advise_range(memmap2::Advice::HugePage, skip, bytes);
        }
        let all = chunk.get_mut(skip..skip + bytes).unwrap_or_default();
        let starts = all.chunks_exact_mut(self.slot_bytes).rev();
        free.fresh
            .extend(starts.map(|slot| NonNull::from(slot).cast::<AtomicU64>()));
        free.chunks.push(chunk);
        match free.fresh.pop() {
            Some(start) => start,
            None => std::alloc::handle_alloc_error(layout),
        }
    }
}

impl Slot {
    /// Where the slot starts: a multiple of 128.
    pub(crate) fn start(&self) -> *const AtomicU64 {
        self.start.as_ptr()
    }

    /// The slot's memory.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the slot is one of the pool that it holds.
        #[allow(unsafe_code)]
        unsafe {
            self.pool.words_at(self.start)
        }
    }

    /// Another slot of the same pool, with the same in it. Nobody writes to this one meanwhile: who copies is its writer, or
    /// one of several who hold it.
    pub(crate) fn copy(&self) -> Slot {
        let copy = self.pool.slot(self.charge.another());
        // SAFETY: both are slots of the pool's size, and not the same one. The copy is nobody else's yet; of this one all
        // accesses while it is copied are reads.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr(), copy.start.as_ptr(), self.words().len());
        }
        copy
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.free.lock().slots.push(self.start);
    }
}

/// A word that holds the same.
pub(crate) fn copy_of(word: &AtomicU64) -> AtomicU64 {
    AtomicU64::new(word.load(Acquire))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SLOT_BYTES: usize = 4096;

    #[test]
    fn what_is_made_ready_is_taken_first_and_each_slot_once() {
        let pool = Pool::new(SLOT_BYTES, Budget::unbounded());
        let taken = pool.take();
        assert!(pool.make_ready(3 * SLOT_BYTES), "nothing was ready");
        assert!(!pool.make_ready(3 * SLOT_BYTES), "now it is");
        let ready = pool.free.lock().slots.clone();
        let mut starts = BTreeSet::from([taken.start()]);
        let slots: Vec<Slot> = (0..40).map(|_| pool.take()).collect();
        for (index, slot) in slots.iter().enumerate() {
            assert!(starts.insert(slot.start()), "slot {index} was taken twice");
            assert_eq!(index < ready.len(), ready.contains(&slot.start), "slot {index}");
        }
    }

    #[test]
    fn making_ready_goes_on_until_there_is_as_much_as_asked_for() {
        let pool = Pool::new(SLOT_BYTES, Budget::unbounded());
        let wanted = 3 * HUGE_PAGE_BYTES;
        let steps = (0..1000).take_while(|_| pool.make_ready(wanted)).count();
        assert!((3..1000).contains(&steps), "{steps} steps");
        assert!(pool.free.lock().slots.len() * SLOT_BYTES >= wanted);
        // What comes back counts.
        let slots: Vec<Slot> = (0..3).map(|_| pool.take()).collect();
        assert!(pool.make_ready(usize::MAX));
        drop(slots);
        assert!(!pool.make_ready(wanted));
    }
}
