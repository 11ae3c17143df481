//! How far the reading of a journal has got, for others to look at meanwhile.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of journal that were read, of those that there are. Written by [`Journal::open`](crate::Journal::open), whose
/// options hold it.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    done: AtomicU64,
    total: AtomicU64,
}

impl ReplayProgress {
    /// Bytes of the records that were read.
    pub fn done_bytes(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Bytes that there are to read; 0 before that is known. Too many while the last segment is not read to its end, since
    /// only that shows where its records stop.
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Relaxed)
    }

    pub(crate) fn expect(&self, total: u64) {
        self.total.store(total, Relaxed);
    }

    pub(crate) fn advance(&self, done: u64) {
        self.done.store(done, Relaxed);
    }
}
