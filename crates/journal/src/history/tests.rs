//! What is read back is what was appended, for as long as it is held.

use super::*;
use crate::{
    Journal,
    fixture::{self, TestDisk, append_each, on_both, room_for},
};

/// Bytes of a record with a key of 8 and a value of 8.
const RECORD_BYTES: u64 = 56;

/// All that a history has up to `upto`, read a little at a time.
fn read(journal: &Journal, history: &mut History, upto: u64) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let mut seen = Vec::new();
    while history.position() < upto {
        journal.read_on(history, upto, 1, &mut |sequence, op| match op {
            Op::Put { value, .. } => seen.push((sequence, value.to_vec())),
            other => panic!("{other:?}"),
        })?;
    }
    Ok(seen)
}

fn numbers(seen: &[(u64, Vec<u8>)]) -> Vec<u64> {
    seen.iter().map(|(sequence, _)| *sequence).collect()
}

#[test]
fn reads_from_any_place_across_segments_and_goes_on_with_what_is_appended() {
    on_both(|disk| {
        let journal = fixture::create(&disk, room_for(3, RECORD_BYTES));
        append_each(&journal, &["00000001", "00000002", "00000003", "00000004", "00000005"]);
        for after in 0..=5 {
            let mut history = journal.history(after);
            let seen = read(&journal, &mut history, 5).unwrap();
            assert_eq!(numbers(&seen), (after + 1..=5).collect::<Vec<_>>());
            assert!(
                seen.iter()
                    .all(|(sequence, value)| *value == format!("{sequence:08}").into_bytes())
            );
        }
        let mut history = journal.history(0);
        read(&journal, &mut history, 5).unwrap();
        append_each(&journal, &["00000006", "00000007", "00000008"]);
        assert_eq!(numbers(&read(&journal, &mut history, 7).unwrap()), [6, 7]);
        assert_eq!(numbers(&read(&journal, &mut history, 8).unwrap()), [8]);
    });
}

#[test]
fn what_was_trimmed_is_not_held_and_the_oldest_that_is_is_named() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(2, RECORD_BYTES));
    append_each(&journal, &["00000001", "00000002", "00000003", "00000004", "00000005"]);
    assert_eq!(journal.oldest_held(), 1);
    journal.trim(4).unwrap();
    assert_eq!(journal.oldest_held(), 5);
    let error = read(&journal, &mut journal.history(3), 5).unwrap_err();
    assert!(matches!(error, Error::NotHeld { wanted: 4, oldest: 5 }), "{error}");
    assert_eq!(numbers(&read(&journal, &mut journal.history(4), 5).unwrap()), [5]);
    journal.trim(5).unwrap();
    assert_eq!(journal.oldest_held(), 6);
}

#[test]
fn the_segment_that_is_being_read_is_read_to_its_end_though_it_was_trimmed() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(3, RECORD_BYTES));
    append_each(&journal, &["00000001", "00000002", "00000003", "00000004"]);
    let mut history = journal.history(0);
    assert_eq!(numbers(&read(&journal, &mut history, 1).unwrap()), [1]);
    journal.trim(3).unwrap();
    assert_eq!(numbers(&read(&journal, &mut history, 4).unwrap()), [2, 3, 4]);
}

#[test]
fn reads_what_recovery_found() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(2, RECORD_BYTES));
    append_each(&journal, &["00000001", "00000002", "00000003"]);
    journal.sync().unwrap();
    drop(journal);
    let (journal, _, _) = fixture::open(&disk, 1).unwrap();
    assert_eq!(journal.oldest_held(), 1);
    append_each(&journal, &["00000004"]);
    assert_eq!(
        numbers(&read(&journal, &mut journal.history(0), 4).unwrap()),
        [1, 2, 3, 4]
    );
}

#[test]
fn a_flipped_bit_is_damage_with_its_place() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(2, RECORD_BYTES));
    append_each(&journal, &["00000001", "00000002", "00000003"]);
    let name = file_name(1);
    let mut bytes = disk.read(&name);
    let at = RECORDS_OFFSET + RECORD_BYTES as usize + 50;
    bytes[at] ^= 1;
    disk.put(&name, &bytes);
    let error = read(&journal, &mut journal.history(0), 3).unwrap_err();
    let offset = RECORDS_OFFSET as u64 + RECORD_BYTES;
    assert!(
        matches!(&error, Error::Corrupt { file, offset: place, sequence: Some(2), .. } if *file == name && *place == offset),
        "{error}"
    );
    let mut problems = Vec::new();
    journal.check(&mut |problem| problems.push(problem.to_string()));
    assert_eq!(problems, [error.to_string()]);
}

#[test]
fn nothing_is_held_behind_a_cut_that_the_journal_never_had() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(4, RECORD_BYTES));
    append_each(&journal, &["00000001", "00000002"]);
    journal.sync().unwrap();
    drop(journal);
    let (journal, _, _) = fixture::open(&disk, 7).unwrap();
    assert_eq!(journal.oldest_held(), 8);
    append_each(&journal, &["00000008"]);
    assert_eq!(journal.oldest_held(), 8);
    let error = read(&journal, &mut journal.history(6), 8).unwrap_err();
    assert!(matches!(error, Error::NotHeld { wanted: 7, oldest: 8 }), "{error}");
    assert_eq!(numbers(&read(&journal, &mut journal.history(7), 8).unwrap()), [8]);
    journal.check(&mut |problem| panic!("{problem}"));
}
