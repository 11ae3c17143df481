//! Reads a journal back: decides which segments count and where the last one ends, and hands out what is not covered.
//!
//! Changes nothing in the folder but the removal of leftover temporary files.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use coppice_disk::{Disk, DiskFile};

use crate::{
    Error, Op, OpenError,
    header::{HEADER_BYTES, Header, SegmentKey},
    op::DecodeError,
    reader::{SegmentReader, Step},
    segment::{self, corrupt, file_name},
};

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many records were applied: those behind the cut.
    pub records: u64,
    /// The bytes of all records that were read, those before the cut included.
    pub bytes: u64,
    /// The highest sequence number that is accounted for: the last record's or the cut, whichever is higher.
    pub last_sequence: u64,
    /// What stands behind the last record, as a power cut or a full disk leaves it.
    pub torn_tail: Option<TornTail>,
}

/// Bytes behind the last record of the last segment that are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file name.
    pub file: String,
    /// Where its records end, bytes.
    pub offset: u64,
    /// The first whole record behind a missing one, by its sequence number: written, never synced, and lost with the
    /// missing one.
    pub lost_sequence: Option<u64>,
}

/// The journal as it was found.
pub(crate) struct Replayed {
    /// Segments before the last one, oldest first.
    pub(crate) older: Vec<FoundSegment>,
    pub(crate) last: FoundSegment,
    /// Where the last segment's records end, and the chain there.
    pub(crate) end: u64,
    pub(crate) chain: u64,
    pub(crate) recovered: Recovered,
}

/// A segment whose header is sound.
pub(crate) struct FoundSegment {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) file_bytes: u64,
    key: SegmentKey,
}

/// Reads the journal and applies every record behind `cut`, in order.
pub(crate) fn replay<E>(
    disk: &dyn Disk,
    database_id: u128,
    cut: u64,
    apply: &mut dyn FnMut(u64, Op<'_>) -> Result<(), E>,
) -> Result<Replayed, OpenError<E>> {
    let mut older = find_segments(disk, database_id)?;
    let base = find_base(disk, &older, cut)?;
    let mut recovered = Recovered {
        last_sequence: cut,
        ..Recovered::default()
    };
    let mut expected = None;
    let mut end_of_last = (HEADER_BYTES as u64, 0);
    let from_base = older.get(base..).unwrap_or_default();
    for (index, found) in from_base.iter().enumerate() {
        let number = found.header.number;
        let successor = from_base.get(index + 1).map(|successor| &successor.header);
        let mut next_sequence = found.header.first_sequence;
        if let Some(expected) = expected.filter(|&expected| expected != next_sequence) {
            let what =
                format!("the segment begins with record {next_sequence}, and those from {expected} on are missing");
            return Err(corrupt(number, 48, Some(expected), what).into());
        }
        let mut reader = open_reader(found, successor)?;
        loop {
            match reader.next().map_err(|error| reading(number, error))? {
                Step::Record {
                    offset,
                    sequence,
                    kind,
                    payload,
                    bytes,
                } => {
                    if sequence != next_sequence {
                        let what = format!("record {sequence} stands in the place of record {next_sequence}");
                        return Err(corrupt(number, offset, Some(next_sequence), what).into());
                    }
                    next_sequence += 1;
                    recovered.bytes += bytes;
                    if sequence > cut {
                        let op = decode(number, offset, sequence, kind, payload)?;
                        apply(sequence, op).map_err(|error| OpenError::Apply { sequence, error })?;
                        recovered.records += 1;
                        recovered.last_sequence = sequence;
                    }
                }
                Step::End => break,
                Step::Invalid(what) => {
                    let offset = reader.position();
                    if successor.is_some() {
                        return Err(corrupt(number, offset, Some(next_sequence), what).into());
                    }
                    let behind = reader
                        .look_behind(next_sequence)
                        .map_err(|error| reading(number, error))?;
                    if let Some(witness) = behind.witness {
                        let what = format!("{what}, and the record at offset {witness} says that one was on disk");
                        return Err(corrupt(number, offset, Some(next_sequence), what).into());
                    }
                    recovered.torn_tail = Some(TornTail {
                        file: file_name(number),
                        offset,
                        lost_sequence: behind.first,
                    });
                    break;
                }
            }
        }
        end_of_last = (reader.position(), reader.chain());
        if let Some(successor) = successor.filter(|successor| successor.predecessor_chain != reader.chain()) {
            let what = format!(
                "the records up to here are not those that segment {} follows",
                successor.number
            );
            return Err(corrupt(number, reader.position(), None, what).into());
        }
        expected = Some(next_sequence);
    }
    let last = older.pop().ok_or_else(|| no_segments(disk))?;
    let (end, chain) = end_of_last;
    Ok(Replayed {
        older,
        last,
        end,
        chain,
        recovered,
    })
}

/// Opens every segment and reads its header. Nothing is decided from bytes that a power cut could still take back: all
/// is synced first.
fn find_segments(disk: &dyn Disk, database_id: u128) -> Result<Vec<FoundSegment>, Error> {
    let mut opened = Vec::new();
    for number in segment::list(disk)? {
        let failed = |error| Error::io(format!("opening {}", file_name(number)), error);
        let file = disk.open(&file_name(number)).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        let file_bytes = file.len().map_err(failed)?;
        opened.push((number, file, file_bytes));
    }
    disk.sync()
        .map_err(|error| Error::io(format!("syncing {}", disk.label()), error))?;
    let mut segments: Vec<FoundSegment> = Vec::with_capacity(opened.len());
    for (number, file, file_bytes) in opened {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(0, &mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(number, file_bytes, None, "the file ends inside its header"),
            _ => reading(number, error),
        })?;
        let (header, key) = Header::decode(&bytes, number, database_id)?;
        if let Some(before) = segments.last().map(|before| &before.header)
            && before.first_sequence > header.first_sequence
        {
            let what = format!(
                "the segment begins with record {}, and segment {} before it with record {}",
                header.first_sequence, before.number, before.first_sequence
            );
            return Err(corrupt(number, 48, None, what));
        }
        segments.push(FoundSegment {
            header,
            file,
            file_bytes,
            key,
        });
    }
    Ok(segments)
}

/// The index of the last segment that may hold the cut's successor, with none missing from there on.
fn find_base(disk: &dyn Disk, segments: &[FoundSegment], cut: u64) -> Result<usize, Error> {
    let first = segments.first().ok_or_else(|| no_segments(disk))?;
    let wanted = cut.saturating_add(1);
    let base = segments
        .iter()
        .rposition(|segment| segment.header.first_sequence <= wanted)
        .ok_or_else(|| {
            let what = format!(
                "the oldest segment begins with record {}, and those from {wanted} on are missing",
                first.header.first_sequence
            );
            corrupt(first.header.number, 48, Some(wanted), what)
        })?;
    let mut numbers = segments.iter().skip(base).map(|segment| segment.header.number);
    let mut before = numbers.next().unwrap_or_default();
    for number in numbers {
        if number - before != 1 {
            return Err(corrupt(
                before + 1,
                0,
                None,
                format!("the segment before {} is missing", file_name(number)),
            ));
        }
        before = number;
    }
    Ok(base)
}

/// A reader up to where the successor says that the segment ends, or to the end of the file.
fn open_reader(found: &FoundSegment, successor: Option<&Header>) -> Result<SegmentReader, Error> {
    let limit = match successor {
        Some(successor) => {
            let end = successor.predecessor_end;
            if end > found.file_bytes || end < HEADER_BYTES as u64 {
                let what = format!(
                    "the file has {} bytes, and its records end at {end} according to segment {}",
                    found.file_bytes, successor.number
                );
                return Err(corrupt(found.header.number, found.file_bytes, None, what));
            }
            end
        }
        None => found.file_bytes,
    };
    Ok(SegmentReader::new(Arc::clone(&found.file), found.key, limit))
}

fn decode(number: u64, offset: u64, sequence: u64, kind: u8, payload: &[u8]) -> Result<Op<'_>, Error> {
    Op::decode(kind, payload).map_err(|error| match error {
        DecodeError::UnknownKind(kind) => Error::Incompatible {
            file: file_name(number),
            offset,
            what: format!("record {sequence} is of kind {kind}"),
        },
        DecodeError::Malformed(what) => corrupt(number, offset, Some(sequence), what),
    })
}

fn reading(number: u64, error: io::Error) -> Error {
    Error::io(format!("reading {}", file_name(number)), error)
}

fn no_segments(disk: &dyn Disk) -> Error {
    Error::Corrupt {
        file: disk.label(),
        offset: 0,
        sequence: None,
        what: "there is no journal".to_owned(),
    }
}
