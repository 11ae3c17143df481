//! Appends and rotation.

use std::sync::Arc;

use crate::{
    Error, Journal, MAX_PAYLOAD_BYTES, Op,
    fixture::{self, Call, DATABASE, TestDisk, append_each, open, options, room_for, sequences},
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
            Call::Allocate,
            Call::Write,
            Call::Sync,
            Call::Rename,
            Call::SyncFolder,
            Call::Write,
            Call::Sync,
        ]
    );
}

#[test]
fn creating_over_a_journal_is_refused() {
    let disk = TestDisk::default();
    append_each(&fixture::create(&disk, 1 << 20), &["kept"]);
    let error = Journal::create(Arc::new(disk.clone()), options(1 << 20), DATABASE).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset: 192, .. }), "{error}");
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
    let journal = fixture::create(&disk, room_for(2, 56));
    append_each(&journal, &["12345678"; 5]);
    assert_eq!((journal.stats().segments, journal.bytes()), (3, 5 * 56));
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3, 4, 5]);
}

#[test]
fn one_append_may_exceed_a_segment() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(1, 56));
    journal.append(1, &vec![put(b"value"); 50]).unwrap();
    assert_eq!(journal.stats().segments, 2);
    append_each(&journal, &["next"]);
    assert_eq!(journal.stats().segments, 3);
    assert_eq!(open(&disk, 0).unwrap().2.len(), 51);
}

#[test]
fn rotation_syncs_no_record_unless_the_opening_before_is_not_on_disk() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(1, 56));
    append_each(&journal, &["12345678"]);
    disk.take_calls();
    append_each(&journal, &["12345678"]);
    use Call::{Allocate, Create, Remove, Rename, Sync, SyncFolder, Write};
    let made = [Remove, Create, Allocate, Write, Sync, Rename, SyncFolder, Write, Write];
    assert_eq!(disk.take_calls(), made);
    assert_eq!(journal.synced_upto(), 0);
    append_each(&journal, &["12345678"]);
    assert_eq!(disk.take_calls(), [&[Sync, Sync], &made[..]].concat());
    assert_eq!(journal.synced_upto(), 2);
}

#[test]
fn an_append_to_a_mapping_makes_no_call() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 1 << 20);
    disk.take_calls();
    append_each(&journal, &["one", "two"]);
    assert!(disk.take_calls().is_empty());
    journal.sync().unwrap();
    assert_eq!(disk.take_calls(), [Call::Sync]);
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2]);
}

#[test]
fn segments_grow_while_they_are_filled_and_no_further_than_asked() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 6 << 20);
    let size = |number: u64| disk.read(&crate::segment::file_name(number)).len();
    for _ in 0..12 {
        journal.append_next(&[put(&vec![7; 1_000_000])]).unwrap();
    }
    assert_eq!([1, 2, 3].map(size), [1 << 20, 1 << 20, 4 << 20]);
    assert_eq!(
        journal.stats().file_bytes,
        (1 << 20) + (1 << 20) + (4 << 20) + (6 << 20)
    );
}

#[test]
fn segments_begin_anew_where_a_trim_leaves_nothing() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 6 << 20);
    for _ in 0..12 {
        journal.append_next(&[put(&vec![7; 1_000_000])]).unwrap();
    }
    // As the keeper does: the next one waits, and is large.
    journal.shared.tend();
    assert_eq!(disk.read(&crate::segment::file_name(5)).len(), 6 << 20);
    journal.trim(11).unwrap();
    assert_eq!(disk.read(&crate::segment::file_name(5)).len(), 6 << 20);
    journal.trim(12).unwrap();
    journal.shared.tend();
    let names = coppice_disk::Disk::list(&disk).unwrap();
    let sizes: Vec<_> = names.iter().map(|name| disk.read(name).len()).collect();
    assert_eq!(sizes, [1 << 20, 1 << 20]);
    append_each(&journal, &["behind"]);
    assert_eq!(sequences(&open(&disk, 12).unwrap().2), [13]);
}

#[test]
fn threads_get_numbers_of_their_own() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 4096);
    let mut firsts: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .map(|_| journal.append_next(&[put(b"x"); 2]).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    firsts.sort_unstable();
    assert!(firsts.iter().copied().eq((0..200).map(|index| 1 + 2 * index)));
    assert_eq!(open(&disk, 0).unwrap().2.len(), 400);
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

#[test]
fn room_kept_for_removals_makes_no_segment_larger_than_its_records_need() {
    let disk = TestDisk::mapping();
    let mut options = fixture::options(4096);
    options.reserve_bytes = 256 << 10;
    let journal = Journal::create(Arc::new(disk), options, fixture::DATABASE).unwrap();
    assert_eq!(journal.stats().file_bytes, 4096);
    for bytes in [3000, 5000, 100_000] {
        let value = vec![7; bytes];
        let put = Op::Put {
            tree: 1,
            key: b"",
            value: &value,
        };
        let before = journal.stats();
        journal.append_next(&[put]).unwrap();
        let (grown, appended) = (
            journal.stats().file_bytes - before.file_bytes,
            journal.stats().appended_bytes - before.appended_bytes,
        );
        assert!(
            grown == 0 || (appended..appended * 5 / 4 + 4096).contains(&grown),
            "{bytes}: {grown}"
        );
    }
}
