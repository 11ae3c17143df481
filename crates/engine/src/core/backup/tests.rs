//! Copies against what they are copies of.

use std::{collections::BTreeMap, ops::ControlFlow, sync::atomic::AtomicU64};

use coppice_disk::MemoryDisk;

use super::*;
use crate::{
    core::{
        Reads,
        tests::{Tree, assert_same, contents, open, options},
    },
    options::{Durability, Options},
    request::{Condition, TreeId},
    testing::FailingDisk,
};

fn fill(engine: &Engine, round: u8) -> TreeId {
    let tree = engine.tree("t").unwrap();
    for number in 0..900_u32 {
        let len = if number % 40 == 0 { 6000 } else { 30 };
        let key = format!("dir{}/file{number:05}", number % 9);
        engine
            .put(tree, key.as_bytes(), &vec![round; len], Condition::Always)
            .unwrap();
    }
    tree
}

fn back_up(engine: &Engine, disk: &MemoryDisk) -> Result<(), Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    engine.backup_to(&disk, NewDatabase::random().unwrap(), &mut |_, _| {
        ControlFlow::Continue(())
    })
}

/// The copy is what the engine was, takes writes, and goes on with the versions.
fn assert_copied(copy: &MemoryDisk, model: &BTreeMap<String, Tree>, version: u64) {
    for durability in [Durability::Process, Durability::None] {
        let copied = open(copy, durability);
        assert_eq!(copied.last_commit(), version);
        assert_same(&copied, model);
        copied.shut_down().unwrap();
    }
    let copied = open(copy, Durability::Process);
    let tree = copied.tree("later").unwrap();
    assert!(
        !model
            .values()
            .flat_map(|tree| tree.values())
            .any(|(version, _)| *version > copied.last_commit())
    );
    let put = copied.put(tree, b"k", b"v", Condition::Always).unwrap().unwrap();
    assert!(put > version);
    drop(copied);
    let again = open(copy, Durability::Process);
    assert_eq!(again.count(tree, &[]).unwrap(), 1);
}

#[test]
fn copy_is_a_database_with_the_same_in_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    // Once all of it is held, once all is in the image, once some of each.
    for round in 0..3 {
        if round != 1 {
            fill(&engine, round);
        }
        if round == 1 {
            engine.checkpoint().unwrap();
        }
        let tree = engine.tree("t").unwrap();
        engine.delete_prefix(tree, b"dir3/").unwrap();
        engine.put(tree, b"", &[1; 9000], Condition::Always).unwrap();
        let model = BTreeMap::from([("t".to_owned(), contents(&engine, tree))]);
        let copy = MemoryDisk::new();
        let version = engine.last_commit();
        back_up(&engine, &copy).unwrap();
        assert_copied(&copy, &model, version);
    }
    assert_eq!(engine.stats().unwrap().snapshots_open, 0);
}

#[test]
fn copy_is_read_from_disk_where_nothing_is_in_memory() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = fill(&engine, 1);
    let model = BTreeMap::from([("t".to_owned(), contents(&engine, tree))]);
    engine.shut_down().unwrap();
    let engine = open(&disk, Durability::Process);
    let version = engine.last_commit();
    let copy = MemoryDisk::new();
    back_up(&engine, &copy).unwrap();
    let census = engine.shared().forest.table.census();
    assert_eq!(census.resident_bytes, 0, "something of it was kept");
    assert_copied(&copy, &model, version);
}

#[test]
fn volatile_database_can_be_copied() {
    let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
    let tree = fill(&engine, 1);
    let model = BTreeMap::from([("t".to_owned(), contents(&engine, tree))]);
    let copy = MemoryDisk::new();
    back_up(&engine, &copy).unwrap();
    assert_copied(&copy, &model, engine.last_commit());
}

#[test]
fn empty_database_can_be_copied() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    let copy = MemoryDisk::new();
    back_up(&engine, &copy).unwrap();
    assert_copied(&copy, &BTreeMap::new(), 0);
}

#[test]
fn copy_has_an_identity_of_its_own() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    fill(&engine, 1);
    let copy = MemoryDisk::new();
    back_up(&engine, &copy).unwrap();
    let id = |engine: &Engine| engine.durable().unwrap().folder.store.database_id();
    assert_ne!(id(&engine), id(&open(&copy, Durability::Process)));
}

#[test]
fn progress_counts_blobs_up_to_their_number() {
    let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
    fill(&engine, 1);
    let blobs = engine.stats().unwrap().blobs;
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut steps = Vec::new();
    let copied = engine.backup_to(&disk, NewDatabase::random().unwrap(), &mut |done, total| {
        steps.push((done, total));
        ControlFlow::Continue(())
    });
    copied.unwrap();
    assert!(
        steps.is_sorted() && steps.iter().all(|(_, total)| *total == blobs),
        "{steps:?}"
    );
    assert_eq!(steps.last(), Some(&(blobs, blobs)));
}

#[test]
fn copy_that_was_called_off_is_no_database() {
    let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
    fill(&engine, 1);
    let copy = MemoryDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(copy.clone());
    let copied = engine.backup_to(
        &disk,
        NewDatabase::random().unwrap(),
        &mut |_, _| ControlFlow::Break(()),
    );
    assert_eq!(copied.unwrap_err().code(), ErrorCode::Aborted);
    assert!(
        !copy
            .list()
            .unwrap()
            .iter()
            .any(|name| name == coppice_store::SUPERBLOCK_NAME)
    );
    let reopened = Engine::open(Arc::new(copy), None, &options(Durability::Process));
    assert_eq!(reopened.err().unwrap().code(), ErrorCode::Corrupt);
}

#[test]
fn failures_of_the_destination_say_where_they_are() {
    for (kind, code) in [
        (std::io::ErrorKind::StorageFull, ErrorCode::NoSpace),
        (std::io::ErrorKind::PermissionDenied, ErrorCode::Io),
    ] {
        let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
        fill(&engine, 1);
        let failing = FailingDisk::default();
        let disk: Arc<dyn Disk> = Arc::new(failing.clone());
        let steps = AtomicU64::new(0);
        let copied = engine.backup_to(&disk, NewDatabase::random().unwrap(), &mut |_, _| {
            steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            failing.fail_writes(Some(kind));
            ControlFlow::Continue(())
        });
        let error = copied.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.message().starts_with(&disk.label()), "{error}");
        // The database is as good as before.
        engine.tree("other").unwrap();
    }
}

#[test]
fn damage_is_not_copied() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    fill(&engine, 1);
    engine.shut_down().unwrap();
    let file = disk.open("blobs").unwrap();
    let offset = file.len().unwrap() / 2;
    let mut byte = [0];
    file.read_exact_at(offset, &mut byte).unwrap();
    file.write_all_at(offset, &[byte[0] ^ 1]).unwrap();
    let engine = open(&disk, Durability::Process);
    let error = back_up(&engine, &MemoryDisk::new()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert_eq!(engine.stats().unwrap().snapshots_open, 0);
}
