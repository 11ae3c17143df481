use std::sync::Arc;

use super::*;

fn image_contents(store_image: &Image) -> Model {
    let mut model = Model {
        cut: store_image.cut(),
        next_tree: store_image.next_tree(),
        ..Model::default()
    };
    for (id, info) in store_image.blobs() {
        let mut bytes = vec![0; info.bytes as usize];
        store_image.read(id, &mut bytes).unwrap();
        model.blobs.insert(id, (info, bytes.into()));
    }
    model
}

#[test]
fn image_stays_as_it_was_whatever_is_committed_moved_and_trimmed() {
    let (_disk, store) = new_store();
    let store = Arc::new(store);
    let mut model = Model::default();
    let first = (0..8).fold(Change::default(), |change, id| {
        change.write(id, image(u64::from(id), 9000))
    });
    commit(&store, &mut model, &first);
    let (taken, before) = (store.image(), model.clone());
    for round in 1..20_u64 {
        let blob = round as u32 % 7;
        let mut change = Change::default().write(blob, image(round * 100, 9000));
        if round == 5 {
            change = change.delete(7);
        }
        commit(&store, &mut model, &change);
        store.relocate(1 << 20).unwrap();
        store.trim().unwrap();
    }
    assert_eq!(image_contents(&taken), before);
    assert!(store.stats().retired_bytes > 0);
    drop(taken);
    assert_eq!(store.stats().retired_bytes, 0);
    assert_eq!(contents(&store), model);
}

#[test]
fn image_says_where_a_blob_lies_and_refuses_what_it_has_not() {
    let (disk, store) = new_store();
    let store = Arc::new(store);
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(3, image(1, 5000)));
    let taken = store.image();
    let (file, offset) = taken.place(3).unwrap();
    let at = offset as usize;
    assert_eq!(disk.bytes(file)[at..at + 5000], image(1, 5000));
    assert_eq!((taken.place(4), taken.info(4)), (None, None));
    assert!(matches!(taken.read(4, &mut []), Err(StoreError::Absent { blob: 4 })));
    assert!(matches!(taken.read(3, &mut [0; 9]), Err(StoreError::Refused { .. })));
}

#[test]
fn files_of_a_store_that_commits_are_sound() {
    let (_disk, store) = new_store();
    let mut model = Model::default();
    for round in 0..5 {
        commit(&store, &mut model, &Change::default().write(0, image(round, 300)));
        assert!(store.check_files().is_empty());
    }
    assert!(Store::in_memory(DATABASE, FRAME).unwrap().check_files().is_empty());
}

#[test]
fn map_log_that_lost_its_last_record_is_reported() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 300)));
    commit(&store, &mut model, &Change::default().write(0, image(2, 300)));
    let name = log_name_of(&disk);
    let mut bytes = disk.bytes(&name);
    let len = bytes.len();
    bytes[len - 1] ^= 1;
    disk.set_bytes(&name, &bytes);
    let found = store.check_files();
    assert!(
        matches!(&found[..], [StoreError::Corrupt { file, .. }] if *file == name),
        "{found:?}"
    );
}

#[test]
fn image_that_is_held_long_keeps_its_own_blobs_and_not_what_came_later() {
    let (_disk, store) = new_store();
    let store = Arc::new(store);
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(0, 9000)));
    let taken = store.image();
    for round in 1..50 {
        commit(&store, &mut model, &Change::default().write(0, image(round, 9000)));
    }
    let stats = store.stats();
    assert_eq!((stats.kept_blobs, stats.retired_bytes), (1, 3 * PAGE));
    assert!(stats.file_bytes <= 10 * PAGE, "{stats:?}");
    drop(taken);
    assert_eq!(store.stats().kept_blobs, 0);
}
