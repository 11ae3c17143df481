//! Subtrees and trees of a database over a disk in memory: what callers get, what recovery finds, what is freed.

mod clones;

use std::{collections::BTreeMap, io, sync::Arc};

use coppice_disk::{Disk, MemoryDisk};
use proptest::{collection::vec, prelude::*};

use crate::{
    Durability, ErrorCode, Options, TreeId,
    core::{
        Engine, Reads,
        tests::{Tree, assert_same, contents, open, options},
    },
    request::Condition,
    testing::{FailingDisk, cases},
};

fn put(engine: &Engine, tree: TreeId, key: &[u8], value: &[u8]) -> u64 {
    engine.put(tree, key, value, Condition::Always).unwrap().unwrap()
}

fn bury_all(engine: &Engine) {
    while engine.bury().unwrap() {}
}

/// Puts keys that fill many frames, with some values of their own blobs.
fn fill(engine: &Engine, tree: TreeId, prefix: &str, keys: u32) {
    for number in 0..keys {
        let len = if number % 50 == 0 { 700 } else { 30 };
        let key = format!("{prefix}d{}/f{number:05}", number % 7);
        put(engine, tree, key.as_bytes(), &vec![number as u8; len]);
    }
}

/// What a verification finds wrong.
fn verified(engine: &Engine) -> Vec<crate::verify::Problem> {
    engine
        .verify(&mut |_, _| std::ops::ControlFlow::Continue(()))
        .unwrap()
        .problems
}

fn code<T: std::fmt::Debug>(result: Result<T, crate::Error>) -> ErrorCode {
    result.unwrap_err().code()
}

#[test]
fn a_move_keeps_records_and_versions_and_says_how_many() {
    let engine = open(&MemoryDisk::new(), Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "from/", 2000);
    let own = put(&engine, tree, b"from/", b"the prefix itself");
    let before = contents(&engine, tree);
    assert_eq!(engine.move_prefix(tree, b"from/", b"a/deeper/place/").unwrap(), 2001);
    let moved = |key: &Vec<u8>| [b"a/deeper/place/", &key[5..]].concat();
    let expected: Tree = before
        .iter()
        .map(|(key, record)| (moved(key), record.clone()))
        .collect();
    assert_eq!(contents(&engine, tree), expected);
    assert_eq!(expected[&b"a/deeper/place/".to_vec()].0, own);
    assert_eq!(engine.count(tree, b"from/").unwrap(), 0);
    assert_eq!(engine.count(tree, b"a/deeper/place/d3/").unwrap(), 286);
    assert_eq!(engine.move_prefix(tree, b"from/", b"b").unwrap(), 0);
    let next = put(&engine, tree, b"next", b"");
    assert_eq!(
        next,
        before.values().map(|record| record.0).max().unwrap() + 2,
        "one commit"
    );
    assert_eq!(engine.move_prefix(tree, b"a/deeper/place/", b"from/").unwrap(), 2001);
    engine.delete(tree, b"next", Condition::Always).unwrap();
    assert_eq!(contents(&engine, tree), before);
    engine.shared().forest.assert_valid();
}

#[test]
fn a_move_that_cannot_be_changes_nothing() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 300);
    put(&engine, tree, b"b/x", b"");
    let longest = [&b"a/"[..], &[b'x'; 510]].concat();
    put(&engine, tree, &longest, b"");
    let before = contents(&engine, tree);
    let appended = engine.stats().unwrap().journal_appended_records;
    for (from, to) in [
        ("a/", "a/"),
        ("a/", "a/b/"),
        ("a/d1", "a/"),
        ("", "x"),
        ("x", ""),
        ("gone/", "gone/x"),
    ] {
        let refused = engine.move_prefix(tree, from.as_bytes(), to.as_bytes());
        assert_eq!(code(refused), ErrorCode::InvalidArgument, "{from} {to}");
    }
    for to in [&b"b/"[..], b"b", b"b/x"] {
        assert_eq!(code(engine.move_prefix(tree, b"a/", to)), ErrorCode::NotEmpty);
        assert_eq!(code(engine.move_prefix(tree, b"gone/", to)), ErrorCode::NotEmpty);
    }
    for to in [&b"abc/"[..], &[b'c'; 512], &[b'c'; 9000]] {
        assert_eq!(code(engine.move_prefix(tree, b"a/", to)), ErrorCode::KeyTooLarge);
        assert_eq!(engine.move_prefix(tree, b"gone/", to).unwrap(), 0);
    }
    for unknown in [TreeId(0), TreeId(9)] {
        assert_eq!(
            code(engine.move_prefix(unknown, b"a", b"b")),
            ErrorCode::InvalidArgument
        );
        assert_eq!(code(engine.delete_prefix(unknown, b"a")), ErrorCode::InvalidArgument);
    }
    assert_eq!(engine.delete_prefix(tree, b"gone/").unwrap(), 0);
    assert_eq!(engine.delete_prefix(tree, &[b'a'; 9000]).unwrap(), 0);
    assert!(!engine.drop_tree("gone").unwrap());
    assert_eq!(contents(&engine, tree), before);
    assert_eq!(engine.stats().unwrap().journal_appended_records, appended);
    assert_eq!(engine.move_prefix(tree, b"a/", b"c/").unwrap(), 301);
}

#[test]
fn a_deleted_prefix_gives_everything_back_also_after_reopens() {
    for crash in [false, true] {
        let disk = MemoryDisk::new();
        let mut engine = open(&disk, Durability::Process);
        let tree = engine.tree("t").unwrap();
        put(&engine, tree, b"kept", b"1");
        engine.checkpoint().unwrap();
        let blobs = engine.stats().unwrap().blobs;
        fill(&engine, tree, "goes/", 3000);
        assert!(engine.stats().unwrap().blobs > blobs + 50);
        engine.checkpoint().unwrap();
        assert_eq!(engine.delete_prefix(tree, b"goes/").unwrap(), 3000);
        assert_eq!(engine.count(tree, b"").unwrap(), 1);
        let mut reopens = 0;
        while engine.bury().unwrap() {
            engine.shared().forest.assert_valid();
            assert_eq!(engine.stats().unwrap().keys, 1);
            if reopens % 3 == 0 {
                engine.checkpoint().unwrap();
            }
            if crash {
                engine.abandon();
            } else {
                engine.shut_down().unwrap();
            }
            engine = open(&disk, Durability::Process);
            reopens += 1;
        }
        assert!(reopens > 5, "{reopens}");
        engine.shared().forest.assert_valid();
        // The few keys that are left may lie in a frame below the topmost one now.
        let left = engine.stats().unwrap().blobs;
        assert!(left <= blobs + 2, "{left} blobs");
        assert_eq!(contents(&engine, tree).len(), 1);
        engine.shut_down().unwrap();
        assert_eq!(open(&disk, Durability::Process).stats().unwrap().blobs, left);
    }
}

#[test]
fn a_dropped_tree_is_gone_for_those_who_had_it() {
    let engine = open(&MemoryDisk::new(), Durability::Process);
    let (tree, other) = (engine.tree("t").unwrap(), engine.tree("other").unwrap());
    fill(&engine, tree, "", 500);
    put(&engine, other, b"k", b"v");
    assert!(engine.drop_tree("t").unwrap());
    assert!(!engine.drop_tree("t").unwrap());
    assert_eq!(engine.trees().unwrap(), ["other"]);
    let error = engine.get(tree, b"", |_| ()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TreeDropped);
    assert!(error.message().contains("'t'"), "{error}");
    assert_eq!(
        code(engine.put(tree, b"k", b"v", Condition::Always)),
        ErrorCode::TreeDropped
    );
    assert_eq!(
        code(engine.delete(tree, b"k", Condition::Always)),
        ErrorCode::TreeDropped
    );
    assert_eq!(code(engine.count(tree, b"")), ErrorCode::TreeDropped);
    assert_eq!(code(engine.is_empty(tree, b"")), ErrorCode::TreeDropped);
    assert_eq!(code(engine.move_prefix(tree, b"a", b"b")), ErrorCode::TreeDropped);
    assert_eq!(code(engine.delete_prefix(tree, b"")), ErrorCode::TreeDropped);
    assert_eq!(code(engine.rename(tree, b"a", b"b", true)), ErrorCode::TreeDropped);
    let again = engine.tree("t").unwrap();
    assert!(again.0 > other.0);
    assert_eq!(contents(&engine, again), Tree::new());
    assert_eq!(contents(&engine, other).len(), 1);
    bury_all(&engine);
    engine.shared().forest.assert_valid();
    assert_eq!(engine.stats().unwrap().keys, 1);
}

#[test]
fn ten_thousand_trees_of_one_key_share_a_few_frames() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    for number in 0..10_000 {
        let tree = engine.tree(&format!("tree-{number:05}")).unwrap();
        put(&engine, tree, b"key", &[7; 20]);
    }
    let stats = engine.stats().unwrap();
    assert_eq!((stats.trees, stats.keys), (10_000, 10_000));
    assert!(stats.blobs <= 60, "{} frames", stats.blobs);
    for number in 0..10_000 {
        assert!(engine.drop_tree(&format!("tree-{number:05}")).unwrap());
    }
    bury_all(&engine);
    let stats = engine.stats().unwrap();
    assert_eq!((stats.trees, stats.keys), (0, 0));
    assert_eq!(stats.blobs, 1, "frames are left over");
}

/// The same files on another disk.
fn copy_of(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        let file = disk.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        copy.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
    }
    copy
}

#[test]
fn a_journal_cut_off_anywhere_yields_each_operation_whole_or_not_at_all() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    let dropped = engine.tree("dropped").unwrap();
    fill(&engine, tree, "a/", 400);
    fill(&engine, tree, "b/", 400);
    fill(&engine, dropped, "", 400);
    // Where the records of the first segment end: its file is longer.
    let len = || 192 + engine.durable().unwrap().journal.bytes();
    let state = |engine: &Engine| {
        (
            engine.trees().unwrap(),
            contents(engine, tree),
            engine.stats().unwrap().keys,
        )
    };
    let start = len();
    let mut states = vec![(start, state(&engine))];
    engine.move_prefix(tree, b"a/d3", b"c/").unwrap();
    states.push((len(), state(&engine)));
    engine.clone_within(tree, b"a/d4", b"a/d4/e").unwrap();
    states.push((len(), state(&engine)));
    engine.delete_prefix(tree, b"b/").unwrap();
    states.push((len(), state(&engine)));
    assert!(engine.drop_tree("dropped").unwrap());
    states.push((len(), state(&engine)));
    engine.move_prefix(tree, b"c/", b"b").unwrap();
    states.push((len(), state(&engine)));
    let end = len();
    engine.abandon();
    for cut in start..=end {
        let copy = copy_of(&disk);
        copy.open("journal-0000000000000001.log").unwrap().set_len(cut).unwrap();
        let engine = open(&copy, Durability::Process);
        let (_, expected) = states.iter().rev().find(|(end, _)| *end <= cut).unwrap();
        assert_eq!(&state(&engine), expected, "cut off at {cut}");
        engine.shared().forest.assert_valid();
    }
}

#[test]
fn what_the_journal_refuses_was_not_done() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 500);
    let before = contents(&engine, tree);
    disk.fail_writes(Some(io::ErrorKind::StorageFull));
    assert_eq!(code(engine.move_prefix(tree, b"a/", b"b/")), ErrorCode::NoSpace);
    assert_eq!(code(engine.clone_prefix(tree, b"a/", b"b/")), ErrorCode::NoSpace);
    assert_eq!(code(engine.delete_prefix(tree, b"a/")), ErrorCode::NoSpace);
    assert_eq!(code(engine.drop_tree("t")), ErrorCode::NoSpace);
    assert_eq!(contents(&engine, tree), before);
    disk.fail_writes(None);
    assert_eq!(engine.move_prefix(tree, b"a/", b"b/").unwrap(), 500);
    engine.shared().forest.assert_valid();
}

/// Operations beside a damaged frame: each is refused before any effect, or done; and what was done is there after the next
/// open.
#[test]
fn operations_beside_a_damaged_frame_do_no_harm() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("").unwrap();
    fill(&engine, tree, "a/", 1500);
    engine.shut_down().unwrap();
    let pages = disk.open("blobs").unwrap().len().unwrap() / 4096;
    let (mut refused, mut done) = (0, 0);
    for page in (1..pages).step_by(5) {
        let damaged = copy_of(&disk);
        damaged
            .open("blobs")
            .unwrap()
            .write_all_at(page * 4096 + 200, &[0xA5; 64])
            .unwrap();
        for (from, to) in [
            ("a/d3/", "a/d-moved-far-away/"),
            ("a/d3/f0", "a/d3/g"),
            ("a/", "b/"),
            ("a/d5/f01", "c"),
        ] {
            let disk = copy_of(&damaged);
            let engine = open(&disk, Durability::Process);
            let moved = engine.move_prefix(tree, from.as_bytes(), to.as_bytes());
            let cloned = engine.clone_prefix(tree, b"a/", b"k/");
            let deleted = engine.delete_prefix(tree, b"a/d6/f00");
            for result in [&moved, &cloned, &deleted] {
                match result {
                    Ok(_) => done += 1,
                    Err(error) => {
                        assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
                        refused += 1;
                    }
                }
            }
            // No damage can leave a change half made: then the database would take no more writes.
            match engine.put(tree, b"z", b"", Condition::Always) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.code(), ErrorCode::Corrupt, "{error}"),
            }
            engine.abandon();
            let engine = open(&disk, Durability::Process);
            if let Ok(keys) = moved {
                assert_eq!(
                    engine.count(tree, to.as_bytes()).unwrap(),
                    keys,
                    "{from} to {to}, page {page}"
                );
            }
        }
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
}

#[derive(Clone, Debug)]
enum Step {
    PutMany(usize, Vec<(Vec<u8>, usize)>),
    Delete(usize, usize),
    /// A part of the nth key: to what.
    Move(usize, usize, usize, Vec<u8>),
    /// The same for a clone, and whether to below itself.
    Clone(usize, usize, usize, Vec<u8>, bool),
    DeletePrefix(usize, usize, usize),
    Drop(usize),
    Bury,
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
    let tree = 0usize..3;
    let size = prop_oneof![8 => 0usize..60, 1 => 0usize..3000];
    let place = any::<(usize, usize)>();
    prop_oneof![
        8 => (tree.clone(), vec((key(), size), 0..60)).prop_map(|(tree, entries)| Step::PutMany(tree, entries)),
        4 => (tree.clone(), any::<usize>()).prop_map(|(tree, nth)| Step::Delete(tree, nth)),
        6 => (tree.clone(), place, key()).prop_map(|(tree, (nth, len), to)| Step::Move(tree, nth, len, to)),
        6 => (tree.clone(), place, key(), any::<bool>())
            .prop_map(|(tree, (nth, len), to, below)| Step::Clone(tree, nth, len, to, below)),
        2 => (tree.clone(), place).prop_map(|(tree, (nth, len))| Step::DeletePrefix(tree, nth, len)),
        1 => tree.prop_map(Step::Drop),
        2 => Just(Step::Bury),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ]
}

/// Clones double what there is.
const MOST_KEYS: usize = 3000;

const TREES: [&str; 3] = ["", "a", "trees/b"];

/// A part of the nth key.
fn part(tree: &Tree, nth: usize, len: usize) -> Vec<u8> {
    let key = tree.keys().nth(nth % tree.len().max(1));
    key.map_or(Vec::new(), |key| key[..len % (key.len() + 1)].to_vec())
}

fn under(tree: &Tree, prefix: &[u8]) -> Vec<Vec<u8>> {
    tree.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn agrees_with_ordered_maps_across_reopens(steps in vec(step(), 1..120)) {
        let disk = MemoryDisk::new();
        let mut engine = open(&disk, Durability::Process);
        let mut model: BTreeMap<String, Tree> = BTreeMap::new();
        for (round, step) in steps.into_iter().enumerate() {
            match step {
                Step::PutMany(tree, entries) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    for (key, len) in entries {
                        let version = put(&engine, id, &key, &vec![round as u8; len]);
                        tree.insert(key, (version, vec![round as u8; len]));
                    }
                }
                Step::Delete(tree, nth) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    if let Some(key) = tree.keys().nth(nth % tree.len().max(1)).cloned() {
                        prop_assert!(engine.delete(id, &key, Condition::Always).unwrap());
                        tree.remove(&key);
                    }
                }
                Step::Move(tree, nth, len, to) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    let from = part(tree, nth, len);
                    let moved = engine.move_prefix(id, &from, &to);
                    if from.starts_with(&to) || to.starts_with(&from) {
                        prop_assert_eq!(code(moved), ErrorCode::InvalidArgument);
                    } else if !under(tree, &to).is_empty() {
                        prop_assert_eq!(code(moved), ErrorCode::NotEmpty);
                    } else {
                        let keys = under(tree, &from);
                        prop_assert_eq!(moved.unwrap(), keys.len() as u64);
                        for key in keys {
                            let record = tree.remove(&key).unwrap();
                            tree.insert([&to, &key[from.len()..]].concat(), record);
                        }
                    }
                }
                Step::Clone(tree, nth, len, to, below) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    let from = part(tree, nth, len);
                    let to = if below { [&from[..], &to].concat() } else { to };
                    let keys = under(tree, &from);
                    if keys.len() + tree.len() > MOST_KEYS {
                        continue;
                    }
                    let longest = keys.iter().map(|key| key.len() - from.len() + to.len()).max();
                    let within = from.starts_with(&to) || to.starts_with(&from);
                    if within {
                        prop_assert_eq!(code(engine.clone_prefix(id, &from, &to)), ErrorCode::InvalidArgument);
                    }
                    let cloned = match within {
                        true => engine.clone_within(id, &from, &to),
                        false => engine.clone_prefix(id, &from, &to),
                    };
                    if !under(tree, &to).is_empty() {
                        prop_assert_eq!(code(cloned), ErrorCode::NotEmpty);
                    } else if longest.is_some_and(|longest| longest > 512) {
                        prop_assert_eq!(code(cloned), ErrorCode::KeyTooLarge);
                    } else {
                        prop_assert_eq!(cloned.unwrap(), keys.len() as u64);
                        for key in keys {
                            let record = tree[&key].clone();
                            tree.insert([&to, &key[from.len()..]].concat(), record);
                        }
                    }
                }
                Step::DeletePrefix(tree, nth, len) => {
                    let id = engine.tree(TREES[tree]).unwrap();
                    let tree = model.entry(TREES[tree].into()).or_default();
                    let prefix = part(tree, nth, len);
                    let keys = under(tree, &prefix);
                    prop_assert_eq!(engine.delete_prefix(id, &prefix).unwrap(), keys.len() as u64);
                    tree.retain(|key, _| !keys.contains(key));
                }
                Step::Drop(tree) => {
                    let there = model.remove(TREES[tree]).is_some();
                    prop_assert_eq!(engine.drop_tree(TREES[tree]).unwrap(), there);
                }
                Step::Bury => {
                    engine.bury().unwrap();
                }
                Step::Checkpoint => {
                    engine.checkpoint().unwrap();
                }
                Step::Close => {
                    engine.shut_down().unwrap();
                    engine = open(&disk, Durability::Process);
                }
                Step::Crash => {
                    engine.abandon();
                    engine = open(&disk, Durability::Process);
                }
            }
        }
        assert_same(&engine, &model);
        engine.shared().forest.assert_valid();
        engine.shut_down().unwrap();
        let engine = open(&disk, Durability::Process);
        assert_same(&engine, &model);
        engine.shared().forest.assert_valid();
        assert_eq!(verified(&engine), []);
        for name in model.keys() {
            prop_assert!(engine.drop_tree(name).unwrap());
        }
        bury_all(&engine);
        engine.shared().forest.assert_valid();
        prop_assert_eq!(engine.stats().unwrap().blobs, 1, "frames or values are left over");
        engine.shut_down().unwrap();
        prop_assert_eq!(open(&disk, Durability::Process).stats().unwrap().blobs, 1);
    }
}

#[test]
fn readers_see_a_subtree_at_one_place_or_the_other() {
    let engine = Arc::new(Engine::in_memory(&Options::default()).unwrap());
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 3000);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = {
        let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut looks = 0_u32;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let number = looks % 3000;
                let key = format!("d{}/f{number:05}", number % 7);
                let there = |place: &str| {
                    let key = [place.as_bytes(), key.as_bytes()].concat();
                    engine.get(tree, &key, |record| record.is_some()).unwrap()
                };
                // Moves go from one to the other and back: who sees it at neither saw the move in between, twice.
                let seen = there("a/") || there("b/") || there("a/") || there("b/");
                assert!(seen || engine.count(tree, b"").unwrap() == 3000, "{key} is nowhere");
                looks += 1;
            }
            looks
        })
    };
    for _ in 0..200 {
        assert_eq!(engine.move_prefix(tree, b"a/", b"b/").unwrap(), 3000);
        assert_eq!(engine.move_prefix(tree, b"b/", b"a/").unwrap(), 3000);
    }
    done.store(true, std::sync::atomic::Ordering::Release);
    assert!(reader.join().unwrap() > 0);
}
