//! What a database says of itself.

/// One checkpoint's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The cut: every commit up to this one is in the blob store.
    pub version: u64,
    /// Blobs that had changed since the cut before.
    pub dirty_blobs: u64,
    /// Of those, written by this round: not the ones that a later cut of the round had again.
    pub flushed_blobs: u64,
    /// Blobs that the cut no longer refers to.
    pub pending_deletes: u64,
    /// Of those, the ones whose space was given back.
    pub applied_deletes: u64,
    /// Bytes that the round wrote, for all cuts that shared it, the slot map's log included.
    pub bytes_written: u64,
    /// Syncs of files and folders in the round.
    pub syncs: u64,
    /// Cuts that shared one write and one sync.
    pub epochs_coalesced: u64,
    /// From the cut to its report, microseconds.
    pub duration_micros: u64,
}

/// Counters and sizes of one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The last commit's sequence number.
    pub last_commit: u64,
    /// Keys in all trees.
    pub keys: u64,
    /// Named trees.
    pub trees: u64,
    /// Frames and large values.
    pub blobs: u64,
    /// Frames from the topmost one to the furthest flat one, both counted.
    pub depth_max: u32,
    /// The same, averaged over the flat frames; 1 when there are none.
    pub depth_mean: f64,
    /// Live bytes over all bytes of frames, 0..=1.
    pub fill: f64,
    /// Bytes that blobs may take in memory; 0 for a volatile database, which has no bound. Where a database is only read, what its
    /// journal added comes on top of the option.
    pub memory_budget_bytes: u64,
    /// Bytes that they take: those in memory, those of cuts on their way to the disk, and what was replaced or evicted and
    /// may still have readers.
    pub memory_used_bytes: u64,
    /// Bytes of blobs in memory.
    pub memory_resident_bytes: u64,
    /// Of those, changed since the last cut.
    pub memory_dirty_bytes: u64,
    /// Uses of blobs in memory since the open, of which only the first is counted until eviction looks at the blob again.
    pub memory_hits: u64,
    /// Blobs read from the store since the open.
    pub memory_misses: u64,
    /// Of the blobs read, those that a thread of the engine's read for somebody who did not wait.
    pub memory_fetches: u64,
    /// Of the blobs read, those that a thread of the engine's read ahead of need.
    pub memory_read_aheads: u64,
    /// Blobs evicted since the open.
    pub memory_evictions: u64,
    /// Bytes that recovery would replay.
    pub journal_bytes: u64,
    /// Bytes appended since the open.
    pub journal_appended_bytes: u64,
    /// Syncs of the journal since the open.
    pub journal_syncs: u64,
    /// How often a writer waited since the open: because the journal was past twice the size that starts a checkpoint, or
    /// because too much of memory waited to be written.
    pub journal_stalls: u64,
    /// Records appended since the open.
    pub journal_appended_records: u64,
    /// Rounds of the checkpoint thread, each for one cut or several, that succeeded since the open.
    pub checkpoint_rounds: u64,
    /// Rounds that failed since the open.
    pub checkpoint_failures: u64,
    /// Bytes that checkpoints wrote since the open.
    pub checkpoint_bytes_written: u64,
    /// Cuts that wait for the checkpoint thread, or are being written by it.
    pub checkpoint_queue_depth: u64,
    /// Whether io_uring writes the blobs.
    pub checkpoint_io_uring: bool,
    /// The last failure.
    pub checkpoint_last_error: Option<String>,
    /// Snapshots that are open.
    pub snapshots_open: u64,
    /// The version of the oldest.
    pub snapshots_oldest_version: Option<u64>,
    /// Frames and large values that are kept for snapshots alone, in memory or on disk.
    pub snapshots_pinned_blobs: u64,
    /// Bytes of the database's files.
    pub disk_bytes: u64,
    /// Of those, free for the next checkpoint.
    pub disk_free_bytes: u64,
}
