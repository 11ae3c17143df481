use std::io;

use super::*;
use crate::test_disk::{Effect, Fault, Survives};

/// A store with a blob of 40 MiB behind a small one, in parts, and their model.
fn long_store() -> (TestDisk, Store, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 100)));
    let part = |change: Change, id| change.write(id, image(u64::from(id), 10 << 20));
    commit(&store, &mut model, &(1..5).fold(Change::default(), part));
    (disk, store, model)
}

fn deletes(model: &Model) -> Change {
    (1..5).fold(Change::default(), |change, id| {
        assert!(model.blobs.contains_key(&id));
        change.delete(id)
    })
}

#[test]
fn a_deleted_blobs_pages_are_not_used_before_its_delete_is_applied() {
    let (_disk, store, mut model) = long_store();
    let change = Change::default().delete(1);
    store.commit(&change.epoch(&model)).unwrap();
    model = change.after(&model);
    let stats = store.stats();
    assert_eq!((stats.free_bytes, stats.retired_bytes), (0, 10 << 20));
    let before = stats.file_bytes;
    commit(&store, &mut model, &Change::default().write(9, image(2, 4096)));
    assert_eq!(store.stats().file_bytes, before + PAGE);
    assert!(store.free(1).unwrap());
    assert_eq!(store.stats().free_bytes, 10 << 20);
    commit(&store, &mut model, &Change::default().write(10, image(3, 4096)));
    assert_eq!(store.stats().file_bytes, before + PAGE);
    assert_eq!(contents(&store), model);
}

#[test]
fn what_was_not_deleted_is_not_freed() {
    let (_disk, store, mut model) = long_store();
    assert!(!store.free(1).unwrap(), "it is there");
    commit(&store, &mut model, &Change::default().delete(1));
    assert!(!store.free(1).unwrap(), "it was freed");
    assert!(!store.free(77).unwrap(), "it never was");
    assert_eq!(contents(&store), model);
}

#[test]
fn a_long_free_tail_goes_back_to_the_disk_with_one_sync() {
    let (disk, store, mut model) = long_store();
    let change = deletes(&model);
    commit(&store, &mut model, &change);
    assert_eq!(store.settle_frees().unwrap(), 1);
    let bytes = disk.after_power_cut(Survives::Synced).bytes("blobs").len();
    assert!(bytes < 12 << 20, "{bytes} bytes are left");
    assert_eq!(store.stats().file_bytes, bytes as u64);
    assert_eq!(store.settle_frees().unwrap(), 0, "some of it is kept for later commits");
    assert_eq!(contents(&store), model);
    let disk = disk.after_power_cut(Survives::Synced);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn a_short_free_tail_is_kept() {
    let (disk, store, mut model) = long_store();
    commit(&store, &mut model, &Change::default().delete(4));
    let bytes = disk.bytes("blobs").len();
    assert_eq!(store.settle_frees().unwrap(), 0);
    assert_eq!(disk.bytes("blobs").len(), bytes);
}

#[test]
fn a_failure_to_shrink_ends_the_commits_and_loses_nothing() {
    for after in 0..2 {
        let (disk, store, mut model) = long_store();
        let change = deletes(&model);
        commit(&store, &mut model, &change);
        disk.inject(Fault {
            after,
            kind: io::ErrorKind::StorageFull,
            effect: Effect::All,
            lasting: false,
        });
        assert!(matches!(store.settle_frees(), Err(StoreError::Io { .. })));
        assert!(matches!(store.free(0), Err(StoreError::Poisoned { .. })));
        assert!(matches!(store.settle_frees(), Err(StoreError::Poisoned { .. })));
        disk.disarm();
        assert_eq!(contents(&store), model);
        for survives in [Survives::Everything, Survives::Synced] {
            let disk = disk.after_power_cut(survives);
            assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
        }
    }
}
