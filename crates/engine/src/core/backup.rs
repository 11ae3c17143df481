//! A copy of the state as of one moment, as a database of its own.
//!
//! What is copied is what a snapshot shows. Its frames are walked from the topmost down, a few at a time: what the snapshot
//! holds, what the live table has unchanged, or else what the image has, read past the blob table, checked against its
//! digest and validated. So what nothing leads to is not copied, and no damage is. A blob keeps its number and its bytes; its
//! place and its digest are new, and the references that lead to it are counted. Memory: a few megabytes, beside what the
//! snapshot holds, and four bytes for each blob.
//!
//! The journal comes first and the superblock last, so that a copy that was cut short is no database.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use coppice_defect::{Defect, planted};
use coppice_disk::Disk;
use coppice_frame::{FlatRef, Met, TrieRef, Value};
use coppice_journal::Journal;
use coppice_store::{BlobWrite, Builder, MAX_FURTHER_REFERENCES};

use super::{Engine, NewDatabase, Shown, View, journal_error, store_error};
use crate::{
    buffer::Buffer,
    error::{Error, ErrorCode},
    forest::ROOT,
    table::{BlobKind, Source, check_frame, words_of},
    verify::OnProgress,
};

/// So much is read and written at once; a larger value by itself.
const BATCH_BYTES: usize = 4 << 20;

/// A blob that something leads to.
#[derive(Clone, Copy)]
struct Next {
    blob: u32,
    kind: BlobKind,
}

struct Copying<'v> {
    /// Where the copy goes.
    disk: &'v Arc<dyn Disk>,
    view: &'v View,
    builder: Builder,
    pending: Vec<Next>,
    /// How many references were found to lead to each blob.
    reached: Vec<u32>,
    done: u64,
}

impl Engine {
    /// Copies the state as of now into an empty folder, where it is a database with an identity of its own. What is there
    /// after a failure is no database, and for the caller to remove.
    pub(crate) fn backup_to(
        &self,
        disk: &Arc<dyn Disk>,
        new: NewDatabase,
        on_progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        self.check_sound()?;
        let view = self.snapshot()?;
        let (version, total, numbers, next_tree) = {
            let shown = view.shown()?;
            (view.version(), shown.blobs, shown.table.len(), shown.next_tree)
        };
        let begins_behind = version + u64::from(planted(Defect::BacksUpOneTooHigh));
        let journal = Journal::create_behind(Arc::clone(disk), new.journal_options, new.database_id, begins_behind)
            .map_err(|error| there(disk, &journal_error(&error, ErrorCode::Io)))?;
        journal.close();
        drop(journal);
        let frame_bytes = self.table.frame_bytes() as u32;
        let builder = Builder::begin(Arc::clone(disk), new.database_id, frame_bytes);
        let mut copying = Copying {
            disk,
            view: &view,
            builder: builder.map_err(|error| there(disk, &store_error(error)))?,
            pending: Vec::new(),
            reached: vec![0; numbers],
            done: 0,
        };
        copying.lead_to(ROOT, BlobKind::Trie)?;
        while !copying.pending.is_empty() {
            copying.batch()?;
            if on_progress(copying.done, total.max(copying.done)).is_break() {
                return Err(Error::new(ErrorCode::Aborted, "the backup was aborted"));
            }
        }
        copying.state_references();
        let finished = copying.builder.finish(version, next_tree);
        finished.map_err(|error| there(disk, &store_error(error)))
    }
}

impl Copying<'_> {
    fn lead_to(&mut self, blob: u32, kind: BlobKind) -> Result<(), Error> {
        let reached = self.reached.get_mut(blob as usize);
        let reached = reached.ok_or_else(|| corrupt(blob, "is referred to but does not exist"))?;
        *reached = reached.saturating_add(1);
        if *reached == 1 {
            self.pending.push(Next { blob, kind });
        }
        Ok(())
    }

    /// States of each blob as many references as were found, whatever the database says.
    fn state_references(&mut self) {
        for (blob, reached) in self.reached.iter().enumerate().filter(|(_, reached)| **reached > 1) {
            let further = (reached - 1).min(MAX_FURTHER_REFERENCES);
            self.builder.recount(blob as u32, further);
        }
    }

    /// Copies some of what is pending, and finds what that leads to.
    fn batch(&mut self) -> Result<(), Error> {
        let view = self.view;
        let shown = view.shown()?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.pending.last() {
            let (kind, len) = shown
                .describe(next.blob)
                .ok_or_else(|| corrupt(next.blob, "is referred to but does not exist"))?;
            if kind != next.kind {
                return Err(corrupt(next.blob, "is not of the kind that leads to it"));
            }
            bytes += len as usize;
            if !batch.is_empty() && bytes > BATCH_BYTES {
                break;
            }
            batch.push((*next, len));
            self.pending.pop();
        }
        let blobs: Vec<_> = batch.iter().map(|(next, len)| (next.blob, *len)).collect();
        let buffers = shown.fetch(&blobs)?;
        for ((next, _), (buffer, was_read)) in batch.iter().zip(&buffers) {
            if *was_read {
                check_frame(next.kind, buffer.frame()).map_err(|fault| corrupt(next.blob, &fault.to_string()))?;
            }
            self.lead_below(*next, buffer)?;
        }
        let writes: Vec<_> = (batch.iter().zip(&buffers))
            .map(|((next, len), (buffer, _))| {
                let (records, live) = words_of(next.kind, buffer.frame(), *len);
                BlobWrite {
                    id: next.blob,
                    kind: next.kind as u8,
                    records,
                    live,
                    further_references: 0,
                    bytes: buffer.bytes().get(..*len as usize).unwrap_or_default(),
                }
            })
            .collect();
        let added = self.builder.add(&writes);
        added.map_err(|error| there(self.disk, &store_error(error)))?;
        self.done += batch.len() as u64;
        Ok(())
    }

    fn lead_below(&mut self, next: Next, buffer: &Buffer) -> Result<(), Error> {
        let mut below = Vec::new();
        let mut value = |value: Value<'_>| {
            if let Value::Extent { blob, .. } = value {
                below.push((blob, BlobKind::Value));
            }
        };
        match next.kind {
            BlobKind::Value => {}
            BlobKind::Flat => {
                let flat = FlatRef::new(buffer.frame());
                if flat.may_have_extents() {
                    flat.items().iter().for_each(|item| value(item.stored.value));
                }
            }
            BlobKind::Trie => {
                let mut crossings = Vec::new();
                TrieRef::new(buffer.frame()).survey(&mut |met| match met {
                    Met::Record { stored, .. } => value(stored.value),
                    Met::Below { child, kind, .. } => crossings.push((child, BlobKind::from(kind))),
                });
                below.extend(crossings);
            }
        }
        below.into_iter().try_for_each(|(blob, kind)| self.lead_to(blob, kind))
    }
}

/// A failure of the folder that is written to, which must not be taken for one of the database.
fn there(disk: &Arc<dyn Disk>, error: &Error) -> Error {
    error.within(&disk.label())
}

fn corrupt(blob: u32, what: &str) -> Error {
    Error::new(ErrorCode::Corrupt, format!("blobs (blob {blob}): {what}"))
}

impl Shown {
    /// Kind and length of a blob.
    fn describe(&self, blob: u32) -> Option<(BlobKind, u32)> {
        if let Some(hold) = self.hold(blob) {
            return Some((hold.kind, hold.bytes));
        }
        let (kind, bytes, _) = self.source.info(blob)?;
        Some((kind, bytes))
    }

    /// The bytes of these blobs, of the lengths given; and of each, whether it was read from disk.
    fn fetch(&self, blobs: &[(u32, u32)]) -> Result<Vec<(Buffer, bool)>, Error> {
        let mut found: Vec<Option<(Buffer, bool)>> = Vec::with_capacity(blobs.len());
        let mut missing = Vec::new();
        for (blob, len) in blobs {
            let held = self.hold(*blob).map(|hold| hold.buffer.clone());
            let here = held.or_else(|| self.source.share(*blob));
            if here.is_none() {
                missing.push((*blob, *len, Buffer::zeroed(*len as usize)));
            }
            found.push(here.map(|buffer| (buffer, false)));
        }
        if !missing.is_empty() {
            let image = self.source.image.as_ref().ok_or_else(|| corrupt(0, "is in no store"))?;
            let mut reads: Vec<_> = missing
                .iter_mut()
                .map(|(blob, len, buffer)| (*blob, buffer.bytes_mut().get_mut(..*len as usize).unwrap_or_default()))
                .collect();
            image
                .read_many(&mut reads)
                .into_iter()
                .collect::<Result<(), _>>()
                .map_err(store_error)?;
        }
        let mut missing = missing.into_iter();
        let found = found.into_iter().map(|here| {
            let read = |(_, _, buffer)| (buffer, true);
            here.or_else(|| missing.next().map(read))
                .ok_or_else(|| Error::new(ErrorCode::Internal, "a blob was not read"))
        });
        found.collect()
    }
}
