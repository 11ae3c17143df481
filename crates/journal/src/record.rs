//! The frame around a payload: 32 bytes that are checked by themselves, and a digest that chains.

#[cfg(test)]
pub(crate) mod tests;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{header::SegmentKey, op::Op, segment::Fields};

/// Longest payload of one record, bytes: that of the largest batch. Recovery holds one record in memory at a time.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// What the header check and the digest cover of the header.
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
    payload_bytes: usize,
    covered: [u8; COVERED_BYTES],
    digest: u64,
}

impl RecordHeader {
    /// Reads the header at `offset` in its segment. `None`: nothing that was written there.
    pub(crate) fn parse(bytes: &[u8; RECORD_HEADER_BYTES], offset: u64, key: SegmentKey) -> Option<Self> {
        let covered = *bytes.first_chunk::<COVERED_BYTES>()?;
        let mut fields = Fields(bytes);
        let payload_bytes = fields.u32()? as usize;
        let [kind, zero, _, _] = fields.array()?;
        let sequence = fields.u64()?;
        let lag = fields.u32()?;
        // First what costs nothing: this runs on every eighth byte of a torn tail.
        if payload_bytes > MAX_PAYLOAD_BYTES || kind == 0 || zero != 0 || sequence == 0 {
            return None;
        }
        if fields.u32()? != header_check(&covered, offset, key) {
            return None;
        }
        Some(Self {
            kind,
            sequence,
            durable_upto: (lag != LAG_UNKNOWN)
                .then(|| sequence.checked_sub(u64::from(lag)))
                .flatten(),
            payload_bytes,
            covered,
            digest: fields.u64()?,
        })
    }

    /// The size of the record with its padding.
    pub(crate) fn record_bytes(&self) -> usize {
        record_bytes(self.payload_bytes)
    }

    /// The payload and the record's digest, from the record's bytes, header and padding included, and the digest of the
    /// record before it. `None`: the digest is not that of these bytes, or the padding is not zero.
    pub(crate) fn verify<'a>(&self, record: &'a [u8], chain: u64, key: SegmentKey) -> Option<(&'a [u8], u64)> {
        let (_, body) = record.split_at_checked(RECORD_HEADER_BYTES)?;
        let (payload, padding) = body.split_at_checked(self.payload_bytes)?;
        let sound = padding.iter().all(|&byte| byte == 0) && digest(&self.covered, payload, chain, key) == self.digest;
        sound.then_some((payload, self.digest))
    }
}

/// Where in its segment, and behind what, a record is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) chain: u64,
    pub(crate) key: SegmentKey,
    pub(crate) attempt: u16,
}

/// Appends one record to `into` and returns its digest. The caller has checked the payload's size.
pub(crate) fn encode(into: &mut Vec<u8>, op: &Op<'_>, sequence: u64, durable_upto: u64, place: Place) -> u64 {
    let lag = u32::try_from(sequence.saturating_sub(durable_upto)).unwrap_or(LAG_UNKNOWN);
    let payload_bytes = op.payload_bytes();
    let start = into.len();
    into.extend_from_slice(&(payload_bytes as u32).to_le_bytes());
    into.extend_from_slice(&[op.kind(), 0]);
    into.extend_from_slice(&place.attempt.to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&lag.to_le_bytes());
    let covered: [u8; COVERED_BYTES] = into.last_chunk().copied().unwrap_or_default();
    into.extend_from_slice(&header_check(&covered, place.offset, place.key).to_le_bytes());
    // The digest's place, until the payload stands behind it in one piece.
    into.extend_from_slice(&[0; 8]);
    op.encode(into);
    let payload = into.get(start + RECORD_HEADER_BYTES..).unwrap_or_default();
    let digest = digest(&covered, payload, place.chain, place.key);
    if let Some(to) = into.get_mut(start + RECORD_HEADER_BYTES - 8..start + RECORD_HEADER_BYTES) {
        to.copy_from_slice(&digest.to_le_bytes());
    }
    into.resize(start + record_bytes(payload_bytes), 0);
    digest
}

fn header_check(covered: &[u8; COVERED_BYTES], offset: u64, key: SegmentKey) -> u32 {
    let mut bytes = [0; COVERED_BYTES + 8];
    let (head, tail) = bytes.split_at_mut(COVERED_BYTES);
    head.copy_from_slice(covered);
    tail.copy_from_slice(&offset.to_le_bytes());
    xxh3_64_with_seed(&bytes, key.0) as u32
}

fn digest(covered: &[u8; COVERED_BYTES], payload: &[u8], chain: u64, key: SegmentKey) -> u64 {
    let mut bytes = [0; 8 + COVERED_BYTES];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&chain.to_le_bytes());
    tail.copy_from_slice(covered);
    xxh3_64_with_seed(payload, xxh3_64_with_seed(&bytes, key.0))
}
