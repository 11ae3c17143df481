use std::io;

use super::*;
use crate::{
    store::Relocation,
    test_disk::{Effect, Fault, Survives},
};

/// Blobs of one to five pages, every second one deleted.
fn holey_store() -> (TestDisk, Store, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let write = |change: Change, id: u32| change.write(id, image(u64::from(id), 1000 + 4096 * (id as usize % 5)));
    commit(&store, &mut model, &(0..60).fold(Change::default(), write));
    let delete = |change: Change, id: u32| change.delete(id * 2);
    commit(&store, &mut model, &(0..30).fold(Change::default(), delete));
    (disk, store, model)
}

fn used_bytes(model: &Model) -> u64 {
    model
        .blobs
        .values()
        .map(|(info, _)| u64::from(info.bytes).div_ceil(PAGE) * PAGE)
        .sum()
}

#[test]
fn steps_come_to_an_end_and_leave_the_file_short() {
    let (disk, store, model) = holey_store();
    let before = store.stats().file_bytes;
    let mut steps = 0;
    loop {
        let step = store.relocate(40_000).unwrap();
        if step == Relocation::default() {
            break;
        }
        assert!(step.moved_blobs > 0 && step.moved_bytes <= 40_960, "{step:?}");
        assert_eq!(contents(&store), model);
        steps += 1;
    }
    assert!(steps > 3);
    let freed = store.trim().unwrap();
    let after = store.stats();
    assert_eq!(after.file_bytes, before - freed);
    assert!(
        after.file_bytes <= PAGE + used_bytes(&model) + 5 * PAGE,
        "{} bytes for {}",
        after.file_bytes,
        used_bytes(&model)
    );
    assert_eq!(disk.bytes("blobs").len() as u64, after.file_bytes);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn a_blob_larger_than_a_step_is_moved_all_the_same() {
    let (_disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 300_000)));
    commit(&store, &mut model, &Change::default().write(1, image(2, 200_000)));
    commit(&store, &mut model, &Change::default().delete(0));
    assert_eq!(store.relocate(1).unwrap().moved_blobs, 1);
    assert_eq!(store.relocate(1).unwrap(), Relocation::default());
    assert!(store.trim().unwrap() > 200_000);
    assert_eq!(contents(&store), model);
}

#[test]
fn a_full_file_is_left_alone() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 9000)).write(1, image(2, 10)),
    );
    let before = (disk.bytes("blobs"), disk.bytes(&log_name_of(&disk)));
    assert_eq!(store.relocate(1 << 20).unwrap(), Relocation::default());
    assert!(before == (disk.bytes("blobs"), disk.bytes(&log_name_of(&disk))));
    assert_eq!(contents(&store), model);
}

#[test]
fn a_damaged_blob_is_not_moved() {
    let (disk, store, _model) = holey_store();
    let mut bytes = disk.bytes("blobs");
    let last = bytes
        .windows(1000)
        .rposition(|bytes| bytes == &image(59, 1000)[..])
        .unwrap();
    bytes[last] ^= 1;
    disk.set_bytes("blobs", &bytes);
    let before = store.stats();
    assert!(matches!(
        store.relocate(1 << 20),
        Err(StoreError::Corrupt { blob: Some(59), .. })
    ));
    assert_eq!(store.stats(), before);
}

#[test]
fn a_failure_at_any_call_of_a_step_loses_nothing() {
    let (base, _, model) = holey_store();
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        for effect in [Effect::None, Effect::Half, Effect::All] {
            for after in 0.. {
                let disk = base.fork();
                let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
                disk.inject(Fault {
                    after,
                    kind,
                    effect,
                    lasting: false,
                });
                let moved = store.relocate(100_000);
                if !disk.fired() {
                    assert!(after > 4, "a step takes more calls than {after}");
                    break;
                }
                assert!(moved.is_err());
                disk.disarm();
                assert_eq!(contents(&store), model);
                for survives in [Survives::Everything, Survives::Synced] {
                    let disk = disk.after_power_cut(survives);
                    let mut found = model.clone();
                    let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
                    assert_eq!(contents(&store), model, "{kind:?} at {after}, {effect:?}, {survives:?}");
                    commit(
                        &store,
                        &mut found,
                        &Change::default().write(0, image(9, 30_000)).delete(1),
                    );
                    store.relocate(100_000).unwrap();
                    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), found);
                }
            }
        }
    }
}
