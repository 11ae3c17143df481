//! Statistics.

use coppice_frame::Kind;

use super::{CATALOG, Engine, Ordering};
use crate::{
    error::Error,
    forest::{Forest, GRAVE_BYTE, ROOT},
    stats::Stats,
};

/// Depth of the flat frames below a forest's root: the largest, the sum, and how many there are.
fn depths(forest: &mut Forest) -> Result<(u32, u64, u64), Error> {
    let (mut max, mut sum, mut flats) = (1, 0, 0);
    let mut pending = vec![(ROOT, 1u32)];
    while let Some((blob, depth)) = pending.pop() {
        forest.table.relieve()?;
        for crossing in forest.table.trie(blob)?.crossings() {
            let depth = depth.saturating_add(1);
            max = max.max(depth);
            match crossing.kind {
                Kind::Trie => pending.push((crossing.child, depth)),
                Kind::Flat => {
                    sum += u64::from(depth);
                    flats += 1;
                }
            }
        }
    }
    Ok((max, sum, flats))
}

impl Engine {
    pub(crate) fn stats(&self) -> Result<Stats, Error> {
        self.check_open()?;
        let mut stats = self.uncrowded(|| self.forest_stats())?;
        let snapshots = self.snapshots.costs();
        stats.snapshots_open = snapshots.open;
        stats.snapshots_oldest_version = snapshots.oldest;
        stats.snapshots_pinned_blobs = snapshots.held_blobs;
        if let Some(durable) = &self.durable {
            let journal = durable.journal.stats();
            stats.journal_bytes = journal.bytes;
            stats.journal_appended_bytes = journal.appended_bytes;
            stats.journal_appended_records = journal.appended_records;
            stats.journal_syncs = journal.syncs;
            stats.journal_stalls = self.stalls.load(Ordering::Relaxed);
            stats.disk_bytes = journal.file_bytes;
            let rounds = durable.checkpointer.rounds();
            stats.checkpoint_rounds = rounds.done;
            stats.checkpoint_failures = rounds.failed;
            stats.checkpoint_bytes_written = rounds.bytes_written;
            stats.checkpoint_last_error = rounds.last_error;
            stats.checkpoint_queue_depth = durable.checkpointer.depth() as u64;
            stats.checkpoint_io_uring = durable.folder.store.uses_io_uring();
        }
        if let Some(store) = self.store() {
            let store = store.stats();
            stats.disk_bytes += store.file_bytes + store.map_log_bytes;
            stats.disk_free_bytes = store.free_bytes;
            stats.snapshots_pinned_blobs += store.kept_blobs;
        }
        Ok(stats)
    }

    /// What the trees and the blobs say.
    fn forest_stats(&self) -> Result<Stats, Error> {
        let mut stats = Stats {
            last_commit: self.last_commit(),
            ..Stats::default()
        };
        let mut state = self.shared();
        let (all, names) = (state.forest.count(&[])?, state.forest.count(&CATALOG.to_be_bytes())?);
        let buried = state.forest.count(&[GRAVE_BYTE])?;
        stats.keys = all.saturating_sub(names).saturating_sub(buried);
        stats.trees = names;
        let (max, sum, flats) = depths(&mut state.forest)?;
        stats.depth_max = max;
        stats.depth_mean = if flats == 0 { 1.0 } else { sum as f64 / flats as f64 };
        let census = state.forest.table.census();
        stats.blobs = census.blobs;
        stats.fill = if census.frame_bytes == 0 {
            0.0
        } else {
            census.live_bytes as f64 / census.frame_bytes as f64
        };
        stats.memory_resident_bytes = census.resident_bytes;
        stats.memory_dirty_bytes = census.changed_bytes;
        let budget = self.table.budget();
        stats.memory_budget_bytes = budget.total().unwrap_or(0) as u64;
        stats.memory_used_bytes = budget.used() as u64;
        [stats.memory_hits, stats.memory_misses, stats.memory_evictions] = self.table.traffic();
        [stats.memory_fetches, stats.memory_read_aheads] = self.fetcher().counts();
        Ok(stats)
    }

    /// See [`Forest::check`].
    #[cfg(feature = "simulation")]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut state = self.shared();
        // All at once, however much memory that takes.
        state.forest.table.must_succeed();
        state.forest.check()
    }

    /// The folder's path, for messages.
    pub(crate) fn label(&self) -> String {
        self.folder()
            .map_or_else(|| ":memory:".to_owned(), |folder| folder.disk.label())
    }
}
