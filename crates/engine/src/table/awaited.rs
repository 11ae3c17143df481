//! What is not in memory, for those who do not wait for it: others read it in, or have it read ahead of need.

use super::{
    BlobKind, Entry, Table,
    evict::{Patience, SHORT_PATIENCE},
    pinned::Pinned,
};
use crate::{
    error::Error,
    resident::{is_resident, note_wanted_next},
};

impl Table {
    /// Whether this thread is not to wait for the disk, and others can.
    pub(super) fn stops_at_disk(&self) -> bool {
        is_resident() && self.fetcher.is_ready()
    }

    /// Whether this is a value that is read past the bound on memory, by each who wants it.
    pub(super) fn is_past(&self, entry: &Entry) -> bool {
        let is_too_long = entry.kind == BlobKind::Value && entry.bytes as usize > self.budget().limits().value;
        is_too_long && entry.memory.is_none()
    }

    /// The same of a blob, for who waits for nobody: then there is nothing that another could read in for it.
    pub(super) fn is_past_bound(&self, blob: u32) -> bool {
        let entry = self.slots.get(blob as usize).and_then(|slot| slot.entry.try_lock());
        entry.is_some_and(|entry| entry.as_ref().is_some_and(|entry| self.is_past(entry)))
    }

    /// How many frames a walk may look ahead; none where all are in memory.
    pub(crate) fn most_ahead(&self) -> usize {
        match self.is_all_resident() {
            true => 0,
            false => self.fetcher.most_ahead(),
        }
    }

    /// Has the frames read in that a walk comes to behind the one that it enters, if they are not in memory.
    pub(crate) fn read_ahead(&self, entered: u32, next: &[u32]) {
        let absent: Vec<u32> = next.iter().copied().filter(|blob| !self.is_resident(*blob)).collect();
        if absent.is_empty() {
            return;
        }
        // Behind what the walk stops at, if it does.
        if self.stops_at_disk() && !self.is_resident(entered) {
            note_wanted_next(&absent);
        } else {
            self.fetcher.read_ahead(&absent);
        }
    }

    /// Reads a blob in for somebody who does not wait, whatever it is, unless it is there or gone by now. Whether it was
    /// read. Where there is no room for it for a while, who wants it will see.
    pub(crate) fn fetch(&self, blob: u32) -> Result<bool, Error> {
        let mut patience = Patience::new(SHORT_PATIENCE);
        loop {
            let mut pinned = Pinned::new(self);
            let read = match self.latch(blob) {
                Some(mut latch) => match latch.as_mut() {
                    Some(entry) if self.is_past(entry) => Ok(false),
                    Some(entry) => pinned.fill(blob, entry, true).map(|(_, is_read)| is_read),
                    None => Ok(false),
                },
                None => Ok(false),
            };
            match read {
                Err(error) if error.is_crowded() => {
                    pinned.evict(self.frame_bytes);
                    drop(pinned);
                    if !patience.wait() {
                        return Ok(false);
                    }
                }
                other => return other,
            }
        }
    }
}
