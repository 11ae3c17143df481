//! One open database: the forest, its journal and store, and the rules that tie them together.
//!
//! Locks, in the order in which they are taken: `checkpointing`, held for a whole checkpoint, so that there is one at a
//! time; `state`, held by readers shared and by each change alone. The journal and the store have locks of their own and
//! call nothing here. `state` is held over an append to the journal (which does not wait for the disk) and over the read
//! of a blob that is not in memory, never over a sync or a checkpoint's writes.
//!
//! A change is checked, then appended to the journal, then applied; so the journal's order is the order of versions, and
//! what is refused has had no effect.

mod batch;
mod checkpoint;
mod open;
mod read;
mod report;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use coppice_disk::{Disk, FolderLock};
use coppice_journal::Journal;
use coppice_store::Store;
use parking_lot::{Mutex, RwLock};

use crate::{
    error::{Error, ErrorCode},
    forest::Forest,
    options::Options,
};

/// Bytes of a tree's number in front of its keys.
pub(crate) const TREE_BYTES: usize = 4;
/// The tree of names.
pub(crate) const CATALOG: u32 = 0;

/// What changes with each commit.
pub(crate) struct State {
    pub(crate) forest: Forest,
    /// The last commit.
    pub(crate) sequence: u64,
    /// The first tree number that was never used.
    pub(crate) next_tree: u32,
}

/// Where a database that outlives its process is kept.
pub(crate) struct Durable {
    pub(crate) store: Arc<Store>,
    pub(crate) journal: Journal,
    disk: Arc<dyn Disk>,
    /// Held until the engine is closed.
    lock: Mutex<Option<FolderLock>>,
}

#[derive(Default)]
struct Rounds {
    done: u64,
    failed: u64,
    bytes_written: u64,
    last_error: Option<String>,
}

pub(crate) struct Engine {
    state: RwLock<State>,
    durable: Option<Durable>,
    options: Options,
    checkpointing: Mutex<()>,
    rounds: Mutex<Rounds>,
    closed: AtomicBool,
    /// The first failure after which nothing may be written.
    poison: OnceLock<Error>,
}

impl Engine {
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn durable(&self) -> Option<&Durable> {
        self.durable.as_ref()
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the database is closed"));
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.check_open()?;
        match self.poison.get() {
            Some(cause) => Err(Error::new(
                ErrorCode::ReadOnly,
                format!(
                    "the database takes no writes since an earlier failure: {}",
                    cause.message()
                ),
            )),
            None => Ok(()),
        }
    }

    /// Remembers a failure that leaves it open what is on disk, or in memory: from here on the database is read-only.
    fn poison(&self, cause: &Error) {
        let _ = self.poison.set(cause.clone());
    }

    /// Fails every call from here on. Changes under way are finished first: they look again once they hold the state.
    fn mark_closed(&self) {
        let _state = self.state.write();
        self.closed.store(true, Ordering::Release);
    }

    /// Lets others open the folder.
    fn unlock(&self) {
        if let Some(durable) = &self.durable {
            durable.lock.lock().take();
        }
    }

    /// Ends without making anything durable that is not so already.
    pub(crate) fn abandon(&self) {
        self.mark_closed();
        self.unlock();
    }
}
