//! Tails: torn at every byte, zeros, garbage, old contents, and what comes after them.

use proptest::prelude::*;

use super::*;
use crate::{
    TornTail,
    fixture::{open, sequences},
};

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_record_only() {
    let disk = journal_of(3);
    let whole = disk.read(FIRST);
    let end_of_second = RECORDS_OFFSET + 2 * RECORD;
    for len in end_of_second..whole.len() {
        disk.put(FIRST, &whole[..len]);
        let (_, recovered, seen) = open(&disk, 0).unwrap();
        let whole_again = len >= RECORDS_OFFSET + 3 * RECORD;
        assert_eq!(sequences(&seen).len(), 2 + usize::from(whole_again), "{len}");
        let torn = TornTail {
            file: FIRST.to_owned(),
            offset: end_of_second as u64,
            lost_sequence: None,
        };
        assert_eq!(
            recovered.torn_tail,
            (len > end_of_second && !whole_again).then_some(torn),
            "{len}"
        );
    }
}

#[test]
fn an_untouched_tail_is_not_torn() {
    let (_, recovered, seen) = open(&journal_of(3), 0).unwrap();
    assert_eq!(recovered.torn_tail, None);
    assert_eq!((recovered.records, recovered.last_sequence), (3, 3));
    assert_eq!(recovered.bytes, 3 * RECORD as u64);
    assert_eq!(seen[1], (2, 2_u64.to_be_bytes().to_vec(), b"12345678".to_vec()));
}

#[test]
fn zeros_behind_the_end_are_room_not_used() {
    let disk = journal_of(2);
    let mut bytes = disk.read(FIRST);
    bytes.resize(bytes.len() + 100_003, 0);
    disk.put(FIRST, &bytes);
    let (_, recovered, seen) = open(&disk, 0).unwrap();
    assert_eq!(sequences(&seen), [1, 2]);
    assert_eq!(recovered.torn_tail, None);
}

#[test]
fn zeros_from_any_byte_of_the_last_record_on_are_a_tail() {
    let disk = journal_of(3);
    let whole = disk.read(FIRST);
    for len in RECORDS_OFFSET + 2 * RECORD..RECORDS_OFFSET + 3 * RECORD {
        let mut bytes = whole[..len].to_vec();
        bytes.resize(whole.len() + 512, 0);
        disk.put(FIRST, &bytes);
        assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2], "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_behind_the_end_is_a_tail(garbage in prop::collection::vec(any::<u8>(), 1..2000)) {
        let disk = journal_of(2);
        let any = garbage.iter().any(|&byte| byte != 0);
        disk.put(FIRST, &[&disk.read(FIRST)[..RECORDS_OFFSET + 2 * RECORD], &garbage].concat());
        let (_, recovered, seen) = open(&disk, 0).unwrap();
        prop_assert_eq!(sequences(&seen), [1, 2]);
        prop_assert_eq!(recovered.torn_tail.is_some(), any);
    }
}

#[test]
fn old_contents_of_a_recycled_file_are_a_tail() {
    // The same records, in the same places, under another salt.
    let old = journal_of(4).read(FIRST);
    let disk = journal_of(2);
    let mut bytes = disk.read(FIRST);
    let end = RECORDS_OFFSET + 2 * RECORD;
    bytes[end..].copy_from_slice(&old[end..]);
    disk.put(FIRST, &bytes);
    let (_, recovered, seen) = open(&disk, 0).unwrap();
    assert_eq!(sequences(&seen), [1, 2]);
    assert_eq!(recovered.torn_tail.unwrap().lost_sequence, None);
}

#[test]
fn whole_records_behind_a_missing_one_that_was_never_synced_are_a_tail_and_reported() {
    let disk = journal_of(4);
    let mut bytes = disk.read(FIRST);
    bytes[RECORDS_OFFSET + RECORD..RECORDS_OFFSET + 2 * RECORD].fill(0);
    disk.put(FIRST, &bytes);
    let (_, recovered, seen) = open(&disk, 0).unwrap();
    assert_eq!(sequences(&seen), [1]);
    assert_eq!(recovered.torn_tail.unwrap().lost_sequence, Some(3));
}

#[test]
fn recovery_of_a_torn_tail_can_be_repeated() {
    let disk = journal_of(3);
    let torn = disk.read(FIRST)[..RECORDS_OFFSET + 3 * RECORD - 5].to_vec();
    disk.put(FIRST, &torn);
    let first = open(&disk, 0).unwrap();
    let second = open(&disk, 0).unwrap();
    assert_eq!((first.1, first.2), (second.1, second.2));
    assert_eq!(disk.read(FIRST), torn, "nothing is truncated");
}

#[test]
fn a_torn_tail_stays_passed_when_a_segment_follows() {
    let disk = journal_of(4);
    // A hole with whole records behind it, the worst of tails.
    let mut bytes = disk.read(FIRST);
    bytes[RECORDS_OFFSET + 2 * RECORD + 3] ^= 1;
    disk.put(FIRST, &bytes);
    for round in 0..3_u64 {
        let (journal, recovered, seen) = open(&disk, 0).unwrap();
        assert_eq!(sequences(&seen), (1..=2 + round).collect::<Vec<_>>());
        assert_eq!(recovered.torn_tail.is_some(), round == 0);
        append_each(&journal, &["later"]);
    }
    assert_eq!(disk.read(FIRST), bytes);
}

#[test]
fn a_cut_beyond_the_last_record_carries_on_from_the_cut() {
    let disk = journal_of(3);
    for (cut, next) in [(10, 11), (11, 12)] {
        let (journal, recovered, seen) = open(&disk, cut).unwrap();
        assert!(seen.is_empty());
        assert_eq!((recovered.records, recovered.last_sequence), (0, cut));
        append_each(&journal, &["later"]);
        assert_eq!(journal.appended_upto(), next);
    }
    // Without the cut, the records between are missing.
    assert!(open(&disk, 2).is_err());
    assert_eq!(sequences(&open(&disk, 10).unwrap().2), [11, 12]);
}

#[test]
fn segments_behind_a_torn_one_go_with_it() {
    let disk = segments_of_one(2);
    let mut bytes = disk.read(FIRST);
    bytes[RECORDS_OFFSET + 40] ^= 1;
    disk.put(FIRST, &bytes);
    for round in 0..3_u64 {
        let (journal, recovered, seen) = open(&disk, 0).unwrap();
        assert_eq!(sequences(&seen), (1..=round).collect::<Vec<_>>());
        assert_eq!(recovered.torn_tail.is_some(), round == 0);
        append_each(&journal, &["later"]);
    }
    // What was left out is removed once it is left out for good.
    let (journal, ..) = open(&disk, 3).unwrap();
    append_each(&journal, &["later"]);
    journal.trim(3).unwrap();
    let names = coppice_disk::Disk::list(&disk).unwrap();
    assert_eq!(names, ["journal-0000000000000006.log"]);
    assert_eq!(sequences(&open(&disk, 3).unwrap().2), [4]);
}

#[test]
fn a_segment_whose_opening_was_lost_was_never_opened() {
    let disk = segments_of_one(2);
    let mut bytes = disk.read(SECOND);
    bytes[crate::header::OPENING_OFFSET..RECORDS_OFFSET].fill(0);
    disk.put(SECOND, &bytes);
    let (journal, recovered, seen) = open(&disk, 0).unwrap();
    assert_eq!(sequences(&seen), [1]);
    assert!(recovered.torn_tail.is_some());
    append_each(&journal, &["later"]);
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2]);
}
