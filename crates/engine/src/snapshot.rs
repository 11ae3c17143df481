//! Snapshots, as everybody outside uses them.

use std::{fmt, ops::ControlFlow, sync::Arc};

use crate::{
    core::{Engine, Looking, Reads, View},
    error::Error,
    request::{ListRequest, ListVisitor, Range, Record, SplitKey, TreeId},
};

/// A view of every tree as of one commit, which nothing changes any more. All methods may be called from several threads at
/// once, and wait for no writer; writers do not wait for them either. Released when it is dropped or closed, or when the
/// database is; what it shows fails with [`Closed`](crate::ErrorCode::Closed) from then on.
///
/// While it lives, what is written to a blob that it holds in memory is written to a copy, and the file of blobs keeps what
/// checkpoints replace of it.
pub struct Snapshot {
    pub(crate) engine: Arc<Engine>,
    pub(crate) view: Arc<View>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("folder", &self.engine.label())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    fn looking(&self) -> Looking<'_> {
        self.view.of(&self.engine)
    }

    /// The last commit that it shows.
    pub fn version(&self) -> u64 {
        self.view.version()
    }

    /// The tree of this name; [`TreeId::ABSENT`] where there was none. Other databases' and other snapshots' numbers are not
    /// this one's.
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`.
    pub fn tree(&self, name: &str) -> Result<TreeId, Error> {
        let found = self.looking().tree_named(name)?;
        Ok(found.unwrap_or(TreeId::ABSENT))
    }

    /// The names of all trees, in byte order.
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`.
    pub fn trees(&self) -> Result<Vec<String>, Error> {
        self.looking().trees()
    }

    /// As [`Database::get`](crate::Database::get).
    ///
    /// # Errors
    /// `Closed`, `Corrupt`, `Io`; `InvalidArgument` for a tree that the snapshot cannot have.
    pub fn get<R>(&self, tree: TreeId, key: &[u8], read: impl FnOnce(Option<Record<'_>>) -> R) -> Result<R, Error> {
        self.looking().get_still(tree, key, read)
    }

    /// As [`Database::get_many`](crate::Database::get_many).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.looking().get_many(tree, keys, read)
    }

    /// As [`Database::longest_prefix`](crate::Database::longest_prefix).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        self.looking().longest_prefix(tree, key, read)
    }

    /// As [`Database::scan`](crate::Database::scan).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut (impl FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()> + ?Sized),
    ) -> Result<bool, Error> {
        self.looking().scan(tree, range, visit)
    }

    /// As [`Database::list`](crate::Database::list).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn list(&self, tree: TreeId, request: &ListRequest<'_>, visit: &mut impl ListVisitor) -> Result<bool, Error> {
        self.looking().list(tree, request, visit)
    }

    /// As [`Database::count`](crate::Database::count). The first count of a snapshot walks the upper frames.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.looking().count(tree, prefix)
    }

    /// As [`Database::is_empty`](crate::Database::is_empty).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        self.looking().is_empty(tree, prefix)
    }

    /// Releases what it shows, once those are done who are reading it. A second call does nothing.
    pub fn close(&self) {
        self.view.close();
    }
}
