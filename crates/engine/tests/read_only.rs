//! Databases that are only read: what they show, what they refuse, and that no file changes.
#![allow(
    clippy::unwrap_used,
    reason = "the exemption of tests in clippy.toml does not reach the helpers of an integration test"
)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path};

use coppice_engine::{Condition, Database, Durability, ErrorCode, Operation, Options, Record, TreeId};

fn writing(durability: Durability) -> Options {
    Options {
        durability,
        frame_bytes: 4096,
        ..Options::default()
    }
}

fn reading() -> Options {
    Options {
        read_only: true,
        ..Options::default()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    let read = entries.map(|entry| {
        let entry = entry.unwrap();
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    });
    read.collect()
}

fn fill(database: &Database, keys: u32) {
    let tree = database.tree("t").unwrap();
    for number in 0..keys {
        let len = if number % 40 == 0 { 3000 } else { 30 };
        let key = format!("dir{}/file{number:05}", number % 9);
        database
            .put(tree, key.as_bytes(), &vec![number as u8; len], Condition::Always)
            .unwrap();
    }
}

fn count(database: &Database) -> u64 {
    database.count(database.tree("t").unwrap(), b"").unwrap()
}

fn code<T>(result: Result<T, coppice_engine::Error>) -> ErrorCode {
    result.err().unwrap().code()
}

#[test]
fn reader_sees_blobs_and_journal_and_changes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    // Clean, with a journal to replay, and with things that an opening for writing would sweep up.
    for crash in [false, true] {
        let database = Database::open(folder.path(), &writing(Durability::Process)).unwrap();
        fill(&database, 300);
        database.checkpoint().unwrap();
        fill(&database, 500);
        database.flush().unwrap();
        match crash {
            true => drop(database),
            false => database.close().unwrap(),
        }
        fs::write(folder.path().join("journal-00000000000000ff.tmp"), b"half made").unwrap();
        fs::write(folder.path().join("map-00000000000000ff.log.tmp"), b"half made").unwrap();
        let before = files(folder.path());
        let reader = Database::open(folder.path(), &reading()).unwrap();
        assert_eq!(count(&reader), 500);
        let report = reader.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((report.keys, report.problems), (500, vec![]));
        assert_eq!(
            reader
                .snapshot()
                .unwrap()
                .count(reader.tree("t").unwrap(), b"")
                .unwrap(),
            500
        );
        assert!(reader.stats().unwrap().disk_bytes > 0);
        reader.close().unwrap();
        assert!(files(folder.path()) == before, "a file changed");
    }
}

#[test]
fn what_is_read_stays_within_the_bound_on_memory() {
    const BOUND: u64 = 64 * 4096;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path(), &writing(Durability::Process)).unwrap();
    fill(&database, 30_000);
    database.checkpoint().unwrap();
    // What the journal adds stays in memory, beside the bound, and is more than that by itself.
    let tree = database.tree("t").unwrap();
    for number in 0..400_u32 {
        let key = format!("more{number}");
        database
            .put(tree, key.as_bytes(), &[7; 1000], Condition::Always)
            .unwrap();
    }
    drop(database);
    let options = Options {
        memory_bytes: BOUND,
        ..reading()
    };
    let reader = Database::open(folder.path(), &options).unwrap();
    let tree = reader.tree("t").unwrap();
    let added = reader.stats().unwrap().memory_dirty_bytes;
    assert!(added > BOUND, "{added} bytes");
    let snapshot = reader.snapshot().unwrap();
    for number in (0..30_000_u32).rev() {
        let key = format!("dir{}/file{number:05}", number % 9);
        let first = |record: Option<Record<'_>>| record.and_then(|record| record.value.first().copied());
        assert_eq!(
            reader.get(tree, key.as_bytes(), first).unwrap(),
            Some(number as u8),
            "{key}"
        );
        assert_eq!(
            snapshot.get(tree, key.as_bytes(), first).unwrap(),
            Some(number as u8),
            "{key}"
        );
        if number % 1000 == 0 {
            let used = reader.stats().unwrap().memory_used_bytes;
            assert!(used <= BOUND + added, "{used} bytes of {BOUND} beside {added}");
        }
    }
    assert_eq!(count(&reader), 30_400);
    let stats = reader.stats().unwrap();
    assert!(stats.memory_evictions > 0);
    assert_eq!(stats.memory_budget_bytes, BOUND + added);
}

#[test]
fn too_little_memory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Database::open(folder.path(), &writing(Durability::Process))
        .unwrap()
        .close()
        .unwrap();
    let options = Options {
        memory_bytes: 63 * 4096,
        ..reading()
    };
    assert_eq!(
        code(Database::open(folder.path(), &options)),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn every_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path(), &writing(Durability::Process)).unwrap();
    fill(&database, 10);
    database.close().unwrap();
    let reader = Database::open(folder.path(), &reading()).unwrap();
    let tree = reader.tree("t").unwrap();
    let operation = Operation::Delete {
        tree,
        key: b"k",
        condition: Condition::Always,
    };
    let refusals = [
        code(reader.put(tree, b"k", b"v", Condition::Always)),
        code(reader.put_many(tree, &mut [(&b"k"[..], &b"v"[..])].into_iter())),
        code(reader.delete(tree, b"dir0/file00000", Condition::Always)),
        code(reader.rename(tree, b"dir0/file00000", b"x", false)),
        code(reader.move_prefix(tree, b"dir0/", b"x/")),
        code(reader.delete_prefix(tree, b"dir0/")),
        code(reader.drop_tree("t")),
        code(reader.commit(&[operation])),
        code(reader.checkpoint()),
        code(reader.flush()),
    ];
    assert_eq!(refusals, [ErrorCode::ReadOnly; 10]);
    assert_eq!(reader.tree("none").unwrap(), TreeId::ABSENT);
    assert_eq!(reader.count(TreeId::ABSENT, b"").unwrap(), 0);
    assert_eq!(
        code(reader.put(TreeId::ABSENT, b"k", b"v", Condition::Always)),
        ErrorCode::ReadOnly
    );
    assert_eq!((reader.trees().unwrap().len(), count(&reader)), (1, 10));
}

#[test]
fn readers_share_and_keep_writers_out() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path(), &writing(Durability::Process)).unwrap();
    fill(&database, 10);
    let beside = Database::open(folder.path(), &reading());
    let error = beside.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Locked);
    assert!(error.message().contains("is written to by this process"), "{error}");
    database.close().unwrap();
    let readers = [(); 2].map(|()| Database::open(folder.path(), &reading()).unwrap());
    let error = Database::open(folder.path(), &writing(Durability::Process))
        .err()
        .unwrap();
    assert_eq!(error.code(), ErrorCode::Locked);
    assert!(error.message().contains("is only read by this process"), "{error}");
    for reader in readers {
        assert_eq!(count(&reader), 10);
        reader.close().unwrap();
    }
    fill(
        &Database::open(folder.path(), &writing(Durability::Process)).unwrap(),
        20,
    );
}

#[test]
fn reader_makes_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    assert_eq!(code(Database::open(&path, &reading())), ErrorCode::NotFound);
    assert!(!path.exists());
    assert_eq!(code(Database::open(folder.path(), &reading())), ErrorCode::NotFound);
    assert_eq!(files(folder.path()).len(), 0);
}

#[test]
fn database_that_is_only_read_can_be_copied() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("db"), &writing(Durability::Process)).unwrap();
    fill(&database, 200);
    drop(database);
    let reader = Database::open(&folder.path().join("db"), &reading()).unwrap();
    let copy = folder.path().join("copy");
    reader.backup(&copy, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let copy = Database::open(&copy, &writing(Durability::Process)).unwrap();
    assert_eq!(count(&copy), count(&reader));
}
