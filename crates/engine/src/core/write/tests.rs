//! Writes where the disk is full or fails.

use std::io::ErrorKind;

use super::*;
use crate::{
    core::tests::{contents, options},
    options::Options,
    testing::{FIRST_SEGMENT, FailingDisk},
    unsettled::unsettled,
};

fn put(engine: &Engine, tree: TreeId, key: &str, value: &[u8]) -> Result<(), Error> {
    let put = engine.put(tree, key.as_bytes(), value, Condition::Always);
    put.map(|version| assert!(version.is_some()))
}

fn small() -> Options {
    Options {
        // Four times the smallest segment: the limit at which writers wait is farther than a full disk lets them get.
        journal_bytes: 256 << 10,
        ..options(Durability::Process)
    }
}

/// A database whose disk takes no more files, and as many keys as it took puts.
fn full(disk: &FailingDisk) -> (Engine, TreeId, usize) {
    let engine = disk.open_engine(&small());
    let tree = engine.tree("t").unwrap();
    disk.fail_creations(Some(ErrorKind::StorageFull));
    for count in 0.. {
        match put(&engine, tree, &format!("{}/{count}", count % 3), &[7; 200]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::NoSpace, "{error}");
                return (engine, tree, count);
            }
        }
    }
    unreachable!("a disk without an end");
}

#[test]
fn deletes_go_on_where_the_disk_is_full_and_puts_when_there_is_space_again() {
    let disk = FailingDisk::default();
    let (engine, tree, count) = full(&disk);
    for key in (0..count).filter(|count| count % 3 == 0).take(50) {
        assert!(
            engine
                .delete(tree, format!("0/{key}").as_bytes(), Condition::Always)
                .unwrap()
        );
    }
    let batch = [b"1/1", b"1/4"].map(|key| crate::Operation::Delete {
        tree,
        key,
        condition: Condition::Always,
    });
    engine.commit(&batch).unwrap();
    assert!(engine.delete_prefix(tree, b"2/").unwrap() > 0);
    assert_eq!(put(&engine, tree, "k", b"v").unwrap_err().code(), ErrorCode::NoSpace);
    disk.fail_creations(None);
    put(&engine, tree, "k", b"v").unwrap();
    let expected = contents(&engine, tree);
    engine.abandon();
    assert_eq!(contents(&disk.open_engine(&small()), tree), expected);
}

#[test]
fn deletes_past_the_room_kept_for_them_are_refused_and_undone() {
    let disk = FailingDisk::default();
    let (engine, tree, count) = full(&disk);
    let refused = (0..count).find(|key| {
        let key = format!("{}/{key}", key % 3);
        match engine.delete(tree, key.as_bytes(), Condition::Always) {
            Ok(deleted) => {
                assert!(deleted);
                false
            }
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::NoSpace, "{error}");
                true
            }
        }
    });
    let refused = refused.expect("a journal with an end");
    assert_eq!(contents(&engine, tree).len(), count - refused);
}

#[test]
fn a_sync_that_fails_while_a_checkpoint_trims_ends_all_writing() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    put(&engine, tree, "k", b"v").unwrap();
    disk.fail_syncs_of(FIRST_SEGMENT, Some(ErrorKind::Other));
    assert_eq!(engine.checkpoint().unwrap_err().code(), ErrorCode::Io);
    disk.fail_syncs(None);
    assert_eq!(put(&engine, tree, "k", b"w").unwrap_err().code(), ErrorCode::ReadOnly);
    assert_eq!(engine.checkpoint().unwrap_err().code(), ErrorCode::ReadOnly);
    assert_eq!(engine.shut_down().unwrap_err().code(), ErrorCode::Io);
}

#[test]
fn writes_that_are_waited_for_later_leave_the_wait_for_room_to_that() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&small());
    let tree = engine.tree("t").unwrap();
    let limit = 2 * small().journal_bytes;
    let journal = &engine.durable().unwrap().journal;
    unsettled(|| {
        for key in 0.. {
            put(&engine, tree, &format!("{key}"), &[7; 1000]).unwrap();
            if journal.bytes() > limit + 10_000 {
                break;
            }
        }
    });
    assert_eq!(engine.stats().unwrap().journal_stalls, 0);
    engine.persist().unwrap();
    assert_eq!(engine.stats().unwrap().journal_stalls, 1);
    assert!(journal.bytes() < limit);
}

#[test]
fn writes_that_are_waited_for_later_do_not_grow_the_journal_without_bound() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&small());
    let tree = engine.tree("t").unwrap();
    let journal = &engine.durable().unwrap().journal;
    let most = unsettled(|| {
        let sizes = (0..1500).map(|key| {
            put(&engine, tree, &format!("{key}"), &[7; 1000]).unwrap();
            journal.bytes()
        });
        sizes.max().unwrap_or_default()
    });
    assert!(engine.stats().unwrap().journal_stalls > 0);
    assert!(most < 4 * small().journal_bytes + 10_000, "{most}");
}
