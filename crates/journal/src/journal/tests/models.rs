//! Schedules of threads, explored by shuttle: `RUSTFLAGS="--cfg shuttle" cargo test -p coppice-journal models`.

use std::{io::ErrorKind, sync::Arc};

use shuttle::{
    check_random,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{
    Error, Op,
    fixture::{self, Call, TestDisk, open, room_for, sequences},
};

const SCHEDULES: usize = 2000;

const DELETE: Op<'static> = Op::Delete { tree: 1, key: b"k" };
const PUT: Op<'static> = Op::Put {
    tree: 1,
    key: b"k",
    value: b"1234567890",
};

/// What a power cut leaves at worst.
fn last_on_disk(disk: &TestDisk) -> u64 {
    open(&disk.after_power_cut(&mut || false), 0).unwrap().1.last_sequence
}

/// Three threads append twice and sync, in segments of that many records.
fn append_and_sync(records_a_segment: u64) {
    let disk = TestDisk::mapping();
    let journal = Arc::new(fixture::create(&disk, room_for(records_a_segment, 56)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (journal, disk) = (Arc::clone(&journal), disk.clone());
            thread::spawn(move || {
                let first = journal.append_next(&[PUT]).unwrap();
                let second = journal.append_next(&[PUT]).unwrap();
                assert!(first < second);
                // What returned survives the process, and all before it.
                assert!(open(&disk.after_kill(), 0).unwrap().1.last_sequence >= second);
                journal.sync().unwrap();
                assert!(journal.synced_upto() >= second);
                assert!(last_on_disk(&disk) >= second);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn models_of_syncs_in_one_segment() {
    check_random(|| append_and_sync(100), SCHEDULES);
}

#[test]
fn models_of_syncs_across_segments() {
    check_random(|| append_and_sync(2), SCHEDULES / 4);
}

#[test]
fn models_of_a_sync_that_fails() {
    check_random(
        || {
            let disk = TestDisk::mapping();
            let journal = Arc::new(fixture::create(&disk, 4096));
            disk.fail(Call::Sync, 0, ErrorKind::Other, 0);
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let journal = Arc::clone(&journal);
                    thread::spawn(move || {
                        let appended = journal.append_next(&[DELETE]).is_ok();
                        (appended, journal.sync())
                    })
                })
                .collect();
            let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            let failed = |result: &&(bool, Result<(), Error>)| matches!(result.1, Err(Error::Io { .. }));
            assert_eq!(
                results.iter().filter(failed).count(),
                1,
                "one met the failure: {results:?}"
            );
            assert!(results.iter().all(|(_, synced)| synced.is_err()), "{results:?}");
            assert!(matches!(journal.append_next(&[DELETE]), Err(Error::Poisoned { .. })));
            assert_eq!(journal.synced_upto(), 0);
        },
        SCHEDULES,
    );
}

/// A checkpoint makes its cut durable, then trims. Whenever the power goes, what the journal has behind the cut that is
/// durable then is all there, up to what was synced.
#[test]
fn models_of_power_cuts_beside_checkpoints() {
    check_random(
        || {
            let disk = TestDisk::mapping();
            let journal = Arc::new(fixture::create(&disk, room_for(2, 56)));
            let durable_cut = Arc::new(AtomicU64::new(0));
            let appending = {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    for number in 0..5 {
                        journal.append_next(&[PUT]).unwrap();
                        if number % 2 == 1 {
                            journal.sync().unwrap();
                        }
                    }
                })
            };
            let checkpoints = {
                let (journal, durable_cut) = (Arc::clone(&journal), Arc::clone(&durable_cut));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let cut = journal.appended_upto();
                        durable_cut.store(cut, Ordering::Release);
                        journal.trim(cut).unwrap();
                    }
                })
            };
            for keeps in [false, true] {
                let synced = journal.synced_upto();
                // No other thread runs between these two.
                let cut = durable_cut.load(Ordering::Acquire);
                let left = disk.after_power_cut(&mut || keeps);
                let (_, recovered, seen) = open(&left, cut).unwrap();
                assert!(
                    recovered.last_sequence >= synced.max(cut),
                    "{synced}, {cut}: {recovered:?}"
                );
                let behind: Vec<u64> = (cut + 1..=recovered.last_sequence).collect();
                assert_eq!(sequences(&seen), behind);
            }
            appending.join().unwrap();
            checkpoints.join().unwrap();
        },
        SCHEDULES / 4,
    );
}

#[test]
fn models_of_a_trim_beside_appends() {
    check_random(
        || {
            let disk = TestDisk::mapping();
            let journal = Arc::new(fixture::create(&disk, room_for(2, 56)));
            let appending = {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    for _ in 0..5 {
                        journal.append_next(&[PUT]).unwrap();
                    }
                    journal.sync().unwrap();
                })
            };
            journal.append_next(&[PUT]).unwrap();
            let cut = journal.appended_upto();
            journal.trim(cut).unwrap();
            assert!(open(&disk.after_power_cut(&mut || false), cut).is_ok());
            appending.join().unwrap();
            let behind: Vec<u64> = (cut + 1..=6).collect();
            assert_eq!(sequences(&open(&disk, cut).unwrap().2), behind);
        },
        SCHEDULES / 4,
    );
}
