//! Full disks are survived; every other failure is the last.

use std::{io::ErrorKind, sync::Arc};

use crate::{
    Batch, Error, Journal, Op,
    fixture::{self, Call, DATABASE, TestDisk, append_each, on_both, open, room_for, same_salt_options, sequences},
};

const FIRST: &str = "journal-0000000000000001.log";

const PUT: Op<'static> = Op::Put {
    tree: 1,
    key: b"key",
    value: b"a value of some length",
};

/// The next append, of three records, fails and gets `partial` bytes done.
fn refused(disk: &TestDisk, journal: &Journal, partial: usize) {
    disk.fail(Call::Write, 0, ErrorKind::StorageFull, partial);
    let error = journal.append(journal.appended_upto() + 1, &[PUT; 3]).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
}

fn is_poisoned(journal: &Journal) -> bool {
    let append = journal.append(journal.appended_upto() + 1, &[PUT]);
    let (sync, trim) = (journal.sync(), journal.trim(journal.appended_upto()));
    let all = [append, sync, trim].map(|result| matches!(result, Err(Error::Poisoned { .. })));
    assert!(all == [true; 3] || all == [false; 3], "{all:?}");
    all[0]
}

#[test]
fn a_full_disk_refuses_and_appends_go_on_when_there_is_room() {
    for partial in [0, 1, 40, 80, 200, usize::MAX] {
        let disk = TestDisk::default();
        let journal = fixture::create(&disk, 1 << 20);
        append_each(&journal, &["one"]);
        refused(&disk, &journal, partial);
        assert_eq!(journal.appended_upto(), 1);
        append_each(&journal, &["two", "three"]);
        journal.sync().unwrap();
        assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3], "{partial}");
    }
}

#[test]
fn what_a_refused_append_wrote_is_taken_back() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["one"]);
    refused(&disk, &journal, usize::MAX);
    let (_, recovered, seen) = open(&disk.after_kill(), 0).unwrap();
    assert_eq!(sequences(&seen), [1]);
    assert_eq!(recovered.torn_tail, None);
}

#[test]
fn what_cannot_be_taken_back_ends_the_writing() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    disk.fail(Call::Write, 0, ErrorKind::StorageFull, 50);
    disk.then_fail(Call::SetLen, 0, ErrorKind::Other, 0);
    assert!(matches!(journal.append(1, &[PUT; 3]), Err(Error::Io { .. })));
    assert!(is_poisoned(&journal));
}

#[test]
fn what_a_refused_append_left_never_links_up() {
    let create = |disk: &TestDisk| Journal::create(Arc::new(disk.clone()), same_salt_options(), DATABASE).unwrap();
    let (disk, twin) = (TestDisk::default(), TestDisk::default());
    // What the refused append would have written, byte by byte.
    create(&twin).append(1, &[PUT; 3]).unwrap();
    let whole = twin.read(FIRST);
    let journal = create(&disk);
    refused(&disk, &journal, usize::MAX);
    // Another record with the number of the first one; and the truncation lost.
    append_each(&journal, &["one"]);
    disk.put(FIRST, &whole);
    let (_, recovered, seen) = open(&disk, 0).unwrap();
    assert_eq!(sequences(&seen), [1]);
    assert_eq!(seen[0].2, b"one");
    assert_eq!(recovered.torn_tail, None);
}

#[test]
fn a_segment_that_cannot_be_made_is_no_doubt_about_what_is_written() {
    for call in [Call::Create, Call::Allocate, Call::Rename] {
        let disk = TestDisk::mapping();
        let journal = fixture::create(&disk, room_for(1, 56));
        append_each(&journal, &["12345678"]);
        disk.fail(call, 0, ErrorKind::ReadOnlyFilesystem, 0);
        let error = journal.append(2, &[PUT]).unwrap_err();
        assert!(matches!(error, Error::Unwritten { .. }), "{call:?}: {error}");
        append_each(&journal, &["goes on"]);
        assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2]);
    }
}

#[test]
fn a_full_disk_at_any_call_of_a_rotation_is_survived_but_for_syncs() {
    for (call, pass, survivable) in [
        (Call::Create, 0, true),
        (Call::Allocate, 0, true),
        (Call::Write, 0, true),
        (Call::Write, 1, true),
        (Call::Rename, 0, true),
        (Call::Sync, 0, false),
        (Call::SyncFolder, 0, false),
    ] {
        let disk = TestDisk::default();
        let journal = fixture::create(&disk, room_for(1, 56));
        append_each(&journal, &["12345678"]);
        disk.fail(call, pass, ErrorKind::StorageFull, 0);
        let error = journal.append(2, &[PUT]).unwrap_err();
        assert_eq!(
            matches!(error, Error::NoSpace { .. }),
            survivable,
            "{call:?} {pass}: {error}"
        );
        if survivable {
            journal.append(2, &[PUT]).unwrap();
            assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2], "{call:?}");
        } else {
            assert!(is_poisoned(&journal), "{call:?}");
            assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1], "{call:?}");
        }
    }
}

#[test]
fn a_failed_sync_of_the_segment_that_begins_anew_is_the_last() {
    for call in [Call::Sync, Call::SyncFolder] {
        let disk = TestDisk::default();
        let journal = fixture::create(&disk, 6 << 20);
        append_each(&journal, &["one"]);
        let large = vec![7; 2 << 20];
        for sequence in 2..4 {
            let (tree, key, value) = (1, b"key".as_slice(), large.as_slice());
            journal.append(sequence, &[Op::Put { tree, key, value }]).unwrap();
        }
        journal.sync().unwrap();
        journal.shared.tend();
        disk.fail(call, 0, ErrorKind::Other, 0);
        let trimmed = journal.trim(3);
        assert!(
            matches!(trimmed, Err(Error::Io { .. } | Error::Poisoned { .. })),
            "{call:?}"
        );
        assert!(is_poisoned(&journal), "{call:?}");
    }
}

#[test]
fn a_failed_write_is_the_last() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["one"]);
    disk.fail(Call::Write, 0, ErrorKind::Other, 10);
    assert!(matches!(journal.append(2, &[PUT]), Err(Error::Io { .. })));
    disk.take_calls();
    assert!(is_poisoned(&journal));
    assert!(disk.take_calls().is_empty(), "nothing is written or synced any more");
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1]);
}

#[test]
fn a_failed_sync_is_the_last_and_is_not_retried() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let disk = TestDisk::default();
        let journal = fixture::create(&disk, 1 << 20);
        append_each(&journal, &["one"]);
        disk.fail(Call::Sync, 0, kind, 0);
        let error = journal.sync().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(journal.synced_upto(), 0);
        disk.take_calls();
        assert!(is_poisoned(&journal));
        assert!(disk.take_calls().is_empty());
    }
}

#[test]
fn the_first_failure_is_what_later_callers_hear() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["one"]);
    disk.fail(Call::Sync, 0, ErrorKind::TimedOut, 0);
    let first = journal.sync().unwrap_err().to_string();
    let later = journal.sync().unwrap_err().to_string();
    assert!(first.contains("syncing journal-0000000000000001.log"), "{first}");
    assert!(later.ends_with(&first), "{later}");
}

#[test]
fn a_failed_sync_of_the_folder_after_a_trim_is_the_last() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(1, 56));
    append_each(&journal, &["12345678"; 3]);
    disk.fail(Call::SyncFolder, 0, ErrorKind::Other, 0);
    assert!(matches!(journal.trim(1), Err(Error::Io { .. })));
    assert!(is_poisoned(&journal));
}

#[test]
fn removals_go_on_in_the_room_kept_for_them_when_the_disk_is_full() {
    on_both(|disk| {
        let mut options = fixture::options(8 * 56 * 8);
        options.reserve_bytes = 1000;
        let journal = Journal::create(Arc::new(disk.clone()), options, DATABASE).unwrap();
        let mut puts = 0;
        let refused = loop {
            // Each attempt at a new segment fails.
            disk.fail(Call::Create, 0, ErrorKind::StorageFull, 0);
            match journal.append_next(&[PUT]) {
                Ok(_) => puts += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
        assert!(journal.is_out_of_space());
        let delete = Op::Delete {
            tree: 1,
            key: b"12345678",
        };
        let both = [delete, delete];
        let batch = Op::Batch(Batch::new(&both));
        let mut removals = 0;
        let refused = loop {
            disk.fail(Call::Create, 0, ErrorKind::StorageFull, 0);
            match journal.append_next(&[if removals == 1 { batch } else { delete }]) {
                Ok(_) => removals += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
        // An eighth of the segment, at 48 bytes each.
        assert!((6..=10).contains(&removals), "{removals} behind {puts}");
        let mut seen = 0;
        let mut apply = |_, _: Op<'_>| -> Result<(), std::convert::Infallible> {
            seen += 1;
            Ok(())
        };
        let opened = Journal::open(
            Arc::new(disk.after_kill()),
            fixture::options(4096),
            DATABASE,
            0,
            &mut apply,
        );
        assert!(opened.is_ok());
        assert_eq!(seen, puts + removals);
    });
}
