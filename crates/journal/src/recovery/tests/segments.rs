//! Segments that are missing, swapped, foreign, older, half born or not ours at all.

use std::{io::ErrorKind, sync::Arc};

use super::*;
use crate::{
    Error, Journal, OpenError,
    fixture::{Call, DATABASE, is_corrupt, open, options, sequences},
};

/// Three segments of one record each.
fn three_segments() -> TestDisk {
    segments_of_one(3)
}

fn remove(disk: &TestDisk, name: &str) {
    coppice_disk::Disk::remove(disk, name).unwrap();
}

#[test]
fn segments_are_read_in_order() {
    assert_eq!(sequences(&open(&three_segments(), 0).unwrap().2), [1, 2, 3]);
    assert_eq!(sequences(&open(&three_segments(), 2).unwrap().2), [3]);
}

#[test]
fn progress_counts_bytes_and_ends_with_all_of_them() {
    let options = options(4096);
    let progress = Arc::clone(&options.progress);
    assert_eq!(progress.total_bytes(), 0);
    let mut seen = Vec::new();
    let (_, recovered) = Journal::open(Arc::new(three_segments()), options, DATABASE, 1, &mut |_, _| {
        seen.push(progress.done_bytes());
        assert!(progress.total_bytes() >= 2 * RECORD as u64);
        Ok::<(), ()>(())
    })
    .unwrap();
    // Segments that the cut covers are not read.
    assert_eq!(seen, [RECORD as u64, 2 * RECORD as u64]);
    assert_eq!(progress.done_bytes(), recovered.bytes);
    assert_eq!(progress.total_bytes(), recovered.bytes);
}

#[test]
fn a_missing_first_segment_is_corruption_until_the_cut_covers_it() {
    let disk = three_segments();
    remove(&disk, FIRST);
    let error = open(&disk, 0).unwrap_err();
    assert!(is_corrupt(&error), "{error}");
    assert!(error.to_string().contains("the records from 1 on"), "{error}");
    assert_eq!(sequences(&open(&disk, 1).unwrap().2), [2, 3]);
}

#[test]
fn a_missing_middle_segment_is_corruption_until_the_cut_covers_it() {
    let disk = three_segments();
    remove(&disk, SECOND);
    for cut in [0, 1] {
        let error = open(&disk, cut).unwrap_err();
        assert!(is_corrupt(&error), "{error}");
        assert!(error.to_string().contains(SECOND), "{error}");
    }
    assert_eq!(sequences(&open(&disk, 2).unwrap().2), [3]);
}

#[test]
fn no_segment_at_all_is_corruption() {
    let error = open(&TestDisk::default(), 0).unwrap_err();
    assert!(error.to_string().contains("there is no journal"), "{error}");
}

#[test]
fn swapped_segments_are_corruption() {
    let disk = three_segments();
    let (second, third) = (disk.read(SECOND), disk.read(THIRD));
    disk.put(SECOND, &third);
    disk.put(THIRD, &second);
    assert!(is_corrupt(&open(&disk, 0).unwrap_err()));
}

#[test]
fn a_segment_of_another_database_is_corruption_that_names_it() {
    let other = TestDisk::default();
    let journal = Journal::create(
        Arc::new(other.clone()),
        options(room_for(1, RECORD as u64)),
        DATABASE + 1,
    )
    .unwrap();
    append_each(&journal, &["12345678"; 3]);
    let disk = three_segments();
    disk.put(SECOND, &other.read(SECOND));
    let error = open(&disk, 0).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { file, .. } if file == SECOND),
        "{error}"
    );
    assert!(error.to_string().contains("another database"), "{error}");
}

#[test]
fn an_older_segment_of_the_same_number_is_corruption() {
    // Two histories of one database: the same numbers and lengths, other salts and values.
    let older = three_segments();
    let disk = three_segments();
    disk.put(SECOND, &older.read(SECOND));
    assert!(is_corrupt(&open(&disk, 0).unwrap_err()));
    assert_eq!(sequences(&open(&disk, 2).unwrap().2), [3]);
}

#[test]
fn segments_that_run_backwards_are_corruption() {
    let disk = three_segments();
    let late = TestDisk::default();
    let journal = fixture::create(&late, 1 << 20);
    append_each(&journal, &["12345678"; 9]);
    journal.trim(9).unwrap();
    remove(&disk, FIRST);
    disk.put(SECOND, &late.read(SECOND));
    let error = open(&disk, 0).unwrap_err();
    assert!(is_corrupt(&error), "{error}");
    assert!(error.to_string().contains("begins with record 10"), "{error}");
}

#[test]
fn what_is_damaged_behind_the_cut_does_not_matter() {
    let disk = three_segments();
    let mut bytes = disk.read(FIRST);
    *bytes.last_mut().unwrap() ^= 1;
    disk.put(FIRST, &bytes);
    assert!(open(&disk, 0).is_err());
    assert_eq!(sequences(&open(&disk, 1).unwrap().2), [2, 3]);
}

#[test]
fn a_segment_that_was_never_named_is_removed() {
    let disk = three_segments();
    disk.put("journal-0000000000000004.tmp", b"half a header");
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3]);
    assert_eq!(coppice_disk::Disk::list(&disk).unwrap(), [FIRST, SECOND, THIRD]);
}

#[test]
fn empty_segments_in_a_row_are_passed() {
    let disk = TestDisk::default();
    drop(fixture::create(&disk, 1 << 20));
    for _ in 0..2 {
        // Fails behind the opening of the next segment and before its first record.
        disk.fail(Call::Write, 2, ErrorKind::StorageFull, 0);
        let (journal, ..) = open(&disk, 0).unwrap();
        let put = crate::Op::Put {
            tree: 1,
            key: b"k",
            value: b"v",
        };
        assert!(matches!(journal.append(1, &[put]), Err(Error::NoSpace { .. })));
    }
    let (journal, _, seen) = open(&disk, 0).unwrap();
    assert!(seen.is_empty());
    assert_eq!(journal.stats().segments, 1, "the others hold nothing");
    append_each(&journal, &["first"]);
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1]);
}

#[test]
fn opening_syncs_before_it_reads_and_writes_nothing() {
    let disk = three_segments();
    disk.take_calls();
    drop(open(&disk, 0).unwrap());
    assert_eq!(
        disk.take_calls(),
        [Call::Sync, Call::Sync, Call::Sync, Call::SyncFolder]
    );
}

#[test]
fn what_the_caller_cannot_apply_ends_the_replay() {
    let disk = three_segments();
    let mut applied = 0;
    let result = Journal::open(
        Arc::new(disk),
        options(room_for(1, RECORD as u64)),
        DATABASE,
        0,
        &mut |sequence, _| {
            applied += 1;
            if sequence == 2 { Err("no") } else { Ok(()) }
        },
    );
    assert!(matches!(
        result,
        Err(OpenError::Apply {
            sequence: 2,
            error: "no"
        })
    ));
    assert_eq!(applied, 2);
}
