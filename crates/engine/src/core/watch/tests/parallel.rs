//! Replaying what a watcher was told onto the contents at its beginning gives the tree's contents, whatever goes on.

use std::{
    sync::atomic::AtomicBool,
    thread::{self, sleep},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{core::tests::contents, testing::cases};

#[derive(Clone, Debug)]
enum Step {
    Put(String, usize),
    Delete(String),
    Rename(String, String),
    Batch(Vec<(String, Option<usize>)>),
    Move(String, String),
    Clone(String, String),
    DeletePrefix(String),
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || "[ab]/[cd]/[0-9]{1,2}";
    let prefix = || prop_oneof!["[abe]/[cd]/", "[abe]/"];
    let size = || prop_oneof![9 => 0_usize..40, 1 => 200_usize..3000];
    let step = prop_oneof![
        30 => (key(), size()).prop_map(|(key, len)| Step::Put(key, len)),
        10 => key().prop_map(Step::Delete),
        3 => (key(), key()).prop_map(|(from, to)| Step::Rename(from, to)),
        5 => vec((key(), prop::option::of(size())), 1..6).prop_map(Step::Batch),
        2 => (prefix(), prefix()).prop_map(|(from, to)| Step::Move(from, to)),
        2 => (prefix(), prefix()).prop_map(|(from, to)| Step::Clone(from, to)),
        1 => prefix().prop_map(Step::DeletePrefix),
        1 => Just(Step::Checkpoint),
    ];
    vec(step, 1..80)
}

fn make(engine: &Engine, tree: TreeId, step: &Step) {
    match step {
        Step::Put(key, len) => drop(put(engine, tree, key, &vec![b'v'; *len])),
        Step::Delete(key) => drop(engine.delete(tree, key.as_bytes(), Condition::Always).unwrap()),
        Step::Rename(from, to) => drop(engine.rename(tree, from.as_bytes(), to.as_bytes(), true).unwrap()),
        Step::Batch(parts) => {
            let values: Vec<Option<Vec<u8>>> = parts.iter().map(|(_, len)| len.map(|len| vec![b'b'; len])).collect();
            let operations: Vec<Operation<'_>> = (parts.iter().zip(&values))
                .map(|((key, _), value)| match value {
                    Some(value) => Operation::Put {
                        tree,
                        key: key.as_bytes(),
                        value,
                        condition: Condition::Always,
                    },
                    None => Operation::Delete {
                        tree,
                        key: key.as_bytes(),
                        condition: Condition::Always,
                    },
                })
                .collect();
            engine.commit(&operations).unwrap();
        }
        // Refused where there are keys, or one contains the other.
        Step::Move(from, to) => drop(engine.move_prefix(tree, from.as_bytes(), to.as_bytes())),
        Step::Clone(from, to) => drop(engine.clone_prefix(tree, from.as_bytes(), to.as_bytes())),
        Step::DeletePrefix(prefix) => drop(engine.delete_prefix(tree, prefix.as_bytes()).unwrap()),
        Step::Checkpoint => drop(engine.checkpoint().unwrap()),
    }
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn records(engine: &Engine, tree: TreeId) -> Records {
    let records = contents(engine, tree).into_iter();
    records.map(|(key, record)| (key, record.1)).collect()
}

/// Replays until the stream has nothing more. False where it fell behind.
fn follow(watch: &Watch, last: &mut u64, records: &mut Records) -> bool {
    let told = drain(watch, &mut |version, change| {
        assert!(version >= *last, "{version} behind {last}");
        *last = version;
        replay(records, change);
    });
    match told {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::FellBehind, "{error}");
            false
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_replayed_stream_is_the_tree(pieces in vec(steps(), 1..6), begin in 0_usize..3) {
        let disk = MemoryDisk::new();
        let (engine, tree) = on(&disk);
        for piece in pieces.iter().take(begin) {
            piece.iter().for_each(|step| make(&engine, tree, step));
        }
        let start = engine.last_commit();
        let mut replayed = records(&engine, tree);
        let watch = engine.watch(tree, b"", Some(start), SMALL_QUEUE_BYTES).unwrap();
        let mut last = start;
        for piece in pieces.iter().skip(begin) {
            piece.iter().for_each(|step| make(&engine, tree, step));
            if !follow(&watch, &mut last, &mut replayed) {
                // Only a trimmed journal may be the reason.
                prop_assert!(piece.iter().any(|step| matches!(step, Step::Checkpoint)));
                return Ok(());
            }
            prop_assert_eq!(&replayed, &records(&engine, tree));
        }
    }
}

/// Writers in parallel, a watcher that follows, and one that begins behind it all; checkpoints where `trims`.
fn in_parallel(trims: bool) {
    const WRITERS: usize = 3;
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let start = engine.last_commit();
    let watch = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES * 20).unwrap();
    let done = AtomicBool::new(false);
    let (mut last, mut replayed, mut held) = (start, Records::new(), true);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    for i in 0..3000 {
                        // Keys of their own, so that the writers meet in frames and not in records.
                        let key = format!("{}/{writer}/{}", i % 7, i % 131);
                        match i % 50 {
                            48 if writer == 0 => {
                                let (from, to) = (format!("{}/", i % 7), format!("m{}/", i % 7));
                                let _ = engine.move_prefix(tree, from.as_bytes(), to.as_bytes());
                            }
                            47 if writer == 0 => {
                                let (from, to) = (format!("{}/", i % 7), format!("c{}/", i % 3));
                                engine.delete_prefix(tree, to.as_bytes()).unwrap();
                                engine.clone_prefix(tree, from.as_bytes(), to.as_bytes()).unwrap();
                            }
                            49 if writer == 0 => {
                                engine.delete_prefix(tree, format!("m{}/", i % 7).as_bytes()).unwrap();
                            }
                            3 | 9 => drop(engine.delete(tree, key.as_bytes(), Condition::Always).unwrap()),
                            _ => drop(put(engine, tree, &key, &vec![b'v'; i % 60])),
                        }
                    }
                })
            })
            .collect();
        let checkpointer = trims.then(|| {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    engine.checkpoint().unwrap();
                    sleep(Duration::from_millis(1));
                }
            })
        });
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) && held {
            held = follow(&watch, &mut last, &mut replayed);
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        if let Some(checkpointer) = checkpointer {
            checkpointer.join().unwrap();
        }
    });
    held = held && follow(&watch, &mut last, &mut replayed);
    assert!(held || trims, "nothing was trimmed");
    if held {
        assert_eq!(replayed, records(&engine, tree));
    }
    if !trims {
        let late = engine.watch(tree, b"", Some(start), SMALL_QUEUE_BYTES).unwrap();
        let (mut last, mut replayed) = (start, Records::new());
        assert!(follow(&late, &mut last, &mut replayed));
        assert_eq!(replayed, records(&engine, tree));
    }
}

#[test]
fn writers_in_parallel_are_told_in_the_order_of_their_commits() {
    in_parallel(false);
}

#[test]
fn a_journal_that_is_trimmed_meanwhile_makes_no_gap() {
    for _ in 0..5 {
        in_parallel(true);
    }
}
