use super::*;
use crate::test_disk::{Effect, Fault};

/// Blobs of one to five pages, every second one replaced, and thereby the one before it free.
fn holey_store() -> (TestDisk, Store, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let write = |change: Change, id: u32| change.write(id, image(u64::from(id), 1000 + 4096 * (id as usize % 5)));
    commit(&store, &mut model, &(0..60).fold(Change::default(), write));
    let again = |change: Change, id: u32| change.write(id * 2, image(u64::from(id) + 100, 4096));
    commit(&store, &mut model, &(0..30).fold(Change::default(), again));
    (disk, store, model)
}

/// Pages of the file, behind the first, that are not all zeros.
fn pages_in_use(disk: &TestDisk) -> u64 {
    let bytes = disk.bytes("blobs");
    let pages = bytes.chunks(PAGE as usize).skip(1);
    pages.filter(|page| page.iter().any(|byte| *byte != 0)).count() as u64
}

fn used_pages(model: &Model) -> u64 {
    model
        .blobs
        .values()
        .map(|(info, _)| u64::from(info.bytes).div_ceil(PAGE))
        .sum()
}

#[test]
fn the_room_of_every_free_page_is_given_back_in_steps_and_of_no_other() {
    let (disk, store, model) = holey_store();
    let length = disk.bytes("blobs").len();
    assert!(pages_in_use(&disk) > used_pages(&model));
    let mut steps = 0;
    while pages_in_use(&disk) > used_pages(&model) {
        assert!(store.punch(70 * PAGE, false));
        assert_eq!(contents(&store), model);
        steps += 1;
        assert!(steps < 100, "{} pages stay", pages_in_use(&disk));
    }
    assert!(steps > 3);
    while store.punch(70 * PAGE, false) {}
    assert_eq!(pages_in_use(&disk), used_pages(&model));
    assert_eq!(disk.bytes("blobs").len(), length);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn commits_use_what_was_given_back() {
    let (disk, store, mut model) = holey_store();
    store.punch(u64::MAX, false);
    let write = |change: Change, id: u32| change.write(id, image(u64::from(id), 4096));
    commit(&store, &mut model, &(100..110).fold(Change::default(), write));
    store.punch(u64::MAX, false);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn little_is_kept_where_slack_is() {
    let (disk, store, _) = holey_store();
    let before = pages_in_use(&disk);
    store.punch(u64::MAX, true);
    assert_eq!(pages_in_use(&disk), before);
}

#[test]
fn what_a_reader_may_be_in_is_not_given_back() {
    let (_disk, store, mut model) = holey_store();
    let store = Arc::new(store);
    let image_of_all = store.image();
    let before = model.clone();
    let write = |change: Change, id: u32| change.write(id, image(u64::from(id) + 500, 4096));
    commit(&store, &mut model, &(0..60).fold(Change::default(), write));
    store.punch(u64::MAX, false);
    for (id, (info, bytes)) in &before.blobs {
        let mut into = vec![0; info.bytes as usize];
        image_of_all.read(*id, &mut into).unwrap();
        assert_eq!(into, **bytes);
    }
    assert_eq!(contents(&store), model);
}

#[test]
fn a_failure_is_no_matter() {
    for effect in [Effect::None, Effect::Half, Effect::All] {
        let (disk, store, mut model) = holey_store();
        disk.inject(Fault {
            after: 2,
            kind: std::io::ErrorKind::Other,
            effect,
            lasting: false,
        });
        store.punch(u64::MAX, false);
        assert!(disk.fired());
        disk.disarm();
        assert_eq!(contents(&store), model);
        commit(&store, &mut model, &Change::default().write(7, image(7, 20_000)));
        assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
    }
}

#[test]
fn who_gives_room_back_meanwhile_waits_for_no_commit() {
    let (disk, store, model) = holey_store();
    let before = pages_in_use(&disk);
    let commit_under_way = store.committer.lock();
    std::thread::scope(|scope| {
        let (told, hears) = std::sync::mpsc::channel();
        let store = &store;
        scope.spawn(move || told.send(store.punch(u64::MAX, true)));
        let waited = hears.recv_timeout(std::time::Duration::from_secs(100));
        drop(commit_under_way);
        assert_eq!(waited, Ok(false));
    });
    assert_eq!(pages_in_use(&disk), before);
    assert_eq!(contents(&store), model);
}
