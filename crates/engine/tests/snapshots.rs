//! Snapshots beside writers and checkpoints: each must show exactly the commits up to its version, for as long as it lives.
//!
//! `COPPICE_STRESS_SECONDS` makes it run longer than it does by default.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the exemption of tests in clippy.toml does not reach the helpers of an integration test"
)]

mod stress;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use coppice_engine::{Condition, Database, Durability, Options, Snapshot, TreeId};

use stress::{all_under, key, serial, stress_time, value};

const WRITERS: u64 = 2;
const KEYS: u64 = 1200;

type Contents = BTreeMap<Vec<u8>, (u64, u64)>;

/// Versions and serial numbers by key.
fn contents(snapshot: &Snapshot, tree: TreeId) -> Contents {
    let mut found = Contents::new();
    let exhausted = snapshot.scan(tree, &all_under(b""), &mut |key, record| {
        found.insert(key.to_vec(), (record.version, serial(record.value)));
        ControlFlow::Continue(())
    });
    assert!(exhausted.unwrap());
    assert_eq!(snapshot.count(tree, &[]).unwrap(), found.len() as u64);
    found
}

/// Runs writers and checkpoints on the database while snapshots are taken and read; compares these with what was written.
fn run(database: &Database) {
    let tree = database.tree("t").unwrap();
    let done = AtomicBool::new(false);
    let count = AtomicUsize::new(0);
    let deadline = Instant::now() + stress_time();
    let (writes, snapshots) = thread::scope(|scope| {
        let (done, count) = (&done, &count);
        scope.spawn(move || {
            while !done.load(SeqCst) {
                database.checkpoint().unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        let taker = scope.spawn(move || {
            let mut taken: Vec<(u64, Contents)> = Vec::new();
            let mut open: Vec<(Snapshot, usize)> = Vec::new();
            while !done.load(SeqCst) {
                let snapshot = database.snapshot().unwrap();
                taken.push((snapshot.version(), contents(&snapshot, tree)));
                count.store(taken.len(), SeqCst);
                open.push((snapshot, taken.len() - 1));
                if open.len() > 4 {
                    let (snapshot, number) = open.remove(taken.len() % 3);
                    assert!(contents(&snapshot, tree) == taken[number].1, "a snapshot changed");
                }
            }
            taken
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|owner| {
                scope.spawn(move || {
                    let mut written = Vec::new();
                    let mut serial = 0;
                    let mut state = 0x9E37_79B9 + owner;
                    while Instant::now() < deadline || count.load(SeqCst) < 4 {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let key = key(owner, (state >> 33) % KEYS);
                        serial += 1;
                        let version = database.put(tree, &key, &value(serial), Condition::Always).unwrap();
                        written.push((version.unwrap(), key, serial));
                    }
                    written
                })
            })
            .collect();
        let writes: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, SeqCst);
        (writes, taker.join().unwrap())
    });
    let mut writes = writes;
    writes.sort_unstable();
    let (mut model, mut writes) = (Contents::new(), writes.into_iter().peekable());
    for (at, shown) in snapshots {
        while let Some((version, key, serial)) = writes.next_if(|(version, ..)| *version <= at) {
            model.insert(key, (version, serial));
        }
        assert!(shown == model, "a snapshot as of {at} shows something else");
    }
    assert_eq!(database.stats().unwrap().snapshots_open, 0);
    assert_eq!(database.stats().unwrap().snapshots_pinned_blobs, 0);
}

#[test]
fn snapshots_show_the_commits_up_to_their_version() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        frame_bytes: 4096,
        durability: Durability::Process,
        ..Options::default()
    };
    run(&Database::open(folder.path(), &options).unwrap());
}

#[test]
fn snapshots_of_a_volatile_database_do_too() {
    run(&Database::in_memory().unwrap());
}
