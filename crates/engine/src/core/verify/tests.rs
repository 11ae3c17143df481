//! What a verification says of sound databases and of damaged ones.

use std::ops::ControlFlow;

use coppice_disk::{Disk, MemoryDisk};
use coppice_frame::FrameMut;

use super::*;
use crate::{
    core::tests::{open, options, segments},
    options::{Durability, Options},
    request::{Condition, TreeId},
    testing::FailingDisk,
};

fn verify(engine: &Engine) -> VerifyReport {
    engine.verify(&mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// What is wrong, without where.
fn complaints(engine: &Engine) -> Vec<String> {
    verify(engine)
        .problems
        .into_iter()
        .map(|problem| problem.what)
        .collect()
}

fn fill(engine: &Engine) -> TreeId {
    let tree = engine.tree("t").unwrap();
    for number in 0..600 {
        let key = format!("dir{}/file{number:04}", number % 7);
        let len = if number % 50 == 0 { 2000 } else { 20 };
        engine
            .put(tree, key.as_bytes(), &vec![7; len], Condition::Always)
            .unwrap();
    }
    tree
}

/// A database of which everything is on disk.
fn on_disk() -> (MemoryDisk, Engine) {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    fill(&engine);
    engine.checkpoint().unwrap();
    (disk, engine)
}

fn flip(disk: &dyn Disk, file: &str, offset: u64) {
    let file = disk.open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(offset, &mut byte).unwrap();
    file.write_all_at(offset, &[byte[0] ^ 0x10]).unwrap();
}

/// A flat frame of the forest, and the frame above it.
fn flat_and_parent(engine: &Engine) -> (BlobId, BlobId) {
    let state = engine.shared();
    let mut pending = vec![ROOT];
    while let Some(blob) = pending.pop() {
        for crossing in state.forest.table.trie(blob).unwrap().crossings() {
            match crossing.kind {
                Kind::Flat => return (crossing.child, blob),
                Kind::Trie => pending.push(crossing.child),
            }
        }
    }
    panic!("no flat frame");
}

#[test]
fn sound_database_has_no_problems_and_the_right_figures() {
    let (_disk, engine) = on_disk();
    let stats = engine.stats().unwrap();
    let mut steps = Vec::new();
    let report = engine.verify(&mut |done, total| {
        steps.push((done, total));
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.keys, report.trees, report.blobs), (600, 1, stats.blobs));
    assert_eq!(report.version, engine.last_commit());
    let expected: Vec<_> = (1..=stats.blobs).map(|done| (done, stats.blobs)).collect();
    assert_eq!(steps, expected);
}

#[test]
fn what_was_never_checkpointed_counts() {
    let engine = open(&MemoryDisk::new(), Durability::Process);
    fill(&engine);
    let report = verify(&engine);
    assert_eq!((report.keys, report.problems), (600, vec![]));
}

#[test]
fn database_in_memory_is_checked_too() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    fill(&engine);
    let report = verify(&engine);
    assert_eq!((report.keys, report.trees, report.problems), (600, 1, vec![]));
}

#[test]
fn damaged_record_of_the_journal_is_found_with_its_place() {
    // Its files are not mapped: they can be written to.
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    fill(&engine);
    let segment = "journal-0000000000000001.log";
    flip(&disk, segment, 192 + 34);
    let problems = verify(&engine).problems;
    let [problem] = &problems[..] else {
        panic!("{problems:?}");
    };
    assert_eq!((problem.file.as_str(), problem.offset), (segment, 192));
    assert!(problem.what.contains("digest"), "{}", problem.what);
    flip(&disk, segment, 192 + 34);
    assert_eq!(verify(&engine).problems, []);
}

#[test]
fn changes_no_file() {
    let (disk, engine) = on_disk();
    let tree = engine.tree("t").unwrap();
    engine.put(tree, b"more", b"", Condition::Always).unwrap();
    let contents = || -> Vec<(String, Vec<u8>)> {
        let bytes = |name: String| {
            let file = disk.open(&name).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(0, &mut bytes).unwrap();
            (name, bytes)
        };
        disk.list().unwrap().into_iter().map(bytes).collect()
    };
    // The journal's thread makes the next segment, under another name first, and then nothing any more.
    while segments(&disk).len() < 2 {
        std::thread::yield_now();
    }
    let before = contents();
    verify(&engine);
    assert!(contents() == before);
}

#[test]
fn goes_on_beside_writers_and_checkpoints() {
    let (_disk, engine) = on_disk();
    let tree = engine.tree("t").unwrap();
    let mut round = 0u32;
    let report = engine.verify(&mut |_, _| {
        round += 1;
        let key = format!("dir{}/new{round}", round % 7);
        engine.put(tree, key.as_bytes(), &[1; 300], Condition::Always).unwrap();
        engine
            .delete_prefix(tree, format!("dir1/file{round:04}").as_bytes())
            .unwrap();
        engine.checkpoint().unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(
        (report.as_ref().unwrap().keys, &report.unwrap().problems),
        (600, &vec![])
    );
    assert_eq!(complaints(&engine), [""; 0]);
}

#[test]
fn gives_up_when_told_to() {
    let (_disk, engine) = on_disk();
    let error = engine.verify(&mut |done, _| {
        if done == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(error.unwrap_err().code(), ErrorCode::Aborted);
}

#[test]
fn every_damaged_blob_is_reported_with_its_place() {
    let (disk, engine) = on_disk();
    engine.abandon();
    let engine = open(&disk, Durability::Process);
    let places: Vec<u64> = {
        let image = engine.durable().unwrap().folder.store.image();
        image.blobs().map(|(blob, _)| image.place(blob).unwrap().1).collect()
    };
    for place in &places {
        flip(&disk, "blobs", place + 100);
    }
    let mut found: Vec<u64> = (verify(&engine).problems.into_iter())
        .inspect(|problem| assert_eq!(problem.file, "blobs"))
        .map(|problem| problem.offset)
        .collect();
    found.sort_unstable();
    let mut places = places;
    places.sort_unstable();
    assert_eq!(found, places);
}

#[test]
fn damage_on_disk_is_found_behind_what_is_in_memory() {
    let (disk, engine) = on_disk();
    let place = engine.durable().unwrap().folder.store.image().place(ROOT).unwrap().1;
    flip(&disk, "blobs", place);
    let report = verify(&engine);
    assert_eq!(report.problems.len(), 1);
    assert_eq!((report.problems[0].offset, report.keys), (place, 600));
}

#[test]
fn damage_to_each_other_file_of_the_store_is_reported() {
    for (name, offset) in [
        ("coppice.super", 20),
        ("blobs", 9),
        ("map-", 30),
        ("map-", 90),
        ("map-", 400),
    ] {
        let (disk, engine) = on_disk();
        let name = (disk.list().unwrap().into_iter())
            .find(|file| file.starts_with(name))
            .unwrap();
        flip(&disk, &name, offset);
        let report = verify(&engine);
        assert_eq!(report.problems.len(), 1, "{name} at {offset}");
        assert_eq!(report.problems[0].file, name);
    }
}

#[test]
fn frame_that_nothing_leads_to_is_reported() {
    let (_disk, engine) = on_disk();
    let mut state = engine.exclusive();
    let image = state.forest.table.buffer(ROOT, BlobKind::Trie).unwrap();
    let bytes = engine.table.frame_bytes();
    let blob = state.forest.table.add(BlobKind::Trie, bytes, image.copy()).unwrap();
    drop(state);
    assert_eq!(complaints(&engine), [format!("blob {blob}: nothing leads to it")]);
}

#[test]
fn value_that_no_record_has_is_reported() {
    let (_disk, engine) = on_disk();
    let mut state = engine.exclusive();
    let blob = (state.forest.table).add(BlobKind::Value, 9, Buffer::zeroed(9)).unwrap();
    drop(state);
    assert_eq!(complaints(&engine), [format!("blob {blob}: nothing leads to it")]);
}

#[test]
fn value_that_is_gone_is_reported() {
    let (_disk, engine) = on_disk();
    let blob = (0..engine.table.len() as u32).find(|blob| engine.table.kind(*blob) == Some(BlobKind::Value));
    let blob = blob.unwrap();
    engine.shared().forest.table.remove(blob);
    let found = complaints(&engine);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains(&format!("should be blob {blob}, which is no value")),
        "{found:?}"
    );
}

#[test]
fn frame_that_is_gone_is_reported() {
    let (_disk, engine) = on_disk();
    let (flat, parent) = flat_and_parent(&engine);
    engine.shared().forest.table.remove(flat);
    let expected = format!("blob {parent}: it leads to blob {flat}, which does not exist");
    assert_eq!(complaints(&engine), [expected]);
}

#[test]
fn frame_under_the_wrong_entry_is_reported() {
    let (_disk, engine) = on_disk();
    let (flat, _) = flat_and_parent(&engine);
    let mut state = engine.exclusive();
    let frame_bytes = engine.table.frame_bytes();
    let mut other = engine.table.frame_buffer();
    let items = [coppice_frame::Item {
        key: b"\xEEstray",
        stored: Stored {
            version: 1,
            value: Value::Inline(b""),
        },
    }];
    let frame: FrameMut<'_> = other.frame_mut();
    coppice_frame::build_flat(frame, &items, 0).unwrap();
    assert_eq!(other.frame().len(), frame_bytes);
    state.forest.table.replace(flat, other);
    drop(state);
    let found = complaints(&engine);
    assert!(
        found.contains(&format!("blob {flat}: it has keys that no entry above leads to")),
        "{found:?}"
    );
}

#[test]
fn record_from_the_future_is_reported() {
    let (_disk, engine) = on_disk();
    let mut state = engine.exclusive();
    state.sequence -= 1;
    drop(state);
    let found = complaints(&engine);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("which was not committed"), "{found:?}");
}

#[test]
fn damaged_frame_in_memory_is_reported() {
    let engine = Engine::in_memory(&options(Durability::None)).unwrap();
    fill(&engine);
    let (flat, _) = flat_and_parent(&engine);
    let mut state = engine.exclusive();
    let mut blank = engine.table.frame_buffer();
    blank.bytes_mut().fill(0);
    state.forest.table.replace(flat, blank);
    drop(state);
    let report = verify(&engine);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].file, "memory");
}
