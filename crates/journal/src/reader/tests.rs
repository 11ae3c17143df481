//! Reading: across windows, to the limit, and over any bytes at all.

use coppice_disk::{Disk, MemoryDisk};
use proptest::prelude::*;

use super::*;
use crate::{
    MAX_PAYLOAD_BYTES, Op,
    record::{self, Place},
};

const KEY: SegmentKey = SegmentKey(99);

/// A file with room for a header and an opening, and `records` behind them.
fn file(records: &[u8]) -> Arc<dyn DiskFile> {
    let file = MemoryDisk::new().create("segment").unwrap();
    file.write_all_at(RECORDS_OFFSET as u64, records).unwrap();
    file
}

fn reader(records: &[u8]) -> SegmentReader {
    SegmentReader::new(file(records), KEY, (RECORDS_OFFSET + records.len()) as u64)
}

/// Records 1, 2, … with those values.
fn records(values: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        record::encode(&mut bytes, &Op::Delete { tree: 1, key: value });
    }
    let place = Place {
        offset: RECORDS_OFFSET as u64,
        key: KEY,
        sequence: 1,
        durable_upto: 0,
    };
    record::seal(&mut bytes, place);
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
    assert_eq!(reader.position(), (RECORDS_OFFSET + bytes.len()) as u64);
    let kept = reader.window.buffer.capacity() as u64;
    assert!(kept <= CHUNK_BYTES, "{kept} bytes are kept behind the longest record");
}

#[test]
fn nothing_is_read_beyond_the_limit() {
    let bytes = records(&[vec![1; 20], vec![2; 20]]);
    let limit = (RECORDS_OFFSET + bytes.len() / 2) as u64;
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
    assert_eq!(reader.position(), (RECORDS_OFFSET + second) as u64);
}

#[test]
fn looking_behind_finds_the_first_record() {
    let mut bytes = records(&[vec![1; 20], vec![2; 20], vec![3; 20]]);
    bytes[4] ^= 1;
    let mut reader = reader(&bytes);
    assert!(matches!(reader.next().unwrap(), Step::Invalid(_)));
    let behind = reader.look_behind(1, 99).unwrap();
    assert_eq!((behind.any, behind.first, behind.witness), (true, Some(2), None));
}

#[test]
fn looking_behind_passes_over_what_cannot_have_got_there() {
    let mut bytes = records(&[vec![1; 20], vec![2; 20]]);
    bytes[4] ^= 1;
    let mut reader = reader(&bytes);
    assert_eq!(
        reader.look_behind(2, 99).unwrap().first,
        None,
        "a number that came before"
    );
    assert_eq!(reader.look_behind(0, 1).unwrap().first, None, "a number too far away");
}

#[test]
fn room_that_was_never_used_is_told_from_what_was() {
    for len in [0, 1, 8, 100, 3 << 20] {
        let mut zeros = vec![0; len];
        assert!(!reader(&zeros).look_behind(1, 99).unwrap().any, "{len}");
        if let Some(last) = zeros.last_mut() {
            *last = 1;
            assert!(reader(&zeros).look_behind(1, 99).unwrap().any, "{len}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(mut bytes: Vec<u8>, sound in 0_usize..4) {
        let mut all = records(&vec![vec![5; 11]; sound]);
        let any = bytes.iter().any(|&byte| byte != 0);
        all.append(&mut bytes);
        let mut reader = reader(&all);
        prop_assert_eq!(lengths(&mut reader), vec![11; sound]);
        let behind = reader.look_behind(sound as u64 + 1, u64::MAX).unwrap();
        prop_assert_eq!(behind, Behind { any, first: None, witness: None });
    }
}
