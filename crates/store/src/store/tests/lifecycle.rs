use std::io;

use super::*;
use crate::test_disk::{Effect, Fault, Survives};

fn is_absent(disk: &TestDisk) -> bool {
    matches!(
        Store::open(disk.handle(), IoUring::Auto),
        Err(StoreError::NotADatabase { .. })
    )
}

#[test]
fn an_empty_folder_is_no_database() {
    assert!(is_absent(&TestDisk::new()));
}

#[test]
fn other_files_are_left_alone_and_make_no_database() {
    let disk = TestDisk::new();
    disk.set_bytes("notes.txt", b"mine");
    disk.set_bytes("map-1.log", &[7; 1000]);
    assert!(is_absent(&disk));
    drop(Store::create(disk.handle(), DATABASE, FRAME, IoUring::Auto).unwrap());
    drop(Store::open(disk.handle(), IoUring::Auto).unwrap());
    assert_eq!(disk.bytes("notes.txt"), b"mine");
    assert_eq!(disk.bytes("map-1.log"), [7; 1000]);
}

#[test]
fn a_database_is_not_made_over_another() {
    let (disk, store) = new_store();
    commit(&store, &mut Model::default(), &Change::default().write(0, image(1, 10)));
    let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    assert!(matches!(
        Store::create(disk.handle(), 5, FRAME, IoUring::Auto),
        Err(StoreError::AlreadyADatabase { .. })
    ));
    assert_eq!(
        before,
        disk.names().iter().map(|name| disk.bytes(name)).collect::<Vec<_>>()
    );
}

#[test]
fn frames_are_whole_pages() {
    for frame_bytes in [0, 1, 4097, 32 << 20] {
        assert!(matches!(
            Store::create(TestDisk::new().handle(), DATABASE, frame_bytes, IoUring::Auto),
            Err(StoreError::Refused { .. })
        ));
        assert!(matches!(
            Store::in_memory(DATABASE, frame_bytes),
            Err(StoreError::Refused { .. })
        ));
    }
}

#[test]
fn a_creation_cut_short_anywhere_counts_as_absent_and_can_be_repeated() {
    for survives in [Survives::Synced, Survives::Everything] {
        for effect in [Effect::None, Effect::Half, Effect::All] {
            for after in 0.. {
                let disk = TestDisk::new();
                disk.inject(Fault {
                    after,
                    kind: io::ErrorKind::Other,
                    effect,
                    lasting: true,
                });
                let made = Store::create(disk.handle(), DATABASE, FRAME, IoUring::Auto);
                if !disk.fired() {
                    assert!(after > 10, "creation takes more calls than {after}");
                    break;
                }
                let disk = disk.after_power_cut(survives);
                match Store::open(disk.handle(), IoUring::Auto) {
                    Ok(store) => assert_eq!(contents(&store), Model::default()),
                    Err(StoreError::NotADatabase { .. }) => {
                        assert!(made.is_err());
                        let store = Store::create(disk.handle(), 77, FRAME, IoUring::Auto).unwrap();
                        assert_eq!(store.database_id(), 77);
                        commit(&store, &mut Model::default(), &Change::default().write(0, image(1, 10)));
                    }
                    Err(other) => panic!("call {after}, {survives:?}, {effect:?}: {other}"),
                }
            }
        }
    }
}

#[test]
fn a_database_that_lost_its_superblock_is_neither_opened_nor_made_anew() {
    let (disk, store) = new_store();
    commit(&store, &mut Model::default(), &Change::default().write(0, image(1, 10)));
    disk.handle().remove("coppice.super").unwrap();
    for result in [
        Store::open(disk.handle(), IoUring::Auto),
        Store::create(disk.handle(), 5, FRAME, IoUring::Auto),
    ] {
        match result {
            Err(StoreError::Corrupt { file, .. }) => assert_eq!(file, "coppice.super"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(disk.names().len(), 2);
}

#[test]
fn leftovers_of_older_and_half_made_generations_are_swept_up() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 10)));
    drop(store);
    disk.set_bytes("map-0000000000000000.log", b"old");
    disk.set_bytes("map-0000000000000002.log.tmp", b"half");
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
    assert_eq!(disk.names(), ["blobs", "coppice.super", "map-0000000000000001.log"]);
}

#[test]
fn a_real_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let disk = || -> Arc<dyn coppice_disk::Disk> { Arc::new(coppice_disk::FolderDisk::open(folder.path()).unwrap()) };
    let mut model = Model::default();
    let store = Store::create(disk(), DATABASE, FRAME, IoUring::Auto).unwrap();
    for round in 0..20 {
        let change = Change::default()
            .write(round, image(u64::from(round), 70_000))
            .write(100, image(9, 10));
        commit(&store, &mut model, &change);
    }
    commit(&store, &mut model, &Change::default().delete(3).delete(19));
    assert_eq!(contents(&store), model);
    drop(store);
    assert_eq!(contents(&Store::open(disk(), IoUring::Auto).unwrap()), model);
}
