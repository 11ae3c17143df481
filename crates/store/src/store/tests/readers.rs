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

#[test]
fn many_blobs_are_read_at_once_each_with_its_own_result() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    let write = |change: Change, id| change.write(id, image(u64::from(id), 5000));
    commit(&store, &mut model, &(0..10).fold(Change::default(), write));
    let mut bytes = disk.bytes("blobs");
    let damaged = bytes.windows(5000).position(|bytes| bytes == image(3, 5000)).unwrap();
    bytes[damaged] ^= 1;
    disk.set_bytes("blobs", &bytes);

    let ids = [9, 3, 77, 0, 5];
    let mut into: Vec<Vec<u8>> = ids
        .iter()
        .map(|id| vec![0; if *id == 5 { 4999 } else { 5000 }])
        .collect();
    let mut reads: Vec<(BlobId, &mut [u8])> = (ids.iter().zip(&mut into))
        .map(|(id, into)| (*id, into.as_mut_slice()))
        .collect();
    let results = store.read_many(&mut reads);
    assert!(matches!(
        results.as_slice(),
        [
            Ok(()),
            Err(StoreError::Corrupt { blob: Some(3), .. }),
            Err(StoreError::Absent { blob: 77 }),
            Ok(()),
            Err(StoreError::Refused { .. })
        ]
    ));
    assert_eq!(
        (into[0].as_slice(), into[3].as_slice()),
        (&*image(9, 5000), &*image(0, 5000))
    );
    assert!(store.read_many(&mut []).is_empty());
}
