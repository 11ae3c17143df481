//! Records that pass their digests and are nonsense all the same: what only somebody who forges files can make. The rest
//! of the log's behaviour is tested from outside, in `store/tests`.

use super::*;
use crate::{BlobInfo, MAX_BLOBS, test_disk::TestDisk};

const DATABASE: u128 = 9;
const FRAME: u32 = 65536;

fn entry(start: u32) -> MapEntry {
    let info = BlobInfo {
        bytes: 100,
        kind: 1,
        records: 2,
        live: 3,
        further_references: 0,
    };
    MapEntry::new(start, info, 4).unwrap()
}

fn record<'a>(kind: RecordKind, cut: u64, deletes: &'a [BlobId]) -> Record<'a, std::vec::IntoIter<(BlobId, MapEntry)>> {
    Record {
        kind,
        cut,
        next_tree: 0,
        writes: vec![(cut as u32, entry(cut as u32 + 1))].into_iter(),
        deletes,
    }
}

/// A log of these records, chained as they should be.
fn forged(records: Vec<Record<'_, std::vec::IntoIter<(BlobId, MapEntry)>>>) -> TestDisk {
    let header = Header {
        database_id: DATABASE,
        frame_bytes: FRAME,
        generation: 1,
    };
    let mut contents = header.encode(FileKind::MapLog).to_vec();
    let mut chain = Header::digest_of(&header.encode(FileKind::MapLog));
    for record in records {
        let seed = record_seed(DATABASE, 1, contents.len() as u64);
        chain = record.encode(&mut contents, seed, chain);
    }
    let disk = TestDisk::new();
    disk.set_bytes(&log_name(1), &contents);
    disk
}

fn open(disk: &TestDisk) -> Result<(SlotLog, Recovered), StoreError> {
    SlotLog::open(disk.handle(), DATABASE, FRAME, &disk.names())
}

fn refusal(disk: &TestDisk) -> String {
    match open(disk) {
        Err(StoreError::Corrupt { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

use RecordKind::{Delta, Snapshot};

#[test]
fn names_come_back_and_others_do_not_count() {
    assert_eq!(log_name(0x1f), "map-000000000000001f.log");
    assert_eq!(generation_of(&log_name(u64::MAX)), Some(u64::MAX));
    for name in [
        "map-1.log",
        "map-000000000000001F.log",
        "map-+00000000000001f.log",
        "map-.log",
        "blobs",
    ] {
        assert_eq!(generation_of(name), None, "{name}");
    }
}

#[test]
fn a_log_of_a_snapshot_and_deltas_opens() {
    let disk = forged(vec![
        record(Snapshot, 1, &[]),
        record(Delta, 2, &[]),
        record(Delta, 3, &[1]),
    ]);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.point, Point { cut: 3, next_tree: 0 });
    assert_eq!(recovered.map.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn records_out_of_order_are_refused() {
    let order = "does not follow";
    assert!(refusal(&forged(vec![record(Delta, 1, &[])])).contains(order));
    assert!(refusal(&forged(vec![record(Snapshot, 1, &[]), record(Snapshot, 2, &[])])).contains(order));
    assert!(refusal(&forged(vec![record(Snapshot, 2, &[]), record(Delta, 1, &[])])).contains(order));
}

#[test]
fn deletes_of_what_is_not_there_are_refused() {
    assert!(refusal(&forged(vec![record(Snapshot, 1, &[]), record(Delta, 2, &[7])])).contains("not there"));
    assert!(refusal(&forged(vec![record(Snapshot, 1, &[]), record(Delta, 2, &[MAX_BLOBS])])).contains("not there"));
    assert!(refusal(&forged(vec![record(Snapshot, 1, &[1])])).contains("snapshot deletes"));
}

#[test]
fn a_log_without_a_snapshot_is_refused() {
    assert!(refusal(&forged(vec![])).contains("snapshot"));
}

#[test]
fn a_record_behind_another_chain_is_refused() {
    let disk = forged(vec![
        record(Snapshot, 1, &[]),
        record(Delta, 2, &[]),
        record(Delta, 3, &[]),
    ]);
    let other = forged(vec![
        record(Snapshot, 1, &[]),
        record(Delta, 2, &[]),
        record(Delta, 3, &[]),
    ]);
    let name = log_name(1);
    let mut bytes = disk.bytes(&name);
    let record_bytes = 64 + 32;
    let second = HEADER_BYTES + record_bytes;
    // The second record of a history that differs in it, of the same length.
    let mut changed = Vec::new();
    let header = &other.bytes(&name)[..second];
    changed.extend_from_slice(header);
    let chain = u64::from_le_bytes(header[HEADER_BYTES + 40..HEADER_BYTES + 48].try_into().unwrap());
    let seed = record_seed(DATABASE, 1, second as u64);
    let mut forked = record(Delta, 2, &[]);
    forked.next_tree = 55;
    forked.encode(&mut changed, seed, chain);
    bytes[..changed.len()].copy_from_slice(&changed);
    disk.set_bytes(&name, &bytes);
    assert!(refusal(&disk).contains("does not follow"));
}

#[test]
fn a_generation_that_cannot_be_followed_is_refused() {
    let disk = TestDisk::new();
    disk.set_bytes(&log_name(u64::MAX), &[0; 200]);
    assert!(refusal(&disk).contains("generation"));
}
