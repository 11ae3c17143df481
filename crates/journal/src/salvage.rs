//! What a damaged journal still says: read, never written.
//!
//! Owns no rule of its own about what counts as long as nothing is missing: then records are handed out as recovery does, and
//! end where it ends. A record that is missing although something behind it says that it was on disk is a *gap*: what is sound
//! behind that is handed out too, marked as such, since what came in between is not known.

#[cfg(test)]
mod tests;

use std::{mem, sync::Arc};

use coppice_disk::Disk;

use crate::{
    Error, Op, OpenError,
    ending::{NO_RECORD, Torn, check_end},
    header::{OPENING_OFFSET, Opening, RECORDS_OFFSET},
    reader::{SegmentReader, Step},
    record::RECORD_HEADER_BYTES,
    recovery::{FoundSegment, LiveSegment, decode, examine, reading},
    segment::{self, corrupt, file_name},
};

/// A journal that is damaged in more places than that is read no further: so reading one ends soon, whatever it holds.
const MAX_DAMAGES: usize = 256;

const UNREADABLE_OPENING: &str = "the opening fails its check";

/// Stands for the predecessor in an opening that cannot be read.
const UNKNOWN: u64 = u64::MAX;

/// Whether all records before one are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It follows from the one before it, or from the cut.
    Next,
    /// Records are missing before it.
    BehindGap,
}

/// What was read of a journal that may be damaged.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Records that were handed out.
    pub records: u64,
    /// The last of them in front of the first gap, or the cut.
    pub last_sequence: u64,
    /// What is wrong.
    pub problems: Vec<Error>,
}

/// Whether the journal holds every record behind `cut`, as far as its segments' headers tell.
pub fn goes_on_behind(disk: &dyn Disk, database_id: u128, cut: u64) -> bool {
    let Ok((found, _)) = find(disk, database_id, &mut Vec::new()) else {
        return false;
    };
    let wanted = cut.saturating_add(1);
    let mut chain = found.iter().rev().peekable();
    while let Some(segment) = chain.next() {
        if segment.opening.first_sequence <= wanted {
            return true;
        }
        if chain
            .peek()
            .is_none_or(|older| older.number != segment.opening.predecessor)
        {
            return false;
        }
    }
    false
}

/// Hands out every record behind `cut` that passes its check, in order.
///
/// # Errors
/// What `apply` returns; those of the disk where the folder cannot be listed.
pub fn salvage<E>(
    disk: &dyn Disk,
    database_id: u128,
    cut: u64,
    apply: &mut dyn FnMut(u64, Standing, Op<'_>) -> Result<(), E>,
) -> Result<Salvaged, OpenError<E>> {
    let mut walk = Walk {
        salvaged: Salvaged {
            last_sequence: cut,
            ..Salvaged::default()
        },
        last: cut,
        standing: Standing::Next,
        damages: 0,
    };
    let (found, others) = find(disk, database_id, &mut walk.salvaged.problems)?;
    if found.is_empty() {
        let what = "there is no journal that can be read: what was written since the last checkpoint is lost";
        let problem = Error::Corrupt {
            file: disk.label(),
            offset: 0,
            sequence: Some(cut.saturating_add(1)),
            what: what.to_owned(),
        };
        walk.salvaged.problems.push(problem);
    }
    // Recovery does not read those before either.
    let wanted = cut.saturating_add(1);
    let from = found
        .iter()
        .rposition(|segment| segment.opening.first_sequence <= wanted);
    let mut rest = found.get(from.unwrap_or(0)..).unwrap_or_default();
    while let Some((segment, later)) = rest.split_first() {
        if !walk.segment(segment, later, &others, cut, apply)? {
            break;
        }
        rest = later;
    }
    Ok(walk.salvaged)
}

/// How far reading has got.
struct Walk {
    salvaged: Salvaged,
    /// The last record, or the cut.
    last: u64,
    standing: Standing,
    damages: usize,
}

impl Walk {
    /// Reads a segment; false where nothing behind it counts.
    fn segment<E>(
        &mut self,
        segment: &LiveSegment,
        later: &[LiveSegment],
        others: &[FoundSegment],
        cut: u64,
        apply: &mut dyn FnMut(u64, Standing, Op<'_>) -> Result<(), E>,
    ) -> Result<bool, OpenError<E>> {
        let number = segment.number;
        // Behind where its successor goes on is what an earlier recovery gave up.
        let end = later
            .first()
            .filter(|next| next.opening.predecessor == number)
            .map_or(segment.file_bytes, |next| {
                next.opening.predecessor_end.min(segment.file_bytes)
            });
        let first = segment.opening.first_sequence;
        let farthest = first.saturating_add(segment.file_bytes / RECORD_HEADER_BYTES as u64);
        self.expect(segment, RECORDS_OFFSET as u64, first);
        let mut reader = SegmentReader::new(Arc::clone(&segment.file), segment.key, end);
        // The number of the record that should be at the reader's position, whether or not the cut covers it.
        let mut missing = first;
        loop {
            let position = reader.position();
            let step = match reader.next() {
                Ok(step) => step,
                Err(error) => {
                    self.salvaged.problems.push(reading(number, error));
                    return Ok(true);
                }
            };
            let what = match step {
                Step::Record {
                    offset,
                    sequence,
                    kind,
                    payload,
                    ..
                } => {
                    missing = sequence.saturating_add(1);
                    if sequence <= self.last {
                        continue;
                    }
                    self.expect(segment, offset, sequence);
                    self.last = sequence;
                    match decode(number, offset, sequence, kind, payload) {
                        Ok(op) if sequence > cut => {
                            apply(sequence, self.standing, op).map_err(|error| OpenError::Apply { sequence, error })?;
                            self.salvaged.records += 1;
                        }
                        Ok(_) => {}
                        Err(error) => {
                            self.salvaged.problems.push(error);
                            self.standing = Standing::BehindGap;
                        }
                    }
                    if self.standing == Standing::Next {
                        self.salvaged.last_sequence = sequence;
                    }
                    continue;
                }
                Step::End if !later.is_empty() => return Ok(true),
                Step::End => NO_RECORD,
                Step::Invalid(what) => what,
            };
            let torn = Torn { offset: position, what };
            let problem = match is_chain(number, later) {
                true => match check_end(segment, &torn, missing, later, others) {
                    Ok(_) => return Ok(false),
                    Err(error) => error,
                },
                false => corrupt(number, position, Some(missing), what),
            };
            self.salvaged.problems.push(problem);
            self.damages += 1;
            if self.damages == MAX_DAMAGES {
                return Ok(false);
            }
            if !reader.resync(first..=farthest).unwrap_or(false) {
                return Ok(true);
            }
        }
    }

    /// Notes a gap where the next record is not the one behind the last.
    fn expect(&mut self, segment: &LiveSegment, offset: u64, sequence: u64) {
        let missing = self.last.saturating_add(1);
        if sequence <= missing {
            return;
        }
        let what = format!("the records from {missing} to {} are missing", sequence - 1);
        let problem = corrupt(segment.number, offset, Some(missing), what);
        self.salvaged.problems.push(problem);
        // The next one that is missing is behind these.
        self.last = sequence - 1;
        self.standing = Standing::BehindGap;
    }
}

/// Whether each of the segments follows from the one before it, and the first of them from segment `number`.
fn is_chain(mut number: u64, later: &[LiveSegment]) -> bool {
    later
        .iter()
        .all(|next| mem::replace(&mut number, next.number) == next.opening.predecessor)
}

/// The segments that follow from one another, oldest first; where the chain is broken, from the next older one on that fits.
/// And all others whose headers are sound.
fn find(
    disk: &dyn Disk,
    database_id: u128,
    problems: &mut Vec<Error>,
) -> Result<(Vec<LiveSegment>, Vec<FoundSegment>), Error> {
    let (mut found, mut others): (Vec<LiveSegment>, Vec<FoundSegment>) = (Vec::new(), Vec::new());
    for number in segment::list(disk)?.into_iter().rev() {
        let (segment, opening) = match open(disk, database_id, number) {
            Ok(opened) => opened,
            Err(error) => {
                problems.push(error);
                continue;
            }
        };
        let newer = found.last().map(|newer| &newer.opening);
        let is_named = newer.is_some_and(|newer| newer.predecessor == number);
        let fits = |opening: &Opening| {
            is_named
                || newer.is_none_or(|newer| newer.predecessor > number && opening.first_sequence < newer.first_sequence)
        };
        match opening {
            Some(opening) if fits(&opening) => {
                if opening.predecessor == UNKNOWN {
                    problems.push(corrupt(number, OPENING_OFFSET as u64, None, UNREADABLE_OPENING));
                }
                found.push(segment.with(opening));
            }
            Some(_) => others.push(segment),
            None => {
                // Else it was made ahead, and never put to use.
                if is_named {
                    problems.push(corrupt(number, OPENING_OFFSET as u64, None, UNREADABLE_OPENING));
                }
                others.push(segment);
            }
        }
    }
    found.reverse();
    Ok((found, others))
}

/// A segment and its opening; where that is damaged, what the first record says of it, if there is one.
fn open(disk: &dyn Disk, database_id: u128, number: u64) -> Result<(FoundSegment, Option<Opening>), Error> {
    let failed = |error| reading(number, error);
    let file = disk.open(&file_name(number)).map_err(failed)?;
    let file_bytes = file.len().map_err(failed)?;
    let segment = examine(number, file, file_bytes, database_id)?;
    if let Some(opening) = segment.opening {
        return Ok((segment, Some(opening)));
    }
    let mut reader = SegmentReader::new(Arc::clone(&segment.file), segment.key, file_bytes);
    let opening = match reader.next().map_err(failed)? {
        Step::Record { sequence, .. } => Some(Opening {
            first_sequence: sequence,
            predecessor: UNKNOWN,
            predecessor_end: 0,
            predecessor_digest: 0,
            durable_upto: 0,
        }),
        Step::End | Step::Invalid(_) => None,
    };
    Ok((segment, opening))
}
