//! What a handle stands for: a database, what is in memory of one, or a snapshot. All answer the same questions, so that one
//! set of hot functions serves the three.

use std::{ops::ControlFlow, sync::Arc};

use coppice_engine::{
    Arrivals, Error, KEY_ROOM_BYTES, ListRequest, ListVisitor, Range, Record, Snapshot, SplitKey, TreeId, resident,
};

use crate::open_database::OpenDatabase;

/// What a handle stands for.
pub(crate) enum Opened {
    Database(Arc<OpenDatabase>),
    Snapshot(Box<OpenSnapshot>),
    /// Reads of a database that do not wait for the disk.
    Resident(Box<Resident>),
}

/// A snapshot, and the handle of the database that it was taken of, which takes it along when it is closed.
pub(crate) struct OpenSnapshot {
    pub(crate) snapshot: Snapshot,
    pub(crate) database: u32,
}

/// What is in memory of a database, and where what is not is told of once it was read in.
pub(crate) struct Resident {
    pub(crate) open: Arc<OpenDatabase>,
    /// The database's handle, which takes this along when it is closed.
    pub(crate) database: u32,
    pub(crate) arrivals: Arc<Arrivals>,
}

/// Asks whichever of the three it is.
macro_rules! ask {
    ($opened:expr, $view:ident => $question:expr) => {
        match $opened {
            Opened::Database($view) => $question,
            Opened::Snapshot($view) => {
                let $view = &$view.snapshot;
                $question
            }
            Opened::Resident($view) => {
                let $view = &$view.open;
                resident(|| $question)
            }
        }
    };
}

impl Opened {
    #[inline]
    pub(crate) fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        ask!(self, view => view.get(tree, key, read))
    }

    /// [`Opened::get`] of a key behind [`KEY_ROOM_BYTES`] of room.
    #[inline(always)]
    pub(crate) fn get_roomed<R>(
        &self,
        tree: TreeId,
        roomed: &mut [u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        match self {
            Self::Database(database) => database.get_roomed(tree, roomed, read),
            _ => self.get(tree, roomed.get(KEY_ROOM_BYTES..).unwrap_or_default(), read),
        }
    }

    pub(crate) fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        ask!(self, view => view.get_many(tree, keys, read))
    }

    pub(crate) fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        ask!(self, view => view.longest_prefix(tree, key, read))
    }

    pub(crate) fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut impl FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        ask!(self, view => view.scan(tree, range, visit))
    }

    pub(crate) fn list(
        &self,
        tree: TreeId,
        request: &ListRequest<'_>,
        visit: &mut impl ListVisitor,
    ) -> Result<bool, Error> {
        ask!(self, view => view.list(tree, request, visit))
    }

    pub(crate) fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        ask!(self, view => view.count(tree, prefix))
    }

    pub(crate) fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        ask!(self, view => view.is_empty(tree, prefix))
    }

    /// The database that it is taken of, if it is by handle.
    pub(crate) fn is_of(&self, handle: u32) -> bool {
        match self {
            Self::Database(_) => false,
            Self::Snapshot(snapshot) => snapshot.database == handle,
            Self::Resident(resident) => resident.database == handle,
        }
    }

    /// The tree of this name. A database makes it where there is none; a snapshot shows an empty one.
    pub(crate) fn tree(&self, name: &str) -> Result<TreeId, Error> {
        ask!(self, view => view.tree(name))
    }
}
