//! The traits, and the rule for names that every disk keeps.

#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    fs::File,
    io,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

/// Longest name of a file, bytes: what common file systems take.
pub const MAX_NAME_BYTES: usize = 255;

/// One folder. Names are those of files directly in it; every call checks them and answers `InvalidInput` to an empty
/// name, `.`, `..`, one with a separator, a colon or a NUL in it, and one longer than [`MAX_NAME_BYTES`].
///
/// Nothing that changes a name (create, rename, remove) is durable before [`Disk::sync`] returned.
pub trait Disk: Send + Sync + Debug {
    /// Creates a file for reading and writing, mode 0600.
    ///
    /// # Errors
    /// `AlreadyExists` when anything has that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none; `InvalidInput`, with a message that says what it is, when the name is not that of
    /// a regular file. A symbolic link is not followed.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in one step; a file that had that name is replaced.
    ///
    /// # Errors
    /// `NotFound` when there is no `from`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name. Who has the file open can go on using it.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all regular files, in byte order. Names that are not UTF-8 are left out: no file of ours has one.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes durable every create, rename and remove that returned before the call. Says nothing of the contents.
    fn sync(&self) -> io::Result<()>;

    /// Does the syncs that were put off; for disks that put them off.
    ///
    /// # Errors
    /// As the sync that failed; nothing can be changed any more then.
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    /// Bytes that may still be written here before the disk is full, as far as the disk tells.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The folder's path, or what stands for it, for messages.
    fn label(&self) -> String;
}

/// One open file. All calls are positional and may come from several threads at once; two that overlap in bytes may see
/// each other in part.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is a size to compute with, not a collection's"
)]
pub trait DiskFile: Send + Sync + Debug {
    /// Reads from `offset` and returns how many bytes: fewer than asked for only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows as needed, a gap before `offset` reads as zeros.
    ///
    /// # Errors
    /// After an error, any part of the range may have been written. [`is_no_space`] tells a full disk.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes all of `parts`, one behind the other, from `offset`: one call to the operating system where it has one.
    ///
    /// # Errors
    /// As [`DiskFile::write_all_at`].
    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()>;

    /// Returns when all that was written before the call is on stable storage, the file's length included.
    ///
    /// # Errors
    /// After an error nobody knows what reached the disk, and a second call may succeed without it having done so:
    /// never retry.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length, bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file off at `len` bytes, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Grows the file with zeros to `len` bytes, if it is shorter, and sets room for all of it aside, where the disk
    /// can: then a full disk shows here and not in a later write below `len`. Where it cannot, this is `set_len`.
    ///
    /// # Errors
    /// After an error the file may have any length up to `len`. [`is_no_space`] tells a full disk.
    fn allocate(&self, len: u64) -> io::Result<()> {
        match self.len()? < len {
            true => self.set_len(len),
            false => Ok(()),
        }
    }

    /// Gives the room that `len` bytes from `offset` on take back to the disk, where it takes it: they read as zeros then, or as
    /// before, and the file keeps its length. Says nothing of what is durable: as a write of zeros.
    ///
    /// # Errors
    /// After an error, any part of the range may read as zeros.
    fn punch(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Maps the whole file, whose `len` bytes, a multiple of 8, [`DiskFile::allocate`] has set aside, so that storing to
    /// memory writes to the file. `None` where that is no good: then the file is written to by position.
    ///
    /// While the mapping lives, only the mapping writes to the file and nothing changes its length; reads by position
    /// see what was stored.
    ///
    /// # Errors
    /// `InvalidInput` when `len` is not the file's length, 0, or no multiple of 8.
    fn map(&self, _len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        Ok(None)
    }

    /// The operating system's file behind this one, where there is one: for what only it can do, such as I/O that goes
    /// past the page cache. Who changes it settles first.
    fn os_file(&self) -> Option<&File> {
        None
    }

    /// As [`Disk::settle`]. All other calls that change the file do it by themselves.
    ///
    /// # Errors
    /// As [`Disk::settle`].
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before that.
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let wanted = into.len();
        let got = self.read_at(offset, into)?;
        if got == wanted {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends {got} bytes into a read of {wanted} bytes at offset {offset}"),
        ))
    }
}

/// A file in memory; it lives as long as this does.
///
/// A store survives the death of the process at once, and a power cut once [`MappedFile::sync`] has returned for it.
/// Before that, any part of what was stored since the last sync may reach the disk on its own, in any order: whole
/// sectors, old or new. A store cannot fail, and nothing tells of it; a simulated disk looks at the words when it is
/// asked what a crash leaves.
pub trait MappedFile: Send + Sync + Debug {
    /// The bytes, eight to a word: `u64::from_ne_bytes` of them. Nothing but whole words is stored or loaded, so that
    /// threads that meet in one see the one value or the other.
    fn words(&self) -> &[AtomicU64];

    /// Returns when the bytes of `range` are on stable storage as they were at the call, and so is whatever leads to
    /// them: the file's length, and room set aside for them that they have turned into contents.
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping. Any other is as that of [`DiskFile::sync_data`]: never retry.
    fn sync(&self, range: Range<usize>) -> io::Result<()>;

    /// Makes the pages of `range` ready, so that the next stores to them do not wait for the operating system. Changes
    /// no byte. Where there is nothing to make ready, this does nothing.
    ///
    /// # Errors
    /// `InvalidInput` for a range beyond the mapping. Any other says that pages are not ready: stores to them wait, or,
    /// on a disk that fails, end the process.
    fn populate(&self, range: Range<usize>) -> io::Result<()>;
}

/// Refuses a range that is not within a mapping of `len` bytes.
pub(crate) fn check_mapped(range: &Range<usize>, len: usize) -> io::Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("bytes {range:?} are not within the {len} that are mapped"),
    ))
}

/// Whether an error says that there is no room left on the disk (or in the quota): the one failed write that may be
/// survived, because it is known to have done nothing that matters.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fails where a file is there and cannot be opened. What is no regular file is none.
///
/// # Errors
/// Why it cannot.
pub fn check_openable(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.open(name) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Err(error),
        _ => Ok(()),
    }
}

/// Refuses every name that could mean anything but a file directly in the folder, on any platform.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is a folder's"
    } else if name.contains(['/', '\\', ':', '\0']) {
        "has a separator, a colon or a NUL in it"
    } else if name.len() > MAX_NAME_BYTES {
        "is too long"
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("file name {name:?} {wrong}"),
    ))
}

/// The end of a range of `len` bytes from `offset`, or `InvalidInput` when no file can reach that far.
pub(crate) fn range_end(offset: u64, len: usize) -> io::Result<u64> {
    u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .filter(|&end| i64::try_from(end).is_ok())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes at offset {offset} reach beyond any file"),
            )
        })
}
