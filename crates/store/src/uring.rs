//! The blob store in a file, by io_uring (Linux).
//!
//! One ring writes and syncs, another one reads, so that a checkpoint does not hold up reads of many blobs; a read that
//! finds its ring taken goes the way of the plain file store. All transfers go through registered buffers, to and from a
//! registered file: the copy is made while the disk is at work on those before it.
//!
//! A ring is made when it is first needed, unless it must be there: rings with their buffers take longer to make than all else
//! that opening a database does. Where one cannot be made, the way is that of the plain file store.
//!
//! A sync is submitted only when every write has completed. No request is linked to another or drained: what the kernel
//! promises of those has holes.

mod ring;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    fs::File,
    io,
    sync::{Arc, OnceLock},
};

use coppice_disk::DiskFile;
use parking_lot::Mutex;

use crate::{
    blob_store::{BlobRead, BlobStore, in_position_order},
    extent::Extent,
    file_store::FileStore,
    pieces::Pieces,
};

use ring::Ring;
use transfer::{read_all, sync, write_all};

/// Buffers of the ring that writes, and their size. Registered memory counts against a limit of the process (8 MiB by
/// default, for all rings of a user), so they are few; see docs/performance.md for what more of them bring.
const WRITE_SLOTS: usize = 8;
const WRITE_SLOT_BYTES: usize = 256 << 10;

/// The same of the ring that reads, which is asked for frames.
const READ_SLOTS: usize = 16;
const READ_SLOT_BYTES: usize = 64 << 10;

/// Pages in a file, reached by io_uring.
#[derive(Debug)]
pub struct UringStore {
    plain: FileStore,
    writer: OnceLock<Option<Mutex<Ring>>>,
    reader: OnceLock<Option<Mutex<Ring>>>,
}

fn writing_ring(file: &File) -> io::Result<Mutex<Ring>> {
    Ok(Mutex::new(Ring::new(file, WRITE_SLOTS, WRITE_SLOT_BYTES)?))
}

fn reading_ring(file: &File) -> io::Result<Mutex<Ring>> {
    Ok(Mutex::new(Ring::new(file, READ_SLOTS, READ_SLOT_BYTES)?))
}

impl UringStore {
    /// The pages of `file`, which nobody else may access while this lives.
    ///
    /// # Errors
    /// `Unsupported` for a file that is not the operating system's; what the kernel says where it has no io_uring, or
    /// keeps it from this process, or its limit on locked memory is too low. The file can be used by a [`FileStore`] then.
    pub fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let Some(os_file) = file.os_file() else {
            let what = "the file is not one of the operating system";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        };
        let (writer, reader) = (writing_ring(os_file)?, reading_ring(os_file)?);
        let store = Self::if_possible(file);
        let (_, _) = (store.writer.set(Some(writer)), store.reader.set(Some(reader)));
        Ok(store)
    }

    /// The same, by io_uring if that turns out to be possible when there is something for it to do.
    pub(crate) fn if_possible(file: Arc<dyn DiskFile>) -> Self {
        Self {
            plain: FileStore::new(file),
            writer: OnceLock::new(),
            reader: OnceLock::new(),
        }
    }

    fn writer(&self) -> Option<&Mutex<Ring>> {
        let make = || writing_ring(self.plain.file().os_file()?).ok();
        self.writer.get_or_init(make).as_ref()
    }

    fn reader(&self) -> Option<&Mutex<Ring>> {
        let make = || reading_ring(self.plain.file().os_file()?).ok();
        self.reader.get_or_init(make).as_ref()
    }
}

/// Whether the kernel lets this process have what a store needs.
pub(crate) fn check() -> io::Result<()> {
    let plain = File::open("/")?;
    let _writer = writing_ring(&plain)?;
    let _reader = reading_ring(&plain)?;
    Ok(())
}

impl BlobStore for UringStore {
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        self.plain.read(extent, into)
    }

    fn read_early(&self, extent: Extent, into: &mut [u8]) -> bool {
        self.plain.read_early(extent, into)
    }

    fn read_batch(&self, reads: &mut [BlobRead<'_>]) -> Vec<io::Result<()>> {
        if reads.len() <= 1 {
            return self.plain.read_batch(reads);
        }
        let Some(mut ring) = self.reader().and_then(Mutex::try_lock) else {
            return self.plain.read_batch(reads);
        };
        // No reads but early ones go through the page cache.
        self.plain.is_direct();
        let results = read_all(&mut *ring, reads);
        drop(ring);
        let extents = reads.iter().map(|read| read.extent);
        results
            .into_iter()
            .zip(extents)
            .map(|(result, extent)| result.map_err(|error| self.plain.explain_read_error(extent, error)))
            .collect()
    }

    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()> {
        let sorted = in_position_order(batch)?;
        if sorted.is_empty() {
            return Ok(());
        }
        let Some(writer) = self.writer() else {
            return self.plain.write_batch(batch);
        };
        // What the ring writes does not go through the file's own calls, which settle.
        self.plain.file().settle()?;
        self.plain.grow_for(&sorted)?;
        write_all(&mut *writer.lock(), Pieces::new(&sorted, WRITE_SLOT_BYTES))
    }

    fn sync(&self) -> io::Result<()> {
        match self.writer() {
            Some(writer) => sync(&mut *writer.lock()),
            None => self.plain.sync(),
        }
    }

    fn punch(&self, extent: Extent) -> io::Result<()> {
        self.plain.punch(extent)
    }

    fn len_pages(&self) -> io::Result<u32> {
        self.plain.len_pages()
    }

    fn set_len_pages(&self, pages: u32) -> io::Result<()> {
        self.plain.set_len_pages(pages)
    }

    fn uses_io_uring(&self) -> bool {
        self.writer().is_some()
    }
}

const _: () = assert!(WRITE_SLOT_BYTES.is_multiple_of(crate::PAGE_BYTES as usize));
const _: () = assert!(READ_SLOT_BYTES.is_multiple_of(crate::PAGE_BYTES as usize));
