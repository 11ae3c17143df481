//! How a blob comes into memory: its source is asked, under the blob's latch, and what it gives is checked.

use std::sync::atomic::Ordering::Relaxed;

use super::{Claim, Pinned, vanished};
use crate::{
    buffer::Buffer,
    error::Error,
    resident::note_lacked,
    table::{BlobKind, Entry, Source, Word, check_frame, word::Place},
};

impl Pinned<'_> {
    /// Reads a blob in, unless it is there. One thread reads; others wait for it.
    #[cold]
    pub(super) fn load(&self, blob: u32, kind: BlobKind) -> Result<Place, Error> {
        let table = self.table;
        if table.stops_at_disk() && !table.is_resident(blob) && !table.is_past_bound(blob) {
            note_lacked(blob);
            return Err(Error::not_in_memory());
        }
        let mut latch = table
            .latch(blob)
            .ok_or_else(|| table.corrupt(blob, "is referred to but does not exist"))?;
        let entry = match latch.as_mut() {
            Some(entry) if entry.kind == kind => entry,
            Some(_) => return Err(table.corrupt(blob, "is not of the kind that leads to it")),
            None => return Err(table.corrupt(blob, "is referred to but does not exist")),
        };
        if table.is_past(entry) && self.claim != Claim::Certain {
            return self.read_past(blob, entry);
        }
        self.fill(blob, entry, false).map(|(place, _)| place)
    }

    /// Reads in a value that was written under a larger bound on memory: for this operation alone, past the bound. One at a time,
    /// since room for the next is waited for.
    fn read_past(&self, blob: u32, entry: &Entry) -> Result<Place, Error> {
        let table = self.table;
        let source = self.source(blob)?;
        if table.budget().used() > table.budget().limits().reads {
            return Err(table.crowded());
        }
        let buffer = Buffer::zeroed_within(&table.pool, entry.bytes as usize, usize::MAX);
        let buffer = self.read_into(buffer.ok_or_else(|| table.crowded())?, source, blob, entry)?;
        table.misses.fetch_add(1, Relaxed);
        let word = Word::default();
        word.publish(entry.kind, &buffer, true);
        // As what was evicted: nothing else need make way for it.
        let held = table.budget().hold_evicted(entry.bytes as usize);
        self.guard.defer(move || drop((buffer, held)));
        self.guard.flush();
        Ok(word.load())
    }

    /// The memory of a blob whose entry is latched, read in unless it is there; and whether it was. `used`: eviction is to
    /// pass it over once.
    pub(in crate::table) fn fill(&self, blob: u32, entry: &mut Entry, used: bool) -> Result<(Place, bool), Error> {
        let table = self.table;
        let word = table.words.get(blob as usize).ok_or_else(|| vanished(blob))?;
        if entry.memory.is_some() {
            return Ok((word.load(), false));
        }
        let source = self.source(blob)?;
        let (buffer, is_read) = match source.share(blob) {
            Some(buffer) => (buffer, false),
            None => {
                let buffer = self.read_in(source, blob, entry)?;
                table.misses.fetch_add(1, Relaxed);
                table.absent.fetch_sub(1, Relaxed);
                (buffer, true)
            }
        };
        self.publish(blob, entry.kind, &buffer, used);
        entry.memory = Some(buffer);
        entry.valid = true;
        Ok((word.load(), is_read))
    }

    fn source(&self, blob: u32) -> Result<&dyn Source, Error> {
        let source = self.table.source.as_deref();
        source.ok_or_else(|| self.corrupt(blob, "is in no store"))
    }

    /// A blob's bytes from their source, checked.
    fn read_in(&self, source: &dyn Source, blob: u32, entry: &Entry) -> Result<Buffer, Error> {
        let buffer = self.room_for(entry.kind, entry.bytes as usize)?;
        self.read_into(buffer, source, blob, entry)
    }

    /// The same, where there is room already.
    fn read_into(&self, mut buffer: Buffer, source: &dyn Source, blob: u32, entry: &Entry) -> Result<Buffer, Error> {
        let len = entry.bytes as usize;
        let room = buffer.bytes_mut().get_mut(..len);
        source.read(
            blob,
            room.ok_or_else(|| self.corrupt(blob, "has an impossible length"))?,
        )?;
        if !entry.valid {
            check_frame(entry.kind, buffer.frame()).map_err(|fault| self.corrupt(blob, &fault.to_string()))?;
        }
        Ok(buffer)
    }

    /// A buffer for a blob that is read in.
    fn room_for(&self, kind: BlobKind, len: usize) -> Result<Buffer, Error> {
        let (table, limits) = (self.table, self.table.budget().limits());
        if self.claim == Claim::Shared {
            table.evict_for(len, &self.guard);
        }
        let limit = match self.claim {
            Claim::Shared => limits.reads,
            Claim::Alone => limits.total,
            Claim::Certain => usize::MAX,
        };
        let buffer = match kind {
            BlobKind::Value => Buffer::zeroed_within(&table.pool, len, limit),
            BlobKind::Trie | BlobKind::Flat => Buffer::for_frame_within(&table.pool, limit),
        };
        buffer.ok_or_else(|| table.crowded())
    }
}
