//! Reading: across windows, to the limit, and over any bytes at all.

use coppice_disk::{Disk, MemoryDisk};
use proptest::prelude::*;

use super::*;
use crate::{
    MAX_PAYLOAD_BYTES, Op,
    record::{self, Place},
};

const KEY: SegmentKey = SegmentKey(99);

/// A file with room for a header and `records` behind it.
fn file(records: &[u8]) -> Arc<dyn DiskFile> {
    let file = MemoryDisk::new().create("segment").unwrap();
    file.write_all_at(HEADER_BYTES as u64, records).unwrap();
    file
}

fn reader(records: &[u8]) -> SegmentReader {
    SegmentReader::new(file(records), KEY, (HEADER_BYTES + records.len()) as u64)
}

/// Records 1, 2, … with those values.
fn records(values: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chain = KEY.0;
    for (value, sequence) in values.iter().zip(1..) {
        let offset = (HEADER_BYTES + bytes.len()) as u64;
        let place = Place {
            offset,
            chain,
            key: KEY,
            attempt: 0,
        };
        chain = record::encode(&mut bytes, &Op::Delete { tree: 1, key: value }, sequence, 0, place);
    }
    bytes
}

/// The lengths of the keys, up to the end or the first invalid record.
fn lengths(reader: &mut SegmentReader) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Step::Record { payload, .. } = reader.next().unwrap() {
        lengths.push(payload.len() - 4);
    }
    lengths
}

#[test]
fn records_are_read_across_windows() {
    let sizes = [0, 1, 300_000, 7, 2 << 20, 800_000, 5, MAX_PAYLOAD_BYTES - 4, 9];
    let bytes = records(&sizes.map(|size| vec![7; size]));
    let mut reader = reader(&bytes);
    assert_eq!(lengths(&mut reader), sizes);
    assert!(matches!(reader.next().unwrap(), Step::End));
    assert_eq!(reader.position(), (HEADER_BYTES + bytes.len()) as u64);
    let kept = reader.window.buffer.capacity() as u64;
    assert!(kept <= CHUNK_BYTES, "{kept} bytes are kept behind the longest record");
}

#[test]
fn nothing_is_read_beyond_the_limit() {
    let bytes = records(&[vec![1; 20], vec![2; 20]]);
    let limit = (HEADER_BYTES + bytes.len() / 2) as u64;
    let mut within = SegmentReader::new(file(&bytes), KEY, limit);
    assert_eq!(lengths(&mut within), [20]);
    assert!(matches!(within.next().unwrap(), Step::End));
    let mut inside = SegmentReader::new(file(&bytes), KEY, limit + 8);
    assert_eq!(lengths(&mut inside), [20]);
    assert!(matches!(inside.next().unwrap(), Step::Invalid(_)));
}

#[test]
fn a_claimed_length_beyond_the_file_allocates_nothing() {
    let bytes = records(&[vec![0; 16 << 20]]);
    let mut reader = reader(&bytes[..64]);
    assert!(matches!(reader.next().unwrap(), Step::Invalid(_)));
    assert!(reader.window.buffer.capacity() <= 64);
}

#[test]
fn a_reader_stays_before_what_is_invalid() {
    let mut bytes = records(&[vec![1; 20], vec![2; 20]]);
    let second = bytes.len() / 2;
    bytes[second + 40] ^= 1;
    let mut reader = reader(&bytes);
    assert_eq!(lengths(&mut reader), [20]);
    assert!(matches!(reader.next().unwrap(), Step::Invalid(_)));
    assert_eq!(reader.position(), (HEADER_BYTES + second) as u64);
}

#[test]
fn looking_behind_finds_the_first_record() {
    let mut bytes = records(&[vec![1; 20], vec![2; 20], vec![3; 20]]);
    bytes[4] ^= 1;
    let mut reader = reader(&bytes);
    assert!(matches!(reader.next().unwrap(), Step::Invalid(_)));
    let behind = reader.look_behind(1).unwrap();
    assert_eq!(
        behind,
        Behind {
            first: Some(2),
            witness: None
        }
    );
}

#[test]
fn looking_behind_passes_over_what_cannot_have_got_there() {
    let mut bytes = records(&[vec![1; 20], vec![2; 20]]);
    bytes[4] ^= 1;
    let mut reader = reader(&bytes);
    assert_eq!(reader.look_behind(2).unwrap().first, None, "a number that came before");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(mut bytes: Vec<u8>, sound in 0_usize..4) {
        let mut all = records(&vec![vec![5; 11]; sound]);
        all.append(&mut bytes);
        let mut reader = reader(&all);
        prop_assert_eq!(lengths(&mut reader), vec![11; sound]);
        prop_assert_eq!(reader.look_behind(sound as u64 + 1).unwrap(), Behind::default());
    }
}
