//! The blob store in a file, by positional calls.
//!
//! A batch is sorted by position, and neighbours go out as one vectored write.
//!
//! Growth: a write beyond the end makes the file longer, and `sync_data` makes the new length durable together with the
//! bytes (`fdatasync` leaves out only what is not needed to read the data back). The protocol in `store.rs` syncs this
//! file before it writes the map record that refers to the new pages, so no durable record ever refers beyond the
//! durable end.

use std::{io, sync::Arc};

use coppice_disk::DiskFile;

use crate::{
    blob_store::{BlobStore, check_read, in_position_order},
    extent::{Extent, PAGE_BYTES},
};

static ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// Pages in a file.
#[derive(Debug)]
pub struct FileStore {
    file: Arc<dyn DiskFile>,
}

impl FileStore {
    /// The pages of `file`, which nobody else may write while this lives.
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file }
    }
}

impl BlobStore for FileStore {
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        check_read(extent, into)?;
        self.file.read_exact_at(extent.offset_bytes(), into)
    }

    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()> {
        let sorted = in_position_order(batch)?;
        let mut parts: Vec<&[u8]> = Vec::new();
        for run in sorted.chunk_by(|(before, _), (after, _)| before.end() == after.start()) {
            parts.clear();
            for &(extent, image) in run {
                let padding = extent.len_bytes().saturating_sub(image.len() as u64) as usize;
                parts.push(image);
                parts.extend(ZEROS.get(..padding).filter(|zeros| !zeros.is_empty()));
            }
            if let Some((first, _)) = run.first() {
                self.file.write_vectored_at(first.offset_bytes(), &parts)?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len_pages(&self) -> io::Result<u32> {
        let pages = self.file.len()? / u64::from(PAGE_BYTES);
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    fn set_len_pages(&self, pages: u32) -> io::Result<()> {
        self.file.set_len(u64::from(pages) * u64::from(PAGE_BYTES))
    }
}
