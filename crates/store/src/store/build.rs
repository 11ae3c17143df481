//! Making a database's files: empty, or with everything in it that another one has.
//!
//! **In this order:** `blobs`, the map log, the superblock; each is durable before the next is begun. So until
//! [`Builder::finish`] returns, the folder holds no database, however much was written.

use std::sync::Arc;

use coppice_defect::{Defect, planted};
use coppice_disk::Disk;

use super::{
    BLOBS_NAME, Store,
    commit::BlobWrite,
    lifecycle::{FIRST_PAGE, check_frame_size, check_nothing_committed, is_ours, list},
};
use crate::{
    BlobId, BlobInfo, MAX_BLOB_BYTES,
    blob_store::{BlobStore, IoUring},
    digest::blob_digest,
    error::{IoContext, StoreError},
    extent::{Extent, pages_for},
    file_store::FileStore,
    header::{FileKind, Header},
    publish::remove_if_there,
    slot_log::{Point, SlotLog},
    slot_map::{MapEntry, SlotMap},
    superblock::{self, SUPERBLOCK_NAME},
};

/// A database in the making.
#[derive(Debug)]
pub struct Builder {
    disk: Arc<dyn Disk>,
    header: Header,
    blobs: FileStore,
    map: SlotMap,
    /// The first page behind all that was written.
    end: u32,
}

impl Builder {
    /// Begins a database in a folder that has none. What a creation that was cut short has left is removed first; other
    /// files in the folder are left alone.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn begin(disk: Arc<dyn Disk>, database_id: u128, frame_bytes: u32) -> Result<Self, StoreError> {
        check_frame_size(frame_bytes)?;
        let names = list(disk.as_ref())?;
        if names.iter().any(|name| name == SUPERBLOCK_NAME) {
            return Err(StoreError::AlreadyADatabase { folder: disk.label() });
        }
        check_nothing_committed(disk.as_ref(), &names)?;
        for name in names.iter().filter(|name| is_ours(name)) {
            remove_if_there(disk.as_ref(), name).context(|| format!("removing {name}"))?;
        }

        let header = Header {
            database_id,
            frame_bytes,
            generation: 0,
        };
        let blobs = disk.create(BLOBS_NAME).context(|| format!("creating {BLOBS_NAME}"))?;
        let blobs = FileStore::new(blobs);
        write_first_page(&blobs, header).context(|| format!("creating {BLOBS_NAME}"))?;
        Ok(Self {
            disk,
            header,
            blobs,
            map: SlotMap::default(),
            end: FIRST_PAGE,
        })
    }

    /// Writes blobs behind those that are there. Nothing of it is durable yet.
    ///
    /// # Errors
    /// `Refused` for a blob that no store takes, or that was added before; `NoSpace`, `Io`. The folder holds no database
    /// then.
    pub fn add(&mut self, writes: &[BlobWrite<'_>]) -> Result<(), StoreError> {
        let mut batch = Vec::with_capacity(writes.len());
        for write in writes {
            let bytes = u32::try_from(write.bytes.len()).unwrap_or(u32::MAX);
            let info = BlobInfo {
                bytes,
                kind: write.kind,
                records: write.records,
                live: write.live,
                further_references: write.further_references,
            };
            let digest = blob_digest(self.header.database_id, write.id, write.bytes);
            let extent = (bytes <= MAX_BLOB_BYTES)
                .then(|| Extent::new(self.end, pages_for(bytes)))
                .flatten();
            let entry = MapEntry::new(self.end, info, digest).filter(|_| write.id < crate::MAX_BLOBS);
            let (Some(extent), Some(entry)) = (extent, entry) else {
                return Err(StoreError::refused(format!(
                    "blob {} cannot have {bytes} bytes",
                    write.id
                )));
            };
            if self.map.insert(write.id, entry).is_some() {
                return Err(StoreError::refused(format!("blob {} was added twice", write.id)));
            }
            self.end = extent.end();
            batch.push((extent, write.bytes));
        }
        self.blobs
            .write_batch(&batch)
            .map_err(|source| StoreError::from_io(format!("writing {BLOBS_NAME}"), source))
    }

    /// States how many references lead to a blob beside the first. False where it was not added.
    pub fn recount(&mut self, blob: BlobId, further_references: u32) -> bool {
        let recounted = self
            .map
            .get(blob)
            .map(|entry| entry.with_further_references(further_references));
        recounted.and_then(|entry| self.map.insert(blob, entry)).is_some()
    }

    /// Makes a database of it, as of `cut`. Durable on return.
    ///
    /// # Errors
    /// `NoSpace`, `Io`. Whether the folder holds a database then is not known.
    pub fn finish(self, cut: u64, next_tree: u32) -> Result<(), StoreError> {
        if !planted(Defect::BacksUpBeforeData) {
            self.blobs.sync().context(|| format!("syncing {BLOBS_NAME}"))?;
        }
        SlotLog::create(Arc::clone(&self.disk), self.header, &self.map, Point { cut, next_tree })?;
        superblock::write(self.disk.as_ref(), self.header)
    }
}

impl Store {
    /// Makes the files of a new database in a folder. Durable on return. What a creation that was cut short has left is
    /// removed first; other files in the folder are left alone.
    ///
    /// # Errors
    /// `AlreadyADatabase`; `Refused` for a frame size that is not whole pages; `Corrupt` when the folder has blobs of a
    /// database whose superblock is missing; `NoSpace`, `Io`; `Unsupported`, with the database made, where io_uring must be
    /// used and cannot.
    pub fn create(
        disk: Arc<dyn Disk>,
        database_id: u128,
        frame_bytes: u32,
        io_uring: IoUring,
    ) -> Result<Self, StoreError> {
        Builder::begin(Arc::clone(&disk), database_id, frame_bytes)?.finish(0, 0)?;
        Self::open(disk, io_uring)
    }
}

fn write_first_page(blobs: &FileStore, header: Header) -> std::io::Result<()> {
    let Some(page) = Extent::new(0, FIRST_PAGE) else {
        return Ok(());
    };
    blobs.write_batch(&[(page, &header.encode(FileKind::Blobs))])
}
