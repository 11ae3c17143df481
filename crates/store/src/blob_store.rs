//! The seam between the store's protocol and what holds the bytes.
//!
//! A blob store is an array of pages. It knows no blob, no digest and no free page: it reads and writes extents and
//! says when what was written is durable. [`FileStore`](crate::FileStore) keeps the pages in a file,
//! [`MemoryStore`](crate::MemoryStore) in memory; one suite of tests runs on every implementation.

#[cfg(test)]
mod tests;

use std::{fmt::Debug, io};

use crate::extent::{Extent, pages_for};

/// An array of pages. All calls may come from several threads at once; the caller sees to it that no write overlaps
/// another call.
pub trait BlobStore: Send + Sync + Debug {
    /// Fills `into` from the start of the extent.
    ///
    /// # Errors
    /// `InvalidInput` when `into` is longer than the extent, `UnexpectedEof` when the store ends before that.
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()>;

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

    /// Whole pages that the store has.
    fn len_pages(&self) -> io::Result<u32>;

    /// Cuts the store off at `pages` pages, or grows it with zeros.
    fn set_len_pages(&self, pages: u32) -> io::Result<()>;
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
