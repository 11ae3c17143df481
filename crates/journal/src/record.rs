//! The frame around a payload: 32 bytes that are checked by themselves, and a digest of all of it in its place.
//!
//! What takes time, copying the payload and its digest, needs no place and is done before a record has one ([`encode`]).
//! What depends on the place is one short hash ([`seal`]).

#[cfg(test)]
pub(crate) mod tests;

use coppice_defect::{Defect, planted};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{header::SegmentKey, op::Op, segment::Fields};

/// Longest payload of one record, bytes: that of the largest batch. Recovery holds one record in memory at a time.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// What the header check covers of the header.
const COVERED_BYTES: usize = 20;
/// Stands for every durable lag that does not fit.
const LAG_UNKNOWN: u32 = u32::MAX;

const _: () = assert!(COVERED_BYTES + 4 + 8 == RECORD_HEADER_BYTES);
const _: () = assert!(RECORD_HEADER_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(MAX_PAYLOAD_BYTES <= u32::MAX as usize);

/// The size of a record with its padding.
pub(crate) fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT)
}

/// A record's header that passed its own check. Its payload has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: u8,
    pub(crate) sequence: u64,
    /// The highest sequence number that was on disk when this record was written, as far as the record tells.
    pub(crate) durable_upto: Option<u64>,
    pub(crate) digest: u64,
    payload_bytes: usize,
    /// What the header and its place make of the digest.
    mark: u64,
}

impl RecordHeader {
    /// Reads the header at `offset` in its segment. `None`: nothing that was written there.
    pub(crate) fn parse(bytes: &[u8; RECORD_HEADER_BYTES], offset: u64, key: SegmentKey) -> Option<Self> {
        let mut fields = Fields(bytes);
        let payload_bytes = fields.u32()? as usize;
        let [kind, zero @ ..] = fields.array::<4>()?;
        let sequence = fields.u64()?;
        let lag = fields.u32()?;
        // First what costs nothing: this runs on every eighth byte of a torn tail.
        if payload_bytes > MAX_PAYLOAD_BYTES || kind == 0 || zero != [0; 3] || sequence == 0 {
            return None;
        }
        let mark = mark(bytes.first_chunk()?, offset, key);
        if fields.u32()? != mark as u32 {
            return None;
        }
        Some(Self {
            kind,
            sequence,
            durable_upto: (lag != LAG_UNKNOWN)
                .then(|| sequence.checked_sub(u64::from(lag)))
                .flatten(),
            digest: fields.u64()?,
            payload_bytes,
            mark,
        })
    }

    /// The size of the record with its padding.
    pub(crate) fn record_bytes(&self) -> usize {
        record_bytes(self.payload_bytes)
    }

    /// The payload, from the record's bytes, header and padding included. `None`: the digest is not that of these bytes,
    /// or the padding is not zero.
    pub(crate) fn verify<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let (_, body) = record.split_at_checked(RECORD_HEADER_BYTES)?;
        let (payload, padding) = body.split_at_checked(self.payload_bytes)?;
        let sound = padding.iter().all(|&byte| byte == 0) && xxh3_64(payload) ^ self.mark == self.digest;
        (sound || planted(Defect::BelievesJournalRecords)).then_some(payload)
    }
}

/// Where in its segment, and with what number, the first of some records is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) key: SegmentKey,
    pub(crate) sequence: u64,
    pub(crate) durable_upto: u64,
}

/// Appends one record to `into`, all of it but what depends on its place: its payload's digest stands where that of the
/// record will. The caller has checked the payload's size.
pub(crate) fn encode(into: &mut Vec<u8>, op: &Op<'_>) {
    let payload_bytes = op.payload_bytes();
    let start = into.len();
    let end = start + record_bytes(payload_bytes);
    into.reserve(end - start);
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    header[4] = op.kind();
    into.extend_from_slice(&header);
    op.encode(into);
    let payload_digest = xxh3_64(into.get(start + RECORD_HEADER_BYTES..).unwrap_or_default());
    into.resize(end, 0);
    let header = into.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
    if let Some(header) = header {
        *digest_of(header) = payload_digest.to_le_bytes();
    }
}

/// Gives encoded records their place, one behind the other, and returns the last one's digest; `None` if there are none.
pub(crate) fn seal(mut records: &mut [u8], place: Place) -> Option<u64> {
    let Place {
        mut offset,
        key,
        mut sequence,
        durable_upto,
    } = place;
    let mut last = None;
    while let Some(header) = records.first_chunk_mut::<RECORD_HEADER_BYTES>() {
        let lag = u32::try_from(sequence.saturating_sub(durable_upto)).unwrap_or(LAG_UNKNOWN);
        header[8..16].copy_from_slice(&sequence.to_le_bytes());
        header[16..20].copy_from_slice(&lag.to_le_bytes());
        let covered = header.first_chunk().copied().unwrap_or([0; COVERED_BYTES]);
        let mark = mark(&covered, offset, key);
        header[20..24].copy_from_slice(&(mark as u32).to_le_bytes());
        let digest = u64::from_le_bytes(*digest_of(header)) ^ mark;
        *digest_of(header) = digest.to_le_bytes();
        last = Some(digest);
        let payload_bytes = header.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let bytes = record_bytes(payload_bytes as usize);
        offset += bytes as u64;
        sequence += 1;
        records = records.get_mut(bytes..).unwrap_or_default();
    }
    last
}

fn digest_of(header: &mut [u8; RECORD_HEADER_BYTES]) -> &mut [u8; 8] {
    let Some(digest) = header.last_chunk_mut() else {
        unreachable!("a header is longer than its last field");
    };
    digest
}

/// What the fields of a header, and where it stands, come down to.
fn mark(covered: &[u8; COVERED_BYTES], offset: u64, key: SegmentKey) -> u64 {
    let mut bytes = [0; COVERED_BYTES + 8];
    let (head, tail) = bytes.split_at_mut(COVERED_BYTES);
    head.copy_from_slice(covered);
    tail.copy_from_slice(&offset.to_le_bytes());
    xxh3_64_with_seed(&bytes, key.0)
}
