//! Damage to what was on disk: refused, located, and left as it is.

use super::*;
use crate::{
    Error, Op,
    fixture::{DATABASE, is_corrupt, open, sequences},
    header::{Header, OPENING_OFFSET, Opening},
    record::{self, Place},
};

/// Records 1..=3 synced, and record 4 behind them, which says so.
fn synced_then_one_more() -> TestDisk {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 4096);
    append_each(&journal, &["12345678"; 3]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    disk
}

#[test]
fn a_flip_in_what_was_synced_is_corruption() {
    let disk = synced_then_one_more();
    let sound = disk.read(FIRST);
    for at in RECORDS_OFFSET..RECORDS_OFFSET + 3 * RECORD {
        for bit in [0, 7] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            disk.put(FIRST, &bytes);
            let record = (at - RECORDS_OFFSET) / RECORD;
            let Error::Corrupt {
                file, offset, sequence, ..
            } = open(&disk, 0).unwrap_err()
            else {
                panic!("byte {at}");
            };
            assert_eq!(file, FIRST);
            assert_eq!(offset, (RECORDS_OFFSET + record * RECORD) as u64, "byte {at}");
            assert_eq!(sequence, Some(record as u64 + 1), "byte {at}");
            assert_eq!(disk.read(FIRST), bytes, "nothing is changed");
        }
    }
}

#[test]
fn a_flip_in_what_was_never_synced_ends_the_replay_there_and_is_reported() {
    let disk = journal_of(4);
    let sound = disk.read(FIRST);
    for at in RECORDS_OFFSET..RECORDS_OFFSET + 3 * RECORD {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        disk.put(FIRST, &bytes);
        let record = ((at - RECORDS_OFFSET) / RECORD) as u64;
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
fn a_flip_in_a_segment_that_a_later_one_vouches_for_is_corruption() {
    let disk = segments_of_one(3);
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
    let disk = segments_of_one(2);
    let sound = disk.read(FIRST);
    for len in 0..sound.len() {
        disk.put(FIRST, &sound[..len]);
        assert!(is_corrupt(&open(&disk, 0).unwrap_err()), "{len}");
    }
}

#[test]
fn an_opening_that_was_synced_and_is_damaged_is_corruption() {
    // Records 1 and 2 in a segment each; the second one synced, and a record behind it that says so.
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(3, RECORD as u64));
    append_each(&journal, &["12345678"; 4]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    let sound = disk.read(SECOND);
    for at in OPENING_OFFSET..RECORDS_OFFSET {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x80;
        disk.put(SECOND, &bytes);
        let error = open(&disk, 0).unwrap_err();
        assert!(is_corrupt(&error), "{at}");
        assert!(error.to_string().contains("of segment 2 says"), "{error}");
    }
}

#[test]
fn a_header_cut_short_is_corruption() {
    let disk = journal_of(1);
    let sound = disk.read(FIRST);
    for len in 0..RECORDS_OFFSET {
        disk.put(FIRST, &sound[..len]);
        assert!(is_corrupt(&open(&disk, 0).unwrap_err()), "{len}");
    }
}

/// A journal whose only record is made by hand.
fn with_record(kind_and_payload: impl FnOnce(&mut Vec<u8>, Place)) -> TestDisk {
    let disk = TestDisk::default();
    let (header, key) = Header {
        database_id: DATABASE,
        number: 1,
        salt: 5,
    }
    .encode();
    let opening = Opening {
        first_sequence: 1,
        predecessor: 0,
        predecessor_end: 0,
        predecessor_digest: 0,
        durable_upto: 0,
    };
    let mut bytes = Vec::new();
    let place = Place {
        offset: RECORDS_OFFSET as u64,
        key,
        sequence: 1,
        durable_upto: 0,
    };
    kind_and_payload(&mut bytes, place);
    disk.put(FIRST, &[&header[..], &opening.encode(key), &bytes].concat());
    disk
}

#[test]
fn a_sound_record_with_the_wrong_number_is_corruption() {
    let delete = Op::Delete { tree: 1, key: b"" };
    let disk = with_record(|bytes, place| {
        record::encode(bytes, &delete);
        record::seal(bytes, Place { sequence: 2, ..place });
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
    let disk = with_record(|bytes, place| record::tests::encode_raw(bytes, 200, b"what", place));
    let error = open(&disk, 0).unwrap_err();
    assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    assert!(open(&disk, 1).is_ok(), "what the cut covers need not be understood");
}

#[test]
fn a_sound_record_with_a_malformed_payload_is_corruption() {
    let disk = with_record(|bytes, place| record::tests::encode_raw(bytes, 1, b"\x01\0\0\0\xff\xff\xff\xff", place));
    assert!(is_corrupt(&open(&disk, 0).unwrap_err()));
}
