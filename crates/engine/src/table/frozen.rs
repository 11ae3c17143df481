//! Tables that stay as they are: what a snapshot walks.
//!
//! A table is frozen in one moment in which nobody writes, by [`Table::freeze`]. What the store may not have as of then is
//! held: the blobs that changed since the last cut, and those of cuts that are on their way to the disk. Whoever writes to
//! one of these next copies it first, as for a cut. All others are as the store's image has them. They are not even looked
//! at: [`Table::frozen`] makes a table that asks its source for a blob when it is first led to it.
//!
//! Such a blob need not be read where the live table has it in memory, unchanged: [`Table::share`] then lends its buffer.
//! To know that, freezes are counted, and a blob keeps the count as of when it last began to change.

use std::sync::{Arc, Weak, atomic::Ordering::Relaxed};

use coppice_sync::MutexGuard;

use super::{BlobKind, Changed, Entry, Source, Table};
use crate::buffer::Buffer;

/// What a source knows of a blob without reading it: kind, length in bytes, and the engine's words.
pub(crate) type Info = (BlobKind, u32, (u32, u32));

/// A blob as it was: whoever writes to it next copies it first.
#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) blob: u32,
    pub(crate) kind: BlobKind,
    pub(crate) bytes: u32,
    pub(crate) buffer: Buffer,
}

/// What a table must hold of itself to be walked later as it is now.
pub(crate) struct Freeze {
    /// Blobs that the store may not have as they are now; of one that occurs twice the last counts.
    held: Vec<Hold>,
    /// Numbers in use or free.
    end: u32,
    /// How many of them are in use.
    in_use: u32,
    /// How many freezes there had been, this one included.
    count: u64,
}

impl Freeze {
    /// What is held.
    pub(crate) fn into_holds(mut self) -> Vec<Hold> {
        // The last of each blob counts.
        self.held.reverse();
        self.held.sort_by_key(|hold| hold.blob);
        self.held.dedup_by_key(|hold| hold.blob);
        self.held
    }

    /// How many blobs there are.
    pub(crate) fn blobs(&self) -> u64 {
        u64::from(self.in_use)
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.held.iter().map(|hold| hold.bytes as usize).sum()
    }

    /// What [`Table::share`] is to be told.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl Table {
    /// Holds what is needed to walk the table later as it is now. Costs what was changed since the last durable cut, and
    /// nothing for all else. The caller keeps all writers out, and takes the image of the store behind this and before it
    /// lets them in: cuts that became durable in between are in both.
    pub(crate) fn freeze(&self) -> Freeze {
        let count = self.freezes.fetch_add(1, Relaxed) + 1;
        let (mut changed, cuts, end, free) = {
            let mut numbers = self.numbers.lock();
            numbers.cuts.retain(|cut| cut.strong_count() > 0);
            let cuts: Vec<_> = numbers.cuts.iter().filter_map(Weak::upgrade).collect();
            (numbers.changed.clone(), cuts, numbers.end, numbers.free.len() as u32)
        };
        changed.sort_unstable();
        changed.dedup();
        let mut held: Vec<Hold> = cuts.iter().flat_map(|cut| cut.iter().map(Hold::from)).collect();
        held.reserve(changed.len());
        for blob in changed {
            if let Some(latch) = self.latch(blob)
                && let Some(entry) = latch.as_ref()
                && entry.changed
                && let Some(buffer) = &entry.memory
            {
                held.push(Hold {
                    blob,
                    kind: entry.kind,
                    bytes: entry.bytes,
                    buffer: buffer.clone(),
                });
            }
        }
        Freeze {
            held,
            end,
            in_use: end.saturating_sub(free),
            count,
        }
    }

    /// The table as of a freeze, to be read only. All that was not held comes from the source.
    pub(crate) fn frozen(self: &Arc<Self>, freeze: &Freeze, source: Arc<dyn Source>) -> Arc<Self> {
        let mut table = Self::with_pool(self.frame_bytes, Arc::clone(&self.pool), Some(source));
        table.live = Some(Arc::clone(self));
        table.absent.store(1, Relaxed);
        table.numbers.get_mut().end = freeze.end;
        for hold in &freeze.held {
            if let Some(slot) = table.slots.get_or_grow(hold.blob as usize)
                && let Some(word) = table.words.get_or_grow(hold.blob as usize)
            {
                word.publish(hold.kind, &hold.buffer, true);
                // Memory knows the words better.
                let info = (hold.kind, hold.bytes, (0, 0));
                *slot.entry.lock() = Some(Entry::known(info, Some(hold.buffer.clone())));
            }
        }
        let table = Arc::new(table);
        let mut views = self.views.lock();
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&table));
        table
    }

    /// The latch of a blob of a frozen table, whose entry is made when it is first asked for.
    #[cold]
    pub(super) fn latch_frozen(&self, blob: u32) -> Option<MutexGuard<'_, Option<Entry>>> {
        if let Some(slot) = self.slots.get(blob as usize) {
            let latch = slot.entry.lock();
            if latch.is_some() {
                return Some(latch);
            }
        }
        let info = self.source.as_ref()?.info(blob)?;
        self.words.get_or_grow(blob as usize)?;
        let mut latch = self.slots.get_or_grow(blob as usize)?.entry.lock();
        latch.get_or_insert_with(|| Entry::known(info, None));
        Some(latch)
    }

    /// What the source of a frozen table knows of a blob that is not in memory: a count asks for thousands, and none of them
    /// needs an entry for that.
    pub(super) fn ask_source(&self, blob: u32) -> Option<Info> {
        let source = self
            .source
            .as_ref()
            .filter(|_| self.live.is_some() && !self.is_resident(blob))?;
        source.info(blob)
    }

    /// A hold on a blob that is in memory and has not changed since the freeze of this count, and so is what the store had
    /// then.
    pub(crate) fn share(&self, blob: u32, count: u64) -> Option<Buffer> {
        let latch = self.latch(blob)?;
        let entry = latch.as_ref().filter(|entry| entry.changed_after < count)?;
        entry.memory.clone()
    }

    /// Whether a blob's memory is still what was held of it.
    pub(crate) fn is_as_held(&self, hold: &Hold) -> bool {
        self.ask(hold.blob, |entry| {
            entry.memory.as_ref().is_some_and(|memory| memory.is(&hold.buffer))
        })
        .unwrap_or(false)
    }
}

impl From<&Changed> for Hold {
    fn from(changed: &Changed) -> Self {
        Self {
            blob: changed.blob,
            kind: changed.kind,
            bytes: changed.bytes,
            buffer: changed.buffer.clone(),
        }
    }
}
