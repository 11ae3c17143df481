//! The whole of it: an engine over files that count and fail.

use std::io;

use coppice_store::Store;

use super::{counting_disk::CountingDisk, *};
use crate::{
    core::{Engine, Reads},
    options::{Durability, IoUring, Options},
    request::{Condition, TreeId},
};

fn options() -> Options {
    Options {
        durability: Durability::None,
        frame_bytes: 4096,
        coalesce_window: Duration::ZERO,
        ..Options::default()
    }
}

fn open(disk: &CountingDisk) -> Engine {
    Engine::open(Arc::new(disk.clone()), None, &options()).unwrap()
}

fn put(engine: &Engine, tree: TreeId, key: &str, value: &[u8]) {
    engine.put(tree, key.as_bytes(), value, Condition::Always).unwrap();
}

fn get(engine: &Engine, tree: TreeId, key: &str) -> Option<Vec<u8>> {
    let value = engine.get(tree, key.as_bytes(), |record| {
        record.map(|record| record.value.to_vec())
    });
    value.unwrap()
}

fn prepared() -> (CountingDisk, Engine, TreeId) {
    let disk = CountingDisk::default();
    let engine = open(&disk);
    let tree = engine.tree("t").unwrap();
    put(&engine, tree, "large", &[1; 100_000]);
    engine.checkpoint().unwrap();
    disk.take_events();
    (disk, engine, tree)
}

#[test]
fn a_round_is_one_write_and_one_sync_then_one_record_and_its_sync() {
    let (disk, engine, tree) = prepared();
    for key in 0..500 {
        put(&engine, tree, &format!("k{key}"), &[2; 100]);
    }
    let report = engine.checkpoint().unwrap();
    assert!(report.flushed_blobs > 10);
    assert_eq!(
        disk.take_events(),
        ["write blobs", "sync blobs", "write map", "sync map"]
    );
    assert_eq!(report.syncs, 2);
}

#[test]
fn epochs_that_wait_together_are_one_write_and_one_sync() {
    let disk = CountingDisk::default();
    let store = Arc::new(Store::create(Arc::new(disk.clone()), 1, 4096, IoUring::Auto).unwrap());
    disk.take_events();
    let epochs: Vec<Epoch> = (1..=10)
        .map(|version| epoch(version, &[(version as u32, 1), (77, version as u8)], &[]))
        .collect();
    let target = StoreOnly(Arc::clone(&store));
    let result = commit_group(&target, &epochs);
    assert!(!result.failed && result.outcomes.iter().all(Result::is_ok));
    assert_eq!(
        disk.take_events(),
        ["write blobs", "sync blobs", "write map", "sync map"]
    );
    let mut image = [0; 8];
    store.read(77, &mut image).unwrap();
    assert_eq!((image, store.cut()), ([10; 8], 10));
}

/// A store without a journal beside it.
struct StoreOnly(Arc<Store>);

impl Target for StoreOnly {
    fn commit(&self, epoch: &StoreEpoch<'_>) -> Result<CommitReport, Error> {
        self.0.commit(epoch).map_err(crate::core::store_error)
    }

    fn free(&self, blob: u32) -> Result<bool, Error> {
        self.0.free(blob).map_err(crate::core::store_error)
    }

    fn settle_frees(&self) -> Result<u64, Error> {
        self.0.settle_frees().map_err(crate::core::store_error)
    }

    fn trim_journal(&self, _cut: u64) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn deletes_that_shorten_the_file_take_the_second_sync() {
    let (disk, engine, tree) = prepared();
    for part in 0..4 {
        put(&engine, tree, &format!("z{part}"), &vec![3; 10 << 20]);
    }
    engine.checkpoint().unwrap();
    for part in 0..4 {
        assert!(
            engine
                .delete(tree, format!("z{part}").as_bytes(), Condition::Always)
                .unwrap()
        );
    }
    disk.take_events();
    let report = engine.checkpoint().unwrap();
    assert_eq!(
        (report.pending_deletes, report.applied_deletes, report.syncs),
        (4, 4, 3)
    );
    let events = disk.take_events();
    assert_eq!(
        events[2..],
        ["write map", "sync map", "set_len blobs", "sync blobs"],
        "{events:?}"
    );
}

#[test]
fn a_failed_write_issues_no_sync_and_is_made_good_by_the_next_round() {
    let (disk, engine, tree) = prepared();
    put(&engine, tree, "a", b"1");
    assert!(engine.delete(tree, b"large", Condition::Always).unwrap());
    disk.fail("write blobs", io::ErrorKind::StorageFull);
    assert_eq!(engine.checkpoint().unwrap_err().code(), ErrorCode::NoSpace);
    let events = disk.take_events();
    assert!(!events.iter().any(|event| event.starts_with("sync")), "{events:?}");

    // Dirtied again meanwhile: what is written is the newer image.
    put(&engine, tree, "a", b"2");
    disk.heal();
    let report = engine.checkpoint().unwrap();
    assert_eq!((report.pending_deletes, report.applied_deletes), (1, 1));
    let stats = engine.stats().unwrap();
    assert_eq!((stats.checkpoint_failures, stats.checkpoint_rounds), (1, 2));
    assert!(stats.checkpoint_last_error.unwrap().contains("blobs"));
    engine.abandon();
    let engine = open(&disk);
    assert_eq!(get(&engine, tree, "a").as_deref(), Some(b"2".as_slice()));
    assert_eq!(get(&engine, tree, "large"), None);
}

#[test]
fn a_failed_sync_ends_the_writes_and_a_later_open_finds_the_old_state_or_the_new() {
    for event in ["sync blobs", "sync map"] {
        let (disk, engine, tree) = prepared();
        put(&engine, tree, "a", b"1");
        disk.fail(event, io::ErrorKind::Other);
        assert_eq!(engine.checkpoint().unwrap_err().code(), ErrorCode::Io);
        disk.heal();
        let refused = engine.put(tree, b"b", b"", Condition::Always).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ReadOnly);
        assert_eq!(engine.checkpoint().unwrap_err().code(), ErrorCode::ReadOnly);
        assert_eq!(get(&engine, tree, "a").as_deref(), Some(b"1".as_slice()), "reads go on");
        assert!(engine.shut_down().is_err());
        let engine = open(&disk);
        assert_eq!(get(&engine, tree, "large"), Some(vec![1; 100_000]));
    }
}

#[test]
fn the_last_round_goes_through_the_queue_and_its_error_reaches_who_closes() {
    let (disk, engine, tree) = prepared();
    put(&engine, tree, "a", b"1");
    disk.fail("write map", io::ErrorKind::StorageFull);
    assert_eq!(engine.shut_down().unwrap_err().code(), ErrorCode::NoSpace);

    let (disk, engine, tree) = prepared();
    put(&engine, tree, "a", b"1");
    engine.shut_down().unwrap();
    assert_eq!(
        disk.take_events(),
        ["write blobs", "sync blobs", "write map", "sync map"]
    );
    assert_eq!(get(&open(&disk), tree, "a").as_deref(), Some(b"1".as_slice()));
}

#[test]
fn many_who_ask_at_once_all_find_their_writes_on_disk() {
    let (disk, engine, tree) = prepared();
    thread::scope(|scope| {
        for writer in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..20 {
                    put(engine, tree, &format!("{writer}/{round}"), &[writer; 50]);
                    let last = engine.last_commit();
                    let report = engine.checkpoint().unwrap();
                    assert!(report.version >= last);
                }
            });
        }
    });
    engine.abandon();
    let engine = open(&disk);
    assert_eq!(engine.count(tree, b"").unwrap(), 161);
}
