//! Damage to what was on disk: refused, located, and left as it is.

use super::*;
use crate::{
    Error, Op,
    fixture::{DATABASE, is_corrupt, open, sequences},
    header::{HEADER_BYTES, Header},
    record::{self, Place},
};

/// Records 1..=3 synced, and record 4 behind them, which says so.
fn synced_then_one_more() -> TestDisk {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["12345678"; 3]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    disk
}

#[test]
fn a_flip_in_what_was_synced_is_corruption() {
    let disk = synced_then_one_more();
    let sound = disk.read(FIRST);
    for at in HEADER_BYTES..HEADER_BYTES + 3 * RECORD {
        for bit in [0, 7] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            disk.put(FIRST, &bytes);
            let record = (at - HEADER_BYTES) / RECORD;
            let Error::Corrupt {
                file, offset, sequence, ..
            } = open(&disk, 0).unwrap_err()
            else {
                panic!("byte {at}");
            };
            assert_eq!(file, FIRST);
            assert_eq!(offset, (HEADER_BYTES + record * RECORD) as u64, "byte {at}");
            assert_eq!(sequence, Some(record as u64 + 1), "byte {at}");
            assert_eq!(disk.read(FIRST), bytes, "nothing is changed");
        }
    }
}

#[test]
fn a_flip_in_what_was_never_synced_ends_the_replay_there_and_is_reported() {
    let disk = journal_of(4);
    let sound = disk.read(FIRST);
    for at in HEADER_BYTES..HEADER_BYTES + 3 * RECORD {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        disk.put(FIRST, &bytes);
        let record = ((at - HEADER_BYTES) / RECORD) as u64;
        let (_, recovered, seen) = open(&disk, 0).unwrap();
        assert_eq!(sequences(&seen), (1..=record).collect::<Vec<_>>(), "byte {at}");
        assert_eq!(
            recovered.torn_tail.unwrap().lost_sequence,
            Some(record + 2),
            "byte {at}"
        );
    }
}

#[test]
fn a_flip_in_a_segment_that_has_a_successor_is_corruption() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 200);
    append_each(&journal, &["12345678"; 3]);
    assert_eq!(journal.stats().segments, 3);
    for name in [FIRST, SECOND] {
        let sound = disk.read(name);
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            disk.put(name, &bytes);
            assert!(is_corrupt(&open(&disk, 0).unwrap_err()), "{name} {at}");
        }
        disk.put(name, &sound);
    }
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3]);
}

#[test]
fn a_segment_cut_short_is_corruption_when_it_has_a_successor() {
    let disk = TestDisk::default();
    append_each(&fixture::create(&disk, 200), &["12345678"; 2]);
    let sound = disk.read(FIRST);
    for len in 0..sound.len() {
        disk.put(FIRST, &sound[..len]);
        assert!(is_corrupt(&open(&disk, 0).unwrap_err()), "{len}");
    }
}

#[test]
fn a_header_cut_short_is_corruption() {
    let disk = journal_of(1);
    let sound = disk.read(FIRST);
    for len in 0..HEADER_BYTES {
        disk.put(FIRST, &sound[..len]);
        assert!(is_corrupt(&open(&disk, 0).unwrap_err()), "{len}");
    }
}

/// A journal whose only record is made by hand.
fn with_record(kind_and_payload: impl FnOnce(&mut Vec<u8>, Place)) -> TestDisk {
    let disk = TestDisk::default();
    let header = Header {
        database_id: DATABASE,
        number: 1,
        salt: 5,
        first_sequence: 1,
        predecessor_end: 0,
        predecessor_chain: 0,
    };
    let (header, key) = header.encode();
    let mut bytes = Vec::new();
    let place = Place {
        offset: HEADER_BYTES as u64,
        chain: key.0,
        key,
        attempt: 0,
    };
    kind_and_payload(&mut bytes, place);
    disk.put(FIRST, &[&header[..], &bytes].concat());
    disk
}

#[test]
fn a_sound_record_with_the_wrong_number_is_corruption() {
    let delete = Op::Delete { tree: 1, key: b"" };
    let disk = with_record(|bytes, place| {
        record::encode(bytes, &delete, 2, 0, place);
    });
    let error = open(&disk, 0).unwrap_err();
    assert!(is_corrupt(&error), "{error}");
    assert!(
        error.to_string().contains("record 2 stands in the place of record 1"),
        "{error}"
    );
}

#[test]
fn a_sound_record_of_an_unknown_kind_is_a_newer_format() {
    let disk = with_record(|bytes, place| record::tests::encode_raw(bytes, 200, b"what", 1, place));
    let error = open(&disk, 0).unwrap_err();
    assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    assert!(open(&disk, 1).is_ok(), "what the cut covers need not be understood");
}

#[test]
fn a_sound_record_with_a_malformed_payload_is_corruption() {
    let disk = with_record(|bytes, place| record::tests::encode_raw(bytes, 1, b"\x01\0\0\0\xff\xff\xff\xff", 1, place));
    assert!(is_corrupt(&open(&disk, 0).unwrap_err()));
}
