//! Databases in folders: who shares, who is refused, what a close leaves.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use super::Database;
use crate::{Condition, Durability, ErrorCode, Options, TreeId};

fn open(path: &Path) -> Database {
    Database::open(path, &Options::default()).unwrap()
}

fn refused(path: &Path, create: bool) -> ErrorCode {
    Database::open(
        path,
        &Options {
            create,
            ..Options::default()
        },
    )
    .unwrap_err()
    .code()
}

fn put(database: &Database, tree: TreeId, key: &[u8]) {
    database.put(tree, key, b"value", Condition::Always).unwrap();
}

fn has(database: &Database, tree: TreeId, key: &[u8]) -> bool {
    database.get(tree, key, |record| record.is_some()).unwrap()
}

#[test]
fn shares_one_engine_among_handles_on_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("db");
    let first = open(&path);
    let second = open(&parent.path().join(".").join("db"));
    let tree = first.tree("t").unwrap();
    put(&first, tree, b"key");
    assert!(has(&second, tree, b"key"));
    first.close().unwrap();
    assert_eq!(first.get(tree, b"key", |_| ()).unwrap_err().code(), ErrorCode::Closed);
    put(&second, tree, b"later");
    second.close().unwrap();
    second.close().unwrap();
    // The closed handles are still there; the folder is free all the same.
    let third = open(&path);
    assert!(has(&third, tree, b"key") && has(&third, tree, b"later"));
}

#[test]
fn leaves_a_clean_journal_on_close_and_a_whole_one_when_dropped() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("db");
    let database = open(&path);
    let tree = database.tree("t").unwrap();
    put(&database, tree, b"dropped");
    drop(database);
    let database = open(&path);
    assert!(has(&database, tree, b"dropped"));
    assert!(database.stats().unwrap().journal_bytes > 0);
    database.close().unwrap();
    let database = open(&path);
    assert_eq!(database.stats().unwrap().journal_bytes, 0);
    assert!(has(&database, tree, b"dropped"));
}

#[test]
fn refuses_what_is_no_database() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    fs::write(at("file"), b"text").unwrap();
    assert_eq!(refused(&at("file"), true), ErrorCode::InvalidArgument);
    assert_eq!(refused(&at("absent"), false), ErrorCode::NotFound);
    assert!(!at("absent").exists());
    assert_eq!(refused(&at("absent").join("db"), true), ErrorCode::NotFound);
    fs::create_dir(at("empty")).unwrap();
    assert_eq!(refused(&at("empty"), false), ErrorCode::NotFound);
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other").join("notes.txt"), b"text").unwrap();
    assert_eq!(refused(&at("other"), true), ErrorCode::InvalidArgument);
    assert_eq!(fs::read_dir(at("other")).unwrap().count(), 1, "the folder was littered");
    open(&at("empty")).close().unwrap();
}

#[test]
fn takes_nobody_elses_file_for_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let names = [
        "blobs",
        "map-of-berlin.txt",
        "journal-1.log",
        "draft.tmp",
        "map-0000000000000001.log.bak",
    ];
    for name in names {
        let path = parent.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), b"somebody's text").unwrap();
        assert_eq!(refused(&path, true), ErrorCode::InvalidArgument, "{name}");
        assert_eq!(fs::read(path.join(name)).unwrap(), b"somebody's text");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn says_which_process_has_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("db");
    open(&path).close().unwrap();
    let disk = coppice_disk::FolderDisk::open(&path).unwrap();
    let held = coppice_disk::FolderLock::acquire(&disk).unwrap();
    let error = Database::open(&path, &Options::default()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(held);
    open(&path).close().unwrap();
}

#[test]
fn checkpoints_by_itself_when_the_journal_has_grown() {
    let parent = tempfile::tempdir().unwrap();
    let options = Options {
        journal_bytes: 64 << 10,
        ..Options::default()
    };
    let database = Database::open(&parent.path().join("db"), &options).unwrap();
    let tree = database.tree("t").unwrap();
    for number in 0..2000u32 {
        put(&database, tree, &number.to_be_bytes());
    }
    for _ in 0..2000 {
        let stats = database.stats().unwrap();
        if stats.checkpoint_rounds > 0 && stats.journal_bytes < 64 << 10 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no checkpoint came: {:?}", database.stats().unwrap());
}

#[test]
fn syncs_before_a_durable_write_returns() {
    let parent = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::Disk,
        ..Options::default()
    };
    let database = Database::open(&parent.path().join("db"), &options).unwrap();
    let tree = database.tree("t").unwrap();
    let before = database.stats().unwrap().journal_syncs;
    put(&database, tree, b"key");
    assert!(database.stats().unwrap().journal_syncs > before);
}

#[test]
fn takes_writes_from_several_threads() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("db");
    let database = open(&path);
    let tree = database.tree("t").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let database = &database;
            scope.spawn(move || {
                for number in 0..500u16 {
                    let key = [&[thread][..], &number.to_be_bytes()].concat();
                    put(database, tree, &key);
                    assert!(has(database, tree, &key));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..5 {
                database.checkpoint().unwrap();
            }
        });
    });
    assert_eq!(database.count(tree, b"").unwrap(), 2000);
    drop(database);
    assert_eq!(open(&path).count(tree, b"").unwrap(), 2000);
}

/// Sums are kept for each frame, and a split takes records out of a frame that the insert does not pass again.
#[test]
fn counts_what_is_there_while_frames_split() {
    let parent = tempfile::tempdir().unwrap();
    let options = Options {
        frame_bytes: 4096,
        durability: Durability::None,
        ..Options::default()
    };
    let database = Database::open(&parent.path().join("db"), &options).unwrap();
    let tree = database.tree("t").unwrap();
    let mut random = 1_u64;
    let mut keys = BTreeSet::new();
    for round in 0..8000 {
        let mut key = Vec::new();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let name = random >> 20;
            match name % 4 {
                0 => key.extend_from_slice(b"a/common/part/"),
                1 => key.extend_from_slice(format!("{}/", name % 97).as_bytes()),
                _ => key.extend_from_slice(&name.to_le_bytes()[..(name % 3) as usize]),
            }
        }
        let value = vec![1; (random % 700) as usize];
        database.put(tree, &key, &value, Condition::Always).unwrap();
        keys.insert(key);
        if round % 8 == 0 {
            let counted = database.count(tree, b"").unwrap();
            assert_eq!(counted, keys.len() as u64, "after put {round}");
        }
    }
}

#[test]
fn keeps_the_journal_within_twice_its_size_however_fast_it_is_written_to() {
    const JOURNAL_BYTES: u64 = 256 << 10;
    let parent = tempfile::tempdir().unwrap();
    let options = Options {
        journal_bytes: JOURNAL_BYTES,
        ..Options::default()
    };
    let database = Database::open(&parent.path().join("db"), &options).unwrap();
    let tree = database.tree("t").unwrap();
    let value = [7; 4000];
    for number in 0..1500_u32 {
        database
            .put(tree, &number.to_be_bytes(), &value, Condition::Always)
            .unwrap();
        let bytes = database.stats().unwrap().journal_bytes;
        assert!(
            bytes <= 2 * JOURNAL_BYTES + 5000,
            "{bytes} bytes of journal at put {number}"
        );
    }
    assert!(database.stats().unwrap().journal_stalls > 0);
    assert_eq!(database.count(tree, b"").unwrap(), 1500);
}
