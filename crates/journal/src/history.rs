//! Reads back, while the journal is in use, what it still holds.
//!
//! Owns nothing of the journal and holds none of its locks while it reads. What is read was appended before, whole, so a
//! record that is not sound is damage and never an end. Segments may be trimmed meanwhile: what was in them is
//! [`Error::NotHeld`] then, except that one which is being read is read to its end.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use coppice_disk::Disk;

use crate::{
    Error, Op,
    header::{HEADER_BYTES, Header, RECORDS_OFFSET},
    reader::{SegmentReader, Step},
    recovery::{decode, reading},
    segment::{corrupt, file_name},
    writer::Writer,
};

/// A segment's place in the journal, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) number: u64,
    /// The number of its first record, or of the next one if it has none.
    pub(crate) first_sequence: u64,
    /// The number of the first record behind it.
    pub(crate) next_sequence: u64,
    /// Where its records end in its file.
    pub(crate) end: u64,
}

impl Writer {
    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> Vec<Span> {
        let older = self.older.iter().map(|old| Span {
            number: old.number,
            first_sequence: old.first_sequence,
            next_sequence: old.next_sequence,
            end: RECORDS_OFFSET as u64 + old.bytes,
        });
        let active = Span {
            number: self.active.segment.number,
            first_sequence: self.active.first_sequence,
            next_sequence: self.active.next_sequence,
            end: self.active.position,
        };
        older.chain([active]).collect()
    }

    /// Those that hold the last records, oldest first, as far back as none is missing.
    pub(crate) fn held(&self) -> Vec<Span> {
        let mut segments = self.segments();
        let mut wanted = self.last_sequence + 1;
        let missing = segments.iter().rposition(|span| {
            let follows = span.next_sequence == wanted;
            wanted = span.first_sequence;
            !follows
        });
        segments.split_off(missing.map_or(0, |index| index + 1))
    }
}

/// A place in the journal from which records are read on, in order.
pub struct History {
    disk: Arc<dyn Disk>,
    database_id: u128,
    /// The number of the record that comes next.
    next_sequence: u64,
    /// The segment that it is in, or that the last one was in.
    segment: Option<(Span, SegmentReader)>,
}

impl History {
    /// In front of the record behind `after`.
    pub(crate) fn new(disk: Arc<dyn Disk>, database_id: u128, after: u64) -> Self {
        Self {
            disk,
            database_id,
            next_sequence: after.saturating_add(1),
            segment: None,
        }
    }

    /// The last record that was read; before the first, the one that it begins behind.
    pub fn position(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Reads on, up to record `upto`, until it has come to the end of a segment or read about so many bytes.
    pub(crate) fn read(
        &mut self,
        spans: &[Span],
        upto: u64,
        bytes: u64,
        visit: &mut dyn FnMut(u64, Op<'_>),
    ) -> Result<(), Error> {
        if self.next_sequence > upto {
            return Ok(());
        }
        let Self {
            disk,
            database_id,
            next_sequence,
            segment,
        } = self;
        let (span, mut reader) = match segment.take() {
            Some((old, mut reader)) if *next_sequence < old.next_sequence => {
                reader.extend_to(old.end);
                (old, reader)
            }
            other => {
                // A segment that was trimmed behind the last look is found out when it is opened.
                let holds = |span: &&Span| (span.first_sequence..span.next_sequence).contains(next_sequence);
                let span = *spans.iter().find(holds).ok_or(Error::NotHeld {
                    wanted: *next_sequence,
                    oldest: spans.first().map_or(0, |oldest| oldest.first_sequence),
                })?;
                match other {
                    Some((old, mut reader)) if old.number == span.number => {
                        reader.extend_to(span.end);
                        (span, reader)
                    }
                    _ => (span, open(&**disk, *database_id, span, *next_sequence, spans)?),
                }
            }
        };
        let stop = reader.position().saturating_add(bytes);
        while *next_sequence <= upto.min(span.next_sequence - 1) && reader.position() < stop {
            let sequence = next_record(&mut reader, span.number, visit, *next_sequence)?;
            *next_sequence = sequence + 1;
        }
        *segment = Some((span, reader));
        Ok(())
    }
}

/// Opens a segment in front of one of its records.
fn open(disk: &dyn Disk, database_id: u128, span: Span, sequence: u64, spans: &[Span]) -> Result<SegmentReader, Error> {
    let file = disk.open(&file_name(span.number)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotHeld {
            wanted: sequence,
            oldest: spans.last().map_or(0, |last| last.first_sequence),
        },
        _ => Error::io(format!("opening {}", file_name(span.number)), error),
    })?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(0, &mut header)
        .map_err(|error| reading(span.number, error))?;
    let (_, key) = Header::decode(&header, span.number, database_id)?;
    let mut reader = SegmentReader::new(file, key, span.end);
    for passed in span.first_sequence..sequence {
        next_record(&mut reader, span.number, &mut |_, _| {}, passed)?;
    }
    Ok(reader)
}

/// Reads the record that must be `wanted`.
fn next_record(
    reader: &mut SegmentReader,
    number: u64,
    visit: &mut dyn FnMut(u64, Op<'_>),
    wanted: u64,
) -> Result<u64, Error> {
    let position = reader.position();
    match reader.next().map_err(|error| reading(number, error))? {
        Step::Record {
            offset,
            sequence,
            kind,
            payload,
            ..
        } => {
            if sequence != wanted {
                let what = format!("record {sequence} stands in the place of record {wanted}");
                return Err(corrupt(number, offset, Some(wanted), what));
            }
            visit(sequence, decode(number, offset, sequence, kind, payload)?);
            Ok(sequence)
        }
        Step::End => Err(corrupt(number, position, Some(wanted), "the records end too soon")),
        Step::Invalid(what) => Err(corrupt(number, position, Some(wanted), what)),
    }
}

/// Reads all records of a segment, for what is wrong with them. One that was trimmed meanwhile has nothing wrong.
pub(crate) fn check(disk: &dyn Disk, database_id: u128, span: Span) -> Result<(), Error> {
    match open(disk, database_id, span, span.next_sequence, &[span]) {
        Err(Error::NotHeld { .. }) => Ok(()),
        other => other.map(|_| ()),
    }
}
