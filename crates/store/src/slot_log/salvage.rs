//! Reading a map log that may be damaged, for whoever rebuilds a database from what is left.
//!
//! Records that are intact count, wherever they stand: each is bound to its place by its digest. Of what lies between them
//! each entry counts whose blob passes the digest that the entry has of it, since nothing else is likely to. What else a
//! damaged record said is not known, so an entry from before it, of a blob that nothing later speaks of, may be out of date.

use coppice_disk::Disk;

use super::{Point, log_name, recovery::Reader};
use crate::{
    BlobId, MAX_BLOBS,
    error::{IoContext, StoreError},
    header::{HEADER_BYTES, Header},
    record::{DELETE_BYTES, PREFIX_BYTES, Prefix, RECORD_HEADER_BYTES, RecordHeader, RecordKind},
    slot_map::{ENTRY_BYTES, MapEntry, SlotMap},
};

/// A log that is damaged in more places than that is read no further: so reading one ends soon, whatever it holds.
const MAX_DAMAGES: usize = 256;

/// Bytes read at a time where entries are looked for.
const WINDOW_BYTES: u64 = 64 << 10;

const _: () = assert!(WINDOW_BYTES.is_multiple_of(8));

/// What a log still says.
#[derive(Debug, Default)]
pub(crate) struct LogRemains {
    pub(crate) map: SlotMap,
    pub(crate) point: Point,
    /// Whether the last record is damaged so that it does not say its cut: then `point` may be one before.
    pub(crate) is_cut_lost: bool,
    /// The map in front of the last damage: where the map still says the same, it may be out of date.
    pub(crate) in_doubt: SlotMap,
    /// Everything that is wrong.
    pub(crate) problems: Vec<StoreError>,
}

/// What the reader of a damaged log has to ask about.
pub(crate) trait Witness {
    /// Whether the blob lies where this says, and passes the digest.
    fn proves(&mut self, blob: BlobId, entry: MapEntry) -> bool;

    /// Whether a commit behind the one with this cut cannot have become durable: then what is at the log's end is what a
    /// power cut left of it, and no damage.
    fn is_last(&self, cut: u64) -> bool;
}

/// Reads what is left of a log. The header says whose it should be.
///
/// # Errors
/// Those of the disk, where not a byte of the file can be read.
pub(crate) fn salvage(disk: &dyn Disk, header: Header, witness: &mut dyn Witness) -> Result<LogRemains, StoreError> {
    let name = log_name(header.generation);
    let file = disk.open(&name).context(|| format!("opening {name}"))?;
    let len = file.len().context(|| format!("reading the length of {name}"))?;
    let mut reader = Reader::new(file.as_ref(), &name, len, header);
    let mut remains = LogRemains::default();
    // The header says nothing that is not known already; what matters of it is in the digests of records.
    let mut chain = reader
        .check_file_header()
        .map_err(|error| remains.problems.push(error))
        .ok();
    let mut offset = HEADER_BYTES as u64;
    let mut damages = 0;
    while offset < len {
        if let Some(record) = remains.intact_record(&mut reader, offset, chain) {
            chain = Some(record.own);
            offset += RECORD_HEADER_BYTES as u64 + record.payload_bytes;
            continue;
        }
        let later = reader.record_header_behind(offset).unwrap_or_else(|error| {
            remains.problems.push(error);
            None
        });
        let is_first = offset == HEADER_BYTES as u64;
        if later.is_none() && !is_first && witness.is_last(remains.point.cut) {
            break;
        }
        remains.in_doubt = remains.map.clone();
        damages += 1;
        let what = match damages {
            MAX_DAMAGES => "a record fails its check, as did many before, and the rest was not looked at",
            _ => "a record fails its check",
        };
        remains.problems.push(reader.corrupt(offset, what));
        if damages == MAX_DAMAGES {
            break;
        }
        let header = reader.record_header_at(offset).unwrap_or_default();
        match header {
            Some(header) => remains.point.cut = remains.point.cut.max(header.cut),
            None => remains.is_cut_lost = true,
        }
        let end = later.unwrap_or(len);
        remains.damaged_record(&reader, offset, end, witness);
        if !is_one_record(&reader, header, offset, end) {
            // What was found may have been replaced by a later one of them.
            remains.in_doubt = remains.map.clone();
        }
        // What follows may have been written behind anything.
        chain = None;
        offset = end;
    }
    if len <= HEADER_BYTES as u64 {
        let short = reader.corrupt(len, "it ends before its first record");
        remains.problems.push(short);
    }
    Ok(remains)
}

/// Whether all from `offset` to `end` is one damaged record: its header says so, or else what its payload begins with.
fn is_one_record(reader: &Reader<'_>, header: Option<RecordHeader>, offset: u64, end: u64) -> bool {
    let payload = offset + RECORD_HEADER_BYTES as u64;
    let Some(bytes) = end.checked_sub(payload) else {
        return false;
    };
    match header {
        Some(header) => header.payload_bytes == bytes,
        None => reader
            .bytes_at(payload)
            .is_ok_and(|prefix| Prefix::decode(prefix, bytes).is_some()),
    }
}

impl LogRemains {
    /// Whether there was nothing in the log to go by.
    pub(crate) fn is_empty(&self) -> bool {
        self.map.blobs() == 0 && self.point == Point::default()
    }

    /// Applies the record at `offset`, if it is intact and was written behind the one before.
    fn intact_record(&mut self, reader: &mut Reader<'_>, offset: u64, chain: Option<u64>) -> Option<RecordHeader> {
        let record = reader.intact_record(offset).ok()?.ok()?;
        if chain.is_some_and(|chain| chain != record.chain) {
            return None;
        }
        let payload = offset + RECORD_HEADER_BYTES as u64;
        let prefix = reader.bytes_at::<PREFIX_BYTES>(payload).ok()?;
        let prefix = Prefix::decode(prefix, record.payload_bytes)?;
        if record.kind == RecordKind::Snapshot {
            self.map = SlotMap::default();
        }
        let writes_start = payload + PREFIX_BYTES as u64;
        let writes_bytes = u64::from(prefix.writes) * ENTRY_BYTES as u64;
        let map = &mut self.map;
        let written = reader.for_each_piece(writes_start, writes_bytes, |piece| {
            let entries = piece.as_chunks::<ENTRY_BYTES>().0.iter();
            for (blob, entry) in entries.filter_map(|bytes| MapEntry::decode(*bytes)) {
                map.insert(blob, entry);
            }
            Ok(())
        });
        let deletes_bytes = u64::from(prefix.deletes) * DELETE_BYTES as u64;
        let deleted = reader.for_each_piece(writes_start + writes_bytes, deletes_bytes, |piece| {
            let deletes = piece.as_chunks::<DELETE_BYTES>().0.iter();
            for blob in deletes.map(|bytes| BlobId::from_le_bytes(*bytes)) {
                if blob < MAX_BLOBS {
                    map.remove(blob);
                }
            }
            Ok(())
        });
        self.problems
            .extend([written, deleted].into_iter().filter_map(Result::err));
        self.is_cut_lost = false;
        self.point = Point {
            cut: self.point.cut.max(record.cut),
            next_tree: prefix.next_tree,
        };
        Some(record)
    }

    /// Looks for entries from the damaged record at `offset` up to `end`. Records begin at multiples of 8, and their entries
    /// do; so where headers are damaged too, an entry can be at any of these.
    fn damaged_record(&mut self, reader: &Reader<'_>, offset: u64, end: u64, witness: &mut dyn Witness) {
        let mut window = Vec::new();
        let mut start = offset;
        while start < end {
            let bytes = (WINDOW_BYTES + ENTRY_BYTES as u64).min(end - start);
            if let Err(error) = reader.read_into(start, bytes as usize, &mut window) {
                self.problems.push(error);
                return;
            }
            let mut at = 0;
            while at < WINDOW_BYTES as usize {
                let Some(bytes) = window.get(at..).and_then(<[u8]>::first_chunk::<ENTRY_BYTES>) else {
                    break;
                };
                at += match MapEntry::decode(*bytes) {
                    Some((blob, entry)) if witness.proves(blob, entry) => {
                        self.map.insert(blob, entry);
                        ENTRY_BYTES
                    }
                    _ => 8,
                };
            }
            start += (at as u64).max(WINDOW_BYTES);
        }
    }
}
