//! Reads one segment's records in order, in memory bounded by the longest record.

#[cfg(test)]
mod tests;

use std::{io, ops::RangeInclusive, sync::Arc};

use coppice_defect::{Defect, planted};
use coppice_disk::DiskFile;

use crate::{
    header::{RECORDS_OFFSET, SegmentKey},
    record::{ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader},
};

/// Read from the file at a time, unless a record is longer: little at first, since most segments that are opened were just
/// begun, and more each time.
const FIRST_CHUNK_BYTES: u64 = 4 << 10;
const CHUNK_BYTES: u64 = 1 << 20;
const CHUNK_GROWTH: u64 = 16;

/// What is looked through for anything but zeros at once.
const LINE_BYTES: usize = 64;

/// A reader in front of the next record.
pub(crate) struct SegmentReader {
    window: Window,
    key: SegmentKey,
    position: u64,
    last_digest: u64,
}

/// What stands at the reader's position.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A sound record; the reader has moved behind it.
    Record {
        /// Where it begins.
        offset: u64,
        sequence: u64,
        kind: u8,
        payload: &'a [u8],
        /// Its size with header and padding.
        bytes: u64,
    },
    /// The end of what may be read.
    End,
    /// Bytes that are no record of this place; the reader stays before them.
    Invalid(&'static str),
}

/// What stands behind an invalid record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Whether there is anything but zeros.
    pub(crate) any: bool,
    /// The first record header, by its sequence number.
    pub(crate) first: Option<u64>,
    /// The offset of the first record that says that the invalid one was on disk.
    pub(crate) witness: Option<u64>,
}

impl SegmentReader {
    /// A reader of the records between the opening and `limit`, which is not beyond the file's end.
    pub(crate) fn new(file: Arc<dyn DiskFile>, key: SegmentKey, limit: u64) -> Self {
        Self {
            window: Window {
                file,
                limit,
                start: 0,
                buffer: Vec::new(),
                chunk: FIRST_CHUNK_BYTES,
            },
            key,
            position: RECORDS_OFFSET as u64,
            last_digest: key.0,
        }
    }

    /// Goes to where a record should begin.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Reads as far as `limit` from here on, which is not beyond the file's end either.
    pub(crate) fn extend_to(&mut self, limit: u64) {
        self.window.limit = self.window.limit.max(limit);
    }

    /// Where the next record begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The digest of the last record read, or the segment's key.
    pub(crate) fn last_digest(&self) -> u64 {
        self.last_digest
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self) -> io::Result<Step<'_>> {
        let offset = self.position;
        if offset == self.window.limit {
            return Ok(Step::End);
        }
        let Some(header) = self.window.header(offset)? else {
            return Ok(Step::Invalid("the rest is too short for a record"));
        };
        let Some(header) = RecordHeader::parse(header, offset, self.key) else {
            return Ok(Step::Invalid("no record header"));
        };
        let bytes = header.record_bytes();
        if planted(Defect::ReplayStopsEarly) && self.is_last(offset + bytes as u64)? {
            return Ok(Step::Invalid("the last record"));
        }
        let Some(record) = self.window.bytes(offset, bytes)? else {
            return Ok(Step::Invalid("the record is longer than the rest"));
        };
        let Some(payload) = header.verify(record) else {
            return Ok(Step::Invalid("the record fails its digest"));
        };
        self.last_digest = header.digest;
        self.position += bytes as u64;
        Ok(Step::Record {
            offset,
            sequence: header.sequence,
            kind: header.kind,
            payload,
            bytes: bytes as u64,
        })
    }

    /// Whether no record begins here.
    fn is_last(&mut self, offset: u64) -> io::Result<bool> {
        let header = self.window.header(offset)?;
        Ok(header.is_none_or(|header| RecordHeader::parse(header, offset, self.key).is_none()))
    }

    /// Goes on to the next header, behind the reader's position, of a record with such a number; false where there is none.
    pub(crate) fn resync(&mut self, sequences: RangeInclusive<u64>) -> io::Result<bool> {
        let mut offset = self.position + ALIGNMENT as u64;
        while let Some(header) = self.window.header(offset)? {
            let header = RecordHeader::parse(header, offset, self.key);
            if header.is_some_and(|header| sequences.contains(&header.sequence)) {
                self.position = offset;
                return Ok(true);
            }
            offset += ALIGNMENT as u64;
        }
        Ok(false)
    }

    /// Looks for records at the reader's position and behind it, where record `sequence` is missing. Records with
    /// numbers beyond `farthest` cannot have got there. Finds headers: a record torn in its payload is a witness too.
    pub(crate) fn look_behind(&mut self, sequence: u64, farthest: u64) -> io::Result<Behind> {
        let mut behind = Behind::default();
        let mut offset = self.position;
        while let Some(words) = self.window.words(offset)? {
            // Most of what is looked at is room that was never used.
            let zeros = leading_zeros(words);
            let all = words.len();
            offset += (zeros * ALIGNMENT) as u64;
            if zeros == all {
                continue;
            }
            behind.any = true;
            let Some(header) = self.window.header(offset)? else {
                return Ok(behind);
            };
            let header = RecordHeader::parse(header, offset, self.key)
                .filter(|header| header.sequence > sequence && header.sequence <= farthest);
            if let Some(header) = header {
                behind.first.get_or_insert(header.sequence);
                if header.durable_upto.is_some_and(|durable_upto| durable_upto >= sequence) {
                    behind.witness = Some(offset);
                    return Ok(behind);
                }
            }
            offset += ALIGNMENT as u64;
        }
        behind.any |= self.window.rest_is_not_zero(offset)?;
        Ok(behind)
    }
}

/// How many words of zeros come first.
fn leading_zeros(words: &[[u8; ALIGNMENT]]) -> usize {
    let (lines, _) = words.as_chunks::<{ LINE_BYTES / ALIGNMENT }>();
    let is_zero = |line: &&[[u8; ALIGNMENT]; LINE_BYTES / ALIGNMENT]| {
        line.as_flattened().iter().fold(0, |all, byte| all | byte) == 0
    };
    let passed = lines.iter().take_while(is_zero).count() * (LINE_BYTES / ALIGNMENT);
    let rest = words.get(passed..).unwrap_or_default();
    passed + rest.iter().take_while(|word| **word == [0; ALIGNMENT]).count()
}

/// A piece of the file in memory.
struct Window {
    file: Arc<dyn DiskFile>,
    limit: u64,
    start: u64,
    buffer: Vec<u8>,
    /// What is read next, at least.
    chunk: u64,
}

impl Window {
    /// The bytes at `offset`, or `None` when they reach beyond the limit.
    fn bytes(&mut self, offset: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(count as u64).filter(|&end| end <= self.limit) else {
            return Ok(None);
        };
        if offset < self.start || end > self.start + self.buffer.len() as u64 {
            // Bounded by the file's own length, whatever was asked for.
            let wanted = (count as u64).max(self.chunk).min(self.limit - offset);
            self.chunk = (self.chunk * CHUNK_GROWTH).min(CHUNK_BYTES);
            self.buffer.resize(wanted as usize, 0);
            // What one long record took is given back behind it.
            self.buffer.shrink_to(CHUNK_BYTES as usize);
            self.start = offset;
            if let Err(error) = self.file.read_exact_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(error);
            }
        }
        let from = (offset - self.start) as usize;
        Ok(self.buffer.get(from..from + count))
    }

    /// As many whole words as there are in one piece from `offset` on; `None` behind the last one.
    fn words(&mut self, offset: u64) -> io::Result<Option<&[[u8; ALIGNMENT]]>> {
        if self.bytes(offset, ALIGNMENT)?.is_none() {
            return Ok(None);
        }
        let from = (offset - self.start) as usize;
        Ok(self.buffer.get(from..).map(|bytes| bytes.as_chunks().0))
    }

    /// Whether one of the last bytes, fewer than a word, is not zero.
    fn rest_is_not_zero(&mut self, offset: u64) -> io::Result<bool> {
        let rest = self.limit.saturating_sub(offset) as usize;
        let bytes = self.bytes(offset, rest)?;
        Ok(bytes.is_some_and(|bytes| bytes.iter().any(|&byte| byte != 0)))
    }

    fn header(&mut self, offset: u64) -> io::Result<Option<&[u8; RECORD_HEADER_BYTES]>> {
        Ok(self
            .bytes(offset, RECORD_HEADER_BYTES)?
            .and_then(<[u8]>::first_chunk::<RECORD_HEADER_BYTES>))
    }
}
