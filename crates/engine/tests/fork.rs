//! A forked child leaves its parent's databases alone.
#![cfg(unix)]
#![allow(unsafe_code)] // fork and what ends a child have no safe form

use std::process::exit;

use coppice_engine::{Condition, Database, ErrorCode, Options};

/// What a child finds, as a number; 0 where everything is refused as it must be.
fn try_everything(database: &Database, folder: &std::path::Path) -> i32 {
    let refused = |result: Result<(), coppice_engine::Error>| match result {
        Err(error) if error.code() == ErrorCode::Locked && error.message().contains("forked") => 0,
        _ => 1,
    };
    let Ok(tree) = database.tree("t").map_err(|error| error.code()) else {
        let all = [
            refused(database.flush()),
            refused(database.checkpoint().map(drop)),
            refused(database.trees().map(drop)),
            refused(Database::open(folder, &Options::default()).map(drop)),
            refused(database.close()),
        ];
        return all.iter().sum();
    };
    let put = database.put(tree, b"k", b"of the child", Condition::Always);
    10 + refused(put.map(drop))
}

#[test]
fn every_call_of_a_forked_child_is_refused_and_the_parent_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path(), &Options::default()).unwrap();
    let volatile = Database::in_memory().unwrap();
    let tree = database.tree("t").unwrap();
    database.put(tree, b"k", b"v", Condition::Always).unwrap();
    // SAFETY: the child calls only into the engine, which refuses before it takes a lock of its own, and the allocator, which
    // the C library makes usable in a child.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let found = try_everything(&database, folder.path());
        drop(volatile);
        drop(database);
        // SAFETY: ends the child at once, without what the test's process has to do at its end.
        unsafe { libc::_exit(found) };
    }
    if child < 0 {
        exit(1);
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for how it ended.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "status {status}");
    assert_eq!(libc::WEXITSTATUS(status), 0);
    database.put(tree, b"k", b"of the parent", Condition::Always).unwrap();
    database.close().unwrap();
    let reopened = Database::open(folder.path(), &Options::default()).unwrap();
    let value = reopened.get(tree, b"k", |record| record.map(|record| record.value.to_vec()));
    assert_eq!(value.unwrap().as_deref(), Some(&b"of the parent"[..]));
}
