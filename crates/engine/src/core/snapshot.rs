//! Snapshots, as the engine takes them and lets go of them.
//!
//! A snapshot is a frozen table over an image of the store, both taken in one moment in which nobody writes. The image keeps
//! every blob of the last durable cut where it is on disk; what changed since is held in memory. To take one costs what was
//! changed since the last checkpoint, a few dozen nanoseconds for each blob, and nothing for the others: those are looked for
//! when they are first read, in the live table or on disk.
//!
//! The engine knows its snapshots, so that its end can release them, and tell what they cost; it does not keep them.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use coppice_store::{Image, Store};
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use super::{Dropped, Engine, Reads, State, store_error};
use crate::{
    budget::HeldBytes,
    buffer::Buffer,
    error::{Error, ErrorCode},
    forest::Forest,
    table::{BlobKind, Hold, Info, Source, Table},
};

/// Where a frozen table finds what it does not hold.
pub(super) struct Frozen {
    pub(super) image: Option<Image>,
    live: Arc<Table>,
    /// The freeze's count, which the live table is told when it is asked for a blob.
    count: u64,
}

impl Source for Frozen {
    fn read(&self, blob: u32, into: &mut [u8]) -> Result<(), Error> {
        match &self.image {
            Some(image) => image.read(blob, into).map_err(store_error),
            None => Err(Error::new(
                ErrorCode::Internal,
                format!("blob {blob} was not held for its snapshot"),
            )),
        }
    }

    fn place(&self, blob: u32) -> String {
        format!("blobs (blob {blob}, as of a snapshot)")
    }

    fn info(&self, blob: u32) -> Option<Info> {
        let info = self.image.as_ref()?.info(blob)?;
        Some((BlobKind::from_byte(info.kind)?, info.bytes, (info.records, info.live)))
    }

    fn share(&self, blob: u32) -> Option<Buffer> {
        self.live.share(blob, self.count)
    }
}

/// All that a snapshot shows.
pub(crate) struct Shown {
    /// By blob: what is not as in the image.
    holds: Vec<Hold>,
    /// What all else is read from.
    pub(super) source: Arc<Frozen>,
    pub(super) table: Arc<Table>,
    /// How many blobs there are.
    pub(super) blobs: u64,
    /// Counts what is held.
    _counted: HeldBytes,
    version: u64,
    pub(super) next_tree: u32,
    nothing_dropped: Dropped,
}

impl Shown {
    /// What is held of a blob that is not as in the image.
    pub(super) fn hold(&self, blob: u32) -> Option<&Hold> {
        let at = self.holds.binary_search_by_key(&blob, |hold| hold.blob).ok()?;
        self.holds.get(at)
    }

    pub(crate) fn state(&self) -> State<'_> {
        State {
            forest: Forest::new(&self.table),
            sequence: self.version,
            next_tree: self.next_tree,
            dropped: &self.nothing_dropped,
        }
    }
}

/// A snapshot's hold on what it shows, until it or the database is closed.
pub(crate) struct View {
    version: u64,
    shown: RwLock<Option<Shown>>,
}

/// What a snapshot shows, kept for as long as this is.
pub(crate) type Showing<'v> = MappedRwLockReadGuard<'v, Shown>;

impl View {
    /// The last commit that it shows.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What it shows.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn shown(&self) -> Result<Showing<'_>, Error> {
        RwLockReadGuard::try_map(self.shown.read(), Option::as_ref)
            .map_err(|_| Error::new(ErrorCode::Closed, "the snapshot is closed"))
    }

    /// Reads it, in the engine that it is of.
    pub(crate) fn of<'v>(&'v self, engine: &'v Engine) -> Looking<'v> {
        Looking { view: self, engine }
    }

    /// Lets go of everything, once those are done who are looking at it.
    pub(crate) fn close(&self) {
        let shown = self.shown.write().take();
        drop(shown);
    }
}

/// A snapshot that is being read. What was changed since leaves room only once it is on disk, which its database sees to.
pub(crate) struct Looking<'v> {
    view: &'v View,
    engine: &'v Engine,
}

impl Reads for Looking<'_> {
    fn ask<R>(&self, question: &mut dyn FnMut(&mut State<'_>) -> Result<R, Error>) -> Result<R, Error> {
        self.engine.uncrowded(|| question(&mut self.view.shown()?.state()))
    }
}

/// The snapshots of an engine that have not been dropped.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Vec<Weak<View>>>);

/// What open snapshots cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SnapshotCosts {
    pub(super) open: u64,
    /// The version of the oldest.
    pub(super) oldest: Option<u64>,
    /// Blobs that changed or went since, and are in memory for snapshots alone.
    pub(super) held_blobs: u64,
}

impl Snapshots {
    fn add(&self, view: &Arc<View>) {
        let mut views = self.0.lock();
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(view));
    }

    fn all(&self) -> Vec<Arc<View>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Releases what they show.
    pub(super) fn close_all(&self) {
        for view in self.all() {
            view.close();
        }
    }

    pub(super) fn costs(&self) -> SnapshotCosts {
        let mut costs = SnapshotCosts::default();
        for view in self.all() {
            let Ok(shown) = view.shown() else { continue };
            costs.open += 1;
            costs.oldest = Some(costs.oldest.unwrap_or(view.version).min(view.version));
            let gone = shown.holds.iter().filter(|hold| !shown.source.live.is_as_held(hold));
            costs.held_blobs += gone.count() as u64;
        }
        costs
    }
}

impl Engine {
    /// Takes a snapshot.
    pub(crate) fn snapshot(&self) -> Result<Arc<View>, Error> {
        self.check_open()?;
        let (freeze, image, version, next_tree) = {
            let state = self.exclusive_to_hold();
            self.check_open()?;
            if self.table.budget().is_held_enough(0) {
                return Err(Error::new(
                    ErrorCode::NoSpace,
                    "snapshots hold as much of memory as they may",
                ));
            }
            // In this order: what becomes durable in between is in both.
            let freeze = self.table.freeze();
            let image = self.store().map(Store::image);
            (freeze, image, state.sequence, state.next_tree)
        };
        let source = Arc::new(Frozen {
            image,
            live: Arc::clone(&self.table),
            count: freeze.count(),
        });
        let table = self.table.frozen(&freeze, Arc::<Frozen>::clone(&source));
        let view = Arc::new(View {
            version,
            shown: RwLock::new(Some(Shown {
                blobs: freeze.blobs(),
                _counted: self.table.budget().hold(freeze.bytes()),
                holds: freeze.into_holds(),
                source,
                table,
                version,
                next_tree,
                nothing_dropped: Dropped::default(),
            })),
        });
        self.snapshots.add(&view);
        if let Err(closed) = self.check_open() {
            view.close();
            return Err(closed);
        }
        Ok(view)
    }
}
