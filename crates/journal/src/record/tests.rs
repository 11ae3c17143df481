//! Records: round trips, flips, and sound records in the wrong place.

use proptest::prelude::*;

use super::*;

const KEY: SegmentKey = SegmentKey(0x0123_4567_89ab_cdef);
const PLACE: Place = Place {
    offset: 128,
    chain: 77,
    key: KEY,
    attempt: 0,
};

fn record(value: &[u8], place: Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = Op::Put {
        tree: 1,
        key: b"key",
        value,
    };
    encode(&mut bytes, &put, 42, 40, place);
    bytes
}

/// The payload, when everything about the record is right.
fn read(bytes: &[u8], offset: u64, chain: u64, key: SegmentKey) -> Option<&[u8]> {
    let header = RecordHeader::parse(bytes.first_chunk()?, offset, key)?;
    let (payload, _) = header.verify(bytes.get(..header.record_bytes())?, chain, key)?;
    Some(payload)
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(value: Vec<u8>, sequence in 1_u64.., lag: u32, attempt: u16, offset: u64, chain: u64) {
        let put = Op::Put { tree: 1, key: b"key", value: &value };
        let mut bytes = b"before".to_vec();
        let durable_upto = sequence.saturating_sub(u64::from(lag));
        let place = Place { offset, chain, key: KEY, attempt };
        let digest = encode(&mut bytes, &put, sequence, durable_upto, place);
        let bytes = &bytes[6..];
        prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
        let header = RecordHeader::parse(bytes.first_chunk().unwrap(), offset, KEY).unwrap();
        prop_assert_eq!(header.record_bytes(), bytes.len());
        prop_assert_eq!((header.kind, header.sequence), (put.kind(), sequence));
        prop_assert!(header.durable_upto.is_none_or(|told| told == durable_upto));
        let (payload, read_digest) = header.verify(bytes, chain, KEY).unwrap();
        prop_assert_eq!(read_digest, digest);
        prop_assert_eq!(Op::decode(header.kind, payload), Ok(put));
    }
}

#[test]
fn fields_stand_where_the_documentation_says() {
    let bytes = record(
        b"value",
        Place {
            attempt: 0x0102,
            ..PLACE
        },
    );
    assert_eq!(bytes[..4], 16_u32.to_le_bytes());
    assert_eq!(bytes[4..8], [1, 0, 2, 1]);
    assert_eq!(bytes[8..16], 42_u64.to_le_bytes());
    assert_eq!(bytes[16..20], 2_u32.to_le_bytes());
    let key = |bytes: &[u8], seed| xxh3_64_with_seed(bytes, seed);
    let check = key(&[&bytes[..20], &128_u64.to_le_bytes()].concat(), KEY.0);
    assert_eq!(bytes[20..24], check.to_le_bytes()[..4]);
    let digest = key(
        &bytes[32..48],
        key(&[&77_u64.to_le_bytes(), &bytes[..20]].concat(), KEY.0),
    );
    assert_eq!(bytes[24..32], digest.to_le_bytes());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = record(b"odd length", PLACE);
    assert!(read(&bytes, 128, 77, KEY).is_some());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped, 128, 77, KEY).is_none(), "bit {bit}");
    }
}

#[test]
fn zeros_are_no_record() {
    assert!(RecordHeader::parse(&[0; RECORD_HEADER_BYTES], 128, KEY).is_none());
}

#[test]
fn a_record_counts_only_in_its_place() {
    let bytes = record(b"value", PLACE);
    assert!(read(&bytes, 136, 77, KEY).is_none(), "moved");
    assert!(read(&bytes, 128, 78, KEY).is_none(), "behind another record");
    assert!(
        read(&bytes, 128, 77, SegmentKey(KEY.0 + 1)).is_none(),
        "of another segment"
    );
}

#[test]
fn the_attempt_changes_the_digest() {
    let first = record(b"value", PLACE);
    let second = record(b"value", Place { attempt: 1, ..PLACE });
    assert_ne!(first[24..32], second[24..32]);
}

#[test]
fn a_length_beyond_the_limit_is_no_header() {
    let mut covered = [0; COVERED_BYTES];
    covered[..4].copy_from_slice(&(MAX_PAYLOAD_BYTES as u32 + 1).to_le_bytes());
    covered[4] = 1;
    covered[8] = 1;
    let mut bytes = [0; RECORD_HEADER_BYTES];
    bytes[..COVERED_BYTES].copy_from_slice(&covered);
    bytes[COVERED_BYTES..24].copy_from_slice(&header_check(&covered, 128, KEY).to_le_bytes());
    assert!(RecordHeader::parse(&bytes, 128, KEY).is_none());
}

#[test]
fn a_lag_that_does_not_fit_claims_nothing() {
    let mut bytes = Vec::new();
    let delete = Op::Delete { tree: 1, key: b"" };
    encode(&mut bytes, &delete, u64::from(u32::MAX) + 10, 3, PLACE);
    let header = RecordHeader::parse(bytes.first_chunk().unwrap(), 128, KEY).unwrap();
    assert_eq!(header.durable_upto, None);
}

/// Appends a sound record of any kind with any payload, for tests of what reads them.
pub(crate) fn encode_raw(into: &mut Vec<u8>, kind: u8, payload: &[u8], sequence: u64, place: Place) {
    let mut covered = [0; COVERED_BYTES];
    covered[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    covered[4] = kind;
    covered[8..16].copy_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&covered);
    into.extend_from_slice(&header_check(&covered, place.offset, place.key).to_le_bytes());
    into.extend_from_slice(&digest(&covered, payload, place.chain, place.key).to_le_bytes());
    into.extend_from_slice(payload);
    into.resize(into.len().next_multiple_of(ALIGNMENT), 0);
}
