//! Databases over a disk in memory, against an ordered map, with reopens between the steps.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use coppice_disk::{Disk, MemoryDisk};
use proptest::{collection::vec, prelude::*};

use super::{Engine, Reads};
use crate::{
    ErrorCode,
    options::{Durability, Options},
    request::{Condition, Range, TreeId},
    testing::cases,
    thread::without_threads,
};

pub(super) type Tree = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

pub(super) fn options(durability: Durability) -> Options {
    Options {
        durability,
        frame_bytes: 4096,
        ..Options::default()
    }
}

pub(super) fn open(disk: &MemoryDisk, durability: Durability) -> Engine {
    Engine::open(Arc::new(disk.clone()), None, &options(durability)).unwrap()
}

/// The journal's segments, made ahead or not; one that is being made has another name.
pub(super) fn segments(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("journal-") && name.ends_with(".log"));
    names
}

pub(super) fn contents(engine: &Engine, tree: TreeId) -> Tree {
    let range = Range::ALL;
    let mut found = Tree::new();
    let exhausted = engine.scan(tree, &range, &mut |key, record| {
        found.insert(key.to_vec(), (record.version, record.value.to_vec()));
        ControlFlow::Continue(())
    });
    assert!(exhausted.unwrap());
    found
}

pub(super) fn assert_same(engine: &Engine, model: &BTreeMap<String, Tree>) {
    assert_eq!(engine.trees().unwrap(), model.keys().cloned().collect::<Vec<_>>());
    engine.shared().forest.assert_valid();
    let report = engine.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.trees, model.len() as u64);
    let mut keys = 0;
    for (name, tree) in model {
        let id = engine.tree(name).unwrap();
        assert_eq!(&contents(engine, id), tree, "tree {name:?}");
        assert_eq!(engine.count(id, &[]).unwrap(), tree.len() as u64);
        assert_eq!(engine.is_empty(id, &[]).unwrap(), tree.is_empty());
        keys += tree.len() as u64;
    }
    assert_eq!(engine.stats().unwrap().keys, keys);
    assert_eq!(report.keys, keys);
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<u8>, usize),
    PutIf(usize, Vec<u8>, bool),
    PutMany(usize, Vec<(Vec<u8>, usize)>),
    Delete(usize, usize),
    Checkpoint,
    Close,
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let path =
        vec(prop_oneof!["[ab/]{0,3}", "dir[0-9]/", "f[0-9]{1,3}"], 0..5).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![3 => path, 1 => vec(any::<u8>(), 0..8)]
}

fn step() -> impl Strategy<Value = Step> {
    let tree = 0usize..4;
    let size = prop_oneof![8 => 0usize..60, 1 => 0usize..3000];
    prop_oneof![
        12 => (tree.clone(), key(), size.clone()).prop_map(|(tree, key, len)| Step::Put(tree, key, len)),
        2 => (tree.clone(), key(), any::<bool>()).prop_map(|(tree, key, absent)| Step::PutIf(tree, key, absent)),
        2 => (tree.clone(), vec((key(), size), 0..60)).prop_map(|(tree, entries)| Step::PutMany(tree, entries)),
        6 => (tree, any::<usize>()).prop_map(|(tree, nth)| Step::Delete(tree, nth)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ]
}

const TREES: [&str; 4] = ["", "a", "trees/b", "\u{0}"];

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn agrees_with_ordered_maps_across_reopens(steps in vec(step(), 1..250)) {
        let disk = MemoryDisk::new();
        let mut engine = open(&disk, Durability::Process);
        let mut model: BTreeMap<String, Tree> = BTreeMap::new();
        let mut last_version = 0;
        for (round, step) in steps.into_iter().enumerate() {
            let fill = round as u8;
            match step {
                Step::Put(tree, key, len) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let version = engine.put(id, &key, &vec![fill; len], Condition::Always).unwrap().unwrap();
                    prop_assert!(version > last_version);
                    last_version = version;
                    model.entry(TREES[tree].into()).or_default().insert(key, (version, vec![fill; len]));
                }
                Step::PutIf(tree, key, absent) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    let there = tree.get(&key).map(|record| record.0);
                    let condition = if absent { Condition::IfAbsent } else { Condition::IfVersion(there.unwrap_or(1)) };
                    let version = engine.put(id, &key, b"if", condition).unwrap();
                    prop_assert_eq!(version.is_some(), absent != there.is_some());
                    if let Some(version) = version {
                        last_version = version;
                        tree.insert(key, (version, b"if".to_vec()));
                    }
                }
                Step::PutMany(tree, entries) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    let entries: Vec<(Vec<u8>, Vec<u8>)> =
                        entries.into_iter().map(|(key, len)| (key, vec![fill; len])).collect();
                    let mut pairs = entries.iter().map(|(key, value)| (&key[..], &value[..]));
                    prop_assert_eq!(engine.put_many(id, &mut pairs).unwrap(), entries.len() as u64);
                    for (key, value) in entries {
                        last_version = engine.get(id, &key, |record| record.unwrap().version).unwrap().max(last_version);
                        let version = engine.get(id, &key, |record| record.unwrap().version).unwrap();
                        tree.insert(key, (version, value));
                    }
                }
                Step::Delete(tree, nth) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    if let Some(key) = tree.keys().nth(nth % tree.len().max(1)).cloned() {
                        prop_assert!(engine.delete(id, &key, Condition::Always).unwrap());
                        prop_assert!(!engine.delete(id, &key, Condition::Always).unwrap());
                        tree.remove(&key);
                    }
                }
                Step::Checkpoint => {
                    let report = engine.checkpoint().unwrap();
                    prop_assert!(report.version >= last_version);
                    prop_assert_eq!(report.dirty_blobs, report.flushed_blobs);
                }
                Step::Close => {
                    engine.shut_down().unwrap();
                    engine = open(&disk, Durability::Process);
                    prop_assert_eq!(engine.stats().unwrap().journal_bytes, 0);
                }
                Step::Crash => {
                    engine.abandon();
                    engine = open(&disk, Durability::Process);
                }
            }
        }
        assert_same(&engine, &model);
        engine.shut_down().unwrap();
        assert_same(&open(&disk, Durability::Process), &model);
    }
}

#[test]
fn keeps_what_a_bulk_load_checkpointed_and_loses_only_the_rest() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    engine.put(tree, b"journaled", b"1", Condition::Always).unwrap();
    engine.abandon();

    let engine = open(&disk, Durability::None);
    engine.put(tree, b"kept", b"2", Condition::Always).unwrap();
    engine.checkpoint().unwrap();
    engine.put(tree, b"lost", b"3", Condition::Always).unwrap();
    engine.abandon();

    let engine = open(&disk, Durability::Process);
    let keys: Vec<Vec<u8>> = contents(&engine, tree).into_keys().collect();
    assert_eq!(keys, [b"journaled".to_vec(), b"kept".to_vec()]);
    engine.put(tree, b"again", b"4", Condition::Always).unwrap();
    engine.abandon();
    assert_eq!(contents(&open(&disk, Durability::Process), tree).len(), 3);
}

#[test]
fn refuses_a_write_before_any_effect() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    let tree = engine.tree("").unwrap();
    let put = |key: &[u8], value: &[u8]| engine.put(tree, key, value, Condition::Always);
    assert_eq!(put(&[0; 8193], b"").unwrap_err().code(), ErrorCode::KeyTooLarge);
    assert_eq!(
        put(b"k", &vec![0; (16 << 20) + 1]).unwrap_err().code(),
        ErrorCode::ValueTooLarge
    );
    assert_eq!(engine.stats().unwrap().keys, 0);
    put(&[0; 8192], b"longest").unwrap();
    put(b"large", &vec![7; 16 << 20]).unwrap();
    assert_eq!(
        engine
            .get(tree, b"large", |record| record.unwrap().value.len())
            .unwrap(),
        16 << 20
    );
    let entries: [(&[u8], &[u8]); 3] = [(b"first", b"1"), (&[0; 9000], b"2"), (b"third", b"3")];
    let refused = engine.put_many(tree, &mut entries.into_iter()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KeyTooLarge);
    assert_eq!(engine.count(tree, b"first").unwrap(), 1);
    assert_eq!(engine.count(tree, b"third").unwrap(), 0);
    assert_eq!(engine.count(tree, &[0; 9000]).unwrap(), 0);
    assert_eq!(
        engine.get(TreeId(9), b"", |_| ()).unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        engine.get(TreeId(0), b"", |_| ()).unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn says_where_a_damaged_frame_lies_and_reads_the_others() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("").unwrap();
    for number in 0..2000 {
        engine
            .put(
                tree,
                format!("dir{}/{number}", number % 7).as_bytes(),
                &[1; 50],
                Condition::Always,
            )
            .unwrap();
    }
    engine.shut_down().unwrap();
    let blobs = disk.open("blobs").unwrap();
    let middle = blobs.len().unwrap() / 2;
    blobs.write_all_at(middle, &[0xA5; 64]).unwrap();

    let engine = open(&disk, Durability::Process);
    let results: Vec<_> = (0..2000)
        .map(|number| {
            engine.get(tree, format!("dir{}/{number}", number % 7).as_bytes(), |record| {
                record.is_some()
            })
        })
        .collect();
    let damaged: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(!damaged.is_empty() && damaged.len() < 1000, "{} of 2000", damaged.len());
    assert!(
        results.iter().flatten().all(|found| *found),
        "a key is missing without an error"
    );
    let message = damaged[0].to_string();
    assert_eq!(damaged[0].code(), ErrorCode::Corrupt);
    assert!(message.contains("blobs") && message.contains("byte"), "{message}");
}

#[test]
fn fails_every_call_after_the_end() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    let tree = engine.tree("").unwrap();
    engine.shut_down().unwrap();
    assert_eq!(engine.get(tree, b"", |_| ()).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(
        engine.put(tree, b"", b"", Condition::Always).unwrap_err().code(),
        ErrorCode::Closed
    );
    assert_eq!(engine.tree("new").unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(engine.stats().unwrap_err().code(), ErrorCode::Closed);
}

/// A close whose checkpoint got no thread said so, and left what the journal held to the page cache.
#[test]
fn close_without_a_checkpoint_syncs_the_journal() {
    let engine = open(&MemoryDisk::new(), Durability::Process);
    let tree = engine.tree("").unwrap();
    engine.put(tree, b"key", b"value", Condition::Always).unwrap();
    let closed = without_threads(|| engine.shut_down());
    assert_eq!(closed.unwrap_err().code(), ErrorCode::Io);
    let journal = &engine.durable.as_ref().unwrap().journal;
    assert_eq!(journal.synced_upto(), engine.last_commit());
}

/// A bulk put, and deletes that leave frames underfull, beside a damaged frame: each is refused before any effect, or done;
/// and whatever was done is there after the next open.
#[test]
fn writes_beside_a_damaged_frame_do_no_harm() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("").unwrap();
    let key = |number: u32| format!("dir{}/{number:05}", number % 7).into_bytes();
    for number in 0..2000 {
        engine.put(tree, &key(number), &[1; 50], Condition::Always).unwrap();
    }
    engine.shut_down().unwrap();
    let blobs = disk.open("blobs").unwrap();
    let pages = blobs.len().unwrap() / 4096;
    let mut refused = 0;
    for page in (1..pages).step_by(7) {
        let mut whole = vec![0; 4096];
        blobs.read_exact_at(page * 4096, &mut whole).unwrap();
        blobs.write_all_at(page * 4096 + 200, &[0xA5; 64]).unwrap();
        // Bulk puts and deletes each meet an engine that has read nothing yet; deletes go along the keys, so that the
        // neighbours of the frames that they empty have not been read either.
        let engine = open(&disk, Durability::Process);
        let keys: Vec<Vec<u8>> = (0..2000).map(|number| [key(number), b"+".to_vec()].concat()).collect();
        let mut put = Vec::new();
        for chunk in keys.chunks(50) {
            let mut entries = chunk.iter().map(|key| (&key[..], &b"bulk"[..]));
            match engine.put_many(tree, &mut entries) {
                Ok(_) => put.extend(chunk),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
                    refused += 1;
                }
            }
        }
        engine.abandon();

        let engine = open(&disk, Durability::Process);
        let mut numbers: Vec<u32> = (0..2000).filter(|number| number % 13 != page as u32 % 13).collect();
        numbers.sort_by_key(|number| key(*number));
        let mut gone = Vec::new();
        for number in numbers {
            match engine.delete(tree, &key(number), Condition::Always) {
                Ok(removed) => gone.extend(removed.then_some(number)),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
                    refused += 1;
                }
            }
        }
        engine.abandon();

        let engine = open(&disk, Durability::Process);
        for key in put {
            assert!(
                engine.get(tree, key, |record| record.is_some()).unwrap(),
                "{key:?} of page {page}"
            );
        }
        for number in &gone {
            assert!(
                !engine.get(tree, &key(*number), |record| record.is_some()).unwrap(),
                "{number} of page {page}"
            );
        }
        // Back to what it was, for the next page.
        blobs.write_all_at(page * 4096, &whole).unwrap();
        for number in 0..2000 {
            engine.put(tree, &key(number), &[1; 50], Condition::Always).unwrap();
        }
        engine.shut_down().unwrap();
    }
    assert!(refused > 0, "no damaged frame was met");
}
