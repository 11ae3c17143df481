//! Several epochs as one: what is written, in which order, and what each of them is told.

use std::collections::HashMap;

use coppice_defect::{Defect, planted};
use coppice_store::{BlobWrite, Epoch as StoreEpoch};
use coppice_sync::{Step, is_left_out};

use super::{Epoch, Outcome, Target, failed_with, queue::GroupResult};
use crate::{error::Error, stats::CheckpointReport, table::Changed};

/// What is left of a group's epochs when they are put together: of a blob that occurs twice, the last word.
struct Merged<'a> {
    writes: Vec<&'a Changed>,
    /// Of each blob that an epoch speaks of and that stays: how many references lead to it beside the first.
    counts: HashMap<u32, u32>,
    /// Blobs of which nothing is made durable but that.
    recounts: Vec<(u32, u32)>,
    /// Blobs to delete, each with the place of its epoch.
    deletes: Vec<(u32, usize)>,
    /// Of each epoch: how many of its images are written.
    flushed: Vec<u64>,
}

impl<'a> Merged<'a> {
    fn new(epochs: &'a [Epoch]) -> Self {
        // The place of the last epoch that says anything of a blob. No epoch says two things of one.
        let mut last = HashMap::new();
        for (place, epoch) in epochs.iter().enumerate() {
            let changed = epoch.cut.changed.iter().map(|changed| changed.blob);
            for blob in changed.chain(epoch.cut.freed.iter().copied()) {
                last.insert(blob, place);
            }
        }
        let mut counts = HashMap::new();
        for epoch in epochs {
            for changed in epoch.cut.changed.iter() {
                counts.insert(changed.blob, changed.further_references);
            }
            counts.extend(epoch.cut.recounted.iter().copied());
            for blob in &epoch.cut.freed {
                counts.remove(blob);
            }
        }
        let alone = counts.iter().filter(|(blob, _)| !last.contains_key(blob));
        let mut merged = Self {
            recounts: alone.map(|(blob, count)| (*blob, *count)).collect(),
            counts,
            writes: Vec::new(),
            deletes: Vec::new(),
            flushed: Vec::new(),
        };
        for (place, epoch) in epochs.iter().enumerate() {
            let before = merged.writes.len();
            let counts = |blob: &u32| last.get(blob) == Some(&place);
            (merged.writes).extend(epoch.cut.changed.iter().filter(|changed| counts(&changed.blob)));
            (merged.deletes).extend(
                epoch
                    .cut
                    .freed
                    .iter()
                    .filter(|blob| counts(blob))
                    .map(|blob| (*blob, place)),
            );
            merged.flushed.push((merged.writes.len() - before) as u64);
        }
        merged
    }
}

/// Makes a group durable: write and sync, record and sync, deletes, and a last sync if any of them was applied. Then the
/// journal is trimmed.
pub(super) fn commit_group(target: &dyn Target, epochs: &[Epoch]) -> GroupResult {
    let Some(newest) = epochs.last() else {
        return all_failed(Vec::new());
    };
    let merged = Merged::new(epochs);
    let writes = merged.writes.iter().map(|changed| BlobWrite {
        id: changed.blob,
        kind: changed.kind as u8,
        records: changed.words.0,
        live: changed.words.1,
        further_references: merged.counts.get(&changed.blob).copied().unwrap_or_default(),
        bytes: changed.buffer.bytes().get(..changed.bytes as usize).unwrap_or_default(),
    });
    if planted(Defect::TrimsBeforeCommit) || is_left_out(Step::CommitBeforeTrim) {
        let _ = target.trim_journal(newest.version);
    }
    let committed = target.commit(&StoreEpoch {
        cut: newest.version,
        next_tree: newest.next_tree,
        writes: writes.collect(),
        recounts: merged.recounts.clone(),
        deletes: merged.deletes.iter().map(|(blob, _)| *blob).collect(),
    });
    let committed = match committed {
        Ok(committed) => committed,
        Err(error) => {
            let rest = failed_with(&error);
            let rest = std::iter::repeat_n(rest, epochs.len() - 1);
            return all_failed(std::iter::once(error).chain(rest).map(Err).collect());
        }
    };

    let mut frees = Frees::new(epochs.len());
    for &(blob, place) in &merged.deletes {
        frees.note(blob, place, target.free(blob));
    }
    let mut syncs = committed.syncs;
    if frees.any() {
        match target.settle_frees() {
            Ok(more) => syncs += more,
            Err(error) => frees.all_failed(&merged.deletes, &error),
        }
    }
    // What could not be removed is covered all the same, and a later round tries again.
    let trimmed = target.trim_journal(newest.version);

    let outcomes = epochs.iter().zip(&merged.flushed).zip(&frees.of_epochs);
    let outcomes = outcomes.map(|((epoch, flushed), freed)| -> Outcome {
        if let Some(error) = &freed.error {
            return Err(error.clone());
        }
        trimmed.clone()?;
        Ok(CheckpointReport {
            version: epoch.version,
            dirty_blobs: epoch.cut.changed.len() as u64,
            flushed_blobs: *flushed,
            pending_deletes: epoch.cut.freed.len() as u64,
            applied_deletes: freed.applied,
            bytes_written: committed.bytes_written,
            syncs,
            epochs_coalesced: epochs.len() as u64,
            duration_micros: epoch.started.elapsed().as_micros() as u64,
        })
    });
    GroupResult {
        outcomes: outcomes.collect(),
        failed: false,
        deletes_to_restore: frees.to_restore,
        poison: frees.poison,
        bytes_written: committed.bytes_written,
    }
}

fn all_failed(outcomes: Vec<Outcome>) -> GroupResult {
    GroupResult {
        outcomes,
        failed: true,
        deletes_to_restore: Vec::new(),
        poison: None,
        bytes_written: 0,
    }
}

/// How the deletes of a group went.
struct Frees {
    of_epochs: Vec<EpochFrees>,
    to_restore: Vec<u32>,
    /// A sync that failed.
    poison: Option<Error>,
}

#[derive(Clone, Default)]
struct EpochFrees {
    applied: u64,
    /// The first failure.
    error: Option<Error>,
}

impl Frees {
    fn new(epochs: usize) -> Self {
        Self {
            of_epochs: vec![EpochFrees::default(); epochs],
            to_restore: Vec::new(),
            poison: None,
        }
    }

    fn note(&mut self, blob: u32, place: usize, result: Result<bool, Error>) {
        let Some(epoch) = self.of_epochs.get_mut(place) else {
            return;
        };
        match result {
            Ok(applied) => epoch.applied += u64::from(applied),
            Err(error) => {
                self.to_restore.push(blob);
                epoch.error.get_or_insert(error);
            }
        }
    }

    fn any(&self) -> bool {
        self.of_epochs.iter().any(|epoch| epoch.applied > 0)
    }

    /// The sync of those that were applied failed: each epoch that has any fails with it.
    fn all_failed(&mut self, deletes: &[(u32, usize)], error: &Error) {
        for &(blob, place) in deletes {
            let Some(epoch) = self.of_epochs.get_mut(place) else {
                continue;
            };
            self.to_restore.push(blob);
            epoch.error.get_or_insert_with(|| error.clone());
        }
        self.poison = Some(error.clone());
    }
}
