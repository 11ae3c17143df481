use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::Syncs;
use crate::{Disk, FolderDisk};

fn overlapping() -> Syncs {
    let syncs = Syncs::default();
    syncs.overlap();
    syncs
}

#[test]
fn a_sync_is_done_where_it_is_asked_for_unless_they_overlap() {
    let syncs = Syncs::default();
    let failed = syncs.sync_file(|| Err(io::ErrorKind::Other.into()));
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
    syncs.settle().unwrap();
}

#[test]
fn one_that_is_begun_does_not_wait_and_is_waited_for() {
    let syncs = overlapping();
    let (go, gone) = mpsc::channel::<()>();
    let done = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&done);
    let slow = move || {
        let _ = gone.recv();
        theirs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    syncs.sync_file(slow).unwrap();
    for _ in 0..9 {
        let theirs = Arc::clone(&done);
        let quick = move || {
            theirs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        syncs.sync_file(quick).unwrap();
    }
    assert!(done.load(Ordering::SeqCst) < 10);
    go.send(()).unwrap();
    syncs.settle().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 10);
}

#[test]
fn the_folder_is_synced_once_while_nothing_changes() {
    let syncs = overlapping();
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
    disk.overlap_syncs();
    disk.syncs.sync_file(|| Err(io::ErrorKind::TimedOut.into())).unwrap();
    let failures = [
        disk.create("b").map(|_| ()),
        disk.rename("a", "b"),
        disk.remove("a"),
        disk.settle(),
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
