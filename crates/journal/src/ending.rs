//! Decides whether a journal ends where its records stop, or is damaged there.
//!
//! After a power cut the records stop at one that never reached the disk, whatever did reach it behind that: what was
//! written later, in the same segment or the next, says by then how far all was known to be on disk. Where something says
//! so of the record that is missing, that one was lost afterwards.

use std::sync::Arc;

use coppice_defect::{Defect, planted};

use crate::{
    Error,
    reader::SegmentReader,
    record::RECORD_HEADER_BYTES,
    recovery::{FoundSegment, LiveSegment, TornTail, reading},
    segment::{corrupt, file_name},
};

/// What stands behind the last record where that fills its segment.
pub(crate) const NO_RECORD: &str = "no record";

/// Where the records stop.
pub(crate) struct Torn {
    pub(crate) offset: u64,
    /// What stands there.
    pub(crate) what: &'static str,
}

/// Looks behind the place in the segment `last` where record `missing` should be: in the rest of the segment, in those that
/// follow it, and in those `others` outside of the chain that have higher numbers. What it finds counts for nothing.
///
/// # Errors
/// `Corrupt` where something says that the record was on disk; `Io` where that cannot be found out.
pub(crate) fn check_end(
    last: &LiveSegment,
    torn: &Torn,
    missing: u64,
    later: &[LiveSegment],
    others: &[FoundSegment],
) -> Result<Option<TornTail>, Error> {
    let damaged = |witness: String| {
        let what = format!("{}, and {witness} says that one was on disk", torn.what);
        Err(corrupt(last.number, torn.offset, Some(missing), what))
    };
    let behind_last = others.iter().filter(|other| other.number > last.number);
    let bytes: u64 = later.iter().map(|segment| segment.file_bytes).sum::<u64>()
        + behind_last.clone().map(|segment| segment.file_bytes).sum::<u64>()
        + last.file_bytes;
    let farthest = missing.saturating_add(bytes / RECORD_HEADER_BYTES as u64);
    let mut reader = SegmentReader::new(Arc::clone(&last.file), last.key, last.file_bytes);
    reader.skip_to(torn.offset);
    let behind = reader
        .look_behind(missing, farthest)
        .map_err(|error| reading(last.number, error))?;
    if let Some(witness) = behind.witness.filter(|_| !planted(Defect::TakesDamageForTornTail)) {
        return damaged(format!("the record at offset {witness}"));
    }
    let (mut any, mut first) = (behind.any, behind.first);
    let opened = later
        .iter()
        .map(|next| (next.number, next.key, Some(&next.opening), &next.file, next.file_bytes));
    let unopened = behind_last.map(|next| {
        (
            next.number,
            next.key,
            next.opening.as_ref(),
            &next.file,
            next.file_bytes,
        )
    });
    for (number, key, opening, file, file_bytes) in opened.chain(unopened) {
        if opening.is_some_and(|opening| opening.durable_upto >= missing) {
            return damaged(format!("the opening of segment {number}"));
        }
        let mut reader = SegmentReader::new(Arc::clone(file), key, file_bytes);
        let behind = reader
            .look_behind(missing, farthest)
            .map_err(|error| reading(number, error))?;
        if let Some(witness) = behind.witness {
            return damaged(format!("the record at offset {witness} of segment {number}"));
        }
        any |= behind.any || opening.is_some();
        first = first.or(behind.first);
    }
    Ok(any.then(|| TornTail {
        file: file_name(last.number),
        offset: torn.offset,
        lost_sequence: first,
    }))
}
