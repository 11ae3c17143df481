//! What each operation of a tree costs in memory, beside a pointer chase over as many bytes.
//!
//! `cargo bench -p coppice-engine --bench tree -- [keys]` prints one table; 1,000,000 object-store keys unless told
//! otherwise. The ratio to the chase travels from machine to machine, nanoseconds do not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod shapes;
mod yardstick;

use std::{hint::black_box, ops::Bound, ops::ControlFlow};

use coppice_engine::{Condition, Database, Range};
use fastrand::Rng;
use shapes::Shape;
use yardstick::{Keys, chase_nanoseconds, each_nanoseconds, list_folder};

fn nanoseconds(label: &str, operations: usize, chase: f64, run: impl FnOnce()) -> f64 {
    let each = each_nanoseconds(operations, run);
    println!("{label:<38} {each:>10.1} ns  {:>8.2} chases", each / chase);
    each
}

/// One thread doing its half, and then two doing a half each; says by how much two get more done.
fn two_threads(label: &str, keys: &Keys, chase: f64, work: impl Fn(&[u8]) + Sync) {
    // By the first digit of the bucket, so that the halves have no prefix in common.
    let (left, right): (Vec<&[u8]>, Vec<&[u8]>) = keys.iter().partition(|key| key[7] == b'0');
    let half = left.len().min(right.len());
    let halves = [left, right].map(|keys| Keys::new(keys.into_iter().take(half)));
    let one = nanoseconds(&format!("{label}, one"), half, chase, || {
        halves[0].iter().for_each(&work);
    });
    let both = nanoseconds(&format!("{label}, both"), 2 * half, chase, || {
        std::thread::scope(|scope| {
            for keys in &halves {
                scope.spawn(|| keys.iter().for_each(&work));
            }
        });
    });
    println!("{:<38} {:>10.2} times", "  two do", one / both);
}

fn main() {
    let keys: usize = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000);
    let mut all = Shape::ObjectStore.keys(0..u32::try_from(keys).unwrap());
    let mut random = Rng::with_seed(0x9E37_79B9_7F4A_7C15);
    let value = [7u8; 100];
    let chase = chase_nanoseconds(keys * 190, &mut random);
    println!(
        "{keys} keys of {} bytes, values of {}; chase {chase:.1} ns",
        all[0].len(),
        value.len()
    );

    all.sort_unstable();
    {
        let database = Database::in_memory().unwrap();
        let tree = database.tree("").unwrap();
        nanoseconds("put, ascending", keys, chase, || {
            for key in &all {
                database.put(tree, key, &value, Condition::Always).unwrap();
            }
        });
        println!("{:<38} {:>10.3}", "  fill", database.stats().unwrap().fill);
        nanoseconds("delete of all keys by their prefix", 1, chase, || {
            assert_eq!(database.delete_prefix(tree, b"bucket-").unwrap() as usize, keys);
        });
    }
    random.shuffle(&mut all);
    let database = Database::in_memory().unwrap();
    let tree = database.tree("").unwrap();
    nanoseconds("put, random, new", keys, chase, || {
        for key in &all {
            database.put(tree, key, &value, Condition::Always).unwrap();
        }
    });
    let stats = database.stats().unwrap();
    println!("{:<38} {:>10.3}", "  fill", stats.fill);
    println!(
        "{:<38} {:>10.1} bytes",
        "  frames per record",
        stats.memory_resident_bytes as f64 / keys as f64
    );
    println!("{:<38} {:>10.2}", "  depth, mean", stats.depth_mean);

    random.shuffle(&mut all);
    let gets = Keys::new(all.iter().take(1_000_000).map(Vec::as_slice));
    for _ in 0..2 {
        nanoseconds("get, found", gets.len(), chase, || {
            for key in gets.iter() {
                let len = database
                    .get(tree, key, |record| record.map(|record| record.value.len()))
                    .unwrap();
                assert_eq!(len, Some(100));
            }
        });
    }
    let absent: Vec<Vec<u8>> = gets
        .iter()
        .map(|key| [&key[..key.len() - 5], b".yaml"].concat())
        .collect();
    let absent = Keys::new(absent.iter().map(Vec::as_slice));
    nanoseconds("get, absent", absent.len(), chase, || {
        for key in absent.iter() {
            assert!(!database.get(tree, key, |record| record.is_some()).unwrap());
        }
    });
    nanoseconds("put, over a value", gets.len(), chase, || {
        for key in gets.iter() {
            database.put(tree, key, &value, Condition::Always).unwrap();
        }
    });
    two_threads("two threads: get", &gets, chase, |key| {
        assert!(database.get(tree, key, |record| record.is_some()).unwrap());
    });
    two_threads("two threads: put over a value", &gets, chase, |key| {
        database.put(tree, key, &value, Condition::Always).unwrap();
    });
    let range = Range::ALL;
    nanoseconds("scan, a record", keys, chase, || {
        let mut seen = 0;
        database
            .scan(tree, &range, &mut |_, record| {
                seen += record.value.len();
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, keys * 100);
    });
    let mut at = 0;
    nanoseconds("scan of 100 from a random key", 20_000, chase, || {
        for _ in 0..20_000 {
            at = (at + 7919) % gets.len();
            let range = Range {
                prefix: b"",
                lower: Bound::Included(gets.get(at)),
                upper: Bound::Unbounded,
                reverse: false,
            };
            let mut left = 100;
            database
                .scan(tree, &range, &mut |_, record| {
                    black_box(record.value);
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .unwrap();
        }
    });
    nanoseconds("list of 64 folders", 10_000, chase, || {
        for number in 0..10_000 {
            let prefix = format!("bucket-{:02}/", number % 16);
            let seen = list_folder(&database, tree, prefix.as_bytes(), 1000);
            assert_eq!(seen, 64.min(keys / 16));
        }
    });
    nanoseconds("count of a sixteenth", 10_000, chase, || {
        for number in 0..10_000 {
            let prefix = format!("bucket-{:02}/", number % 16);
            assert!(database.count(tree, prefix.as_bytes()).unwrap() as usize >= keys / 16);
        }
    });
    nanoseconds("move of all keys, there and back", 20, chase, || {
        for _ in 0..10 {
            assert_eq!(
                database.move_prefix(tree, b"bucket-", b"moved/").unwrap() as usize,
                keys
            );
            assert_eq!(
                database.move_prefix(tree, b"moved/", b"bucket-").unwrap() as usize,
                keys
            );
        }
    });
    nanoseconds("delete", gets.len(), chase, || {
        for key in gets.iter() {
            assert!(database.delete(tree, key, Condition::Always).unwrap());
        }
    });
}
