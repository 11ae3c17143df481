//! How a database is opened, and the limits on what it takes.

use std::{sync::Arc, time::Duration};

pub use coppice_journal::ReplayProgress;
pub use coppice_store::IoUring;

/// Longest key, bytes.
pub const MAX_KEY_BYTES: usize = 8192;
/// What [`Database::get_roomed`](crate::Database::get_roomed) uses in front of a key, bytes.
pub const KEY_ROOM_BYTES: usize = 4;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// Longest tree name, bytes of UTF-8.
pub const MAX_TREE_NAME_BYTES: usize = 1024;
/// Versions stay below this: records keep 48 bits of them.
pub const MAX_VERSION: u64 = (1 << 48) - 1;
/// The size of frames in databases made without another one asked for.
pub const DEFAULT_FRAME_BYTES: u32 = 64 << 10;

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

/// How to open a database. Handles on one folder share an engine, whose options are those of the first open.
#[derive(Clone, Debug)]
pub struct Options {
    /// Create it where there is none.
    pub create: bool,
    /// Change nothing: the journal is replayed in memory, `create` does not count, and every write fails with `ReadOnly`.
    /// Shares the folder with others who only read, in this process and others, and never with a writer.
    pub read_only: bool,
    /// What a returned write has survived.
    pub durability: Durability,
    /// Between background syncs at [`Durability::Process`].
    pub sync_interval: Duration,
    /// Bytes that blobs may take in memory, those on their way to the disk included; at least 64 frames. A volatile
    /// database has no bound.
    pub memory_bytes: u64,
    /// Journal bytes that start a checkpoint by themselves.
    pub journal_bytes: u64,
    /// A checkpoint is started when the last one is so old and something was written since.
    pub checkpoint_interval: Duration,
    /// Cuts that may wait for the checkpoint thread; at least 1.
    pub checkpoint_queue_depth: usize,
    /// Cuts that one write and one sync may serve; at least 1.
    pub coalesce_epochs: usize,
    /// How long the first of them waits for a neighbour.
    pub coalesce_window: Duration,
    /// Whether blobs are read and written by io_uring.
    pub io_uring: IoUring,
    /// Where the open says how far recovery is; not used where an engine is shared.
    pub recovery: Arc<ReplayProgress>,
    /// Size of frames when the database is created; a constant of the database from then on. A multiple of 4096, at most
    /// 65536. Keys longer than an eighth of it are refused.
    pub frame_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            read_only: false,
            durability: Durability::Process,
            sync_interval: Duration::from_millis(100),
            memory_bytes: 256 << 20,
            journal_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(300),
            checkpoint_queue_depth: 16,
            coalesce_epochs: 64,
            coalesce_window: Duration::from_micros(100),
            io_uring: IoUring::Auto,
            recovery: Arc::default(),
            frame_bytes: DEFAULT_FRAME_BYTES,
        }
    }
}

impl Options {
    /// Whether a database is made where there is none.
    pub(crate) fn creates(&self) -> bool {
        self.create && !self.read_only
    }
}
