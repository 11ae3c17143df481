//! What the journal adds to a put, and how long puts and gets take beside a checkpoint of everything.
//!
//! `cargo bench -p coppice-engine --bench latency -- [keys] [folder]`; 2,000,000 keys (some 500 MiB of frames) and the
//! system's folder for temporary files unless told otherwise. Ratios within one run travel, nanoseconds do not; of what is
//! beyond the 99.9th percentile other work on the machine has its share: look at the figures without a checkpoint, too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    env,
    hint::black_box,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use coppice_engine::{Condition, Database, Durability, Options, TreeId};
use fastrand::Rng;

const VALUE: [u8; 100] = [7; 100];
/// Puts of one round, where modes are compared.
const ROUND: usize = 200_000;
const ROUNDS: usize = 9;
/// Checkpoints that puts are timed beside.
const PUT_ROUNDS: usize = 4;
/// Operations that are timed one by one without a checkpoint.
const QUIET: usize = 300_000;

fn key(number: usize) -> Vec<u8> {
    format!(
        "bucket-{:02}/folder-{:03}/part-{:012}.json",
        number % 16,
        number / 16 % 64,
        number * 7919
    )
    .into_bytes()
}

/// A database of so many keys that makes no checkpoint by itself.
fn open(folder: &Path, durability: Durability, keys: &[Vec<u8>]) -> (Database, TreeId) {
    let options = Options {
        durability,
        journal_bytes: 16 << 30,
        checkpoint_interval: Duration::from_hours(1),
        memory_bytes: 8 << 30,
        ..Options::default()
    };
    std::fs::create_dir(folder).unwrap();
    let database = Database::open(folder, &options).unwrap();
    let tree = database.tree("t").unwrap();
    database
        .put_many(tree, &mut keys.iter().map(|key| (key.as_slice(), &VALUE[..])))
        .unwrap();
    (database, tree)
}

fn put(database: &Database, tree: TreeId, key: &[u8]) {
    black_box(database.put(tree, key, &VALUE, Condition::Always).unwrap());
}

fn get(database: &Database, tree: TreeId, key: &[u8]) {
    black_box(
        database
            .get(tree, key, |record| record.map(|record| record.value[0]))
            .unwrap(),
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Puts over values in both modes, in turns.
fn compare_modes(folder: &Path, keys: &[Vec<u8>]) {
    let keys = &keys[..keys.len().min(200_000)];
    let modes = [("none", Durability::None), ("process", Durability::Process)];
    let opened = modes.map(|(name, mode)| open(&folder.join(name), mode, keys));
    let mut figures = [Vec::new(), Vec::new()];
    let mut random = Rng::with_seed(1);
    for _ in 0..ROUNDS {
        for ((database, tree), figures) in opened.iter().zip(&mut figures) {
            let wanted: Vec<&[u8]> = (0..ROUND)
                .map(|_| keys[random.usize(..keys.len())].as_slice())
                .collect();
            let started = Instant::now();
            for key in &wanted {
                put(database, *tree, key);
            }
            figures.push(started.elapsed().as_nanos() as f64 / ROUND as f64);
        }
    }
    let [none, process] = figures.map(median);
    println!("put over a value, 'none'       {none:>9.0} ns");
    println!(
        "put over a value, 'process'    {process:>9.0} ns   {:.2} times",
        process / none
    );
}

/// Times single operations until `is_done`.
fn time(label: &str, is_done: impl Fn(usize) -> bool, mut operation: impl FnMut()) {
    let mut nanoseconds = Vec::with_capacity(1 << 20);
    while !is_done(nanoseconds.len()) {
        let started = Instant::now();
        operation();
        nanoseconds.push(started.elapsed().as_nanos() as u64);
    }
    nanoseconds.sort_unstable();
    let at = |part: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    println!(
        "{label:<31}{:>9.2} µs {:>9.2} µs {:>9.1} µs {:>11.1} µs   {} operations",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        nanoseconds.len()
    );
}

/// Times an operation without a checkpoint and beside one, for which everything was written to before.
fn beside_checkpoint(
    label: &str,
    database: &Database,
    tree: TreeId,
    keys: &[Vec<u8>],
    operation: fn(&Database, TreeId, &[u8]),
) {
    let mut random = Rng::with_seed(2);
    time(
        label,
        |count| count == QUIET,
        || operation(database, tree, &keys[random.usize(..keys.len())]),
    );
    for key in keys.iter().step_by(3) {
        put(database, tree, key);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let checkpoint = scope.spawn(|| {
            let report = database.checkpoint().unwrap();
            done.store(true, Ordering::Relaxed);
            report
        });
        let label = format!("{label}, beside one");
        time(
            &label,
            |count| count > 0 && done.load(Ordering::Relaxed),
            || operation(database, tree, &keys[random.usize(..keys.len())]),
        );
        let report = checkpoint.join().unwrap();
        let (mib, seconds) = (report.bytes_written >> 20, report.duration_micros as f64 / 1e6);
        println!(
            "  a checkpoint of {mib} MiB in {seconds:.2} s, {:.0} MiB/s",
            mib as f64 / seconds
        );
    });
}

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let count = arguments.next().map_or(2_000_000, |count| count.parse().unwrap());
    let parent = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("coppice-latency-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let keys: Vec<Vec<u8>> = (0..count).map(key).collect();
    compare_modes(&folder, &keys);
    let (database, tree) = open(&folder.join("large"), Durability::Process, &keys);
    println!(
        "{:<31}{:>12} {:>12} {:>12} {:>14}",
        "", "50 %", "99 %", "99.9 %", "longest"
    );
    // The first time all that puts copy of a checkpoint's frames is new memory, later what the one before has given back.
    for _ in 0..PUT_ROUNDS {
        beside_checkpoint("put", &database, tree, &keys, put);
    }
    beside_checkpoint("get", &database, tree, &keys, get);
    drop(database);
    std::fs::remove_dir_all(&folder).unwrap();
}
