//! Moving blobs towards the start of the file, so that its end can be given back to the disk.
//!
//! A move is a commit of its own: the blob is read and checked, written to a free extent that lies lower, synced, and
//! named there by a record of the map log with the same digest and the same cut. So a power cut finds it in one place or
//! the other, whole in both, and readers of the old place are waited for as after any commit. Each step moves little, so
//! that a checkpoint waits for it only shortly.

use super::{
    Store,
    commit::{Failure, Plan},
};
use crate::{
    BlobId,
    error::StoreError,
    extent::{Extent, PAGE_BYTES},
    slot_map::MapEntry,
};

/// What a step moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relocation {
    /// Blobs that lie lower now. 0: none can be moved any lower.
    pub moved_blobs: u64,
    /// Bytes of the file that they take.
    pub moved_bytes: u64,
}

impl Store {
    /// Moves the blobs nearest to the end of the file into free extents below them, up to `max_bytes` of them, one at
    /// least where any can be moved. [`Store::trim`] then gives the end back. Steps come to an end: each puts every blob
    /// that it moves lower.
    ///
    /// # Errors
    /// As [`Store::commit`], and as [`Store::read`] for a blob that is damaged: then nothing was moved.
    pub fn relocate(&self, max_bytes: u64) -> Result<Relocation, StoreError> {
        let mut committer = self.committer.lock();
        self.check_not_poisoned()?;
        let moves = self.plan_moves(max_bytes);
        if moves.is_empty() {
            return Ok(Relocation::default());
        }
        let targets: Vec<Extent> = moves.iter().map(|(.., to)| *to).collect();
        let end = self.space.lock().end();
        let result = self.copy_images(&moves).map_err(Failure::harmless).and_then(|images| {
            let batch: Vec<(Extent, &[u8])> = (targets.iter().copied())
                .zip(images.iter().map(Vec::as_slice))
                .collect();
            let report = self.write(committer.as_mut(), &batch, || {})?;
            let entries = moves
                .iter()
                .filter_map(|(blob, from, to)| Some((*blob, MapEntry::new(to.start(), from.info(), from.digest())?)));
            let plan = Plan {
                point: self.state.read().point,
                entries: entries.collect(),
                deletes: Vec::new(),
            };
            let report = self.publish(committer.as_mut(), &plan, report)?;
            Ok((plan, report))
        });
        match result {
            Ok((plan, mut report)) => {
                self.finish(committer.as_mut(), &plan, &mut report);
                Ok(Relocation {
                    moved_blobs: moves.len() as u64,
                    moved_bytes: targets.iter().map(|extent| extent.len_bytes()).sum(),
                })
            }
            Err(failure) => Err(self.give_up(failure, &targets, end)),
        }
    }

    /// Blobs from the end of the file on, with where they are and where they go. The targets are reserved.
    fn plan_moves(&self, max_bytes: u64) -> Vec<(BlobId, MapEntry, Extent)> {
        let mut entries: Vec<(BlobId, MapEntry)> = self.state.read().map.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.extent().start()));
        let mut space = self.space.lock();
        space.reclaim();
        let mut budget = max_bytes / u64::from(PAGE_BYTES);
        let mut moves = Vec::new();
        for (blob, entry) in entries {
            let pages = u64::from(entry.extent().pages());
            if !moves.is_empty() && pages > budget {
                break;
            }
            if let Some(to) = space.reserve_below(entry.extent()) {
                budget = budget.saturating_sub(pages);
                moves.push((blob, entry, to));
            }
        }
        moves
    }

    fn copy_images(&self, moves: &[(BlobId, MapEntry, Extent)]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut images: Vec<Vec<u8>> = (moves.iter())
            .map(|(_, entry, _)| vec![0; entry.info().bytes as usize])
            .collect();
        let mut reads: Vec<(BlobId, &mut [u8])> = (moves.iter().zip(&mut images))
            .map(|((blob, ..), image)| (*blob, image.as_mut_slice()))
            .collect();
        self.read_many(&mut reads)
            .into_iter()
            .collect::<Result<(), StoreError>>()?;
        Ok(images)
    }
}
