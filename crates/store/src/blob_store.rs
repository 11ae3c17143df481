//! The seam between the store's protocol and what holds the bytes.
//!
//! A blob store is an array of pages. It knows no blob, no digest and no free page: it reads and writes extents and
//! says when what was written is durable. [`FileStore`](crate::FileStore) keeps the pages in a file, reached by positional
//! calls, `UringStore` in a file reached by io_uring, [`MemoryStore`](crate::MemoryStore) in memory. One suite of tests,
//! `conformance`, runs on every implementation.

#[cfg(test)]
mod tests;

use std::{fmt::Debug, io, sync::Arc};

use coppice_disk::DiskFile;

use crate::{
    extent::{Extent, pages_for},
    file_store::FileStore,
};

/// Whether a file of blobs is reached by io_uring, on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IoUring {
    /// Where the kernel lets this process have one.
    #[default]
    Auto,
    /// Always; where that cannot be, opening fails with `Unsupported`.
    Always,
    /// Never.
    Never,
}

/// One of several reads at once.
#[derive(Debug)]
pub struct BlobRead<'a> {
    /// Where to read.
    pub extent: Extent,
    /// What to fill, from the start of the extent.
    pub into: &'a mut [u8],
}

/// An array of pages. All calls may come from several threads at once; the caller sees to it that no write overlaps
/// another call.
pub trait BlobStore: Send + Sync + Debug {
    /// Fills `into` from the start of the extent.
    ///
    /// # Errors
    /// `InvalidInput` when `into` is longer than the extent, `UnexpectedEof` when the store ends before that.
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()>;

    /// Fills `into` from the start of the extent, if that can be had without the disk: what the system's page cache shows,
    /// which is for the caller to check, and to read anew where it does not hold. True where it did. Only the first reads of a
    /// file that nobody has written to yet are done so.
    fn read_early(&self, _extent: Extent, _into: &mut [u8]) -> bool {
        false
    }

    /// Does several reads, in any order or at the same time. The results are in the order of the reads, each as of
    /// [`BlobStore::read`].
    fn read_batch(&self, reads: &mut [BlobRead<'_>]) -> Vec<io::Result<()>> {
        reads.iter_mut().map(|read| self.read(read.extent, read.into)).collect()
    }

    /// Writes every image of the batch at the start of its extent, in any order, and fills the last page with zeros.
    /// The store grows as needed. Nothing of it is durable before [`BlobStore::sync`].
    ///
    /// # Errors
    /// `InvalidInput`, with nothing written, when an image does not fill its extent up to the last page, or when two
    /// extents overlap. After any other error, any part of the extents may have been written, and nothing else.
    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()>;

    /// Returns when every write that returned before the call is durable, the store's growth included.
    ///
    /// # Errors
    /// After an error nobody knows what is durable; never retry.
    fn sync(&self) -> io::Result<()>;

    /// Gives the room of an extent back, whose pages nobody needs; the store keeps its length.
    ///
    /// # Errors
    /// Nothing outside of the extent has changed.
    fn punch(&self, _extent: Extent) -> io::Result<()> {
        Ok(())
    }

    /// Whole pages that the store has.
    fn len_pages(&self) -> io::Result<u32>;

    /// Cuts the store off at `pages` pages, or grows it with zeros.
    fn set_len_pages(&self, pages: u32) -> io::Result<()>;

    /// Whether io_uring does the work. Who asks may have to wait for it to be set up.
    fn uses_io_uring(&self) -> bool {
        false
    }
}

/// The store of a file's pages that was asked for.
///
/// # Errors
/// Those of io_uring, where it must be used.
pub(crate) fn in_file(file: Arc<dyn DiskFile>, io_uring: IoUring) -> io::Result<Box<dyn BlobStore>> {
    match io_uring {
        IoUring::Never => Ok(Box::new(FileStore::new(file))),
        IoUring::Auto => Ok(in_ring_if_possible(file)),
        IoUring::Always => in_ring(file),
    }
}

/// Whether this process can have an io_uring, as files of blobs need it.
///
/// # Errors
/// What the kernel says where it cannot; `Unsupported` outside of Linux.
pub fn check_io_uring() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return crate::uring::check();
    #[cfg(not(target_os = "linux"))]
    return Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "there is none outside of Linux",
    ));
}

#[cfg(target_os = "linux")]
fn in_ring(file: Arc<dyn DiskFile>) -> io::Result<Box<dyn BlobStore>> {
    Ok(Box::new(crate::uring::UringStore::new(file)?))
}

#[cfg(target_os = "linux")]
fn in_ring_if_possible(file: Arc<dyn DiskFile>) -> Box<dyn BlobStore> {
    Box::new(crate::uring::UringStore::if_possible(file))
}

#[cfg(not(target_os = "linux"))]
fn in_ring(_file: Arc<dyn DiskFile>) -> io::Result<Box<dyn BlobStore>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "there is no io_uring outside of Linux",
    ))
}

#[cfg(not(target_os = "linux"))]
fn in_ring_if_possible(file: Arc<dyn DiskFile>) -> Box<dyn BlobStore> {
    Box::new(FileStore::new(file))
}

/// The batch by position, once it is known to be one that a store takes.
pub(crate) fn in_position_order<'a>(batch: &[(Extent, &'a [u8])]) -> io::Result<Vec<(Extent, &'a [u8])>> {
    let mut sorted = batch.to_vec();
    sorted.sort_unstable_by_key(|&(extent, _)| extent.start());
    let mut position = 0;
    for &(extent, image) in &sorted {
        let pages = u32::try_from(image.len()).map(pages_for);
        if pages != Ok(extent.pages()) {
            return Err(invalid(format!("{} bytes are no image for {extent:?}", image.len())));
        }
        if extent.start() < position {
            return Err(invalid(format!("{extent:?} overlaps another of its batch")));
        }
        position = extent.end();
    }
    Ok(sorted)
}

/// Refuses a read beyond its extent.
pub(crate) fn check_read(extent: Extent, into: &[u8]) -> io::Result<()> {
    if into.len() as u64 > extent.len_bytes() {
        return Err(invalid(format!("{} bytes are more than {extent:?} has", into.len())));
    }
    Ok(())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
