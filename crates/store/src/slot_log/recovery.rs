//! Reading a map log back.
//!
//! Nothing read is believed before its digest holds: a record's header before its length, a payload before its counts.
//! Payloads are read in pieces of a fixed size, once to check and once to apply, so that memory follows the map and not
//! what a length on disk claims.

use std::sync::Arc;

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, DiskFile};

use super::{MIN_DELTA_BYTES, Point, SlotLog, generation_of, log_name};
use crate::{
    BlobId, MAX_BLOBS,
    digest::{Digester, record_seed},
    error::{IoContext, StoreError},
    header::{FileKind, HEADER_BYTES, Header},
    publish::{TEMPORARY_SUFFIX, remove_if_there},
    record::{DELETE_BYTES, PREFIX_BYTES, Prefix, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, RecordKind},
    slot_map::{ENTRY_BYTES, MapEntry, SlotMap},
};

/// Bytes read at a time: a multiple of an entry, a delete and a record's alignment.
const PIECE_BYTES: usize = 256 << 10;

const _: () = assert!(PIECE_BYTES.is_multiple_of(ENTRY_BYTES) && PIECE_BYTES.is_multiple_of(DELETE_BYTES));

/// What the log says.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) map: SlotMap,
    pub(crate) point: Point,
}

/// See [`SlotLog::open`].
pub(super) fn open(
    disk: Arc<dyn Disk>,
    database_id: u128,
    frame_bytes: u32,
    names: &[String],
) -> Result<(SlotLog, Recovered), StoreError> {
    let newest = names.iter().filter_map(|name| generation_of(name)).max();
    let Some(generation) = newest else {
        return Err(StoreError::corrupt(&log_name(1), 0, "the map log is missing"));
    };
    let name = log_name(generation);
    let file = disk.open(&name).context(|| format!("opening {name}"))?;
    // What is read must be what a power cut would leave, not what only the cache holds after an earlier failure.
    file.sync_data().context(|| format!("syncing {name}"))?;
    let len = file.len().context(|| format!("reading the length of {name}"))?;
    let header = Header {
        database_id,
        frame_bytes,
        generation,
    };
    let mut reader = Reader::new(file.as_ref(), &name, len, header);
    let chain = reader.check_file_header()?;
    let log = reader.replay(chain)?;

    // From here on the newest generation is known to be good.
    for leftover in names.iter().filter(|other| is_leftover(other, generation)) {
        // One that cannot be removed does no harm: it is passed over, now and by the next open.
        let _ = remove_if_there(disk.as_ref(), leftover);
    }
    let slot_log = SlotLog {
        disk,
        header: reader.header,
        tail: log.tail,
        torn: log.tail < len,
        chain: log.chain,
        snapshot_end: log.snapshot_end,
        rewrite_above: 0,
        min_delta_bytes: MIN_DELTA_BYTES,
        scratch: Vec::new(),
        file: Arc::clone(&file),
    };
    let recovered = Recovered {
        map: log.map,
        point: log.point,
    };
    Ok((slot_log, recovered))
}

/// See [`SlotLog::check`].
pub(super) fn check(log: &SlotLog) -> Result<(), StoreError> {
    let name = log.name();
    let mut reader = Reader::new(log.file.as_ref(), &name, log.tail, log.header);
    let chain = reader.check_file_header()?;
    let replay = reader.replay(chain)?;
    if replay.tail != log.tail || replay.chain != log.chain {
        return Err(reader.corrupt(replay.tail, "a record that was durable is not there"));
    }
    Ok(())
}

fn is_leftover(name: &str, newest: u64) -> bool {
    let log = name.strip_suffix(TEMPORARY_SUFFIX);
    log.and_then(generation_of).is_some() || generation_of(name).is_some_and(|generation| generation < newest)
}

/// What replaying has come to.
#[derive(Default)]
struct Replay {
    map: SlotMap,
    point: Point,
    tail: u64,
    chain: u64,
    snapshot_end: u64,
}

pub(super) struct Reader<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    len: u64,
    header: Header,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// A reader of the first `len` bytes of a log that should have this header.
    pub(super) fn new(file: &'a dyn DiskFile, name: &'a str, len: u64, header: Header) -> Self {
        Self {
            file,
            name,
            len,
            header,
            piece: vec![0; len.min(PIECE_BYTES as u64) as usize],
        }
    }

    /// Checks that the file is what its name and the superblock say, and returns its header's digest.
    pub(super) fn check_file_header(&self) -> Result<u64, StoreError> {
        if self.len < HEADER_BYTES as u64 {
            return Err(self.corrupt(0, "it ends within its header"));
        }
        if self.header.generation == u64::MAX {
            return Err(self.corrupt(0, "no database comes to that generation"));
        }
        let bytes: [u8; HEADER_BYTES] = self.bytes_at(0)?;
        let header = Header::decode(&bytes, FileKind::MapLog, self.name)?;
        if header.database_id != self.header.database_id {
            return Err(self.corrupt(16, "it belongs to another database"));
        }
        if header.generation != self.header.generation {
            return Err(self.corrupt(
                32,
                format!("it is generation {:x} under another name", header.generation),
            ));
        }
        if header.frame_bytes != self.header.frame_bytes {
            return Err(self.corrupt(12, "its frame size is not the superblock's"));
        }
        Ok(Header::digest_of(&bytes))
    }

    /// Applies records until the end or a torn tail.
    fn replay(&mut self, chain: u64) -> Result<Replay, StoreError> {
        let mut replay = Replay {
            tail: HEADER_BYTES as u64,
            chain,
            ..Replay::default()
        };
        loop {
            let offset = replay.tail;
            let is_first = offset == HEADER_BYTES as u64;
            if offset == self.len && !is_first {
                return Ok(replay);
            }
            let record = match self.intact_record(offset)? {
                Ok(record) => record,
                Err(what) if is_first => return Err(self.corrupt(offset, format!("its snapshot {what}"))),
                Err(what) => match self.record_header_behind(offset)? {
                    Some(later) => {
                        return Err(self.corrupt(
                            offset,
                            format!("a record {what}, but one behind it, at {later}, is whole"),
                        ));
                    }
                    None => return Ok(replay),
                },
            };
            let expected = if is_first {
                RecordKind::Snapshot
            } else {
                RecordKind::Delta
            };
            if record.kind != expected || record.chain != replay.chain || record.cut < replay.point.cut {
                return Err(self.corrupt(offset, "a record does not follow from the one before it"));
            }
            self.apply(offset, &record, &mut replay)?;
            replay.tail = offset + RECORD_HEADER_BYTES as u64 + record.payload_bytes;
            replay.chain = record.own;
            if is_first {
                replay.snapshot_end = replay.tail;
            }
        }
    }

    /// The header of the record at `offset` if header and payload pass their digests, or else what is wrong.
    pub(super) fn intact_record(&mut self, offset: u64) -> Result<Result<RecordHeader, &'static str>, StoreError> {
        let Some(header) = self.record_header_at(offset)? else {
            return Ok(Err("fails its header's digest"));
        };
        let start = offset + RECORD_HEADER_BYTES as u64;
        if header.payload_bytes > self.len.saturating_sub(start) {
            return Ok(Err("ends beyond the file"));
        }
        let mut digester = Digester::new(self.seed(offset));
        self.for_each_piece(start, header.payload_bytes, |piece| {
            digester.update(piece);
            Ok(())
        })?;
        if digester.finish() != header.payload_digest && !planted(Defect::BelievesMapRecords) {
            return Ok(Err("fails its digest"));
        }
        Ok(Ok(header))
    }

    pub(super) fn record_header_at(&self, offset: u64) -> Result<Option<RecordHeader>, StoreError> {
        if self.len.saturating_sub(offset) < RECORD_HEADER_BYTES as u64 {
            return Ok(None);
        }
        Ok(RecordHeader::decode(&self.bytes_at(offset)?, self.seed(offset)))
    }

    /// Where, behind a bad record, there is a record's header that passes its digest. Records are at multiples of 8.
    pub(super) fn record_header_behind(&mut self, bad: u64) -> Result<Option<u64>, StoreError> {
        let start = bad.saturating_add(8);
        let mut position = start;
        let mut candidates = Vec::new();
        let mut found = None;
        while position < self.len && found.is_none() {
            let piece_bytes = (self.len - position).min(PIECE_BYTES as u64);
            self.for_each_piece(position, piece_bytes, |piece| {
                let places = piece.chunks(8).zip((position..).step_by(8));
                candidates.extend(
                    places
                        .filter(|(unit, _)| unit.starts_with(&RECORD_MAGIC))
                        .map(|(_, at)| at),
                );
                Ok(())
            })?;
            for candidate in candidates.drain(..) {
                if found.is_none() && self.record_header_at(candidate)?.is_some() {
                    found = Some(candidate);
                }
            }
            position += piece_bytes;
        }
        Ok(found)
    }

    /// Applies an intact record to the map.
    fn apply(&mut self, offset: u64, record: &RecordHeader, replay: &mut Replay) -> Result<(), StoreError> {
        let name = self.name;
        let payload = offset + RECORD_HEADER_BYTES as u64;
        let nonsense = |what| StoreError::corrupt(name, payload, what);
        if record.payload_bytes < PREFIX_BYTES as u64 {
            return Err(nonsense("a record is too short to say anything"));
        }
        let prefix = Prefix::decode(self.bytes_at(payload)?, record.payload_bytes)
            .ok_or_else(|| nonsense("a record's counts do not add up to its length"))?;
        if record.kind == RecordKind::Snapshot && prefix.deletes != 0 {
            return Err(nonsense("a snapshot deletes"));
        }
        let writes_start = payload + PREFIX_BYTES as u64;
        let writes_bytes = u64::from(prefix.writes) * ENTRY_BYTES as u64;
        let map = &mut replay.map;
        self.for_each_piece(writes_start, writes_bytes, |piece| {
            let mut are_entries = true;
            map.insert_all(piece.as_chunks::<ENTRY_BYTES>().0.iter().map_while(|bytes| {
                let entry = MapEntry::decode(*bytes);
                are_entries &= entry.is_some();
                entry
            }));
            match are_entries {
                true => Ok(()),
                false => Err(nonsense("a record has an entry that is none")),
            }
        })?;
        let deletes_bytes = u64::from(prefix.deletes) * DELETE_BYTES as u64;
        let deletes_bytes = if planted(Defect::ForgetsDeletes) {
            0
        } else {
            deletes_bytes
        };
        self.for_each_piece(writes_start + writes_bytes, deletes_bytes, |piece| {
            for bytes in piece.as_chunks::<DELETE_BYTES>().0 {
                let blob = BlobId::from_le_bytes(*bytes);
                if blob >= MAX_BLOBS || map.remove(blob).is_none() {
                    return Err(nonsense("a record deletes a blob that is not there"));
                }
            }
            Ok(())
        })?;
        replay.point = Point {
            cut: record.cut,
            next_tree: match planted(Defect::ForgetsTreeNumbers) {
                true => 1,
                false => prefix.next_tree,
            },
        };
        Ok(())
    }

    /// Reads `bytes` bytes from `offset`, which the file has, and hands them on in pieces.
    pub(super) fn for_each_piece(
        &mut self,
        offset: u64,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut done = 0;
        while done < bytes {
            let piece_bytes = (bytes - done).min(PIECE_BYTES as u64);
            let piece = self.piece.get_mut(..piece_bytes as usize).unwrap_or_default();
            self.file
                .read_exact_at(offset + done, piece)
                .context(|| format!("reading {} at {}", self.name, offset + done))?;
            take(piece)?;
            done += piece_bytes;
        }
        Ok(())
    }

    /// Reads `bytes` bytes from `offset`, which the file has.
    pub(super) fn read_into(&self, offset: u64, bytes: usize, into: &mut Vec<u8>) -> Result<(), StoreError> {
        into.resize(bytes, 0);
        self.file
            .read_exact_at(offset, into)
            .context(|| format!("reading {} at {offset}", self.name))
    }

    pub(super) fn bytes_at<const N: usize>(&self, offset: u64) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.file
            .read_exact_at(offset, &mut bytes)
            .context(|| format!("reading {} at {offset}", self.name))?;
        Ok(bytes)
    }

    fn seed(&self, offset: u64) -> u64 {
        record_seed(self.header.database_id, self.header.generation, offset)
    }

    pub(super) fn corrupt(&self, offset: u64, what: impl Into<String>) -> StoreError {
        StoreError::corrupt(self.name, offset, what)
    }
}
