//! What operations cost as a tree grows from 10,000 keys to 10,000,000, for keys of several shapes: no size may be a cliff.
//!
//! `cargo bench -p coppice-engine --bench sizes -- [keys] [shape...]` prints tab-separated lines: shape, keys, operation,
//! nanoseconds, and dependent loads of memory over as many bytes as the frames have by then.
//! `node scripts/sizes.mjs` draws them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod shapes;
mod yardstick;

use std::ops::ControlFlow;

use coppice_engine::{Condition, Database, Range};
use fastrand::Rng;
use shapes::Shape;
use yardstick::{Keys, chase_nanoseconds, each_nanoseconds};

/// What a tree grows to, step by step.
const SIZES: [u32; 7] = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
/// At most so many operations are timed.
const SAMPLE: usize = 300_000;
/// Each is taken so many times; the best counts.
const ROUNDS: usize = 3;
/// Bytes of each value.
const VALUE: [u8; 100] = [7; 100];

/// The best of a few rounds.
fn best(operations: usize, mut run: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| each_nanoseconds(operations, &mut run))
        .fold(f64::INFINITY, f64::min)
}

fn grow(shape: Shape, most: u32) {
    let mut random = Rng::with_seed(0x9E37_79B9_7F4A_7C15);
    let database = Database::in_memory().unwrap();
    let tree = database.tree("").unwrap();
    let put = |key: &[u8]| assert!(database.put(tree, key, &VALUE, Condition::Always).unwrap().is_some());
    let is_there = |key: &[u8]| database.get(tree, key, |record| record.is_some()).unwrap();
    let mut held = 0;
    for size in SIZES.into_iter().filter(|&size| size <= most) {
        let mut added = shape.keys(held..size);
        random.shuffle(&mut added);
        let new = each_nanoseconds(added.len(), || added.iter().for_each(|key| put(key)));
        drop(added);
        held = size;

        let sample: Vec<Vec<u8>> = (0..SAMPLE).map(|_| shape.key(random.u32(..size))).collect();
        let keys = Keys::new(sample.iter().map(Vec::as_slice));
        let absent: Vec<Vec<u8>> = sample.iter().map(|key| [key, &b"~"[..]].concat()).collect();
        let absent = Keys::new(absent.iter().map(Vec::as_slice));
        drop(sample);
        let found = best(SAMPLE, || keys.iter().for_each(|key| assert!(is_there(key))));
        let absent = best(SAMPLE, || absent.iter().for_each(|key| assert!(!is_there(key))));
        let over = best(SAMPLE, || keys.iter().for_each(put));
        let scan = best(size as usize, || {
            let mut seen = 0;
            let whole = database.scan(tree, &Range::ALL, &mut |_, record| {
                seen += record.value.len();
                ControlFlow::Continue(())
            });
            assert!(whole.unwrap());
            assert_eq!(seen, size as usize * VALUE.len());
        });

        let frames = database.stats().unwrap().memory_resident_bytes;
        let chase = chase_nanoseconds(frames as usize, &mut random);
        for (operation, each) in [
            ("put, new", new),
            ("put, over a value", over),
            ("get", found),
            ("get, absent", absent),
            ("scan, a record", scan),
        ] {
            println!("{}\t{size}\t{operation}\t{each:.1}\t{:.2}", shape.name(), each / chase);
        }
    }
}

fn main() {
    let mut most = 10_000_000;
    let mut shapes = Vec::new();
    for argument in std::env::args().skip(1).filter(|it| it != "--bench") {
        match argument.parse() {
            Ok(keys) => most = keys,
            Err(_) => shapes.push(Shape::named(&argument).expect("a number of keys, or a shape")),
        }
    }
    if shapes.is_empty() {
        shapes.extend(Shape::ALL);
    }
    for shape in shapes {
        grow(shape, most);
    }
}
