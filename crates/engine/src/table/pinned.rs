//! The blob table as one operation sees it: what it finds in memory stays there until the operation ends.
//! How a blob comes there is in `load.rs`.

mod load;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use coppice_defect::{Defect, planted};
use coppice_frame::{FlatLookup, FlatOrder, FlatRef, Frame, FrameMut, Skips, TrieRef, UNIT_BYTES};
use coppice_sync::{
    Step,
    epoch::{self, Guard},
    is_left_out, witness,
};
use parking_lot::Mutex;

use super::{
    BlobKind, Entry, Table,
    evict::{Patience, SHORT_PATIENCE},
    word::Place,
};
use crate::{
    buffer::Buffer,
    error::{Error, ErrorCode},
};

/// A table, pinned: memory that any blob had since this was made is not reused before it is dropped (epoch-based
/// reclamation, Fraser, "Practical lock-freedom", 2004).
///
/// What takes `&mut self` changes frames; only who keeps all other writers out may call it.
pub(crate) struct Pinned<'t> {
    table: &'t Table,
    guard: Guard,
    /// How many moves are going on, one inside the other; the outermost made the count of moves odd.
    moving: u32,
    claim: Claim,
}

/// Memory is given back when all threads have passed two epochs, each of which takes a round.
const EVICTION_ROUNDS: usize = 4;

/// What an operation may count on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Others change and evict frames.
    Shared,
    /// Nobody else does.
    Alone,
    /// The same, and it must succeed.
    Certain,
}

impl std::ops::Deref for Pinned<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.table
    }
}

pub(super) fn vanished(blob: u32) -> Error {
    Error::new(ErrorCode::Internal, format!("blob {blob} vanished"))
}

impl<'t> Pinned<'t> {
    #[inline]
    pub(crate) fn new(table: &'t Table) -> Self {
        Self {
            table,
            guard: epoch::pin(),
            moving: 0,
            claim: Claim::Shared,
        }
    }

    /// From now on nobody else changes frames, nor needs them to stay where they are: what this operation reads in stays in
    /// memory until [`Pinned::relieve`], and it may use what is kept for changes.
    pub(crate) fn have_alone(&mut self) {
        self.claim = Claim::Alone;
    }

    /// The same, for who must succeed: what was once made and is made again, and what would be left half done. Nothing is
    /// refused for want of memory. What it claimed before.
    pub(crate) fn must_succeed(&mut self) -> Claim {
        std::mem::replace(&mut self.claim, Claim::Certain)
    }

    /// Goes on as before [`Pinned::must_succeed`].
    pub(crate) fn claim(&mut self, claim: Claim) {
        self.claim = claim;
    }

    /// The longest value that this operation may put, bytes, as far as memory has a say.
    pub(crate) fn longest_value(&self) -> usize {
        match self.claim {
            Claim::Shared | Claim::Alone => self.table.budget().limits().value,
            Claim::Certain => usize::MAX,
        }
    }

    /// Lets go of what was found so far.
    pub(crate) fn repin(&mut self) {
        self.guard.repin();
    }

    /// Between steps of a long operation: sees to room in memory, for which it lets go of what was found so far. Who keeps
    /// frames where they are finds the same again.
    ///
    /// # Errors
    /// There is no room, and there will be none for as long as this operation waits.
    pub(crate) fn relieve(&mut self) -> Result<(), Error> {
        if self.table.stops_at_disk() {
            return Ok(());
        }
        let mut patience = Patience::new(SHORT_PATIENCE);
        while self.is_crowded(0) {
            self.evict(0);
            if self.is_crowded(0) && !patience.wait() {
                return match self.claim {
                    Claim::Certain => Ok(()),
                    Claim::Shared | Claim::Alone => Err(self.table.crowded()),
                };
            }
        }
        Ok(())
    }

    /// The same, and tries to have room for so much more, which is to be read in and to stay.
    pub(crate) fn relieve_for(&mut self, more: usize) -> Result<(), Error> {
        for _ in 0..EVICTION_ROUNDS {
            if self.is_crowded(more) {
                self.evict(more);
            }
        }
        self.relieve()
    }

    fn is_crowded(&self, more: usize) -> bool {
        let limits = self.table.budget().limits();
        let enough = match self.claim {
            Claim::Shared => limits.evict_above,
            Claim::Alone | Claim::Certain => limits.total.saturating_sub(limits.reserve),
        };
        self.table.budget().used().saturating_add(more) > enough
    }

    pub(super) fn evict(&mut self, more: usize) {
        self.guard.repin();
        match self.claim {
            Claim::Shared => self.table.evict_for(more, &self.guard),
            Claim::Alone | Claim::Certain => {
                let most = self.table.budget().limits().evict_above;
                self.table.evict_alone(most.saturating_sub(more), &self.guard);
            }
        }
        self.guard.flush();
    }

    /// Before frames are changed together. Until [`Pinned::end_move`], what readers find does not count.
    pub(crate) fn begin_move(&mut self) {
        if self.moving == 0 {
            self.table.moves.begin();
        }
        self.moving += 1;
    }

    pub(crate) fn end_move(&mut self) {
        self.moving = self.moving.saturating_sub(1);
        if self.moving == 0 {
            self.table.moves.end();
        }
    }

    /// What a reader notes before it walks; None while frames are changed together.
    #[inline]
    pub(crate) fn moves(&self) -> Option<u64> {
        self.table.moves.note()
    }

    /// Whether no frames were changed together since [`Pinned::moves`] said this: what was found is so.
    #[inline]
    pub(crate) fn is_still(&self, moves: u64) -> bool {
        self.table.moves.is_still(moves)
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn frame_at(&self, start: *const u8) -> Frame<'_> {
        witness::found(start);
        // SAFETY: a word leads to the start of a pool's slot, which is as long as all frames of the table are. It was in
        // the table after `guard` was pinned, so its memory is not given back while `self` lives (`retire`). Whatever
        // writes to it does so as the one `FrameMut` that the latch, or the lock that keeps writers out, allows.
        unsafe {
            Frame::new(std::slice::from_raw_parts(
                start.cast::<AtomicU64>(),
                self.table.frame_bytes / UNIT_BYTES,
            ))
        }
    }

    /// A frame of this kind, read from the store if need be.
    #[inline(always)]
    fn frame(&self, blob: u32, kind: BlobKind) -> Result<Frame<'_>, Error> {
        let place = self.place(blob, kind)?;
        Ok(self.frame_at(place.frame()))
    }

    /// Where a blob's memory is.
    #[inline(always)]
    pub(super) fn place(&self, blob: u32, kind: BlobKind) -> Result<Place, Error> {
        if let Some(word) = self.table.words.get(blob as usize) {
            let place = word.load();
            if place.is_in_use(kind) {
                return Ok(place);
            }
        }
        self.find_or_load(blob, kind)
    }

    /// A blob that is not noted as used, or not in memory.
    #[cold]
    fn find_or_load(&self, blob: u32, kind: BlobKind) -> Result<Place, Error> {
        if let Some(word) = self.table.words.get(blob as usize) {
            let place = word.load();
            if place.is(kind) {
                word.note_use(place);
                self.table.hits.fetch_add(1, Relaxed);
                return Ok(place);
            }
        }
        self.load(blob, kind)
    }

    #[inline]
    pub(crate) fn trie(&self, blob: u32) -> Result<TrieRef<'_>, Error> {
        Ok(TrieRef::new(self.frame(blob, BlobKind::Trie)?))
    }

    pub(crate) fn flat(&self, blob: u32) -> Result<FlatRef<'_>, Error> {
        Ok(FlatRef::new(self.frame(blob, BlobKind::Flat)?))
    }

    /// The order of a flat frame's records, of which it keeps what took searches.
    pub(crate) fn flat_order(&self, blob: u32, flat: FlatRef<'_>) -> FlatOrder {
        let kept = self.table.slots.get(blob as usize).map(|slot| &slot.tail_order);
        let mut known = None;
        let order = FlatOrder::of(flat, || {
            // Nobody waits for what can be found again.
            known = kept?.try_lock()?.clone();
            known.clone()
        });
        if let Some(tail) = order.tail()
            && known.is_none_or(|known| !Arc::ptr_eq(&known, tail))
            && let Some(mut kept) = kept.and_then(Mutex::try_lock)
        {
            *kept = Some(Arc::clone(tail));
        }
        order
    }

    /// Has a walk look at, or add to, what is known of a flat frame from walks that passed over groups in it.
    pub(crate) fn with_skips(&self, blob: u32, walk: impl FnOnce(&mut Skips)) {
        // Nobody waits for what can be done without.
        let skips = self.table.slots.get(blob as usize).map(|slot| &slot.skips);
        if let Some(mut skips) = skips.and_then(Mutex::try_lock) {
            walk(&mut skips);
        }
    }

    /// A lookup of a key in a flat frame.
    #[inline]
    pub(crate) fn flat_lookup<'p, 'k>(&'p self, blob: u32, key: &'k [u8]) -> Result<FlatLookup<'p, 'k>, Error> {
        let place = self.place(blob, BlobKind::Flat)?;
        let flat = FlatRef::new(self.frame_at(place.frame()));
        Ok(FlatLookup::new(flat, key, place.hash_bits()))
    }

    /// A value's bytes.
    #[allow(unsafe_code)]
    pub(crate) fn value(&self, blob: u32) -> Result<&[u8], Error> {
        let place = self.place(blob, BlobKind::Value)?;
        witness::found(place.value());
        // SAFETY: a word of this kind was made from `Address::Value`, of a buffer that was in the table after `guard` was
        // pinned, or was given up under it (`read_past` in `load.rs`), and so lives as long as `self`.
        Ok(unsafe { Buffer::value_at(place.value()) })
    }

    /// Makes the buffer the memory of a blob whose entry is latched.
    fn publish(&self, blob: u32, kind: BlobKind, buffer: &Buffer, used: bool) {
        if let Some(slot) = self.table.slots.get(blob as usize) {
            // Before: the blob may have had this memory once already.
            slot.forget_walks();
        }
        if let Some(word) = self.table.words.get(blob as usize) {
            word.publish(kind, buffer, used);
        }
    }

    /// Gives memory back once every reader that may have found it is gone.
    fn retire(&self, buffer: Buffer) {
        if is_left_out(Step::AwaitReaders) {
            return drop(buffer);
        }
        self.guard.defer(move || drop(buffer));
        // A frame is much to keep for the sake of a batch.
        self.guard.flush();
    }

    /// The latched entry's frame, to be written by who holds the latch: copied first where a cut holds it too.
    pub(super) fn writable(&self, blob: u32, entry: &mut Entry) -> Result<(), Error> {
        if !planted(Defect::ForgetsChangedFrames) {
            self.table.note_change(blob, entry);
        }
        let buffer = entry.memory.as_mut().ok_or_else(|| vanished(blob))?;
        if buffer.is_shared() && !planted(Defect::WritesIntoHeldFrames) && !is_left_out(Step::CopyHeld) {
            let old = std::mem::replace(buffer, buffer.copy());
            self.publish(blob, entry.kind, buffer, true);
            self.retire(old);
        }
        Ok(())
    }

    /// A frame, to be changed.
    #[allow(unsafe_code)]
    pub(crate) fn frame_mut(&mut self, blob: u32, kind: BlobKind) -> Result<FrameMut<'_>, Error> {
        let start = loop {
            self.place(blob, kind)?;
            let mut latch = self.table.latch(blob).ok_or_else(|| vanished(blob))?;
            let entry = latch.as_mut().ok_or_else(|| vanished(blob))?;
            if entry.memory.is_some() {
                self.writable(blob, entry)?;
                let start = entry.memory.as_ref().and_then(Buffer::frame_start);
                break start.ok_or_else(|| vanished(blob))?;
            }
        };
        // SAFETY: as in `frame_at`; and the caller, who has this table alone, keeps all other writers out.
        Ok(unsafe { FrameMut::new(std::slice::from_raw_parts(start, self.table.frame_bytes / UNIT_BYTES)) })
    }

    /// A hold on a frame's bytes as they are now.
    pub(crate) fn buffer(&self, blob: u32, kind: BlobKind) -> Result<Buffer, Error> {
        loop {
            self.place(blob, kind)?;
            let held = self.table.ask(blob, |entry| entry.memory.clone());
            match held.ok_or_else(|| vanished(blob))? {
                Some(buffer) => return Ok(buffer),
                // Evicted in between.
                None => continue,
            }
        }
    }

    /// Puts a rebuilt frame in place of the old one. What was counted below that may hang below another frame now.
    pub(crate) fn replace(&mut self, blob: u32, buffer: Buffer) {
        let Some(mut latch) = self.table.latch(blob) else {
            return;
        };
        let Some(entry) = latch.as_mut() else { return };
        self.put_in(blob, entry, buffer);
        self.table.mark_count_stale(blob);
    }

    /// Puts a buffer in place of what memory the latched entry of a blob has.
    pub(super) fn put_in(&self, blob: u32, entry: &mut Entry, buffer: Buffer) {
        self.publish(blob, entry.kind, &buffer, true);
        entry.valid = true;
        match entry.memory.replace(buffer) {
            Some(old) => self.retire(old),
            None => {
                self.table.absent.fetch_sub(1, Relaxed);
                if planted(Defect::ForgetsNewFrames) {
                    return;
                }
            }
        }
        self.table.note_change(blob, entry);
    }

    /// Gives a new blob its number.
    pub(crate) fn add(&mut self, kind: BlobKind, bytes: usize, buffer: Buffer) -> Result<u32, Error> {
        let blob = {
            let mut numbers = self.table.numbers.lock();
            match numbers.free.pop() {
                Some(blob) => blob,
                None => numbers.end,
            }
        };
        self.table.enter(blob, (kind, bytes as u32, (0, 0)), 0)?;
        self.replace(blob, buffer);
        Ok(blob)
    }

    /// Lets go of one reference to a blob, which is freed where it was the only one. What it leads to itself is the caller's
    /// to see to.
    pub(crate) fn release(&self, blob: u32) {
        if !self.table.stop_referring(blob) {
            self.remove(blob);
        }
    }

    /// Frees a blob's number.
    pub(crate) fn remove(&self, blob: u32) {
        let Some(mut latch) = self.table.latch(blob) else {
            return;
        };
        let Some(entry) = latch.take() else { return };
        self.table.set_further_references(blob, 0);
        if let Some(word) = self.table.words.get(blob as usize) {
            word.clear();
        }
        if entry.changed {
            self.table.budget().note_unchanged(entry.bytes);
        }
        match entry.memory {
            Some(old) => self.retire(old),
            None => {
                self.table.absent.fetch_sub(1, Relaxed);
            }
        }
        drop(latch);
        let mut numbers = self.table.numbers.lock();
        numbers.free.push(blob);
        if !planted(Defect::ForgetsFreedBlobs) {
            numbers.freed.push(blob);
        }
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if self.moving > 0 {
            // A panic came in between: readers must not wait for ever.
            self.moving = 1;
            self.end_move();
        }
    }
}
