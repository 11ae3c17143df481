//! What is handed out of journals that recovery refuses, and of those that it does not.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::{
    fixture::{self, DATABASE, TestDisk, append_each, room_for},
    header::Header,
};

const FIRST: &str = "journal-0000000000000001.log";
const SECOND: &str = "journal-0000000000000002.log";
const THIRD: &str = "journal-0000000000000003.log";
/// Size of a record with a value of eight bytes.
const RECORD: usize = RECORD_HEADER_BYTES + 24;

/// What comes out: sequence numbers, those behind a gap apart, and how many problems there are.
fn read(disk: &TestDisk, cut: u64) -> (Vec<u64>, Vec<u64>, usize) {
    let (mut next, mut behind) = (Vec::new(), Vec::new());
    let salvaged = salvage(disk, DATABASE, cut, &mut |sequence, standing, _| {
        match standing {
            Standing::Next => next.push(sequence),
            Standing::BehindGap => behind.push(sequence),
        }
        Ok::<(), Infallible>(())
    });
    let salvaged = salvaged.unwrap();
    assert_eq!(salvaged.records as usize, next.len() + behind.len());
    assert_eq!(salvaged.last_sequence, next.last().copied().unwrap_or(cut));
    (next, behind, salvaged.problems.len())
}

fn flip(disk: &TestDisk, name: &str, at: usize) {
    let mut bytes = disk.read(name);
    bytes[at] ^= 1;
    disk.put(name, &bytes);
}

fn remove(disk: &TestDisk, name: &str) {
    Disk::remove(disk, name).unwrap();
}

/// Records 1..=6 in one segment, of which the last says that the others are on disk.
fn one_segment() -> TestDisk {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 4096);
    append_each(&journal, &["12345678"; 5]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    disk
}

/// Three segments of two records each.
fn three_segments() -> TestDisk {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(2, RECORD as u64));
    append_each(&journal, &["12345678"; 6]);
    journal.sync().unwrap();
    disk
}

/// What recovery reads, which is not to refuse the disk.
fn recovered(disk: &TestDisk) -> Vec<u64> {
    fixture::sequences(&fixture::open(&disk.after_kill(), 0).unwrap().2)
}

fn record_at(index: usize) -> usize {
    RECORDS_OFFSET + index * RECORD
}

#[test]
fn sound_journal_is_handed_out_behind_the_cut() {
    for disk in [one_segment(), three_segments()] {
        assert_eq!(read(&disk, 0), ((1..=6).collect(), vec![], 0));
        assert_eq!(read(&disk, 4), (vec![5, 6], vec![], 0));
        assert_eq!(read(&disk, 9), (vec![], vec![], 0));
    }
}

#[test]
fn reading_changes_nothing() {
    let disk = three_segments();
    disk.take_calls();
    read(&disk, 0);
    assert_eq!(disk.take_calls(), []);
}

#[test]
fn torn_tail_ends_it_without_a_problem() {
    let disk = one_segment();
    flip(&disk, FIRST, record_at(5) + RECORD_HEADER_BYTES);
    assert_eq!(read(&disk, 0), ((1..=5).collect(), vec![], 0));
}

#[test]
fn tail_that_a_power_cut_took_ends_it_though_the_next_segment_is_on_disk() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(2, RECORD as u64));
    append_each(&journal, &["12345678"]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"; 3]);
    let disk = disk.after_kill();
    let mut first = disk.read(FIRST);
    first[record_at(1)..].fill(0);
    disk.put(FIRST, &first);
    assert_eq!(read(&disk, 0), (vec![1], vec![], 0));
    assert_eq!(recovered(&disk), [1]);
}

#[test]
fn segment_that_the_cut_covers_is_not_read() {
    let disk = three_segments();
    flip(&disk, FIRST, record_at(1));
    assert_eq!(read(&disk, 2), ((3..=6).collect(), vec![], 0));
    assert_eq!(read(&disk, 1), (vec![], (3..=6).collect(), 2));
}

#[test]
fn segment_that_follows_one_that_is_missing_is_no_torn_tail() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(2, RECORD as u64));
    append_each(&journal, &["12345678"]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"; 5]);
    let disk = disk.after_kill();
    remove(&disk, SECOND);
    flip(&disk, FIRST, record_at(1));
    assert_eq!(read(&disk, 0), (vec![1], vec![5, 6], 2));
}

#[test]
fn segment_without_an_opening_says_that_what_is_before_it_was_on_disk() {
    let disk = three_segments();
    let journal = fixture::open(&disk, 0).unwrap().0;
    append_each(&journal, &["12345678"; 6]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    let newest = Disk::list(&disk).unwrap().into_iter().max().unwrap();
    for at in [OPENING_OFFSET, record_at(0)] {
        flip(&disk, &newest, at);
    }
    let (next, behind, problems) = read(&disk, 0);
    assert_eq!((next, behind, problems), ((1..=6).collect(), vec![], 1));
    assert!(fixture::open(&disk, 0).is_err());
}

#[test]
fn records_behind_a_damaged_one_are_behind_a_gap() {
    let disk = one_segment();
    for at in [record_at(2), record_at(2) + RECORD_HEADER_BYTES] {
        flip(&disk, FIRST, at);
        assert_eq!(read(&disk, 0), (vec![1, 2], vec![4, 5, 6], 2));
        flip(&disk, FIRST, at);
    }
}

#[test]
fn damage_in_what_the_cut_covers_is_no_gap() {
    let disk = one_segment();
    flip(&disk, FIRST, record_at(1));
    assert_eq!(read(&disk, 2), (vec![3, 4, 5, 6], vec![], 1));
}

#[test]
fn segments_behind_a_missing_one_are_behind_a_gap() {
    let disk = three_segments();
    remove(&disk, SECOND);
    assert_eq!(read(&disk, 0), (vec![1, 2], vec![5, 6], 1));
    remove(&disk, FIRST);
    assert_eq!(read(&disk, 0), (vec![], vec![5, 6], 1));
    assert_eq!(read(&disk, 4), (vec![5, 6], vec![], 0));
}

#[test]
fn no_segment_at_all_is_a_problem() {
    let disk = three_segments();
    for name in [FIRST, SECOND, THIRD] {
        remove(&disk, name);
    }
    let (next, behind, problems) = read(&disk, 0);
    assert_eq!((next.len(), behind.len()), (0, 0));
    assert_eq!(problems, 1);
}

#[test]
fn segment_whose_opening_is_damaged_is_read_all_the_same() {
    let disk = three_segments();
    for (name, number) in [(FIRST, 1), (SECOND, 2), (THIRD, 3)] {
        flip(&disk, name, OPENING_OFFSET);
        assert_eq!(read(&disk, 0), ((1..=6).collect(), vec![], 1), "segment {number}");
        flip(&disk, name, OPENING_OFFSET);
    }
}

#[test]
fn segment_whose_header_is_damaged_is_passed_over() {
    let disk = three_segments();
    flip(&disk, SECOND, 40);
    assert_eq!(read(&disk, 0), (vec![1, 2], vec![5, 6], 2));
}

#[test]
fn segment_that_was_made_ahead_is_no_problem() {
    let disk = one_segment();
    let header = Header {
        database_id: DATABASE,
        number: 9,
        salt: 77,
    };
    let mut bytes = header.encode().0.to_vec();
    bytes.resize(4096, 0);
    disk.put("journal-0000000000000009.log", &bytes);
    assert_eq!(read(&disk, 0), ((1..=6).collect(), vec![], 0));
}

#[test]
fn journal_goes_on_behind_what_its_oldest_linked_segment_begins_with() {
    let disk = three_segments();
    assert!(goes_on_behind(&disk, DATABASE, 0));
    remove(&disk, FIRST);
    assert!(!goes_on_behind(&disk, DATABASE, 1));
    assert!(goes_on_behind(&disk, DATABASE, 2));
    assert!(goes_on_behind(&disk, DATABASE, 100));
    assert!(!goes_on_behind(&disk, DATABASE + 1, 100));
}

#[test]
fn what_the_caller_cannot_take_ends_it() {
    let disk = one_segment();
    let salvaged = salvage(&disk, DATABASE, 0, &mut |sequence, _, _| match sequence {
        3 => Err("no"),
        _ => Ok(()),
    });
    let Err(OpenError::Apply {
        sequence: 3,
        error: "no",
    }) = salvaged
    else {
        panic!("{salvaged:?}");
    };
}

proptest! {
    /// A power cut damages nothing, and what it leaves is read as recovery reads it.
    #[test]
    fn power_cut_leaves_what_recovery_reads(
        writes in prop::collection::vec((1usize..30, any::<bool>()), 1..8),
        coins in prop::collection::vec(any::<bool>(), 64),
        cut in 0u64..40,
    ) {
        let disk = TestDisk::mapping();
        let journal = fixture::create(&disk, room_for(20, RECORD as u64));
        for (count, is_synced) in writes {
            append_each(&journal, &vec!["12345678"; count]);
            if is_synced {
                journal.sync().unwrap();
            }
        }
        let mut coins = coins.into_iter().cycle();
        let left = disk.after_power_cut(&mut || coins.next().unwrap());
        prop_assert_eq!(read(&left, 0), (recovered(&left), vec![], 0));
        // No checkpoint covers what is not synced.
        let cut = cut.min(journal.synced_upto());
        let behind_cut = recovered(&left).into_iter().filter(|&sequence| sequence > cut);
        prop_assert_eq!(read(&left, cut), (behind_cut.collect(), vec![], 0));
    }

    /// Whatever happens to the files, what comes out is records as they were written, in order.
    #[test]
    fn any_damage_leaves_sound_records_in_order(
        damages in prop::collection::vec((0usize..3, 0usize..4096, any::<u8>()), 1..12),
        cut_off in prop::option::of((0usize..3, 0usize..4096)),
    ) {
        let disk = three_segments();
        let names = [FIRST, SECOND, THIRD];
        for (file, at, bits) in damages {
            let mut bytes = disk.read(names[file]);
            let at = at % bytes.len();
            bytes[at] ^= bits;
            disk.put(names[file], &bytes);
        }
        if let Some((file, len)) = cut_off {
            let mut bytes = disk.read(names[file]);
            bytes.truncate(len % bytes.len());
            disk.put(names[file], &bytes);
        }
        let mut last = 0;
        let mut behind = false;
        salvage(&disk, DATABASE, 0, &mut |sequence, standing, op| {
            assert!(sequence > last && sequence <= 6);
            assert!(standing == Standing::BehindGap || (!behind && sequence == last + 1));
            behind = standing == Standing::BehindGap;
            last = sequence;
            let Op::Put { value, .. } = op else { panic!("{op:?}") };
            assert_eq!(value, b"12345678");
            Ok::<(), Infallible>(())
        }).unwrap();
    }
}
