//! Clones: what both sides have and cost, that writes to one are not seen on the other, and that nothing is freed too early or
//! too late.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;
use crate::core::NewDatabase;

fn rewritten(records: &Tree, from: &str, to: &str) -> Tree {
    let cloned = records.iter().filter(|(key, _)| key.starts_with(from.as_bytes()));
    cloned
        .map(|(key, record)| ([to.as_bytes(), &key[from.len()..]].concat(), record.clone()))
        .collect()
}

fn assert_sound(engine: &Engine) {
    engine.shared().forest.assert_valid();
    assert_eq!(verified(engine), []);
}

/// Deletes the tree's keys, and sees that nothing is left.
fn assert_all_comes_back(engine: &Engine, tree: TreeId, disk: &MemoryDisk) {
    engine.delete_prefix(tree, b"").unwrap();
    bury_all(engine);
    assert!(engine.drop_tree("t").unwrap());
    bury_all(engine);
    assert_sound(engine);
    assert_eq!(engine.stats().unwrap().blobs, 1, "frames or values are left over");
    engine.shut_down().unwrap();
    assert_eq!(open(disk, Durability::Process).stats().unwrap().blobs, 1);
}

#[test]
fn a_clone_has_the_records_and_versions_and_says_how_many() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "from/", 2000);
    put(&engine, tree, b"from/", b"the prefix itself");
    let mut expected = contents(&engine, tree);
    let last = engine.last_commit();
    assert_eq!(engine.clone_prefix(tree, b"from/", b"a/deeper/place/").unwrap(), 2001);
    expected.extend(rewritten(&expected, "from/", "a/deeper/place/"));
    assert_eq!(contents(&engine, tree), expected);
    assert_eq!(engine.count(tree, b"a/deeper/place/d3/").unwrap(), 286);
    assert_eq!(engine.clone_prefix(tree, b"gone/", b"b").unwrap(), 0);
    assert_eq!(put(&engine, tree, b"next", b""), last + 2, "one commit");
    engine.delete(tree, b"next", Condition::Always).unwrap();
    // One of them by its own, a part of a frame, and all there is.
    assert_eq!(engine.clone_prefix(tree, b"from/d3/f00003", b"one").unwrap(), 1);
    expected.extend(rewritten(&expected, "from/d3/f00003", "one"));
    assert_eq!(engine.clone_prefix(tree, b"from/d3/f001", b"some/").unwrap(), 15);
    expected.extend(rewritten(&expected, "from/d3/f001", "some/"));
    assert_eq!(engine.clone_within(tree, b"", b"all/").unwrap(), expected.len() as u64);
    expected.extend(rewritten(&expected, "", "all/"));
    assert_eq!(contents(&engine, tree), expected);
    assert_sound(&engine);
    engine.abandon();
    let engine = open(&disk, Durability::Process);
    assert_eq!(contents(&engine, tree), expected);
    assert_sound(&engine);
    assert_all_comes_back(&engine, tree, &disk);
}

#[test]
fn a_clone_that_cannot_be_changes_nothing() {
    let engine = open(&MemoryDisk::new(), Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 300);
    put(&engine, tree, b"b/x", b"");
    put(&engine, tree, &[&b"a/"[..], &[b'x'; 510]].concat(), b"");
    let before = contents(&engine, tree);
    let appended = engine.stats().unwrap().journal_appended_records;
    for to in [&b"a/"[..], b"a", b"", b"a/d1/", b"a/copy/"] {
        let refused = engine.clone_prefix(tree, b"a/", to).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
        let named = format!("\"a/\" and {:?} one contains the other", str::from_utf8(to).unwrap());
        assert!(refused.to_string().contains(&named), "{refused}");
    }
    for to in [&b"a/"[..], b"a", b"", b"a/d1/"] {
        assert_eq!(code(engine.clone_within(tree, b"a/", to)), ErrorCode::NotEmpty);
    }
    assert_eq!(
        code(engine.clone_within(tree, b"a/", b"a/copy/")),
        ErrorCode::KeyTooLarge
    );
    for to in [&b"b/"[..], b"b", b"b/x"] {
        assert_eq!(code(engine.clone_prefix(tree, b"a/", to)), ErrorCode::NotEmpty);
    }
    for to in [&b"b/"[..], b"b", b"b/x", b"a/", b"a", b"a/d1/"] {
        assert_eq!(code(engine.clone_prefix(tree, b"gone/", to)), ErrorCode::NotEmpty);
    }
    for to in [&b"abc/"[..], &[b'c'; 512], &[b'c'; 9000]] {
        assert_eq!(code(engine.clone_prefix(tree, b"a/", to)), ErrorCode::KeyTooLarge);
        assert_eq!(engine.clone_prefix(tree, b"gone/", to).unwrap(), 0);
    }
    for unknown in [TreeId(0), TreeId(9)] {
        assert_eq!(
            code(engine.clone_prefix(unknown, b"a", b"c")),
            ErrorCode::InvalidArgument
        );
    }
    assert_eq!(contents(&engine, tree), before);
    assert_eq!(engine.stats().unwrap().journal_appended_records, appended);
    assert_sound(&engine);
}

#[test]
fn a_clone_costs_a_few_frames_whatever_is_below() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 20_000);
    engine.checkpoint().unwrap();
    let before = engine.stats().unwrap();
    assert_eq!(engine.clone_prefix(tree, b"a/", b"b/").unwrap(), 20_000);
    let after = engine.stats().unwrap();
    assert_eq!(after.keys, before.keys + 20_000);
    assert!(
        after.blobs <= before.blobs + 4,
        "{} and {} blobs",
        before.blobs,
        after.blobs
    );
    assert_eq!(after.journal_appended_records, before.journal_appended_records + 1);
    let report = engine.checkpoint().unwrap();
    assert!(report.flushed_blobs <= 6, "{report:?}");
    // A clone of a clone lies no deeper, and one write parts no more than its path.
    for round in 0..20 {
        let (from, to) = (
            format!("b{}/", "b".repeat(round)),
            format!("b{}/", "b".repeat(round + 1)),
        );
        assert_eq!(
            engine.clone_prefix(tree, from.as_bytes(), to.as_bytes()).unwrap(),
            20_000
        );
    }
    let cloned = engine.stats().unwrap();
    assert!(
        cloned.blobs <= after.blobs + 60,
        "{} and {} blobs",
        after.blobs,
        cloned.blobs
    );
    put(&engine, tree, b"bbb/d3/f00003", b"written");
    let written = engine.stats().unwrap();
    assert!(
        written.blobs <= cloned.blobs + 6,
        "{} and {} blobs",
        cloned.blobs,
        written.blobs
    );
    assert_sound(&engine);
    assert_all_comes_back(&engine, tree, &disk);
}

#[test]
fn sides_part_as_they_are_written() {
    let disk = MemoryDisk::new();
    let mut engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 3000);
    engine.clone_prefix(tree, b"a/", b"b/").unwrap();
    engine.clone_within(tree, b"b/", b"b/c/").unwrap();
    let mut model = contents(&engine, tree);
    assert_eq!(model.len(), 9000);
    for round in 0..600_u32 {
        let side = ["a/", "b/", "b/c/"][round as usize % 3];
        let key = format!("{side}d{}/f{:05}", round % 7, round * 37 % 3000);
        match round % 5 {
            0 => {
                let there = model.remove(key.as_bytes()).is_some();
                assert_eq!(engine.delete(tree, key.as_bytes(), Condition::Always).unwrap(), there);
            }
            step => {
                let value = vec![round as u8; if step == 1 { 900 } else { 25 }];
                let version = put(&engine, tree, key.as_bytes(), &value);
                model.insert(key.into_bytes(), (version, value));
            }
        }
        if round % 150 == 149 {
            assert_eq!(contents(&engine, tree), model);
            assert_sound(&engine);
            match round % 300 {
                149 => engine.abandon(),
                _ => engine.shut_down().unwrap(),
            }
            engine = open(&disk, Durability::Process);
            assert_eq!(contents(&engine, tree), model);
            assert_sound(&engine);
        }
    }
    assert_eq!(
        engine.delete_prefix(tree, b"b/").unwrap(),
        under(&model, b"b/").len() as u64
    );
    bury_all(&engine);
    model.retain(|key, _| key.starts_with(b"a/"));
    assert_eq!(contents(&engine, tree), model);
    assert_sound(&engine);
    assert_all_comes_back(&engine, tree, &disk);
}

/// Who finds a record on one side never sees what only the other side has.
#[test]
fn readers_see_one_side_alone() {
    let engine = Arc::new(Engine::in_memory(&options(Durability::Process)).unwrap());
    let tree = engine.tree("t").unwrap();
    for number in 0..1500_u32 {
        put(
            &engine,
            tree,
            format!("a/{number:05}").as_bytes(),
            b"as it was before all",
        );
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
            thread::spawn(move || {
                let mut looks = 0_u32;
                while !done.load(Ordering::Acquire) {
                    let key = format!("a/{:05}", looks * 7 % 1500);
                    let right = engine
                        .get(tree, key.as_bytes(), |record| {
                            record.is_some_and(|record| record.value == b"as it was before all")
                        })
                        .unwrap();
                    assert!(right, "{key} is the other side's");
                    looks += 1;
                }
            })
        })
        .collect();
    for round in 0..60_u32 {
        engine.clone_prefix(tree, b"a/", b"b/").unwrap();
        for number in 0..200_u32 {
            let number = (number * 31 + round) % 1500;
            // Now one side parts from the other, now the other way round.
            if number % 3 == 0 {
                put(
                    &engine,
                    tree,
                    format!("a/{number:05}").as_bytes(),
                    b"as it was before all",
                );
            }
            put(&engine, tree, format!("b/{number:05}").as_bytes(), b"the other side");
        }
        engine.delete_prefix(tree, b"b/").unwrap();
        bury_all(&engine);
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.join().unwrap();
    }
    engine.shared().forest.assert_valid();
}

#[test]
fn counts_of_a_failed_checkpoint_are_in_the_next() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 2000);
    engine.checkpoint().unwrap();
    engine.clone_prefix(tree, b"a/", b"b/").unwrap();
    disk.fail_writes(Some(io::ErrorKind::StorageFull));
    assert_eq!(code(engine.checkpoint()), ErrorCode::NoSpace);
    disk.fail_writes(None);
    put(&engine, tree, b"a/d1/f00001", b"written");
    let expected = contents(&engine, tree);
    engine.shut_down().unwrap();
    let engine = disk.open_engine(&options(Durability::Process));
    assert_eq!(contents(&engine, tree), expected);
    assert_sound(&engine);
}

#[test]
fn a_wrong_count_is_reported() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 2000);
    engine.clone_prefix(tree, b"a/", b"b/").unwrap();
    engine.checkpoint().unwrap();
    assert_sound(&engine);
    let shared = (1..).find(|blob| engine.table.is_shared(*blob)).unwrap();
    let alone = (1..)
        .find(|blob| !engine.table.is_free(*blob) && !engine.table.is_shared(*blob))
        .unwrap();
    for blob in [shared, alone] {
        engine.table.refer(blob);
        let problems = verified(&engine);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0]
                .what
                .contains(&format!("blob {blob}: references that lead to it")),
            "{problems:?}"
        );
        engine.shared().forest.table.release(blob);
    }
    assert_sound(&engine);
    engine.shared().forest.table.release(shared);
    engine.shut_down().unwrap();
    let engine = open(&disk, Durability::Process);
    let problems = verified(&engine);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].what.contains(&format!("leads to blob {shared}")),
        "{problems:?}"
    );
}

#[test]
fn a_backup_shares_what_its_database_shares() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 3000);
    engine.checkpoint().unwrap();
    engine.clone_prefix(tree, b"a/", b"b/").unwrap();
    put(&engine, tree, b"b/d1/f00001", b"written");
    let copy = MemoryDisk::new();
    let to: Arc<dyn Disk> = Arc::new(copy.clone());
    engine
        .backup_to(&to, NewDatabase::random().unwrap(), &mut |_, _| {
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let copied = open(&copy, Durability::Process);
    assert_eq!(contents(&copied, tree), contents(&engine, tree));
    assert_eq!(copied.stats().unwrap().blobs, engine.stats().unwrap().blobs);
    assert_sound(&copied);
    assert_all_comes_back(&copied, tree, &copy);
}

#[test]
fn a_batch_taken_back_leaves_both_sides_as_they_were() {
    use crate::{Operation, Outcome};
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    fill(&engine, tree, "a/", 2000);
    engine.clone_prefix(tree, b"a/", b"b/").unwrap();
    let before = contents(&engine, tree);
    let changes = [
        Operation::Put {
            tree,
            key: b"b/d1/f00050",
            value: &[1; 900],
            condition: Condition::Always,
        },
        Operation::Rename {
            tree,
            from: b"a/d1/f00050",
            to: b"b/d1/f00050",
            overwrite: true,
        },
        Operation::MovePrefix {
            tree,
            from: b"a/d2/",
            to: b"c/",
        },
        Operation::DeletePrefix { tree, prefix: b"b/d3/" },
        Operation::Delete {
            tree,
            key: b"c/f00100",
            condition: Condition::Always,
        },
    ];
    let refused = [
        &changes[..],
        &[Operation::AssertEmpty {
            tree,
            prefix: b"a/",
            empty: true,
        }],
    ]
    .concat();
    assert!(matches!(engine.commit(&refused).unwrap(), Outcome::Failed { index: 5 }));
    assert_eq!(contents(&engine, tree), before);
    assert_sound(&engine);
    assert!(matches!(engine.commit(&changes).unwrap(), Outcome::Committed { .. }));
    bury_all(&engine);
    let after = contents(&engine, tree);
    assert_eq!(under(&after, b"b/d3/").len(), 0);
    assert_eq!(under(&after, b"a/d3/").len(), under(&before, b"a/d3/").len());
    assert_sound(&engine);
    assert_all_comes_back(&engine, tree, &disk);
}
