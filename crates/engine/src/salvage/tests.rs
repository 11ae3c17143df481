//! Databases damaged in every way, salvaged, and compared with what they held at the commit that the report names.

mod damage;
mod hostile;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

use coppice_disk::MemoryDisk;

use super::*;
use crate::{
    core::Reads,
    request::{Condition, Range, TreeId},
    testing::cases,
};

type Tree = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<String, Tree>;

fn options(durability: Durability) -> Options {
    Options {
        durability,
        frame_bytes: 4096,
        ..Options::default()
    }
}

/// A database, and what it held at those of its commits that a salvage may come back to.
struct Original {
    disk: MemoryDisk,
    history: BTreeMap<u64, Model>,
    /// Names by number.
    names: BTreeMap<u32, String>,
}

/// An engine that is written to together with its model.
struct Writing {
    disk: MemoryDisk,
    engine: Engine,
    model: Model,
    history: BTreeMap<u64, Model>,
    names: BTreeMap<u32, String>,
}

impl Writing {
    fn new() -> Self {
        Self::with(&options(Durability::Process))
    }

    fn with(options: &Options) -> Self {
        let disk = MemoryDisk::new();
        let engine = Engine::open(Arc::new(disk.clone()), None, options).unwrap();
        Self {
            disk,
            engine,
            model: Model::new(),
            history: BTreeMap::from([(0, Model::new())]),
            names: BTreeMap::new(),
        }
    }

    fn tree(&mut self, name: &str) -> TreeId {
        let tree = self.engine.tree(name).unwrap();
        self.names.insert(tree.0, name.to_owned());
        self.model.entry(name.to_owned()).or_default();
        tree
    }

    fn put(&mut self, name: &str, key: &str, value: Vec<u8>) {
        let tree = self.tree(name);
        self.engine
            .put(tree, key.as_bytes(), &value, Condition::Always)
            .unwrap();
        self.model.get_mut(name).unwrap().insert(key.into(), value);
    }

    fn delete_prefix(&mut self, name: &str, prefix: &str) {
        let tree = self.tree(name);
        self.engine.delete_prefix(tree, prefix.as_bytes()).unwrap();
        self.model
            .get_mut(name)
            .unwrap()
            .retain(|key, _| !key.starts_with(prefix.as_bytes()));
    }

    fn clone_prefix(&mut self, name: &str, from: &str, to: &str) {
        let tree = self.tree(name);
        self.engine.clone_within(tree, from.as_bytes(), to.as_bytes()).unwrap();
        let tree = self.model.get_mut(name).unwrap();
        let cloned: Vec<_> = (tree.iter())
            .filter_map(|(key, value)| {
                let rest = key.strip_prefix(from.as_bytes())?;
                Some(([to.as_bytes(), rest].concat(), value.clone()))
            })
            .collect();
        tree.extend(cloned);
    }

    fn move_prefix(&mut self, name: &str, from: &str, to: &str) {
        let tree = self.tree(name);
        self.engine.move_prefix(tree, from.as_bytes(), to.as_bytes()).unwrap();
        let tree = self.model.get_mut(name).unwrap();
        for (key, value) in std::mem::take(tree) {
            let key = match key.strip_prefix(from.as_bytes()) {
                Some(rest) => [to.as_bytes(), rest].concat(),
                None => key,
            };
            tree.insert(key, value);
        }
    }

    /// What there is now is something to come back to.
    fn note(&mut self) {
        self.history.insert(self.engine.last_commit(), self.model.clone());
    }

    fn checkpoint(&mut self) {
        self.note();
        self.engine.checkpoint().unwrap();
    }

    /// Closed, and so all in its frames.
    fn close(mut self) -> Original {
        self.note();
        self.engine.shut_down().unwrap();
        self.original()
    }

    /// As a process leaves it that is killed.
    fn kill(mut self) -> Original {
        self.note();
        self.engine.abandon();
        self.original()
    }

    fn original(self) -> Original {
        Original {
            disk: self.disk,
            history: self.history,
            names: self.names,
        }
    }
}

/// Three trees, one of them little, with large values; several levels of frames, and several records in the slot map's log.
fn filled() -> Writing {
    let mut writing = Writing::new();
    for round in 0..3_u8 {
        for number in 0..700_u32 {
            let len = if number % 97 == 0 { 3000 } else { 40 };
            if round == 0 || number % 5 == u32::from(round) {
                writing.put(
                    "objects",
                    &format!("dir{}/file{number:05}", number % 7),
                    vec![round; len],
                );
                writing.put("other/tree", &format!("{number}"), vec![round + 10; 30]);
            }
        }
        writing.put("little", "k", vec![round]);
        writing.checkpoint();
    }
    writing
}

fn closed() -> &'static Original {
    static CLOSED: LazyLock<Original> = LazyLock::new(|| filled().close());
    &CLOSED
}

/// With some commits in the journal that no frame has.
fn killed() -> &'static Original {
    static KILLED: LazyLock<Original> = LazyLock::new(|| {
        let mut writing = filled();
        writing.note();
        writing.put("objects", "dir3/file00003", b"newer".to_vec());
        writing.note();
        writing.tree("late");
        writing.note();
        writing.put("late", "k", vec![7; 3000]);
        writing.note();
        writing.delete_prefix("objects", "dir5/");
        writing.note();
        writing.move_prefix("objects", "dir6/", "moved/");
        writing.note();
        writing.put("objects", "moved/more", b"m".to_vec());
        writing.kill()
    });
    &KILLED
}

fn copy_of(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        set(&copy, &name, &bytes_of(disk, &name));
    }
    copy
}

fn bytes_of(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn set(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    let _ = disk.remove(name);
    disk.create(name).unwrap().write_all_at(0, bytes).unwrap();
}

fn change(disk: &MemoryDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = bytes_of(disk, name);
    change(&mut bytes);
    set(disk, name, &bytes);
}

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn try_salvage(disk: &MemoryDisk) -> Result<(SalvageReport, Model), Error> {
    let before: Vec<_> = disk.list().unwrap().iter().map(|name| bytes_of(disk, name)).collect();
    let destination = MemoryDisk::new();
    let mut findings = Findings::default();
    let remains = find(disk, &mut findings);
    let made =
        remains.and_then(|remains| salvage_to(disk, &remains, findings, Arc::new(destination.clone()), &mut go_on));
    let after: Vec<_> = disk.list().unwrap().iter().map(|name| bytes_of(disk, name)).collect();
    assert!(before == after, "the damaged database was changed");
    let report = made?;
    let engine = Engine::open(Arc::new(destination), None, &options(Durability::Process)).unwrap();
    assert_eq!(engine.verify(&mut go_on).unwrap().problems, []);
    let mut model = Model::new();
    for name in engine.trees().unwrap() {
        let tree = engine.tree(&name).unwrap();
        model.insert(name, contents(&engine, tree));
    }
    engine.shut_down().unwrap();
    Ok((report, model))
}

fn contents(engine: &Engine, tree: TreeId) -> Tree {
    let range = Range::ALL;
    let mut found = Tree::new();
    let scanned = engine.scan(tree, &range, &mut |key, record| {
        found.insert(key.to_vec(), record.value.to_vec());
        ControlFlow::Continue(())
    });
    assert!(scanned.unwrap());
    found
}

fn keys(model: &Model) -> u64 {
    model.values().map(|tree| tree.len() as u64).sum()
}

/// What was kept of a damaged database.
struct Kept {
    report: SalvageReport,
    /// In its trees, by the names that they had.
    placed: Model,
    unplaced: Tree,
    /// What there had been.
    model: Model,
}

impl Original {
    fn damaged(&self, damage: impl FnOnce(&MemoryDisk)) -> MemoryDisk {
        let disk = copy_of(&self.disk);
        damage(&disk);
        disk
    }

    /// Salvages, and checks that everything in the trees is as it was at the commit that the report names, that what is
    /// not there is said to be lost, and that what has no place was once there.
    fn salvage(&self, disk: &MemoryDisk) -> Result<Kept, Error> {
        let (report, mut found) = try_salvage(disk)?;
        let unplaced = report
            .lost_and_found
            .as_ref()
            .map_or_else(Tree::new, |name| found.remove(name).unwrap());
        assert_eq!(report.unplaced, unplaced.len() as u64);
        assert_eq!((report.trees, report.keys), (found.len() as u64, keys(&found)));
        // Where it is not known which commit the trees show, they show one all the same.
        let shows = |model: &Model| {
            let mut records = found
                .iter()
                .flat_map(|(name, tree)| tree.iter().map(move |record| (name, record)));
            records.all(|(name, (key, value))| model.get(name).and_then(|tree| tree.get(key)) == Some(value))
        };
        let shown = || self.history.iter().rev().find(|(_, model)| shows(model)).unwrap().0;
        let version = report.version.unwrap_or_else(|| *shown());
        let model = self.history.get(&version).unwrap_or_else(|| {
            panic!("{version} is no commit to come back to: {:?}", self.history.keys());
        });
        let mut placed = Model::new();
        for (name, tree) in found {
            let number = name.strip_prefix("tree-").and_then(|number| number.parse().ok());
            let name = number.map_or(name, |number: u32| self.names[&number].clone());
            let was = model.get(&name).unwrap_or_else(|| panic!("there was no tree {name}"));
            for (key, value) in &tree {
                assert_eq!(was.get(key), Some(value), "{name}: {}", key.escape_ascii());
            }
            placed.insert(name, tree);
        }
        for (name, was) in model {
            let tree = placed.get(name).cloned().unwrap_or_default();
            for key in was.keys().filter(|key| !tree.contains_key(*key)) {
                assert!(!report.problems.is_empty(), "{name}: {} is gone", key.escape_ascii());
            }
        }
        // Records of the catalog that have no place have numbers of trees as values.
        for (key, value) in unplaced.iter().filter(|(_, value)| value.len() != 4) {
            let was_there = |model: &Model| model.values().any(|tree| tree.values().any(|was| was == value));
            assert!(self.history.values().any(was_there), "{}", key.escape_ascii());
        }
        Ok(Kept {
            placed,
            unplaced,
            model: model.clone(),
            report,
        })
    }
}

impl Kept {
    /// What was lost is in the ranges that the report gives, or below lost frames.
    fn assert_losses_are_told(&self) {
        if self.report.lost.iter().any(|lost| lost.tree.is_none()) {
            return;
        }
        for (name, was) in &self.model {
            let tree = self.placed.get(name).cloned().unwrap_or_default();
            for key in was.keys().filter(|key| !tree.contains_key(*key)) {
                let is_told = self.report.lost.iter().any(|lost| {
                    let is_behind = *key >= lost.first;
                    let is_before = key <= &lost.last || key.starts_with(&lost.last);
                    lost.tree.as_ref() == Some(name) && is_behind && is_before
                });
                assert!(is_told, "{name}: {} is gone", key.escape_ascii());
            }
        }
    }

    /// Every record is in its tree, or has no place, or was in what is lost.
    fn assert_nothing_is_unaccounted_for(&self) {
        let lost: u64 = self.report.lost.iter().map(|lost| lost.records).sum();
        // Values whose records are lost were counted with these.
        let values = self.unplaced.keys().filter(|key| key.starts_with(b"value-")).count() as u64;
        let found = self.report.keys + self.report.unplaced - values + lost;
        // A frame of several trees may have had records of the catalog.
        let is_mixed = self.report.lost.iter().any(|lost| lost.tree.is_none());
        let most = keys(&self.model) + if is_mixed { self.model.len() as u64 } else { 0 };
        assert!((keys(&self.model)..=most).contains(&found), "{:?}", self.report);
    }
}

/// Where the blobs of a database lie, by their numbers.
fn places(disk: &MemoryDisk) -> Vec<(u32, u64, u32)> {
    let remains = find(disk, &mut Findings::default()).unwrap();
    let place = |(blob, info): (u32, coppice_store::BlobInfo)| (blob, remains.place(blob).unwrap().1, info.bytes);
    remains.blobs().map(place).collect()
}

fn map_log(disk: &MemoryDisk) -> String {
    let names = disk.list().unwrap();
    names.into_iter().find(|name| name.starts_with("map-")).unwrap()
}

fn journals(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("journal-"));
    names
}

#[test]
fn sound_database_is_kept_whole() {
    for original in [closed(), killed(), &Writing::new().close(), &Writing::new().kill()] {
        let kept = original.salvage(&original.disk).unwrap();
        assert_eq!(kept.placed, kept.model);
        assert_eq!((&kept.report.problems, &kept.report.lost), (&vec![], &vec![]));
        assert_eq!(kept.report.lost_and_found, None);
        let (newest, _) = original.history.last_key_value().unwrap();
        assert_eq!(kept.report.version, Some(*newest));
    }
}

#[test]
fn trees_without_keys_keep_their_names() {
    let mut writing = Writing::new();
    writing.tree("empty");
    let original = writing.close();
    assert_eq!(original.salvage(&original.disk).unwrap().placed.len(), 1);
}

#[test]
fn what_was_deleted_does_not_come_back() {
    let mut writing = filled();
    writing.delete_prefix("objects", "dir2/");
    writing.checkpoint();
    // What is in graves is still in frames.
    let original = writing.kill();
    let kept = original.salvage(&original.disk).unwrap();
    assert_eq!(kept.placed, kept.model);
}

#[test]
fn tree_named_as_what_has_no_place_is_kept_apart() {
    let mut writing = filled();
    writing.put("lost+found", "frame-0/", vec![1]);
    let original = writing.close();
    let disk = original.damaged(|disk| {
        let (_, offset, _) = places(disk)[0];
        change(disk, "blobs", |bytes| bytes[offset as usize] ^= 1);
    });
    let kept = original.salvage(&disk).unwrap();
    // The names are lost with the topmost frame, or not.
    assert!(kept.report.lost_and_found.is_some());
}

#[test]
fn progress_goes_up_to_the_number_of_blobs() {
    let original = closed();
    let remains = find(&original.disk, &mut Findings::default()).unwrap();
    let mut last = (0, 0);
    let made = salvage_to(
        &original.disk,
        &remains,
        Findings::default(),
        Arc::new(MemoryDisk::new()),
        &mut |done, total| {
            assert!(done >= last.0 && done <= total);
            last = (done, total);
            ControlFlow::Continue(())
        },
    );
    made.unwrap();
    assert_eq!(last, (remains.len() as u64, remains.len() as u64));
}

#[test]
fn what_was_called_off_is_no_database() {
    let original = closed();
    let destination = MemoryDisk::new();
    let remains = find(&original.disk, &mut Findings::default()).unwrap();
    let mut steps = 0;
    let made = salvage_to(
        &original.disk,
        &remains,
        Findings::default(),
        Arc::new(destination.clone()),
        &mut |_, _| {
            steps += 1;
            match steps > 20 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    );
    assert_eq!(made.unwrap_err().code(), ErrorCode::Aborted);
    assert!(
        !destination
            .list()
            .unwrap()
            .iter()
            .any(|name| name == coppice_store::SUPERBLOCK_NAME)
    );
    let options = Options {
        create: false,
        ..Options::default()
    };
    assert!(Engine::open(Arc::new(destination), None, &options).is_err());
}

#[test]
fn folder_of_something_else_is_none() {
    let disk = MemoryDisk::new();
    set(&disk, "file", b"text");
    assert_eq!(try_salvage(&disk).unwrap_err().code(), ErrorCode::NotFound);
    set(&disk, "blobs", b"text");
    assert_eq!(try_salvage(&disk).unwrap_err().code(), ErrorCode::Corrupt);
}
