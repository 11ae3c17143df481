use super::*;
use crate::{Extent, MAX_BLOB_BYTES, MAX_BLOBS, MAX_FURTHER_REFERENCES};

fn refused(store: &Store, epoch: &Epoch<'_>) -> String {
    let before = contents(store);
    match store.commit(epoch) {
        Err(StoreError::Refused { what }) => {
            assert_eq!(contents(store), before);
            what
        }
        other => panic!("{other:?}"),
    }
}

fn blob(id: BlobId, bytes: &[u8]) -> BlobWrite<'_> {
    BlobWrite {
        id,
        kind: 1,
        records: 2,
        live: 3,
        further_references: 0,
        bytes,
    }
}

#[test]
fn what_was_committed_is_read_before_and_after_a_reopen() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let change = Change::default()
        .write(0, image(1, FRAME as usize))
        .write(7, image(2, 5))
        .write(2, image(3, 5000));
    commit(&store, &mut model, &change);
    assert_eq!(contents(&store), model);
    commit(
        &store,
        &mut model,
        &Change::default().write(7, image(4, 9000)).delete(2),
    );
    assert_eq!(contents(&store), model);
    drop(store);
    let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
    assert_eq!((store.database_id(), store.frame_bytes()), (DATABASE, FRAME));
    assert_eq!(contents(&store), model);
}

#[test]
fn the_longest_blob_fits() {
    let (_, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(1, image(1, MAX_BLOB_BYTES as usize)),
    );
    assert_eq!(contents(&store), model);
}

#[test]
fn a_store_in_memory_does_the_same_without_files() {
    let store = Store::in_memory(DATABASE, FRAME).unwrap();
    let mut model = Model::default();
    let report = commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 70_000)).write(1, image(2, 10)),
    );
    assert_eq!((report.flushed, report.syncs), (2, 1));
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(3, 9000)).delete(1),
    );
    assert_eq!(contents(&store), model);
    assert_eq!(store.trim().unwrap(), 0);
    assert_eq!(store.stats().map_log_bytes, 0);
}

#[test]
fn a_report_says_what_was_done() {
    let (_, store) = new_store();
    let mut model = Model::default();
    let before = store.stats().map_log_bytes;
    let report = commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 5000)).write(1, image(2, 1)),
    );
    let record = store.stats().map_log_bytes - before;
    assert_eq!(record, 64 + 2 * 32);
    let expected = CommitReport {
        flushed: 2,
        bytes_written: 3 * PAGE + record,
        syncs: 2,
    };
    assert_eq!(report, expected);
    let report = commit(&store, &mut model, &Change::default().delete(0).delete(5));
    let expected = CommitReport {
        flushed: 0,
        bytes_written: 72,
        syncs: 1,
    };
    assert_eq!(report, expected);
}

#[test]
fn an_epoch_without_change_costs_nothing_and_a_newer_cut_one_record() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 10)));
    let same = Epoch {
        cut: model.cut,
        next_tree: model.next_tree,
        deletes: vec![9],
        ..Epoch::default()
    };
    assert_eq!(store.commit(&same).unwrap(), CommitReport::default());
    let report = commit(&store, &mut model, &Change::default());
    assert_eq!((report.syncs, report.bytes_written), (1, 64));
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn a_recounted_blob_stays_where_it_is() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 9000)));
    let (file_bytes, free_bytes) = (store.stats().file_bytes, store.stats().free_bytes);
    let store = Arc::new(store);
    let image = store.image();
    let report = commit(&store, &mut model, &Change::default().recount(0, 77).recount(5, 1));
    assert_eq!((report.flushed, report.syncs, report.bytes_written), (0, 1, 96));
    assert_eq!(store.info(0).unwrap().further_references, 77);
    assert_ne!(image.info(0).unwrap().further_references, 77);
    assert_eq!(
        (store.stats().file_bytes, store.stats().free_bytes),
        (file_bytes, free_bytes)
    );
    assert_eq!(store.stats().retired_bytes + store.stats().kept_blobs, 0);
    let reopened = Store::open(disk.handle(), IoUring::Auto).unwrap();
    assert_eq!(contents(&reopened), model);
}

#[test]
fn epochs_that_contradict_themselves_are_refused() {
    let (_, store) = new_store();
    commit(&store, &mut Model::default(), &Change::default().write(0, image(1, 10)));
    let long = vec![0; MAX_BLOB_BYTES as usize + 1];
    let epoch = |writes, deletes| Epoch {
        cut: 99,
        next_tree: 1,
        writes,
        deletes,
        ..Epoch::default()
    };
    let recounted = Epoch {
        recounts: vec![(0, 1)],
        ..epoch(vec![blob(0, b"a")], vec![])
    };
    assert!(refused(&store, &recounted).contains("twice"));
    let referred = BlobWrite {
        further_references: MAX_FURTHER_REFERENCES + 1,
        ..blob(0, b"a")
    };
    assert!(refused(&store, &epoch(vec![referred], vec![])).contains("references"));
    assert!(refused(&store, &epoch(vec![blob(1, b"a"), blob(1, b"b")], vec![])).contains("twice"));
    assert!(refused(&store, &epoch(vec![blob(0, b"a")], vec![0])).contains("twice"));
    assert!(refused(&store, &epoch(vec![], vec![0, 0])).contains("twice"));
    assert!(refused(&store, &epoch(vec![blob(1, b"")], vec![])).contains("0 bytes"));
    assert!(refused(&store, &epoch(vec![blob(1, &long)], vec![])).contains("cannot have"));
    assert!(refused(&store, &epoch(vec![blob(MAX_BLOBS, b"a")], vec![])).contains("no blob id"));
}

#[test]
fn a_cut_does_not_go_back() {
    let (_, store) = new_store();
    commit(&store, &mut Model::default(), &Change::default());
    assert!(
        refused(
            &store,
            &Epoch {
                cut: 9,
                ..Epoch::default()
            }
        )
        .contains("before the last one")
    );
}

#[test]
fn a_read_of_what_is_not_there_or_of_another_length_is_refused() {
    let (_, store) = new_store();
    commit(&store, &mut Model::default(), &Change::default().write(0, image(1, 10)));
    assert!(matches!(store.read(1, &mut []), Err(StoreError::Absent { blob: 1 })));
    assert!(matches!(store.read(0, &mut [0; 11]), Err(StoreError::Refused { .. })));
    assert_eq!(store.info(1), None);
}

#[test]
fn room_is_used_again_and_given_back() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let frame = FRAME as usize;
    for round in 0..50 {
        let change = Change::default()
            .write(0, image(round, frame))
            .write(1, image(round + 100, frame));
        commit(&store, &mut model, &change);
    }
    assert_eq!(store.stats().file_bytes, PAGE + 4 * u64::from(FRAME));
    commit(&store, &mut model, &Change::default().delete(0).delete(1));
    assert_eq!(store.trim().unwrap(), 4 * u64::from(FRAME));
    assert_eq!(disk.bytes("blobs").len() as u64, PAGE);
    commit(&store, &mut model, &Change::default().write(3, image(7, frame)));
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn free_pages_at_the_end_of_the_file_are_found_on_open() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 4096)).write(1, image(2, 4096)),
    );
    commit(&store, &mut model, &Change::default().delete(1));
    let before = store.stats();
    drop(store);
    let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
    assert_eq!(store.stats(), before);
    assert_eq!(before.free_bytes, PAGE);
}

#[test]
fn the_log_is_rewritten_when_deltas_outgrow_the_snapshot() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let mut longest = 0;
    for round in 0..400 {
        let mut change = Change::default();
        for id in 0..20 {
            change = change.write(id * 50, image(round * 1000 + u64::from(id), 30));
        }
        let before = log_name_of(&disk);
        let report = commit(&store, &mut model, &change);
        let rewritten = log_name_of(&disk) != before;
        assert_eq!(report.syncs, if rewritten { 4 } else { 2 });
        longest = longest.max(store.stats().map_log_bytes);
        assert_eq!(
            store.stats().map_log_bytes,
            disk.bytes(&log_name_of(&disk)).len() as u64
        );
    }
    assert!(longest < 70 << 10, "{longest}");
    assert_ne!(log_name_of(&disk), "map-0000000000000001.log");
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

#[test]
fn a_snapshot_longer_than_a_piece_comes_back() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    for round in 0..3 {
        let mut change = Change::default();
        for id in 0..10_000 {
            change = change.write(id, image(round * 100_000 + u64::from(id), 3));
        }
        commit(&store, &mut model, &change);
    }
    let mut change = Change::default();
    for id in 0..9000 {
        change = change.delete(id);
    }
    commit(&store, &mut model, &change);
    assert_eq!(contents(&Store::open(disk.handle(), IoUring::Auto).unwrap()), model);
}

/// Blobs of a file that the page cache shows otherwise than the disk.
#[derive(Debug)]
struct Misremembered(Box<dyn BlobStore>);

impl BlobStore for Misremembered {
    fn read(&self, extent: Extent, into: &mut [u8]) -> io::Result<()> {
        self.0.read(extent, into)
    }

    fn read_early(&self, _extent: Extent, into: &mut [u8]) -> bool {
        into.fill(0xEE);
        true
    }

    fn write_batch(&self, batch: &[(Extent, &[u8])]) -> io::Result<()> {
        self.0.write_batch(batch)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len_pages(&self) -> io::Result<u32> {
        self.0.len_pages()
    }

    fn set_len_pages(&self, pages: u32) -> io::Result<()> {
        self.0.set_len_pages(pages)
    }
}

#[test]
fn what_the_page_cache_shows_otherwise_is_read_from_the_disk() {
    let (_disk, mut store) = new_store();
    let mut model = Model::default();
    commit(&store, &mut model, &Change::default().write(0, image(1, 5000)));
    store.blobs = Box::new(Misremembered(store.blobs));
    assert_eq!(contents(&store), model);
}
