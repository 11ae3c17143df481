//! Appends and rotation.

use std::{io::ErrorKind, sync::Arc};

use crate::{
    Error, Journal, MAX_PAYLOAD_BYTES, Op,
    fixture::{self, Call, DATABASE, TestDisk, append_each, open, options, sequences},
};

fn put(value: &[u8]) -> Op<'_> {
    Op::Put {
        tree: 1,
        key: b"key",
        value,
    }
}

#[test]
fn a_new_journal_is_durable_and_empty() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    assert_eq!(
        (journal.appended_upto(), journal.synced_upto(), journal.bytes()),
        (0, 0, 0)
    );
    assert_eq!(
        disk.take_calls(),
        [
            Call::Remove,
            Call::Create,
            Call::Write,
            Call::Sync,
            Call::Rename,
            Call::SyncFolder
        ]
    );
}

#[test]
fn creating_over_a_journal_is_refused() {
    let disk = TestDisk::default();
    append_each(&fixture::create(&disk, 1 << 20), &["kept"]);
    let error = Journal::create(Arc::new(disk.clone()), options(1 << 20), DATABASE).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists),
        "{error}"
    );
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1]);
}

#[test]
fn creating_over_what_a_creation_left_works() {
    let disk = TestDisk::default();
    drop(fixture::create(&disk, 1 << 20));
    append_each(&fixture::create(&disk, 1 << 20), &["kept"]);
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1]);
}

#[test]
fn many_operations_are_one_write() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    disk.take_calls();
    journal.append(1, &vec![put(b"value"); 100]).unwrap();
    assert_eq!(disk.take_calls(), [Call::Write]);
    assert_eq!(journal.appended_upto(), 100);
    assert_eq!(open(&disk, 0).unwrap().2.len(), 100);
}

#[test]
fn an_append_of_nothing_does_nothing() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    disk.take_calls();
    journal.append(1, &[]).unwrap();
    assert!(disk.take_calls().is_empty());
}

#[test]
fn sequence_numbers_have_no_gaps() {
    let journal = fixture::create(&TestDisk::default(), 1 << 20);
    append_each(&journal, &["one", "two"]);
    for given in [0, 1, 2, 4] {
        let error = journal.append(given, &[put(b"x")]).unwrap_err();
        assert!(
            matches!(error, Error::OutOfSequence { expected: 3, given: told } if told == given),
            "{error}"
        );
    }
    append_each(&journal, &["three"]);
}

#[test]
fn the_longest_operation_fits_and_a_longer_one_changes_nothing() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    let value = vec![7; MAX_PAYLOAD_BYTES - 8 - 3 + 1];
    let error = journal.append(1, &[put(b"x"), put(&value)]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: MAX_PAYLOAD_BYTES,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(journal.bytes(), 0);
    journal.append(1, &[put(&value[1..])]).unwrap();
    assert_eq!(open(&disk, 0).unwrap().2[0].2, value[1..]);
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let disk = TestDisk::default();
    // Room for two records of 56 bytes behind the header.
    let journal = fixture::create(&disk, 128 + 2 * 56);
    append_each(&journal, &["12345678"; 5]);
    assert_eq!((journal.stats().segments, journal.bytes()), (3, 5 * 56));
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3, 4, 5]);
}

#[test]
fn one_append_may_exceed_a_segment() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 256);
    journal.append(1, &vec![put(b"value"); 50]).unwrap();
    assert_eq!(journal.stats().segments, 1);
    append_each(&journal, &["next"]);
    assert_eq!(journal.stats().segments, 2);
    assert_eq!(open(&disk, 0).unwrap().2.len(), 51);
}

#[test]
fn rotation_syncs_the_old_segment_before_the_new_one_exists() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 150);
    append_each(&journal, &["12345678"]);
    disk.take_calls();
    append_each(&journal, &["12345678"]);
    use Call::{Create, Remove, Rename, Sync, SyncFolder, Write};
    assert_eq!(
        disk.take_calls(),
        [Sync, Remove, Create, Write, Sync, Rename, SyncFolder, Write]
    );
    assert_eq!(journal.synced_upto(), 1);
}

#[test]
fn appends_after_recovery_go_to_a_new_segment() {
    let disk = TestDisk::default();
    append_each(&fixture::create(&disk, 1 << 20), &["one"]);
    let (journal, ..) = open(&disk, 0).unwrap();
    assert_eq!(journal.stats().segments, 1);
    append_each(&journal, &["two", "three"]);
    assert_eq!(journal.stats().segments, 2);
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3]);
}

#[test]
fn counters_count_what_was_appended() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["12345678"; 2]);
    journal.sync().unwrap();
    let stats = journal.stats();
    assert_eq!((stats.appended_bytes, stats.appended_records, stats.syncs), (112, 2, 1));
    assert_eq!((stats.appended_upto, stats.synced_upto, stats.bytes), (2, 2, 112));
}
