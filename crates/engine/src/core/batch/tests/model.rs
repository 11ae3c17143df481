//! Batches and renames against ordered maps, with reopens between them.

use std::collections::BTreeMap;

use coppice_disk::MemoryDisk;
use proptest::{collection::vec, prelude::*};

use super::{contents, open, options, value_blobs};
use crate::{
    Condition, Durability, Operation, Outcome, TreeId,
    core::{Engine, Reads},
    testing::cases,
};

const TREES: [&str; 3] = ["", "a", "trees/b"];

/// Records by tree and key.
type Model = BTreeMap<(u32, Vec<u8>), (u64, Vec<u8>)>;

/// What a condition says of what is there at the time.
#[derive(Clone, Copy, Debug)]
enum Says {
    Always,
    Truth,
    Version,
    WrongVersion,
    Falsehood,
}

#[derive(Clone, Debug)]
enum Wanted {
    Put(usize, Vec<u8>, usize, Says),
    Delete(usize, Vec<u8>, Says),
    Rename(usize, Vec<u8>, Vec<u8>, bool),
    Assert(usize, Vec<u8>, Says),
    AssertEmpty(usize, Vec<u8>, bool),
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Wanted>),
    Rename(usize, Vec<u8>, Vec<u8>, bool),
    Checkpoint,
    Close,
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[ab]/[cd]/f[0-9]".prop_map(String::into_bytes),
        3 => "[ab/]{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
    ]
}

/// Mostly what holds, so that most batches commit.
fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        20 => Just(Says::Always),
        20 => Just(Says::Truth),
        4 => Just(Says::Version),
        1 => Just(Says::WrongVersion),
        1 => Just(Says::Falsehood),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let tree = 0..TREES.len();
    let size = prop_oneof![6 => 0usize..60, 2 => 200usize..300, 1 => 0usize..3000];
    prop_oneof![
        8 => (tree.clone(), key(), size, says()).prop_map(|(tree, key, len, says)| Wanted::Put(tree, key, len, says)),
        4 => (tree.clone(), key(), says()).prop_map(|(tree, key, says)| Wanted::Delete(tree, key, says)),
        4 => (tree.clone(), key(), key(), any::<bool>())
            .prop_map(|(tree, from, to, overwrite)| Wanted::Rename(tree, from, to, overwrite)),
        2 => (tree.clone(), key(), says()).prop_map(|(tree, key, says)| Wanted::Assert(tree, key, says)),
        1 => (tree, key(), any::<bool>()).prop_map(|(tree, prefix, empty)| Wanted::AssertEmpty(tree, prefix, empty)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let rename = (0..TREES.len(), key(), key(), any::<bool>());
    prop_oneof![
        20 => vec(wanted(), 0..12).prop_map(Step::Batch),
        4 => rename.prop_map(|(tree, from, to, overwrite)| Step::Rename(tree, from, to, overwrite)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        2 => Just(Step::Crash),
    ]
}

fn condition(says: Says, there: Option<u64>) -> Condition {
    match (says, there) {
        (Says::Always, _) => Condition::Always,
        (Says::Truth, Some(_)) | (Says::Falsehood, None) => Condition::IfPresent,
        (Says::Truth, None) | (Says::Falsehood, Some(_)) => Condition::IfAbsent,
        (Says::Version, there) => there.map_or(Condition::IfAbsent, Condition::IfVersion),
        (Says::WrongVersion, there) => Condition::IfVersion(there.map_or(1, |version| version - 1)),
    }
}

/// Makes a wanted operation of its conditions as they stand in the model, and does it there; whether it holds.
fn apply<'w>(
    model: &mut Model,
    version: u64,
    wanted: &'w Wanted,
    values: &'w [u8],
    trees: &[TreeId],
) -> (Operation<'w>, bool) {
    let there = |model: &Model, tree: TreeId, key: &[u8]| model.get(&(tree.0, key.to_vec())).map(|record| record.0);
    match wanted {
        Wanted::Put(tree, key, len, says) => {
            let tree = trees[*tree];
            let found = there(model, tree, key);
            let condition = condition(*says, found);
            let value = &values[..*len];
            let holds = condition.holds(found);
            if holds {
                model.insert((tree.0, key.clone()), (version, value.to_vec()));
            }
            let put = Operation::Put {
                tree,
                key,
                value,
                condition,
            };
            (put, holds)
        }
        Wanted::Delete(tree, key, says) => {
            let tree = trees[*tree];
            let found = there(model, tree, key);
            let condition = condition(*says, found);
            let holds = condition.holds(found);
            if holds {
                model.remove(&(tree.0, key.clone()));
            }
            (Operation::Delete { tree, key, condition }, holds)
        }
        Wanted::Rename(tree, from, to, overwrite) => {
            let tree = trees[*tree];
            let holds = there(model, tree, from).is_some() && (*overwrite || there(model, tree, to).is_none());
            if holds && let Some((_, value)) = model.remove(&(tree.0, from.clone())) {
                model.insert((tree.0, to.clone()), (version, value));
            }
            let rename = Operation::Rename {
                tree,
                from,
                to,
                overwrite: *overwrite,
            };
            (rename, holds)
        }
        Wanted::Assert(tree, key, says) => {
            let tree = trees[*tree];
            let found = there(model, tree, key);
            let condition = condition(*says, found);
            (Operation::Assert { tree, key, condition }, condition.holds(found))
        }
        Wanted::AssertEmpty(tree, prefix, right) => {
            let tree = trees[*tree];
            let empty = !model.keys().any(|(of, key)| *of == tree.0 && key.starts_with(prefix));
            let empty_wanted = empty == *right;
            let assert = Operation::AssertEmpty {
                tree,
                prefix,
                empty: empty_wanted,
            };
            (assert, *right)
        }
    }
}

fn assert_same(engine: &Engine, trees: &[TreeId], model: &Model) {
    engine.shared().forest.assert_valid();
    for tree in trees {
        let expected = model
            .iter()
            .filter(|((of, _), _)| *of == tree.0)
            .map(|((_, key), record)| (key.clone(), record.clone()))
            .collect();
        assert_eq!(contents(engine, *tree), expected);
        assert_eq!(engine.count(*tree, &[]).unwrap(), expected.len() as u64);
    }
    // No blob is lost, and none is left over.
    let inline = coppice_frame::max_inline_bytes(options(Durability::Process).frame_bytes as usize);
    let large = model.values().filter(|(_, value)| value.len() > inline).count();
    assert_eq!(value_blobs(engine), large);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn agrees_with_ordered_maps_across_reopens(steps in vec(step(), 1..60)) {
        let disk = MemoryDisk::new();
        let mut engine = open(&disk, Durability::Process);
        let trees = TREES.map(|name| engine.tree(name).unwrap());
        let mut model = Model::new();
        for (round, step) in steps.into_iter().enumerate() {
            let next = engine.shared().sequence + 1;
            let values = vec![round as u8; 3000];
            match step {
                Step::Batch(wanted) => {
                    let mut after = model.clone();
                    let mut operations = Vec::new();
                    let mut failed = None;
                    for (index, wanted) in wanted.iter().enumerate() {
                        let (operation, holds) = apply(&mut after, next, wanted, &values, &trees);
                        operations.push(operation);
                        if !holds {
                            failed.get_or_insert(index);
                            // What comes behind it does not matter.
                            after.clone_from(&model);
                        }
                    }
                    let outcome = engine.commit(&operations).unwrap();
                    match failed {
                        Some(index) => prop_assert_eq!(outcome, Outcome::Failed { index }),
                        None => {
                            let Outcome::Committed { version } = outcome else {
                                panic!("{outcome:?}");
                            };
                            prop_assert!(version == next || (version == next - 1 && after == model));
                            model = after;
                        }
                    }
                }
                Step::Rename(tree, from, to, overwrite) => {
                    let wanted = Wanted::Rename(tree, from.clone(), to.clone(), overwrite);
                    let (_, holds) = apply(&mut model, next, &wanted, &[], &trees);
                    prop_assert_eq!(engine.rename(trees[tree], &from, &to, overwrite).unwrap(), holds);
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
            assert_same(&engine, &trees, &model);
        }
        engine.abandon();
        assert_same(&open(&disk, Durability::Process), &trees, &model);
    }
}
