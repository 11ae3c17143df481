//! The blob table as one operation sees it: what it finds in memory stays there until the operation ends.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
    fence,
};

use coppice_defect::{Defect, planted};
use coppice_frame::{FlatLookup, FlatMut, FlatRef, Frame, FrameMut, TrieRef, UNIT_BYTES};
use crossbeam_epoch::Guard;
use parking_lot::MutexGuard;

use super::{BlobKind, Entry, Table};
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
}

impl std::ops::Deref for Pinned<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.table
    }
}

fn vanished(blob: u32) -> Error {
    Error::new(ErrorCode::Internal, format!("blob {blob} vanished"))
}

impl<'t> Pinned<'t> {
    #[inline]
    pub(crate) fn new(table: &'t Table) -> Self {
        Self {
            table,
            guard: crossbeam_epoch::pin(),
            moving: 0,
        }
    }

    /// Lets go of what was found so far.
    pub(crate) fn repin(&mut self) {
        self.guard.repin();
    }

    /// Before frames are changed together. Until [`Pinned::end_move`], what readers find does not count.
    pub(crate) fn begin_move(&mut self) {
        if self.moving == 0 {
            self.table.moves.fetch_add(1, AcqRel);
        }
        self.moving += 1;
    }

    pub(crate) fn end_move(&mut self) {
        self.moving = self.moving.saturating_sub(1);
        if self.moving == 0 {
            self.table.moves.fetch_add(1, AcqRel);
        }
    }

    /// What a reader notes before it walks; None while frames are changed together.
    #[inline]
    pub(crate) fn moves(&self) -> Option<u64> {
        Some(self.table.moves.load(Acquire)).filter(|moves| moves.is_multiple_of(2))
    }

    /// Whether no frames were changed together since [`Pinned::moves`] said this: what was found is so.
    #[inline]
    pub(crate) fn is_still(&self, moves: u64) -> bool {
        fence(Acquire);
        self.table.moves.load(Relaxed) == moves
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn frame_at(&self, start: *const u8) -> Frame<'_> {
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
        if let Some(word) = self.table.words.get(blob as usize) {
            let place = word.load();
            if place.is(kind) {
                return Ok(self.frame_at(place.frame()));
            }
        }
        self.load(blob, kind)?;
        let word = self.table.words.get(blob as usize).map(|word| word.load());
        word.filter(|place| place.is(kind))
            .map(|place| self.frame_at(place.frame()))
            .ok_or_else(|| vanished(blob))
    }

    #[inline]
    pub(crate) fn trie(&self, blob: u32) -> Result<TrieRef<'_>, Error> {
        Ok(TrieRef::new(self.frame(blob, BlobKind::Trie)?))
    }

    pub(crate) fn flat(&self, blob: u32) -> Result<FlatRef<'_>, Error> {
        Ok(FlatRef::new(self.frame(blob, BlobKind::Flat)?))
    }

    /// A lookup of a key in a flat frame.
    #[inline]
    pub(crate) fn flat_lookup<'p, 'k>(&'p self, blob: u32, key: &'k [u8]) -> Result<FlatLookup<'p, 'k>, Error> {
        let place = self.table.words.get(blob as usize).map(|word| word.load());
        match place {
            Some(place) if place.is(BlobKind::Flat) => {
                let flat = FlatRef::new(self.frame_at(place.frame()));
                Ok(FlatLookup::new(flat, key, place.hash_bits()))
            }
            _ => {
                let flat = self.flat(blob)?;
                Ok(FlatLookup::new(flat, key, flat.hash_bits()))
            }
        }
    }

    /// A value's bytes.
    #[allow(unsafe_code)]
    pub(crate) fn value(&self, blob: u32) -> Result<&[u8], Error> {
        let place = || self.table.words.get(blob as usize).map(|word| word.load());
        let mut found = place();
        if found.is_none_or(|place| !place.is(BlobKind::Value)) {
            self.load(blob, BlobKind::Value)?;
            found = place();
        }
        let place = found
            .filter(|place| place.is(BlobKind::Value))
            .ok_or_else(|| vanished(blob))?;
        // SAFETY: a word of this kind was made from `Address::Value`, of a buffer that was in the table after `guard` was
        // pinned, and so lives as long as `self`.
        Ok(unsafe { Buffer::value_at(place.value()) })
    }

    /// Reads a blob in, unless it is there. One thread reads; others wait for it.
    #[cold]
    fn load(&self, blob: u32, kind: BlobKind) -> Result<(), Error> {
        let table = self.table;
        let mut latch = table
            .latch(blob)
            .ok_or_else(|| table.corrupt(blob, "is referred to but does not exist"))?;
        let entry = match latch.as_mut() {
            Some(entry) if entry.kind == kind => entry,
            Some(_) => return Err(table.corrupt(blob, "is not of the kind that leads to it")),
            None => return Err(table.corrupt(blob, "is referred to but does not exist")),
        };
        if entry.memory.is_some() {
            return Ok(());
        }
        let source = table
            .source
            .as_ref()
            .ok_or_else(|| table.corrupt(blob, "is in no store"))?;
        let shared = source.share(blob);
        let was_read = shared.is_none();
        let buffer = match shared {
            Some(buffer) => buffer,
            None => table.read_in(source.as_ref(), blob, kind, entry.bytes as usize)?,
        };
        if let Some(word) = table.words.get(blob as usize) {
            word.publish(kind, &buffer);
        }
        entry.memory = Some(buffer);
        if was_read {
            table.misses.fetch_add(1, Relaxed);
            table.absent.fetch_sub(1, Relaxed);
        }
        Ok(())
    }

    /// Gives memory back once every reader that may have found it is gone.
    fn retire(&self, buffer: Buffer) {
        self.guard.defer(move || drop(buffer));
        // A frame is much to keep for the sake of a batch.
        self.guard.flush();
    }

    /// The latched entry's frame, to be written by who holds the latch: copied first where a cut holds it too.
    fn writable(&self, blob: u32, entry: &mut Entry) -> Result<(), Error> {
        if !planted(Defect::ForgetsChangedFrames) {
            self.table.note_change(blob, entry);
        }
        let buffer = entry.memory.as_mut().ok_or_else(|| vanished(blob))?;
        if buffer.is_shared() && !planted(Defect::WritesIntoHeldFrames) {
            let old = std::mem::replace(buffer, buffer.copy());
            if let Some(word) = self.table.words.get(blob as usize) {
                word.publish(entry.kind, buffer);
            }
            self.retire(old);
        }
        Ok(())
    }

    /// A frame, to be changed.
    #[allow(unsafe_code)]
    pub(crate) fn frame_mut(&mut self, blob: u32, kind: BlobKind) -> Result<FrameMut<'_>, Error> {
        self.frame(blob, kind)?;
        let mut latch = self.table.latch(blob).ok_or_else(|| vanished(blob))?;
        let entry = latch.as_mut().ok_or_else(|| vanished(blob))?;
        self.writable(blob, entry)?;
        let buffer = entry.memory.as_ref().ok_or_else(|| vanished(blob))?;
        let Some(start) = buffer.frame_start() else {
            return Err(vanished(blob));
        };
        // SAFETY: as in `frame_at`; and the caller, who has this table alone, keeps all other writers out.
        Ok(unsafe { FrameMut::new(std::slice::from_raw_parts(start, self.table.frame_bytes / UNIT_BYTES)) })
    }

    /// A flat frame, to be changed in place by one of several writers.
    pub(crate) fn latch_flat(&self, blob: u32) -> Result<Latched<'_>, Error> {
        loop {
            self.frame(blob, BlobKind::Flat)?;
            let latch = self.table.latch(blob).ok_or_else(|| vanished(blob))?;
            match latch.as_ref() {
                Some(entry) if entry.kind != BlobKind::Flat => return Err(vanished(blob)),
                Some(entry) if entry.memory.is_some() => {
                    return Ok(Latched {
                        pinned: self,
                        blob,
                        latch,
                    });
                }
                Some(_) => {}
                None => return Err(vanished(blob)),
            }
        }
    }

    /// A hold on a frame's bytes as they are now.
    pub(crate) fn buffer(&self, blob: u32, kind: BlobKind) -> Result<Buffer, Error> {
        self.frame(blob, kind)?;
        self.table
            .ask(blob, |entry| entry.memory.clone())
            .flatten()
            .ok_or_else(|| vanished(blob))
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

    /// Makes the buffer the memory of a blob whose entry is latched.
    fn put_in(&self, blob: u32, entry: &mut Entry, buffer: Buffer) {
        if let Some(word) = self.table.words.get(blob as usize) {
            word.publish(entry.kind, &buffer);
        }
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
        self.table.enter(blob, kind, bytes as u32, (0, 0))?;
        self.replace(blob, buffer);
        Ok(blob)
    }

    /// Frees a blob's number.
    pub(crate) fn remove(&self, blob: u32) {
        let Some(mut latch) = self.table.latch(blob) else {
            return;
        };
        let Some(entry) = latch.take() else { return };
        if let Some(word) = self.table.words.get(blob as usize) {
            word.clear();
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

/// A flat frame that one writer has to itself; readers go on.
pub(crate) struct Latched<'p> {
    pinned: &'p Pinned<'p>,
    blob: u32,
    latch: MutexGuard<'p, Option<Entry>>,
}

impl Latched<'_> {
    /// The frame.
    pub(crate) fn flat(&self) -> FlatRef<'_> {
        let buffer = self.latch.as_ref().and_then(|entry| entry.memory.as_ref());
        FlatRef::new(buffer.map_or(Frame::EMPTY, Buffer::frame))
    }

    /// Puts a rebuilt frame in place of this one.
    pub(crate) fn replace(&mut self, buffer: Buffer) -> Result<(), Error> {
        let entry = self.latch.as_mut().ok_or_else(|| vanished(self.blob))?;
        self.pinned.put_in(self.blob, entry, buffer);
        Ok(())
    }

    /// After a record came or went.
    pub(crate) fn mark_count_stale(&self) {
        self.pinned.mark_count_stale(self.blob);
    }

    /// The frame, to be changed.
    pub(crate) fn flat_mut(&mut self) -> Result<FlatMut<'_>, Error> {
        let entry = self.latch.as_mut().ok_or_else(|| vanished(self.blob))?;
        self.pinned.writable(self.blob, entry)?;
        let buffer = entry.memory.as_mut().ok_or_else(|| vanished(self.blob))?;
        Ok(FlatMut::new(buffer.frame_mut()))
    }
}
