//! What watchers are told: everything of interest, once, in order, or that they fell behind.

mod parallel;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use coppice_disk::MemoryDisk;

use crate::{
    Change, Condition, Durability, Error, ErrorCode, Operation, Taken, TreeId, Watch,
    core::{
        Engine,
        tests::{open, options},
    },
};

/// Room for a few commits.
const SMALL_QUEUE_BYTES: usize = 1000;
const QUEUE_BYTES: usize = 1 << 20;

/// A change that outlives its visit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Put(String, Vec<u8>),
    Delete(String),
    Move(String, String),
    Clone(String, String),
    DeletePrefix(String),
}

impl From<Change<'_>> for Told {
    fn from(change: Change<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match change {
            Change::Put { key, value } => Self::Put(text(key), value.to_vec()),
            Change::Delete { key } => Self::Delete(text(key)),
            Change::MovePrefix { from, to } => Self::Move(text(from), text(to)),
            Change::ClonePrefix { from, to } => Self::Clone(text(from), text(to)),
            Change::DeletePrefix { prefix } => Self::DeletePrefix(text(prefix)),
        }
    }
}

fn on(disk: &MemoryDisk) -> (Arc<Engine>, TreeId) {
    let engine = Arc::new(open(disk, Durability::Process));
    let tree = engine.tree("t").unwrap();
    (engine, tree)
}

fn volatile() -> (Arc<Engine>, TreeId) {
    let engine = Arc::new(Engine::in_memory(&options(Durability::Process)).unwrap());
    let tree = engine.tree("t").unwrap();
    (engine, tree)
}

fn put(engine: &Engine, tree: TreeId, key: &str, value: &[u8]) -> u64 {
    engine
        .put(tree, key.as_bytes(), value, Condition::Always)
        .unwrap()
        .unwrap()
}

/// Takes all there is, from the journal too, until there is nothing more or nothing more to come.
fn drain(watch: &Watch, told: &mut dyn FnMut(u64, Change<'_>)) -> Result<Taken, Error> {
    loop {
        match watch.take(200, told)? {
            Taken::More => {}
            Taken::Journal => watch.read_journal()?,
            end @ (Taken::Nothing | Taken::Closed) => return Ok(end),
        }
    }
}

fn all(watch: &Watch) -> Vec<(u64, Told)> {
    let mut told = Vec::new();
    assert_eq!(
        drain(watch, &mut |version, change| told.push((version, change.into()))).unwrap(),
        Taken::Nothing
    );
    told
}

/// Does a change to the contents of a tree.
fn replay(records: &mut BTreeMap<Vec<u8>, Vec<u8>>, change: Change<'_>) {
    let mut take = |prefix: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
        records.extract_if(.., |key, _| key.starts_with(prefix)).collect()
    };
    match change {
        Change::Put { key, value } => drop(records.insert(key.to_vec(), value.to_vec())),
        Change::Delete { key } => assert!(records.remove(key).is_some(), "a delete of what was not there"),
        Change::DeletePrefix { prefix } => assert!(!take(prefix).is_empty()),
        Change::ClonePrefix { from, to } => {
            let cloned: Vec<_> = (records.iter())
                .filter(|(key, _)| key.starts_with(from))
                .map(|(key, value)| ([to, &key[from.len()..]].concat(), value.clone()))
                .collect();
            assert!(!cloned.is_empty(), "a clone of nothing");
            records.extend(cloned);
        }
        Change::MovePrefix { from, to } => {
            let moved = take(from);
            assert!(!moved.is_empty(), "a move of nothing");
            records.extend(
                moved
                    .into_iter()
                    .map(|(key, value)| ([to, &key[from.len()..]].concat(), value)),
            );
        }
    }
}

#[test]
fn every_kind_of_change_is_told_in_order_with_its_version() {
    let (engine, tree) = volatile();
    let watch = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let first = put(&engine, tree, "a/1", b"1");
    assert!(engine.delete(tree, b"a/1", Condition::Always).unwrap());
    assert!(!engine.delete(tree, b"a/1", Condition::Always).unwrap());
    engine
        .put_many(tree, &mut [(&b"b/1"[..], &b"2"[..]), (b"b/2", b"3")].into_iter())
        .unwrap();
    assert!(engine.rename(tree, b"b/1", b"b/3", false).unwrap());
    assert_eq!(engine.move_prefix(tree, b"b/", b"c/").unwrap(), 2);
    assert_eq!(engine.move_prefix(tree, b"nothing", b"there").unwrap(), 0);
    assert_eq!(engine.clone_within(tree, b"c/", b"c/d/").unwrap(), 2);
    assert_eq!(engine.clone_prefix(tree, b"nothing", b"there").unwrap(), 0);
    assert_eq!(engine.delete_prefix(tree, b"c/").unwrap(), 4);
    let told = |change: Told, behind: u64| (first + behind, change);
    let text = str::to_owned;
    assert_eq!(
        all(&watch),
        [
            told(Told::Put(text("a/1"), b"1".to_vec()), 0),
            told(Told::Delete(text("a/1")), 1),
            told(Told::Put(text("b/1"), b"2".to_vec()), 2),
            told(Told::Put(text("b/2"), b"3".to_vec()), 3),
            told(Told::Delete(text("b/1")), 4),
            told(Told::Put(text("b/3"), b"2".to_vec()), 4),
            told(Told::Move(text("b/"), text("c/")), 5),
            told(Told::Clone(text("c/"), text("c/d/")), 6),
            told(Told::DeletePrefix(text("c/")), 7),
        ]
    );
}

#[test]
fn a_batch_is_told_in_order_under_one_version_and_one_taken_back_is_not() {
    let (engine, tree) = volatile();
    let watch = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let operation = |key: &'static str, condition| Operation::Put {
        tree,
        key: key.as_bytes(),
        value: b"v",
        condition,
    };
    let refused = [operation("x", Condition::Always), operation("y", Condition::IfPresent)];
    engine.commit(&refused).unwrap();
    let renamed = Operation::Rename {
        tree,
        from: b"b",
        to: b"c",
        overwrite: false,
    };
    engine
        .commit(&[
            operation("b", Condition::IfAbsent),
            operation("a", Condition::Always),
            renamed,
        ])
        .unwrap();
    let version = engine.last_commit();
    let put = |key: &str| (version, Told::Put(key.to_owned(), b"v".to_vec()));
    assert_eq!(
        all(&watch),
        [put("b"), put("a"), (version, Told::Delete("b".to_owned())), put("c")]
    );
}

#[test]
fn only_what_touches_the_prefix_is_told_and_moves_as_they_were_made() {
    let (engine, tree) = volatile();
    let other = engine.tree("other").unwrap();
    for key in ["in/a/1", "in/b/1", "out/1", "away/1", "up/x"] {
        put(&engine, tree, key, b"v");
    }
    put(&engine, other, "in/1", b"v");
    let watch = engine.watch(tree, b"in/", None, QUEUE_BYTES).unwrap();
    put(&engine, tree, "in", b"beside");
    put(&engine, tree, "out/2", b"beside");
    put(&engine, other, "in/1", b"beside");
    engine.move_prefix(tree, b"out/", b"elsewhere/").unwrap();
    engine.clone_prefix(tree, b"elsewhere/", b"again/").unwrap();
    engine.clone_prefix(tree, b"in/a/", b"from-inside/").unwrap();
    engine.delete_prefix(tree, b"elsewhere/").unwrap();
    assert_eq!(all(&watch), []);
    put(&engine, tree, "in/2", b"v");
    engine.rename(tree, b"in/2", b"gone", false).unwrap();
    engine.rename(tree, b"gone", b"in/3", false).unwrap();
    engine.move_prefix(tree, b"in/a/", b"left/").unwrap();
    engine.clone_prefix(tree, b"away/", b"in/copy/").unwrap();
    engine.clone_prefix(tree, b"in/copy/", b"in/copied/").unwrap();
    engine.move_prefix(tree, b"away/", b"in/come/").unwrap();
    engine.move_prefix(tree, b"in/b/", b"in/c/").unwrap();
    engine.move_prefix(tree, b"i", b"whole").unwrap();
    engine.clone_prefix(tree, b"whole", b"i").unwrap();
    engine.delete_prefix(tree, b"i").unwrap();
    engine.move_prefix(tree, b"up", b"in").unwrap();
    engine.delete_prefix(tree, b"i").unwrap();
    let told: Vec<Told> = all(&watch).into_iter().map(|(_, told)| told).collect();
    let text = str::to_owned;
    assert_eq!(
        told,
        [
            Told::Put(text("in/2"), b"v".to_vec()),
            Told::Delete(text("in/2")),
            Told::Put(text("in/3"), b"v".to_vec()),
            Told::Move(text("in/a/"), text("left/")),
            Told::Clone(text("away/"), text("in/copy/")),
            Told::Clone(text("in/copy/"), text("in/copied/")),
            Told::Move(text("away/"), text("in/come/")),
            Told::Move(text("in/b/"), text("in/c/")),
            Told::Move(text("i"), text("whole")),
            Told::Clone(text("whole"), text("i")),
            Told::DeletePrefix(text("i")),
            Told::Move(text("up"), text("in")),
            Told::DeletePrefix(text("i")),
        ]
    );
}

#[test]
fn watching_from_a_version_tells_all_behind_it_once_and_goes_on() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let versions: Vec<u64> = (0..50)
        .map(|i| put(&engine, tree, &format!("k{i}"), &[i; 100]))
        .collect();
    for (index, after) in versions.iter().enumerate() {
        let watch = engine.watch(tree, b"", Some(*after), SMALL_QUEUE_BYTES).unwrap();
        let live = put(&engine, tree, "live", b"");
        let told: Vec<u64> = all(&watch).iter().map(|(version, _)| *version).collect();
        let behind = (after + 1..=live).collect::<Vec<_>>();
        assert_eq!(told, behind, "after {after}, {index}");
    }
}

#[test]
fn what_the_journal_does_not_hold_is_refused_with_the_oldest_that_it_does() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let first = put(&engine, tree, "a", b"");
    let code = |after: u64| {
        engine
            .watch(tree, b"", Some(after), QUEUE_BYTES)
            .err()
            .map(|error| error.code())
    };
    assert_eq!(code(0), None);
    assert_eq!(code(first + 1), Some(ErrorCode::InvalidArgument));
    engine.checkpoint().unwrap();
    assert_eq!(code(first), None);
    let error = engine.watch(tree, b"", Some(first - 1), QUEUE_BYTES).err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains(&format!("after {first}")), "{error}");
    let (volatile, tree) = volatile();
    let first = put(&volatile, tree, "a", b"");
    assert!(volatile.watch(tree, b"", Some(first), QUEUE_BYTES).is_ok());
    let error = volatile.watch(tree, b"", Some(first - 1), QUEUE_BYTES).err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_slow_watcher_reads_on_in_the_journal() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let watch = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES).unwrap();
    let mut expected = Vec::new();
    let mut told = Vec::new();
    for round in 0..10 {
        for i in 0..round * 7 {
            expected.push(put(&engine, tree, &format!("k{i}"), &[i; 50]));
        }
        told.extend(all(&watch).iter().map(|(version, _)| *version));
        assert_eq!(told, expected);
    }
}

#[test]
fn a_slow_watcher_of_what_is_gone_is_told_so_and_of_nothing_else() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let journaled = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES).unwrap();
    let (memory, other) = volatile();
    let in_memory = memory.watch(other, b"", None, SMALL_QUEUE_BYTES).unwrap();
    for i in 0..100 {
        put(&engine, tree, &format!("k{i}"), &[i; 50]);
        put(&memory, other, &format!("k{i}"), &[i; 50]);
    }
    engine.checkpoint().unwrap();
    put(&engine, tree, "later", b"");
    for watch in [&journaled, &in_memory] {
        for _ in 0..2 {
            let error = drain(watch, &mut |_, change| panic!("{change:?}")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::FellBehind, "{error}");
        }
    }
}

#[test]
fn a_commit_larger_than_the_queue_is_told() {
    let (engine, tree) = volatile();
    let watch = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES).unwrap();
    let version = put(&engine, tree, "large", &[7; 5000]);
    assert_eq!(all(&watch), [(version, Told::Put("large".to_owned(), vec![7; 5000]))]);
}

#[test]
fn a_waker_is_called_once_and_only_for_what_is_of_interest() {
    let (engine, tree) = volatile();
    let watch = engine.watch(tree, b"in", None, QUEUE_BYTES).unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let wait = || {
        let woken = Arc::clone(&woken);
        watch.wake_with(move || {
            woken.fetch_add(1, Ordering::Relaxed);
        });
    };
    wait();
    put(&engine, tree, "out", b"");
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    put(&engine, tree, "in/1", b"");
    put(&engine, tree, "in/2", b"");
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    wait();
    assert_eq!(woken.load(Ordering::Relaxed), 2, "there is something already");
    all(&watch);
    wait();
    watch.forget_waker();
    put(&engine, tree, "in/3", b"");
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    all(&watch);
    wait();
    engine.abandon();
    assert_eq!(woken.load(Ordering::Relaxed), 3);
}

#[test]
fn a_dropped_tree_is_told_behind_its_last_change_live_and_from_the_journal() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let start = engine.last_commit();
    let live = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let journaled = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES).unwrap();
    let late = engine.watch(tree, b"", Some(start), QUEUE_BYTES).unwrap();
    for i in 0..100 {
        put(&engine, tree, &format!("k{i}"), &[i; 50]);
    }
    engine.drop_tree("t").unwrap();
    put(&engine, engine.tree("t").unwrap(), "of another tree", b"");
    for watch in [live, journaled, late] {
        let mut told = 0;
        for _ in 0..2 {
            let error = drain(&watch, &mut |_, _| told += 1).unwrap_err();
            assert_eq!(error.code(), ErrorCode::TreeDropped);
            assert_eq!(error.message(), "the tree 't' was dropped");
            assert_eq!(told, 100);
        }
    }
    assert_eq!(
        engine.watch(tree, b"", None, QUEUE_BYTES).err().unwrap().code(),
        ErrorCode::TreeDropped
    );
}

#[test]
fn one_watch_can_be_closed_and_others_go_on() {
    let (engine, tree) = volatile();
    let closed = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let open = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let version = put(&engine, tree, "k", b"v");
    closed.close();
    put(&engine, tree, "later", b"");
    let mut told = Vec::new();
    let end = drain(&closed, &mut |version, _| told.push(version)).unwrap();
    assert_eq!((end, told), (Taken::Closed, vec![version]));
    assert_eq!(all(&open).len(), 2);
}

#[test]
fn a_close_ends_it_behind_what_is_in_memory() {
    let disk = MemoryDisk::new();
    let (engine, tree) = on(&disk);
    let watch = engine.watch(tree, b"", None, QUEUE_BYTES).unwrap();
    let behind = engine.watch(tree, b"", None, SMALL_QUEUE_BYTES).unwrap();
    for i in 0..100 {
        put(&engine, tree, &format!("k{i}"), &[i; 50]);
    }
    engine.shut_down().unwrap();
    drop(engine);
    let mut told = 0;
    assert_eq!(drain(&watch, &mut |_, _| told += 1).unwrap(), Taken::Closed);
    assert_eq!(told, 100);
    let error = drain(&behind, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Closed);
}
