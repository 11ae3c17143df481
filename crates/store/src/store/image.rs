//! The store as of one commit, for whoever reads all of it while others commit.
//!
//! An image is a copy of the slot map. Whatever commits come while it lives, no extent that it names is used again
//! (space.rs): the file of blobs grows instead, by what they replace of the image.

use std::sync::Arc;

use super::{BLOBS_NAME, Store, entry_to_read, lifecycle};
use crate::{BlobId, BlobInfo, error::StoreError, slot_log::Point, slot_map::SlotMap, space::ImageId};

/// All blobs as of the last commit before it was taken. To take one costs a pointer for 1,024 blobs; commits copy 24 KiB for
/// each 1,024 of which they replace the first.
#[derive(Debug)]
pub struct Image {
    store: Arc<Store>,
    point: Point,
    map: SlotMap,
    id: Option<ImageId>,
}

impl Store {
    /// Takes an image.
    pub fn image(self: &Arc<Self>) -> Image {
        let state = self.state.read();
        let map = state.map.clone();
        let id = self.space.lock().add_image(map.clone());
        Image {
            store: Arc::clone(self),
            point: state.point,
            map,
            id: Some(id),
        }
    }

    /// Reads what the files are known by, and the slot map's log from its start to the last commit, and checks them as
    /// an opening does. Commits wait meanwhile. What is wrong, a file at most once each.
    pub fn check_files(&self) -> Vec<StoreError> {
        let committer = self.committer.lock();
        let Some(log) = committer.as_ref() else {
            return Vec::new();
        };
        let headers = [
            lifecycle::check_superblock(log.disk(), self.header()),
            lifecycle::check_first_page(self.blobs.as_ref(), self.header()),
        ];
        headers
            .into_iter()
            .chain([log.check()])
            .filter_map(Result::err)
            .collect()
    }
}

impl Image {
    /// The commit sequence number that it is the state of.
    pub fn cut(&self) -> u64 {
        self.point.cut
    }

    /// The first tree id never used.
    pub fn next_tree(&self) -> u32 {
        self.point.next_tree
    }

    /// Every blob, by id.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobId, BlobInfo)> {
        self.map.iter().map(|(blob, entry)| (blob, entry.info()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map.blobs() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of their lengths.
    pub fn blob_bytes(&self) -> u64 {
        self.map.blob_bytes()
    }

    /// What is known of a blob without reading it.
    pub fn info(&self, blob: BlobId) -> Option<BlobInfo> {
        Some(self.map.get(blob)?.info())
    }

    /// In which file a blob lies, and where, bytes.
    pub fn place(&self, blob: BlobId) -> Option<(&'static str, u64)> {
        Some((BLOBS_NAME, self.map.get(blob)?.extent().offset_bytes()))
    }

    /// Reads a blob whole, from the disk, as [`Store::read`] does.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    pub fn read(&self, blob: BlobId, into: &mut [u8]) -> Result<(), StoreError> {
        let entry = entry_to_read(&self.map, blob, into)?;
        let result = self.store.blobs.read(entry.extent(), into);
        self.store.check_read(blob, entry, into, result)
    }

    /// Reads several blobs, all at once where the store can; the results are in their order, each as of [`Image::read`].
    pub fn read_many(&self, reads: &mut [(BlobId, &mut [u8])]) -> Vec<Result<(), StoreError>> {
        let entries: Vec<_> = (reads.iter())
            .map(|(blob, into)| entry_to_read(&self.map, *blob, into))
            .collect();
        self.store.read_entries(reads, entries)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.store.space.lock().drop_image(id);
        }
    }
}
