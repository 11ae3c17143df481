//! Cuts: what has changed since the last one, to be made durable as it is now; and every blob as of one moment, for who looks
//! at all of them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{BlobKind, Entry, Table};
use crate::{budget::CutBytes, buffer::Buffer};

/// A blob that a cut has to write.
pub(crate) struct Changed {
    pub(crate) blob: u32,
    pub(crate) kind: BlobKind,
    pub(crate) bytes: u32,
    /// For the slot map to keep.
    pub(crate) words: (u32, u32),
    pub(crate) further_references: u32,
    pub(crate) buffer: Buffer,
}

/// What a cut has to make durable.
pub(crate) struct Cut {
    pub(crate) changed: Arc<Vec<Changed>>,
    /// Blobs of which nothing changed but how many references lead to them beside the first.
    pub(crate) recounted: Vec<(u32, u32)>,
    pub(crate) freed: Vec<u32>,
    /// Counts what the buffers take.
    pub(crate) _counted: CutBytes,
}

/// What a blob is, and a hold on its bytes if it is a frame that the store does not have as it is: whoever writes to it next
/// copies it first.
pub(crate) struct Held {
    pub(crate) kind: BlobKind,
    pub(crate) bytes: u32,
    pub(crate) further_references: u32,
    pub(crate) frame: Option<Buffer>,
}

impl Held {
    /// Bytes that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, |_| self.bytes as usize)
    }
}

impl Table {
    pub(super) fn note_change(&self, blob: u32, entry: &mut Entry) {
        if !std::mem::replace(&mut entry.changed, true) {
            entry.changed_after = self.freezes.load(Relaxed);
            self.numbers.lock().changed.push(blob);
            self.budget().note_changed(entry.bytes);
        }
    }

    /// Takes everything that changed since the last cut. The buffers stay as they are now: whoever writes to one of these
    /// blobs next copies it first. The caller keeps all writers out.
    pub(crate) fn cut(&self) -> Cut {
        let (candidates, recounted, mut freed) = {
            let mut numbers = self.numbers.lock();
            let changed = std::mem::take(&mut numbers.changed);
            let recounted = std::mem::take(&mut numbers.recounted);
            (changed, recounted, std::mem::take(&mut numbers.freed))
        };
        // Before the changed ones are told, with which their counts go.
        let recounted = recounted.into_iter().filter_map(|blob| {
            let mut latch = self.latch(blob)?;
            let entry = latch.as_mut()?;
            let is_alone = std::mem::take(&mut entry.recounted) && !entry.changed;
            is_alone.then(|| (blob, self.further_references(blob)))
        });
        let recounted: Vec<_> = recounted.collect();
        let mut changed = Vec::with_capacity(candidates.len());
        let mut bytes = 0;
        for blob in candidates {
            let Some(mut latch) = self.latch(blob) else { continue };
            let Some(entry) = latch.as_mut() else { continue };
            if !std::mem::take(&mut entry.changed) {
                continue;
            }
            self.budget().note_unchanged(entry.bytes);
            let words = entry.words();
            entry.stored_words = words;
            if let Some(buffer) = entry.memory.clone() {
                bytes += entry.bytes as usize;
                changed.push(Changed {
                    blob,
                    kind: entry.kind,
                    bytes: entry.bytes,
                    words,
                    further_references: self.further_references(blob),
                    buffer,
                });
            }
        }
        freed.sort_unstable();
        freed.dedup();
        freed.retain(|blob| self.is_free(*blob));
        let cut = Cut {
            changed: Arc::new(changed),
            recounted,
            freed,
            _counted: self.budget().hold_cut(bytes),
        };
        let mut numbers = self.numbers.lock();
        numbers.cuts.retain(|cut| cut.strong_count() > 0);
        numbers.cuts.push(Arc::downgrade(&cut.changed));
        cut
    }

    /// Takes back a cut that could not be made durable, so that the next one covers it.
    pub(crate) fn restore(&self, cut: &Cut) {
        for changed in cut.changed.iter() {
            let Some(mut latch) = self.latch(changed.blob) else {
                continue;
            };
            match latch.as_mut() {
                Some(entry) => self.note_change(changed.blob, entry),
                None => self.numbers.lock().freed.push(changed.blob),
            }
        }
        for (blob, _) in &cut.recounted {
            if let Some(mut latch) = self.latch(*blob)
                && let Some(entry) = latch.as_mut()
            {
                self.note_recount(*blob, entry);
            }
        }
        self.numbers.lock().freed.extend(&cut.freed);
    }

    /// Every blob as it is now, by number; nothing changes in what a cut is to make durable. The caller keeps all writers
    /// out. What is not held, the store has by now. With it comes what [`Table::share`] is to be told.
    pub(crate) fn hold(&self) -> (Vec<Option<Held>>, u64) {
        let count = self.freezes.fetch_add(1, Relaxed) + 1;
        let held = |blob: u32| {
            let mut latch = self.latch(blob)?;
            let entry = latch.as_mut()?;
            let unsettled = entry.changed || entry.memory.as_mut().is_some_and(Buffer::is_shared);
            let is_held = unsettled && entry.kind != BlobKind::Value;
            Some(Held {
                kind: entry.kind,
                bytes: entry.bytes,
                further_references: self.further_references(blob),
                frame: entry.memory.clone().filter(|_| is_held),
            })
        };
        ((0..self.len() as u32).map(held).collect(), count)
    }
}
