//! The blob store in memory: volatile, for databases without files.

use std::io;

use parking_lot::RwLock;

use crate::{
    blob_store::{BlobStore, check_read, in_position_order},
    extent::{Extent, PAGE_BYTES},
};

type Page = [u8; PAGE_BYTES as usize];

/// Pages in memory. Pages that were never written take no room.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pages: RwLock<Vec<Option<Box<Page>>>>,
}

impl MemoryStore {
    /// A store without pages.
    pub fn new() -> Self {
        Self::default()
    }
}

fn range(extent: Extent) -> std::ops::Range<usize> {
    extent.start() as usize..extent.end() as usize
}

fn resize(pages: &mut Vec<Option<Box<Page>>>, count: usize) -> io::Result<()> {
    let more = count.saturating_sub(pages.len());
    pages.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
    pages.resize(count, None);
    Ok(())
}

impl BlobStore for MemoryStore {
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        check_read(extent, into)?;
        let pages = self.pages.read();
        let pages = pages.get(range(extent)).ok_or(io::ErrorKind::UnexpectedEof)?;
        for (part, page) in into.chunks_mut(PAGE_BYTES as usize).zip(pages) {
            match page.as_ref().and_then(|page| page.get(..part.len())) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()> {
        let sorted = in_position_order(batch)?;
        let mut pages = self.pages.write();
        if let Some((last, _)) = sorted.last() {
            let count = pages.len().max(last.end() as usize);
            resize(&mut pages, count)?;
        }
        for (extent, image) in sorted {
            let slots = pages.get_mut(range(extent)).unwrap_or_default();
            for (slot, part) in slots.iter_mut().zip(image.chunks(PAGE_BYTES as usize)) {
                let page = slot.get_or_insert_with(|| Box::new([0; PAGE_BYTES as usize]));
                let (bytes, padding) = page.split_at_mut(part.len());
                bytes.copy_from_slice(part);
                padding.fill(0);
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len_pages(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.pages.read().len()).unwrap_or(u32::MAX))
    }

    fn set_len_pages(&self, pages: u32) -> io::Result<()> {
        let mut held = self.pages.write();
        resize(&mut held, pages as usize)?;
        held.shrink_to(pages as usize * 2);
        Ok(())
    }
}
