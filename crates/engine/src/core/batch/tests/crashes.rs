//! A journal that a crash cut off holds all of a batch or nothing.

use coppice_disk::{Disk, MemoryDisk};
use coppice_journal::{Batch, Op};

use super::{committed, contents, delete, open, put, rename, store};
use crate::{
    Durability, ErrorCode, Operation, TreeId,
    core::{Engine, tests::Tree},
};

const JOURNAL: &str = "journal-0000000000000001.log";

/// Where the records of the first segment end: its file is longer.
fn journal_end(engine: &Engine) -> u64 {
    192 + engine.durable().unwrap().journal.bytes()
}

/// The same files, with the journal cut off at `len` bytes.
fn cut_off(disk: &MemoryDisk, len: u64) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        let file = disk.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        copy.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
    }
    copy.open(JOURNAL).unwrap().set_len(len).unwrap();
    copy
}

#[test]
fn a_journal_cut_at_any_byte_yields_all_of_a_batch_or_nothing() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let trees = ["a", "b"].map(|name| engine.tree(name).unwrap());
    let [a, b] = trees;
    store(&engine, a, b"moves", &[1; 300]);
    store(&engine, a, b"goes", b"2");
    store(&engine, b, b"changes", b"3");
    let all = |engine: &Engine| trees.map(|tree| contents(engine, tree));
    let before = all(&engine);
    let start = journal_end(&engine);
    let operations: [Operation<'_>; 6] = [
        rename(a, b"moves", b"moved", false),
        delete(a, b"goes"),
        put(a, b"comes", &[4; 500]),
        put(b, b"changes", b""),
        put(b, b"comes", b"5"),
        rename(b, b"comes", b"stays", false),
    ];
    committed(&engine, &operations);
    let after = all(&engine);
    let end = journal_end(&engine);
    assert!(end - start > 500);
    engine.abandon();
    for len in start..=end {
        let engine = open(&cut_off(&disk, len), Durability::Process);
        let expected = if len == end { &after } else { &before };
        assert_eq!(&all(&engine), expected, "cut off at {len} of {end}");
    }
}

#[test]
fn a_batch_that_was_never_made_is_damage() {
    let tree = TreeId(1);
    let put = Op::Put {
        tree: 1,
        key: b"k",
        value: b"v",
    };
    let never: [&[Op<'_>]; 6] = [
        &[
            put,
            Op::Delete {
                tree: 1,
                key: b"absent",
            },
        ],
        &[
            put,
            Op::MovePrefix {
                tree: 1,
                from: b"k",
                to: b"kk",
            },
        ],
        &[
            put,
            Op::Put {
                tree: 2,
                key: b"k",
                value: b"v",
            },
        ],
        &[
            put,
            Op::Put {
                tree: 1,
                key: &[0; 9000],
                value: b"v",
            },
        ],
        &[Op::Delete { tree: 0, key: b"t" }],
        &[Op::CreateTree { tree: 2, name: b"new" }],
    ];
    for ops in never {
        let disk = MemoryDisk::new();
        let engine = open(&disk, Durability::Process);
        assert_eq!(engine.tree("t").unwrap(), tree);
        let journal = &engine.durable().unwrap().journal;
        journal.append(2, &[Op::Batch(Batch::new(ops))]).unwrap();
        engine.abandon();
        let opened = Engine::open(
            std::sync::Arc::new(disk),
            None,
            &crate::core::tests::options(Durability::Process),
        );
        let error = opened.err().expect("an open that fails");
        assert_eq!(error.code(), ErrorCode::Corrupt);
        assert!(error.message().contains("journal record 2"), "{error}");
    }
}

#[test]
fn what_a_batch_put_is_replayed_with_the_batchs_version() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    let version = committed(&engine, &[put(tree, b"a", b"1"), put(tree, b"b", b"2")]);
    let next = store(&engine, tree, b"c", b"3");
    engine.abandon();
    let records = contents(&open(&disk, Durability::Process), tree);
    let expected = [("a", version), ("b", version), ("c", next)];
    let versions = |records: &Tree| {
        records
            .iter()
            .map(|(key, record)| (key.clone(), record.0))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(&records),
        expected.map(|(key, version)| (key.as_bytes().to_vec(), version))
    );
}
