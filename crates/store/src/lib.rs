//! Blob stores, the slot map and its log: where a database keeps frames and large values, and how a set of them becomes
//! durable at once.
//!
//! A *blob* is a run of bytes with a dense id: a frame, or a large value of up to 16 MiB. It lies in an *extent*, a run
//! of pages of 4 KiB. The *slot map* says which extent holds each blob and what its digest must be. An *epoch*, the blobs
//! that take the state of one cut to that of a later one, is committed whole or not at all.
//!
//! | file | what it is | module |
//! |---|---|---|
//! | `coppice.super` | 64 bytes that make the folder a database | `superblock`, `header` |
//! | `blobs` | a page with the file's header, then extents in any order | `store/lifecycle`, `extent` |
//! | `map-<generation>.log` | header, a snapshot of the slot map, a delta per commit | `slot_log`, `record`, `slot_map` |
//! | `*.tmp` | one of the above that was being made; swept up by the next open or creation | `publish` |
//!
//! Each module states the bytes it owns. All integers are little-endian.
//!
//! Promises: a commit that returned is there after a power cut, whole; nothing that a durable map names is overwritten;
//! every byte read from disk is checked, and an error says file and offset. Knows nothing of what is in a blob, keeps no
//! blob in memory, starts no thread, and leaves it to the caller that one process at a time has a folder open.

mod aligned;
mod allocator;
mod blob_store;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod digest;
mod direct;
mod error;
mod extent;
mod file_store;
mod header;
mod memory_store;
mod pieces;
mod publish;
mod record;
mod slot_log;
mod slot_map;
mod space;
mod store;
mod superblock;
#[cfg(test)]
mod test_disk;
#[cfg(target_os = "linux")]
mod uring;

pub use blob_store::{BlobRead, BlobStore, IoUring, check_io_uring};
pub use error::StoreError;
pub use extent::{Extent, MAX_PAGES, PAGE_BYTES};
pub use file_store::FileStore;
pub use memory_store::MemoryStore;
pub use store::{BlobWrite, Builder, CommitReport, Epoch, Image, Relocation, Remains, Store, StoreStats, is_leftover};
pub use superblock::{SUPERBLOCK_IN_THE_MAKING, SUPERBLOCK_NAME};
#[cfg(target_os = "linux")]
pub use uring::UringStore;

/// The number of a blob.
pub type BlobId = u32;

/// Blob ids are below this: as many as there can be frames of 64 KiB in a file.
pub const MAX_BLOBS: u32 = 1 << 28;

/// Longest blob, bytes.
pub const MAX_BLOB_BYTES: u32 = 16 << 20;

/// The most references beside the first that the slot map can state of a blob.
pub const MAX_FURTHER_REFERENCES: u32 = (1 << 24) - 1;

/// What the slot map knows of a blob besides where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlobInfo {
    /// Its length.
    pub bytes: u32,
    /// What it is; the store does not look at it.
    pub kind: u8,
    /// How many records it has, as its writer stated; the store does not look at it.
    pub records: u32,
    /// How many of its bytes are live, as its writer stated; the store does not look at it.
    pub live: u32,
    /// How many references lead to it beside the first, as its writer stated; the store does not look at it. At most
    /// [`MAX_FURTHER_REFERENCES`].
    pub further_references: u32,
}

#[cfg(not(target_endian = "little"))]
compile_error!("the formats are read and written as they lie in memory, which must be little-endian");
