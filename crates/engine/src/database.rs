//! The handle by which everybody outside uses a database.

#[cfg(test)]
mod tests;

use std::{
    fmt, mem,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    background::Background,
    backup::back_up,
    core::{Engine, Reads},
    error::{Error, ErrorCode},
    events::{Event, Listening, Recovery},
    fetch::Arrivals,
    operation::{Operation, Outcome},
    options::Options,
    registry::{self, Place},
    request::{Condition, ListRequest, ListVisitor, Range, Record, SplitKey, TreeId},
    resident::take_lacked,
    snapshot::Snapshot,
    stats::{CheckpointReport, Stats},
    verify::{OnProgress, VerifyReport},
    watch::Watch,
};

/// Bytes of commits that wait in memory for one watcher, before it has to read on in the journal.
const WATCH_QUEUE_BYTES: usize = 8 << 20;

/// A handle on an open database. Handles on the same folder share one engine; each is closed once. All methods may be
/// called from several threads at once, but in the process that opened it alone: in a child forked from that every call
/// fails with `Locked`. A handle that is dropped without being closed leaves what a crash would leave.
pub struct Database {
    pub(crate) engine: Arc<Engine>,
    pub(crate) place: Option<Place>,
    /// Of a volatile database; those in folders share one, which the registry keeps.
    pub(crate) background: Mutex<Option<Background>>,
    pub(crate) closed: AtomicBool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("folder", &self.engine.label())
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database in a folder. Recovery runs before this returns.
    ///
    /// # Errors
    /// `NotFound` where there is none and `options.create` is not set, or the parent folder is missing; `Locked` while
    /// another process has it open; `InvalidArgument` where the path is a file, or a folder with other things in it;
    /// `Corrupt`, `IncompatibleFormat`, `Io`, `NoSpace`.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, Error> {
        let (engine, place) = registry::acquire(folder, options)?;
        Ok(Self {
            engine,
            place: Some(place),
            background: Mutex::new(None),
            closed: AtomicBool::new(false),
        })
    }

    /// A volatile database of its own.
    ///
    /// # Errors
    /// `Io` where the system gives no thread.
    pub fn in_memory() -> Result<Self, Error> {
        let engine = Arc::new(Engine::in_memory(&Options::default())?);
        let background = Mutex::new(Some(Background::start(&engine)?));
        Ok(Self {
            engine,
            place: None,
            background,
            closed: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(crate) fn engine(&self) -> Result<&Engine, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed_error());
        }
        self.engine.check_process()?;
        Ok(&self.engine)
    }

    #[cold]
    fn closed_error(&self) -> Error {
        Error::new(ErrorCode::Closed, format!("{} is closed", self.engine.label()))
    }

    /// Opens a tree, creating it when absent.
    ///
    /// # Errors
    /// `InvalidArgument` for a name over 1024 bytes; what a write can fail with.
    pub fn tree(&self, name: &str) -> Result<TreeId, Error> {
        self.engine()?.tree(name)
    }

    /// The names of all trees, in byte order.
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`.
    pub fn trees(&self) -> Result<Vec<String>, Error> {
        self.engine()?.trees()
    }

    /// Calls `read` with the record while it is pinned. `read` must not call back into the database.
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`; `InvalidArgument` for a tree of another database.
    pub fn get<R>(&self, tree: TreeId, key: &[u8], read: impl FnOnce(Option<Record<'_>>) -> R) -> Result<R, Error> {
        self.engine()?.get(tree, key, read)
    }

    /// [`Database::get`] of a key that stands behind [`KEY_ROOM_BYTES`](crate::KEY_ROOM_BYTES) of room, which are written to:
    /// it costs a copy of the key less.
    ///
    /// # Errors
    /// As [`Database::get`].
    #[inline]
    pub fn get_roomed<R>(
        &self,
        tree: TreeId,
        roomed: &mut [u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        self.engine()?.get_roomed(tree, roomed, read)
    }

    /// Calls `read` with the record of each key, in their order, until it breaks. Cheaper than as many [`Database::get`]s:
    /// the keys wait for memory together. `read` must not call back into the database.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.engine()?.get_many(tree, keys, read)
    }

    /// Calls `read` with the record whose key is the longest stored prefix of `key`, itself included, and the length of its
    /// key. `read` must not call back into the database.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        self.engine()?.longest_prefix(tree, key, read)
    }

    /// Inserts or replaces. The new version; `None` where the condition did not hold.
    ///
    /// # Errors
    /// `KeyTooLarge` over 8192 bytes, `ValueTooLarge` over 16 MiB, `NoSpace`: nothing was done. `ReadOnly` since an
    /// earlier failure. `OutcomeUnknown` when this write's own record failed to reach the disk. `Closed`, `Corrupt`, `Io`.
    pub fn put(&self, tree: TreeId, key: &[u8], value: &[u8], condition: Condition) -> Result<Option<u64>, Error> {
        self.engine()?.put(tree, key, value, condition)
    }

    /// Puts in order, with one write to the journal for many; not atomic as a whole. Returns how many.
    ///
    /// # Errors
    /// As [`Database::put`]; the entries before the one that failed have been put.
    pub fn put_many<'a>(
        &self,
        tree: TreeId,
        entries: &mut dyn Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, Error> {
        self.engine()?.put_many(tree, entries)
    }

    /// Removes a record. False where there is none, or the condition did not hold.
    ///
    /// # Errors
    /// As [`Database::put`].
    pub fn delete(&self, tree: TreeId, key: &[u8], condition: Condition) -> Result<bool, Error> {
        self.engine()?.delete(tree, key, condition)
    }

    /// Moves one record to another key of its tree, with a new version and its value as it is. False where there is none, or
    /// where one is in the way and `overwrite` is not set. From a key to itself: true, with a new version, where `overwrite` is
    /// set and there is a record.
    ///
    /// # Errors
    /// As [`Database::put`].
    pub fn rename(&self, tree: TreeId, from: &[u8], to: &[u8], overwrite: bool) -> Result<bool, Error> {
        self.engine()?.rename(tree, from, to, overwrite)
    }

    /// Does operations in order as one commit, each seeing those before it: all of them, or none where the condition of one
    /// does not hold. Readers see none of it or all.
    ///
    /// # Errors
    /// `BatchTooLarge` over [`MAX_BATCH_BYTES`](crate::MAX_BATCH_BYTES), and as [`Database::put`]: nothing was done.
    pub fn commit(&self, operations: &[Operation<'_>]) -> Result<Outcome, Error> {
        self.engine()?.commit(operations)
    }

    /// Returns when what was written before the call is on disk; at [`Durability::None`](crate::Durability::None), at once.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the sync failed: the database is read-only from then on.
    pub fn persist(&self) -> Result<(), Error> {
        self.engine()?.persist()
    }

    /// Moves every key under `from` to under `to`, atomically, at a cost that does not grow with their number; how many.
    /// Records keep their versions.
    ///
    /// # Errors
    /// `InvalidArgument` where one prefix contains the other; `NotEmpty` where there are keys under `to`; `KeyTooLarge`
    /// where a key would grow past the limit; nothing was done then. As [`Database::put`] beside that.
    pub fn move_prefix(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.engine()?.move_prefix(tree, from, to)
    }

    /// Gives every key under `from` a second record, as it is, under `to`, atomically, at a cost that does not grow with their
    /// number; how many. Both sides share what they have in common until one of them is written to, and then all but what
    /// that touches. Records keep their versions.
    ///
    /// # Errors
    /// `NotEmpty` where there are keys under `to`; `KeyTooLarge` where a key would be longer than the limit;
    /// `InvalidArgument` where one of the two contains the other, or for more than 2^40 keys; nothing was done then. As
    /// [`Database::put`] beside that.
    pub fn clone_prefix(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.engine()?.clone_prefix(tree, from, to)
    }

    /// As [`Database::clone_prefix`], where `to` may lie below `from`, and what is copied is what was there before: journals may
    /// hold such a clone.
    ///
    /// # Errors
    /// As [`Database::clone_prefix`], but for that.
    #[cfg(feature = "simulation")]
    pub fn clone_within(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.engine()?.clone_within(tree, from, to)
    }

    /// Removes every key under the prefix, atomically, at a cost that does not grow with their number; how many. Their
    /// space comes back in the background.
    ///
    /// # Errors
    /// As [`Database::put`].
    pub fn delete_prefix(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.engine()?.delete_prefix(tree, prefix)
    }

    /// Removes a tree with all its keys; false where there is none of that name. Every use of its [`TreeId`] fails with
    /// `TreeDropped` from then on; a tree made by that name later is another.
    ///
    /// # Errors
    /// As [`Database::put`].
    pub fn drop_tree(&self, name: &str) -> Result<bool, Error> {
        self.engine()?.drop_tree(name)
    }

    /// Visits records in key order, or against it, until `visit` breaks. True when the range was exhausted. `visit` must
    /// not call back into the database.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut (impl FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()> + ?Sized),
    ) -> Result<bool, Error> {
        self.engine()?.scan(tree, range, visit)
    }

    /// Visits up to `request.limit` items, or until `visit` breaks, which leaves the item that it broke at; true when there
    /// are more. Subtrees that roll up are skipped, not scanned.
    /// `visit` must not call back into the database.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn list(&self, tree: TreeId, request: &ListRequest<'_>, visit: &mut impl ListVisitor) -> Result<bool, Error> {
        self.engine()?.list(tree, request, visit)
    }

    /// How many keys start with `prefix`, without visiting them.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.engine()?.count(tree, prefix)
    }

    /// Whether no key starts with `prefix`.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        self.engine()?.is_empty(tree, prefix)
    }

    /// Where one reader learns of what [`Database::fetch`] has read in for it. `wake` is called on another thread when there
    /// is something to take, and not again before all of it was taken; it must be quick.
    ///
    /// # Errors
    /// `Closed`.
    pub fn arrivals(&self, wake: impl Fn() + Send + Sync + 'static) -> Result<Arc<Arrivals>, Error> {
        Ok(Arrivals::new(self.engine()?.fetcher(), Box::new(wake)))
    }

    /// Has a thread of the engine's read in what the last read within [`resident`](crate::resident()) on this thread lacked,
    /// and then tells `arrivals` under this number. Those who want the same share one read. `urgent` is for a read that has
    /// waited before: what it was given then may soon have to make way for others.
    ///
    /// # Errors
    /// `Closed`; `Io` where the system gives no thread. What the read itself fails with is told.
    pub fn fetch(&self, arrivals: &Arc<Arrivals>, ticket: u32, urgent: bool) -> Result<(), Error> {
        self.engine()?.fetcher().fetch(&take_lacked(), arrivals, ticket, urgent)
    }

    /// The changes to keys of a tree that start with `prefix`, in commit order: from now on, or those behind the version
    /// `after`. They are told once they are visible, which may be before they are on disk. See [`Watch`].
    ///
    /// # Errors
    /// `InvalidArgument` where `after` is behind the last commit, or the journal does not hold all that came since;
    /// `TreeDropped`, `Closed`.
    pub fn watch(&self, tree: TreeId, prefix: &[u8], after: Option<u64>) -> Result<Watch, Error> {
        self.engine()?;
        self.engine.watch(tree, prefix, after, WATCH_QUEUE_BYTES)
    }

    /// Returns when all that was written before the call is on disk.
    ///
    /// # Errors
    /// `Io` when the sync failed: the database is read-only from then on.
    pub fn flush(&self) -> Result<(), Error> {
        self.engine()?.flush()
    }

    /// Returns when all that was written before the call is in the blob store and the journal is trimmed.
    ///
    /// # Errors
    /// `NoSpace`: nothing was lost, and a later one may succeed. `Io`: the database is read-only from then on.
    pub fn checkpoint(&self) -> Result<CheckpointReport, Error> {
        self.engine()?.checkpoint()
    }

    /// A view of every tree as of now, which nothing changes. Costs what was changed since the last checkpoint: a few dozen
    /// nanoseconds for each frame, while writers wait.
    ///
    /// # Errors
    /// `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot {
            view: self.engine()?.snapshot()?,
            engine: Arc::clone(&self.engine),
        })
    }

    /// Frees what was deleted, checkpoints, and gives file space back: how many bytes. Others read and write meanwhile.
    /// `on_progress` is told of bytes moved. It also happens by itself, where more than two thirds of the file are free.
    ///
    /// # Errors
    /// As [`Database::checkpoint`]; `Corrupt` where a blob that was to be moved is damaged: it stays; `Aborted` where
    /// `on_progress` breaks: what was given back until then is.
    pub fn compact(&self, on_progress: OnProgress<'_>) -> Result<u64, Error> {
        self.engine()?.compact(on_progress)
    }

    /// Copies the state as of now to a new or empty folder, where it is a database of its own, while others read and write.
    /// Durable on return. `on_progress` is told of blobs. After an error the folder is as it was before.
    ///
    /// # Errors
    /// `InvalidArgument` where the destination is a file, is not empty, or lies inside the database; `NotFound` where its
    /// parent is missing; `NoSpace`, `Io`, `Locked`; `Corrupt` where what is to be copied is damaged; `ReadOnly` since an
    /// earlier failure; `Aborted` where `on_progress` breaks; `Closed`.
    pub fn backup(&self, destination: &Path, on_progress: OnProgress<'_>) -> Result<(), Error> {
        back_up(self.engine()?, self.place.as_ref(), destination, on_progress)
    }

    /// Reads everything that is on disk and checks it, and how the frames of the state as of now hang together. Changes
    /// nothing; others read and write meanwhile. File space that checkpoints free is not used again before the end.
    ///
    /// # Errors
    /// `Closed`; `Aborted` where `on_progress` breaks. What is wrong with the database is in the report.
    pub fn verify(&self, on_progress: OnProgress<'_>) -> Result<VerifyReport, Error> {
        self.engine()?.verify(on_progress)
    }

    /// Calls `listener` with each event until what is returned is dropped. It is called on whatever thread the event
    /// happens, must be quick, and must not call back into the database.
    ///
    /// # Errors
    /// `Closed`.
    pub fn listen(&self, listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Result<Listening, Error> {
        Ok(self.engine()?.events.listen(Box::new(listener)))
    }

    /// What recovery did when the engine was opened, once; `None` where there was nothing to recover, or it was asked for
    /// before.
    ///
    /// # Errors
    /// `Closed`.
    pub fn take_recovery(&self) -> Result<Option<Recovery>, Error> {
        Ok(self.engine()?.recovery.lock().take())
    }

    /// Counters and sizes.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn stats(&self) -> Result<Stats, Error> {
        self.engine()?.stats()
    }

    /// Flushes, checkpoints and releases, when this is the last handle. A second call does nothing; every other call
    /// after it fails with [`ErrorCode::Closed`].
    ///
    /// # Errors
    /// What could not be made durable, and why. The handle is closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Err(error) = self.engine.check_process() {
            self.leave_to_parent();
            return Err(error);
        }
        match &self.place {
            Some(place) => registry::release(place, true),
            None => {
                drop(self.background.lock().take());
                self.engine.shut_down()
            }
        }
    }
}

impl Database {
    /// In a forked child: the threads to end are not there.
    fn leave_to_parent(&self) {
        if let Some(mut background) = self.background.try_lock() {
            mem::forget(background.take());
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.engine.check_process().is_err() {
            self.leave_to_parent();
            return;
        }
        if let Some(place) = &self.place
            && !self.closed.swap(true, Ordering::AcqRel)
        {
            // Without a shutdown there is nothing that could fail.
            let _ = registry::release(place, false);
        }
    }
}
