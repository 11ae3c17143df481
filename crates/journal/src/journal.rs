//! The open journal, as its callers see it. How appends, syncs, rotation and trimming are done is in `journal/shared.rs`.
//!
//! Locks, in the order in which they are taken: `trimming`; `writer`, held while a record gets its number and its place
//! and is copied there, so that the order of numbers is that of the file, and nothing is returned before all that goes
//! before it is in the file too; the spares' slot; the turn to sync (`commit`), because the operating system reports a
//! failed writeback once: of two syncs at a time, one would fail and the other succeed; `unsynced`, held for moments. A
//! sync holds none but its turn, so appends go on meanwhile.

mod shared;
#[cfg(test)]
mod tests;

use std::{cell::Cell, collections::VecDeque, fmt, io, sync::Arc, time::Duration};

use coppice_defect::{Defect, planted};
use coppice_disk::Disk;

pub(crate) use self::shared::Shared;
use self::shared::{Encoded, open_segment};
use crate::{
    Error, MAX_PAYLOAD_BYTES, Op, OpenError, Recovered,
    header::{Opening, RECORDS_OFFSET},
    history::{self, History},
    keeper::Keeper,
    progress::ReplayProgress,
    record,
    recovery::{self, LiveSegment},
    segment::{self, file_name},
    spare::Spares,
    sync::Ordering,
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
    /// [`Error::Corrupt`] when there is a segment with anything in it: then a superblock was lost.
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
        Ok(Self::assemble(disk, options, database_id, writer, spares))
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
        let journal = Self::assemble(disk, options, database_id, writer, spares);
        Ok((journal, replayed.recovered))
    }

    /// A journal of which everything is on disk.
    fn assemble(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        database_id: u128,
        writer: Writer,
        spares: Spares,
    ) -> Self {
        let keeps = options.keeper;
        let shared = Arc::new(Shared::new(disk, options, database_id, writer, spares));
        let keeper = keeps.then(|| Keeper::new(Arc::clone(&shared)));
        Self { shared, keeper }
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
    /// journal's thread, takes no more appends, and gives the room for them back to the disk. Syncs nothing. Dropping a
    /// journal closes it.
    pub fn close(&self) {
        let is_sound = self.shared.check_failure().is_ok();
        self.shared.poison(
            "the journal was closed".to_owned(),
            io::Error::from(io::ErrorKind::NotConnected),
        );
        // First the thread that could make another one.
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        self.shared.spares.discard(&*self.shared.disk);
        if is_sound {
            self.shared.give_room_back();
        }
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

/// The segment in which recovery found the end: all of it is on disk, and it takes no more.
fn recovered_segment(last: LiveSegment, end: u64, last_digest: u64, next_sequence: u64) -> ActiveSegment {
    ActiveSegment {
        segment: Arc::new(Segment::ended(last.number, last.file, last.file_bytes, end, end)),
        first_sequence: last.opening.first_sequence,
        next_sequence,
        key: last.key,
        position: end,
        last_digest,
        sealed: !planted(Defect::AppendsBehindTornTail),
        wake_at: u64::MAX,
    }
}
