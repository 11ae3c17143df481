//! One writer in a folder at a time, or any number of readers.
//!
//! An exclusive `flock`, or a shared one of each reader (on Windows, `LockFileEx`) on the file `LOCK`, held by one handle
//! for the lock's life. The operating system lets go of it when the process dies, however it dies; the file stays. Its
//! text, `<pid> <host>`, serves error messages only and decides nothing.

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    process, thread,
    time::Duration,
};

use crate::FolderDisk;

/// The lock file's name in its folder.
pub const LOCK_FILE_NAME: &str = "LOCK";

/// Tries after the first one: the io_uring of a process just killed may hold the file for a moment more.
const RETRIES: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Longest text that is read from a lock file, bytes: a pid and a host name of at most 255 fit.
const MAX_TEXT_BYTES: u64 = 300;

/// A lock on a folder, released when dropped: an exclusive one, beside which there is no other, within the same process
/// neither; or a shared one, beside which there are only shared ones.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

/// Who holds a lock, by what it wrote into the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The process id, on its host.
    pub pid: u32,
    /// The host's name.
    pub host: String,
}

/// Why a folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another handle in this one, holds the lock.
    #[error("{folder} is in use{}", holder.as_ref().map_or(String::new(), |holder| {
        format!(" by process {} on {}", holder.pid, holder.host)
    }))]
    Held {
        /// The folder's path.
        folder: String,
        /// Who holds it, where that can be read: Windows lets nobody read a locked file.
        holder: Option<LockHolder>,
    },
    /// Others read in the folder.
    #[error("{folder} is open read-only elsewhere")]
    Read {
        /// The folder's path.
        folder: String,
    },
    /// The operating system refused.
    #[error("{folder}: cannot lock: {source}")]
    Io {
        /// The folder's path.
        folder: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the lock, creating the lock file when it is absent. Waits at most a quarter of a second for a holder to
    /// go away.
    ///
    /// # Errors
    /// [`LockError::Held`] names who holds it.
    pub fn acquire(disk: &FolderDisk) -> Result<Self, LockError> {
        let are_readers = Cell::new(false);
        let open = || disk.open_lock_file(LOCK_FILE_NAME);
        let taken = Self::take(disk, open, |file| {
            let locked = file.try_lock();
            if let Err(TryLockError::WouldBlock) = locked {
                are_readers.set(file.try_lock_shared().is_ok());
            }
            locked
        });
        match taken {
            Ok(lock) => {
                // The text is for messages: a full disk that does not take it is no reason not to open.
                let _ = lock.write_holder();
                Ok(lock)
            }
            Err(LockError::Held { folder, .. }) if are_readers.get() => Err(LockError::Read { folder }),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock together with other readers, and changes nothing in the folder. `None` where there is no lock file and
    /// none can be made: then nobody can write there either. Waits as [`FolderLock::acquire`] does.
    ///
    /// # Errors
    /// [`LockError::Held`] names the writer.
    pub fn acquire_shared(disk: &FolderDisk) -> Result<Option<Self>, LockError> {
        let is_out_of_reach = Cell::new(false);
        let open = || {
            let opened = match disk.open_lock_file_to_read(LOCK_FILE_NAME) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open_lock_file(LOCK_FILE_NAME),
                other => other,
            };
            opened.inspect_err(|error| {
                let refusals = [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied];
                is_out_of_reach.set(refusals.contains(&error.kind()));
            })
        };
        match Self::take(disk, open, File::try_lock_shared) {
            Err(_) if is_out_of_reach.get() => Ok(None),
            taken => taken.map(Some),
        }
    }

    /// Opens the lock file and locks it, again and again for a quarter of a second while others hold it.
    fn take(
        disk: &FolderDisk,
        open: impl Fn() -> io::Result<File>,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, LockError> {
        let folder = || disk.path().display().to_string();
        let io_error = |source| LockError::Io {
            folder: folder(),
            source,
        };
        let mut holder = None;
        for attempt in 0..=RETRIES {
            if attempt > 0 {
                thread::sleep(RETRY_PAUSE);
            }
            let file = open().map_err(io_error)?;
            match try_lock(&file) {
                Ok(()) => {
                    // Between the open and the lock, the file may have been replaced: who opens the new one would get
                    // a lock as well. Start over with that.
                    if disk.is_still_named(&file, LOCK_FILE_NAME).map_err(io_error)? {
                        return Ok(Self { file });
                    }
                }
                Err(TryLockError::WouldBlock) => holder = read_holder(file),
                Err(TryLockError::Error(error)) => return Err(io_error(error)),
            }
        }
        Err(LockError::Held {
            folder: folder(),
            holder,
        })
    }

    fn write_holder(&self) -> io::Result<()> {
        let mut file = &self.file;
        let text = format!("{} {}\n", process::id(), host_name());
        file.write_all(text.as_bytes())?;
        // Most often it has that length already: a change of length costs a transaction of the file system.
        if file.metadata()?.len() != text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }
}

impl Drop for FolderLock {
    /// Unlocks by hand, because a child process that got the handle in spite of close-on-exec would keep the lock.
    fn drop(&mut self) {
        // Nothing is left to do about a failure: closing the handle is what follows anyhow.
        let _ = self.file.unlock();
    }
}

/// Nothing where the text cannot be read or is not ours: it comes from whoever can write to the folder.
fn read_holder(mut file: File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_TEXT_BYTES).read_to_string(&mut text).ok()?;
    let (pid, host) = text.trim_end().split_once(' ')?;
    let printable = !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic());
    Some(LockHolder {
        pid: pid.parse().ok()?,
        host: printable.then(|| host.to_owned())?,
    })
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(windows)]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}
