//! What several threads do to one engine, under schedules that shuttle draws:
//! `RUSTFLAGS="--cfg shuttle" cargo test -p coppice-engine --lib models`.
//!
//! All of it is the real engine, its checkpoint thread and its journal included. Threads switch at every lock, and at every word
//! of a frame that is read or written. Memory that is found after it was given back fails a model (coppice_sync::witness). The
//! store's own locks are left to the models of that crate; here each of its calls is one step.
//!
//! `COPPICE_SCHEDULES` is how many schedules are drawn of each model, `COPPICE_SEED` what they begin with. Twins leave one
//! step out, and must fail.

use std::{collections::BTreeMap, env, io, sync::Arc, time::Duration};

use coppice_disk::{Disk, MemoryDisk};
use coppice_journal::JournalOptions;
use coppice_sync::{
    AtomicBool, AtomicU64, Ordering::SeqCst, Step, epoch, leave_out, switch_at_words, thread::JoinHandle,
};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};

use super::{Engine, Reads};
use crate::{Condition, ErrorCode, Operation, Options, Range, TreeId, forest::Forest};

const SCHEDULES: u64 = 200;
/// Schedules of both kinds that are drawn before it is again the first kind's turn.
const TURN: usize = 100;
/// A twin fails long before.
const SCHEDULES_OF_TWIN: usize = 20_000;
const FRAME_BYTES: u32 = 4096;
/// How often schedules of one kind switch threads where they need not.
const DEPTH: usize = 3;

fn setting(name: &str, usual: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn explore(model: impl Fn() + Send + Sync + Clone + 'static) {
    explore_so_many(setting("COPPICE_SCHEDULES", SCHEDULES) as usize, model);
}

/// Half of the schedules switch anywhere, half seldom.
fn explore_so_many(schedules: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    let seed = setting("COPPICE_SEED", 0);
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    // By turns, so that a twin fails by the first of either.
    for first in (0..schedules).step_by(TURN) {
        let (seed, turn) = (seed + first as u64, TURN.min(schedules - first));
        let seldom = PctScheduler::new_from_seed(seed, DEPTH, turn / 2);
        Runner::new(seldom, config.clone()).run(model.clone());
        let anywhere = RandomScheduler::new_from_seed(seed, turn.div_ceil(2));
        Runner::new(anywhere, config.clone()).run(model.clone());
    }
}

fn without(step: Step, model: impl Fn() + Send + Sync + Clone + 'static) {
    leave_out(step);
    explore_so_many(SCHEDULES_OF_TWIN, model);
}

struct World {
    disk: MemoryDisk,
    engine: Engine,
    tree: TreeId,
}

fn open(disk: &MemoryDisk) -> Engine {
    let salts = std::sync::atomic::AtomicU64::new(disk.list().unwrap().len() as u64 * 1000);
    let mut journal = JournalOptions::new(move || salts.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    journal.keeper = false;
    journal.segment_bytes = 16 << 10;
    let options = Options {
        frame_bytes: FRAME_BYTES,
        memory_bytes: 64 * u64::from(FRAME_BYTES),
        coalesce_window: Duration::ZERO,
        ..Options::default()
    };
    Engine::open_with(Arc::new(disk.clone()), None, &options, journal, 7).unwrap()
}

/// Frames hang together.
fn assert_valid(engine: &Engine) {
    Forest::new(&engine.table).assert_valid();
}

fn name(folder: &str, number: u64) -> Vec<u8> {
    format!("{folder}/{number:02}").into_bytes()
}

/// Recognisable, and long enough for some twenty to fill a frame.
fn value(serial: u64) -> Vec<u8> {
    [serial; 20].iter().flat_map(|serial| serial.to_le_bytes()).collect()
}

fn serial(bytes: &[u8]) -> u64 {
    let serial = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    assert!(bytes == value(serial), "a value that nobody wrote: {bytes:?}");
    serial
}

impl World {
    /// With a tree that has these keys of one folder, all of them durable.
    fn new(folder: &str, keys: u64) -> Arc<Self> {
        switch_at_words(false);
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let tree = engine.tree("t").unwrap();
        let world = Self { disk, engine, tree };
        for number in 0..keys {
            world.put(&name(folder, number), 0);
        }
        world.engine.checkpoint().unwrap();
        switch_at_words(true);
        Arc::new(world)
    }

    fn put(&self, key: &[u8], serial: u64) -> u64 {
        let put = self.engine.put(self.tree, key, &value(serial), Condition::Always);
        put.unwrap().unwrap()
    }

    fn get(&self, key: &[u8]) -> Option<(u64, u64)> {
        let read = |found: Option<crate::Record<'_>>| found.map(|found| (serial(found.value), found.version));
        self.engine.get(self.tree, key, read).unwrap()
    }

    fn scan(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut all = BTreeMap::new();
        self.engine
            .scan(self.tree, &Range::ALL, &mut |key, record| {
                let key = [key.head, key.tail].concat();
                assert!(
                    all.last_key_value().is_none_or(|(last, _)| *last < key),
                    "a scan went back"
                );
                all.insert(key, serial(record.value));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        all
    }

    /// Evicts all that may be.
    fn evict(&self) {
        self.engine.table.evict_for(usize::MAX, &epoch::pin());
    }

    /// Ends it: what is in memory, and what a reopen finds, is this, and frames hang together.
    fn ends_with(self: Arc<Self>, expected: &BTreeMap<Vec<u8>, u64>) {
        switch_at_words(false);
        assert_eq!(self.scan(), *expected);
        assert_valid(&self.engine);
        self.engine.abandon();
        let reopened = Self {
            disk: self.disk.clone(),
            engine: open(&self.disk),
            tree: self.tree,
        };
        assert_eq!(reopened.scan(), *expected, "recovered");
        assert_valid(&reopened.engine);
        reopened.engine.abandon();
    }
}

fn in_thread<R: Send + 'static>(world: &Arc<World>, act: impl FnOnce(&World) -> R + Send + 'static) -> JoinHandle<R> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

/// Two writers fill one frame, which splits under both and under a reader.
fn inserts_that_split_one_frame() {
    const KEYS: u64 = 36;
    let world = World::new("a", 12);
    let writers = [0, 1].map(|odd| {
        in_thread(&world, move |world| {
            for number in (12..KEYS).filter(|number| number % 2 == odd) {
                world.put(&name("a", number), number);
                assert_eq!(world.get(&name("a", number)).map(|found| found.0), Some(number));
            }
        })
    });
    let reader = in_thread(&world, |world| {
        for number in 0..12 {
            assert!(world.get(&name("a", number)).is_some(), "{number} is missing");
        }
        let seen = world.scan();
        assert!(
            (0..12).all(|number| seen.contains_key(&name("a", number))),
            "a scan misses keys"
        );
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    reader.join().unwrap();
    let all = (0..KEYS).map(|number| (name("a", number), if number < 12 { 0 } else { number }));
    world.ends_with(&all.collect());
}

#[test]
fn models_of_inserts_that_split_one_frame() {
    explore(inserts_that_split_one_frame);
}

/// A full frame is split in the middle under a reader of what goes to the new one.
fn gets_beside_a_split() {
    let world = World::new("a", 20);
    let between = |number| name("a/03", number);
    let writer = in_thread(&world, move |world| {
        for number in 0..6 {
            world.put(&between(number), 1);
        }
    });
    for number in [19, 15, 12, 9, 5] {
        assert!(world.get(&name("a", number)).is_some(), "{number} is missing");
    }
    writer.join().unwrap();
    let mut all: BTreeMap<_, _> = (0..20).map(|number| (name("a", number), 0)).collect();
    all.extend((0..6).map(|number| (between(number), 1)));
    world.ends_with(&all);
}

#[test]
fn models_of_gets_beside_a_split() {
    explore(gets_beside_a_split);
}

#[test]
#[should_panic(expected = "is missing")]
fn models_see_a_get_without_a_second_look() {
    without(Step::LookAgain, gets_beside_a_split);
}

/// Two writers would insert the same keys, for which the frame has no room.
fn inserts_of_the_same_keys() {
    let world = World::new("a", 20);
    let writers = [1, 2].map(|writer| {
        in_thread(&world, move |world| {
            let insert = |number| {
                let key = name("a", number);
                let put = world.engine.put(world.tree, &key, &value(writer), Condition::IfAbsent);
                put.unwrap().is_some()
            };
            [20, 21, 22].map(insert)
        })
    });
    let [mine, others] = writers.map(|writer| writer.join().unwrap());
    let mut all: BTreeMap<_, _> = (0..20).map(|number| (name("a", number), 0)).collect();
    for (number, (mine, others)) in (20..).zip(mine.into_iter().zip(others)) {
        assert!(mine != others, "{number} was inserted by both or by nobody");
        all.insert(name("a", number), if mine { 1 } else { 2 });
    }
    world.ends_with(&all);
}

#[test]
fn models_of_inserts_of_the_same_keys() {
    explore(inserts_of_the_same_keys);
}

#[test]
#[should_panic(expected = "inserted by both")]
fn models_see_a_condition_decided_too_early() {
    without(Step::DecideLatched, inserts_of_the_same_keys);
}

/// A frame is rebuilt and evicted under its reader, who reads it in again.
fn read_beside_compaction_and_eviction() {
    const KEYS: u64 = 14;
    let world = World::new("a", KEYS);
    let writer = in_thread(&world, |world| {
        // Overwritten until there is no room left but by a rebuild.
        for serial in 1..24 {
            world.put(&name("a", serial % 3), serial);
        }
        world.engine.checkpoint().unwrap();
    });
    let evicting = in_thread(&world, |world| (0..4).for_each(|_| world.evict()));
    let mut last = 0;
    for round in 0..12 {
        let (_, version) = world.get(&name("a", round % 3)).unwrap();
        let (serial, newer) = world.get(&name("a", round % 3)).unwrap();
        assert!(newer >= version && serial < 24, "version {newer} after {version}");
        let (serial, _) = world.get(&name("a", 2)).unwrap();
        assert!(serial >= last, "{serial} after {last}");
        last = serial;
        assert_eq!(world.get(&name("a", 7)).map(|found| found.0), Some(0));
    }
    writer.join().unwrap();
    evicting.join().unwrap();
    let last_of = |number: u64| {
        (0..24)
            .rev()
            .find(|serial| serial % 3 == number % 3)
            .filter(|_| number < 3)
            .unwrap_or(0)
    };
    world.ends_with(&(0..KEYS).map(|number| (name("a", number), last_of(number))).collect());
}

#[test]
fn models_of_a_read_beside_compaction_and_eviction() {
    explore(read_beside_compaction_and_eviction);
}

#[test]
#[should_panic(expected = "given back")]
fn models_see_memory_given_back_under_a_reader() {
    // What is replaced is given back at once.
    without(Step::AwaitReaders, read_beside_compaction_and_eviction);
}

/// A subtree goes to and fro while somebody puts into it, and somebody reads.
fn move_beside_puts() {
    let world = World::new("a/x", 24);
    let moving = in_thread(&world, |world| {
        for (from, to) in [(&b"a/"[..], &b"b/"[..]), (b"b/", b"a/")] {
            match world.engine.move_prefix(world.tree, from, to) {
                Ok(moved) => assert!(moved >= 24),
                // A put came first to where it is to go.
                Err(error) => assert_eq!(error.code(), ErrorCode::NotEmpty),
            }
        }
    });
    let putting = in_thread(&world, |world| {
        (0..4)
            .map(|number| {
                (
                    name("a/x", 40 + number),
                    world.put(&name("a/x", 40 + number), 1 + number),
                )
            })
            .collect::<Vec<_>>()
    });
    for number in [0, 11, 23] {
        // A move comes between two gets at most twice.
        let found =
            (0..3).any(|_| world.get(&name("a/x", number)).is_some() || world.get(&name("b/x", number)).is_some());
        assert!(found, "{number} is missing");
    }
    moving.join().unwrap();
    let put = putting.join().unwrap();
    let all = world.scan();
    assert_eq!(all.len(), 24 + put.len(), "{all:?}");
    let kept = |key: &[u8]| all.contains_key(key) || all.contains_key(&[b"b", &key[1..]].concat());
    assert!((0..24).all(|number| kept(&name("a/x", number))));
    assert!(put.iter().all(|(key, _)| kept(key)));
    world.ends_with(&all);
}

#[test]
fn models_of_a_move_beside_puts() {
    explore(move_beside_puts);
}

/// A put comes before a move of what it is put under, or behind it.
fn put_beside_a_move() {
    let world = World::new("a/x", 24);
    let moving = in_thread(&world, |world| {
        assert_eq!(world.engine.move_prefix(world.tree, b"a/", b"b/").unwrap(), 24);
    });
    world.put(&name("a/x", 5), 1);
    moving.join().unwrap();
    let all = world.scan();
    let found = ["a/x", "b/x"].map(|folder| all.get(&name(folder, 5)));
    let possible = [[None, Some(&1)], [Some(&1), Some(&0)]];
    assert!(possible.contains(&found), "{found:?} cannot be recovered");
    world.ends_with(&all);
}

#[test]
fn models_of_a_put_beside_a_move() {
    explore(put_beside_a_move);
}

#[test]
#[should_panic]
fn models_see_a_frame_moved_under_a_put() {
    without(Step::KeepStill, put_beside_a_move);
}

/// A subtree moves once. Who then finds nothing at its old place finds it at the new one, and the other way round.
fn gets_around_a_move() {
    let world = World::new("a/x", 24);
    let moving = in_thread(&world, |world| {
        assert_eq!(world.engine.move_prefix(world.tree, b"a/", b"b/").unwrap(), 24);
    });
    for number in [5, 20] {
        let (before, at) = (world.get(&name("a/x", number)), world.get(&name("b/x", number)));
        assert!(before.is_some() || at.is_some(), "{number} is missing");
        let gone = at.is_some() && world.get(&name("a/x", number)).is_some();
        assert!(!gone, "{number} is in two places");
    }
    moving.join().unwrap();
    world.ends_with(&(0..24).map(|number| (name("b/x", number), 0)).collect());
}

#[test]
fn models_of_gets_around_a_move() {
    explore(gets_around_a_move);
}

#[test]
#[should_panic(expected = "is missing")]
fn models_see_a_move_that_is_not_counted() {
    without(Step::BeginMove, gets_around_a_move);
}

/// Batches set two keys together; who sees one of them sees the other.
fn batch_beside_reads() {
    let world = World::new("a", 20);
    let keys = || [name("a", 1), name("a", 18)];
    let writing = in_thread(&world, move |world| {
        for serial in 1..4 {
            let value = value(serial);
            let put = |key| Operation::Put {
                tree: world.tree,
                key,
                value: &value,
                condition: Condition::Always,
            };
            let [first, second] = keys();
            world.engine.commit(&[put(&first), put(&second)]).unwrap();
        }
    });
    let scanning = in_thread(&world, move |world| {
        let seen = world.scan();
        let [first, second] = keys().map(|key| seen.get(&key).copied());
        assert_eq!(first, second, "a scan sees half a batch");
    });
    let [first, second] = keys();
    for _ in 0..4 {
        let serial = |key: &[u8]| world.get(key).unwrap().0;
        let (before, after) = (serial(&first), serial(&second));
        assert!(before <= after, "half a batch: {before:?}, then {after:?}");
        let (before, after) = (after, serial(&first));
        assert!(before <= after, "half a batch: {before:?}, then {after:?}");
    }
    writing.join().unwrap();
    scanning.join().unwrap();
    let mut all: BTreeMap<_, _> = (0..20).map(|number| (name("a", number), 0)).collect();
    all.extend(keys().map(|key| (key, 3)));
    world.ends_with(&all);
}

#[test]
fn models_of_a_batch_beside_reads() {
    explore(batch_beside_reads);
}

#[test]
#[should_panic(expected = "half a batch")]
fn models_see_half_a_batch() {
    without(Step::BeginMove, batch_beside_reads);
}

/// A tree is dropped under those who use it.
fn drop_beside_use() {
    let world = World::new("a", 30);
    let dropped = Arc::new(AtomicBool::new(false));
    let dropping = {
        let dropped = Arc::clone(&dropped);
        in_thread(&world, move |world| {
            assert!(world.engine.drop_tree("t").unwrap());
            dropped.store(true, SeqCst);
            while world.engine.bury().unwrap() {}
        })
    };
    let is_gone = |result: Result<(), crate::Error>, was_dropped: bool| match result {
        Ok(()) => assert!(!was_dropped, "a dropped tree is used"),
        Err(error) => assert_eq!(error.code(), ErrorCode::TreeDropped, "{error}"),
    };
    let putting = {
        let dropped = Arc::clone(&dropped);
        in_thread(&world, move |world| {
            for number in 20..40 {
                let was_dropped = dropped.load(SeqCst);
                let put = world
                    .engine
                    .put(world.tree, &name("a", number), &value(1), Condition::Always);
                is_gone(put.map(|_| ()), was_dropped);
            }
        })
    };
    for number in 0..12 {
        let was_dropped = dropped.load(SeqCst);
        let get = world.engine.get(world.tree, &name("a", number), |found| {
            assert!(found.is_some(), "a tree that is there is taken for an empty one");
        });
        is_gone(get, was_dropped);
    }
    dropping.join().unwrap();
    putting.join().unwrap();
    switch_at_words(false);
    assert!(world.engine.trees().unwrap().is_empty());
    assert_valid(&world.engine);
    world.engine.abandon();
    let reopened = open(&world.disk);
    while reopened.bury().unwrap() {}
    assert_valid(&reopened);
    assert!(reopened.trees().unwrap().is_empty());
    reopened.abandon();
}

#[test]
fn models_of_a_drop_beside_use() {
    explore(drop_beside_use);
}

#[test]
#[should_panic(expected = "tree")]
fn models_see_a_dropped_tree_used() {
    without(Step::LookForDrop, drop_beside_use);
}

/// The files as they are, as a killed process leaves them.
fn after_kill(disk: &MemoryDisk) -> io::Result<MemoryDisk> {
    let copy = MemoryDisk::new();
    for name in disk.list()? {
        let file = disk.open(&name)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        copy.create(&name)?.write_all_at(0, &bytes)?;
    }
    Ok(copy)
}

/// The process ends at any moment beside writers and a checkpoint that trims the journal: what had returned is there.
fn kill_beside_checkpoint() {
    let world = World::new("a", 14);
    let acknowledged: Arc<[AtomicU64; 2]> = Arc::default();
    let writers = [0, 1].map(|writer| {
        let acknowledged = Arc::clone(&acknowledged);
        in_thread(&world, move |world| {
            for serial in 1..6 {
                world.put(&name("a", 3 + writer), serial);
                acknowledged[writer as usize].store(serial, SeqCst);
            }
        })
    });
    let checkpoints = in_thread(&world, |world| (0..2).all(|_| world.engine.checkpoint().is_ok()));
    for _ in 0..3 {
        let least = [0, 1].map(|writer: usize| acknowledged[writer].load(SeqCst));
        let left = after_kill(&world.disk).unwrap();
        let most = [0, 1].map(|writer: usize| acknowledged[writer].load(SeqCst) + 1);
        switch_at_words(false);
        let recovered = World {
            engine: open(&left),
            disk: left,
            tree: world.tree,
        };
        for (writer, (least, most)) in least.into_iter().zip(most).enumerate() {
            let (found, _) = recovered.get(&name("a", 3 + writer as u64)).unwrap();
            assert!(
                (least..=most).contains(&found),
                "{found} is there, {least} was acknowledged"
            );
        }
        assert_valid(&recovered.engine);
        recovered.engine.abandon();
        switch_at_words(true);
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(checkpoints.join().unwrap());
    let all = (0..14).map(|number| (name("a", number), if [3, 4].contains(&number) { 5 } else { 0 }));
    world.ends_with(&all.collect());
}

#[test]
fn models_of_a_kill_beside_a_checkpoint() {
    explore(kill_beside_checkpoint);
}

#[test]
#[should_panic]
fn models_see_a_journal_trimmed_too_early() {
    without(Step::CommitBeforeTrim, kill_beside_checkpoint);
}
