//! Linux: files mapped for appending, on the file systems where a store to room set aside cannot fail.
//!
//! A store to a mapping has no way to answer: what goes wrong in it is a SIGBUS, which ends the process. So a mapping is
//! given out only where the ways to one are closed.
//! - A full disk: [`allocate`] sets the blocks aside first. ext4, XFS and tmpfs then never need another one for a store;
//!   a file system that writes each block to a new place (btrfs, ZFS, bcachefs) or that is far away (NFS, FUSE) may, so
//!   files there are not mapped.
//! - A file that got shorter: none of ours does while it is mapped. Somebody else who cuts one off, against its mode
//!   0600, ends the process; what was stored before is in the file that is left.
//! - A page that cannot be read in: pages are made ready ahead of the stores by `MADV_POPULATE_WRITE`, which answers
//!   with an error where a store would be a SIGBUS. Only a page that memory pressure took away again is read in by a
//!   store, and a disk that fails then ends the process: what returned before is on that disk or in memory as after any
//!   other death.

use std::{
    fs::File,
    io,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::{fs::FallocateFlags, io::Errno};

use crate::{MappedFile, disk::check_mapped};

/// `EXT4_SUPER_MAGIC` (ext2 and ext3 too), `XFS_SUPER_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
const MAPPED_FILE_SYSTEMS: [u64; 3] = [0xEF53, 0x5846_5342, 0x0102_1994];

const WORD_BYTES: usize = size_of::<u64>();

/// Sets room aside; where the file system has no such call, the file is only made longer.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() >= len {
        return Ok(());
    }
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
        other => Ok(other?),
    }
}

/// Maps the file, if its file system is one where that is safe.
pub(crate) fn map(file: &File, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
    let kind = rustix::fs::fstatfs(file)?.f_type as u64;
    if !MAPPED_FILE_SYSTEMS.contains(&kind) {
        return Ok(None);
    }
    let refused = || io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes cannot be mapped"));
    let bytes = usize::try_from(len).map_err(|_| refused())?;
    if bytes == 0 || !bytes.is_multiple_of(WORD_BYTES) || file.metadata()?.len() != len {
        return Err(refused());
    }
    let map = MmapOptions::new().len(bytes).map_raw(file)?;
    Ok(Some(Arc::new(Mapped(map))))
}

/// A shared, writable mapping whose length is a multiple of eight.
#[derive(Debug)]
struct Mapped(MmapRaw);

impl MappedFile for Mapped {
    #[expect(
        unsafe_code,
        reason = "memory that the operating system gave has no other way to become a slice"
    )]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is readable and writable, starts at a page and so is aligned for a word, has
        // `len / WORD_BYTES` whole words, and lives as long as `self`, from which the slice borrows. Any eight bytes are
        // a word. Nothing of this process forms another reference to these bytes; other processes, and the operating
        // system, change them as other threads would, which atomics allow for.
        unsafe { std::slice::from_raw_parts(self.0.as_mut_ptr().cast::<AtomicU64>(), self.0.len() / WORD_BYTES) }
    }

    /// `msync`, which is `fdatasync` of the range: pages made ready beyond it are not written.
    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        check_mapped(&range, self.0.len())?;
        match range.is_empty() {
            true => Ok(()),
            false => self.0.flush_range(range.start, range.len()),
        }
    }

    fn populate(&self, range: Range<usize>) -> io::Result<()> {
        check_mapped(&range, self.0.len())?;
        if range.is_empty() {
            return Ok(());
        }
        match self.0.advise_range(Advice::PopulateWrite, range.start, range.len()) {
            // Before Linux 5.14 there is no such advice: stores make their pages ready themselves.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}
