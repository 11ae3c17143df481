//! What an append, a sync and a replay cost.
//!
//! `cargo bench -p coppice-journal -- [folder]` prints one table; the journal is kept in a new folder below that one, or
//! below the system's temporary folder.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coppice_disk::{Disk, DiskFile, FolderDisk, MappedFile};
use coppice_journal::{Journal, JournalOptions, Op};

/// A folder whose files are not mapped.
#[derive(Debug)]
struct Unmapped(FolderDisk);

#[derive(Debug)]
struct UnmappedFile(Arc<dyn DiskFile>);

impl Disk for Unmapped {
    fn create(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnmappedFile(self.0.create(name)?)))
    }
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnmappedFile(self.0.open(name)?)))
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
    fn free_bytes(&self) -> std::io::Result<u64> {
        self.0.free_bytes()
    }
    fn label(&self) -> String {
        self.0.label()
    }
}

impl DiskFile for UnmappedFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, into)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all_at(offset, bytes)
    }
    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> std::io::Result<()> {
        self.0.write_vectored_at(offset, parts)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> std::io::Result<()> {
        self.0.allocate(len)
    }
    fn map(&self, _len: u64) -> std::io::Result<Option<Arc<dyn MappedFile>>> {
        Ok(None)
    }
}

const KEY: &[u8] = b"bucket-07/folder-042/part-000000012345.json";
const VALUE: &[u8] = &[7; 107];

fn put(value: &[u8]) -> Op<'_> {
    Op::Put {
        tree: 1,
        key: KEY,
        value,
    }
}

fn options() -> JournalOptions {
    let salt = AtomicU64::new(1);
    JournalOptions::new(move || salt.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed))
}

/// Nanoseconds of an append, in rounds with a pause between them.
fn appends(label: &str, journal: &Journal, rounds: usize, round: usize, pause: Duration) {
    let mut means: Vec<f64> = (0..rounds)
        .map(|_| {
            std::thread::sleep(pause);
            let started = Instant::now();
            for _ in 0..round {
                black_box(journal.append_next(black_box(&[put(VALUE)])).unwrap());
            }
            started.elapsed().as_nanos() as f64 / round as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    println!(
        "{label:<44} best {:>7.1} ns, median {:>7.1} ns",
        means[0],
        means[rounds / 2]
    );
}

/// Appends and waits for the disk, from so many threads at once.
fn waiters(journal: &Journal, threads: usize, each: usize) {
    let before = journal.stats();
    let started = Instant::now();
    let waits: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let wait = |_| {
                        journal.append_next(&[put(VALUE)]).unwrap();
                        let started = Instant::now();
                        journal.sync().unwrap();
                        started.elapsed()
                    };
                    (0..each).map(wait).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = started.elapsed();
    let stats = journal.stats();
    let (records, syncs) = (
        stats.appended_records - before.appended_records,
        stats.syncs - before.syncs,
    );
    let mean = waits.iter().sum::<Duration>() / waits.len() as u32;
    println!(
        "{:<44} {:>7.1} appends a sync, {:>9.0} appends/s, sync {:?}, wait {:?} on average",
        format!("append and sync, {threads} threads"),
        records as f64 / syncs as f64,
        records as f64 / took.as_secs_f64(),
        took / syncs as u32,
        mean
    );
}

fn main() {
    let below = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(std::env::temp_dir, Into::into);
    let folders: BTreeMap<&str, tempfile::TempDir> = ["mapped", "positional"]
        .into_iter()
        .map(|name| (name, tempfile::tempdir_in(&below).unwrap()))
        .collect();
    let mapped: Arc<dyn Disk> = Arc::new(FolderDisk::open(folders["mapped"].path()).unwrap());
    let positional: Arc<dyn Disk> = Arc::new(Unmapped(FolderDisk::open(folders["positional"].path()).unwrap()));

    let journal = Journal::create(Arc::clone(&mapped), options(), 1).unwrap();
    let by_position = Journal::create(positional, options(), 1).unwrap();
    let (pause, none) = (Duration::from_millis(5), Duration::ZERO);
    appends("put of 150 bytes, mapped, with pauses", &journal, 200, 1_000, pause);
    appends("put of 150 bytes, mapped, without", &journal, 20, 100_000, none);
    appends("put of 150 bytes, by position", &by_position, 20, 2_000, none);
    for threads in [1, 16, 256] {
        waiters(&journal, threads, 25_600 / threads / 10);
    }
    let stats = journal.stats();
    journal.sync().unwrap();
    drop((journal, by_position));

    let started = Instant::now();
    let mut bytes = 0;
    let mut apply = |_: u64, op: Op<'_>| -> Result<(), Infallible> {
        if let Op::Put { value, .. } = op {
            bytes += black_box(value).len();
        }
        Ok(())
    };
    let (_, recovered) = Journal::open(mapped, options(), 1, 0, &mut apply).unwrap();
    let took = started.elapsed().as_secs_f64();
    assert_eq!(recovered.records, stats.appended_records);
    println!(
        "{:<44} {:>7.2} M records/s, {:.0} MB/s",
        format!("replay of {} records", recovered.records),
        recovered.records as f64 / took / 1e6,
        recovered.bytes as f64 / took / 1e6
    );
}
