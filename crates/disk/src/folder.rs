//! The real disk: a folder of the operating system.
//!
//! What differs between systems is in `unix` and `windows`, each with the same small set of functions; the loops that
//! make every transfer complete are here.

mod syncs;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(test)]
mod tests;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use std::{
    fs::File,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use crate::{
    Disk, DiskFile,
    disk::{check_name, range_end},
};
#[cfg(target_os = "linux")]
use crate::{MappedFile, mapped};

pub use platform::FolderIdentity;
pub use syncs::Syncs;

/// Parts that one vectored write takes: `IOV_MAX` on Linux and macOS.
const MAX_PARTS: usize = 1024;

/// A folder of the operating system.
///
/// On Unix the folder is opened once and files are reached relative to that handle, so that renaming the folder, or
/// putting another in its place, does not lead anything astray; no call follows a symbolic link inside the folder, and
/// no handle is inherited by a child process. On Windows the folder's path is kept instead.
///
/// What a sync is worth: on Linux `sync_data` is `fdatasync`, which includes the file's length. On macOS it is
/// `F_FULLFSYNC`, because `fsync` there stops at the drive's volatile cache. On Windows it is `FlushFileBuffers`, and
/// [`Disk::sync`] does nothing, because Windows gives no way to sync a folder: NTFS keeps names in its own journal.
///
/// One that was opened read-only changes nothing: it refuses to create, rename and remove with `ReadOnlyFilesystem`, its files
/// refuse writes, and there is nothing of its own to sync.
#[derive(Debug)]
pub struct FolderDisk {
    path: PathBuf,
    folder: Arc<platform::Folder>,
    syncs: Syncs,
    read_only: bool,
}

impl FolderDisk {
    /// Creates the folder, mode 0700, and opens it. Durable on return: the parent folder is synced.
    ///
    /// # Errors
    /// `AlreadyExists` when anything has that path, `NotFound` when its parent is missing.
    pub fn create(path: &Path) -> io::Result<Self> {
        platform::create_folder(path)?;
        Self::open(path)
    }

    /// Opens a folder that exists. The path itself may lead through symbolic links.
    ///
    /// # Errors
    /// `NotFound` when there is none, `NotADirectory` when it is not a folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            folder: Arc::new(platform::Folder::open(path)?),
            syncs: Syncs::default(),
            read_only: false,
        })
    }

    /// The same, for reading only: no more is asked of the file system than that.
    ///
    /// # Errors
    /// As [`FolderDisk::open`].
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        let mut disk = Self::open(path)?;
        disk.read_only = true;
        Ok(disk)
    }

    /// From now on until [`Disk::settle`], syncs are put off: what is asked for returns at once. Whatever would change
    /// anything settles first, and fails as the syncs did.
    pub fn put_off_syncs(&self) {
        self.syncs.put_off();
    }

    /// Before anything is changed.
    fn check_writable(&self) -> io::Result<()> {
        match self.read_only {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => self.syncs.settle(),
        }
    }

    fn file(&self, file: File, read_only: bool) -> Arc<dyn DiskFile> {
        Arc::new(FolderFile {
            file: Arc::new(file),
            syncs: self.syncs.clone(),
            read_only,
        })
    }

    /// The path that the folder was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells this folder from every other on the machine, whatever path leads to it.
    pub fn identity(&self) -> io::Result<FolderIdentity> {
        self.folder.identity()
    }

    /// Opens the lock file, creating it when absent.
    pub(crate) fn open_lock_file(&self, name: &str) -> io::Result<File> {
        self.folder.open_lock_file(name)
    }

    /// Opens the lock file for reading, if it is there.
    pub(crate) fn open_lock_file_to_read(&self, name: &str) -> io::Result<File> {
        self.folder.open_file_to_read(name)
    }

    /// Whether the lock file's name still leads to the file that `file` is a handle of.
    pub(crate) fn is_still_named(&self, file: &File, name: &str) -> io::Result<bool> {
        self.folder.is_still_named(file, name)
    }
}

impl Disk for FolderDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name)?;
        self.check_writable()?;
        Ok(self.file(self.folder.create(name)?, false))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name)?;
        let file = match self.read_only {
            true => self.folder.open_file_to_read(name)?,
            false => self.folder.open_file(name)?,
        };
        Ok(self.file(file, self.read_only))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.check_writable()?;
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.check_writable()?;
        self.folder.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.folder.list()?;
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        if self.read_only {
            return Ok(());
        }
        let folder = Arc::clone(&self.folder);
        self.syncs.sync_folder(move || folder.sync())
    }

    fn settle(&self) -> io::Result<()> {
        self.syncs.settle()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }

    fn label(&self) -> String {
        self.path.display().to_string()
    }
}

#[derive(Debug)]
struct FolderFile {
    file: Arc<File>,
    syncs: Syncs,
    read_only: bool,
}

impl DiskFile for FolderFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        range_end(offset, into.len())?;
        let mut rest = into;
        let mut position = offset;
        let mut total = 0_usize;
        while !rest.is_empty() {
            let got = retry(|| platform::read_at(&self.file, position, rest))?;
            if got == 0 {
                break;
            }
            total += got;
            position += got as u64;
            rest = rest.get_mut(got..).unwrap_or_default();
        }
        Ok(total)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        range_end(offset, bytes.len())?;
        self.syncs.settle()?;
        let mut rest = bytes;
        let mut position = offset;
        while !rest.is_empty() {
            let written = retry(|| platform::write_at(&self.file, position, rest))?;
            check_progress(written)?;
            position += written as u64;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut end = offset;
        for part in parts {
            end = range_end(end, part.len())?;
        }
        self.syncs.settle()?;
        let mut slices: Vec<IoSlice<'_>> = parts
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| IoSlice::new(part))
            .collect();
        let mut rest = slices.as_mut_slice();
        let mut position = offset;
        while !rest.is_empty() {
            let batch = rest.get(..rest.len().min(MAX_PARTS)).unwrap_or_default();
            let written = retry(|| platform::write_vectored_at(&self.file, position, batch))?;
            check_progress(written)?;
            position += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.read_only {
            return Ok(());
        }
        let file = Arc::clone(&self.file);
        self.syncs.sync_file(move || file.sync_data())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.syncs.settle()?;
        mapped::allocate(&self.file, len)
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};

        self.syncs.settle()?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::io::retry_on_intr(|| {
            fallocate(&*self.file, flags, offset, len)
        })?)
    }

    #[cfg(target_os = "linux")]
    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        self.syncs.settle()?;
        mapped::map(&self.file, len)
    }

    fn os_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn settle(&self) -> io::Result<()> {
        self.syncs.settle()
    }
}

/// Repeats a transfer that a signal interrupted or that was asked to come again.
fn retry(mut transfer: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match transfer() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            other => return other,
        }
    }
}

fn check_progress(written: usize) -> io::Result<()> {
    if written == 0 {
        return Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "the operating system took no byte of a write",
        ));
    }
    Ok(())
}
