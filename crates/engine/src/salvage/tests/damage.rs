//! Each file, and each blob, damaged by itself and together.

use coppice_store::SUPERBLOCK_NAME;
use proptest::prelude::*;

use super::*;
use crate::testing::FailingDisk;

fn flip(disk: &MemoryDisk, name: &str, at: usize) {
    change(disk, name, |bytes| {
        let at = at % bytes.len();
        bytes[at] ^= 0x10;
    });
}

#[test]
fn each_damaged_blob_costs_what_it_held() {
    let original = closed();
    let mut orphans = 0;
    for (blob, offset, len) in places(&original.disk) {
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize + len as usize / 2));
        let kept = original.salvage(&disk).unwrap();
        assert_eq!(kept.report.problems.len(), 1, "blob {blob}: {:?}", kept.report.problems);
        assert_eq!(kept.report.problems[0].file, "blobs");
        assert_eq!(kept.report.lost_frames + kept.report.lost_values, 1, "blob {blob}");
        orphans += kept.unplaced.len();
        if blob == 0 {
            // The catalog is in it, or below: where it is not, nobody knows which tree was which.
            assert_eq!(kept.report.keys, 0);
            continue;
        }
        kept.assert_losses_are_told();
        kept.assert_nothing_is_unaccounted_for();
    }
    assert!(orphans > 1000, "no upper frame was among them");
}

/// With clones, one of a clone and one that only the journal has, that share what was deleted elsewhere.
fn cloned() -> Original {
    let mut writing = filled();
    writing.clone_prefix("objects", "dir2/", "copies/");
    writing.clone_prefix("objects", "copies/", "copies/again/");
    writing.checkpoint();
    writing.put("objects", "copies/file00009", vec![9; 40]);
    writing.delete_prefix("objects", "dir2/");
    writing.checkpoint();
    writing.clone_prefix("objects", "copies/", "late/");
    writing.kill()
}

#[test]
fn sides_of_a_clone_are_kept_each_in_full() {
    let original = cloned();
    let kept = original.salvage(&original.disk).unwrap();
    assert_eq!(kept.placed, kept.model);
    assert_eq!(kept.report.problems, []);
    for (blob, offset, _) in places(&original.disk) {
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
        let (report, found) = try_salvage(&disk).unwrap();
        assert!(!report.problems.is_empty(), "blob {blob}");
        assert_eq!(report.lost_frames + report.lost_values, 1, "blob {blob}: {report:?}");
        if blob == 0 {
            continue;
        }
        // A clone that is made again copies what is left.
        for (key, value) in &found["objects"] {
            assert_eq!(kept.model["objects"].get(key), Some(value), "{}", key.escape_ascii());
        }
    }
}

/// What the journal moves or clones behind the last checkpoint lacks what was lost below it.
#[test]
fn losses_go_along_with_prefixes_that_the_journal_moves_and_clones() {
    let mut writing = filled();
    writing.move_prefix("objects", "dir2/", "moved/");
    writing.clone_prefix("objects", "moved/file00", "late/");
    writing.clone_prefix("objects", "dir", "all/dir");
    writing.clone_prefix("little", "k", "kk");
    let original = writing.kill();
    for (blob, offset, _) in places(&original.disk) {
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
        let kept = original.salvage(&disk).unwrap();
        if blob != 0 {
            kept.assert_losses_are_told();
        }
    }
}

/// It was taken for damage, and all was lost that could not be read.
#[test]
fn a_file_that_is_there_and_cannot_be_opened_is_not_lost() {
    let disk = FailingDisk::default();
    let engine = disk.open_engine(&options(Durability::Process));
    let tree = engine.tree("t").unwrap();
    engine.put(tree, b"k", b"v", Condition::Always).unwrap();
    engine.shut_down().unwrap();
    drop(engine);
    let mut refused = 0;
    for name in disk.list().unwrap() {
        disk.fail_opens_of(&name);
        let found = find(&disk, &mut Findings::default());
        if name.starts_with(SUPERBLOCK_NAME) {
            assert!(found.is_ok(), "others know what it says");
            continue;
        }
        let error = found.err().unwrap();
        assert_eq!(error.code(), ErrorCode::Io);
        assert!(error.message().starts_with(&format!("opening {name}: ")), "{error}");
        refused += 1;
    }
    assert_eq!(refused, 3, "blobs, the map's log and the journal's segment");
}

#[test]
fn what_was_deleted_afterwards_is_not_lost() {
    let mut writing = filled();
    writing.delete_prefix("objects", "dir2/");
    writing.move_prefix("objects", "dir3/", "moved/");
    writing.delete_prefix("objects", "moved/");
    writing.engine.drop_tree("other/tree").unwrap();
    writing.model.remove("other/tree");
    let original = writing.kill();
    let mut told = 0;
    for (blob, offset, _) in places(&original.disk) {
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
        let kept = original.salvage(&disk).unwrap();
        if blob == 0 {
            continue;
        }
        kept.assert_losses_are_told();
        for lost in &kept.report.lost {
            assert_ne!(lost.tree.as_deref(), Some("other/tree"), "blob {blob}: {lost:?}");
            for gone in [&b"dir2/"[..], b"moved/"] {
                let is_gone = lost.first.starts_with(gone) && lost.last.starts_with(gone);
                assert!(!is_gone, "blob {blob}: {lost:?}");
            }
        }
        told += kept.report.lost.len();
    }
    assert!(told > 10, "{told} losses");
}

#[test]
fn losses_are_not_followed_for_ever() {
    let mut findings = Findings::default();
    for number in 0..1000 {
        findings.lose(LostKeys {
            tree: Some("t".to_owned()),
            first: format!("a{number}").into_bytes(),
            last: format!("a{number}").into_bytes(),
            records: 1,
        });
    }
    for _ in 0..=FOLLOWED / 1000 {
        findings.carry("t", (b"x", b"y"), false);
    }
    findings.carry("t", (b"a", b"b"), false);
    assert_eq!((findings.lost.len(), findings.lost.pop().unwrap().tree), (1001, None));
}

#[test]
fn lost_value_costs_its_record_which_is_named() {
    let original = closed();
    let (_, offset, _) = *places(&original.disk).iter().find(|(_, _, len)| *len == 3000).unwrap();
    let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
    let kept = original.salvage(&disk).unwrap();
    assert_eq!((kept.report.lost_values, kept.report.lost_frames), (1, 0));
    let [lost] = &kept.report.lost[..] else {
        panic!("{:?}", kept.report.lost)
    };
    assert_eq!((lost.tree.as_deref(), lost.records), (Some("objects"), 1));
    assert_eq!(lost.first, lost.last);
    assert!(!kept.placed["objects"].contains_key(&lost.first));
    assert_eq!(kept.report.keys + 1, keys(&kept.model));
}

#[test]
fn journal_goes_on_over_lost_frames() {
    let original = killed();
    for (_, offset, _) in places(&original.disk) {
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
        let kept = original.salvage(&disk).unwrap();
        let (newest, _) = original.history.last_key_value().unwrap();
        assert_eq!(kept.report.version, Some(*newest));
        assert_eq!(kept.placed["late"][&b"k"[..]], vec![7; 3000]);
    }
}

#[test]
fn missing_zeroed_and_swapped_files_cost_no_more_than_they_held() {
    for (original, stranger) in [(closed(), killed()), (killed(), closed())] {
        for name in original.disk.list().unwrap() {
            for kind in 0..3 {
                let disk = original.damaged(|disk| match kind {
                    0 => disk.remove(&name).unwrap(),
                    1 => change(disk, &name, |bytes| bytes.fill(0)),
                    // Another database's, where it has one of that name.
                    _ => match stranger.disk.open(&name) {
                        Ok(_) => set(disk, &name, &bytes_of(&stranger.disk, &name)),
                        Err(_) => disk.remove(&name).unwrap(),
                    },
                });
                let kept = original.salvage(&disk).unwrap();
                assert!(!kept.report.problems.is_empty(), "{name} {kind}");
                match name.as_str() {
                    "coppice.super" => assert_eq!(kept.placed, kept.model),
                    // The stranger's frames are the same bytes where it has come to the same.
                    "blobs" if kind < 2 => assert!(kept.report.lost_frames > 0, "{name} {kind}: {:?}", kept.report),
                    name if name.starts_with("journal") => {
                        assert_eq!(kept.placed, kept.model, "{name} {kind}");
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn files_cut_off_anywhere_keep_what_is_before() {
    let original = killed();
    for name in original.disk.list().unwrap() {
        let len = bytes_of(&original.disk, &name).len();
        for part in 0..24 {
            let disk = original.damaged(|disk| change(disk, &name, |bytes| bytes.truncate(len * part / 24)));
            original.salvage(&disk).unwrap();
        }
    }
}

#[test]
fn flips_in_the_map_log_put_nothing_wrong_into_trees() {
    for original in [closed(), killed()] {
        let name = map_log(&original.disk);
        let len = bytes_of(&original.disk, &name).len();
        let mut whole = 0;
        for at in (0..len).step_by(41) {
            let disk = original.damaged(|disk| flip(disk, &name, at));
            let kept = original.salvage(&disk).unwrap();
            assert!(!kept.report.problems.is_empty() || kept.placed == kept.model, "{at}");
            whole += usize::from(kept.placed == kept.model);
        }
        assert!(whole > 0);
    }
}

#[test]
fn damaged_snapshot_of_the_map_costs_one_entry() {
    let mut writing = filled();
    writing.note();
    writing.engine.shut_down().unwrap();
    // A copy has one record, the snapshot, in its log.
    let source = Engine::open(Arc::new(writing.disk.clone()), None, &options(Durability::Process)).unwrap();
    let copy = MemoryDisk::new();
    let to: Arc<dyn Disk> = Arc::new(copy.clone());
    source
        .backup_to(&to, crate::core::NewDatabase::random().unwrap(), &mut go_on)
        .unwrap();
    source.shut_down().unwrap();
    let original = Original {
        disk: copy,
        ..writing.original()
    };
    let name = map_log(&original.disk);
    let blobs = places(&original.disk).len();
    // In an entry in the middle, its digest.
    let disk = original.damaged(|disk| flip(disk, &name, 64 + 64 + 32 * (blobs / 2) + 24));
    let kept = original.salvage(&disk).unwrap();
    assert_eq!(places(&disk).len(), blobs - 1);
    assert!(kept.report.lost_frames + kept.report.lost_values <= 1);
    assert!(kept.report.keys > keys(&kept.model) / 2);
}

#[test]
fn what_a_lost_record_of_the_map_leaves_in_doubt_is_put_apart() {
    let original = closed();
    let name = map_log(&original.disk);
    let log = bytes_of(&original.disk, &name);
    let records: Vec<usize> = (64..log.len())
        .step_by(8)
        .filter(|at| log[*at..].starts_with(b"CopR"))
        .collect();
    assert!(records.len() > 3, "{records:?}");
    let disk = original.damaged(|disk| change(disk, &name, |bytes| bytes[records[2]..records[3]].fill(0)));
    let kept = original.salvage(&disk).unwrap();
    assert!(
        kept.unplaced.keys().any(|key| key.starts_with(b"old/")),
        "{:?}",
        kept.report
    );
}

#[test]
fn commits_behind_a_gap_in_the_journal_are_put_apart() {
    let original = killed();
    let [name] = &journals(&original.disk)[..] else {
        panic!("one segment")
    };
    let journal = bytes_of(&original.disk, name);
    let value = journal.windows(5).position(|bytes| bytes == b"newer").unwrap();
    let disk = original.damaged(|disk| {
        // Something has to say that what is missing was there.
        let engine = Engine::open(Arc::new(disk.clone()), None, &options(Durability::Disk)).unwrap();
        let tree = engine.tree("late").unwrap();
        for number in 0..2_u8 {
            engine.put(tree, &[number], b"last", Condition::Always).unwrap();
        }
        engine.abandon();
        flip(disk, name, value);
    });
    let (report, found) = try_salvage(&disk).unwrap();
    assert!(!report.problems.is_empty());
    let before = original
        .history
        .iter()
        .rev()
        .find(|(version, _)| Some(**version) == report.version);
    let (_, model) = before.expect("the gap begins behind a commit that was noted");
    assert_eq!(&found["objects"], &model["objects"]);
    let unplaced = &found[report.lost_and_found.as_ref().unwrap()];
    assert_eq!(unplaced[&b"journal/late/k"[..]], vec![7; 3000]);
    assert_eq!(unplaced[&b"journal/late/\x01"[..]], b"last");
}

#[test]
fn what_may_be_done_already_is_not_done_to_prefixes_again() {
    let small = Options {
        journal_bytes: 256 << 10,
        ..options(Durability::Process)
    };
    let mut writing = Writing::with(&small);
    // So much that the journal's first segment is trimmed.
    for number in 0..3000_u32 {
        writing.put("t", &format!("a/{number:05}"), vec![1; 40]);
        if number == 1000 {
            writing.checkpoint();
        }
    }
    writing.put("t", "b/00001", vec![2]);
    // Done twice, it would be undone.
    writing.move_prefix("t", "a/", "c/");
    writing.move_prefix("t", "b/", "a/");
    writing.move_prefix("t", "c/", "b/");
    writing.checkpoint();
    // In the map's last record, its cut.
    let original = writing.kill();
    let name = map_log(&original.disk);
    let log = bytes_of(&original.disk, &name);
    let last = (64..log.len())
        .step_by(8)
        .rfind(|at| log[*at..].starts_with(b"CopR"))
        .unwrap();
    let disk = original.damaged(|disk| flip(disk, &name, last + 16));
    assert!(find(&disk, &mut Findings::default()).unwrap().is_cut_lost());
    let (report, found) = try_salvage(&disk).unwrap();
    assert!(!report.problems.is_empty());
    assert_eq!(report.version, None);
    let model = original.history.last_key_value().unwrap().1;
    for (key, value) in &found["t"] {
        assert_eq!(model["t"].get(key), Some(value), "{}", key.escape_ascii());
    }
}

#[test]
fn trees_whose_names_are_lost_are_kept_under_their_numbers() {
    let mut writing = filled();
    // So many that the catalog is in frames of its own.
    for number in 0..600 {
        writing.tree(&format!("named/{number:04}/and a long name, to fill frames sooner"));
    }
    let original = writing.close();
    let mut unnamed = 0;
    for (blob, offset, _) in places(&original.disk) {
        if blob == 0 {
            continue;
        }
        let disk = original.damaged(|disk| flip(disk, "blobs", offset as usize));
        let (_, found) = try_salvage(&disk).unwrap();
        unnamed += found.keys().filter(|name| name.starts_with("tree-")).count();
        original.salvage(&disk).unwrap();
    }
    assert!(unnamed > 0);
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn any_damage_to_blobs_loses_what_was_there_and_nothing_else(
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let original = closed();
        let disk = original.damaged(|disk| change(disk, "blobs", |bytes| {
            for flip in &flips {
                let at = flip.index(bytes.len());
                bytes[at] ^= 1;
            }
        }));
        let kept = original.salvage(&disk).unwrap();
        kept.assert_losses_are_told();
    }

    #[test]
    fn any_damage_to_any_files_ends_well(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let original = killed();
        let disk = original.damaged(|disk| {
            let names = disk.list().unwrap();
            for (file, at, byte) in &flips {
                change(disk, &names[file.index(names.len())], |bytes| {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                });
            }
            if let Some((file, at)) = &cut {
                change(disk, &names[file.index(names.len())], |bytes| bytes.truncate(at.index(bytes.len())));
            }
        });
        match try_salvage(&disk) {
            Ok((report, found)) => {
                // A value that never was there may come up nowhere.
                let values: BTreeSet<_> = original.history.values().flat_map(Model::values).flat_map(Tree::values).collect();
                let found_values = found.values().flat_map(Tree::values);
                prop_assert!(found_values.filter(|value| value.len() != 4).all(|value| values.contains(value)));
                prop_assert!(report.unplaced <= keys(&found));
            }
            Err(error) => prop_assert_eq!(error.code(), ErrorCode::Corrupt),
        }
    }
}
