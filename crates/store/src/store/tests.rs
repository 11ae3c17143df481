//! The store from outside, on a disk that can fail.

mod basics;
mod damage;
mod deletes;
mod faults;
mod images;
mod lifecycle;
mod model;
mod punching;
mod readers;
mod relocation;
mod salvage;

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{blob_store::IoUring, test_disk::TestDisk};

const DATABASE: u128 = 0x00c0_ffee;
const FRAME: u32 = 16 << 10;
const PAGE: u64 = PAGE_BYTES as u64;

/// What a store should hold.
#[derive(Clone, Default, PartialEq, Eq)]
struct Model {
    cut: u64,
    next_tree: u32,
    blobs: BTreeMap<BlobId, (BlobInfo, Arc<[u8]>)>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cut {}, next tree {}, {} blobs",
            self.cut,
            self.next_tree,
            self.blobs.len()
        )
    }
}

/// An epoch that owns its images.
#[derive(Clone, Debug, Default)]
struct Change {
    writes: Vec<(BlobId, Arc<[u8]>)>,
    recounts: Vec<(BlobId, u32)>,
    deletes: Vec<BlobId>,
}

impl Change {
    fn write(mut self, id: BlobId, bytes: Vec<u8>) -> Self {
        self.writes.push((id, bytes.into()));
        self
    }

    fn recount(mut self, id: BlobId, further_references: u32) -> Self {
        self.recounts.push((id, further_references));
        self
    }

    fn delete(mut self, id: BlobId) -> Self {
        self.deletes.push(id);
        self
    }

    /// The epoch that takes `model` on by this change.
    fn epoch(&self, model: &Model) -> Epoch<'_> {
        let write = |(id, bytes): &'_ (BlobId, Arc<[u8]>)| {
            let info = info_of(*id, bytes);
            (*id, info)
        };
        Epoch {
            cut: model.cut + 10,
            next_tree: model.next_tree + 1,
            writes: (self.writes.iter())
                .map(|blob| (write(blob), &blob.1))
                .map(|((id, info), bytes)| BlobWrite {
                    id,
                    kind: info.kind,
                    records: info.records,
                    live: info.live,
                    further_references: info.further_references,
                    bytes,
                })
                .collect(),
            recounts: self.recounts.clone(),
            deletes: self.deletes.clone(),
        }
    }

    fn after(&self, model: &Model) -> Model {
        let mut after = model.clone();
        after.cut += 10;
        after.next_tree += 1;
        for (id, bytes) in &self.writes {
            after.blobs.insert(*id, (info_of(*id, bytes), Arc::clone(bytes)));
        }
        for (id, further_references) in &self.recounts {
            if let Some((info, _)) = after.blobs.get_mut(id) {
                info.further_references = *further_references;
            }
        }
        for id in &self.deletes {
            after.blobs.remove(id);
        }
        after
    }
}

fn info_of(id: BlobId, bytes: &[u8]) -> BlobInfo {
    BlobInfo {
        bytes: bytes.len() as u32,
        kind: id as u8,
        records: u32::from(bytes[0]),
        live: bytes.len() as u32 / 2,
        further_references: u32::from(bytes[0]) % 3,
    }
}

/// Bytes that no other seed gives.
fn image(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn read(store: &Store, id: BlobId) -> Result<Vec<u8>, StoreError> {
    let mut into = vec![0; store.info(id).map_or(0, |info| info.bytes) as usize];
    store.read(id, &mut into)?;
    Ok(into)
}

/// Everything that the store holds, or the first error of a read.
fn try_contents(store: &Store) -> Result<Model, StoreError> {
    let mut model = Model {
        cut: store.cut(),
        next_tree: store.next_tree(),
        ..Model::default()
    };
    for (id, info) in store.entries() {
        model.blobs.insert(id, (info, read(store, id)?.into()));
    }
    Ok(model)
}

fn contents(store: &Store) -> Model {
    let stats = store.stats();
    let pages = |bytes: u32| u64::from(bytes).div_ceil(PAGE);
    let used: u64 = store.entries().iter().map(|(_, info)| pages(info.bytes) * PAGE).sum();
    assert_eq!(
        stats.file_bytes,
        PAGE + used + stats.free_bytes + stats.retired_bytes,
        "pages are lost"
    );
    assert_eq!(stats.blobs, store.entries().len() as u64);
    try_contents(store).unwrap()
}

fn new_store() -> (TestDisk, Store) {
    let disk = TestDisk::new();
    let store = Store::create(disk.handle(), DATABASE, FRAME, IoUring::Auto).unwrap();
    (disk, store)
}

fn commit(store: &Store, model: &mut Model, change: &Change) -> CommitReport {
    let report = store.commit(&change.epoch(model)).unwrap();
    for &blob in &change.deletes {
        assert_eq!(store.free(blob).unwrap(), model.blobs.contains_key(&blob));
    }
    *model = change.after(model);
    report
}

fn log_name_of(disk: &TestDisk) -> String {
    let mut logs = disk.names();
    logs.retain(|name| name.starts_with("map-"));
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs.remove(0)
}
