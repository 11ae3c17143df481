//! Several threads on one database: readers without locks, writers that meet at frames, frames that split and join, are
//! evicted and read again, and checkpoints, all at once. Frames are small, so that all of it happens often.
//!
//! `COPPICE_STRESS_SECONDS` makes each test run longer than it does by default. A failure prints the seed of its thread.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the exemption of tests in clippy.toml does not reach the helpers of an integration test"
)]

mod stress;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use coppice_engine::{Condition, Database, Durability, Options, TreeId};
use fastrand::Rng;

use stress::{all_under, key, serial, stress_time, value};

const FRAME_BYTES: u32 = 4096;

fn open(path: &std::path::Path) -> Database {
    let options = Options {
        frame_bytes: FRAME_BYTES,
        durability: Durability::Process,
        // The least that is taken: frames are evicted all the time.
        memory_bytes: 64 * u64::from(FRAME_BYTES),
        ..Options::default()
    };
    Database::open(path, &options).unwrap()
}

fn read(database: &Database, tree: TreeId, key: &[u8]) -> Option<(u64, u64)> {
    database
        .get(tree, key, |found| {
            found.map(|found| (found.version, serial(found.value)))
        })
        .unwrap()
}

/// One writer for each set of keys, so that it knows what must be there; readers who know what must not be missing.
#[test]
fn each_writer_finds_what_it_wrote_and_readers_miss_nothing() {
    const WRITERS: u64 = 3;
    const KEYS: u64 = 1500;
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let tree = database.tree("t").unwrap();
    // Even numbers are always there; odd ones come and go.
    for owner in 0..WRITERS {
        for number in (0..KEYS).step_by(2) {
            database
                .put(tree, &key(owner, number), &value(1), Condition::Always)
                .unwrap();
        }
    }
    let done = AtomicBool::new(false);
    let deadline = Instant::now() + stress_time();
    let models: Vec<BTreeMap<Vec<u8>, u64>> = thread::scope(|scope| {
        let (database, done) = (&database, &done);
        for reader in 0..2 {
            scope.spawn(move || {
                let mut random = Rng::with_seed(0x5EED + reader);
                let mut newest: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
                while !done.load(SeqCst) {
                    let (owner, number) = (random.u64(..WRITERS), random.u64(..KEYS));
                    let key = key(owner, number);
                    let found = read(database, tree, &key);
                    assert!(
                        found.is_some() || number % 2 == 1,
                        "reader {reader}: {number} is missing"
                    );
                    if let Some((version, _)) = found {
                        let last = newest.entry(key).or_default();
                        assert!(
                            *last <= version,
                            "reader {reader}: version {version} of {number} after {last}"
                        );
                        *last = version;
                    }
                    assert!(read(database, tree, format!("0/owner-9/{number}").as_bytes()).is_none());
                }
            });
        }
        scope.spawn(move || {
            let mut random = Rng::with_seed(0x11575);
            while !done.load(SeqCst) {
                let prefix = format!("{}/owner-{}/", random.u64(..3), random.u64(..WRITERS));
                let range = all_under(prefix.as_bytes());
                let mut last: Vec<u8> = Vec::new();
                let mut kept = 0;
                database
                    .scan(tree, &range, &mut |key, record| {
                        let key = key.to_vec();
                        assert!(key > last, "a scan went back");
                        let number = &key[key.len() - 10..key.len() - 5];
                        let number: u64 = std::str::from_utf8(number).unwrap().parse().unwrap();
                        kept += u64::from(number.is_multiple_of(2));
                        serial(record.value);
                        last = key;
                        std::ops::ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(kept, KEYS / 6, "a scan of {prefix} missed keys");
                let count = database.count(tree, prefix.as_bytes()).unwrap();
                assert!((KEYS / 6..=KEYS / 3).contains(&count), "{count} keys below {prefix}");
            }
        });
        scope.spawn(move || {
            while !done.load(SeqCst) {
                database.checkpoint().unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|owner| {
                scope.spawn(move || {
                    let mut random = Rng::with_seed(0xC0FFEE + owner);
                    let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
                    for number in (0..KEYS).step_by(2) {
                        model.insert(key(owner, number), 1);
                    }
                    let mut serials = 2;
                    while Instant::now() < deadline {
                        let number = random.u64(..KEYS);
                        let key = key(owner, number);
                        if number % 2 == 1 && random.u64(..2) == 0 {
                            let deleted = database.delete(tree, &key, Condition::Always).unwrap();
                            assert_eq!(
                                deleted,
                                model.remove(&key).is_some(),
                                "writer {owner}: delete of {number}"
                            );
                        } else {
                            database.put(tree, &key, &value(serials), Condition::Always).unwrap();
                            model.insert(key.clone(), serials);
                            serials += 1;
                        }
                        let found = read(database, tree, &key).map(|found| found.1);
                        assert_eq!(found, model.get(&key).copied(), "writer {owner}: {number}");
                    }
                    model
                })
            })
            .collect();
        let models = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, SeqCst);
        let models: Vec<thread::Result<BTreeMap<Vec<u8>, u64>>> = models;
        models.into_iter().map(|model| model.unwrap()).collect()
    });
    let expected: BTreeMap<Vec<u8>, u64> = models.into_iter().flatten().collect();
    let contents = |database: &Database| {
        let mut found = BTreeMap::new();
        database
            .scan(tree, &all_under(b""), &mut |key, record| {
                found.insert(key.to_vec(), serial(record.value));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        found
    };
    assert_eq!(contents(&database), expected);
    assert_eq!(database.count(tree, b"").unwrap(), expected.len() as u64);
    database.close().unwrap();
    assert_eq!(contents(&open(folder.path())), expected);
}

/// One operation on a key, between two ticks of a clock that all threads share; the version that it wrote or saw.
struct Event {
    start: u64,
    end: u64,
    version: u64,
    wrote: bool,
}

/// Whether the operations on one key could have been done one at a time, each between its start and its end. Versions
/// give the order of writes, so that this asks only: is what is seen never older than what was there before the start, and
/// never something that was begun after the end?
fn assert_linearizable(what: &str, events: &mut [Event]) {
    let writes: BTreeMap<u64, (u64, u64)> = events
        .iter()
        .filter(|event| event.wrote)
        .map(|event| (event.version, (event.start, event.end)))
        .collect();
    let mut previous: Option<(u64, (u64, u64))> = None;
    for (version, (start, end)) in &writes {
        if let Some((older, (older_start, _))) = previous {
            assert!(
                older_start < *end,
                "{what}: version {version} was over before {older} began"
            );
        }
        previous = Some((*version, (*start, *end)));
    }
    // The newest version that was written or seen by operations which ended before each moment.
    let mut settled: Vec<(u64, u64)> = events.iter().map(|event| (event.end, event.version)).collect();
    settled.sort_unstable();
    let mut newest = 0;
    for entry in &mut settled {
        newest = newest.max(entry.1);
        entry.1 = newest;
    }
    for event in events.iter() {
        let before = settled.partition_point(|(end, _)| *end < event.start);
        let least = before.checked_sub(1).map_or(0, |at| settled[at].1);
        assert!(
            event.version >= least,
            "{what}: version {} at {}..{} after {least}",
            event.version,
            event.start,
            event.end
        );
        if let Some((begun, _)) = writes.get(&event.version) {
            assert!(
                *begun < event.end,
                "{what}: version {} seen before it was begun",
                event.version
            );
        }
    }
}

/// Many threads on few keys, while others make the frames around them split and join.
#[test]
fn histories_of_single_keys_are_linearizable() {
    const HOT: u64 = 8;
    const THREADS: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let tree = database.tree("t").unwrap();
    let hot = |number: u64| format!("{}/hot/{number}", number % 3).into_bytes();
    for number in 0..HOT {
        database.put(tree, &hot(number), &value(1), Condition::Always).unwrap();
    }
    let clock = AtomicU64::new(1);
    let done = AtomicBool::new(false);
    let deadline = Instant::now() + stress_time();
    let mut histories: Vec<Vec<Event>> = (0..HOT).map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        let (database, clock, done, hot) = (&database, &clock, &done, &hot);
        scope.spawn(move || {
            let mut random = Rng::with_seed(0xABCDEF);
            while !done.load(SeqCst) {
                let key = format!("{}/hot/{}~{}", random.u64(..3), random.u64(..8), random.u64(..400));
                if random.u64(..2) == 0 {
                    database
                        .put(tree, key.as_bytes(), &value(random.u64(..1000)), Condition::Always)
                        .unwrap();
                } else {
                    database.delete(tree, key.as_bytes(), Condition::Always).unwrap();
                }
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Rng::with_seed(0xF00D + thread);
                    let mut events: Vec<(u64, Event)> = Vec::new();
                    let mut serials = 0;
                    while Instant::now() < deadline && events.len() < 400_000 {
                        let number = random.u64(..HOT);
                        let key = hot(number);
                        let wrote = random.u64(..4) == 0;
                        let start = clock.fetch_add(1, SeqCst);
                        let version = if wrote {
                            serials += 1;
                            let value = value(serials * THREADS + thread);
                            database.put(tree, &key, &value, Condition::Always).unwrap().unwrap()
                        } else {
                            read(database, tree, &key).unwrap().0
                        };
                        let end = clock.fetch_add(1, SeqCst);
                        events.push((
                            number,
                            Event {
                                start,
                                end,
                                version,
                                wrote,
                            },
                        ));
                    }
                    events
                })
            })
            .collect();
        for thread in threads {
            for (number, event) in thread.join().unwrap() {
                histories[number as usize].push(event);
            }
        }
        done.store(true, SeqCst);
    });
    for (number, history) in histories.iter_mut().enumerate() {
        assert_linearizable(&format!("key {number}"), history);
    }
}
