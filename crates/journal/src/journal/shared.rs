//! What the callers' threads and the keeper's share: the segments, and who may do what to them when. The locks and their
//! order are told in the parent.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, OnceLock},
};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, is_no_space};

use super::JournalOptions;
use crate::{
    Error,
    group::GroupCommit,
    header::{OPENING_OFFSET, Opening, RECORDS_OFFSET},
    segment::file_name,
    spare::{READY_BYTES, Spare, SpareError, Spares, reserved},
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering},
    writer::{ActiveSegment, Segment, Writer},
};

/// A closed journal's last segment takes a multiple of this.
const KEPT_ROOM_BYTES: u64 = 64 << 10;

/// What the callers' threads and the keeper's share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: JournalOptions,
    pub(super) database_id: u128,
    trimming: Mutex<()>,
    pub(super) writer: Mutex<Writer>,
    pub(super) spares: Spares,
    commit: GroupCommit,
    /// Segments with something in them that is not on disk, oldest first, and the active one.
    unsynced: Mutex<Vec<Arc<Segment>>>,
    pub(super) appended_upto: AtomicU64,
    durable_upto: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    failure: OnceLock<Failure>,
    pub(super) trims: Mutex<()>,
    pub(super) trimmed: Condvar,
}

/// One append's records.
pub(super) struct Encoded<'a> {
    pub(super) records: &'a mut [u8],
    pub(super) count: u64,
    pub(super) only_removes: bool,
}

/// The write or sync after which nothing is written any more.
#[derive(Debug)]
struct Failure {
    context: String,
    source: Arc<io::Error>,
}

impl Shared {
    /// Of a journal of which everything is on disk.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        database_id: u128,
        writer: Writer,
        spares: Spares,
    ) -> Self {
        Self {
            disk,
            options,
            database_id,
            trimming: Mutex::new(()),
            spares,
            commit: GroupCommit::default(),
            unsynced: Mutex::new(vec![Arc::clone(&writer.active.segment)]),
            appended_upto: AtomicU64::new(writer.last_sequence),
            durable_upto: AtomicU64::new(writer.last_sequence),
            bytes: AtomicU64::new(writer.bytes()),
            writer: Mutex::new(writer),
            syncs: AtomicU64::new(0),
            failure: OnceLock::new(),
            trims: Mutex::new(()),
            trimmed: Condvar::default(),
        }
    }

    /// Gives encoded records their numbers and their place, and returns the first number and whether the keeper has
    /// something to do.
    pub(super) fn append(&self, first_sequence: Option<u64>, batch: Encoded<'_>) -> Result<(u64, bool), Error> {
        let Encoded {
            records,
            count,
            only_removes,
        } = batch;
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        self.check_failure()?;
        let expected = writer.last_sequence + 1;
        if let Some(given) = first_sequence.filter(|&given| given != expected) {
            return Err(Error::OutOfSequence { expected, given });
        }
        if records.is_empty() {
            return Ok((expected, false));
        }
        let bytes = records.len() as u64;
        let reserved = reserved(writer.active.segment.capacity, &self.options);
        if !writer.active.has_room(bytes, reserved) {
            match self.rotate(writer, bytes) {
                Ok(()) => self.spares.grow(),
                Err(Error::NoSpace { .. }) if only_removes && writer.active.has_room(bytes, 0) => {}
                Err(error) => return Err(error),
            }
        }
        if let Err(error) = writer.write(records, count, self.synced_upto()) {
            return Err(self.refuse(&mut writer.active, error));
        }
        // Changed by who has the writer's lock only.
        self.bytes
            .store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        self.appended_upto.store(writer.last_sequence, Ordering::Release);
        let wake = writer.active.position >= writer.active.wake_at;
        if wake {
            writer.active.wake_at = writer.active.position + READY_BYTES / 2;
        }
        Ok((expected, wake))
    }

    /// Puts a new segment with room for `bytes` behind the active one. The new one says where the old one ends.
    ///
    /// Recovery finds its way back by openings, so at most one of them may not be on disk yet: the active one's. And
    /// where the old one ends by what recovery made of it, the new one says so on disk before it takes a record: its
    /// records say that all before them are durable, which may be so by the cut alone.
    fn rotate(&self, writer: &mut Writer, bytes: u64) -> Result<(), Error> {
        let old = &writer.active;
        if !planted(Defect::RotatesBeforeOpening) {
            self.make_opening_durable(&old.segment)?;
        }
        let was_sealed = old.sealed;
        let spare = self
            .spares
            .take(&*self.disk, &self.options, self.database_id, bytes)
            .map_err(|error| self.poison_if_fatal(error))?;
        let opening = Opening {
            first_sequence: writer.last_sequence + 1,
            predecessor: old.segment.number,
            predecessor_end: old.position,
            predecessor_digest: old.last_digest,
            durable_upto: self.synced_upto(),
        };
        let active = match open_segment(&spare, &opening) {
            Ok(active) => active,
            Err(source) => {
                let fatal = !is_no_space(&source);
                let context = format!("opening {}", file_name(spare.segment.number));
                self.spares.put_back(spare);
                return Err(self.poison_if_fatal(SpareError { context, source, fatal }));
            }
        };
        self.unsynced.lock().push(Arc::clone(&active.segment));
        writer.follow(active);
        match was_sealed && !planted(Defect::RotatesBeforeOpening) {
            true => self.make_opening_durable(&writer.active.segment),
            false => Ok(()),
        }
    }

    /// Syncs, unless it is known, a segment's opening. A failure leaves no doubt about any append that is still to come.
    fn make_opening_durable(&self, segment: &Segment) -> Result<(), Error> {
        match self.commit_until(|| segment.is_opening_durable()) {
            Err(error) => Err(self.check_failure().err().unwrap_or(error)),
            Ok(()) => Ok(()),
        }
    }

    /// What becomes of an append whose write failed. On a full disk what it wrote is cut off, and the segment closed:
    /// no place in a segment is ever written twice, which is what lets recovery trust a record in its place.
    fn refuse(&self, active: &mut ActiveSegment, error: io::Error) -> Error {
        let context = format!("appending to {}", file_name(active.segment.number));
        if !is_no_space(&error) {
            return self.poison(context, error);
        }
        active.sealed = true;
        if planted(Defect::KeepsRefusedAppend) {
            active.sealed = false;
            let source = Arc::new(error);
            return Error::NoSpace { context, source };
        }
        match active.segment.file.cut_off(active.position) {
            Ok(()) => Error::NoSpace {
                context,
                source: Arc::new(error),
            },
            Err(error) => {
                let context = format!("taking back a refused append to {}", file_name(active.segment.number));
                self.poison(context, error)
            }
        }
    }

    pub(super) fn synced_upto(&self) -> u64 {
        self.durable_upto.load(Ordering::Acquire)
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        let wanted = self.appended_upto.load(Ordering::Acquire) - u64::from(planted(Defect::SyncsAllButLast));
        self.commit_until(|| self.synced_upto() >= wanted)
    }

    /// Syncs, together with whoever else waits, until `is_done`.
    fn commit_until(&self, is_done: impl Fn() -> bool) -> Result<(), Error> {
        let failed = RefCell::new(None);
        let answer = || {
            let own = failed.borrow_mut().take();
            if let Some(error) = own {
                return Some(Err(error));
            }
            match self.check_failure() {
                Err(error) => Some(Err(error)),
                Ok(()) => is_done().then_some(Ok(())),
            }
        };
        self.commit.wait_until(answer, || {
            if let Err(error) = self.sync_everything() {
                failed.replace(Some(error));
            }
        })
    }

    /// Syncs all that was appended so far. For whose turn it is.
    fn sync_everything(&self) -> Result<(), Error> {
        // In this order: what has a number up to this one is in the segments that are looked at afterwards.
        let appended_upto = self.appended_upto.load(Ordering::Acquire);
        let mut segments = self.unsynced.lock().clone();
        if planted(Defect::SyncsNewestSegmentOnly) {
            segments.drain(..segments.len().saturating_sub(1));
        }
        for segment in &segments {
            let (from, to) = (
                segment.synced.load(Ordering::Acquire),
                segment.end.load(Ordering::Acquire),
            );
            if from < to {
                self.syncs.fetch_add(1, Ordering::Relaxed);
                let synced = match planted(Defect::SyncsHalf) {
                    true => segment.file.sync(from..from + (to - from) / 2),
                    false => segment.file.sync(from..to),
                };
                synced
                    .or_else(|error| {
                        if planted(Defect::IgnoresFailedSync) {
                            Ok(())
                        } else {
                            Err(error)
                        }
                    })
                    .map_err(|error| self.poison(format!("syncing {}", file_name(segment.number)), error))?;
                segment.synced.store(to, Ordering::Release);
            }
        }
        self.durable_upto.fetch_max(appended_upto, Ordering::AcqRel);
        // All but the last one were complete: their mappings go with the last hold on them.
        if let Some(last) = segments.last() {
            self.unsynced.lock().retain(|segment| segment.number >= last.number);
        }
        Ok(())
    }

    pub(super) fn trim(&self, cut: u64) -> Result<(), Error> {
        let _trimming = self.trimming.lock();
        let begins_anew = {
            let writer = self.writer.lock();
            writer.active.bytes() > 0 && writer.last_sequence <= cut
        };
        if begins_anew && self.check_failure().is_ok() {
            self.spares
                .begin_anew(&*self.disk, &self.options, self.database_id)
                .map_err(|error| self.poison_if_fatal(error))?;
        }
        // Where there was no room for a new segment, there may be some now.
        while self.trim_once(cut)? {}
        Ok(())
    }

    /// Returns whether another round may get further.
    fn trim_once(&self, cut: u64) -> Result<bool, Error> {
        let mut refused = false;
        let (mut covered, dead, active): (_, Vec<u64>, _) = {
            let mut writer = self.writer.lock();
            self.check_failure()?;
            if writer.active.bytes() > 0 && writer.last_sequence <= cut {
                match self.rotate(&mut writer, 0) {
                    Ok(()) => {}
                    Err(Error::NoSpace { .. } | Error::Unwritten { .. }) => refused = true,
                    Err(error) => return Err(error),
                }
            }
            // What recovery left out is left out for good once a segment was opened behind the one where it ended.
            let dead = match writer.active.sealed {
                true => Vec::new(),
                false => writer.dead.clone(),
            };
            let active = Arc::clone(&writer.active.segment);
            (writer.oldest_if_covered(cut), dead, active)
        };
        if covered.is_none() && dead.is_empty() {
            return Ok(false);
        }
        if !planted(Defect::TrimsBeforeOpening) {
            self.make_opening_durable(&active)?;
        }
        for number in dead {
            self.remove(number)?;
            self.writer.lock().dead.retain(|other| *other != number);
        }
        while let Some(oldest) = covered {
            // Without the writer's lock: giving back a large file takes its time. `trimming` keeps others away from it.
            self.remove(oldest.number)?;
            let mut writer = self.writer.lock();
            writer.older.pop_front();
            covered = writer.oldest_if_covered(cut);
            self.note_trimmed(writer);
        }
        let folder = RefCell::new(None);
        self.commit.wait_until(
            || folder.borrow_mut().take(),
            || {
                let synced = self.check_failure().and_then(|()| {
                    self.disk
                        .sync()
                        .map_err(|error| self.poison(format!("syncing {}", self.disk.label()), error))
                });
                folder.replace(Some(synced));
            },
        )?;
        Ok(refused)
    }

    /// Cuts off the zeros behind the last record, once nothing is appended any more: so the next opening need not look through
    /// them for what a power cut may have left. What was there when the journal was opened stays as it was found.
    pub(super) fn give_room_back(&self) {
        let mut writer = self.writer.lock();
        let active = &mut writer.active;
        let (number, end) = (active.segment.number, active.position.next_multiple_of(KEPT_ROOM_BYTES));
        if active.sealed || end >= active.segment.capacity {
            return;
        }
        // Only tidiness, whatever goes wrong: a longer file means the same.
        let Ok(file) = self.disk.open(&file_name(number)) else {
            return;
        };
        let synced = active.segment.synced.load(Ordering::Acquire);
        let closed = Arc::new(Segment::ended(number, Arc::clone(&file), end, active.position, synced));
        let open = std::mem::replace(&mut active.segment, closed);
        self.unsynced.lock().clear();
        // A file keeps its length while it is mapped: somebody may be in the middle of a sync.
        if Arc::into_inner(open).is_some() {
            let _ = file.set_len(end);
        }
    }

    fn remove(&self, number: u64) -> Result<(), Error> {
        match self.disk.remove(&file_name(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", file_name(number)), error))
            }
            _ => Ok(()),
        }
    }

    /// Tells those who wait for room.
    fn note_trimmed(&self, writer: MutexGuard<'_, Writer>) {
        self.bytes.store(writer.bytes(), Ordering::Relaxed);
        drop(writer);
        drop(self.trims.lock());
        self.trimmed.notify_all();
    }

    /// Makes the next segment, if there is none, and the pages that the next appends will touch. For the keeper.
    pub(crate) fn tend(&self) {
        if self.check_failure().is_err() {
            return;
        }
        let active = self.unsynced.lock().last().cloned();
        if let Some(active) = active {
            // What could not be made ready is made so by the appends.
            let _ = active.make_ready();
        }
        if let Err(error) = self.spares.refill(&*self.disk, &self.options, self.database_id) {
            // Any other failure is the next rotation's to meet, and to tell.
            if error.fatal {
                self.poison_if_fatal(error);
            }
        }
    }

    pub(super) fn check_failure(&self) -> Result<(), Error> {
        match self.failure.get() {
            Some(_) if planted(Defect::ForgetsFailure) => Ok(()),
            None => Ok(()),
            Some(failure) => Err(Error::Poisoned {
                context: failure.context.clone(),
                source: Arc::clone(&failure.source),
            }),
        }
    }

    /// A failure before anything was appended: of a sync, after which nothing will be, or one that may pass.
    fn poison_if_fatal(&self, error: SpareError) -> Error {
        if !error.fatal {
            return error.into();
        }
        let own = self.poison(error.context, error.source);
        self.check_failure().err().unwrap_or(own)
    }

    /// Keeps the first failure for everybody who comes after.
    pub(super) fn poison(&self, context: String, source: io::Error) -> Error {
        let source = Arc::new(source);
        // A second failure adds nothing to the first.
        let _ = self.failure.set(Failure {
            context: context.clone(),
            source: Arc::clone(&source),
        });
        // Those who wait for room need not wait any longer.
        drop(self.trims.lock());
        self.trimmed.notify_all();
        Error::Io { context, source }
    }
}

/// Puts a spare to use.
pub(super) fn open_segment(spare: &Spare, opening: &Opening) -> io::Result<ActiveSegment> {
    let Spare { segment, key } = spare;
    segment.file.write(OPENING_OFFSET as u64, &opening.encode(*key))?;
    segment.end.store(RECORDS_OFFSET as u64, Ordering::Release);
    Ok(ActiveSegment {
        segment: Arc::clone(segment),
        first_sequence: opening.first_sequence,
        next_sequence: opening.first_sequence,
        key: *key,
        position: RECORDS_OFFSET as u64,
        last_digest: key.0,
        sealed: false,
        wake_at: 0,
    })
}
