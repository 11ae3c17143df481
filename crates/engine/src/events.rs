//! What happens inside a database that nobody asked for, told to those who listen.
//!
//! Costs a load of a counter where nobody does. Listeners are called on whatever thread it happens, which may hold latches:
//! they must be quick, and must not call back into the database.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;

use crate::{error::Error, stats::CheckpointReport};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// A checkpoint is on disk.
    Checkpoint(&'e CheckpointReport),
    /// A write waited for so long, because the journal was past its limit.
    Backpressure(Duration),
    /// A checkpoint failed, or a failure made the database read-only.
    Failure(&'e Error),
}

/// What recovery did when the database was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Records of the journal that were applied.
    pub records: u64,
    /// Bytes of journal that were read.
    pub bytes: u64,
    /// How long that took.
    pub duration: Duration,
}

type Listener = Box<dyn Fn(Event<'_>) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Events {
    listeners: RwLock<Vec<(u64, Listener)>>,
    /// How many those are.
    count: AtomicUsize,
    next: AtomicU64,
}

impl Events {
    /// Calls `listener` with each event until what is returned is dropped.
    pub(crate) fn listen(self: &Arc<Self>, listener: Listener) -> Listening {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.listeners.write();
        listeners.push((number, listener));
        self.count.store(listeners.len(), Ordering::Release);
        Listening {
            events: Arc::clone(self),
            number,
        }
    }

    #[inline]
    pub(crate) fn tell(&self, event: Event<'_>) {
        if self.count.load(Ordering::Acquire) > 0 {
            for (_, listener) in self.listeners.read().iter() {
                listener(event);
            }
        }
    }
}

/// Somebody who listens, until this is dropped.
pub struct Listening {
    events: Arc<Events>,
    number: u64,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.events.listeners.write();
        listeners.retain(|(number, _)| *number != self.number);
        self.events.count.store(listeners.len(), Ordering::Release);
    }
}
