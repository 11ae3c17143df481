use std::io;

use super::*;
use crate::test_disk::{Effect, Fault, Survives};

const EFFECTS: [Effect; 3] = [Effect::None, Effect::Half, Effect::All];

/// A database whose map log is rewritten by the second commit of [`changes`].
fn base() -> (TestDisk, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    for round in 0..4 {
        let write = |change: Change, id| change.write(id, image(round * 1000 + u64::from(id), 20));
        commit(&store, &mut model, &(0..480).fold(Change::default(), write));
    }
    commit(&store, &mut model, &Change::default().write(600, image(7, 9000)));
    let delete = |change: Change, id| change.delete(id);
    commit(&store, &mut model, &(2..480).fold(Change::default(), delete));
    store.trim().unwrap();
    assert_eq!(log_name_of(&disk), "map-0000000000000001.log");
    (disk, model)
}

/// The same behind a power cut that tore the map log's last record.
fn torn_base() -> (TestDisk, Model) {
    let (disk, model) = base();
    let name = log_name_of(&disk);
    let torn = [disk.bytes(&name), image(1, 100)].concat();
    disk.set_bytes(&name, &torn);
    (disk, model)
}

fn changes() -> Vec<Change> {
    let many = |change: Change, id| change.write(id, image(u64::from(id), 500));
    vec![
        Change::default()
            .write(0, image(11, 30_000))
            .write(700, image(12, 10))
            .delete(1),
        (800..900).fold(Change::default(), many).delete(600),
        Change::default(),
        Change::default().write(0, image(13, 300_000)),
        Change::default().delete(0).write(1, image(14, 500)),
    ]
}

/// Commits all changes on a disk with a fault, as far as they go. Returns what the store must hold, and what else a
/// reopen may find.
fn commit_all(disk: &TestDisk, mut model: Model, fault: Fault) -> (Model, Option<Model>) {
    let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
    disk.inject(fault);
    let mut doubtful = None;
    for change in changes() {
        let epoch = change.epoch(&model);
        let mut result = store.commit(&epoch);
        if let Err(StoreError::NoSpace { .. }) = result {
            assert_eq!(fault.kind, io::ErrorKind::StorageFull);
            assert!(fault.lasting || contents(&store) == model, "after a full disk");
            result = store.commit(&epoch);
        }
        match result {
            Ok(_) => model = change.after(&model),
            Err(StoreError::Io { .. }) => {
                doubtful = Some(change.after(&model));
                assert!(matches!(store.commit(&epoch), Err(StoreError::Poisoned { .. })));
                assert!(matches!(store.trim(), Err(StoreError::Poisoned { .. })));
                break;
            }
            Err(StoreError::Poisoned { .. }) => break,
            Err(StoreError::NoSpace { .. }) if fault.lasting => break,
            Err(other) => panic!("{fault:?}: {other}"),
        }
    }
    disk.disarm();
    assert_eq!(contents(&store), model, "{fault:?}");
    (model, doubtful)
}

fn check_reopen(disk: &TestDisk, model: &Model, doubtful: Option<&Model>, what: &str) {
    let store = Store::open(disk.handle(), IoUring::Auto).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found = contents(&store);
    assert!(found == *model || Some(&found) == doubtful, "{what}: found {found:?}");
    for change in changes() {
        commit(&store, &mut found, &change);
    }
    assert_eq!(
        contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()),
        found,
        "{what}"
    );
}

#[test]
fn the_scenario_rewrites_the_log() {
    let (disk, model) = base();
    let fault = Fault {
        after: u64::MAX,
        kind: io::ErrorKind::Other,
        effect: Effect::None,
        lasting: false,
    };
    commit_all(&disk, model, fault);
    assert_eq!(log_name_of(&disk), "map-0000000000000002.log");
}

#[test]
fn a_failure_at_any_call_leaves_the_state_before_or_after() {
    for (base, model) in [base(), torn_base()] {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            for effect in EFFECTS {
                for after in 0.. {
                    let disk = base.fork();
                    let fault = Fault {
                        after,
                        kind,
                        effect,
                        lasting: false,
                    };
                    let (model, doubtful) = commit_all(&disk, model.clone(), fault);
                    if !disk.fired() {
                        assert!(after > 20, "the scenario takes more calls than {after}");
                        break;
                    }
                    for survives in [Survives::Everything, Survives::Synced] {
                        let disk = disk.after_power_cut(survives);
                        check_reopen(&disk, &model, doubtful.as_ref(), &format!("{fault:?}, {survives:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_the_state_before_or_after() {
    for (base, model) in [base(), torn_base()] {
        for effect in EFFECTS {
            for after in 0.. {
                let disk = base.fork();
                let fault = Fault {
                    after,
                    kind: io::ErrorKind::Other,
                    effect,
                    lasting: true,
                };
                let (model, doubtful) = commit_all(&disk, model.clone(), fault);
                if !disk.fired() {
                    break;
                }
                for survives in [Survives::Everything, Survives::Synced] {
                    let disk = disk.after_power_cut(survives);
                    check_reopen(&disk, &model, doubtful.as_ref(), &format!("{fault:?}, {survives:?}"));
                }
            }
        }
    }
}

#[test]
fn a_power_cut_during_recovery_changes_nothing() {
    let (base, model) = torn_base();
    base.set_bytes("map-0000000000000002.log.tmp", b"half");
    for effect in EFFECTS {
        for after in 0.. {
            let disk = base.fork();
            disk.inject(Fault {
                after,
                kind: io::ErrorKind::Other,
                effect,
                lasting: true,
            });
            drop(Store::open(disk.handle(), IoUring::Auto));
            if !disk.fired() {
                break;
            }
            // Of the damage done behind the disk's back, nothing is synced.
            let disk = disk.after_power_cut(Survives::Everything);
            check_reopen(&disk, &model, None, &format!("call {after}, {effect:?}"));
        }
    }
}

#[test]
fn an_error_at_any_call_of_an_open_is_an_error_and_harms_nothing() {
    let (base, model) = base();
    for after in 0.. {
        let disk = base.fork();
        disk.inject(Fault {
            after,
            kind: io::ErrorKind::Other,
            effect: Effect::None,
            lasting: false,
        });
        let opened = Store::open(disk.handle(), IoUring::Auto);
        if !disk.fired() {
            break;
        }
        match opened {
            Err(StoreError::Io { .. }) => {}
            other => panic!("call {after}: {:?}", other.map(|store| store.stats())),
        }
        check_reopen(&disk.fork(), &model, None, &format!("call {after}"));
    }
}

#[test]
fn a_disk_that_stays_full_is_survived() {
    let (base, model) = base();
    for effect in [Effect::None, Effect::Half] {
        for after in 0.. {
            let disk = base.fork();
            let fault = Fault {
                after,
                kind: io::ErrorKind::StorageFull,
                effect,
                lasting: true,
            };
            let (model, doubtful) = commit_all(&disk, model.clone(), fault);
            if !disk.fired() {
                break;
            }
            check_reopen(&disk.fork(), &model, doubtful.as_ref(), &format!("{fault:?}"));
        }
    }
}

#[test]
fn a_failed_sync_of_the_blobs_poisons_even_when_it_says_the_disk_is_full() {
    let (disk, store) = new_store();
    disk.inject(Fault {
        after: 1,
        kind: io::ErrorKind::StorageFull,
        effect: Effect::None,
        lasting: false,
    });
    let change = Change::default().write(0, image(1, 10));
    let error = store.commit(&change.epoch(&Model::default())).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    let again = store.commit(&change.epoch(&Model::default())).unwrap_err();
    assert!(again.to_string().contains("syncing blobs"), "{again}");
}

#[test]
fn a_full_disk_gives_back_the_room_it_had_taken() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 10)));
    let before = (store.stats(), disk.bytes("blobs").len());
    disk.inject(Fault {
        after: 0,
        kind: io::ErrorKind::StorageFull,
        effect: Effect::Half,
        lasting: false,
    });
    let change = Change::default().write(1, image(2, 100_000));
    assert!(matches!(
        store.commit(&change.epoch(&model)),
        Err(StoreError::NoSpace { .. })
    ));
    assert_eq!((store.stats(), disk.bytes("blobs").len()), before);
    commit(&store, &mut model, &change);
    assert_eq!(contents(&store), model);
}

/// Or else it would name extents that the next commit has overwritten, should the power fail before that one's record.
#[test]
fn a_record_that_the_full_disk_refused_is_taken_back_before_its_extents_are_reused() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 10)));
    let log_write = |kind, effect, lasting| Fault {
        after: 2,
        kind,
        effect,
        lasting,
    };
    disk.inject(log_write(io::ErrorKind::StorageFull, Effect::All, false));
    let refused = Change::default().write(0, image(2, 10));
    assert!(matches!(
        store.commit(&refused.epoch(&model)),
        Err(StoreError::NoSpace { .. })
    ));
    disk.inject(log_write(io::ErrorKind::Other, Effect::None, true));
    let next = Change::default().write(0, image(3, 10));
    assert!(matches!(store.commit(&next.epoch(&model)), Err(StoreError::Io { .. })));
    for survives in [Survives::Everything, Survives::Synced] {
        check_reopen(&disk.after_power_cut(survives), &model, None, &format!("{survives:?}"));
    }
}

/// The process died between a record's write and its sync; what the next one then finds must not be taken back.
#[test]
fn what_an_open_has_found_survives_a_power_cut_right_after() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 10)));
    disk.inject(Fault {
        after: 3,
        kind: io::ErrorKind::Other,
        effect: Effect::None,
        lasting: false,
    });
    let change = Change::default().write(0, image(2, 10));
    assert!(matches!(
        store.commit(&change.epoch(&model)),
        Err(StoreError::Io { .. })
    ));
    disk.disarm();
    let found = contents(&Store::open(disk.handle(), IoUring::Auto).unwrap());
    assert_eq!(found, change.after(&model));
    let disk = disk.after_power_cut(Survives::Synced);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), found);
}
