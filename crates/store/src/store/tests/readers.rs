use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;

/// Readers check the digest of every read, so an extent that was reused under one of them shows as damage.
fn read_while_committing(store: &Store) {
    const BLOBS: u32 = 8;
    let mut model = Model::default();
    let change = |round: u64| {
        let write = |change: Change, id| change.write(id, image(round * 100 + u64::from(id), FRAME as usize));
        (0..BLOBS).fold(Change::default(), write)
    };
    commit(store, &mut model, &change(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4_u32)
            .map(|first| {
                let done = &done;
                scope.spawn(move || {
                    let mut into = vec![0; FRAME as usize];
                    let mut reads = 0_u32;
                    while !done.load(Ordering::Relaxed) || reads < 100 {
                        store.read((first + reads) % BLOBS, &mut into).unwrap();
                        reads += 1;
                    }
                })
            })
            .collect();
        for round in 1..300 {
            commit(store, &mut model, &change(round));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(contents(store), model);
    assert_eq!(store.stats().retired_bytes, 0);
}

#[test]
fn no_extent_is_reused_under_a_reader() {
    read_while_committing(&new_store().1);
    read_while_committing(&Store::in_memory(DATABASE, FRAME).unwrap());
}
