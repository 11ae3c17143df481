//! File space that comes back, and what must not be lost on the way.

use std::ops::ControlFlow;

use coppice_disk::{Disk, MemoryDisk};

use super::*;
use crate::{
    core::{
        Reads,
        tests::{Tree, assert_same, contents, open},
    },
    options::Durability,
    request::Condition,
    testing::FailingDisk,
};

fn file_bytes(engine: &Engine) -> u64 {
    engine.durable().unwrap().folder.store.stats().file_bytes
}

/// A database with large gaps in its file: of ten folders, nine were deleted. What is left.
fn with_gaps(engine: &Engine) -> std::collections::BTreeMap<String, Tree> {
    let tree = engine.tree("t").unwrap();
    for number in 0..4000_u32 {
        let len = if number % 50 == 0 { 9000 } else { 60 };
        let key = format!("dir{}/file{number:05}", number % 10);
        engine
            .put(tree, key.as_bytes(), &vec![number as u8; len], Condition::Always)
            .unwrap();
    }
    engine.checkpoint().unwrap();
    for folder in 0..9 {
        engine.delete_prefix(tree, format!("dir{folder}/").as_bytes()).unwrap();
    }
    [("t".to_owned(), contents(engine, tree))].into()
}

fn compact(engine: &Engine) -> u64 {
    engine.compact(&mut |_, _| ControlFlow::Continue(())).unwrap()
}

#[test]
fn file_shrinks_to_what_is_in_it_and_a_reopen_finds_all() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let model = with_gaps(&engine);
    let before = file_bytes(&engine);
    let freed = compact(&engine);
    let stats = engine.durable().unwrap().folder.store.stats();
    assert_eq!(freed, before - stats.file_bytes);
    assert!(
        stats.file_bytes < before / 4,
        "{before} bytes became {}",
        stats.file_bytes
    );
    assert!(stats.free_bytes < stats.file_bytes / 4, "{stats:?}");
    assert_eq!(disk.open("blobs").unwrap().len().unwrap(), stats.file_bytes);
    assert_eq!(compact(&engine), 0);
    assert_same(&engine, &model);
    drop(engine);
    assert_same(&open(&disk, Durability::Process), &model);
}

#[test]
fn snapshots_keep_what_they_show() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    with_gaps(&engine);
    let tree = engine.tree("t").unwrap();
    let before = contents(&engine, tree);
    engine.checkpoint().unwrap();
    let view = engine.snapshot().unwrap();
    engine.delete_prefix(tree, b"").unwrap();
    compact(&engine);
    for number in 0..500_u32 {
        let key = number.to_be_bytes();
        engine.put(tree, &key, &[7; 200], Condition::Always).unwrap();
    }
    compact(&engine);
    {
        assert_eq!(view.of(&engine).count(tree, b"").unwrap(), before.len() as u64);
        for (key, (version, value)) in &before {
            let found = view.of(&engine).get_still(tree, key, |record| {
                record.map(|record| (record.version, record.value.to_vec()))
            });
            assert_eq!(found.unwrap(), Some((*version, value.clone())));
        }
    }
    let held = file_bytes(&engine);
    drop(view);
    assert!(compact(&engine) > 0);
    assert!(file_bytes(&engine) < held);
}

#[test]
fn progress_grows_and_a_break_ends_it_between_two_steps() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let model = with_gaps(&engine);
    let result = engine.compact(&mut |_, _| ControlFlow::Break(()));
    assert_eq!(result.unwrap_err().code(), ErrorCode::Aborted);
    assert_same(&engine, &model);
    let mut steps = Vec::new();
    engine
        .compact(&mut |done, total| {
            steps.push((done, total));
            ControlFlow::Continue(())
        })
        .unwrap();
    let (done, total) = *steps.last().unwrap();
    assert!(done > 0 && done == total, "{steps:?}");
}

#[test]
fn background_begins_when_most_is_free_and_comes_to_an_end() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let model = with_gaps(&engine);
    let durable = engine.durable().unwrap();
    assert!(!engine.compact_if(durable, 0).unwrap(), "nothing is free yet");
    while engine.bury().unwrap() {}
    engine.checkpoint().unwrap();
    let before = file_bytes(&engine);
    assert!(!engine.compact_in_background().unwrap(), "too little to bother");
    let view = engine.snapshot().unwrap();
    let tree = engine.tree("t").unwrap();
    engine.put(tree, b"dir9/file00009", b"new", Condition::Always).unwrap();
    engine.checkpoint().unwrap();
    assert!(!engine.compact_if(durable, 0).unwrap(), "a snapshot keeps some of it");
    drop(view);
    let mut steps = 0;
    while engine.compact_if(durable, 0).unwrap() {
        steps += 1;
        assert!(steps < 1000, "it goes on and on");
    }
    assert!(steps > 0 && file_bytes(&engine) < before, "{steps} steps");
    assert_eq!(contents(&engine, tree).len(), model["t"].len());
    assert_eq!(
        engine.verify(&mut |_, _| ControlFlow::Continue(())).unwrap().problems,
        []
    );
}

#[test]
fn volatile_database_has_nothing_to_give_back() {
    let engine = Engine::in_memory(&crate::Options::default()).unwrap();
    assert_eq!(compact(&engine), 0);
    assert!(!engine.compact_in_background().unwrap());
}

#[test]
fn full_disk_is_survived_and_a_failed_sync_ends_all_writing() {
    for poisons in [false, true] {
        let disk = FailingDisk::default();
        let engine = disk.open_engine(&crate::core::tests::options(Durability::Process));
        with_gaps(&engine);
        while engine.bury().unwrap() {}
        engine.checkpoint().unwrap();
        match poisons {
            false => disk.fail_writes(Some(std::io::ErrorKind::StorageFull)),
            true => disk.fail_syncs(Some(std::io::ErrorKind::Other)),
        }
        let store = &engine.durable().unwrap().folder.store;
        let error = engine.relocate(store).unwrap_err();
        disk.fail_writes(None);
        disk.fail_syncs(None);
        let tree = engine.tree("t").unwrap();
        let put = engine.put(tree, b"k", b"v", Condition::Always);
        if poisons {
            assert_eq!(error.code(), ErrorCode::Io);
            assert_eq!(put.unwrap_err().code(), ErrorCode::ReadOnly);
        } else {
            assert_eq!(error.code(), ErrorCode::NoSpace);
            put.unwrap();
            assert!(compact(&engine) > 0);
        }
    }
}
