use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::Syncs;
use crate::{Disk, FolderDisk};

fn putting_off() -> Syncs {
    let syncs = Syncs::default();
    syncs.put_off();
    syncs
}

#[test]
fn a_sync_is_done_where_it_is_asked_for_unless_it_is_put_off() {
    let syncs = Syncs::default();
    let failed = syncs.sync_file(|| Err(io::ErrorKind::Other.into()));
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
    syncs.settle().unwrap();
}

#[test]
fn what_is_put_off_is_done_once_by_who_settles() {
    let syncs = putting_off();
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let theirs = Arc::clone(&done);
        let count = move || {
            theirs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        syncs.sync_file(count).unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), 0);
    syncs.settle().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 10);
    syncs.settle().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 10);
}

#[test]
fn who_settles_while_another_does_waits_for_it() {
    let syncs = putting_off();
    let (begin, begun) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let done = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&done);
    let slow = move || {
        begin.send(()).unwrap();
        let _ = gone.recv();
        theirs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    syncs.sync_file(slow).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| syncs.settle().unwrap());
        begun.recv().unwrap();
        let second = scope.spawn(|| {
            syncs.settle().unwrap();
            assert_eq!(done.load(Ordering::SeqCst), 1);
        });
        thread::sleep(Duration::from_millis(5));
        assert!(!second.is_finished());
        go.send(()).unwrap();
    });
}

#[test]
fn the_folder_is_synced_once_while_nothing_changes() {
    let syncs = putting_off();
    let count = Arc::new(AtomicUsize::new(0));
    let sync = || {
        let count = Arc::clone(&count);
        move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    };
    syncs.sync_folder(sync()).unwrap();
    syncs.sync_folder(sync()).unwrap();
    syncs.settle().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    syncs.sync_folder(sync()).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn after_one_that_failed_nothing_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let file = disk.create("a").unwrap();
    disk.put_off_syncs();
    disk.syncs.sync_file(|| Err(io::ErrorKind::TimedOut.into())).unwrap();
    let failures = [
        disk.create("b").map(|_| ()),
        disk.rename("a", "b"),
        disk.remove("a"),
        disk.settle(),
        file.settle(),
        file.write_all_at(0, b"x"),
        file.write_vectored_at(0, &[b"x"]),
        file.set_len(1),
        file.allocate(1),
        file.map(8).map(|_| ()),
        file.sync_data(),
        disk.sync(),
    ];
    for failure in failures {
        assert_eq!(failure.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert_eq!(file.len().unwrap(), 0);
}
