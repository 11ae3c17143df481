//! How the bytes of a segment get into its file: stored to a mapping of it, or written by position.
//!
//! Both take a write that returned past the death of the process. Stores are a tenth of the cost; positional writes are
//! for disks that give no mapping. The rest of the crate does not know which it has.

#[cfg(test)]
mod tests;

use std::{
    io,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use coppice_disk::{DiskFile, MappedFile};

const WORD_BYTES: usize = 8;
/// No page of any system that is mapped on is smaller.
const PAGE_BYTES: usize = 4096;

/// A segment's file, open for appending.
#[derive(Debug)]
pub(crate) enum SegmentFile {
    Mapped(Arc<dyn MappedFile>),
    Positional(Arc<dyn DiskFile>),
}

impl SegmentFile {
    /// Maps the file, whose whole length is `len`, or takes it as it is where that cannot be.
    pub(crate) fn new(file: Arc<dyn DiskFile>, len: u64) -> Self {
        match file.map(len) {
            Ok(Some(mapping)) => Self::Mapped(mapping),
            // Whatever a mapping is refused for, positional writes do without.
            Ok(None) | Err(_) => Self::Positional(file),
        }
    }

    /// Writes whole words, at a multiple of a word.
    ///
    /// # Errors
    /// Only of positional writes: after one, any part may have been written.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Mapped(mapping) => {
                let (chunks, rest) = bytes.as_chunks::<WORD_BYTES>();
                let start = offset as usize / WORD_BYTES;
                let words = mapping.words().get(start..start + chunks.len());
                let Some(words) = words.filter(|_| rest.is_empty()) else {
                    let what = format!("{} bytes at offset {offset} do not fit the mapping", bytes.len());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
                };
                for (word, chunk) in words.iter().zip(chunks) {
                    word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
                }
                Ok(())
            }
            Self::Positional(file) => file.write_all_at(offset, bytes),
        }
    }

    /// Returns when `range`, which was written before the call, is on disk.
    pub(crate) fn sync(&self, range: Range<u64>) -> io::Result<()> {
        match self {
            Self::Mapped(mapping) => {
                let (start, end) = (range.start as usize, range.end as usize);
                mapping.sync(start..end)?;
                // The sync has left the page that is written next to be made ready anew. Should that fail, the next
                // store does it.
                let page = end - end % PAGE_BYTES;
                let len = mapping.words().len() * WORD_BYTES;
                let _ = mapping.populate(page.min(len)..(page + PAGE_BYTES).min(len));
                Ok(())
            }
            Self::Positional(file) => file.sync_data(),
        }
    }

    /// Makes pages ready for the writes to come.
    pub(crate) fn populate(&self, range: Range<u64>) -> io::Result<()> {
        match self {
            Self::Mapped(mapping) => mapping.populate(range.start as usize..range.end as usize),
            Self::Positional(_) => Ok(()),
        }
    }

    /// Cuts off what a failed write left at `end` and behind.
    pub(crate) fn cut_off(&self, end: u64) -> io::Result<()> {
        match self {
            // A write to a mapping does not fail.
            Self::Mapped(_) => Ok(()),
            Self::Positional(file) => match file.len()? > end {
                true => file.set_len(end),
                false => Ok(()),
            },
        }
    }
}
