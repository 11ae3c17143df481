//! What appends work on: the active segment and the ones before it.
//!
//! No locks and no policy: `journal` decides when anything here happens.

use std::{collections::VecDeque, io, sync::Arc};

use coppice_disk::DiskFile;

use crate::{
    header::{RECORDS_OFFSET, SegmentKey},
    record::{self, Place},
    segment_file::SegmentFile,
    spare::READY_BYTES,
    sync::{AtomicU64, Ordering},
};

#[derive(Debug)]
pub(crate) struct Writer {
    /// Segments before the active one, oldest first.
    pub(crate) older: VecDeque<OldSegment>,
    /// Numbers of segments that recovery leaves out, now and whenever the active one's opening is on disk.
    pub(crate) dead: Vec<u64>,
    pub(crate) active: ActiveSegment,
    pub(crate) last_sequence: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) appended_records: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OldSegment {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    /// The number behind that of its last record.
    pub(crate) next_sequence: u64,
    /// Of its records.
    pub(crate) bytes: u64,
    /// Of its file.
    pub(crate) capacity: u64,
}

/// A segment's file, shared between who appends, who syncs and who makes pages ready.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Bytes of the file.
    pub(crate) capacity: u64,
    pub(crate) file: SegmentFile,
    /// What was written ends here.
    pub(crate) end: AtomicU64,
    /// Up to here it is on disk. Changed by whose turn it is to sync.
    pub(crate) synced: AtomicU64,
    /// Up to here pages were made ready.
    pub(crate) ready: AtomicU64,
}

impl Segment {
    /// Makes pages ready up to `READY_BYTES` beyond the end.
    pub(crate) fn make_ready(&self) -> io::Result<()> {
        let from = self.ready.load(Ordering::Relaxed);
        let to = self
            .end
            .load(Ordering::Relaxed)
            .saturating_add(READY_BYTES)
            .min(self.capacity);
        if from < to {
            self.file.populate(from..to)?;
            self.ready.store(to, Ordering::Relaxed);
        }
        Ok(())
    }

    /// One that takes no more, in a file that is not mapped: of `capacity` bytes, on disk up to `synced`.
    pub(crate) fn ended(number: u64, file: Arc<dyn DiskFile>, capacity: u64, end: u64, synced: u64) -> Self {
        Self {
            number,
            capacity,
            file: SegmentFile::Positional(file),
            end: AtomicU64::new(end),
            synced: AtomicU64::new(synced),
            ready: AtomicU64::new(capacity),
        }
    }

    /// Whether the opening is known to be on disk.
    pub(crate) fn is_opening_durable(&self) -> bool {
        self.synced.load(Ordering::Acquire) >= RECORDS_OFFSET as u64
    }
}

/// The segment that takes the appends.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first_sequence: u64,
    /// The number behind that of its last record; less than that of the next append, where recovery found a cut beyond it.
    pub(crate) next_sequence: u64,
    pub(crate) key: SegmentKey,
    /// Where the next record goes.
    pub(crate) position: u64,
    /// The digest of the last record, or the key.
    pub(crate) last_digest: u64,
    /// Takes no more records: the next append begins a new segment.
    pub(crate) sealed: bool,
    /// Beyond this position more pages are to be made ready.
    pub(crate) wake_at: u64,
}

impl ActiveSegment {
    /// The bytes of its records.
    pub(crate) fn bytes(&self) -> u64 {
        self.position - RECORDS_OFFSET as u64
    }

    /// Whether it takes so many bytes of records, and has `kept` bytes left then.
    pub(crate) fn has_room(&self, bytes: u64, kept: u64) -> bool {
        !self.sealed && bytes.saturating_add(kept) <= self.segment.capacity - self.position
    }
}

impl Writer {
    /// Writes encoded records behind the active segment's last one, with the sequence numbers that follow. They fit.
    pub(crate) fn write(&mut self, records: &mut [u8], count: u64, durable_upto: u64) -> io::Result<()> {
        let active = &mut self.active;
        let place = Place {
            offset: active.position,
            key: active.key,
            sequence: self.last_sequence + 1,
            durable_upto,
        };
        let last_digest = record::seal(records, place).unwrap_or(active.last_digest);
        active.segment.file.write(active.position, records)?;
        active.position += records.len() as u64;
        active.last_digest = last_digest;
        active.segment.end.store(active.position, Ordering::Release);
        self.last_sequence += count;
        active.next_sequence = self.last_sequence + 1;
        self.appended_bytes += records.len() as u64;
        self.appended_records += count;
        Ok(())
    }

    /// Puts a new segment behind the active one.
    pub(crate) fn follow(&mut self, active: ActiveSegment) {
        self.older.push_back(OldSegment {
            number: self.active.segment.number,
            first_sequence: self.active.first_sequence,
            next_sequence: self.active.next_sequence,
            bytes: self.active.bytes(),
            capacity: self.active.segment.capacity,
        });
        self.active = active;
    }

    /// The oldest segment, when the cut covers all of its records.
    pub(crate) fn oldest_if_covered(&self, cut: u64) -> Option<OldSegment> {
        let oldest = self.older.front()?;
        let next = self
            .older
            .get(1)
            .map_or(self.active.first_sequence, |next| next.first_sequence);
        // Empty segments begin where their successor does.
        (next <= cut.saturating_add(1)).then_some(*oldest)
    }

    /// The bytes of all records.
    pub(crate) fn bytes(&self) -> u64 {
        self.older.iter().map(|old| old.bytes).sum::<u64>() + self.active.bytes()
    }

    /// The bytes of all files that count.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.older.iter().map(|old| old.capacity).sum::<u64>() + self.active.segment.capacity
    }
}
