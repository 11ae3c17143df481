//! The store: what the engine sees of all this.
//!
//! Reads here; how a database is made is in `store/build.rs`, how one is opened in `store/lifecycle.rs`, how a commit
//! becomes durable in `store/commit.rs`.
//!
//! Locks, in the order in which they are taken: the committer's mutex, held for a whole commit, I/O included, so that
//! there is one at a time; the slot map's lock; the mutex of the space. The latter two are never held over I/O.

mod build;
mod commit;
mod image;
mod lifecycle;
mod relocate;
mod salvage;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{OnceLock, atomic::AtomicU64, atomic::Ordering},
};

use coppice_defect::{Defect, planted};
use parking_lot::{Mutex, RwLock};

pub use build::Builder;
pub use commit::{BlobWrite, CommitReport, Epoch};
pub use image::Image;
pub use lifecycle::is_leftover;
pub use relocate::Relocation;
pub use salvage::Remains;

use crate::{
    BlobId, BlobInfo,
    blob_store::{BlobRead, BlobStore},
    digest::blob_digest,
    error::StoreError,
    extent::PAGE_BYTES,
    header::Header,
    slot_log::{Point, SlotLog},
    slot_map::{MapEntry, SlotMap},
    space::Space,
};

/// The name of the file of blobs.
pub(crate) const BLOBS_NAME: &str = "blobs";

/// The blobs of one database. All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Store {
    database_id: u128,
    frame_bytes: u32,
    blobs: Box<dyn BlobStore>,
    /// Absent in a store without files.
    committer: Mutex<Option<SlotLog>>,
    /// The first failure that left the disk's state unknown.
    poison: OnceLock<String>,
    state: RwLock<State>,
    space: Mutex<Space>,
    log_bytes: AtomicU64,
}

/// The last durable state.
#[derive(Debug, Default)]
struct State {
    map: SlotMap,
    point: Point,
}

/// Sizes of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// How many blobs there are.
    pub blobs: u64,
    /// Sum of their lengths.
    pub blob_bytes: u64,
    /// Bytes of the file of blobs, free ones included.
    pub file_bytes: u64,
    /// Bytes of it that the next commit may use.
    pub free_bytes: u64,
    /// Bytes of it that become free when the readers in them have left, or the images that name them are gone.
    pub retired_bytes: u64,
    /// Blobs that were replaced or deleted, and are kept for images.
    pub kept_blobs: u64,
    /// Bytes of the slot map's log.
    pub map_log_bytes: u64,
}

impl Store {
    /// What tells this database from every other.
    pub fn database_id(&self) -> u128 {
        self.database_id
    }

    /// The size of the database's frames, bytes: a constant of the database. The store itself takes blobs of any size.
    pub fn frame_bytes(&self) -> u32 {
        self.frame_bytes
    }

    fn header(&self) -> Header {
        Header {
            database_id: self.database_id,
            frame_bytes: self.frame_bytes,
            generation: 0,
        }
    }

    /// For simulations: the map's log is written anew when it has grown by so many bytes, and by twice what it began with.
    #[cfg(feature = "simulation")]
    pub fn rewrite_log_after(&self, bytes: u64) {
        if let Some(log) = self.committer.lock().as_mut() {
            log.rewrite_after(bytes);
        }
    }

    /// The commit sequence number that the blobs are the durable state of. 0 in a new store.
    pub fn cut(&self) -> u64 {
        self.state.read().point.cut
    }

    /// The first tree id never used, as the last commit stated it. 0 in a new store.
    pub fn next_tree(&self) -> u32 {
        self.state.read().point.next_tree
    }

    /// Every blob, by id, as of the last commit.
    pub fn entries(&self) -> Vec<(BlobId, BlobInfo)> {
        let state = self.state.read();
        let mut entries = Vec::with_capacity(state.map.blobs() as usize);
        (state.map.iter()).for_each(|(blob, entry)| entries.push((blob, entry.info())));
        entries
    }

    /// What is known of a blob without reading it.
    pub fn info(&self, blob: BlobId) -> Option<BlobInfo> {
        Some(self.state.read().map.get(blob)?.info())
    }

    /// Reads a blob whole. `into` is exactly as long as the blob. After an error, what is in `into` means nothing.
    ///
    /// # Errors
    /// `Absent` when there is no such blob, `Refused` when `into` has not its length, `Corrupt` when the bytes are not
    /// those that were written, `Io` when the disk fails.
    pub fn read(&self, blob: BlobId, into: &mut [u8]) -> Result<(), StoreError> {
        let (entry, era) = {
            let state = self.state.read();
            let entry = entry_to_read(&state.map, blob, into)?;
            (entry, self.space.lock().enter())
        };
        // What the page cache shows is as good as what the disk has, if it is what the map names.
        let extent = entry.extent();
        let result = match self.blobs.read_early(extent, into) && self.holds(blob, entry, into) {
            true => Ok(()),
            false => {
                let result = self.blobs.read(extent, into);
                self.check_read(blob, entry, into, result)
            }
        };
        self.space.lock().leave(era);
        result
    }

    /// Whether these are the bytes of a blob, as the map knows them.
    fn holds(&self, blob: BlobId, entry: MapEntry, bytes: &[u8]) -> bool {
        blob_digest(self.database_id, blob, bytes) == entry.digest()
    }

    /// Reads several blobs, all at once where the store can; the results are in their order, each as of
    /// [`Store::read`]. All are as of the same commit.
    pub fn read_many(&self, reads: &mut [(BlobId, &mut [u8])]) -> Vec<Result<(), StoreError>> {
        let (entries, era) = {
            let state = self.state.read();
            let entries: Vec<_> = (reads.iter())
                .map(|(blob, into)| entry_to_read(&state.map, *blob, into))
                .collect();
            (entries, self.space.lock().enter())
        };
        let results = self.read_entries(reads, entries);
        self.space.lock().leave(era);
        results
    }

    /// Reads what these entries name, whose extents nobody gives to anything else meanwhile.
    fn read_entries(
        &self,
        reads: &mut [(BlobId, &mut [u8])],
        entries: Vec<Result<MapEntry, StoreError>>,
    ) -> Vec<Result<(), StoreError>> {
        let mut batch: Vec<BlobRead<'_>> = (reads.iter_mut().zip(&entries))
            .filter_map(|((_, into), entry)| {
                let extent = entry.as_ref().ok()?.extent();
                Some(BlobRead { extent, into })
            })
            .collect();
        let mut done = self.blobs.read_batch(&mut batch).into_iter();
        let checked = reads.iter().zip(entries).map(|((blob, into), entry)| {
            let entry = entry?;
            let result = done.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into()));
            self.check_read(*blob, entry, into, result)
        });
        checked.collect()
    }

    /// Whether io_uring reads and writes the blobs.
    pub fn uses_io_uring(&self) -> bool {
        self.blobs.uses_io_uring()
    }

    fn check_read(
        &self,
        blob: BlobId,
        entry: MapEntry,
        bytes: &[u8],
        result: io::Result<()>,
    ) -> Result<(), StoreError> {
        let corrupt = |what: &str| StoreError::corrupt_blob(BLOBS_NAME, entry.extent().offset_bytes(), blob, what);
        match result {
            Ok(()) if self.holds(blob, entry, bytes) => Ok(()),
            Ok(()) if planted(Defect::BelievesBlobs) => Ok(()),
            Ok(()) => Err(corrupt("its bytes fail their digest")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(corrupt("the file ends before it does")),
            Err(error) => Err(StoreError::from_io(
                format!("reading blob {blob} from {BLOBS_NAME}"),
                error,
            )),
        }
    }

    /// Sizes, as of the last commit.
    pub fn stats(&self) -> StoreStats {
        let state = self.state.read();
        let mut space = self.space.lock();
        space.reclaim();
        let in_bytes = |pages: u64| pages * u64::from(PAGE_BYTES);
        StoreStats {
            blobs: u64::from(state.map.blobs()),
            blob_bytes: state.map.blob_bytes(),
            file_bytes: in_bytes(u64::from(space.end())),
            free_bytes: in_bytes(space.free_pages()),
            retired_bytes: in_bytes(space.retired_pages()),
            kept_blobs: space.kept_extents() as u64,
            map_log_bytes: self.log_bytes.load(Ordering::Relaxed),
        }
    }
}

fn entry_to_read(map: &SlotMap, blob: BlobId, into: &[u8]) -> Result<MapEntry, StoreError> {
    let entry = map.get(blob).ok_or(StoreError::Absent { blob })?;
    let bytes = entry.info().bytes;
    if into.len() != bytes as usize {
        return Err(StoreError::refused(format!(
            "blob {blob} has {bytes} bytes, not the {} that were asked for",
            into.len()
        )));
    }
    Ok(entry)
}
