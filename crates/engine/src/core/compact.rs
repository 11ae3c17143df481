//! Giving file space back: blobs are moved from the end of their file into gaps below, a few at a time, and the end is cut
//! off. Each step is a commit of the store's own, so others read, write and checkpoint between two of them.
//!
//! What images name stays where it is, for snapshots, backups and verifications; the file is not cut off below that.

#[cfg(test)]
mod tests;

use coppice_store::{Store, StoreStats};

use super::{Durable, Engine, store_error};
use crate::{
    error::{Error, ErrorCode},
    verify::OnProgress,
};

/// So much is moved at once: a checkpoint waits for that at most.
const STEP_BYTES: u64 = 4 << 20;
/// The engine's thread begins where more than two thirds of the file are free, and so much: a database whose checkpoints
/// write all of it anew needs half of the file free, and files should not shrink and grow by turns.
const BACKGROUND_FREE_BYTES: u64 = 64 << 20;

/// Room of so many bytes is given back at once, which takes the disk some 2 ms: commits wait for that at most.
const STEP_ROOM: u64 = 8 << 20;
/// And so much when the database is closed.
const ROOM_AT_CLOSE: u64 = 128 << 20;

/// Whether so much of the file is free that the engine gives it back unasked.
fn is_mostly_free(stats: &StoreStats, least_bytes: u64) -> bool {
    stats.free_bytes > least_bytes && stats.free_bytes / 2 > stats.file_bytes.saturating_sub(stats.free_bytes)
}

impl Engine {
    /// Frees what was deleted, checkpoints, and moves blobs down until none can be moved lower; how much shorter the file of
    /// blobs is then. Told of bytes moved.
    pub(crate) fn compact(&self, on_progress: OnProgress<'_>) -> Result<u64, Error> {
        self.check_writable()?;
        let Some(durable) = &self.durable else { return Ok(0) };
        let before = durable.folder.store.stats().file_bytes;
        let aborted = || Error::new(ErrorCode::Aborted, "the compaction was aborted");
        while self.bury()? {
            if on_progress(0, before).is_break() {
                return Err(aborted());
            }
        }
        self.checkpoint()?;
        let mut moved = 0;
        loop {
            let step = self.relocate(&durable.folder.store)?;
            moved += step;
            let stats = durable.folder.store.stats();
            let to_move = if step == 0 { 0 } else { above(&stats) };
            if on_progress(moved, moved + to_move).is_break() {
                return Err(aborted());
            }
            if step == 0 {
                return Ok(before.saturating_sub(stats.file_bytes));
            }
            self.check_writable()?;
        }
    }

    /// A step of the same, where much of the file is free. Whether there is more to do.
    pub(crate) fn compact_in_background(&self) -> Result<bool, Error> {
        self.check_writable()?;
        match &self.durable {
            Some(durable) => self.compact_if(durable, BACKGROUND_FREE_BYTES),
            None => Ok(false),
        }
    }

    /// Where much of the file became free, gives some of its room back, for when nothing is written. Whether there may be more.
    pub(crate) fn give_room_back(&self) -> bool {
        let durable = self.durable.as_ref().filter(|_| self.failure().is_none());
        durable.is_some_and(|durable| durable.folder.store.punch(STEP_ROOM, true))
    }

    /// The same for the last time, however little became free.
    pub(super) fn give_room_back_at_close(&self) {
        if let Some(durable) = &self.durable {
            durable.folder.store.punch(ROOM_AT_CLOSE, false);
        }
    }

    fn compact_if(&self, durable: &Durable, least_bytes: u64) -> Result<bool, Error> {
        let stats = durable.folder.store.stats();
        // What is kept for an image would not be given back anyway.
        if stats.kept_blobs > 0 || !is_mostly_free(&stats, least_bytes) {
            return Ok(false);
        }
        Ok(self.relocate(&durable.folder.store)? > 0)
    }

    /// Moves some blobs and cuts the end of the file off; how many bytes were moved.
    fn relocate(&self, store: &Store) -> Result<u64, Error> {
        let moved = store.relocate(STEP_BYTES).and_then(|step| {
            store.trim()?;
            Ok(step.moved_bytes)
        });
        moved.map_err(|error| {
            let error = store_error(error);
            // A full disk, or a damaged blob: then nothing was done.
            if !matches!(error.code(), ErrorCode::NoSpace | ErrorCode::Corrupt) {
                self.poison(&error);
            }
            error
        })
    }
}

/// About how much lies where the file would end without gaps, or behind it.
fn above(stats: &StoreStats) -> u64 {
    let in_use = stats.file_bytes.saturating_sub(stats.free_bytes);
    stats.free_bytes.min(in_use)
}
