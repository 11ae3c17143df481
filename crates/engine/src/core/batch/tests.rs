//! Batches: what each operation does and refuses, and that nothing is ever half done.

mod crashes;
mod model;
mod readers;

use coppice_disk::MemoryDisk;

use crate::{
    Condition, Durability, ErrorCode, MAX_BATCH_BYTES, MAX_VALUE_BYTES, OPERATION_BYTES, Operation, Options, Outcome,
    TreeId,
    core::{
        Engine, Reads,
        tests::{Tree, contents, open, options},
    },
    table::BlobKind,
    testing::{FIRST_SEGMENT, FailingDisk},
    unsettled::unsettled,
};

/// A value too long for a frame.
const LARGE: &[u8] = &[7; 20_000];

fn volatile() -> (Engine, TreeId) {
    let engine = Engine::in_memory(&options(Durability::Process)).unwrap();
    let tree = engine.tree("t").unwrap();
    (engine, tree)
}

fn put<'a>(tree: TreeId, key: &'a [u8], value: &'a [u8]) -> Operation<'a> {
    Operation::Put {
        tree,
        key,
        value,
        condition: Condition::Always,
    }
}

fn delete(tree: TreeId, key: &[u8]) -> Operation<'_> {
    Operation::Delete {
        tree,
        key,
        condition: Condition::Always,
    }
}

fn rename<'a>(tree: TreeId, from: &'a [u8], to: &'a [u8], overwrite: bool) -> Operation<'a> {
    Operation::Rename {
        tree,
        from,
        to,
        overwrite,
    }
}

fn assert(tree: TreeId, key: &[u8], condition: Condition) -> Operation<'_> {
    Operation::Assert { tree, key, condition }
}

fn assert_empty(tree: TreeId, prefix: &[u8], empty: bool) -> Operation<'_> {
    Operation::AssertEmpty { tree, prefix, empty }
}

fn store(engine: &Engine, tree: TreeId, key: &[u8], value: &[u8]) -> u64 {
    engine.put(tree, key, value, Condition::Always).unwrap().unwrap()
}

/// The version of a batch that must commit.
fn committed(engine: &Engine, operations: &[Operation<'_>]) -> u64 {
    match engine.commit(operations).unwrap() {
        Outcome::Committed { version } => version,
        Outcome::Failed { index } => panic!("operation {index} did not hold"),
    }
}

fn failed(engine: &Engine, operations: &[Operation<'_>]) -> usize {
    match engine.commit(operations).unwrap() {
        Outcome::Failed { index } => index,
        Outcome::Committed { version } => panic!("committed as {version}"),
    }
}

/// How many blobs hold values.
fn value_blobs(engine: &Engine) -> usize {
    let state = engine.shared();
    let table = &state.forest.table;
    (0..table.len() as u32)
        .filter(|blob| table.kind(*blob) == Some(BlobKind::Value))
        .count()
}

fn entries(tree: &Tree) -> Vec<(&[u8], &[u8])> {
    tree.iter()
        .map(|(key, (_, value))| (key.as_slice(), value.as_slice()))
        .collect()
}

#[test]
fn all_of_a_batch_has_one_version_in_all_its_trees() {
    let (engine, tree) = volatile();
    let other = engine.tree("other").unwrap();
    let before = store(&engine, tree, b"old", b"0");
    let version = committed(
        &engine,
        &[
            put(tree, b"a", b"1"),
            put(other, b"a", b"2"),
            rename(tree, b"old", b"new", false),
        ],
    );
    assert_eq!(version, before + 1);
    let all: Vec<u64> = [contents(&engine, tree), contents(&engine, other)]
        .iter()
        .flat_map(|tree| tree.values().map(|record| record.0).collect::<Vec<_>>())
        .collect();
    assert_eq!(all, [version; 3]);
    assert_eq!(store(&engine, tree, b"next", b""), version + 1);
}

#[test]
fn each_operation_sees_those_before_it() {
    let (engine, tree) = volatile();
    let holds: [&[Operation<'_>]; 6] = [
        &[put(tree, b"a", b"1"), assert(tree, b"a", Condition::IfPresent)],
        &[
            put(tree, b"b", b"1"),
            rename(tree, b"b", b"c", false),
            assert(tree, b"b", Condition::IfAbsent),
            assert(tree, b"c", Condition::IfPresent),
        ],
        &[
            delete(tree, b"a"),
            assert_empty(tree, b"a", true),
            put(tree, b"a", b"2"),
        ],
        &[put(tree, b"d/1", b""), assert_empty(tree, b"d/", false)],
        &[
            delete(tree, b"c"),
            delete(tree, b"c"),
            rename(tree, b"a", b"c", false),
            rename(tree, b"c", b"a", false),
        ],
        &[
            put(tree, b"e", b"1"),
            put(tree, b"e", b"2"),
            delete(tree, b"e"),
            put(tree, b"e", b"3"),
        ],
    ];
    for operations in holds {
        committed(&engine, operations);
    }
    assert_eq!(
        entries(&contents(&engine, tree)),
        [(&b"a"[..], &b"2"[..]), (b"d/1", b""), (b"e", b"3")]
    );
}

#[test]
fn what_does_not_hold_is_named_and_leaves_everything_as_it_was() {
    let (engine, tree) = volatile();
    let version = store(&engine, tree, b"there", b"old");
    store(&engine, tree, b"large", LARGE);
    store(&engine, tree, b"dir/file", b"");
    let before = contents(&engine, tree);
    let conditional = |key, condition| {
        [
            Operation::Put {
                tree,
                key,
                value: LARGE,
                condition,
            },
            Operation::Delete { tree, key, condition },
            assert(tree, key, condition),
        ]
    };
    let mut refused: Vec<Operation<'_>> = Vec::new();
    refused.extend(conditional(b"there", Condition::IfAbsent));
    refused.extend(conditional(b"there", Condition::IfVersion(version + 1)));
    refused.extend(conditional(b"absent", Condition::IfVersion(version)));
    refused.extend(conditional(b"absent", Condition::IfPresent));
    refused.push(rename(tree, b"absent", b"x", true));
    refused.push(rename(tree, b"there", b"large", false));
    refused.push(rename(tree, b"there", b"there", false));
    refused.push(assert_empty(tree, b"dir/", true));
    refused.push(assert_empty(tree, b"", true));
    refused.push(assert_empty(tree, b"nothing/", false));
    let undone = [
        put(tree, b"there", LARGE),
        put(tree, b"new", LARGE),
        put(tree, b"new", b"small"),
        delete(tree, b"large"),
        put(tree, b"large", b"small"),
        rename(tree, b"large", b"moved", true),
        rename(tree, b"new", b"dir/file", true),
        delete(tree, b"moved"),
        put(tree, b"there", b"old"),
    ];
    for operation in refused {
        // Conditions are on the state before; so those keys are left alone by what comes first.
        assert_eq!(failed(&engine, &[operation]), 0, "{operation:?}");
        let mut operations = vec![put(tree, b"unrelated", LARGE), operation];
        assert_eq!(failed(&engine, &operations), 1, "{operation:?}");
        operations.pop();
        operations.extend(undone);
        operations.push(assert(tree, b"unrelated", Condition::IfAbsent));
        assert_eq!(failed(&engine, &operations), undone.len() + 1);
        assert_eq!(contents(&engine, tree), before, "{operation:?}");
        assert_eq!(value_blobs(&engine), 1, "{operation:?}");
        engine.shared().forest.assert_valid();
    }
    assert_eq!(store(&engine, tree, b"next", b""), version + 3);
}

#[test]
fn a_batch_that_changes_nothing_reports_the_last_commit() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    let version = store(&engine, tree, b"k", b"v");
    let bytes = engine.stats().unwrap().journal_bytes;
    assert_eq!(committed(&engine, &[]), version);
    assert_eq!(
        committed(
            &engine,
            &[
                assert(tree, b"k", Condition::IfVersion(version)),
                assert_empty(tree, b"x", true),
                delete(tree, b"absent"),
                Operation::Delete {
                    tree,
                    key: b"absent",
                    condition: Condition::IfAbsent,
                },
            ]
        ),
        version
    );
    assert_eq!(engine.stats().unwrap().journal_bytes, bytes);
}

#[test]
fn a_rename_moves_the_value_and_gives_it_a_new_version() {
    let (engine, tree) = volatile();
    for (value, blobs) in [(&b"small"[..], 0), (LARGE, 1)] {
        let version = store(&engine, tree, b"from", value);
        assert!(!engine.rename(tree, b"absent", b"to", true).unwrap());
        assert!(engine.rename(tree, b"from", b"to", false).unwrap());
        let after = contents(&engine, tree);
        assert_eq!(after, Tree::from([(b"to".to_vec(), (version + 1, value.to_vec()))]));
        assert_eq!(value_blobs(&engine), blobs);
        store(&engine, tree, b"from", b"in the way");
        assert!(!engine.rename(tree, b"to", b"from", false).unwrap());
        assert!(engine.rename(tree, b"to", b"from", true).unwrap());
        assert_eq!(entries(&contents(&engine, tree)), [(&b"from"[..], value)]);
        assert_eq!(value_blobs(&engine), blobs);
        engine.delete(tree, b"from", Condition::Always).unwrap();
    }
}

#[test]
fn a_rename_over_a_large_value_frees_it() {
    let (engine, tree) = volatile();
    store(&engine, tree, b"large", LARGE);
    store(&engine, tree, b"small", b"v");
    assert!(engine.rename(tree, b"small", b"large", true).unwrap());
    assert_eq!(entries(&contents(&engine, tree)), [(&b"large"[..], &b"v"[..])]);
    assert_eq!(value_blobs(&engine), 0);
}

#[test]
fn a_rename_of_a_large_value_keeps_its_blob() {
    let (engine, tree) = volatile();
    store(&engine, tree, b"from", LARGE);
    let value_at = |key: &[u8]| engine.get(tree, key, |record| record.unwrap().value.as_ptr()).unwrap();
    let at = value_at(b"from");
    assert!(engine.rename(tree, b"from", b"to", false).unwrap());
    assert_eq!(value_at(b"to"), at);
}

#[test]
fn a_rename_to_itself_is_one_over_itself() {
    let (engine, tree) = volatile();
    for value in [b"small", LARGE] {
        let version = store(&engine, tree, b"k", value);
        assert!(!engine.rename(tree, b"k", b"k", false).unwrap());
        assert!(!engine.rename(tree, b"absent", b"absent", true).unwrap());
        assert!(engine.rename(tree, b"k", b"k", true).unwrap());
        let after = contents(&engine, tree);
        assert_eq!(after, Tree::from([(b"k".to_vec(), (version + 1, value.to_vec()))]));
        assert_eq!(value_blobs(&engine), usize::from(value == LARGE));
    }
}

#[test]
fn what_cannot_be_is_refused_before_any_effect_and_named() {
    let engine = Engine::in_memory(&Options::default()).unwrap();
    let tree = engine.tree("t").unwrap();
    let long = [b'k'; 8193];
    let value = vec![0; MAX_VALUE_BYTES + 1];
    let nowhere = TreeId(99);
    let (key_code, tree_code) = (ErrorCode::KeyTooLarge, ErrorCode::InvalidArgument);
    let cases = [
        (put(tree, &long, b""), key_code, "kkk"),
        (delete(tree, &long), key_code, "kkk"),
        (assert(tree, &long, Condition::IfAbsent), key_code, "kkk"),
        (assert_empty(tree, &long, true), key_code, "kkk"),
        (rename(tree, &long, b"to", true), key_code, "kkk"),
        (rename(tree, b"from", &long, true), key_code, "from"),
        (put(tree, b"k\xff", &value), ErrorCode::ValueTooLarge, "k\\xff"),
        (put(nowhere, b"k", b""), tree_code, "99"),
        (delete(nowhere, b"k"), tree_code, "99"),
        (rename(nowhere, b"k", b"", true), tree_code, "99"),
        (assert(nowhere, b"k", Condition::IfAbsent), tree_code, "99"),
        (assert_empty(TreeId(0), b"k", true), tree_code, "number 0"),
    ];
    for (operation, code, named) in cases {
        let error = engine.commit(&[put(tree, b"first", b""), operation]).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with("operation 1, on "), "{error}");
        assert!(
            error.message().contains(named) && error.message().len() < 200,
            "{error}"
        );
        assert!(engine.is_empty(tree, b"").unwrap());
    }
    let error = engine.rename(tree, b"from", &long, true).unwrap_err();
    assert_eq!(error.code(), key_code);
}

#[test]
fn what_can_never_be_done_comes_behind_a_condition_in_front_of_it_that_does_not_hold() {
    let (engine, tree) = volatile();
    let long = vec![7; 9000];
    let overlapping = Operation::MovePrefix {
        tree,
        from: b"a",
        to: b"ab",
    };
    let absent = assert(tree, b"absent", Condition::IfPresent);
    for impossible in [overlapping, put(tree, &long, b""), put(TreeId(99), b"k", b"")] {
        assert_eq!(failed(&engine, &[absent, impossible]), 0);
        let error = engine.commit(&[put(tree, b"k", b"v"), impossible, absent]).unwrap_err();
        assert!(error.message().starts_with("operation 1"), "{error}");
        assert!(contents(&engine, tree).is_empty());
    }
}

#[test]
fn renamed_values_that_do_not_fit_one_record_together_refuse_the_batch() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    let value = vec![7; MAX_VALUE_BYTES];
    let names: [(&[u8], &[u8]); 4] = [(b"a", b"A"), (b"b", b"B"), (b"c", b"C"), (b"d", b"D")];
    for (from, _) in names {
        store(&engine, tree, from, &value);
    }
    let renames = names.map(|(from, to)| rename(tree, from, to, false));
    let error = engine.commit(&renames).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge, "{error}");
    assert!(
        names
            .iter()
            .all(|(from, _)| contents(&engine, tree).contains_key(*from))
    );
    for rename in renames {
        committed(&engine, &[rename]);
    }
    engine.abandon();
    let records = contents(&open(&disk, Durability::Process), tree);
    assert!(names.iter().all(|(_, to)| records[*to].1 == value));
    assert_eq!(records.len(), names.len());
}

#[test]
fn the_largest_batch_fits_the_journal_and_a_larger_one_is_refused_before_any_effect() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    let tree = engine.tree("t").unwrap();
    // Small operations, of which the journal adds most to each byte; and the longest values on top.
    let keys: Vec<[u8; 4]> = (0_u32..10_000).map(u32::to_be_bytes).collect();
    let mut operations: Vec<Operation<'_>> = keys.iter().map(|key| put(tree, key, b"")).collect();
    let value = vec![1; MAX_VALUE_BYTES];
    let left = MAX_BATCH_BYTES - keys.len() * (OPERATION_BYTES + 4) - 4 * (OPERATION_BYTES + 1) - 3 * MAX_VALUE_BYTES;
    for key in [b"a", b"b", b"c"] {
        operations.push(put(tree, key, &value));
    }
    let (too_long, just_right) = (vec![1; left + 1], vec![1; left]);
    operations.push(put(tree, b"d", &too_long));
    let error = engine.commit(&operations).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    assert!(error.message().contains("67108865"), "{error}");
    assert!(engine.is_empty(tree, b"").unwrap());

    operations.pop();
    operations.push(put(tree, b"d", &just_right));
    let version = committed(&engine, &operations);
    engine.abandon();
    let engine = open(&disk, Durability::Process);
    assert_eq!(engine.count(tree, b"").unwrap(), 10_004);
    let read = engine.get(tree, b"d", |record| {
        record.map(|record| (record.version, record.value.len()))
    });
    assert_eq!(read.unwrap(), Some((version, left)));
}

#[test]
fn no_operation_takes_more_of_the_journal_than_it_counts() {
    let tree = TreeId(7);
    let keys: [&[u8]; 3] = [b"", b"k", &[0; 300]];
    for key in keys {
        for other in keys {
            for operation in [put(tree, key, other), delete(tree, key), rename(tree, key, other, true)] {
                let (engine, _) = volatile();
                let mut state = engine.exclusive();
                let mut attempt = super::Attempt::new(&mut state.forest, 9);
                attempt.apply(&put(tree, key, b"")).unwrap();
                attempt.changes.clear();
                attempt.apply(&operation).unwrap();
                let disk = MemoryDisk::new();
                let durable = open(&disk, Durability::Process);
                let journal = &durable.durable().unwrap().journal;
                let before = journal.bytes();
                let twice: Vec<_> = (attempt.changes.iter().chain(&attempt.changes))
                    .flat_map(super::Change::ops)
                    .collect();
                let batch = coppice_journal::Op::Batch(coppice_journal::Batch::new(&twice));
                journal.append(1, &[batch]).unwrap();
                // Besides the record's own header and padding.
                let payload = (journal.bytes() - before) as usize - 32;
                assert!(
                    payload <= (2 * operation.encoded_bytes()).next_multiple_of(8),
                    "{operation:?}"
                );
            }
        }
    }
}

#[test]
fn a_journal_without_room_leaves_everything_as_it_was() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    store(&engine, tree, b"k", LARGE);
    let before = contents(&engine, tree);
    let operations = [
        put(tree, b"k", b"small"),
        put(tree, b"new", LARGE),
        rename(tree, b"k", b"other", false),
    ];
    disk.fail_writes(Some(std::io::ErrorKind::StorageFull));
    for batch in [&operations[..], &operations[..1]] {
        assert_eq!(engine.commit(batch).unwrap_err().code(), ErrorCode::NoSpace);
        assert_eq!(contents(&engine, tree), before);
        assert_eq!(value_blobs(&engine), 1);
    }
    assert_eq!(
        engine.rename(tree, b"k", b"other", false).unwrap_err().code(),
        ErrorCode::NoSpace
    );
    disk.fail_writes(None);
    committed(&engine, &operations);
    engine.abandon();
    let engine = disk.open_engine(&options(Durability::Process));
    assert_eq!(
        entries(&contents(&engine, tree)),
        [(&b"new"[..], LARGE), (b"other", b"small")]
    );
}

#[test]
fn a_journal_that_fails_leaves_the_outcome_open_and_takes_no_more() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    disk.fail_writes(Some(std::io::ErrorKind::Other));
    let operations = [put(tree, b"a", b""), put(tree, b"b", b"")];
    assert_eq!(
        engine.commit(&operations).unwrap_err().code(),
        ErrorCode::OutcomeUnknown
    );
    assert!(engine.is_empty(tree, b"").unwrap());
    disk.fail_writes(None);
    assert_eq!(engine.commit(&operations).unwrap_err().code(), ErrorCode::ReadOnly);
}

#[test]
fn a_journal_segment_that_cannot_be_made_leaves_no_doubt() {
    use std::io::ErrorKind;
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    engine.abandon();
    // The first append behind a recovery begins a segment.
    let engine = disk.open_engine(&options(Durability::Process));
    let operations = [put(tree, b"a", b""), put(tree, b"b", b"")];
    for (kind, code) in [
        (ErrorKind::ReadOnlyFilesystem, ErrorCode::ReadOnly),
        (ErrorKind::PermissionDenied, ErrorCode::ReadOnly),
        (ErrorKind::Other, ErrorCode::Io),
    ] {
        disk.fail_writes(Some(kind));
        assert_eq!(engine.commit(&operations).unwrap_err().code(), code, "{kind}");
        assert!(engine.is_empty(tree, b"").unwrap());
    }
    disk.fail_writes(None);
    committed(&engine, &operations);
}

#[test]
fn a_batch_is_on_disk_when_its_mode_says_so() {
    for (durability, settled, persisted) in [
        (Durability::Disk, 1, 1),
        (Durability::Process, 0, 1),
        (Durability::None, 0, 0),
    ] {
        let disk = MemoryDisk::new();
        let engine = open(&disk, durability);
        let tree = engine.tree("t").unwrap();
        let syncs = |engine: &Engine| engine.stats().unwrap().journal_syncs;
        let before = syncs(&engine);
        committed(&engine, &[put(tree, b"a", b"")]);
        assert_eq!(syncs(&engine) - before, settled);
        unsettled(|| committed(&engine, &[put(tree, b"b", b"")]));
        failed(&engine, &[assert(tree, b"a", Condition::IfAbsent)]);
        assert_eq!(syncs(&engine) - before, settled, "{durability:?}");
        engine.persist().unwrap();
        assert_eq!(syncs(&engine) - before, settled + persisted, "{durability:?}");
    }
}

#[test]
fn a_sync_that_fails_leaves_the_outcome_of_a_visible_batch_open() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    committed(&engine, &[put(tree, b"a", b"1"), put(tree, b"b", b"2")]);
    disk.fail_syncs_of(FIRST_SEGMENT, Some(std::io::ErrorKind::Other));
    assert_eq!(engine.persist().unwrap_err().code(), ErrorCode::OutcomeUnknown);
    disk.fail_syncs(None);
    assert_eq!(entries(&contents(&engine, tree)).len(), 2);
    assert_eq!(engine.commit(&[]).unwrap_err().code(), ErrorCode::ReadOnly);
}

#[test]
fn a_closed_database_takes_no_batch() {
    let (engine, tree) = volatile();
    engine.shut_down().unwrap();
    for operations in [&[][..], &[put(tree, b"a", b"")]] {
        assert_eq!(engine.commit(operations).unwrap_err().code(), ErrorCode::Closed);
    }
    assert_eq!(
        engine.rename(tree, b"a", b"b", true).unwrap_err().code(),
        ErrorCode::Closed
    );
}
