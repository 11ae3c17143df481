//! The blob store in a file, by positional calls.
//!
//! A batch is sorted by position, and neighbours go out as one vectored write.
//!
//! Direct I/O: where the system and the file system take it, a file has it for every access but the first reads of who
//! opens a database, [`BlobStore::read_early`], which find in the page cache what the one before had read. The first write,
//! and the first other read, switch it on for good. It wants whole pages at page addresses; what is not so is copied through
//! buffers that are. All that is asked of the file is at page offsets anyway.
//!
//! Growth: a write beyond the end makes the file longer, and `sync_data` makes the new length durable together with the
//! bytes (`fdatasync` leaves out only what is not needed to read the data back). The protocol in `store.rs` syncs this
//! file before it writes the map record that refers to the new pages, so no durable record ever refers beyond the
//! durable end.

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use coppice_disk::DiskFile;
use parking_lot::Mutex;

use crate::{
    aligned::{AlignedBuffer, is_aligned},
    blob_store::{BlobStore, check_read, in_position_order},
    direct,
    extent::{Extent, PAGE_BYTES},
    pieces::Pieces,
};

/// Longest transfer through a buffer, and with direct I/O longest of all.
const TRANSFER_BYTES: usize = 1 << 20;

/// For a transfer that is no longer, a buffer is made that is not kept.
const SMALL_BYTES: usize = 64 << 10;

/// So much is read early at most: the frames that the first answers take, and a bound on what the page cache holds of them.
const EARLY_BYTES: usize = 4 << 20;

/// Buffers kept for later transfers.
const KEPT_BUFFERS: usize = 4;

/// Pages in a file.
#[derive(Debug)]
pub struct FileStore {
    file: Arc<dyn DiskFile>,
    /// Whether accesses go past the page cache; not decided while there is more to be read early.
    direct: OnceLock<bool>,
    /// Bytes that may be read early still.
    early: AtomicUsize,
    buffers: Mutex<Vec<AlignedBuffer>>,
}

impl FileStore {
    /// The pages of `file`, which nobody else may access while this lives.
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        let may_wait = direct::is_known_to_work(file.as_ref());
        let store = Self {
            file,
            direct: OnceLock::new(),
            early: AtomicUsize::new(EARLY_BYTES),
            buffers: Mutex::default(),
        };
        if !may_wait {
            store.is_direct();
        }
        store
    }

    /// Whether accesses go past the system's page cache. From here on they do, where they can.
    pub fn is_direct(&self) -> bool {
        *self.direct.get_or_init(|| direct::enable(self.file.as_ref()))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Runs with a buffer of `bytes`, or of [`TRANSFER_BYTES`] where those are too many.
    fn with_buffer<T>(&self, bytes: usize, run: impl FnOnce(&mut AlignedBuffer) -> T) -> T {
        if bytes <= SMALL_BYTES {
            return run(&mut AlignedBuffer::zeroed(bytes));
        }
        let kept = self.buffers.lock().pop();
        let mut buffer = kept.unwrap_or_else(|| AlignedBuffer::zeroed(TRANSFER_BYTES));
        let result = run(&mut buffer);
        let mut buffers = self.buffers.lock();
        if buffers.len() < KEPT_BUFFERS {
            buffers.push(buffer);
        }
        result
    }

    fn read_through_buffer(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        self.with_buffer(into.len(), |buffer| {
            let mut offset = extent.offset_bytes();
            for part in into.chunks_mut(TRANSFER_BYTES) {
                let whole = part.len().next_multiple_of(PAGE_BYTES as usize);
                let pages = buffer.bytes_mut().get_mut(..whole).unwrap_or_default();
                self.file.read_exact_at(offset, pages)?;
                part.copy_from_slice(pages.get(..part.len()).unwrap_or_default());
                offset += whole as u64;
            }
            Ok(())
        })
    }

    /// A direct read that meets the file's end may be refused where another would be short.
    pub(crate) fn explain_read_error(&self, extent: Extent, error: io::Error) -> io::Error {
        match self.file.len() {
            Ok(len) if len < extent.offset_bytes() + extent.len_bytes() => io::ErrorKind::UnexpectedEof.into(),
            _ => error,
        }
    }

    /// Makes room for a batch that direct I/O writes: growing write by write would make each of them wait for the one
    /// before.
    pub(crate) fn grow_for(&self, sorted: &[(Extent, &[u8])]) -> io::Result<()> {
        let Some((last, _)) = sorted.last().filter(|_| self.is_direct()) else {
            return Ok(());
        };
        let end = last.offset_bytes() + last.len_bytes();
        if self.file.len()? < end {
            self.file.set_len(end)?;
        }
        Ok(())
    }
}

impl BlobStore for FileStore {
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        check_read(extent, into)?;
        if !self.is_direct() {
            return self.file.read_exact_at(extent.offset_bytes(), into);
        }
        let result = if is_aligned(into) {
            self.file.read_exact_at(extent.offset_bytes(), into)
        } else {
            self.read_through_buffer(extent, into)
        };
        result.map_err(|error| self.explain_read_error(extent, error))
    }

    fn read_early(&self, extent: Extent, into: &mut [u8]) -> bool {
        let take = |left: usize| left.checked_sub(into.len());
        self.direct.get().is_none()
            && self.early.fetch_update(Relaxed, Relaxed, take).is_ok()
            && check_read(extent, into).is_ok()
            && self.file.read_exact_at(extent.offset_bytes(), into).is_ok()
    }

    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()> {
        let sorted = in_position_order(batch)?;
        if !self.is_direct() {
            return Pieces::new(&sorted, usize::MAX)
                .try_for_each(|piece| self.file.write_vectored_at(piece.offset, &piece.parts));
        }
        self.grow_for(&sorted)?;
        Pieces::new(&sorted, TRANSFER_BYTES).try_for_each(|piece| {
            if piece.parts.iter().all(|part| is_aligned(part)) {
                return self.file.write_vectored_at(piece.offset, &piece.parts);
            }
            self.with_buffer(piece.len, |buffer| {
                piece.copy_to(buffer.bytes_mut());
                let bytes = buffer.bytes().get(..piece.len).unwrap_or_default();
                self.file.write_all_at(piece.offset, bytes)
            })
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn punch(&self, extent: Extent) -> io::Result<()> {
        self.file.punch(extent.offset_bytes(), extent.len_bytes())
    }

    fn len_pages(&self) -> io::Result<u32> {
        let pages = self.file.len()? / u64::from(PAGE_BYTES);
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    fn set_len_pages(&self, pages: u32) -> io::Result<()> {
        self.file.set_len(u64::from(pages) * u64::from(PAGE_BYTES))
    }
}
