//! Databases and trees over frames, blob store and journal.
//!
//! Owns the frame table, the walk across frames, scans, listings and counts, checkpoints and recovery.
//! Knows nothing of Node. Everything public here is thread-safe.
#![allow(clippy::todo, unused_variables, missing_docs)] // API outline, until the bodies land

mod error;

use std::{ops::Bound, ops::ControlFlow, path::Path, time::Duration};

pub use error::{Error, ErrorCode};

/// Longest key, bytes.
pub const MAX_KEY_BYTES: usize = 8192;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// Longest tree name, bytes of UTF-8.
pub const MAX_TREE_NAME_BYTES: usize = 1024;

/// What a returned write has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing since the last checkpoint.
    None,
    /// The death of the process.
    Process,
    /// A power cut.
    Disk,
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// Create it where there is none.
    pub create: bool,
    pub durability: Durability,
    /// Between background syncs at `Durability::Process`.
    pub sync_interval: Duration,
    /// Journal bytes that start a checkpoint by themselves.
    pub journal_bytes: u64,
}

/// A handle on an open database. Handles on the same folder share one engine; each is closed once.
pub struct Database {}

/// A named tree: a number that is never used again in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeId(pub u32);

/// A record as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub value: &'a [u8],
    /// The sequence number of the commit that wrote it; below 2^48.
    pub version: u64,
}

/// When a put or a delete takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    IfAbsent,
    /// The record has exactly this version.
    IfVersion(u64),
}

/// Which keys a scan visits: all bounds given must hold.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    pub prefix: &'a [u8],
    pub lower: Bound<&'a [u8]>,
    pub upper: Bound<&'a [u8]>,
}

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'a> {
    Start,
    /// Behind this key.
    Key(&'a [u8]),
    /// Behind every key that starts with this.
    Prefix(&'a [u8]),
}

/// One page of a listing. Semantics are S3's ListObjectsV2.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    pub prefix: &'a [u8],
    /// Empty: nothing is rolled up.
    pub delimiter: &'a [u8],
    /// The caller's start-after: only keys greater than this.
    pub after: Option<&'a [u8]>,
    /// Where the previous page ended.
    pub resume: After<'a>,
    /// Keys and prefixes together.
    pub limit: usize,
}

/// One item of a listing, in key order.
#[derive(Clone, Copy, Debug)]
pub enum ListItem<'a> {
    Key(&'a [u8], Record<'a>),
    /// A rolled-up prefix, delimiter included.
    Prefix(&'a [u8]),
}

/// One checkpoint's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The cut: every commit up to this one is in the blob store.
    pub version: u64,
    pub dirty_blobs: u64,
    pub flushed_blobs: u64,
    pub pending_deletes: u64,
    pub applied_deletes: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    pub epochs_coalesced: u64,
    pub duration_micros: u64,
}

/// Counters and sizes of one database.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub keys: u64,
    pub trees: u64,
    /// Frames and extents in the database.
    pub blobs: u64,
    pub depth_max: u32,
    pub depth_mean: f64,
    /// Live bytes over all bytes of frames, 0..=1.
    pub fill: f64,
    pub memory_resident_bytes: u64,
    pub memory_dirty_bytes: u64,
    pub frame_hits: u64,
    pub frame_misses: u64,
    pub journal_bytes: u64,
    pub journal_appended_bytes: u64,
    pub journal_syncs: u64,
    pub checkpoint_rounds: u64,
    pub checkpoint_failures: u64,
    pub checkpoint_bytes_written: u64,
    pub checkpoint_last_error: Option<String>,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
}

impl Database {
    /// Opens the database in a folder. Recovery runs before this returns.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, Error> {
        todo!()
    }
    /// A volatile database of its own.
    pub fn in_memory() -> Result<Self, Error> {
        todo!()
    }
    /// Opens a tree, creating it when absent.
    pub fn tree(&self, name: &str) -> Result<TreeId, Error> {
        todo!()
    }
    /// The names of all trees, in byte order.
    pub fn trees(&self) -> Result<Vec<String>, Error> {
        todo!()
    }
    /// Calls `read` with the record while it is pinned. `read` must not call back into the database.
    pub fn get<R>(&self, tree: TreeId, key: &[u8], read: impl FnOnce(Option<Record<'_>>) -> R) -> Result<R, Error> {
        todo!()
    }
    /// The new version; `None` where the condition did not hold.
    pub fn put(&self, tree: TreeId, key: &[u8], value: &[u8], condition: Condition) -> Result<Option<u64>, Error> {
        todo!()
    }
    /// Puts in order, one write to the journal for the lot; not atomic as a whole. On error, says through `applied`
    /// how many had been applied.
    pub fn put_many<'a>(
        &self,
        tree: TreeId,
        entries: &mut dyn Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, Error> {
        todo!()
    }
    /// Whether a record was removed.
    pub fn delete(&self, tree: TreeId, key: &[u8], condition: Condition) -> Result<bool, Error> {
        todo!()
    }
    /// Visits records in key order until `visit` breaks. True when the range was exhausted.
    pub fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut dyn FnMut(&[u8], Record<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        todo!()
    }
    /// Visits up to `request.limit` items; true when there are more. Subtrees that roll up are skipped, not scanned.
    pub fn list(
        &self,
        tree: TreeId,
        request: &ListRequest<'_>,
        visit: &mut dyn FnMut(ListItem<'_>),
    ) -> Result<bool, Error> {
        todo!()
    }
    /// How many keys start with `prefix`.
    pub fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        todo!()
    }
    /// Whether no key starts with `prefix`.
    pub fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        todo!()
    }
    /// Returns when all that was written before the call is on disk.
    pub fn flush(&self) -> Result<(), Error> {
        todo!()
    }
    /// Returns when all that was written before the call is in the blob store and the journal is trimmed.
    pub fn checkpoint(&self) -> Result<CheckpointReport, Error> {
        todo!()
    }
    pub fn stats(&self) -> Result<Stats, Error> {
        todo!()
    }
    /// Flushes, checkpoints and releases, when this is the last handle. A second call does nothing; every other call
    /// after it fails with `ErrorCode::Closed`.
    pub fn close(&self) -> Result<(), Error> {
        todo!()
    }
}
