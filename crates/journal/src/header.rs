//! What a segment begins with: a header of 128 bytes, written before the segment has its name and never again, and an
//! opening of 64, written when its first record is.

#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    Error,
    segment::{self, Fields},
};

pub(crate) const HEADER_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"CPJOURN\n";
const VERSION: u32 = 1;
const ZERO: [u8; 72] = [0; 72];

/// Bound on segment and sequence numbers read from disk, so that counting on from them cannot overflow.
const MAX_NUMBER: u64 = u64::MAX >> 1;

/// Where the digest stands: behind all that it covers.
const DIGEST_OFFSET: usize = 120;

/// Where the opening stands.
pub(crate) const OPENING_OFFSET: usize = HEADER_BYTES;
pub(crate) const OPENING_BYTES: usize = 64;
/// Where the first record stands.
pub(crate) const RECORDS_OFFSET: usize = OPENING_OFFSET + OPENING_BYTES;

const OPENING_ZERO: [u8; 16] = [0; 16];

const _: () = assert!(8 + 4 + 4 + 16 + 2 * 8 + ZERO.len() == DIGEST_OFFSET);
const _: () = assert!(DIGEST_OFFSET + 8 == HEADER_BYTES);
const _: () = assert!(5 * 8 + OPENING_ZERO.len() + 8 == OPENING_BYTES);
// Both are in one sector, so that no power cut tears either.
const _: () = assert!(RECORDS_OFFSET <= 512);

/// A segment's header. The meaning of each field is in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) database_id: u128,
    pub(crate) number: u64,
    pub(crate) salt: u64,
}

/// What a segment is in its journal. The meaning of each field is in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) first_sequence: u64,
    pub(crate) predecessor: u64,
    pub(crate) predecessor_end: u64,
    pub(crate) predecessor_digest: u64,
    pub(crate) durable_upto: u64,
}

/// A header's digest: what seeds every check in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentKey(pub(crate) u64);

impl Header {
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], SegmentKey) {
        let mut covered = Vec::with_capacity(HEADER_BYTES);
        covered.extend_from_slice(&MAGIC);
        covered.extend_from_slice(&VERSION.to_le_bytes());
        covered.extend_from_slice(&[0; 4]);
        covered.extend_from_slice(&self.database_id.to_le_bytes());
        covered.extend_from_slice(&self.number.to_le_bytes());
        covered.extend_from_slice(&self.salt.to_le_bytes());
        covered.extend_from_slice(&ZERO);
        let key = SegmentKey(xxh3_64(&covered));
        covered.extend_from_slice(&key.0.to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&covered);
        (bytes, key)
    }

    /// Reads the header of segment `number` of a database, and refuses any other's.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_BYTES],
        number: u64,
        database_id: u128,
    ) -> Result<(Self, SegmentKey), Error> {
        let corrupt = |offset, what: &str| segment::corrupt(number, offset, None, what);
        let short = || corrupt(0, "the header is too short");
        let mut fields = Fields(bytes);
        if fields.array() != Some(MAGIC) {
            return Err(corrupt(0, "this is no journal segment"));
        }
        let (covered, _) = bytes.split_at_checked(DIGEST_OFFSET).ok_or_else(short)?;
        let key = SegmentKey(xxh3_64(covered));
        let version = fields.u32().ok_or_else(short)?;
        let zero: [u8; 4] = fields.array().ok_or_else(short)?;
        let header = Self {
            database_id: fields.u128().ok_or_else(short)?,
            number: fields.u64().ok_or_else(short)?,
            salt: fields.u64().ok_or_else(short)?,
        };
        let reserved: [u8; ZERO.len()] = fields.array().ok_or_else(short)?;
        if fields.u64() != Some(key.0) {
            return Err(corrupt(0, "the header fails its check"));
        }
        if version != VERSION || zero != [0; 4] || reserved != ZERO {
            return Err(Error::Incompatible {
                file: segment::file_name(number),
                offset: MAGIC.len() as u64,
                what: format!("format version {version}; this version knows {VERSION}"),
            });
        }
        if header.database_id != database_id {
            return Err(corrupt(16, "the segment belongs to another database"));
        }
        if header.number != number {
            return Err(corrupt(
                32,
                &format!("this is segment {} under another's name", header.number),
            ));
        }
        if !(1..=MAX_NUMBER).contains(&number) {
            return Err(corrupt(32, "no journal gets to such numbers"));
        }
        Ok((header, key))
    }
}

impl Opening {
    pub(crate) fn encode(&self, key: SegmentKey) -> [u8; OPENING_BYTES] {
        let mut covered = Vec::with_capacity(OPENING_BYTES);
        covered.extend_from_slice(&self.first_sequence.to_le_bytes());
        covered.extend_from_slice(&self.predecessor.to_le_bytes());
        covered.extend_from_slice(&self.predecessor_end.to_le_bytes());
        covered.extend_from_slice(&self.predecessor_digest.to_le_bytes());
        covered.extend_from_slice(&self.durable_upto.to_le_bytes());
        covered.extend_from_slice(&OPENING_ZERO);
        let digest = xxh3_64_with_seed(&covered, key.0);
        covered.extend_from_slice(&digest.to_le_bytes());
        let mut bytes = [0; OPENING_BYTES];
        bytes.copy_from_slice(&covered);
        bytes
    }

    /// Reads the opening of segment `number`. `None`: none was written, or it did not reach the disk.
    pub(crate) fn decode(bytes: &[u8; OPENING_BYTES], key: SegmentKey, number: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let opening = Self {
            first_sequence: fields.u64()?,
            predecessor: fields.u64()?,
            predecessor_end: fields.u64()?,
            predecessor_digest: fields.u64()?,
            durable_upto: fields.u64()?,
        };
        let reserved: [u8; OPENING_ZERO.len()] = fields.array()?;
        let digest = fields.u64()?;
        let sound = digest == xxh3_64_with_seed(bytes.split_last_chunk::<8>()?.0, key.0)
            && reserved == OPENING_ZERO
            && (1..=MAX_NUMBER).contains(&opening.first_sequence)
            && opening.durable_upto < opening.first_sequence
            && opening.predecessor < number;
        sound.then_some(opening)
    }
}
