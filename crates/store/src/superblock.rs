//! The superblock: the file `coppice.super`, whose presence is what makes a folder a database.
//!
//! It is a header and nothing else (header.rs, 64 bytes): database id, frame size, page size, format version. Published
//! last when a database is made, and never written again.

use coppice_disk::Disk;

use crate::{
    MAX_BLOB_BYTES,
    error::{IoContext, StoreError},
    extent::PAGE_BYTES,
    header::{FileKind, HEADER_BYTES, Header},
    publish::publish,
};

/// The superblock's file name.
pub const SUPERBLOCK_NAME: &str = "coppice.super";

/// The name that it has while it is written.
pub const SUPERBLOCK_IN_THE_MAKING: &str = "coppice.super.tmp";

/// Whether frames may have that size: whole pages, up to the longest blob.
pub(crate) fn is_frame_size(frame_bytes: u32) -> bool {
    frame_bytes != 0 && frame_bytes.is_multiple_of(PAGE_BYTES) && frame_bytes <= MAX_BLOB_BYTES
}

/// Makes the superblock. Durable on return, and with it the database.
pub(crate) fn write(disk: &dyn Disk, header: Header) -> Result<(), StoreError> {
    publish(disk, SUPERBLOCK_NAME, &header.encode(FileKind::Superblock))
        .map_err(|failure| StoreError::from_io(format!("creating {SUPERBLOCK_NAME}"), failure.source))?;
    Ok(())
}

/// Reads the superblock, which is there.
pub(crate) fn read(disk: &dyn Disk) -> Result<Header, StoreError> {
    let context = || format!("reading {SUPERBLOCK_NAME}");
    let file = disk.open(SUPERBLOCK_NAME).context(context)?;
    file.sync_data().context(context)?;
    let mut bytes = [0; HEADER_BYTES];
    let len = file.len().context(context)?;
    if len != HEADER_BYTES as u64 {
        return Err(StoreError::corrupt(
            SUPERBLOCK_NAME,
            len.min(HEADER_BYTES as u64),
            format!("it has {len} bytes instead of {HEADER_BYTES}"),
        ));
    }
    file.read_exact_at(0, &mut bytes).context(context)?;
    let header = Header::decode(&bytes, FileKind::Superblock, SUPERBLOCK_NAME)?;
    if !is_frame_size(header.frame_bytes) {
        return Err(StoreError::Incompatible {
            file: SUPERBLOCK_NAME.to_owned(),
            what: format!("it states a frame size of {} bytes", header.frame_bytes),
        });
    }
    Ok(header)
}
