//! Syncs: what they cover, when they are shared, and that appends go on meanwhile.

use std::sync::Arc;

use coppice_disk::{Disk, FolderDisk};

use crate::{
    Error, Journal, JournalOptions, Op,
    fixture::{self, Call, DATABASE, TestDisk, append_each, options},
};

#[test]
fn a_sync_covers_all_that_was_appended() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["one", "two"]);
    assert_eq!(journal.synced_upto(), 0);
    journal.sync().unwrap();
    assert_eq!(journal.synced_upto(), 2);
}

#[test]
fn a_sync_with_nothing_new_makes_no_call() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    disk.take_calls();
    journal.sync().unwrap();
    append_each(&journal, &["one"]);
    journal.sync().unwrap();
    journal.sync().unwrap();
    assert_eq!(disk.take_calls(), [Call::Write, Call::Sync]);
}

#[test]
fn what_recovery_found_is_synced() {
    let disk = TestDisk::default();
    append_each(&fixture::create(&disk, 1 << 20), &["one"]);
    let (journal, ..) = fixture::open(&disk, 0).unwrap();
    assert_eq!(journal.synced_upto(), 1);
}

#[test]
fn records_tell_how_far_the_disk_had_got() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["12345678"; 3]);
    journal.sync().unwrap();
    append_each(&journal, &["12345678"]);
    let bytes = disk.read("journal-0000000000000001.log");
    let lag = |index: usize| bytes[192 + 56 * index + 16];
    assert_eq!([lag(0), lag(1), lag(2), lag(3)], [1, 2, 3, 1]);
}

#[test]
fn threads_append_and_sync_at_once_on_a_real_folder() {
    for keeper in [false, true] {
        threads_append_and_sync(&|| JournalOptions {
            keeper,
            ..options(4096)
        });
    }
}

fn threads_append_and_sync(options: &dyn Fn() -> JournalOptions) {
    const THREADS: u64 = 4;
    const APPENDS: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FolderDisk::open(folder.path()).unwrap());
    let journal = Journal::create(disk.clone(), options(), DATABASE).unwrap();
    let next = parking_lot::Mutex::new(1_u64);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..APPENDS {
                    let sequence = {
                        let mut next = next.lock();
                        let key = next.to_be_bytes();
                        journal.append(*next, &[Op::Delete { tree: 1, key: &key }]).unwrap();
                        *next += 1;
                        *next - 1
                    };
                    if sequence.is_multiple_of(8) {
                        journal.sync().unwrap();
                        assert!(journal.synced_upto() >= sequence);
                    }
                    if sequence.is_multiple_of(100) {
                        journal.trim(sequence / 4).unwrap();
                    }
                }
            });
        }
    });
    drop(journal);
    let total = THREADS * APPENDS;
    let cut = total / 4;
    let mut expected = cut;
    let (_, recovered) = Journal::open(disk, options(), DATABASE, cut, &mut |sequence, op| {
        expected += 1;
        let matches = op
            == Op::Delete {
                tree: 1,
                key: &expected.to_be_bytes(),
            };
        if matches && sequence == expected {
            Ok(())
        } else {
            Err(sequence)
        }
    })
    .unwrap();
    assert_eq!((recovered.last_sequence, recovered.records), (total, total - cut));
}

#[test]
fn a_closed_journal_leaves_the_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FolderDisk::open(folder.path()).unwrap());
    let keeper = true;
    let journal = Journal::create(
        disk.clone(),
        JournalOptions {
            keeper,
            ..options(4096)
        },
        DATABASE,
    )
    .unwrap();
    append_each(&journal, &["one"]);
    journal.close();
    let names = disk.list().unwrap();
    assert_eq!(names, ["journal-0000000000000001.log"]);
    let put = Op::Put {
        tree: 1,
        key: b"k",
        value: &[0; 8192],
    };
    assert!(matches!(journal.append_next(&[put]), Err(Error::Poisoned { .. })));
    assert!(matches!(journal.trim(1), Err(Error::Poisoned { .. })));
    assert_eq!(disk.list().unwrap(), names);
}
