//! One open database: the forest, its journal and store, and the rules that tie them together.
//!
//! Locks, in the order in which they are taken: the checkpointer's, held while a cut is planned, so that one is at a time;
//! `state`, held by readers shared and by each change alone. The journal and the store have locks of their own and call
//! nothing here. `state` is held over an append to the journal (which does not wait for the disk) and over the read
//! of a blob that is not in memory, never over a sync or a checkpoint's writes.
//!
//! A change is checked, then appended to the journal, then applied; so the journal's order is the order of versions, and
//! what is refused has had no effect.

mod apply;
mod backup;
mod batch;
mod checkpoint;
mod compact;
mod dropped;
mod in_place;
mod memory;
#[cfg(all(test, shuttle))]
mod models;
mod open;
mod read;
mod report;
mod snapshot;
mod subtree;
#[cfg(test)]
mod tests;
mod verify;
mod watch;
mod write;

pub(crate) use checkpoint::store_error;
pub(crate) use open::NewDatabase;
pub(crate) use read::Reads;
pub(crate) use snapshot::{Looking, View};
use snapshot::{Shown, Snapshots};
pub(crate) use write::{journal_error, replay_error};

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use coppice_disk::{Disk, FolderLock};
use coppice_journal::Journal;
use coppice_store::Store;
use coppice_sync::{AtomicBool, RwLockReadGuard, RwLockWriteGuard};
use parking_lot::Mutex;

use self::dropped::Dropped;
use crate::{
    background::Signal,
    checkpointer::Checkpointer,
    error::{Error, ErrorCode},
    events::{Event, Events, Recovery},
    feed::Feed,
    fetch::Fetcher,
    forest::Forest,
    options::{KEY_ROOM_BYTES, Options},
    process::Origin,
    table::Table,
};

/// Bytes of a tree's number in front of its keys.
pub(crate) const TREE_BYTES: usize = KEY_ROOM_BYTES;
/// The tree of names.
pub(crate) const CATALOG: u32 = 0;

/// What changes with each commit, as one operation sees it.
pub(crate) struct State<'t> {
    pub(crate) forest: Forest<'t>,
    /// The last commit.
    pub(crate) sequence: u64,
    /// The first tree number that was never used.
    pub(crate) next_tree: u32,
    dropped: &'t Dropped,
}

/// The state while no frames are split, joined or moved; records may change.
pub(crate) struct Shared<'e> {
    state: State<'e>,
    _lock: RwLockReadGuard<'e, ()>,
}

/// The state for one writer alone. Readers without locks go on.
pub(crate) struct Exclusive<'e> {
    state: State<'e>,
    engine: &'e Engine,
    _lock: RwLockWriteGuard<'e, ()>,
}

impl<'e> Deref for Shared<'e> {
    type Target = State<'e>;

    fn deref(&self) -> &State<'e> {
        &self.state
    }
}

impl<'e> DerefMut for Shared<'e> {
    fn deref_mut(&mut self) -> &mut State<'e> {
        &mut self.state
    }
}

impl<'e> Deref for Exclusive<'e> {
    type Target = State<'e>;

    fn deref(&self) -> &State<'e> {
        &self.state
    }
}

impl<'e> DerefMut for Exclusive<'e> {
    fn deref_mut(&mut self) -> &mut State<'e> {
        &mut self.state
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.engine.sequence.store(self.state.sequence, Ordering::Release);
        self.engine.next_tree.store(self.state.next_tree, Ordering::Release);
        self.engine.feed.release();
    }
}

/// The folder that a database is kept in.
pub(crate) struct Folder {
    pub(crate) store: Arc<Store>,
    disk: Arc<dyn Disk>,
    /// Of one who only reads: shared with others. Held until the engine is closed.
    lock: Mutex<Option<FolderLock>>,
}

/// What makes a database outlive its process.
pub(crate) struct Durable {
    pub(crate) folder: Folder,
    pub(crate) journal: Arc<Journal>,
    pub(crate) checkpointer: Checkpointer,
}

pub(crate) struct Engine {
    table: Arc<Table>,
    /// The last commit.
    sequence: AtomicU64,
    /// How often a writer waited because the journal was past its limit, or for room in memory.
    stalls: AtomicU64,
    /// The first tree number that was never used.
    next_tree: AtomicU32,
    dropped: Dropped,
    snapshots: Snapshots,
    /// Told of each commit, behind its application.
    feed: Feed,
    durable: Option<Durable>,
    /// Of a database that is only read.
    read_only: Option<Folder>,
    options: Options,
    /// How the background thread is reached.
    signal: Arc<Signal>,
    closed: AtomicBool,
    origin: Origin,
    /// The first failure after which nothing may be written.
    poison: Arc<OnceLock<Error>>,
    pub(crate) events: Arc<Events>,
    /// What recovery did, until somebody asks; nothing where there was nothing to do.
    pub(crate) recovery: Mutex<Option<Recovery>>,
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the database is closed")
}

impl Engine {
    #[inline]
    fn state(&self) -> State<'_> {
        State {
            forest: Forest::new(&self.table),
            sequence: self.sequence.load(Ordering::Acquire),
            next_tree: self.next_tree.load(Ordering::Acquire),
            dropped: &self.dropped,
        }
    }

    fn shared(&self) -> Shared<'_> {
        let lock = self.table.keep_still();
        Shared {
            state: self.state(),
            _lock: lock,
        }
    }

    fn exclusive(&self) -> Exclusive<'_> {
        let lock = self.table.have_alone();
        let mut state = self.state();
        state.forest.table.have_alone();
        Exclusive {
            state,
            engine: self,
            _lock: lock,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Who reads in for those who do not wait.
    pub(crate) fn fetcher(&self) -> &Arc<Fetcher> {
        self.table.fetcher()
    }

    /// From now on there are threads to read in for those who do not wait, once somebody does not.
    pub(crate) fn attend_to_fetches(&self) {
        self.fetcher().attend(&self.table);
    }

    pub(crate) fn durable(&self) -> Option<&Durable> {
        self.durable.as_ref()
    }

    /// Fails in a child that was forked from the process that opened the database.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        match self.origin.is_here() {
            true => Ok(()),
            false => Err(self.forked()),
        }
    }

    #[cold]
    fn forked(&self) -> Error {
        let message = format!(
            "{} is open in the process that this one was forked from, and can be used only there",
            self.label()
        );
        Error::new(ErrorCode::Locked, message)
    }

    /// The folder, if it is kept in one.
    fn folder(&self) -> Option<&Folder> {
        let durable = self.durable.as_ref().map(|durable| &durable.folder);
        durable.or(self.read_only.as_ref())
    }

    /// Where blobs are kept, if they are.
    fn store(&self) -> Option<&Arc<Store>> {
        self.folder().map(|folder| &folder.store)
    }

    /// Whether it was opened for reading only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    #[inline]
    fn check_open(&self) -> Result<(), Error> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(closed()),
            false => Ok(()),
        }
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.check_sound()?;
        if self.is_read_only() {
            return Err(Error::new(ErrorCode::ReadOnly, "the database is open read-only"));
        }
        Ok(())
    }

    /// Fails where what is in memory may be half of a change.
    fn check_sound(&self) -> Result<(), Error> {
        self.check_open()?;
        match self.failure() {
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

    /// The first failure after which nothing may be written, the journal's own included: a sync of its segments may fail when
    /// a checkpoint trims it, or when its thread makes one.
    fn failure(&self) -> Option<&Error> {
        if self.poison.get().is_none()
            && let Some(durable) = &self.durable
            && let Some(error) = durable.journal.failure()
        {
            self.poison(&journal_error(&error, ErrorCode::Io));
        }
        self.poison.get()
    }

    /// Remembers a failure that leaves it open what is on disk, or in memory: from here on the database is read-only.
    pub(crate) fn poison(&self, cause: &Error) {
        if self.poison.set(cause.clone()).is_ok() {
            self.events.tell(Event::Failure(cause));
        }
    }

    /// Fails every call from here on. Changes under way are finished first: they look again once they hold the state; and so
    /// is what is being read of snapshots, which are released.
    fn mark_closed(&self) {
        let state = self.exclusive();
        self.closed.store(true, Ordering::Release);
        drop(state);
        self.feed.close();
        self.snapshots.close_all();
    }

    /// Ends the threads, the journal's after the one that trims it, then lets others open the folder.
    fn end(&self) {
        self.fetcher().stop();
        if let Some(durable) = &self.durable {
            durable.checkpointer.stop();
            durable.journal.close();
        }
        if let Some(folder) = self.folder() {
            folder.lock.lock().take();
        }
    }

    /// Ends without making anything durable that is not so already.
    pub(crate) fn abandon(&self) {
        self.mark_closed();
        self.end();
    }
}
