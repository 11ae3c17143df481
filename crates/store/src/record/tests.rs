use super::*;
use crate::BlobInfo;

const SEED: u64 = 5;

fn entry(start: u32) -> MapEntry {
    let info = BlobInfo {
        bytes: 100,
        kind: 1,
        records: 2,
        live: 3,
        further_references: 0,
    };
    MapEntry::new(start, info, 4).unwrap()
}

fn delta(deletes: &[BlobId]) -> (Vec<u8>, u64) {
    let record = Record {
        kind: RecordKind::Delta,
        cut: 77,
        next_tree: 6,
        writes: [(8, entry(1)), (9, entry(2))].into_iter(),
        deletes,
    };
    let mut bytes = Vec::new();
    let own = record.encode(&mut bytes, SEED, 99);
    (bytes, own)
}

fn header_of(bytes: &[u8], seed: u64) -> Option<RecordHeader> {
    RecordHeader::decode(bytes[..RECORD_HEADER_BYTES].try_into().unwrap(), seed)
}

#[test]
fn the_layout_is_what_the_module_says() {
    let (bytes, own) = delta(&[3]);
    assert_eq!(bytes.len(), 64 + 2 * 32 + 8);
    assert_eq!(&bytes[0..4], b"CopR");
    assert_eq!(bytes[4..8], 2_u32.to_le_bytes());
    assert_eq!(bytes[8..16], 88_u64.to_le_bytes());
    assert_eq!(bytes[16..24], 77_u64.to_le_bytes());
    assert_eq!(bytes[24..32], 99_u64.to_le_bytes());
    assert_eq!(bytes[32..40], seeded(&bytes[48..], SEED).to_le_bytes());
    assert_eq!(bytes[40..48], own.to_le_bytes());
    assert_eq!(bytes[48..52], 6_u32.to_le_bytes());
    assert_eq!(bytes[52..56], 2_u32.to_le_bytes());
    assert_eq!(bytes[56..64], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[64..96], entry(1).encode(8));
    assert_eq!(bytes[128..136], [3, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_header_comes_back_in_its_place_only() {
    let (bytes, own) = delta(&[]);
    let header = header_of(&bytes, SEED).unwrap();
    assert_eq!(
        (header.kind, header.cut, header.chain, header.own),
        (RecordKind::Delta, 77, 99, own)
    );
    assert_eq!(header.payload_bytes as usize, bytes.len() - RECORD_HEADER_BYTES);
    assert_eq!(header_of(&bytes, SEED + 1), None);
}

#[test]
fn every_flipped_bit_of_a_header_is_seen() {
    let (bytes, _) = delta(&[]);
    for bit in 0..RECORD_HEADER_BYTES * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(header_of(&damaged, SEED), None, "bit {bit}");
    }
}

#[test]
fn zeros_are_no_record() {
    assert_eq!(header_of(&[0; RECORD_HEADER_BYTES], 0), None);
    assert_eq!(header_of(&[0; RECORD_HEADER_BYTES], SEED), None);
}

#[test]
fn counts_must_add_up_to_the_length() {
    let prefix = |writes: u32, deletes: u32, zero: u32| {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[4..8].copy_from_slice(&writes.to_le_bytes());
        bytes[8..12].copy_from_slice(&deletes.to_le_bytes());
        bytes[12..16].copy_from_slice(&zero.to_le_bytes());
        bytes
    };
    assert!(Prefix::decode(prefix(2, 1, 0), 88).is_some());
    assert!(Prefix::decode(prefix(2, 2, 0), 88).is_some());
    assert!(Prefix::decode(prefix(2, 3, 0), 88).is_none());
    assert!(Prefix::decode(prefix(3, 1, 0), 88).is_none());
    assert!(Prefix::decode(prefix(2, 1, 1), 88).is_none());
    assert!(Prefix::decode(prefix(u32::MAX, u32::MAX, 0), 88).is_none());
}
