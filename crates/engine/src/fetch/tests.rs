//! Databases ten times larger than memory, whose frames others read in.

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::mpsc::{Receiver, channel},
};

use tempfile::TempDir;

use super::*;
use crate::{
    Condition, Database, Durability, Options, Range, TreeId,
    resident::{resident, take_lacked},
};

const FRAME_BYTES: u32 = 4096;
const KEYS: usize = 4000;
const LONG: Duration = Duration::from_secs(100);

fn open(path: &Path) -> (Database, TreeId) {
    let options = Options {
        durability: Durability::Process,
        frame_bytes: FRAME_BYTES,
        memory_bytes: 64 * u64::from(FRAME_BYTES),
        ..Options::default()
    };
    let database = Database::open(path, &options).unwrap();
    let tree = database.tree("t").unwrap();
    (database, tree)
}

fn key(number: usize) -> Vec<u8> {
    format!("folder-{:02}/{number:05}", number % 37).into_bytes()
}

/// Some lie in extents of their own.
fn value(number: usize) -> Vec<u8> {
    vec![number as u8; if number % 50 == 7 { 2000 } else { 300 }]
}

/// A database that is all on disk.
fn filled() -> (TempDir, Database, TreeId) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (database, tree) = open(&path);
    for number in 0..KEYS {
        database
            .put(tree, &key(number), &value(number), Condition::Always)
            .unwrap();
    }
    database.close().unwrap();
    let (database, tree) = open(&path);
    (folder, database, tree)
}

struct Waiting {
    arrivals: Arc<Arrivals>,
    woken: Receiver<()>,
}

impl Waiting {
    fn of(database: &Database) -> Self {
        let (wake, woken) = channel();
        let arrivals = database.arrivals(move || wake.send(()).unwrap_or_default()).unwrap();
        Self { arrivals, woken }
    }

    /// What has arrived once something has.
    fn wait(&self) -> Vec<Arrival> {
        self.woken.recv_timeout(LONG).expect("a wake-up");
        let arrived = self.arrivals.take();
        assert!(!arrived.is_empty());
        arrived
    }

    /// Does a read that stops in front of the disk until it does not.
    fn through<R>(&self, database: &Database, mut read: impl FnMut() -> Result<R, Error>) -> R {
        loop {
            match resident(&mut read) {
                Ok(answer) => return answer,
                Err(error) => assert!(error.is_not_in_memory(), "{error}"),
            }
            database.fetch(&self.arrivals, 7, false).unwrap();
            for arrival in self.wait() {
                assert_eq!(arrival.ticket, 7);
                arrival.outcome.unwrap();
            }
        }
    }
}

fn has(database: &Database, tree: TreeId, number: usize) -> Result<bool, Error> {
    let right = value(number);
    database.get(tree, &key(number), |found| {
        found.is_some_and(|found| found.value == right)
    })
}

/// How many blobs were read. The statistics read some to tell.
fn misses(database: &Database) -> u64 {
    let table = database.engine.fetcher().queue.lock().table.clone().unwrap();
    let [_, misses, _] = table.upgrade().unwrap().traffic();
    misses
}

/// A blob that the next read of this key lacks.
fn lacked(database: &Database, tree: TreeId, number: usize) -> u32 {
    assert!(resident(|| has(database, tree, number)).unwrap_err().is_not_in_memory());
    take_lacked().first.unwrap()
}

#[test]
fn a_read_reads_nothing_itself_and_is_answered_in_the_end() {
    let (_folder, database, tree) = filled();
    let waiting = Waiting::of(&database);
    for number in (0..KEYS).step_by(101) {
        let right = waiting.through(&database, || {
            let before = misses(&database);
            let found = has(&database, tree, number);
            assert_eq!(misses(&database), before);
            found
        });
        assert!(right);
    }
    let stats = database.stats().unwrap();
    assert!(stats.memory_fetches > 0);
    assert!(stats.memory_fetches <= stats.memory_misses);
}

#[test]
fn every_kind_of_read_gets_further_each_time() {
    let (_folder, database, tree) = filled();
    let waiting = Waiting::of(&database);
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut told = 0;
    waiting.through(&database, || {
        database.get_many(tree, &keys[told..], &mut |found| {
            assert!(found.is_some_and(|found| found.value == value(told)), "key {told}");
            told += 1;
            ControlFlow::Continue(())
        })
    });
    assert_eq!(told, KEYS);
    let mut scanned: Vec<Vec<u8>> = Vec::new();
    waiting.through(&database, || {
        let last = scanned.last().cloned();
        let lower = last
            .as_deref()
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        database.scan(tree, &Range { lower, ..Range::ALL }, &mut |key, _| {
            scanned.push(key.to_vec());
            ControlFlow::Continue(())
        })
    });
    let mut sorted: Vec<_> = (0..KEYS).map(key).collect();
    sorted.sort();
    assert_eq!(scanned, sorted);
    assert_eq!(waiting.through(&database, || database.count(tree, b"folder-0")), 1084);
    assert!(!waiting.through(&database, || database.is_empty(tree, b"folder-36/")));
    let found = waiting.through(&database, || {
        database.longest_prefix(tree, b"folder-36/00036/more", |found| found.map(|(len, _)| len))
    });
    assert_eq!(found, Some(15));
}

#[test]
fn those_who_want_the_same_share_one_read() {
    let (_folder, database, tree) = filled();
    let waiting = Waiting::of(&database);
    let blob = lacked(&database, tree, 1);
    for ticket in 0..100 {
        let lacked = Lacked {
            first: Some(blob),
            more: Vec::new(),
        };
        let fetcher = database.engine.fetcher();
        fetcher.fetch(&lacked, &waiting.arrivals, ticket, false).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.len() < 100 {
        arrived.extend(waiting.wait().into_iter().map(|arrival| arrival.ticket));
    }
    arrived.sort_unstable();
    assert!(arrived.into_iter().eq(0..100));
    assert_eq!(database.stats().unwrap().memory_fetches, 1);
}

#[test]
fn one_wake_up_tells_of_all_that_has_arrived() {
    let (_folder, database, _) = filled();
    let waiting = Waiting::of(&database);
    for ticket in 0..10 {
        waiting.arrivals.add(Arrival {
            ticket,
            outcome: Ok(()),
        });
    }
    assert_eq!(waiting.wait().len(), 10);
    assert!(waiting.woken.try_recv().is_err());
}

#[test]
fn more_than_memory_holds_can_be_waited_for_at_once() {
    let (_folder, database, tree) = filled();
    let waiting = Waiting::of(&database);
    let mut answered = vec![false; KEYS];
    let ask = |number: usize, again: bool, answered: &mut Vec<bool>| match resident(|| has(&database, tree, number)) {
        Ok(right) => answered[number] = right,
        Err(error) => {
            assert!(error.is_not_in_memory(), "{error}");
            database.fetch(&waiting.arrivals, number as u32, again).unwrap();
        }
    };
    for number in 0..KEYS {
        ask(number, false, &mut answered);
    }
    while answered.iter().any(|answered| !answered) {
        for arrival in waiting.wait() {
            arrival.outcome.unwrap();
            ask(arrival.ticket as usize, true, &mut answered);
        }
    }
    let stats = database.stats().unwrap();
    assert!(stats.memory_used_bytes <= stats.memory_budget_bytes, "{stats:?}");
}

#[test]
fn who_takes_no_note_does_not_hold_up_the_others() {
    let (_folder, database, tree) = filled();
    let (idle, waiting) = (Waiting::of(&database), Waiting::of(&database));
    for ticket in 0..2 * MOST_UNTAKEN as u32 {
        let lacked = Lacked {
            first: Some(ticket),
            more: Vec::new(),
        };
        database
            .engine
            .fetcher()
            .fetch(&lacked, &idle.arrivals, ticket, false)
            .unwrap();
    }
    assert!(waiting.through(&database, || has(&database, tree, 1)));
}

#[test]
fn damage_is_told_to_who_waits() {
    let (folder, database, tree) = filled();
    let blobs = folder.path().join("db/blobs");
    let mut bytes = fs::read(&blobs).unwrap();
    let waiting = Waiting::of(&database);
    // What leads to the others is in memory by then.
    assert!(waiting.through(&database, || has(&database, tree, 1)));
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 1;
    }
    fs::write(&blobs, bytes).unwrap();
    let failed = (0..KEYS).find_map(|number| {
        resident(|| has(&database, tree, number)).err()?;
        database.fetch(&waiting.arrivals, 0, false).unwrap();
        waiting.wait().pop().unwrap().outcome.err()
    });
    assert_eq!(failed.unwrap().code(), ErrorCode::Corrupt);
}

#[test]
fn blobs_that_are_gone_are_left_to_who_looks_again() {
    let (_folder, database, _) = filled();
    let waiting = Waiting::of(&database);
    let lacked = Lacked {
        first: Some(1 << 20),
        more: vec![1 << 21],
    };
    database
        .engine
        .fetcher()
        .fetch(&lacked, &waiting.arrivals, 3, false)
        .unwrap();
    assert!(waiting.wait().pop().unwrap().outcome.is_ok());
}

#[test]
fn a_close_ends_the_threads_with_reads_in_flight() {
    let (_folder, database, tree) = filled();
    let waiting = Waiting::of(&database);
    for number in 0..KEYS {
        if resident(|| has(&database, tree, number)).is_err() {
            database.fetch(&waiting.arrivals, number as u32, false).unwrap();
        }
    }
    let engine = Arc::clone(&database.engine);
    database.close().unwrap();
    assert!(engine.fetcher().queue.lock().threads.is_empty());
    let refused = database.fetch(&waiting.arrivals, 0, false).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Closed);
    let lacked = Lacked {
        first: Some(1),
        more: Vec::new(),
    };
    let refused = engine
        .fetcher()
        .fetch(&lacked, &waiting.arrivals, 0, false)
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Closed);
}

#[test]
fn where_nobody_reads_for_others_reads_go_to_the_disk() {
    let (_folder, database, _) = filled();
    let snapshot = database.snapshot().unwrap();
    let named = snapshot.tree("t").unwrap();
    assert!(resident(|| snapshot.get(named, &key(1), |found| found.is_some())).unwrap());
    let volatile = Database::in_memory().unwrap();
    let tree_there = volatile.tree("t").unwrap();
    assert!(!resident(|| has(&volatile, tree_there, 1)).unwrap());
    assert!(
        database.engine.fetcher().queue.lock().threads.is_empty(),
        "nothing was asked for"
    );
}

#[test]
fn a_walk_along_frames_has_the_next_read_ahead() {
    let (_folder, database, tree) = filled();
    let read_aheads = || database.stats().unwrap().memory_read_aheads;
    for reverse in [false, true] {
        let before = read_aheads();
        let mut told = 0;
        let range = Range { reverse, ..Range::ALL };
        let exhausted = database.scan(tree, &range, &mut |_, _| {
            told += 1;
            // On a busy machine the walk may be as quick as the threads.
            if database.engine.fetcher().counts()[1] == before {
                thread::sleep(Duration::from_millis(1));
            }
            ControlFlow::Continue(())
        });
        assert!(exhausted.unwrap());
        assert_eq!(told, KEYS);
        assert!(read_aheads() > before, "reverse: {reverse}");
    }
    let is_done = || {
        let queue = database.engine.fetcher().queue.lock();
        queue.ahead.is_empty() && queue.waiting.is_empty()
    };
    while !is_done() {
        thread::yield_now();
    }
    let before = read_aheads();
    assert!(has(&database, tree, 1).unwrap());
    assert!(is_done(), "a read of one key has others read ahead");
    assert_eq!(read_aheads(), before);
}
