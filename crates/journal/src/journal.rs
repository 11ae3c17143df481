//! The open journal: appends, syncs, rotation and trimming.
//!
//! Locks, in the order in which they are taken: `trimming`; `writer`, held while a record gets its number and its place
//! and is copied there, so that the order of numbers is that of the file, and nothing is returned before all that goes
//! before it is in the file too; the spares' slot; the turn to sync (`commit`), because the operating system reports a
//! failed writeback once: of two syncs at a time, one would fail and the other succeed; `unsynced`, held for moments. A
//! sync holds none but its turn, so appends go on meanwhile.

#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt, io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use coppice_disk::{Disk, is_no_space};

use crate::{
    Error, MAX_PAYLOAD_BYTES, Op, OpenError, Recovered,
    group::GroupCommit,
    header::{OPENING_OFFSET, Opening, RECORDS_OFFSET},
    history::{self, History},
    keeper::Keeper,
    progress::ReplayProgress,
    record,
    recovery::{self, LiveSegment},
    segment::{self, file_name},
    segment_file::SegmentFile,
    spare::{READY_BYTES, Spare, SpareError, Spares, reserved},
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering},
    writer::{ActiveSegment, OldSegment, Segment, Writer},
};

/// The buffer that a thread encodes its records in is given back beyond this.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// How a journal is kept.
#[derive(Clone)]
pub struct JournalOptions {
    /// Room of the largest segments, bytes. The first one is smaller, and they grow while they are filled. One append is
    /// never split: one that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// Gives each new segment its salt. Must be random: the salt is what tells a segment's records from old contents.
    pub salt: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Bytes at the end of each segment, at most an eighth of it, that only operations that remove something are written to,
    /// and only when the disk is too full for another segment: so deletes go on for a while when nothing else does.
    pub reserve_bytes: u64,
    /// Whether a thread of the journal's own makes segments and pages ready ahead of the appends. Without it whoever
    /// needs a segment makes it, so that the order of calls to the disk is that of the caller.
    pub keeper: bool,
    /// Where [`Journal::open`] says how far it is.
    pub progress: Arc<ReplayProgress>,
}

impl JournalOptions {
    /// Segments of up to 64 MiB, with salts from `salt`, made ahead by a thread.
    pub fn new(salt: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            segment_bytes: 64 << 20,
            salt: Arc::new(salt),
            reserve_bytes: 256 << 10,
            keeper: true,
            progress: Arc::default(),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("keeper", &self.keeper)
            .finish_non_exhaustive()
    }
}

/// Sizes and counters of a journal; the counters begin with 0 when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Segments that records are, or can be, in.
    pub segments: u64,
    /// Bytes of all records in them.
    pub bytes: u64,
    /// Bytes of their files, room not yet used included.
    pub file_bytes: u64,
    /// Bytes of the records appended.
    pub appended_bytes: u64,
    /// Records appended.
    pub appended_records: u64,
    /// Data syncs of segments.
    pub syncs: u64,
    /// The highest sequence number appended or, before the first append, accounted for by recovery.
    pub appended_upto: u64,
    /// The highest sequence number known to be on disk.
    pub synced_upto: u64,
}

/// What [`Journal::wait_for_room`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The journal was below its limit: nobody waited.
    Free,
    /// It was not, and a trim has made room.
    Waited,
    /// It was not, and still is not.
    Full,
}

/// An open journal. All calls may come from any thread.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    keeper: Option<Keeper>,
}

/// What the callers' threads and the keeper's share.
#[derive(Debug)]
pub(crate) struct Shared {
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    database_id: u128,
    trimming: Mutex<()>,
    writer: Mutex<Writer>,
    spares: Spares,
    commit: GroupCommit,
    /// Segments with something in them that is not on disk, oldest first, and the active one.
    unsynced: Mutex<Vec<Arc<Segment>>>,
    appended_upto: AtomicU64,
    durable_upto: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    failure: OnceLock<Failure>,
    trims: Mutex<()>,
    trimmed: Condvar,
}

/// One append's records.
struct Encoded<'a> {
    records: &'a mut [u8],
    count: u64,
    only_removes: bool,
}

/// The write or sync after which nothing is written any more.
#[derive(Debug)]
struct Failure {
    context: String,
    source: Arc<io::Error>,
}

thread_local! {
    /// One append's records, on their way into the segment.
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Journal {
    /// Starts the journal of a new database, with sequence number 1 to come. Durable on return.
    ///
    /// An empty segment that a creation cut off before left behind is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `AlreadyExists` when there is a segment with anything in it.
    pub fn create(disk: Arc<dyn Disk>, options: JournalOptions, database_id: u128) -> Result<Self, Error> {
        Self::create_behind(disk, options, database_id, 0)
    }

    /// As [`Journal::create`], for a database that begins with the state as of `cut`: the number behind that is to come.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create_behind(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        database_id: u128,
        cut: u64,
    ) -> Result<Self, Error> {
        segment::sweep(&*disk)?;
        for number in segment::list(&*disk)? {
            recovery::check_empty(&*disk, number)?;
            let name = file_name(number);
            disk.remove(&name)
                .map_err(|error| Error::io(format!("removing {name}"), error))?;
        }
        let spares = Spares::new(1);
        let spare = spares.take(&*disk, &options, database_id, 0)?;
        let opening = Opening {
            first_sequence: cut.saturating_add(1),
            predecessor: 0,
            predecessor_end: 0,
            predecessor_digest: 0,
            durable_upto: 0,
        };
        let failed = |error| Error::io(format!("creating {}", file_name(1)), error);
        let active = open_segment(&spare, &opening).map_err(failed)?;
        active.segment.file.sync(0..active.position).map_err(failed)?;
        active.segment.synced.store(active.position, Ordering::Release);
        let writer = Writer {
            older: VecDeque::new(),
            dead: Vec::new(),
            active,
            last_sequence: cut,
            appended_bytes: 0,
            appended_records: 0,
        };
        Self::assemble(disk, options, database_id, writer, spares)
    }

    /// Applies every record behind `cut`, in order, and changes nothing.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn replay<E>(
        disk: &dyn Disk,
        database_id: u128,
        cut: u64,
        progress: &ReplayProgress,
        apply: &mut dyn FnMut(u64, Op<'_>) -> Result<(), E>,
    ) -> Result<Recovered, OpenError<E>> {
        Ok(recovery::replay(disk, database_id, cut, progress, apply)?.recovered)
    }

    /// Opens a journal: applies every record behind `cut`, in order, and stands ready for the one after the last.
    ///
    /// Nothing is written before the first append, which begins a new segment. Memory is bounded by the longest record.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Incompatible`] and [`Error::Io`], and what `apply` returns. Nothing has been
    /// changed then, but records may have been applied.
    pub fn open<E>(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        database_id: u128,
        cut: u64,
        apply: &mut dyn FnMut(u64, Op<'_>) -> Result<(), E>,
    ) -> Result<(Self, Recovered), OpenError<E>> {
        segment::sweep(&*disk)?;
        let mut replayed = recovery::replay(&*disk, database_id, cut, &options.progress, apply)?;
        let Some(last) = replayed.live.pop() else {
            return Err(recovery::no_segments(&*disk).into());
        };
        let successors = replayed.live.iter().skip(1).chain([&last]);
        let older = replayed
            .live
            .iter()
            .zip(successors)
            .map(|(segment, next)| OldSegment {
                number: segment.number,
                first_sequence: segment.opening.first_sequence,
                next_sequence: next.opening.first_sequence,
                bytes: next.opening.predecessor_end.saturating_sub(RECORDS_OFFSET as u64),
                capacity: segment.file_bytes,
            })
            .collect();
        let writer = Writer {
            older,
            dead: replayed.dead,
            active: recovered_segment(last, replayed.end, replayed.last_digest, replayed.next_sequence),
            last_sequence: replayed.recovered.last_sequence,
            appended_bytes: 0,
            appended_records: 0,
        };
        let spares = Spares::new(replayed.next_number);
        let journal = Self::assemble(disk, options, database_id, writer, spares)?;
        Ok((journal, replayed.recovered))
    }

    /// A journal of which everything is on disk.
    fn assemble(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        database_id: u128,
        writer: Writer,
        spares: Spares,
    ) -> Result<Self, Error> {
        let keeps = options.keeper;
        let shared = Arc::new(Shared {
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
        });
        let keeper = keeps
            .then(|| Keeper::start(Arc::clone(&shared)))
            .transpose()
            .map_err(|error| Error::io("starting the journal's thread", error))?;
        Ok(Self { shared, keeper })
    }

    /// Appends operations with the sequence numbers `first_sequence`, `first_sequence + 1`, …, as
    /// [`Journal::append_next`] does, for a caller who keeps count.
    ///
    /// # Errors
    /// [`Error::OutOfSequence`] when another number is the next one: nothing was appended. Else as `append_next`.
    pub fn append(&self, first_sequence: u64, ops: &[Op<'_>]) -> Result<(), Error> {
        self.append_encoded(Some(first_sequence), ops).map(|_| ())
    }

    /// Appends operations with the next sequence numbers and returns the first of them. On return they survive the death
    /// of the process, and so does all that has a lower number. They are not atomic together: a crash may keep only the
    /// first few.
    ///
    /// Several threads may append at once. One that does so while it keeps others from what its operation changes has
    /// its number in the order of those changes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoSpace`] and [`Error::Unwritten`]: nothing was appended and all goes on.
    /// (Only on a disk that cannot set room aside, and only by a power cut before the next sync, can the first few of
    /// several operations that a full disk refused come back: what was written of them is cut off at once, but nothing
    /// is synced for that.)
    /// [`Error::Io`]: whether any of them will be found by recovery is unknown, and this is the last that is written.
    /// [`Error::Poisoned`] from then on: nothing was appended.
    pub fn append_next(&self, ops: &[Op<'_>]) -> Result<u64, Error> {
        self.append_encoded(None, ops)
    }

    fn append_encoded(&self, first_sequence: Option<u64>, ops: &[Op<'_>]) -> Result<u64, Error> {
        for op in ops {
            let bytes = op.payload_bytes();
            if bytes > MAX_PAYLOAD_BYTES {
                let limit = MAX_PAYLOAD_BYTES;
                return Err(Error::TooLarge { bytes, limit });
            }
        }
        let mut records = RECORDS.take();
        records.clear();
        for op in ops {
            record::encode(&mut records, op);
        }
        let batch = Encoded {
            records: &mut records,
            count: ops.len() as u64,
            only_removes: ops.iter().all(Op::only_removes),
        };
        let result = self.shared.append(first_sequence, batch);
        if records.capacity() <= KEPT_BUFFER_BYTES {
            RECORDS.set(records);
        }
        let (first, wake) = result?;
        if let Some(keeper) = self.keeper.as_ref().filter(|_| wake) {
            keeper.wake();
        }
        Ok(first)
    }

    /// Whether the last segment that was to be made found the disk full.
    pub fn is_out_of_space(&self) -> bool {
        self.shared.spares.is_refused()
    }

    /// Why nothing is appended any more: [`Error::Poisoned`] since the first write or sync that failed, whoever met it.
    pub fn failure(&self) -> Option<Error> {
        self.shared.check_failure().err()
    }

    /// Returns when everything appended before the call is on disk. Threads that wait at the same time share syncs: none
    /// waits for more than the one that was going on and one more.
    ///
    /// # Errors
    /// [`Error::Io`] when the sync failed: what was on its way may or may not survive. It is not tried again;
    /// [`Error::Poisoned`] from then on, also to those who waited.
    pub fn sync(&self) -> Result<(), Error> {
        self.shared.sync()
    }

    /// The highest sequence number known to be on disk.
    pub fn synced_upto(&self) -> u64 {
        self.shared.synced_upto()
    }

    /// The highest sequence number appended or, before the first append, accounted for by recovery.
    pub fn appended_upto(&self) -> u64 {
        self.shared.appended_upto.load(Ordering::Acquire)
    }

    /// Deletes every segment whose records all have sequence numbers up to `cut`, which the caller has made durable
    /// elsewhere. When that holds for the active segment too, a new one follows it first, so that a clean close leaves
    /// next to nothing; a disk too full for that keeps it until the next time.
    ///
    /// # Errors
    /// [`Error::Io`]: some of the segments are still there, and a later call deletes them. After a failed sync,
    /// [`Error::Poisoned`] from then on.
    pub fn trim(&self, cut: u64) -> Result<(), Error> {
        let result = self.shared.trim(cut);
        if let Some(keeper) = &self.keeper {
            keeper.wake();
        }
        result
    }

    /// The bytes of all records in all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Returns at once when the journal has fewer than `limit_bytes` of records, else when a trim has brought it below,
    /// or after `timeout`. For a writer to call before it appends, holding nothing that a checkpoint needs.
    ///
    /// # Errors
    /// [`Error::Poisoned`]: there will be no room.
    pub fn wait_for_room(&self, limit_bytes: u64, timeout: Duration) -> Result<Room, Error> {
        if self.bytes() < limit_bytes {
            return Ok(Room::Free);
        }
        let shared = &self.shared;
        let mut trims = shared.trims.lock();
        loop {
            shared.check_failure()?;
            if self.bytes() < limit_bytes {
                return Ok(Room::Waited);
            }
            if shared.trimmed.wait_for(&mut trims, timeout).timed_out() {
                return Ok(match self.bytes() < limit_bytes {
                    true => Room::Waited,
                    false => Room::Full,
                });
            }
        }
    }

    /// Leaves the folder alone from here on, as its next owner may expect of whoever gave up the lock on it: ends the
    /// journal's thread and takes no more appends. Syncs nothing. Dropping a journal closes it.
    pub fn close(&self) {
        self.shared.poison(
            "the journal was closed".to_owned(),
            io::Error::from(io::ErrorKind::NotConnected),
        );
        // First the thread that could make another one.
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        self.shared.spares.discard(&*self.shared.disk);
    }

    /// A place behind record `after`, to read what was appended from there on.
    pub fn history(&self, after: u64) -> History {
        History::new(Arc::clone(&self.shared.disk), self.shared.database_id, after)
    }

    /// Reads on in a history of this journal, in order, up to record `upto`, which must have been appended, and calls `visit`
    /// with each record's number and operation. Returns after about `bytes` bytes or at the end of a segment, so that the
    /// caller can do other things in between; [`History::position`] tells how far it came. Appends go on meanwhile.
    ///
    /// # Errors
    /// [`Error::NotHeld`] where a record was trimmed; [`Error::Corrupt`] and [`Error::Io`]. The history stays where it is, and
    /// what was visited stays visited.
    pub fn read_on(
        &self,
        history: &mut History,
        upto: u64,
        bytes: u64,
        visit: &mut dyn FnMut(u64, Op<'_>),
    ) -> Result<(), Error> {
        let held = self.shared.writer.lock().held();
        history.read(&held, upto, bytes, visit)
    }

    /// The lowest sequence number that [`Journal::read_on`] can read; the next one to be appended, where there is none.
    pub fn oldest_held(&self) -> u64 {
        let writer = self.shared.writer.lock();
        let oldest = writer.held().first().map(|oldest| oldest.first_sequence);
        oldest.unwrap_or(writer.last_sequence + 1)
    }

    /// Reads all that was appended and not trimmed again, and hands out what is wrong, at most one thing for each segment.
    /// Appends and trims go on meanwhile.
    pub fn check(&self, problem: &mut dyn FnMut(Error)) {
        let segments = self.shared.writer.lock().segments();
        for span in segments {
            if let Err(error) = history::check(&*self.shared.disk, self.shared.database_id, span) {
                problem(error);
            }
        }
    }

    /// Sizes and counters.
    pub fn stats(&self) -> JournalStats {
        let shared = &self.shared;
        let writer = shared.writer.lock();
        JournalStats {
            segments: writer.older.len() as u64 + 1,
            bytes: writer.bytes(),
            file_bytes: writer.file_bytes(),
            appended_bytes: writer.appended_bytes,
            appended_records: writer.appended_records,
            syncs: shared.syncs.load(Ordering::Relaxed),
            appended_upto: writer.last_sequence,
            synced_upto: self.synced_upto(),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Gives encoded records their numbers and their place, and returns the first number and whether the keeper has
    /// something to do.
    fn append(&self, first_sequence: Option<u64>, batch: Encoded<'_>) -> Result<(u64, bool), Error> {
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
        self.make_opening_durable(&old.segment)?;
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
        match was_sealed {
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

    fn synced_upto(&self) -> u64 {
        self.durable_upto.load(Ordering::Acquire)
    }

    fn sync(&self) -> Result<(), Error> {
        let wanted = self.appended_upto.load(Ordering::Acquire);
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
        let segments = self.unsynced.lock().clone();
        for segment in &segments {
            let (from, to) = (
                segment.synced.load(Ordering::Acquire),
                segment.end.load(Ordering::Acquire),
            );
            if from < to {
                self.syncs.fetch_add(1, Ordering::Relaxed);
                segment
                    .file
                    .sync(from..to)
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

    fn trim(&self, cut: u64) -> Result<(), Error> {
        let _trimming = self.trimming.lock();
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
            let used = writer.active.bytes();
            if used > 0 && writer.last_sequence <= cut {
                match self.rotate(&mut writer, 0) {
                    Ok(()) => self.spares.shrink(used),
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
        self.make_opening_durable(&active)?;
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

    fn check_failure(&self) -> Result<(), Error> {
        match self.failure.get() {
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
    fn poison(&self, context: String, source: io::Error) -> Error {
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
fn open_segment(spare: &Spare, opening: &Opening) -> io::Result<ActiveSegment> {
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

/// The segment in which recovery found the end: all of it is on disk, and it takes no more.
fn recovered_segment(last: LiveSegment, end: u64, last_digest: u64, next_sequence: u64) -> ActiveSegment {
    ActiveSegment {
        segment: Arc::new(Segment {
            number: last.number,
            capacity: last.file_bytes,
            file: SegmentFile::Positional(last.file),
            end: AtomicU64::new(end),
            synced: AtomicU64::new(end),
            ready: AtomicU64::new(last.file_bytes),
        }),
        first_sequence: last.opening.first_sequence,
        next_sequence,
        key: last.key,
        position: end,
        last_digest,
        sealed: true,
        wake_at: u64::MAX,
    }
}
