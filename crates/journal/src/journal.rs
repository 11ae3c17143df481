//! The open journal: appends, syncs, rotation and trimming.
//!
//! Four locks, always taken in this order: `trimming`, `writer`, `syncing`, `tip`. `writer` is held over an append's
//! write, so that the order of sequence numbers is that of the file. `syncing` is held over every sync, because the
//! operating system reports a failed writeback once: of two syncs at a time, one would fail and the other one succeed.
//! Who gets it looks for a failure first. A sync holds neither `writer` nor `tip`, so appends go on meanwhile.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use coppice_disk::{Disk, DiskFile};
use parking_lot::Mutex;

use crate::{
    Error, MAX_PAYLOAD_BYTES, Op, OpenError, Recovered,
    header::{HEADER_BYTES, Header},
    record::record_bytes,
    recovery,
    segment::{self, file_name},
    writer::{ActiveSegment, OldSegment, WriteError, Writer},
};

/// How a journal is kept.
#[derive(Clone)]
pub struct JournalOptions {
    /// A segment that has reached this many bytes is followed by a new one. One append is never split, so that a
    /// segment may exceed this.
    pub segment_bytes: u64,
    /// Gives each new segment its salt. Must be random: the salt is what tells a segment's records from old contents.
    pub salt: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl JournalOptions {
    /// Segments of 64 MiB, with salts from `salt`.
    pub fn new(salt: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            segment_bytes: 64 << 20,
            salt: Arc::new(salt),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("segment_bytes", &self.segment_bytes)
            .finish_non_exhaustive()
    }
}

/// Sizes and counters of a journal; the counters begin with 0 when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Segments in the folder.
    pub segments: u64,
    /// Bytes of all records in them.
    pub bytes: u64,
    /// Bytes of the records appended.
    pub appended_bytes: u64,
    /// Records appended.
    pub appended_records: u64,
    /// Data syncs of segments with records in them.
    pub syncs: u64,
    /// The highest sequence number appended or, before the first append, accounted for by recovery.
    pub appended_upto: u64,
    /// The highest sequence number known to be on disk.
    pub synced_upto: u64,
}

/// An open journal. All calls may come from any thread.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    database_id: u128,
    trimming: Mutex<()>,
    writer: Mutex<Writer>,
    syncing: Mutex<()>,
    tip: Mutex<Tip>,
    durable_upto: AtomicU64,
    failure: OnceLock<Failure>,
    appended_bytes: AtomicU64,
    appended_records: AtomicU64,
    syncs: AtomicU64,
}

/// How far the page cache has got. All that is not yet synced is in this file.
#[derive(Debug)]
struct Tip {
    file: Arc<dyn DiskFile>,
    number: u64,
    appended_upto: u64,
}

/// The write or sync after which nothing is written any more.
#[derive(Debug)]
struct Failure {
    context: String,
    source: Arc<io::Error>,
}

impl Journal {
    /// Starts the journal of a new database, with sequence number 1 to come. Durable on return.
    ///
    /// An empty segment that a creation cut off before left behind is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `AlreadyExists` when there is a segment with anything in it.
    pub fn create(disk: Arc<dyn Disk>, options: JournalOptions, database_id: u128) -> Result<Self, Error> {
        for number in segment::list(&*disk)? {
            let name = file_name(number);
            let looking = |error| Error::io(format!("looking at {name}"), error);
            if disk.open(&name).and_then(|file| file.len()).map_err(looking)? > HEADER_BYTES as u64 {
                let error = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(Error::io(
                    format!("{name} holds the journal of another database"),
                    error,
                ));
            }
            disk.remove(&name)
                .map_err(|error| Error::io(format!("removing {name}"), error))?;
        }
        let header = Header {
            database_id,
            number: 1,
            salt: (options.salt)(),
            first_sequence: 1,
            predecessor_end: 0,
            predecessor_chain: 0,
        };
        let active = ActiveSegment::create(&*disk, &header)?;
        Ok(Self::assemble(
            disk,
            options,
            database_id,
            Writer::new(VecDeque::new(), active, 0),
        ))
    }

    /// Opens a journal: applies every record behind `cut`, in order, and stands ready for the one after the last.
    ///
    /// Nothing is written before the first append, which begins a new segment.
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
        let replayed = recovery::replay(&*disk, database_id, cut, apply)?;
        let older = replayed
            .older
            .iter()
            .map(|found| OldSegment {
                number: found.header.number,
                first_sequence: found.header.first_sequence,
                bytes: found.file_bytes.saturating_sub(HEADER_BYTES as u64),
            })
            .collect();
        let (_, key) = replayed.last.header.encode();
        let active = ActiveSegment {
            number: replayed.last.header.number,
            first_sequence: replayed.last.header.first_sequence,
            key,
            file: replayed.last.file,
            position: replayed.end,
            chain: replayed.chain,
            attempt: 0,
            sealed: true,
        };
        let writer = Writer::new(older, active, replayed.recovered.last_sequence);
        Ok((Self::assemble(disk, options, database_id, writer), replayed.recovered))
    }

    /// A journal of which everything is on disk.
    fn assemble(disk: Arc<dyn Disk>, options: JournalOptions, database_id: u128, writer: Writer) -> Self {
        Self {
            disk,
            options,
            database_id,
            trimming: Mutex::new(()),
            syncing: Mutex::new(()),
            tip: Mutex::new(Tip {
                file: Arc::clone(&writer.active.file),
                number: writer.active.number,
                appended_upto: writer.last_sequence,
            }),
            durable_upto: AtomicU64::new(writer.last_sequence),
            writer: Mutex::new(writer),
            failure: OnceLock::new(),
            appended_bytes: AtomicU64::new(0),
            appended_records: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        }
    }

    /// Appends operations with the sequence numbers `first_sequence`, `first_sequence + 1`, … in one write. On return
    /// they survive the death of the process. They are not atomic together: a crash may keep only the first few.
    ///
    /// # Errors
    /// [`Error::OutOfSequence`], [`Error::TooLarge`] and [`Error::NoSpace`]: nothing was appended and all goes on.
    /// (Only a power cut before the next sync can bring back the first few of several operations that a full disk
    /// refused: what was written of them is cut off at once, but nothing is synced for that.)
    /// [`Error::Io`]: whether any of them will be found by recovery is unknown, and this is the last that is written.
    /// [`Error::Poisoned`] from then on.
    pub fn append(&self, first_sequence: u64, ops: &[Op<'_>]) -> Result<(), Error> {
        let mut bytes = 0_usize;
        for payload_bytes in ops.iter().map(Op::payload_bytes) {
            if payload_bytes > MAX_PAYLOAD_BYTES {
                return Err(Error::TooLarge {
                    bytes: payload_bytes,
                    limit: MAX_PAYLOAD_BYTES,
                });
            }
            bytes = bytes.saturating_add(record_bytes(payload_bytes));
        }
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        self.check_failure()?;
        let expected = writer.last_sequence + 1;
        if first_sequence != expected {
            return Err(Error::OutOfSequence {
                expected,
                given: first_sequence,
            });
        }
        if ops.is_empty() {
            return Ok(());
        }
        let full = writer.active.position.saturating_add(bytes as u64) > self.options.segment_bytes;
        if writer.active.sealed || (full && writer.active.has_records()) {
            self.start_segment(writer)?;
        }
        let written = writer
            .write(ops, self.synced_upto())
            .map_err(|error| self.poison_unless_survivable(error))?;
        self.tip.lock().appended_upto = writer.last_sequence;
        self.appended_bytes.fetch_add(written, Ordering::Relaxed);
        self.appended_records.fetch_add(ops.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Returns when everything appended before the call is on disk. Threads that wait at the same time share syncs.
    ///
    /// # Errors
    /// [`Error::Io`] when the sync failed: what was on its way may or may not survive. It is not tried again;
    /// [`Error::Poisoned`] from then on, also to those who waited.
    pub fn sync(&self) -> Result<(), Error> {
        let wanted = self.appended_upto();
        self.check_failure()?;
        if self.synced_upto() >= wanted {
            return Ok(());
        }
        let _syncing = self.syncing.lock();
        self.check_failure()?;
        if self.synced_upto() >= wanted {
            return Ok(());
        }
        // By now more may have been appended: this sync is theirs as well.
        let (file, number, appended_upto) = {
            let tip = self.tip.lock();
            (Arc::clone(&tip.file), tip.number, tip.appended_upto)
        };
        self.sync_file(&*file, number, appended_upto)
    }

    /// The highest sequence number known to be on disk.
    pub fn synced_upto(&self) -> u64 {
        self.durable_upto.load(Ordering::Acquire)
    }

    /// The highest sequence number appended or, before the first append, accounted for by recovery.
    pub fn appended_upto(&self) -> u64 {
        self.tip.lock().appended_upto
    }

    /// Deletes every segment whose records all have sequence numbers up to `cut`, which the caller has made durable
    /// elsewhere. When that holds for the active segment too, a new one follows it first, so that a clean close leaves
    /// next to nothing; a disk too full for that keeps it until the next time.
    ///
    /// # Errors
    /// [`Error::Io`]: some of the segments are still there, and a later call deletes them. After a failed sync,
    /// [`Error::Poisoned`] from then on.
    pub fn trim(&self, cut: u64) -> Result<(), Error> {
        let _trimming = self.trimming.lock();
        let mut removed = false;
        loop {
            let number = {
                let mut writer = self.writer.lock();
                self.check_failure()?;
                if writer.active.has_records() && writer.last_sequence <= cut {
                    match self.start_segment(&mut writer) {
                        Ok(()) | Err(Error::NoSpace { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                match writer.oldest_if_covered(cut) {
                    Some(number) => number,
                    None => break,
                }
            };
            // Without the writer's lock: giving back a large file takes its time. `trimming` keeps others away from it.
            match self.disk.remove(&file_name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("removing {}", file_name(number)), error));
                }
                _ => removed = true,
            }
            self.writer.lock().older.pop_front();
        }
        if removed {
            let _syncing = self.syncing.lock();
            self.check_failure()?;
            self.sync_folder()?;
        }
        Ok(())
    }

    /// The bytes of all records in all segments.
    pub fn bytes(&self) -> u64 {
        self.writer.lock().bytes()
    }

    /// Sizes and counters.
    pub fn stats(&self) -> JournalStats {
        let writer = self.writer.lock();
        JournalStats {
            segments: writer.older.len() as u64 + 1,
            bytes: writer.bytes(),
            appended_bytes: self.appended_bytes.load(Ordering::Relaxed),
            appended_records: self.appended_records.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            appended_upto: writer.last_sequence,
            synced_upto: self.synced_upto(),
        }
    }

    /// Syncs the active segment and puts an empty one behind it. The new header says where the old one ends, which is
    /// why all up to there must be on disk first.
    fn start_segment(&self, writer: &mut Writer) -> Result<(), Error> {
        let _syncing = self.syncing.lock();
        self.check_failure()?;
        let old = &writer.active;
        if self.synced_upto() < writer.last_sequence {
            self.sync_file(&*old.file, old.number, writer.last_sequence)?;
        }
        let header = Header {
            database_id: self.database_id,
            number: old.number + 1,
            salt: (self.options.salt)(),
            first_sequence: writer.last_sequence + 1,
            predecessor_end: old.position,
            predecessor_chain: old.chain,
        };
        let active =
            ActiveSegment::create(&*self.disk, &header).map_err(|error| self.poison_unless_survivable(error))?;
        let mut tip = self.tip.lock();
        tip.file = Arc::clone(&active.file);
        tip.number = active.number;
        writer.follow(active);
        Ok(())
    }

    /// Syncs a segment, with `syncing` held, and notes how far.
    fn sync_file(&self, file: &dyn DiskFile, number: u64, appended_upto: u64) -> Result<(), Error> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        file.sync_data()
            .map_err(|error| self.poison(format!("syncing {}", file_name(number)), error))?;
        self.durable_upto.fetch_max(appended_upto, Ordering::AcqRel);
        Ok(())
    }

    /// Syncs the folder, with `syncing` held.
    fn sync_folder(&self) -> Result<(), Error> {
        self.disk
            .sync()
            .map_err(|error| self.poison(format!("syncing {}", self.disk.label()), error))
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

    fn poison_unless_survivable(&self, error: WriteError) -> Error {
        if error.survivable {
            error.into()
        } else {
            self.poison(error.context, error.source)
        }
    }

    /// Keeps the first failure for everybody who comes after.
    fn poison(&self, context: String, source: io::Error) -> Error {
        let source = Arc::new(source);
        // A second failure adds nothing to the first.
        let _ = self.failure.set(Failure {
            context: context.clone(),
            source: Arc::clone(&source),
        });
        Error::Io { context, source }
    }
}
