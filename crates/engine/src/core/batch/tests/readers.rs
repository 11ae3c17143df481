//! Readers beside a writer of batches: what they see is before a batch or after it, never in between.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{assert, committed, delete, failed, put, rename, store, volatile};
use crate::{Condition, Operation, TreeId, core::Engine};

const ROUNDS: u32 = 2_000;

/// The number that a key's value is, if there is a record.
fn number(engine: &Engine, tree: TreeId, key: &[u8]) -> Option<u32> {
    let read = engine.get(tree, key, |record| {
        record.map(|record| record.value.first_chunk().copied())
    });
    read.unwrap().map(|bytes| u32::from_be_bytes(bytes.unwrap()))
}

#[test]
fn who_sees_one_change_of_a_batch_sees_all_of_them_and_nobody_sees_what_was_taken_back() {
    let (engine, tree) = volatile();
    // In frames of their own, with neighbours that are split and joined all the while.
    let (first, last) = (&b"a/first"[..], &b"z/last"[..]);
    store(&engine, tree, first, &0_u32.to_be_bytes());
    store(&engine, tree, last, &0_u32.to_be_bytes());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(first, last), (last, first)].map(|(one, other)| {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut seen = 0_u32;
                while !done.load(Relaxed) {
                    let earlier = number(engine, tree, one).unwrap();
                    let later = number(engine, tree, other).unwrap();
                    assert!(earlier <= later, "{earlier} at one key, and then {later} at the other");
                    assert!(later <= ROUNDS, "{later} was taken back");
                    assert_eq!(number(engine, tree, b"undone"), None);
                    seen += 1;
                }
                seen
            })
        });
        for round in 1..=ROUNDS {
            let value = round.to_be_bytes();
            let filler: Vec<[u8; 4]> = (0..8).map(|index| (round % 40 * 8 + index).to_be_bytes()).collect();
            let mut operations: Vec<Operation<'_>> = vec![put(tree, first, &value)];
            operations.extend(filler.iter().map(|key| match round / 40 % 2 {
                0 => put(tree, key, &[9; 100]),
                _ => delete(tree, key),
            }));
            operations.push(put(tree, b"m/spare", &value));
            operations.push(rename(tree, b"m/spare", last, true));
            committed(&engine, &operations);

            let wrong = u32::MAX.to_be_bytes();
            let taken_back = [
                put(tree, first, &wrong),
                put(tree, b"undone", &wrong),
                delete(tree, last),
                assert(tree, first, Condition::IfAbsent),
            ];
            assert_eq!(failed(&engine, &taken_back), 3);
        }
        done.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}
