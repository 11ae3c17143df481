//! Folders and files behind traits, so that tests can stand in for the operating system.
//!
//! Owns every call by which the storage core reaches a file: [`Disk`] is one folder, [`DiskFile`] one open file in it,
//! [`MappedFile`] one in memory.
//! [`FolderDisk`] is the real thing, [`MemoryDisk`] keeps its files in memory, and [`FolderLock`] keeps a second
//! process out of a folder.
//!
//! Promises that calls are positional and complete: short transfers and interruptions are continued inside, so that a
//! call that returned `Ok` did all of its work. Promises nothing about durability beyond what [`DiskFile::sync_data`]
//! and [`Disk::sync`] say. Knows nothing of formats, and retries no failed sync.

mod disk;
mod folder;
mod lock;
#[cfg(target_os = "linux")]
mod mapped;
mod memory;
mod signals;

pub use disk::{Disk, DiskFile, MAX_NAME_BYTES, MappedFile, check_openable, is_no_space};
pub use folder::{FolderDisk, FolderIdentity, Syncs};
pub use lock::{FolderLock, LOCK_FILE_NAME, LockError, LockHolder};
pub use memory::MemoryDisk;
pub use signals::mask_signals;
