//! The store as of one commit, for whoever reads all of it while others commit.
//!
//! An image is a copy of the slot map, taken while its maker enters the current era (space.rs). So whatever commits come
//! while it lives, no extent that it names is used again: the file of blobs grows instead.

use super::{BLOBS_NAME, Store, lifecycle};
use crate::{BlobId, BlobInfo, error::StoreError, slot_log::Point, slot_map::MapEntry, space::Era};

/// All blobs as of the last commit before it was taken. 40 bytes of memory for each.
#[derive(Debug)]
pub struct Image<'s> {
    store: &'s Store,
    point: Point,
    /// By id.
    entries: Vec<(BlobId, MapEntry)>,
    era: Option<Era>,
}

impl Store {
    /// Takes an image.
    pub fn image(&self) -> Image<'_> {
        let state = self.state.read();
        let mut entries = Vec::with_capacity(state.map.blobs() as usize);
        entries.extend(state.map.iter());
        Image {
            store: self,
            point: state.point,
            entries,
            era: Some(self.space.lock().enter()),
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

impl Image<'_> {
    /// The commit sequence number that it is the state of.
    pub fn cut(&self) -> u64 {
        self.point.cut
    }

    /// The first tree id never used.
    pub fn next_tree(&self) -> u32 {
        self.point.next_tree
    }

    /// Every blob, by id.
    pub fn blobs(&self) -> impl ExactSizeIterator<Item = (BlobId, BlobInfo)> {
        self.entries.iter().map(|(blob, entry)| (*blob, entry.info()))
    }

    /// What is known of a blob without reading it.
    pub fn info(&self, blob: BlobId) -> Option<BlobInfo> {
        Some(self.entry(blob)?.info())
    }

    /// In which file a blob lies, and where, bytes.
    pub fn place(&self, blob: BlobId) -> Option<(&'static str, u64)> {
        Some((BLOBS_NAME, self.entry(blob)?.extent().offset_bytes()))
    }

    /// Reads a blob whole, from the disk, as [`Store::read`] does.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    pub fn read(&self, blob: BlobId, into: &mut [u8]) -> Result<(), StoreError> {
        let entry = self.entry(blob).ok_or(StoreError::Absent { blob })?;
        if into.len() != entry.info().bytes as usize {
            return Err(StoreError::refused(format!("blob {blob} has not {} bytes", into.len())));
        }
        let result = self.store.blobs.read(entry.extent(), into);
        self.store.check_read(blob, entry, into, result)
    }

    fn entry(&self, blob: BlobId) -> Option<MapEntry> {
        let at = self.entries.binary_search_by_key(&blob, |(id, _)| *id).ok()?;
        self.entries.get(at).map(|(_, entry)| *entry)
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        if let Some(era) = self.era.take() {
            self.store.space.lock().leave(era);
        }
    }
}
