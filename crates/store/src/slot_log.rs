//! The slot map's log: what makes a commit durable.
//!
//! One file at a time, `map-<generation, 16 hexadecimal digits>.log`: the header (header.rs, 64 bytes), a snapshot
//! record, then a delta record per commit (record.rs), each at the end of the one before.
//!
//! - **A commit is durable when its record is**, all of it at once: append, then sync.
//! - **Never behind garbage.** The next record goes where the last intact one ends. A torn tail found on open is cut off
//!   and the cut synced first, before the next commit writes anything (opening changes nothing of it: whether it was a
//!   power cut, the journal has yet to say); so is what an append left behind that found the disk full. The chain holds even if that
//!   failed to take: bytes behind a record are a record only if they were written behind that very record.
//! - **A torn tail and damage are told apart** by there being only one record at a time whose sync is outstanding: if
//!   a record fails its check and any header behind it passes its own, the bad one had been durable, and is damaged.
//! - **Generations.** When the deltas have outgrown the snapshot, the whole map is published as the next generation
//!   (publish.rs) and only then is the old file removed. A file of a final name is complete, so the newest counts and
//!   is never passed over for an older one, which would be to answer from the past.
//!
//! Damage to the last record of all cannot be told from a power cut before its sync. It yields the state one commit
//! earlier, checked, and whole unless what the record freed was given back to the disk; the journal, trimmed to the later
//! cut, shows the gap to the engine.

mod recovery;
mod salvage;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, DiskFile, is_no_space};

pub(crate) use recovery::Recovered;
pub(crate) use salvage::{LogRemains, Witness, salvage};

use crate::{
    BlobId,
    digest::record_seed,
    error::StoreError,
    header::{FileKind, HEADER_BYTES, Header},
    publish::{PublishFailure, publish, remove_if_there},
    record::{Record, RecordKind, SHORTEST_RECORD_BYTES},
    slot_map::{MapEntry, SlotMap},
};

/// Bytes of a log in which nothing was ever committed.
pub(crate) const EMPTY_LOG_BYTES: u64 = (HEADER_BYTES + SHORTEST_RECORD_BYTES) as u64;

/// What [`SlotLog::min_delta_bytes`] is unless somebody says otherwise.
const MIN_DELTA_BYTES: u64 = 64 << 10;

/// What all records of a commit have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Point {
    pub(crate) cut: u64,
    pub(crate) next_tree: u32,
}

/// Why an append failed.
#[derive(Debug)]
pub(crate) enum AppendFailure {
    /// The disk is full, and nothing of the record is left.
    NoSpace(io::Error),
    /// The record may or may not be durable.
    Unknown(io::Error),
}

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct SlotLog {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    header: Header,
    /// Where the last record ends.
    tail: u64,
    /// Whether the file goes on behind the tail, with what is no record.
    torn: bool,
    /// The last record's own digest.
    chain: u64,
    /// Where the snapshot ends.
    snapshot_end: u64,
    /// No new generation before the tail is here: moved up when one did not fit the disk.
    rewrite_above: u64,
    /// Deltas of fewer bytes never bring about a new generation.
    min_delta_bytes: u64,
    scratch: Vec<u8>,
}

/// The name of a generation's file.
pub(crate) fn log_name(generation: u64) -> String {
    format!("map-{generation:016x}.log")
}

/// The generation that a file name stands for.
pub(crate) fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("map-")?.strip_suffix(".log")?;
    let generation = u64::from_str_radix(digits, 16).ok()?;
    (log_name(generation) == name).then_some(generation)
}

impl SlotLog {
    /// Makes the log of a new database: generation 1, which has this map.
    pub(crate) fn create(disk: Arc<dyn Disk>, header: Header, map: &SlotMap, point: Point) -> Result<(), StoreError> {
        let header = Header {
            generation: 1,
            ..header
        };
        let name = log_name(header.generation);
        Generation::encode(header, map, point)
            .publish(disk)
            .map_err(|failure| StoreError::from_io(format!("creating {name}"), failure.source))?;
        Ok(())
    }

    /// Opens the newest generation, reads it, and then removes what older and half-made generations have left. A torn tail
    /// stays until [`SlotLog::cut_torn_tail`].
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        database_id: u128,
        frame_bytes: u32,
        names: &[String],
    ) -> Result<(Self, Recovered), StoreError> {
        recovery::open(disk, database_id, frame_bytes, names)
    }

    /// The file's name.
    pub(crate) fn name(&self) -> String {
        log_name(self.header.generation)
    }

    /// The folder it is in.
    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Reads the log again and checks that it says what it did when it was opened and appended to.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        recovery::check(self)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.tail
    }

    /// Whether there is a torn tail, which may name extents that are free otherwise.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Cuts off what a power cut left behind the last record; must come before the first append. Returns how many syncs
    /// that took. After [`AppendFailure::Unknown`] the log must not be appended to.
    pub(crate) fn cut_torn_tail(&mut self) -> Result<u64, AppendFailure> {
        if !self.torn {
            return Ok(0);
        }
        self.file.set_len(self.tail).map_err(|error| {
            if is_no_space(&error) {
                AppendFailure::NoSpace(error)
            } else {
                AppendFailure::Unknown(error)
            }
        })?;
        self.file.sync_data().map_err(AppendFailure::Unknown)?;
        self.torn = false;
        Ok(1)
    }

    /// Appends a delta and syncs it: one sync. Returns the record's length. After [`AppendFailure::Unknown`] the log
    /// must not be appended to again.
    pub(crate) fn append(
        &mut self,
        point: Point,
        writes: &[(BlobId, MapEntry)],
        deletes: &[BlobId],
    ) -> Result<u64, AppendFailure> {
        let record = Record {
            kind: RecordKind::Delta,
            cut: point.cut,
            next_tree: point.next_tree,
            writes: writes.iter().copied(),
            deletes,
        };
        let seed = record_seed(self.header.database_id, self.header.generation, self.tail);
        self.scratch.clear();
        let chain = record.encode(&mut self.scratch, seed, self.chain);
        if let Err(error) = self.file.write_all_at(self.tail, &self.scratch) {
            return Err(self.undo(error));
        }
        if !planted(Defect::ReturnsBeforeMap) {
            self.file.sync_data().map_err(AppendFailure::Unknown)?;
        }
        let record_bytes = self.scratch.len() as u64;
        self.tail += record_bytes;
        self.chain = chain;
        Ok(record_bytes)
    }

    /// After a failed write: on a full disk, takes back what the write left, durably, so that extents that the record
    /// names can be used again while no power cut can bring it back.
    fn undo(&self, error: io::Error) -> AppendFailure {
        if !is_no_space(&error) {
            return AppendFailure::Unknown(error);
        }
        if planted(Defect::KeepsRefusedMapRecord) {
            return AppendFailure::NoSpace(error);
        }
        match self.file.set_len(self.tail).and_then(|()| self.file.sync_data()) {
            Ok(()) => AppendFailure::NoSpace(error),
            Err(undo) => AppendFailure::Unknown(undo),
        }
    }

    /// From here on deltas of so many bytes are enough for a new generation.
    #[cfg(feature = "simulation")]
    pub(crate) fn rewrite_after(&mut self, bytes: u64) {
        self.min_delta_bytes = bytes;
    }

    /// Whether the deltas have outgrown the snapshot.
    pub(crate) fn is_due_for_rewrite(&self) -> bool {
        let deltas = self.tail.saturating_sub(self.snapshot_end);
        let enough = self.min_delta_bytes.max(self.snapshot_end.saturating_mul(2));
        deltas > enough && self.tail > self.rewrite_above
    }

    /// The map as the next generation, to be handed to [`SlotLog::rewrite`] before any other append.
    pub(crate) fn next_generation(&self, map: &SlotMap, point: Point) -> Generation {
        let header = Header {
            generation: self.header.generation.saturating_add(1),
            ..self.header
        };
        Generation::encode(header, map, point)
    }

    /// Publishes the next generation and goes on there: two syncs. Returns the bytes written. After a failure that is
    /// not survivable the log must not be appended to again; after one that is, it goes on as it was.
    pub(crate) fn rewrite(&mut self, generation: Generation) -> Result<u64, PublishFailure> {
        if planted(Defect::RemovesOldMapFirst) {
            let _ = remove_if_there(self.disk.as_ref(), &self.name());
        }
        let next = match generation.publish(Arc::clone(&self.disk)) {
            Ok(next) => next,
            Err(failure) => {
                self.rewrite_above = self.tail.saturating_add(self.min_delta_bytes);
                return Err(failure);
            }
        };
        // The new generation is durable and counts from here on; an old one that cannot be removed now is passed over
        // and removed by the next open.
        let _ = remove_if_there(self.disk.as_ref(), &self.name());
        let min_delta_bytes = self.min_delta_bytes;
        *self = Self {
            min_delta_bytes,
            ..next
        };
        Ok(self.tail)
    }
}

/// A whole log, not yet written: header and snapshot.
pub(crate) struct Generation {
    header: Header,
    contents: Vec<u8>,
    chain: u64,
}

impl Generation {
    fn encode(header: Header, map: &SlotMap, point: Point) -> Self {
        let encoded = header.encode(FileKind::MapLog);
        let mut contents = encoded.to_vec();
        let record = Record {
            kind: RecordKind::Snapshot,
            cut: point.cut,
            next_tree: point.next_tree,
            writes: map.iter(),
            deletes: &[],
        };
        let seed = record_seed(header.database_id, header.generation, HEADER_BYTES as u64);
        let chain = record.encode(&mut contents, seed, Header::digest_of(&encoded));
        Self {
            header,
            contents,
            chain,
        }
    }

    fn publish(self, disk: Arc<dyn Disk>) -> Result<SlotLog, PublishFailure> {
        let file = publish(disk.as_ref(), &log_name(self.header.generation), &self.contents)?;
        let tail = self.contents.len() as u64;
        Ok(SlotLog {
            disk,
            file,
            header: self.header,
            tail,
            torn: false,
            chain: self.chain,
            snapshot_end: tail,
            rewrite_above: 0,
            min_delta_bytes: MIN_DELTA_BYTES,
            scratch: Vec::new(),
        })
    }
}
