//! How a commit becomes durable.
//!
//! 1. Fresh extents are reserved: nothing that a durable map names is ever overwritten.
//! 2. The images are written, in one batch.
//! 3. The file of blobs is synced: images and growth are durable before anything refers to them.
//! 4. One record is appended to the map log and synced. **This is the commit**: before it the old state is what a reopen
//!    finds, after it the new one, and there is nothing between.
//! 5. Only then the map in memory changes, and the extents of replaced images are retired; they are reused when the
//!    readers have left them (see space.rs), by a later commit. Those of deleted blobs are set aside until the deletes are
//!    applied: [`Store::free`] for each, and [`Store::settle_frees`] for all of them.
//!
//! A blob of which nothing changes but how many references lead to it is not written: its entry is, in 4, and its extent stays.
//!
//! Whatever fails before 4 is done leaves the map as it was and gives back exactly what 1 took. A full disk is survived:
//! what 4 may have left is taken back durably, since a later commit may reuse the extents it names. After any other
//! failure nobody knows what is on disk: the store is poisoned, reads go on from the old state, no commit is tried again,
//! and a reopen finds either state whole.

use std::{sync::atomic::Ordering, thread};

use coppice_defect::{Defect, planted};
use parking_lot::Mutex;

use super::{BLOBS_NAME, Store};
use crate::{
    BlobId, BlobInfo, MAX_BLOB_BYTES, MAX_BLOBS, MAX_FURTHER_REFERENCES,
    digest::blob_digest,
    error::StoreError,
    extent::{Extent, PAGE_BYTES, pages_for},
    slot_log::{AppendFailure, Point, SlotLog},
    slot_map::MapEntry,
    space::MIN_SLACK_PAGES,
};

/// From so many blobs on, their digests are computed beside the write and not before it: reading them from memory takes a
/// noticeable part of the time that the disk takes.
const WRITES_WORTH_A_THREAD: usize = 64;

/// The blobs that take one state to the next.
#[derive(Clone, Debug, Default)]
pub struct Epoch<'a> {
    /// The commit sequence number that the blobs are the state of once this is committed; never less than before.
    pub cut: u64,
    /// The first tree id never used.
    pub next_tree: u32,
    /// New images; each blob at most once.
    pub writes: Vec<BlobWrite<'a>>,
    /// Blobs that stay as they are, with how many references lead to them now beside the first; each at most once, and none
    /// that is written or deleted. One that never was is passed over.
    pub recounts: Vec<(BlobId, u32)>,
    /// Blobs that the state no longer has; each at most once, and none that is written. One that never was is passed
    /// over.
    pub deletes: Vec<BlobId>,
}

/// A blob's new image.
#[derive(Clone, Copy, Debug)]
pub struct BlobWrite<'a> {
    /// Which blob; below [`MAX_BLOBS`]. Ids are best dense.
    pub id: BlobId,
    /// The caller's, kept with the blob.
    pub kind: u8,
    /// The caller's, kept with the blob.
    pub records: u32,
    /// The caller's, kept with the blob.
    pub live: u32,
    /// References that lead to the blob beside the first: the caller's, kept with the blob. At most
    /// [`MAX_FURTHER_REFERENCES`](crate::MAX_FURTHER_REFERENCES).
    pub further_references: u32,
    /// The whole blob: 1 to [`MAX_BLOB_BYTES`] bytes.
    pub bytes: &'a [u8],
}

/// What a commit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommitReport {
    /// Blobs written.
    pub flushed: u64,
    /// Bytes given to the disk: images with their padding, and map records.
    pub bytes_written: u64,
    /// Syncs of files and of the folder.
    pub syncs: u64,
}

/// A commit in progress.
pub(super) struct Plan {
    pub(super) point: Point,
    pub(super) entries: Vec<(BlobId, MapEntry)>,
    pub(super) deletes: Vec<BlobId>,
}

/// Why a commit failed, and whether the store may go on.
pub(super) struct Failure {
    error: StoreError,
    poisons: bool,
}

impl Failure {
    /// One before anything was written.
    pub(super) fn harmless(error: StoreError) -> Self {
        Self { error, poisons: false }
    }
}

impl Store {
    /// Makes an epoch durable. On return the blobs are what the epoch says, now and after a power cut. An epoch that
    /// changes nothing costs nothing; one with only a newer cut costs a map record and its sync.
    ///
    /// # Errors
    /// The state is as before, in every case. `Refused` when the epoch contradicts itself or goes back in time;
    /// `NoSpace` when the disk is full: try again when there is room; `Poisoned` when an earlier commit failed for good;
    /// `Io` when this one does. After `Io`, and only then, the epoch may turn out to be there on the next open.
    pub fn commit(&self, epoch: &Epoch<'_>) -> Result<CommitReport, StoreError> {
        let mut committer = self.committer.lock();
        self.check_not_poisoned()?;
        let deletes = self.check(epoch)?;
        let point = Point {
            cut: epoch.cut,
            next_tree: epoch.next_tree,
        };
        let recounted = self.recounted(&epoch.recounts);
        let is_empty = epoch.writes.is_empty() && recounted.is_empty() && deletes.is_empty();
        if is_empty && point == self.state.read().point {
            return Ok(CommitReport::default());
        }

        if planted(Defect::ReusesPlacesEarly) {
            let state = self.state.read();
            let place = |write: &BlobWrite<'_>| Some((write.id, state.map.get(write.id)?.extent()));
            self.space
                .lock()
                .retire(epoch.writes.iter().filter_map(place).collect());
        }
        let (end, extents) = self.reserve(&epoch.writes)?;
        let batch: Vec<_> = (extents.iter().copied())
            .zip(epoch.writes.iter().map(|write| write.bytes))
            .collect();
        let mut plan = Plan {
            point,
            entries: Vec::new(),
            deletes,
        };
        let done = self
            .write(committer.as_mut(), &batch, || {
                plan.entries = self.entries_of(&epoch.writes, &extents);
                plan.entries.extend(recounted);
            })
            .and_then(|mut report| {
                report.flushed = epoch.writes.len() as u64;
                self.publish(committer.as_mut(), &plan, report)
            });
        match done {
            Ok(mut report) => {
                self.finish(committer.as_mut(), &plan, &mut report);
                Ok(report)
            }
            Err(failure) => Err(self.give_up(failure, &extents, end)),
        }
    }

    /// Step 5, and a new generation of the log if it is time for one.
    pub(super) fn finish(&self, log: Option<&mut SlotLog>, plan: &Plan, report: &mut CommitReport) {
        self.apply(plan);
        if let Some(log) = log {
            self.rewrite_log_if_due(log, report);
            self.log_bytes.store(log.bytes(), Ordering::Relaxed);
        }
    }

    /// After a failure: gives back what was reserved when the file had `end` pages.
    pub(super) fn give_up(&self, failure: Failure, reserved: &[Extent], end: u32) -> StoreError {
        if !planted(Defect::LeaksReservations) {
            self.space.lock().give_back(reserved, end);
        }
        if failure.poisons {
            self.poison(&failure.error);
        } else {
            // Room that a write took before it found the disk full. It would be used by the next commit anyway.
            let _ = self.blobs.set_len_pages(end);
        }
        failure.error
    }

    /// Applies a delete of a commit that returned: the blob's pages are free as soon as no reader is left in them. False
    /// where there was nothing to free.
    ///
    /// # Errors
    /// `Poisoned`, with nothing done.
    pub fn free(&self, blob: BlobId) -> Result<bool, StoreError> {
        self.check_not_poisoned()?;
        Ok(self.space.lock().free(blob))
    }

    /// After deletes were applied: gives free pages at the end of the file back to the disk, durably, where they are more
    /// than later commits are likely to want. Returns how many syncs that took.
    ///
    /// # Errors
    /// `Poisoned`; `Io`, after which the store is poisoned.
    pub fn settle_frees(&self) -> Result<u64, StoreError> {
        let _committer = self.committer.lock();
        self.check_not_poisoned()?;
        let (before, end) = {
            let mut space = self.space.lock();
            (space.end(), space.trim_to_slack())
        };
        if end == before {
            return Ok(0);
        }
        let shrunk = self.blobs.set_len_pages(end).and_then(|()| self.blobs.sync());
        shrunk.map_err(|source| self.shrinking_failed(source))?;
        Ok(1)
    }

    fn shrinking_failed(&self, source: std::io::Error) -> StoreError {
        let context = format!("shrinking {BLOBS_NAME}");
        let error = StoreError::Io { context, source };
        self.poison(&error);
        error
    }

    /// Gives free pages at the end of the file back to the disk and returns how many bytes that was.
    ///
    /// # Errors
    /// `Poisoned`; `Io`, after which the store is poisoned.
    pub fn trim(&self) -> Result<u64, StoreError> {
        let _committer = self.committer.lock();
        self.check_not_poisoned()?;
        let (before, end) = {
            let mut space = self.space.lock();
            (space.end(), space.trim())
        };
        if end == before {
            return Ok(0);
        }
        let shrunk = self
            .blobs
            .set_len_pages(end - u32::from(planted(Defect::CutsFileTooLow)));
        shrunk.map_err(|source| self.shrinking_failed(source))?;
        Ok(u64::from(before - end) * u64::from(PAGE_BYTES))
    }

    /// Gives room that free pages within the file take back to the disk, about `most_bytes` of it, less where it lies
    /// scattered; which need not last, since commits take it as ever. With `keep_slack` only where many pages became free,
    /// so that a database that is written to now and then does not give back what it needs again; and not while a commit is
    /// under way, which may take long. Whether there may be more.
    ///
    /// A failure is no matter: nothing refers to these pages.
    pub fn punch(&self, most_bytes: u64, keep_slack: bool) -> bool {
        let committer = match keep_slack {
            true => self.committer.try_lock(),
            false => Some(self.committer.lock()),
        };
        let Some(committer) = committer else { return false };
        // Should a torn tail turn out to be a record after all, its extents must be as they were.
        if self.check_not_poisoned().is_err() || committer.as_ref().is_some_and(SlotLog::is_torn) {
            return false;
        }
        let most = u32::try_from(most_bytes / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
        let least = if keep_slack { MIN_SLACK_PAGES } else { 0 };
        let runs = self.space.lock().take_unpunched(most, least);
        // Whoever reserves holds the committer's lock: these stay free meanwhile.
        let given_back = runs.iter().all(|run| {
            let beyond = u32::from(planted(Defect::PunchesTooFar));
            let run = Extent::new(run.start(), run.pages() + beyond).unwrap_or(*run);
            self.blobs.punch(run).is_ok()
        });
        given_back && !runs.is_empty()
    }

    pub(super) fn check_not_poisoned(&self) -> Result<(), StoreError> {
        match self.poison.get() {
            Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn poison(&self, error: &StoreError) {
        // Only the first failure is kept.
        let _ = self.poison.set(error.to_string());
    }

    /// Refuses what is no epoch, and returns the deletes that have something to delete.
    fn check(&self, epoch: &Epoch<'_>) -> Result<Vec<BlobId>, StoreError> {
        let state = self.state.read();
        if epoch.cut < state.point.cut {
            return Err(StoreError::refused(format!(
                "cut {} is before the last one, {}",
                epoch.cut, state.point.cut
            )));
        }
        for write in &epoch.writes {
            if write.id >= MAX_BLOBS {
                return Err(StoreError::refused(format!("{} is no blob id", write.id)));
            }
            if write.further_references > MAX_FURTHER_REFERENCES {
                return Err(StoreError::refused(format!(
                    "blob {} cannot have {} references more than one",
                    write.id, write.further_references
                )));
            }
            if write.bytes.is_empty() || write.bytes.len() > MAX_BLOB_BYTES as usize {
                return Err(StoreError::refused(format!(
                    "blob {} cannot have {} bytes",
                    write.id,
                    write.bytes.len()
                )));
            }
        }
        let written = epoch.writes.iter().map(|write| write.id);
        let recounted = epoch.recounts.iter().map(|recount| recount.0);
        let mut ids: Vec<BlobId> = (written.chain(recounted))
            .chain(epoch.deletes.iter().copied())
            .collect();
        ids.sort_unstable();
        if let Some((id, _)) = ids.iter().zip(ids.iter().skip(1)).find(|(a, b)| a == b) {
            return Err(StoreError::refused(format!("blob {id} occurs twice in one epoch")));
        }
        let deletes = epoch.deletes.iter().copied();
        Ok(deletes.filter(|&id| state.map.get(id).is_some()).collect())
    }

    /// The entries of blobs of which nothing changes but how many references lead to them.
    fn recounted(&self, recounts: &[(BlobId, u32)]) -> Vec<(BlobId, MapEntry)> {
        let state = self.state.read();
        let recounted = recounts.iter().filter_map(|&(blob, further_references)| {
            let before = state.map.get(blob)?;
            let entry = before.with_further_references(further_references);
            (entry != before).then_some((blob, entry))
        });
        recounted.collect()
    }

    /// An extent for each write, and the pages that the file had before.
    fn reserve(&self, writes: &[BlobWrite<'_>]) -> Result<(u32, Vec<Extent>), StoreError> {
        let mut space = self.space.lock();
        let end = space.end();
        let counts = writes.iter().map(|write| pages_for(write.bytes.len() as u32));
        let extents = space.reserve(counts).ok_or_else(|| {
            let full = std::io::Error::new(std::io::ErrorKind::StorageFull, "the file cannot have more pages");
            StoreError::from_io(format!("reserving room in {BLOBS_NAME}"), full)
        })?;
        Ok((end, extents))
    }

    fn entries_of(&self, writes: &[BlobWrite<'_>], extents: &[Extent]) -> Vec<(BlobId, MapEntry)> {
        let entry = |(write, extent): (&BlobWrite<'_>, &Extent)| {
            let info = BlobInfo {
                bytes: write.bytes.len() as u32,
                kind: write.kind,
                records: write.records,
                live: write.live,
                further_references: write.further_references,
            };
            let digest = blob_digest(self.database_id, write.id, write.bytes);
            Some((write.id, MapEntry::new(extent.start(), info, digest)?))
        };
        let entries: Vec<_> = writes.iter().zip(extents).filter_map(entry).collect();
        assert_eq!(
            entries.len(),
            writes.len(),
            "lengths were checked, and no extent begins at page 0"
        );
        entries
    }

    /// Steps 2 and 3. Meanwhile, `beside` is run.
    pub(super) fn write(
        &self,
        log: Option<&mut SlotLog>,
        batch: &[(Extent, &[u8])],
        beside: impl FnOnce() + Send,
    ) -> Result<CommitReport, Failure> {
        let mut report = CommitReport::default();
        // First of all: should the tail turn out to be a record after all, its extents must not have been used again.
        if let Some(log) = log {
            let cut = log.cut_torn_tail();
            report.syncs =
                cut.map_err(|failure| log_failure(format!("cutting a torn tail off {}", log.name()), failure))?;
        }
        let written = if batch.len() < WRITES_WORTH_A_THREAD {
            beside();
            self.blobs.write_batch(batch)
        } else {
            run_beside(beside, || self.blobs.write_batch(batch))
        };
        if batch.is_empty() {
            return Ok(report);
        }
        written.map_err(|source| {
            let error = StoreError::from_io(format!("writing {BLOBS_NAME}"), source);
            let poisons = !matches!(error, StoreError::NoSpace { .. });
            Failure { error, poisons }
        })?;
        if planted(Defect::CommitsBeforeData) {
            return Ok(report);
        }
        self.blobs
            .sync()
            .map_err(|source| fatal(format!("syncing {BLOBS_NAME}"), source))?;
        report.bytes_written = batch.iter().map(|(extent, _)| extent.len_bytes()).sum();
        report.syncs += 1;
        Ok(report)
    }

    /// Step 4.
    pub(super) fn publish(
        &self,
        log: Option<&mut SlotLog>,
        plan: &Plan,
        mut report: CommitReport,
    ) -> Result<CommitReport, Failure> {
        if let Some(log) = log {
            let appended = log.append(plan.point, &plan.entries, &plan.deletes);
            report.bytes_written +=
                appended.map_err(|failure| log_failure(format!("appending to {}", log.name()), failure))?;
            report.syncs += 1;
        }
        Ok(report)
    }

    /// Step 5.
    fn apply(&self, plan: &Plan) {
        let mut state = self.state.write();
        let mut replaced = Vec::with_capacity(plan.entries.len());
        for &(blob, entry) in &plan.entries {
            let before = state.map.insert(blob, entry).map(MapEntry::extent);
            // What was recounted stays where it is.
            let left = before.filter(|extent| *extent != entry.extent());
            replaced.extend(left.map(|extent| (blob, extent)));
        }
        let dropped = plan.deletes.iter();
        let dropped: Vec<_> = dropped
            .filter_map(|&blob| Some((blob, state.map.remove(blob)?.extent())))
            .collect();
        state.point = plan.point;
        let mut space = self.space.lock();
        space.set_aside(dropped);
        if !planted(Defect::ReusesPlacesEarly) {
            space.retire(replaced);
        }
    }

    /// The commit is durable by now, so a failure here does not concern it; it may concern the next.
    fn rewrite_log_if_due(&self, log: &mut SlotLog, report: &mut CommitReport) {
        if !log.is_due_for_rewrite() {
            return;
        }
        let generation = {
            let state = self.state.read();
            log.next_generation(&state.map, state.point)
        };
        match log.rewrite(generation) {
            Ok(bytes) => {
                report.bytes_written += bytes;
                report.syncs += 2;
            }
            Err(failure) if failure.survivable => {}
            Err(failure) => self.poison(&StoreError::from_io("rewriting the map log", failure.source)),
        }
    }
}

/// Runs `beside` on a thread of its own while this one does `work`; on this one, first, where there is no other to be had.
fn run_beside<T>(beside: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    // In a lock, so that it is still here when no thread took it.
    let beside = Mutex::new(Some(beside));
    let run = || {
        if let Some(beside) = beside.lock().take() {
            beside();
        }
    };
    thread::scope(|scope| {
        let helper = thread::Builder::new().name("coppice-digest".to_owned());
        if helper.spawn_scoped(scope, run).is_err() {
            run();
        }
        work()
    })
}

fn log_failure(context: String, failure: AppendFailure) -> Failure {
    match failure {
        AppendFailure::NoSpace(source) => Failure {
            error: StoreError::NoSpace { context, source },
            poisons: false,
        },
        AppendFailure::Unknown(source) => fatal(context, source),
    }
}

/// A failure that leaves the disk's state unknown, whatever kind of error it was.
fn fatal(context: String, source: std::io::Error) -> Failure {
    Failure {
        error: StoreError::Io { context, source },
        poisons: true,
    }
}
