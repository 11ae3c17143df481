//! Openings whose syncs are put off.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use coppice_disk::{Disk, DiskFile, MemoryDisk};

use super::Engine;
use crate::{
    ErrorCode,
    core::tests::{open, options, segments},
    options::Durability,
    request::Condition,
};

/// A disk that puts syncs off as a folder does, and counts how often somebody settles.
#[derive(Clone, Default, Debug)]
struct PuttingOff {
    memory: MemoryDisk,
    settled: Arc<AtomicUsize>,
    fails: bool,
}

impl PuttingOff {
    fn settlings(&self) -> usize {
        self.settled.load(Ordering::SeqCst)
    }

    fn open(&self, durability: Durability) -> Result<Engine, crate::Error> {
        Engine::open(Arc::new(self.clone()), None, &options(durability))
    }
}

impl Disk for PuttingOff {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.settle()?;
        self.memory.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.memory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.settle()?;
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.settle()?;
        self.memory.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.sync()
    }

    fn settle(&self) -> io::Result<()> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        match self.fails {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.memory.free_bytes()
    }

    fn label(&self) -> String {
        "(putting off)".to_owned()
    }
}

/// A disk with a database of one record, closed or left as a crash leaves it.
fn with_a_record(durability: Durability, is_closed: bool) -> PuttingOff {
    let disk = PuttingOff::default();
    let engine = open(&disk.memory, durability);
    let tree = engine.tree("").unwrap();
    engine.put(tree, b"key", b"value", Condition::Always).unwrap();
    if is_closed {
        engine.shut_down().unwrap();
    }
    disk
}

#[test]
fn behind_a_close_reads_wait_for_no_sync() {
    for durability in [Durability::Process, Durability::Disk, Durability::None] {
        let disk = with_a_record(durability, true);
        let engine = disk.open(durability).unwrap();
        let tree = engine.tree("").unwrap();
        assert!(engine.get(tree, b"key", |found| found.is_some()).unwrap());
        assert_eq!(disk.settlings(), 0);
        engine.shut_down().unwrap();
        assert!(disk.settlings() > 0);
    }
}

#[test]
fn behind_a_crash_the_open_waits_and_fails_as_the_syncs_do() {
    let mut disk = with_a_record(Durability::Process, false);
    assert!(disk.open(Durability::Process).is_ok());
    assert!(disk.settlings() > 0);
    disk.fails = true;
    assert_eq!(disk.open(Durability::Process).err().unwrap().code(), ErrorCode::Io);
}

#[test]
fn what_is_applied_already_is_waited_for_too() {
    let disk = with_a_record(Durability::Process, true);
    let engine = open(&disk.memory, Durability::Process);
    let tree = engine.tree("").unwrap();
    let before = segments(&disk.memory);
    engine.put(tree, b"key", b"other", Condition::Always).unwrap();
    // The put has begun a segment, behind which the journal's thread may have made one more.
    let mut new = segments(&disk.memory).into_iter();
    let name = new.find(|name| !before.contains(name)).unwrap();
    let file = disk.memory.open(&name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    engine.checkpoint().unwrap();
    // The journal as a process leaves it that dies before it is trimmed.
    drop(engine);
    for name in segments(&disk.memory) {
        disk.memory.remove(&name).unwrap();
    }
    disk.memory.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
    assert!(disk.open(Durability::Process).is_ok());
    assert!(disk.settlings() > 0);
}

#[test]
fn nothing_is_vouched_for_before_the_syncs_are_done() {
    type Call = fn(&Engine) -> Result<(), crate::Error>;
    let calls: [(Durability, Call); 6] = [
        (Durability::Process, |engine| engine.flush()),
        (Durability::None, |engine| engine.flush()),
        (Durability::Process, |engine| engine.persist()),
        (Durability::Process, |engine| engine.checkpoint().map(|_| ())),
        (Durability::None, |engine| engine.checkpoint().map(|_| ())),
        (Durability::Process, |engine| engine.shut_down()),
    ];
    for (number, (durability, call)) in calls.into_iter().enumerate() {
        let mut disk = with_a_record(durability, true);
        disk.fails = true;
        let engine = disk.open(durability).unwrap();
        let tree = engine.tree("").unwrap();
        assert!(call(&engine).is_err(), "call {number}");
        assert!(engine.put(tree, b"key", b"new", Condition::Always).is_err());
        if number < 5 {
            let kept = |found: Option<crate::Record<'_>>| found.unwrap().value == b"value";
            assert!(engine.get(tree, b"key", kept).unwrap());
        }
    }
}

#[test]
fn a_sync_that_failed_ends_all_writing() {
    let mut disk = with_a_record(Durability::Process, true);
    disk.fails = true;
    let engine = disk.open(Durability::Process).unwrap();
    assert_eq!(engine.settle_opening().unwrap_err().code(), ErrorCode::Io);
    let tree = engine.tree("").unwrap();
    let refused = engine.put(tree, b"key", b"new", Condition::Always).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ReadOnly);
}

#[test]
fn a_superblock_lost_before_the_first_checkpoint_is_damage() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, Durability::Process);
    engine.tree("t").unwrap();
    engine.abandon();
    drop(engine);
    disk.remove("coppice.super").unwrap();
    let lost = Engine::open(Arc::new(disk.clone()), None, &options(Durability::Process));
    assert_eq!(lost.err().map(|error| error.code()), Some(ErrorCode::Corrupt));
    assert!(!segments(&disk).is_empty());
}
