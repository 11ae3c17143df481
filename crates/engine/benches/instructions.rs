//! Every operation of a tree in memory, for `scripts/instructions.mjs` to count the instructions of.
//!
//! `instructions SHAPE KEYS` prints a line for each kind of operation: its name, and how many of it were done. What is done
//! lies between two calls of [`part_ends`], where callgrind is told to begin another part of what it writes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod shapes;
mod yardstick;

use std::{collections::BTreeSet, hint::black_box};

use coppice_engine::{Database, TreeId};
use fastrand::Rng;
use shapes::Shape;

/// Bytes of each value.
const VALUE: [u8; 100] = [7; 100];

/// A tree, and what the operations are given.
struct Subject {
    database: Database,
    tree: TreeId,
    /// In random order.
    keys: Vec<Vec<u8>>,
    absent: Vec<Vec<u8>>,
    /// The topmost folders.
    tops: Vec<Vec<u8>>,
    /// A thousand of the folders that keys are in.
    folders: Vec<Vec<u8>>,
}

impl Subject {
    /// A tree without keys.
    fn new(keys: Vec<Vec<u8>>) -> Self {
        let database = Database::in_memory().unwrap();
        let tree = database.tree("").unwrap();
        let absent = keys.iter().map(|key| [key, &b"~"[..]].concat()).collect();
        let is_delimiter = |&byte: &u8| byte == b'/';
        let tops = prefixes(&keys, |key| key.iter().position(is_delimiter));
        let mut folders = prefixes(&keys, |key| key.iter().rposition(is_delimiter));
        folders.truncate(1000);
        Self {
            database,
            tree,
            keys,
            absent,
            tops,
            folders,
        }
    }
}

/// The different beginnings of keys up to a delimiter, itself included, in order.
fn prefixes(keys: &[Vec<u8>], delimiter: impl Fn(&[u8]) -> Option<usize>) -> Vec<Vec<u8>> {
    let all: BTreeSet<Vec<u8>> = keys
        .iter()
        .filter_map(|key| delimiter(key).map(|at| key[..=at].to_vec()))
        .collect();
    all.into_iter().collect()
}

/// What is counted.
mod measured {
    use std::{
        hint::black_box,
        ops::{Bound, ControlFlow},
    };

    use coppice_engine::{Condition, Range};

    use super::{Subject, VALUE, yardstick::list_folder};

    /// Keys of a page, and of a `get_many`.
    const PAGE: usize = 100;

    pub(crate) fn put(subject: &Subject) -> usize {
        for key in &subject.keys {
            let put = subject.database.put(subject.tree, key, &VALUE, Condition::Always);
            assert!(put.unwrap().is_some());
        }
        subject.keys.len()
    }

    pub(crate) fn put_many(subject: &Subject) -> usize {
        let mut entries = subject.keys.iter().map(|key| (key.as_slice(), &VALUE[..]));
        subject.database.put_many(subject.tree, &mut entries).unwrap() as usize
    }

    pub(crate) fn get(subject: &Subject) -> usize {
        for key in &subject.keys {
            let found = subject
                .database
                .get(subject.tree, key, |record| record.map(|it| it.value.len()));
            assert_eq!(found.unwrap(), Some(VALUE.len()));
        }
        subject.keys.len()
    }

    pub(crate) fn get_absent(subject: &Subject) -> usize {
        for key in &subject.absent {
            assert!(
                !subject
                    .database
                    .get(subject.tree, key, |record| record.is_some())
                    .unwrap()
            );
        }
        subject.absent.len()
    }

    pub(crate) fn get_many(subject: &Subject) -> usize {
        for keys in subject.keys.chunks(PAGE) {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut found = 0;
            let got = subject.database.get_many(subject.tree, &keys, &mut |record| {
                found += usize::from(record.is_some());
                ControlFlow::Continue(())
            });
            got.unwrap();
            assert_eq!(found, keys.len());
        }
        subject.keys.len()
    }

    pub(crate) fn scan(subject: &Subject) -> usize {
        let mut seen = 0;
        let whole = subject.database.scan(subject.tree, &Range::ALL, &mut |_, record| {
            seen += usize::from(!record.value.is_empty());
            ControlFlow::Continue(())
        });
        assert!(whole.unwrap());
        seen
    }

    pub(crate) fn scan_page(subject: &Subject) -> usize {
        let starts = subject.keys.iter().step_by(50);
        starts
            .map(|start| {
                let range = Range {
                    lower: Bound::Included(start),
                    ..Range::ALL
                };
                let mut left = PAGE;
                let scanned = subject.database.scan(subject.tree, &range, &mut |_, record| {
                    black_box(record.value);
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                scanned.unwrap();
            })
            .count()
    }

    fn list(subject: &Subject, folders: &[Vec<u8>]) -> usize {
        for prefix in folders {
            assert!(list_folder(&subject.database, subject.tree, prefix, PAGE) > 0);
        }
        folders.len()
    }

    pub(crate) fn list_tops(subject: &Subject) -> usize {
        list(subject, &subject.tops)
    }

    pub(crate) fn list_folders(subject: &Subject) -> usize {
        list(subject, &subject.folders)
    }

    pub(crate) fn count_tops(subject: &Subject) -> usize {
        for prefix in &subject.tops {
            assert!(subject.database.count(subject.tree, prefix).unwrap() > 0);
        }
        subject.tops.len()
    }

    pub(crate) fn move_folders(subject: &Subject) -> usize {
        let folders = subject.folders.iter().step_by(20);
        folders
            .map(|prefix| {
                let to = [b"moved/", prefix.as_slice()].concat();
                for (from, to) in [(prefix, &to), (&to, prefix)] {
                    assert!(subject.database.move_prefix(subject.tree, from, to).unwrap() > 0);
                }
            })
            .count()
    }

    pub(crate) fn delete(subject: &Subject) -> usize {
        for key in &subject.keys {
            assert!(subject.database.delete(subject.tree, key, Condition::Always).unwrap());
        }
        subject.keys.len()
    }
}

/// What was measured, and how many operations each was.
#[derive(Default)]
struct Parts {
    done: Vec<(&'static str, usize)>,
}

impl Parts {
    fn measure(&mut self, name: &'static str, subject: &Subject, operations: impl FnOnce(&Subject) -> usize) {
        part_ends();
        let count = operations(subject);
        part_ends();
        self.done.push((name, count));
    }
}

/// callgrind knows it by its name.
#[inline(never)]
fn part_ends() {
    black_box(());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let [shape, keys] = arguments.as_slice() else {
        // `cargo bench` of all of them: this one is nothing by itself.
        println!("usage: instructions SHAPE KEYS, from scripts/instructions.mjs");
        return;
    };
    let shape = Shape::named(shape).unwrap();
    let mut keys = shape.keys(0..keys.parse().unwrap());
    keys.sort_unstable();
    let mut parts = Parts::default();

    parts.measure("put, sorted", &Subject::new(keys.clone()), measured::put);
    parts.measure("putMany, sorted", &Subject::new(keys.clone()), measured::put_many);
    Rng::with_seed(0x9E37_79B9_7F4A_7C15).shuffle(&mut keys);
    let subject = Subject::new(keys);
    parts.measure("put, random", &subject, measured::put);
    parts.measure("get", &subject, measured::get);
    parts.measure("get, absent", &subject, measured::get_absent);
    parts.measure("getMany of 100, a key", &subject, measured::get_many);
    parts.measure("scan, a record", &subject, measured::scan);
    parts.measure("scan of 100", &subject, measured::scan_page);
    parts.measure("list of a topmost folder", &subject, measured::list_tops);
    parts.measure("list of a folder", &subject, measured::list_folders);
    parts.measure("count of a topmost folder", &subject, measured::count_tops);
    parts.measure("put, over a value", &subject, measured::put);
    parts.measure("movePrefix, there and back", &subject, measured::move_folders);
    parts.measure("delete", &subject, measured::delete);
    for (name, operations) in parts.done {
        println!("{name}: {operations}");
    }
}
