//! Records: round trips, flips, and sound records in the wrong place.

use proptest::prelude::*;

use super::*;

const KEY: SegmentKey = SegmentKey(0x0123_4567_89ab_cdef);
const PLACE: Place = Place {
    offset: 192,
    key: KEY,
    sequence: 42,
    durable_upto: 40,
};

fn record(value: &[u8], place: Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = Op::Put {
        tree: 1,
        key: b"key",
        value,
    };
    encode(&mut bytes, &put);
    seal(&mut bytes, place);
    bytes
}

/// The payload, when everything about the record is right.
fn read(bytes: &[u8], offset: u64, key: SegmentKey) -> Option<&[u8]> {
    let header = RecordHeader::parse(bytes.first_chunk()?, offset, key)?;
    header.verify(bytes.get(..header.record_bytes())?)
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(values: Vec<Vec<u8>>, sequence in 1..u64::MAX / 2, lag: u32, offset in 0..u64::MAX / 2) {
        let put = |value| Op::Put { tree: 1, key: b"key", value };
        let mut bytes = Vec::new();
        for value in &values {
            encode(&mut bytes, &put(value));
        }
        let durable_upto = sequence.saturating_sub(u64::from(lag));
        let last = seal(&mut bytes, Place { offset, key: KEY, sequence, durable_upto });
        let (mut rest, mut digest) = (bytes.as_slice(), None);
        for (value, sequence) in values.iter().zip(sequence..) {
            let at = offset + (bytes.len() - rest.len()) as u64;
            let header = RecordHeader::parse(rest.first_chunk().unwrap(), at, KEY).unwrap();
            prop_assert_eq!(header.record_bytes() % ALIGNMENT, 0);
            prop_assert_eq!((header.kind, header.sequence), (put(value).kind(), sequence));
            prop_assert!(header.durable_upto.is_none_or(|told| told == durable_upto));
            let (record, behind) = rest.split_at(header.record_bytes());
            prop_assert_eq!(Op::decode(header.kind, header.verify(record).unwrap()), Ok(put(value)));
            (rest, digest) = (behind, Some(header.digest));
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(digest, last);
    }
}

#[test]
fn fields_stand_where_the_documentation_says() {
    let bytes = record(b"value", PLACE);
    assert_eq!(bytes[..4], 16_u32.to_le_bytes());
    assert_eq!(bytes[4..8], [1, 0, 0, 0]);
    assert_eq!(bytes[8..16], 42_u64.to_le_bytes());
    assert_eq!(bytes[16..20], 2_u32.to_le_bytes());
    let mark = xxh3_64_with_seed(&[&bytes[..20], &192_u64.to_le_bytes()].concat(), KEY.0);
    assert_eq!(bytes[20..24], mark.to_le_bytes()[..4]);
    assert_eq!(bytes[24..32], (xxh3_64(&bytes[32..48]) ^ mark).to_le_bytes());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = record(b"odd length", PLACE);
    assert!(read(&bytes, 192, KEY).is_some());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped, 192, KEY).is_none(), "bit {bit}");
    }
}

#[test]
fn a_header_and_a_payload_of_two_records_make_none() {
    let (one, other) = (record(b"one", PLACE), record(b"two", PLACE));
    let later = record(b"two", Place { sequence: 43, ..PLACE });
    assert!(read(&[&one[..32], &other[32..]].concat(), 192, KEY).is_none());
    assert!(read(&[&one[..32], &later[32..]].concat(), 192, KEY).is_none());
    assert!(read(&[&later[..24], &one[24..]].concat(), 192, KEY).is_none());
}

#[test]
fn zeros_are_no_record() {
    assert!(RecordHeader::parse(&[0; RECORD_HEADER_BYTES], 192, KEY).is_none());
}

#[test]
fn a_record_counts_only_in_its_place() {
    let bytes = record(b"value", PLACE);
    assert!(read(&bytes, 200, KEY).is_none(), "moved");
    assert!(read(&bytes, 192, SegmentKey(KEY.0 + 1)).is_none(), "of another segment");
}

#[test]
fn a_length_beyond_the_limit_is_no_header() {
    let mut covered = [0; COVERED_BYTES];
    covered[..4].copy_from_slice(&(MAX_PAYLOAD_BYTES as u32 + 1).to_le_bytes());
    covered[4] = 1;
    covered[8] = 1;
    let mut bytes = [0; RECORD_HEADER_BYTES];
    bytes[..COVERED_BYTES].copy_from_slice(&covered);
    bytes[COVERED_BYTES..24].copy_from_slice(&(mark(&covered, 192, KEY) as u32).to_le_bytes());
    assert!(RecordHeader::parse(&bytes, 192, KEY).is_none());
}

#[test]
fn a_lag_that_does_not_fit_claims_nothing() {
    let place = Place {
        sequence: u64::from(u32::MAX) + 10,
        durable_upto: 3,
        ..PLACE
    };
    let header = RecordHeader::parse(record(b"", place).first_chunk().unwrap(), 192, KEY).unwrap();
    assert_eq!(header.durable_upto, None);
}

/// Appends a sound record of any kind with any payload, for tests of what reads them.
pub(crate) fn encode_raw(into: &mut Vec<u8>, kind: u8, payload: &[u8], place: Place) {
    let start = into.len();
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4] = kind;
    header[24..].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    into.extend_from_slice(&header);
    into.extend_from_slice(payload);
    into.resize(into.len().next_multiple_of(ALIGNMENT), 0);
    seal(&mut into[start..], place);
}
