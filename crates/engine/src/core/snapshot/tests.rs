//! Snapshots against ordered maps that are copies of what was there when they were taken.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use coppice_disk::MemoryDisk;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    ErrorCode,
    core::tests::{Tree, open, options},
    options::{Durability, Options},
    request::{After, Condition, ListItem, ListRequest, Range, TreeId},
    testing::cases,
};

type Model = BTreeMap<String, Tree>;

fn all() -> Range<'static> {
    Range::ALL
}

/// All that a view shows, by every way to look at it.
fn shown(engine: &Engine, view: &View) -> Model {
    let view = view.of(engine);
    let mut model = Model::new();
    for name in view.trees().unwrap() {
        let tree = view.tree_named(&name).unwrap().unwrap();
        let mut found = Tree::new();
        let exhausted = view.scan(tree, &all(), &mut |key, record| {
            found.insert(key.to_vec(), (record.version, record.value.to_vec()));
            ControlFlow::Continue(())
        });
        assert!(exhausted.unwrap());
        assert_eq!(view.count(tree, &[]).unwrap(), found.len() as u64);
        assert_eq!(view.is_empty(tree, &[]).unwrap(), found.is_empty());
        for (key, (version, value)) in &found {
            let record = view.get_still(tree, key, |record| {
                record.map(|record| (record.version, record.value.to_vec()))
            });
            assert_eq!(record.unwrap(), Some((*version, value.clone())));
            let longest = view.longest_prefix(tree, key, |found| found.map(|(len, record)| (len, record.version)));
            assert_eq!(longest.unwrap(), Some((key.len(), *version)));
        }
        let keys: Vec<&[u8]> = found.keys().map(Vec::as_slice).collect();
        let mut versions = Vec::new();
        view.get_many(tree, &keys, &mut |record| {
            versions.push(record.unwrap().version);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(
            versions,
            found.values().map(|(version, _)| *version).collect::<Vec<_>>()
        );
        model.insert(name, found);
    }
    model
}

fn keys_listed(engine: &Engine, view: &View, tree: TreeId) -> Vec<(Vec<u8>, bool)> {
    let view = view.of(engine);
    let request = ListRequest {
        prefix: &[],
        delimiter: b"/",
        after: None,
        resume: After::Start,
        limit: usize::MAX,
    };
    let mut listed = Vec::new();
    let more = view.list(tree, &request, &mut |item: ListItem<'_>| {
        listed.push(match item {
            ListItem::Key(key, _) => (key.to_vec(), false),
            ListItem::Prefix(prefix) => (prefix.to_vec(), true),
        });
        ControlFlow::Continue(())
    });
    assert!(!more.unwrap());
    listed
}

fn filled(engine: &Engine, keys: u32) -> TreeId {
    let tree = engine.tree("t").unwrap();
    for number in 0..keys {
        let len = if number % 40 == 0 { 2000 } else { 30 };
        let key = format!("dir{}/file{number:05}", number % 9);
        engine
            .put(tree, key.as_bytes(), &vec![number as u8; len], Condition::Always)
            .unwrap();
    }
    tree
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<u8>, usize),
    Delete(usize, usize),
    DeletePrefix(usize, Vec<u8>),
    MovePrefix(usize, Vec<u8>, Vec<u8>),
    DropTree(usize),
    Bury,
    Checkpoint,
    Reopen,
    Take,
    Drop(usize),
    Look(usize),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof!["[ab/]{0,3}", "dir[0-9]/", "f[0-9]{1,3}"], 0..4).prop_map(|parts| parts.concat().into_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let tree = 0..TREES.len();
    let size = prop_oneof![8 => 0usize..60, 1 => 200usize..3000];
    prop_oneof![
        30 => (tree.clone(), key(), size).prop_map(|(tree, key, len)| Step::Put(tree, key, len)),
        8 => (tree.clone(), any::<usize>()).prop_map(|(tree, nth)| Step::Delete(tree, nth)),
        1 => (tree.clone(), key()).prop_map(|(tree, prefix)| Step::DeletePrefix(tree, prefix)),
        3 => (tree.clone(), key(), key()).prop_map(|(tree, from, to)| Step::MovePrefix(tree, from, to)),
        1 => tree.prop_map(Step::DropTree),
        2 => Just(Step::Bury),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        4 => Just(Step::Take),
        3 => any::<usize>().prop_map(Step::Drop),
        4 => any::<usize>().prop_map(Step::Look),
    ]
}

const TREES: [&str; 3] = ["", "a", "trees/b"];

/// Runs steps with snapshots open all the while, each of which must show what was there when it was taken.
fn run(mut engine: Engine, reopen: impl Fn(Engine) -> Engine, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    let mut taken: Vec<(Arc<View>, Model, u64)> = Vec::new();
    for (round, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(tree, key, len) => {
                let id = engine.tree(TREES[tree]).unwrap();
                let value = vec![round as u8; len];
                let version = engine.put(id, &key, &value, Condition::Always).unwrap().unwrap();
                model
                    .entry(TREES[tree].into())
                    .or_default()
                    .insert(key, (version, value));
            }
            Step::Delete(tree, nth) => {
                let Some(records) = model.get_mut(TREES[tree]).filter(|records| !records.is_empty()) else {
                    continue;
                };
                let key = records.keys().nth(nth % records.len()).unwrap().clone();
                records.remove(&key);
                let id = engine.tree(TREES[tree]).unwrap();
                prop_assert!(engine.delete(id, &key, Condition::Always).unwrap());
            }
            Step::DeletePrefix(tree, prefix) => {
                let Some(records) = model.get_mut(TREES[tree]) else {
                    continue;
                };
                records.retain(|key, _| !key.starts_with(&prefix));
                let id = engine.tree(TREES[tree]).unwrap();
                engine.delete_prefix(id, &prefix).unwrap();
            }
            Step::MovePrefix(tree, from, to) => {
                let Some(records) = model.get_mut(TREES[tree]) else {
                    continue;
                };
                let id = engine.tree(TREES[tree]).unwrap();
                if engine.move_prefix(id, &from, &to).is_ok() {
                    let moved = std::mem::take(records).into_iter();
                    *records = moved
                        .map(|(key, record)| match key.strip_prefix(from.as_slice()) {
                            Some(rest) => ([&to, rest].concat(), record),
                            None => (key, record),
                        })
                        .collect();
                }
            }
            Step::DropTree(tree) => {
                let was_there = model.remove(TREES[tree]).is_some();
                prop_assert_eq!(engine.drop_tree(TREES[tree]).unwrap(), was_there);
            }
            Step::Bury => {
                engine.bury().unwrap();
            }
            Step::Checkpoint => {
                engine.checkpoint().unwrap();
            }
            Step::Reopen => {
                engine = reopen(engine);
                for (view, ..) in taken.drain(..) {
                    prop_assert_eq!(view.shown().err().map(|error| error.code()), Some(ErrorCode::Closed));
                }
            }
            Step::Take => {
                let view = engine.snapshot().unwrap();
                prop_assert_eq!(view.version(), engine.last_commit());
                taken.push((view, model.clone(), engine.last_commit()));
            }
            Step::Drop(nth) => {
                if !taken.is_empty() {
                    taken.swap_remove(nth % taken.len());
                }
            }
            Step::Look(nth) => {
                if let Some((view, expected, _)) = (!taken.is_empty()).then(|| &taken[nth % taken.len()]) {
                    prop_assert_eq!(&shown(&engine, view), expected);
                }
            }
        }
    }
    let stats = engine.stats().unwrap();
    prop_assert_eq!(stats.snapshots_open, taken.len() as u64);
    prop_assert_eq!(stats.snapshots_oldest_version, taken.iter().map(|taken| taken.2).min());
    for (view, expected, version) in &taken {
        prop_assert_eq!(view.version(), *version);
        prop_assert_eq!(&shown(&engine, view), expected);
    }
    drop(taken);
    prop_assert_eq!(engine.stats().unwrap().snapshots_pinned_blobs, 0);
    crate::core::tests::assert_same(&engine, &model);
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn snapshots_show_what_was_there(steps in vec(step(), 1..250)) {
        let disk = MemoryDisk::new();
        let engine = open(&disk, Durability::Process);
        let reopen = |engine: Engine| {
            engine.shut_down().unwrap();
            open(&disk, Durability::Process)
        };
        run(engine, reopen, steps)?;
    }

    #[test]
    fn snapshots_of_a_volatile_database_do_too(mut steps in vec(step(), 1..200)) {
        steps.retain(|step| !matches!(step, Step::Reopen));
        let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
        run(engine, |engine| engine, steps)?;
    }
}

#[test]
fn snapshot_reads_what_it_did_not_hold_from_the_image() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = filled(&engine, 800);
    let before = crate::core::tests::contents(&engine, tree);
    engine.checkpoint().unwrap();
    let view = engine.snapshot().unwrap();
    // Nothing was held, and everything is written anew, twice.
    for round in 0..2_u8 {
        for key in before.keys() {
            engine.put(tree, key, &[round; 100], Condition::Always).unwrap();
        }
        engine.checkpoint().unwrap();
    }
    assert!(engine.stats().unwrap().snapshots_pinned_blobs > 0);
    assert_eq!(shown(&engine, &view)["t"], before);
    drop(view);
    assert_eq!(engine.stats().unwrap().snapshots_pinned_blobs, 0);
}

#[test]
fn values_alone_among_the_highest_numbers_are_found() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    for number in 0..200_u8 {
        engine.put(tree, &[number], &[number; 2000], Condition::Always).unwrap();
    }
    let before = crate::core::tests::contents(&engine, tree);
    engine.checkpoint().unwrap();
    let view = engine.snapshot().unwrap();
    assert_eq!(shown(&engine, &view)["t"], before);
}

#[test]
fn snapshot_is_read_from_memory_while_nothing_changed() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    filled(&engine, 800);
    engine.checkpoint().unwrap();
    let view = engine.snapshot().unwrap();
    shown(&engine, &view);
    let shown = view.shown().unwrap();
    assert_eq!(shown.state().forest.table.traffic()[1], 0);
}

#[test]
fn tree_made_later_is_not_in_the_snapshot_and_one_dropped_later_is() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    let tree = filled(&engine, 10);
    let view = engine.snapshot().unwrap();
    engine.drop_tree("t").unwrap();
    while engine.bury().unwrap() {}
    engine.tree("later").unwrap();
    assert_eq!(view.of(&engine).trees().unwrap(), ["t"]);
    assert_eq!(view.of(&engine).count(tree, &[]).unwrap(), 10);
    assert_eq!(view.of(&engine).tree_named("later").unwrap(), None);
    assert_eq!(view.of(&engine).count(TreeId::ABSENT, &[]).unwrap(), 0);
    assert_eq!(keys_listed(&engine, &view, tree).len(), 9);
    let error = engine.count(tree, &[]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TreeDropped);
}

#[test]
fn closed_snapshot_and_that_of_a_closed_database_answer_nothing() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    filled(&engine, 10);
    let (first, second) = (engine.snapshot().unwrap(), engine.snapshot().unwrap());
    first.close();
    first.close();
    assert_eq!(engine.stats().unwrap().snapshots_open, 1);
    engine.shut_down().unwrap();
    for view in [first, second] {
        assert_eq!(view.shown().err().unwrap().code(), ErrorCode::Closed);
    }
    assert_eq!(engine.snapshot().err().unwrap().code(), ErrorCode::Closed);
}

#[test]
fn damage_in_the_image_is_told_and_not_answered() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = filled(&engine, 300);
    engine.checkpoint().unwrap();
    let view = engine.snapshot().unwrap();
    let keys = crate::core::tests::contents(&engine, tree);
    for key in keys.keys() {
        engine.put(tree, key, b"new", Condition::Always).unwrap();
    }
    let file = coppice_disk::Disk::open(&disk, "blobs").unwrap();
    let len = file.len().unwrap();
    file.write_all_at(4096, &vec![0xA5; len as usize - 4096]).unwrap();
    let answer = view
        .of(&engine)
        .scan(tree, &all(), &mut |_, _| ControlFlow::Continue(()));
    assert_eq!(answer.unwrap_err().code(), ErrorCode::Corrupt);
}
