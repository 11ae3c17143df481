//! Who waits for whom.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::*;

#[test]
fn a_busy_folder_is_waited_for_and_others_are_not() {
    let (busy, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = FolderDisk::open(busy.path()).unwrap().identity().unwrap();
    let Turn::Claimed(claim) = share_or_claim(&folder, false) else {
        panic!("somebody has it open");
    };
    let (_, place) = acquire(other.path(), &Options::default()).unwrap();
    release(&place, true).unwrap();
    let (opened, when_opened) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (_, place) = acquire(busy.path(), &Options::default()).unwrap();
            opened.send(place).unwrap();
        });
        let waits = when_opened.recv_timeout(Duration::from_millis(50));
        assert!(matches!(waits, Err(RecvTimeoutError::Timeout)));
        drop(claim);
        let place = when_opened.recv().unwrap();
        assert_eq!(place, folder);
        release(&place, true).unwrap();
    });
}

#[test]
fn an_open_that_fails_leaves_the_folder_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Options {
        create: false,
        ..Options::default()
    };
    for _ in 0..2 {
        let error = acquire(folder.path(), &refused).err().unwrap();
        assert_eq!(error.code(), ErrorCode::NotFound);
    }
    let (engine, place) = acquire(folder.path(), &Options::default()).unwrap();
    let (again, _) = acquire(folder.path(), &Options::default()).unwrap();
    assert!(Arc::ptr_eq(&engine, &again));
    release(&place, true).unwrap();
    assert!(engine.tree("t").is_ok(), "another handle has it");
    release(&place, true).unwrap();
    assert_eq!(engine.tree("t").unwrap_err().code(), ErrorCode::Closed);
}
