//! Reads a journal back: decides which segments count and where the last one ends, and hands out what is not covered.
//!
//! Changes nothing in the folder.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, sync::Arc};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, DiskFile};

use crate::{
    Error, Op, OpenError,
    ending::{NO_RECORD, Torn, check_end},
    header::{Header, OPENING_OFFSET, Opening, RECORDS_OFFSET, SegmentKey},
    op::DecodeError,
    progress::ReplayProgress,
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

/// Bytes behind the last record, in its segment or a later one, that are neither zero nor what the journal goes on with.
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
    /// Segments that count, oldest first; the last one is where the journal ends.
    pub(crate) live: Vec<LiveSegment>,
    /// The numbers of all others.
    pub(crate) dead: Vec<u64>,
    /// Above all numbers of segments.
    pub(crate) next_number: u64,
    /// Where the last segment's records end, and the digest of the last one.
    pub(crate) end: u64,
    pub(crate) last_digest: u64,
    /// The number behind that of the last one.
    pub(crate) next_sequence: u64,
    pub(crate) recovered: Recovered,
}

/// A segment whose header is sound.
pub(crate) struct FoundSegment {
    pub(crate) number: u64,
    pub(crate) key: SegmentKey,
    /// `None` where it fails its check, as it does in a segment that was never opened.
    pub(crate) opening: Option<Opening>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) file_bytes: u64,
}

impl FoundSegment {
    /// As part of the journal, with this opening.
    pub(crate) fn with(self, opening: Opening) -> LiveSegment {
        LiveSegment {
            number: self.number,
            key: self.key,
            opening,
            file: self.file,
            file_bytes: self.file_bytes,
        }
    }
}

/// A segment that is part of the journal.
pub(crate) struct LiveSegment {
    pub(crate) number: u64,
    pub(crate) key: SegmentKey,
    pub(crate) opening: Opening,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) file_bytes: u64,
}

/// How far replay has got.
struct Progress<'a> {
    watch: &'a ReplayProgress,
    recovered: Recovered,
    /// The number that the next record must have.
    next_sequence: u64,
    end: u64,
    last_digest: u64,
    /// Records missing from here on: the rest of the journal does not count.
    torn: Option<Torn>,
}

/// Reads the journal and applies every record behind `cut`, in order.
pub(crate) fn replay<E>(
    disk: &dyn Disk,
    database_id: u128,
    cut: u64,
    watch: &ReplayProgress,
    apply: &mut dyn FnMut(u64, Op<'_>) -> Result<(), E>,
) -> Result<Replayed, OpenError<E>> {
    let found = find_segments(disk, database_id)?;
    let next_number = found.last().map_or(0, |last| last.number) + 1;
    let numbers: Vec<u64> = found.iter().map(|segment| segment.number).collect();
    let (mut live, others) = follow_back(disk, found, cut)?;
    watch.expect(most_bytes(&live));
    let mut progress = Progress {
        watch,
        recovered: Recovered {
            last_sequence: cut,
            ..Recovered::default()
        },
        next_sequence: live.first().map_or(0, |first| first.opening.first_sequence),
        end: 0,
        last_digest: 0,
        torn: None,
    };
    let mut read = 0;
    for (index, segment) in live.iter().enumerate() {
        let successor = live.get(index + 1);
        progress.read_segment(segment, successor, cut, apply)?;
        read = index + 1;
        if progress.torn.is_some() {
            break;
        }
    }
    watch.expect(progress.recovered.bytes);
    let later = live.split_off(read);
    let last = live.last().ok_or_else(|| no_segments(disk))?;
    let torn = progress.torn.take().unwrap_or(Torn {
        offset: progress.end,
        what: NO_RECORD,
    });
    progress.recovered.torn_tail = check_end(last, &torn, progress.next_sequence, &later, &others)?;
    let counts: BTreeSet<u64> = live.iter().map(|segment| segment.number).collect();
    Ok(Replayed {
        live,
        dead: numbers.into_iter().filter(|number| !counts.contains(number)).collect(),
        next_number,
        end: progress.end,
        last_digest: progress.last_digest,
        next_sequence: progress.next_sequence,
        recovered: progress.recovered,
    })
}

impl Progress<'_> {
    /// Reads one segment, up to where its successor begins, or to its first invalid record.
    fn read_segment<E>(
        &mut self,
        segment: &LiveSegment,
        successor: Option<&LiveSegment>,
        cut: u64,
        apply: &mut dyn FnMut(u64, Op<'_>) -> Result<(), E>,
    ) -> Result<(), OpenError<E>> {
        let number = segment.number;
        let first = segment.opening.first_sequence;
        if first != self.next_sequence {
            let what = format!(
                "the segment begins with record {first}, and those from {} on are missing",
                self.next_sequence
            );
            return Err(corrupt(number, OPENING_OFFSET as u64, Some(self.next_sequence), what).into());
        }
        let mut reader = open_reader(segment, successor)?;
        loop {
            match reader.next().map_err(|error| reading(number, error))? {
                Step::Record {
                    offset,
                    sequence,
                    kind,
                    payload,
                    bytes,
                } => {
                    if sequence != self.next_sequence {
                        let what = format!("record {sequence} stands in the place of record {}", self.next_sequence);
                        return Err(corrupt(number, offset, Some(self.next_sequence), what).into());
                    }
                    self.next_sequence += 1;
                    self.recovered.bytes += bytes;
                    self.watch.advance(self.recovered.bytes);
                    if sequence > cut + u64::from(planted(Defect::ReplaySkipsFirst)) {
                        let op = decode(number, offset, sequence, kind, payload)?;
                        apply(sequence, op).map_err(|error| OpenError::Apply { sequence, error })?;
                        self.recovered.records += 1;
                        self.recovered.last_sequence = sequence;
                    }
                }
                Step::End => break,
                Step::Invalid(what) => {
                    self.torn = Some(Torn {
                        offset: reader.position(),
                        what,
                    });
                    break;
                }
            }
        }
        (self.end, self.last_digest) = (reader.position(), reader.last_digest());
        if self.torn.is_none()
            && let Some(successor) = successor.filter(|next| next.opening.predecessor_digest != self.last_digest)
        {
            let what = format!(
                "the records up to here are not those that segment {} follows",
                successor.number
            );
            return Err(corrupt(number, self.end, None, what).into());
        }
        Ok(())
    }
}

/// Opens every segment and reads its header and opening. Nothing is decided from bytes that a power cut could still take
/// back: all is synced first.
fn find_segments(disk: &dyn Disk, database_id: u128) -> Result<Vec<FoundSegment>, Error> {
    let mut opened = Vec::new();
    for number in segment::list(disk)? {
        let failed = |error| Error::io(format!("opening {}", file_name(number)), error);
        let file = disk.open(&file_name(number)).map_err(failed)?;
        if !planted(Defect::RecoversFromCache) {
            file.sync_data().map_err(failed)?;
        }
        let file_bytes = file.len().map_err(failed)?;
        opened.push((number, file, file_bytes));
    }
    disk.sync()
        .map_err(|error| Error::io(format!("syncing {}", disk.label()), error))?;
    opened
        .into_iter()
        .map(|(number, file, file_bytes)| examine(number, file, file_bytes, database_id))
        .collect()
}

/// Reads a segment's header, which must be sound and this database's, and its opening.
pub(crate) fn examine(
    number: u64,
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    database_id: u128,
) -> Result<FoundSegment, Error> {
    let mut bytes = [0; RECORDS_OFFSET];
    file.read_exact_at(0, &mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => corrupt(number, file_bytes, None, "the file ends inside its header"),
        _ => reading(number, error),
    })?;
    let short = || corrupt(number, 0, None, "the file ends inside its header");
    let (header, opening) = bytes.split_first_chunk().ok_or_else(short)?;
    let (_, key) = Header::decode(header, number, database_id)?;
    Ok(FoundSegment {
        number,
        key,
        opening: Opening::decode(opening.first_chunk().ok_or_else(short)?, key, number),
        file,
        file_bytes,
    })
}

/// Refuses a segment with anything where records would be.
pub(crate) fn check_empty(disk: &dyn Disk, number: u64) -> Result<(), Error> {
    let name = file_name(number);
    let looking = |error| Error::io(format!("looking at {name}"), error);
    let file = disk.open(&name).map_err(looking)?;
    let file_bytes = file.len().map_err(looking)?;
    let mut reader = SegmentReader::new(file, SegmentKey(0), file_bytes);
    reader.skip_to(RECORDS_OFFSET as u64);
    match reader.look_behind(0, 0).map_err(looking)?.any {
        false => Ok(()),
        true => {
            let what = "it has records, although the files that make a folder a database are missing";
            Err(corrupt(number, RECORDS_OFFSET as u64, None, what))
        }
    }
}

/// The segments that count, oldest first: from the newest that was opened back to the one that may hold the cut's
/// successor. Those in between that the chain leaves out were given up by an earlier recovery; those are returned
/// apart, and so are the ones never opened.
fn follow_back(
    disk: &dyn Disk,
    found: Vec<FoundSegment>,
    cut: u64,
) -> Result<(Vec<LiveSegment>, Vec<FoundSegment>), Error> {
    let wanted = cut.saturating_add(1);
    let (mut live, mut others): (Vec<LiveSegment>, Vec<FoundSegment>) = (Vec::new(), Vec::new());
    // The segment that the chain leads to next, and the number of the one that says so.
    let mut next: Option<(u64, u64)> = None;
    for segment in found.into_iter().rev() {
        let is_next = match (next, &live) {
            (Some((next, _)), _) => segment.number == next,
            (None, live) => live.is_empty(),
        };
        match segment.opening {
            Some(opening) if is_next => {
                let by = segment.number;
                if let Some(after) = live
                    .last()
                    .filter(|after| after.opening.first_sequence < opening.first_sequence)
                {
                    let what = format!(
                        "the segment begins with record {}, and segment {} behind it with record {}",
                        opening.first_sequence, after.number, after.opening.first_sequence
                    );
                    return Err(corrupt(by, OPENING_OFFSET as u64, None, what));
                }
                next = (opening.first_sequence > wanted).then_some((opening.predecessor, by));
                live.push(segment.with(opening));
            }
            None if is_next && next.is_some() => {
                let what = "the opening fails its check, and a later segment says that it was on disk";
                return Err(corrupt(segment.number, OPENING_OFFSET as u64, None, what));
            }
            _ => others.push(segment),
        }
    }
    if let Some((missing, by)) = next {
        let what = match missing {
            0 => format!("the first segment begins behind record {wanted}"),
            _ => format!(
                "the segment that {} follows is missing, and with it the records from {wanted} on",
                file_name(by)
            ),
        };
        let number = if missing == 0 { by } else { missing };
        return Err(corrupt(number, 0, Some(wanted), what));
    }
    if live.is_empty() {
        return Err(no_segments(disk));
    }
    live.reverse();
    Ok((live, others))
}

/// Bytes of all records, and of the room behind those in the last segment.
fn most_bytes(live: &[LiveSegment]) -> u64 {
    let ends = live
        .iter()
        .skip(1)
        .map(|successor| successor.opening.predecessor_end)
        .chain(live.last().map(|last| last.file_bytes));
    ends.fold(0, |total, end| {
        total.saturating_add(end.saturating_sub(RECORDS_OFFSET as u64))
    })
}

/// A reader up to where the successor says that the segment ends, or to the end of the file.
fn open_reader(segment: &LiveSegment, successor: Option<&LiveSegment>) -> Result<SegmentReader, Error> {
    let limit = match successor {
        Some(successor) => {
            let end = successor.opening.predecessor_end;
            if end > segment.file_bytes || end < RECORDS_OFFSET as u64 {
                let what = format!(
                    "the file has {} bytes, and its records end at {end} according to segment {}",
                    segment.file_bytes, successor.number
                );
                return Err(corrupt(segment.number, segment.file_bytes, None, what));
            }
            end
        }
        None => segment.file_bytes,
    };
    Ok(SegmentReader::new(Arc::clone(&segment.file), segment.key, limit))
}

pub(crate) fn decode(number: u64, offset: u64, sequence: u64, kind: u8, payload: &[u8]) -> Result<Op<'_>, Error> {
    Op::decode(kind, payload).map_err(|error| match error {
        DecodeError::UnknownKind(kind) => Error::Incompatible {
            file: file_name(number),
            offset,
            what: format!("record {sequence} is of kind {kind}"),
        },
        DecodeError::Malformed(what) => corrupt(number, offset, Some(sequence), what),
    })
}

pub(crate) fn reading(number: u64, error: io::Error) -> Error {
    Error::io(format!("reading {}", file_name(number)), error)
}

pub(crate) fn no_segments(disk: &dyn Disk) -> Error {
    Error::Corrupt {
        file: disk.label(),
        offset: 0,
        sequence: None,
        what: "there is no journal".to_owned(),
    }
}
