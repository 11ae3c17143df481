//! Databases ten times larger than the memory that they may use, against ordered maps.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use coppice_disk::MemoryDisk;
use fastrand::Rng;
use proptest::{prelude::*, test_runner::Config};

use crate::{
    Condition, Durability, ErrorCode, ListItem, ListRequest, Operation, Options, Outcome, Range, TreeId,
    core::{Engine, Reads},
    request::After,
    testing::{FailingDisk, cases},
};

const FRAME_BYTES: u32 = 4096;
/// The least that is taken.
const MEMORY_BYTES: u64 = 64 * FRAME_BYTES as u64;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> Options {
    Options {
        durability: Durability::Process,
        frame_bytes: FRAME_BYTES,
        memory_bytes: MEMORY_BYTES,
        ..Options::default()
    }
}

fn open(disk: &MemoryDisk) -> Engine {
    Engine::open(Arc::new(disk.clone()), None, &options()).unwrap()
}

/// The same with more memory than the tests fill.
fn open_larger(disk: &MemoryDisk) -> Engine {
    let options = Options {
        memory_bytes: 64 << 20,
        ..options()
    };
    Engine::open(Arc::new(disk.clone()), None, &options).unwrap()
}

fn key(number: usize) -> Vec<u8> {
    format!("{}/folder-{:02}/{number:05}.json", number % 5, number % 37).into_bytes()
}

fn value(random: &mut Rng) -> Vec<u8> {
    let len = match random.usize(..100) {
        0 => 1000 + random.usize(..20_000),
        _ => random.usize(..200),
    };
    vec![random.u8(..); len]
}

fn assert_bounded(engine: &Engine) {
    let stats = engine.stats().unwrap();
    assert_eq!(stats.memory_budget_bytes, MEMORY_BYTES);
    assert!(stats.memory_used_bytes <= MEMORY_BYTES, "{stats:?}");
    let peak = engine.table.budget().peak();
    assert!(peak as u64 <= MEMORY_BYTES, "{peak} bytes were in use once");
}

fn scanned(engine: &Engine, tree: TreeId, reverse: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let range = Range { reverse, ..Range::ALL };
    let mut found = Vec::new();
    let exhausted = engine.scan(tree, &range, &mut |key, record| {
        found.push((key.to_vec(), record.value.to_vec()));
        ControlFlow::Continue(())
    });
    assert!(exhausted.unwrap());
    found
}

fn listed(engine: &Engine, tree: TreeId, delimiter: &[u8]) -> Vec<Vec<u8>> {
    let request = ListRequest {
        prefix: b"3/",
        delimiter,
        after: None,
        resume: After::Start,
        limit: usize::MAX,
    };
    let mut found = Vec::new();
    let more = engine.list(tree, &request, &mut |item: ListItem<'_>| {
        found.push(match item {
            ListItem::Key(key, _) => key.to_vec(),
            ListItem::Prefix(prefix) => prefix.to_vec(),
        });
        ControlFlow::Continue(())
    });
    assert!(!more.unwrap());
    found
}

fn assert_same(engine: &Engine, tree: TreeId, model: &Model) {
    let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert!(scanned(engine, tree, false) == expected, "a scan misses something");
    let reversed: Vec<_> = expected.iter().rev().cloned().collect();
    assert!(scanned(engine, tree, true) == reversed, "a scan back misses something");
    assert_eq!(engine.count(tree, &[]).unwrap(), model.len() as u64);
    let under: Vec<Vec<u8>> = model.keys().filter(|key| key.starts_with(b"3/")).cloned().collect();
    assert_eq!(engine.count(tree, b"3/").unwrap(), under.len() as u64);
    assert!(listed(engine, tree, b"") == under, "a listing misses something");
    let mut folders: Vec<Vec<u8>> = (under.iter())
        .filter_map(|key| key.get(..key.iter().rposition(|byte| *byte == b'/')? + 1))
        .map(<[u8]>::to_vec)
        .collect();
    folders.dedup();
    assert_eq!(listed(engine, tree, b"/"), folders);
    for keys in expected.chunks(100).step_by(7) {
        let asked: Vec<&[u8]> = keys.iter().map(|(key, _)| key.as_slice()).collect();
        let mut answers = Vec::new();
        let told = engine.get_many(tree, &asked, &mut |found| {
            answers.push(found.unwrap().value.to_vec());
            ControlFlow::Continue(())
        });
        told.unwrap();
        assert!(
            answers.iter().eq(keys.iter().map(|(_, value)| value)),
            "getMany is wrong"
        );
    }
    assert_bounded(engine);
    let report = engine.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.keys, model.len() as u64);
}

/// Fills a database with ten times its memory.
fn fill(engine: &Engine, tree: TreeId, random: &mut Rng, model: &mut Model) {
    let mut bytes = 0;
    for number in 0.. {
        if bytes >= 10 * MEMORY_BYTES as usize {
            break;
        }
        let (key, value) = (key(number * 7919 % 20_000), value(random));
        bytes += key.len() + value.len();
        engine.put(tree, &key, &value, Condition::Always).unwrap();
        model.insert(key, value);
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 0, ..cases(4) })]

    #[test]
    fn agrees_with_ordered_maps_when_most_is_not_in_memory(seed in 1..u64::MAX) {
        let disk = MemoryDisk::new();
        let mut engine = open(&disk);
        let mut tree = engine.tree("t").unwrap();
        let (mut random, mut model) = (Rng::with_seed(seed), Model::new());
        fill(&engine, tree, &mut random, &mut model);
        for round in 0..6 {
            for _ in 0..400 {
                let (one, other) = (key(random.usize(..20_000)), key(random.usize(..20_000)));
                match random.usize(..20) {
                    0..8 => {
                        let found = engine.get(tree, &one, |found| found.map(|found| found.value.to_vec())).unwrap();
                        prop_assert!(found.as_ref() == model.get(&one), "a get is wrong");
                    }
                    8..13 => {
                        let value = value(&mut random);
                        engine.put(tree, &one, &value, Condition::Always).unwrap();
                        model.insert(one, value);
                    }
                    13..16 => {
                        let deleted = engine.delete(tree, &one, Condition::IfPresent).unwrap();
                        prop_assert_eq!(deleted, model.remove(&one).is_some());
                    }
                    16 => {
                        let entries: Vec<_> = (0..50).map(|_| (key(random.usize(..20_000)), value(&mut random))).collect();
                        let given = entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
                        engine.put_many(tree, &mut { given }).unwrap();
                        model.extend(entries);
                    }
                    17 => {
                        let put = Operation::Put { tree, key: &one, value: b"new", condition: Condition::Always };
                        let rename = Operation::Rename { tree, from: &one, to: &other, overwrite: true };
                        let delete = Operation::Delete { tree, key: &other, condition: Condition::IfAbsent };
                        let fails = one != other && random.usize(..2) == 0;
                        let operations = [put, rename, delete];
                        let done = engine.commit(&operations[..2 + usize::from(fails)]).unwrap();
                        prop_assert_eq!(matches!(done, Outcome::Committed { .. }), !fails);
                        if !fails {
                            model.remove(&one);
                            model.insert(other, b"new".to_vec());
                        }
                    }
                    18 => {
                        let from = format!("{}/folder-{:02}/", random.usize(..5), random.usize(..37)).into_bytes();
                        let to = [b"moved/", from.as_slice()].concat();
                        let there: Vec<_> = model.keys().filter(|key| key.starts_with(&from)).cloned().collect();
                        if model.keys().any(|key| key.starts_with(&to)) {
                            prop_assert!(engine.delete_prefix(tree, &to).unwrap() > 0);
                            model.retain(|key, _| !key.starts_with(&to));
                        }
                        prop_assert_eq!(engine.move_prefix(tree, &from, &to).unwrap(), there.len() as u64);
                        for key in there {
                            let value = model.remove(&key).unwrap();
                            model.insert([b"moved/", key.as_slice()].concat(), value);
                        }
                    }
                    _ => {
                        let found = engine.longest_prefix(tree, &[one.as_slice(), b"/x"].concat(), |found| {
                            found.map(|(len, _)| len)
                        });
                        prop_assert_eq!(found.unwrap(), model.contains_key(&one).then_some(one.len()));
                    }
                }
            }
            while engine.bury().unwrap() {}
            assert_same(&engine, tree, &model);
            match round {
                0 | 3 => engine.shut_down().unwrap(),
                1 | 4 => engine.abandon(),
                _ => {
                    engine.checkpoint().unwrap();
                    continue;
                }
            }
            engine = open(&disk);
            tree = engine.tree("t").unwrap();
            assert_same(&engine, tree, &model);
        }
        prop_assert!(engine.stats().unwrap().memory_evictions > 0);
    }
}

#[test]
fn too_little_memory_is_refused_before_anything_is_made() {
    let disk = MemoryDisk::new();
    let little = Options {
        memory_bytes: MEMORY_BYTES - 1,
        ..options()
    };
    let refused = Engine::open(Arc::new(disk.clone()), None, &little).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    assert!(
        refused.message().contains(&MEMORY_BYTES.to_string()),
        "{}",
        refused.message()
    );
    assert!(coppice_disk::Disk::list(&disk).unwrap().is_empty());
    open(&disk).shut_down().unwrap();
    let refused = Engine::open(Arc::new(disk), None, &little).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
}

#[test]
fn what_memory_cannot_hold_at_once_is_refused_with_nothing_done() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let tree = engine.tree("t").unwrap();
    let long = vec![1; MEMORY_BYTES as usize / 4 + 1];
    let refused = engine.put(tree, b"long", &long, Condition::Always).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ValueTooLarge);
    assert!(refused.message().contains("memory"), "{}", refused.message());
    engine
        .put(tree, b"as long as can be", &long[1..], Condition::Always)
        .unwrap();

    // Each put dirties a frame of its own.
    let (mut random, mut model) = (Rng::with_seed(7), Model::new());
    fill(&engine, tree, &mut random, &mut model);
    let before = scanned(&engine, tree, false);
    let keys: Vec<Vec<u8>> = model.keys().step_by(20).cloned().collect();
    let puts = keys.iter().map(|key| Operation::Put {
        tree,
        key,
        value: b"other",
        condition: Condition::Always,
    });
    let refused = engine.commit(&puts.collect::<Vec<_>>()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BatchTooLarge);
    assert!(refused.message().contains("memory"), "{}", refused.message());
    assert!(scanned(&engine, tree, false) == before, "the batch was not taken back");
    assert_bounded(&engine);
    engine
        .put(tree, &keys[0], b"still takes writes", Condition::Always)
        .unwrap();
}

#[test]
fn moves_evict_nothing_where_memory_has_no_bound() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let tree = engine.tree("t").unwrap();
    let (mut random, mut model) = (Rng::with_seed(9), Model::new());
    fill(&engine, tree, &mut random, &mut model);
    engine.checkpoint().unwrap();
    for _ in 0..3 {
        engine.move_prefix(tree, b"3/", b"moved/").unwrap();
        engine.move_prefix(tree, b"moved/", b"3/").unwrap();
    }
    engine.abandon();
    drop(engine);
    let reading = Engine::open_read_only(Arc::new(disk), None, &options()).unwrap();
    assert_eq!(reading.stats().unwrap().memory_evictions, 0);
    assert_eq!(scanned(&reading, tree, false).len(), model.len());
}

/// What walks find of flat frames was kept for frames that had left memory: a walk over everything kept it for everything,
/// whatever the bound.
#[test]
fn nothing_is_kept_of_frames_that_left_memory() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let tree = engine.tree("t").unwrap();
    let (mut random, mut model) = (Rng::with_seed(11), Model::new());
    fill(&engine, tree, &mut random, &mut model);
    engine.checkpoint().unwrap();
    assert_eq!(scanned(&engine, tree, false).len(), model.len());
    assert!(!engine.table.is_all_resident());
    assert_eq!(engine.table.walks_kept_of_absent_frames(), 0);
}

#[test]
fn recovery_with_less_memory_than_was_written_with_is_not_refused() {
    let disk = MemoryDisk::new();
    let engine = open_larger(&disk);
    let tree = engine.tree("t").unwrap();
    let keys: Vec<Vec<u8>> = (0..3000).map(key).collect();
    let puts = keys.iter().map(|key| Operation::Put {
        tree,
        key,
        value: &[1; 300],
        condition: Condition::Always,
    });
    let moved = Operation::MovePrefix {
        tree,
        from: b"3/",
        to: b"moved/",
    };
    engine.commit(&puts.chain([moved]).collect::<Vec<_>>()).unwrap();
    engine.abandon();
    drop(engine);
    let engine = open(&disk);
    assert_eq!(engine.count(tree, b"moved/").unwrap(), 600);
    assert_eq!(scanned(&engine, tree, false).len(), 3000);
}

#[test]
fn recovery_takes_values_of_batches_that_were_written_under_a_larger_bound() {
    let disk = MemoryDisk::new();
    let engine = open_larger(&disk);
    let tree = engine.tree("t").unwrap();
    let value = vec![7; MEMORY_BYTES as usize];
    let put = |key| Operation::Put {
        tree,
        key,
        value: &value,
        condition: Condition::Always,
    };
    engine.commit(&[put(b"a"), put(b"b")]).unwrap();
    assert!(engine.rename(tree, b"b", b"c", false).unwrap());
    engine.abandon();
    drop(engine);
    let engine = open(&disk);
    for key in [b"a", b"c"] {
        let read = engine.get(tree, key, |found| found.is_some_and(|found| found.value == value));
        assert!(read.unwrap());
    }
    assert_eq!(engine.count(tree, b"").unwrap(), 2);
}

#[test]
fn a_value_that_was_written_under_a_larger_bound_can_be_renamed() {
    let disk = MemoryDisk::new();
    let engine = open_larger(&disk);
    let tree = engine.tree("t").unwrap();
    let value = vec![7; 2 * MEMORY_BYTES as usize];
    engine.put(tree, b"a", &value, Condition::Always).unwrap();
    engine.shut_down().unwrap();
    drop(engine);
    let engine = open(&disk);
    assert!(engine.rename(tree, b"a", b"b", false).unwrap());
    let held = |engine: &Engine| {
        let read = engine.get(tree, b"b", |found| found.is_some_and(|found| found.value == value));
        read.unwrap()
    };
    assert!(held(&engine));
    engine.abandon();
    drop(engine);
    assert!(held(&open(&disk)), "once more");
}

#[test]
fn a_snapshot_finds_room_for_a_large_value_beside_changes() {
    let key = |number: usize| format!("{number:04}").into_bytes();
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let tree = engine.tree("t").unwrap();
    let large = vec![1; MEMORY_BYTES as usize / 4];
    engine.put(tree, b"large", &large, Condition::Always).unwrap();
    for number in 0..1000 {
        engine.put(tree, &key(number), &[2; 200], Condition::Always).unwrap();
    }
    engine.checkpoint().unwrap();
    drop(engine);
    let engine = open(&disk);
    let view = engine.snapshot().unwrap();
    // As much as writers may change without waiting.
    let most = 23 * FRAME_BYTES as usize;
    let mut numbers = (0..1000).step_by(15);
    while engine.table.budget().changed() < most {
        let number = numbers.next().expect("enough frames");
        engine.put(tree, &key(number), &[3; 200], Condition::Always).unwrap();
    }
    let found = view
        .of(&engine)
        .get_still(tree, b"large", |found| found.map(|found| found.value.to_vec()));
    assert!(found.unwrap().is_some_and(|value| value == large));
    assert_bounded(&engine);
}

#[test]
fn long_keys_for_which_room_is_made_in_many_steps_keep_the_bound() {
    for seed in 0..16 {
        let mut random = Rng::with_seed(seed);
        let engine = open(&MemoryDisk::new());
        let tree = engine.tree("t").unwrap();
        let longest = engine.state().forest.max_full_key_bytes() - 4;
        let start = vec![b'l'; longest * [3, 6, 7][random.usize(..3)] / 8];
        for _ in 0..1200 {
            let mut key = if random.bool() { start.clone() } else { Vec::new() };
            for _ in 0..random.usize(..3) {
                key.extend(format!("{}/", random.usize(..100)).bytes());
            }
            key.extend(random.usize(..300).to_string().bytes());
            if random.usize(..4) == 0 {
                key.resize(longest - random.usize(..3), b't');
            }
            key.truncate(longest);
            engine.put(tree, &key, b"v", Condition::Always).unwrap();
        }
        assert_bounded(&engine);
    }
}

#[test]
fn reads_go_on_where_removals_have_filled_memory_and_the_disk_is_full() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&Options {
        durability: Durability::None,
        ..options()
    });
    let tree = engine.tree("t").unwrap();
    let mut model = Model::new();
    for number in 0..8000 {
        let (key, value) = (key(number), vec![7; 150]);
        engine.put(tree, &key, &value, Condition::Always).unwrap();
        model.insert(key, value);
    }
    engine.checkpoint().unwrap();
    disk.fail_writes(Some(std::io::ErrorKind::StorageFull));
    let mut deleted = 0;
    let refused = (0..8000).find_map(|number| {
        let key = key(number);
        match engine.delete(tree, &key, Condition::Always) {
            Ok(found) => {
                assert!(found && model.remove(&key).is_some());
                deleted += 1;
                None
            }
            Err(error) => Some(error.code()),
        }
    });
    assert_eq!(refused, Some(ErrorCode::NoSpace));
    assert!(deleted > 10, "{deleted} removals went on");
    assert_eq!(engine.count(tree, b"").unwrap(), model.len() as u64);
    assert_same(&engine, tree, &model);
    disk.fail_writes(None);
    assert!(engine.delete_prefix(tree, b"3/").unwrap() > 0);
    model.retain(|key, _| !key.starts_with(b"3/"));
    assert_same(&engine, tree, &model);
}
