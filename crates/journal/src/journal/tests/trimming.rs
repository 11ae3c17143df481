//! Trimming: what goes, what stays, and at what point a crash may come.

use std::{io::ErrorKind, time::Duration};

use coppice_disk::Disk;

use crate::{
    Error, Journal, Room,
    fixture::{self, Call, TestDisk, append_each, on_both, open, room_for, sequences},
};

/// Five segments of one record each.
fn five_segments(disk: &TestDisk) -> Journal {
    let journal = fixture::create(disk, room_for(1, 56));
    append_each(&journal, &["12345678"; 5]);
    journal
}

#[test]
fn segments_that_the_cut_covers_go() {
    let disk = TestDisk::default();
    let journal = five_segments(&disk);
    for cut in 0..5 {
        journal.trim(cut).unwrap();
        assert_eq!(journal.stats().segments, 5 - cut);
        assert_eq!(journal.bytes(), (5 - cut) * 56);
        let expected: Vec<u64> = (cut + 1..=5).collect();
        assert_eq!(sequences(&open(&disk.after_kill(), cut).unwrap().2), expected);
    }
}

#[test]
fn a_cut_over_everything_leaves_an_empty_segment() {
    let disk = TestDisk::default();
    let journal = five_segments(&disk);
    journal.trim(5).unwrap();
    assert_eq!((journal.stats().segments, journal.bytes()), (1, 0));
    assert_eq!(disk.list().unwrap(), ["journal-0000000000000006.log"]);
    disk.take_calls();
    journal.trim(5).unwrap();
    assert!(disk.take_calls().is_empty(), "nothing is left to do");
    append_each(&journal, &["six"]);
    assert_eq!(sequences(&open(&disk, 5).unwrap().2), [6]);
}

#[test]
fn a_recovered_journal_is_trimmed_too() {
    let disk = TestDisk::default();
    drop(five_segments(&disk));
    let (journal, ..) = open(&disk, 5).unwrap();
    journal.trim(5).unwrap();
    assert_eq!(disk.list().unwrap(), ["journal-0000000000000006.log"]);
    assert_eq!(open(&disk, 5).unwrap().1.last_sequence, 5);
}

#[test]
fn removals_are_synced() {
    let disk = TestDisk::default();
    let journal = five_segments(&disk);
    journal.sync().unwrap();
    disk.take_calls();
    journal.trim(2).unwrap();
    assert_eq!(disk.take_calls(), [Call::Remove, Call::Remove, Call::SyncFolder]);
}

#[test]
fn removals_that_reach_the_disk_in_any_order_do_no_harm() {
    for lost in 0..8_u32 {
        let disk = TestDisk::default();
        drop(five_segments(&disk));
        for number in (0..3).filter(|bit| lost & (1 << bit) != 0) {
            disk.remove(&crate::segment::file_name(number + 1)).unwrap();
        }
        assert_eq!(sequences(&open(&disk, 3).unwrap().2), [4, 5], "{lost:b}");
        let (journal, ..) = open(&disk, 3).unwrap();
        journal.trim(3).unwrap();
        assert_eq!(journal.stats().segments, 2, "{lost:b}");
    }
}

#[test]
fn a_failed_removal_is_made_up_for_later() {
    let disk = TestDisk::default();
    let journal = five_segments(&disk);
    disk.fail(Call::Remove, 1, ErrorKind::PermissionDenied, 0);
    assert!(matches!(journal.trim(3), Err(Error::Io { .. })));
    append_each(&journal, &["goes on"]);
    journal.trim(3).unwrap();
    assert_eq!(sequences(&open(&disk, 3).unwrap().2), [4, 5, 6]);
}

#[test]
fn a_disk_too_full_for_a_new_segment_is_trimmed_all_the_same() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, room_for(1, 56));
    append_each(&journal, &["12345678"; 2]);
    disk.fail(Call::Create, 0, ErrorKind::StorageFull, 0);
    journal.trim(2).unwrap();
    // The first try found no room; once the first segment was gone, the second one did.
    assert_eq!(disk.list().unwrap(), ["journal-0000000000000003.log"]);
    append_each(&journal, &["goes on"]);
    disk.fail(Call::Create, 0, ErrorKind::StorageFull, 0);
    journal.trim(3).unwrap();
    assert_eq!(journal.bytes(), 56 - 8 + 8);
    append_each(&journal, &["goes on"]);
}

#[test]
fn a_crash_at_any_call_of_a_trim_loses_nothing_behind_the_cut() {
    on_both(|disk| crash_at_any_call(&disk));
}

fn crash_at_any_call(kind: &TestDisk) {
    for cut in [2, 4, 5] {
        for calls in 0.. {
            // One of its kind, and empty.
            let disk = kind.after_kill();
            let journal = five_segments(&disk);
            disk.take_calls();
            disk.die_after(calls);
            let done = journal.trim(cut).is_ok();
            let expected: Vec<u64> = (cut + 1..=5).collect();
            let killed = disk.after_kill();
            assert_eq!(
                sequences(&open(&killed, cut).unwrap().2),
                expected,
                "cut {cut}, {calls} calls"
            );
            for side in [false, true] {
                let mut coin = || side;
                let cut_off = disk.after_power_cut(&mut coin);
                let last = open(&cut_off, cut).unwrap().1.last_sequence;
                assert!(
                    (journal.synced_upto().max(cut)..=5).contains(&last),
                    "cut {cut}, {calls} calls, {side}"
                );
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn nothing_goes_before_the_opening_that_leaves_it_out_is_on_disk() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["12345678"; 3]);
    journal.sync().unwrap();
    disk.take_calls();
    journal.trim(3).unwrap();
    let calls = disk.take_calls();
    // The last sync of a file is that of the new segment's opening.
    let synced = calls.iter().rposition(|&call| call == Call::Sync).unwrap();
    assert_eq!(calls[synced..], [Call::Sync, Call::Remove, Call::SyncFolder]);
}

/// Returns once somebody waits for room, who is woken for that, finds none, and waits again.
fn until_somebody_waits(journal: &Journal) {
    loop {
        let turn = journal.shared.trims.lock();
        if journal.shared.trimmed.notify_all() > 0 {
            return;
        }
        drop(turn);
        std::thread::yield_now();
    }
}

#[test]
fn writers_wait_for_room_until_a_trim_makes_some() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(1, 56));
    let soon = Duration::from_millis(20);
    append_each(&journal, &["12345678"; 3]);
    assert_eq!(journal.wait_for_room(3 * 56 + 1, soon).unwrap(), Room::Free);
    assert_eq!(journal.wait_for_room(3 * 56, soon).unwrap(), Room::Full);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| journal.wait_for_room(2 * 56, Duration::from_secs(60)).unwrap());
        until_somebody_waits(&journal);
        journal.trim(2).unwrap();
        assert_eq!(waiting.join().unwrap(), Room::Waited);
    });
}

#[test]
fn nobody_waits_for_the_room_of_a_journal_that_takes_no_more() {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 4096);
    append_each(&journal, &["12345678"]);
    disk.fail(Call::Sync, 0, ErrorKind::Other, 0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| journal.wait_for_room(1, Duration::from_secs(60)));
        until_somebody_waits(&journal);
        journal.sync().unwrap_err();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Poisoned { .. })));
    });
}

#[test]
fn a_closed_journal_gives_back_the_room_that_it_did_not_use() {
    on_both(|disk| {
        let journal = fixture::create(&disk, 1 << 20);
        append_each(&journal, &["one", "two"]);
        let name = "journal-0000000000000001.log";
        assert_eq!(disk.open(name).unwrap().len().unwrap(), 1 << 20);
        journal.close();
        assert_eq!(disk.open(name).unwrap().len().unwrap(), 64 << 10);
        let (journal, recovered, found) = open(&disk, 0).unwrap();
        assert_eq!((sequences(&found), recovered.torn_tail), (vec![1, 2], None));
        append_each(&journal, &["three"]);
        journal.sync().unwrap();
        drop(journal);
        assert_eq!(sequences(&open(&disk, 0).unwrap().2), [1, 2, 3]);
    });
}

#[test]
fn what_a_torn_journal_holds_behind_its_end_stays() {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &["one"]);
    drop(journal);
    let file = disk.open("journal-0000000000000001.log").unwrap();
    file.write_all_at(100_000, b"something").unwrap();
    for _ in 0..2 {
        let (journal, recovered, _) = open(&disk, 0).unwrap();
        assert!(recovered.torn_tail.is_some());
        journal.close();
    }
}
