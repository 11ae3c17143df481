//! Segments before they are used: made ahead, complete but for their opening, so that an append that fills one finds the
//! next one waiting.
//!
//! A spare has its room on the disk, its header, and its name; all of that is durable before anything is appended to it.

use std::{io, sync::Arc};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, DiskFile, is_no_space};

use crate::{
    Error, JournalOptions,
    header::{HEADER_BYTES, Header, RECORDS_OFFSET, SegmentKey},
    record::ALIGNMENT,
    segment::{file_name, temporary_name},
    segment_file::SegmentFile,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering},
    writer::Segment,
};

/// Pages are made ready this far ahead of the appends, and again when half of that is used up.
pub(crate) const READY_BYTES: u64 = 1 << 20;

/// The smallest segment, unless the options ask for less. Segments grow from here while they are filled, so that a
/// journal that is used little takes little room.
const SMALLEST_BYTES: u64 = 1 << 20;

/// Written at a time to bring a spare's pages into memory.
const FILL_BYTES: usize = 256 << 10;

/// How much larger than the one before that was filled.
const GROWTH: u64 = 4;

/// The room kept for removals, at most, as a part of a segment.
const RESERVED_PART: u64 = 8;

/// How many bytes at the end of a segment are kept for operations that only remove, for when the disk is full.
pub(crate) fn reserved(capacity: u64, options: &JournalOptions) -> u64 {
    options.reserve_bytes.min(capacity / RESERVED_PART)
}

/// The same for a segment that is made for `needed` bytes in front of them.
fn reserved_behind(needed: u64, options: &JournalOptions) -> u64 {
    options
        .reserve_bytes
        .min(needed / (RESERVED_PART - 1) + ALIGNMENT as u64)
}

/// A segment that nothing was appended to yet.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) segment: Arc<Segment>,
    pub(crate) key: SegmentKey,
}

impl Spare {
    /// Bytes of records that it takes, those only that remove apart.
    fn room(&self, options: &JournalOptions) -> u64 {
        let capacity = self.segment.capacity;
        capacity - RECORDS_OFFSET as u64 - reserved(capacity, options)
    }
}

/// Why a spare was not made.
#[derive(Debug)]
pub(crate) struct SpareError {
    pub(crate) context: String,
    pub(crate) source: io::Error,
    /// A sync failed: nothing may be written any more.
    pub(crate) fatal: bool,
}

impl From<SpareError> for Error {
    fn from(error: SpareError) -> Self {
        let SpareError { context, source, .. } = error;
        let no_space = is_no_space(&source);
        let source = Arc::new(source);
        match no_space {
            true => Error::NoSpace { context, source },
            false => Error::Unwritten { context, source },
        }
    }
}

/// Where the next segment waits, or is being made: who holds the lock is making it.
#[derive(Debug)]
pub(crate) struct Spares {
    slot: Mutex<Slot>,
    /// The last one that was to be made found the disk full.
    refused: AtomicBool,
}

#[derive(Debug)]
struct Slot {
    spare: Option<Spare>,
    /// The number of the next one to be made.
    next_number: u64,
    capacity: u64,
}

impl Spares {
    pub(crate) fn new(next_number: u64) -> Self {
        Self {
            slot: Mutex::new(Slot {
                spare: None,
                next_number,
                capacity: SMALLEST_BYTES,
            }),
            refused: AtomicBool::new(false),
        }
    }

    /// Makes the spare, if there is none, with more care than [`Spares::take`] has time for.
    pub(crate) fn refill(
        &self,
        disk: &dyn Disk,
        options: &JournalOptions,
        database_id: u128,
    ) -> Result<(), SpareError> {
        let mut slot = self.slot.lock();
        if slot.spare.is_none() {
            let made = slot.make(disk, options, database_id, 0, true);
            slot.spare = Some(self.note(made)?);
        }
        Ok(())
    }

    /// The spare, or one made on the spot, with room for `bytes` of records.
    pub(crate) fn take(
        &self,
        disk: &dyn Disk,
        options: &JournalOptions,
        database_id: u128,
        bytes: u64,
    ) -> Result<Spare, SpareError> {
        let mut slot = self.slot.lock();
        match slot.spare.take() {
            Some(spare) if spare.room(options) >= bytes => return Ok(spare),
            Some(small) => {
                // Its number is used up. Nothing was appended to it, so whether it goes does not matter.
                let _ = disk.remove(&file_name(small.segment.number));
            }
            None => {}
        }
        self.note(slot.make(disk, options, database_id, bytes, false))
    }

    fn note(&self, made: Result<Spare, SpareError>) -> Result<Spare, SpareError> {
        let refused = matches!(&made, Err(error) if is_no_space(&error.source));
        self.refused.store(refused, Ordering::Relaxed);
        made
    }

    /// Whether the last one that was to be made found the disk full.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes back a spare that was not used after all.
    pub(crate) fn put_back(&self, spare: Spare) {
        self.slot.lock().spare.get_or_insert(spare);
    }

    /// Makes the next ones larger: the one before was filled.
    pub(crate) fn grow(&self) {
        let mut slot = self.slot.lock();
        slot.capacity = slot.capacity.saturating_mul(GROWTH);
    }

    /// Makes the next ones as small as the first one was, the spare too: what the journal held is not needed any more. Where
    /// the spare cannot be made, whoever needs it says so, but for a sync that failed.
    pub(crate) fn begin_anew(
        &self,
        disk: &dyn Disk,
        options: &JournalOptions,
        database_id: u128,
    ) -> Result<(), SpareError> {
        let mut slot = self.slot.lock();
        slot.capacity = SMALLEST_BYTES;
        let Some(large) = slot.spare.take_if(|spare| spare.segment.capacity > SMALLEST_BYTES) else {
            return Ok(());
        };
        // Its number is used up, as in `take`.
        let _ = disk.remove(&file_name(large.segment.number));
        drop(large);
        match slot.make(disk, options, database_id, 0, true) {
            Err(error) if error.fatal => return Err(error),
            made => slot.spare = made.ok(),
        }
        Ok(())
    }

    /// Removes the spare that nobody will use.
    pub(crate) fn discard(&self, disk: &dyn Disk) {
        if let Some(spare) = self.slot.lock().spare.take() {
            // Only tidiness: an unused segment means nothing to recovery.
            let _ = disk.remove(&file_name(spare.segment.number));
        }
    }
}

impl Slot {
    fn make(
        &mut self,
        disk: &dyn Disk,
        options: &JournalOptions,
        database_id: u128,
        bytes: u64,
        has_time: bool,
    ) -> Result<Spare, SpareError> {
        self.capacity = self.capacity.min(options.segment_bytes.max(1));
        let needed = bytes.saturating_add(RECORDS_OFFSET as u64);
        let kept = reserved_behind(needed, options);
        let capacity = self.capacity.max(needed.saturating_add(kept));
        let capacity = capacity.checked_next_multiple_of(8).unwrap_or(capacity);
        let number = self.next_number;
        let (header, key) = Header {
            database_id,
            number,
            salt: (options.salt)(),
        }
        .encode();
        let file = match make_file(disk, number, &header, capacity) {
            Ok(file) => file,
            Err(error) => {
                // Only tidiness, as above.
                let _ = disk.remove(&temporary_name(number));
                return Err(error);
            }
        };
        self.next_number += 1;
        match make_segment(number, file, capacity, has_time) {
            Ok(segment) => Ok(Spare {
                segment: Arc::new(segment),
                key,
            }),
            Err(source) => {
                let _ = disk.remove(&file_name(number));
                let context = creating(number);
                let fatal = false;
                Err(SpareError { context, source, fatal })
            }
        }
    }
}

/// Maps the file, if it can be, and makes its first pages ready: one that cannot be made so is no page to append to.
fn make_segment(number: u64, file: Arc<dyn DiskFile>, capacity: u64, has_time: bool) -> io::Result<Segment> {
    let mut segment_file = SegmentFile::new(Arc::clone(&file), capacity);
    if has_time && matches!(segment_file, SegmentFile::Mapped(_)) {
        // While a mapping lives, nobody writes to the file by position.
        drop(segment_file);
        fill_cache(&*file, capacity)?;
        segment_file = SegmentFile::new(file, capacity);
    }
    let segment = Segment {
        number,
        capacity,
        file: segment_file,
        end: AtomicU64::new(0),
        synced: AtomicU64::new(0),
        ready: AtomicU64::new(0),
    };
    segment.make_ready()?;
    Ok(segment)
}

/// Writes zeros over the zeros behind the header, so that the pages are in memory with a block each: making a page ready
/// is then many times cheaper. They are not synced, and most are stored to before the system writes them out.
fn fill_cache(file: &dyn DiskFile, capacity: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES];
    let mut offset = RECORDS_OFFSET as u64;
    while offset < capacity {
        let bytes = zeros
            .get(..(capacity - offset).min(FILL_BYTES as u64) as usize)
            .unwrap_or(&zeros);
        file.write_all_at(offset, bytes)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

fn creating(number: u64) -> String {
    format!("creating {}", file_name(number))
}

/// Room first, then the header under a temporary name, then its own name: each durable before the next.
fn make_file(
    disk: &dyn Disk,
    number: u64,
    header: &[u8; HEADER_BYTES],
    capacity: u64,
) -> Result<Arc<dyn DiskFile>, SpareError> {
    let failed = |fatal| {
        move |source| SpareError {
            context: creating(number),
            source,
            fatal,
        }
    };
    let temporary = temporary_name(number);
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(false)(error)),
        _ => {}
    }
    let file = disk.create(&temporary).map_err(failed(false))?;
    file.allocate(capacity).map_err(failed(false))?;
    file.write_all_at(0, header).map_err(failed(false))?;
    if !planted(Defect::NamesSegmentUnsynced) {
        file.sync_data().map_err(failed(true))?;
    }
    disk.rename(&temporary, &file_name(number)).map_err(failed(false))?;
    if !planted(Defect::LeavesSegmentNameUnsynced) {
        disk.sync().map_err(failed(true))?;
    }
    Ok(file)
}
