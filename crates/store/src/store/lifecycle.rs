//! How a database's files are opened again; how they come into being is in `store/build.rs`.
//!
//! The file `blobs` begins with a page of its own: the header (header.rs) and zeros. Extents lie behind it.
//!
//! Without a superblock there is no database, only what a creation that was cut short has left: at most `blobs` of one page
//! and a log without a commit, which the next creation removes. If there is more than that, a superblock has been lost,
//! and neither opening nor creating touches the files.

use std::sync::{Arc, OnceLock, atomic::AtomicU64};

use coppice_disk::Disk;
use parking_lot::{Mutex, RwLock};

use super::{BLOBS_NAME, State, Store};
use crate::{
    BlobId,
    allocator::{Allocator, ExtentFault},
    blob_store::{BlobStore, IoUring, in_file},
    error::{IoContext, StoreError},
    extent::{Extent, PAGE_BYTES},
    header::{FileKind, HEADER_BYTES, Header},
    memory_store::MemoryStore,
    publish::TEMPORARY_SUFFIX,
    slot_log::{EMPTY_LOG_BYTES, Recovered, SlotLog, generation_of},
    slot_map::SlotMap,
    space::Space,
    superblock::{self, SUPERBLOCK_NAME, is_frame_size},
};

/// Pages of `blobs` before the first extent.
pub(super) const FIRST_PAGE: u32 = 1;

impl Store {
    /// Opens the database in a folder: reads the superblock and the slot map, checks both and that the extents fit the
    /// file and each other. Blobs are checked when they are read.
    ///
    /// # Errors
    /// `NotADatabase`; `Corrupt`, `Incompatible`; `Io`; `Unsupported` where io_uring must be used and cannot.
    pub fn open(disk: Arc<dyn Disk>, io_uring: IoUring) -> Result<Self, StoreError> {
        // What is seen must be what a power cut would leave.
        disk.sync().context(|| format!("syncing {}", disk.label()))?;
        let names = list(disk.as_ref())?;
        if !names.iter().any(|name| name == SUPERBLOCK_NAME) {
            check_nothing_committed(disk.as_ref(), &names)?;
            return Err(StoreError::NotADatabase { folder: disk.label() });
        }
        let header = superblock::read(disk.as_ref())?;
        let blobs = match disk.open(BLOBS_NAME) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::corrupt(BLOBS_NAME, 0, "the file is missing"));
            }
            other => other.context(|| format!("opening {BLOBS_NAME}"))?,
        };
        blobs.sync_data().context(|| format!("syncing {BLOBS_NAME}"))?;
        // Through the system's cache, before the file goes past it: this page is never written again.
        let mut first = [0; HEADER_BYTES];
        blobs.read_exact_at(0, &mut first).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => StoreError::corrupt(BLOBS_NAME, 0, ENDS_EARLY),
            _ => StoreError::from_io(format!("reading {BLOBS_NAME}"), error),
        })?;
        check_header(&first, header)?;
        let blobs = in_file(blobs, io_uring).map_err(|source| StoreError::Unsupported {
            what: format!("reaching {BLOBS_NAME} by io_uring"),
            source,
        })?;
        let (log, Recovered { map, point }) = SlotLog::open(disk, header.database_id, header.frame_bytes, &names)?;
        Self::assemble(header, blobs, Some(log), State { map, point })
    }

    /// A store without files: everything is gone with it.
    ///
    /// # Errors
    /// `Refused` for a frame size that is not whole pages.
    pub fn in_memory(database_id: u128, frame_bytes: u32) -> Result<Self, StoreError> {
        check_frame_size(frame_bytes)?;
        let header = Header {
            database_id,
            frame_bytes,
            generation: 0,
        };
        Self::assemble(header, Box::new(MemoryStore::new()), None, State::default())
    }

    fn assemble(
        header: Header,
        blobs: Box<dyn BlobStore>,
        log: Option<SlotLog>,
        state: State,
    ) -> Result<Self, StoreError> {
        let end = blobs
            .len_pages()
            .context(|| format!("reading the length of {BLOBS_NAME}"))?;
        let allocator = allocator_of(&state.map, end)?;
        Ok(Self {
            database_id: header.database_id,
            frame_bytes: header.frame_bytes,
            blobs,
            log_bytes: AtomicU64::new(log.as_ref().map_or(0, SlotLog::bytes)),
            committer: Mutex::new(log),
            poison: OnceLock::new(),
            state: RwLock::new(state),
            space: Mutex::new(Space::new(allocator)),
        })
    }
}

pub(super) fn check_frame_size(frame_bytes: u32) -> Result<(), StoreError> {
    if is_frame_size(frame_bytes) {
        return Ok(());
    }
    Err(StoreError::refused(format!(
        "frames cannot have {frame_bytes} bytes: not a multiple of {PAGE_BYTES}, or too many"
    )))
}

pub(super) fn list(disk: &dyn Disk) -> Result<Vec<String>, StoreError> {
    disk.list().context(|| format!("listing {}", disk.label()))
}

/// Whether a file of this name, in a folder without a superblock, can be what a creation that was cut short has left. A file
/// that only shares the name of ours is not: nothing of somebody else's may be removed.
///
/// # Errors
/// Those of the disk.
pub fn is_leftover(disk: &dyn Disk, name: &str) -> std::io::Result<bool> {
    if name != BLOBS_NAME {
        return Ok(is_ours(name));
    }
    let file = disk.open(name)?;
    let mut start = [0; 8];
    let read = file.read_at(0, &mut start)?;
    // The page may have reached the disk as zeros.
    Ok(read == 0 || start == [0; 8] || start == FileKind::Blobs.magic())
}

/// Whether a file is one of the store's, the superblock aside.
pub(super) fn is_ours(name: &str) -> bool {
    let published = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
    name == BLOBS_NAME
        || generation_of(published).is_some()
        || (published == SUPERBLOCK_NAME && published.len() < name.len())
}

/// Without a superblock: refuses a folder in which a database has lived.
pub(super) fn check_nothing_committed(disk: &dyn Disk, names: &[String]) -> Result<(), StoreError> {
    for name in names {
        let most = if name == BLOBS_NAME {
            u64::from(FIRST_PAGE) * u64::from(PAGE_BYTES)
        } else if generation_of(name).is_some() {
            EMPTY_LOG_BYTES
        } else {
            continue;
        };
        let len = disk.open(name).and_then(|file| file.len());
        if len.context(|| format!("reading the length of {name}"))? > most {
            return Err(StoreError::corrupt(
                SUPERBLOCK_NAME,
                0,
                format!("the file is missing, although {name} has contents"),
            ));
        }
    }
    Ok(())
}

/// Reads the superblock once more.
pub(super) fn check_superblock(disk: &dyn Disk, expected: Header) -> Result<(), StoreError> {
    if superblock::read(disk)? != expected {
        return Err(StoreError::corrupt(
            SUPERBLOCK_NAME,
            0,
            "it belongs to another database",
        ));
    }
    Ok(())
}

const ENDS_EARLY: &str = "it ends within its first page";

pub(super) fn check_first_page(blobs: &dyn BlobStore, expected: Header) -> Result<(), StoreError> {
    let mut bytes = [0; HEADER_BYTES];
    let pages = blobs
        .len_pages()
        .context(|| format!("reading the length of {BLOBS_NAME}"))?;
    let Some(page) = Extent::new(0, FIRST_PAGE).filter(|_| pages >= FIRST_PAGE) else {
        return Err(StoreError::corrupt(BLOBS_NAME, 0, ENDS_EARLY));
    };
    blobs
        .read(page, &mut bytes)
        .context(|| format!("reading {BLOBS_NAME}"))?;
    check_header(&bytes, expected)
}

fn check_header(bytes: &[u8; HEADER_BYTES], expected: Header) -> Result<(), StoreError> {
    if Header::decode(bytes, FileKind::Blobs, BLOBS_NAME)? != expected {
        return Err(StoreError::corrupt(BLOBS_NAME, 0, "it belongs to another database"));
    }
    Ok(())
}

/// Everything that the map does not name is free.
fn allocator_of(map: &SlotMap, end: u32) -> Result<Allocator, StoreError> {
    let mut used: Vec<Extent> = Vec::with_capacity(map.blobs() as usize);
    map.iter().for_each(|(_, entry)| used.push(entry.extent()));
    Allocator::rebuild(FIRST_PAGE, end, &mut used).map_err(|fault| {
        let (extent, what) = match fault {
            ExtentFault::OutOfRange(extent) => (extent, "the file ends before it does"),
            ExtentFault::Overlap(extent) => (extent, "the map puts it where another blob is"),
        };
        let blob = map.iter().find(|(_, entry)| entry.extent() == extent);
        let blob: BlobId = blob.map_or(0, |(blob, _)| blob);
        StoreError::corrupt_blob(BLOBS_NAME, extent.offset_bytes(), blob, what)
    })
}
