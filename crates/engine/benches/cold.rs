//! What a get of a record costs whose frame is not in memory, beside one read of as many bytes from the same file.
//!
//! `cargo bench -p coppice-engine --bench cold -- [MiB of memory] [folder]`; a database of ten times 32 MiB in the system's
//! folder for temporary files unless told otherwise. The file is read past the page cache, as the store reads it; the two
//! take turns, so that the ratio travels.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    env,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Instant,
};

use coppice_engine::{Condition, Database, Options};
use fastrand::Rng;

const VALUE: [u8; 100] = [7; 100];
const PAGE: usize = 4096;
const ROUNDS: usize = 20;
/// Of each kind, in a round.
const READS: usize = 250;

fn key(number: usize) -> Vec<u8> {
    format!(
        "bucket-{:02}/folder-{:03}/part-{number:012}.json",
        number % 16,
        number / 16 % 64
    )
    .into_bytes()
}

/// Opens a file to be read past the page cache, where that is known how.
fn open_file(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_DIRECT);
    options.open(path).unwrap()
}

/// Reads as many bytes as a frame has from anywhere in a file.
fn read_anywhere(file: &mut File, into: &mut [u8], random: &mut Rng) {
    let frames = file.metadata().unwrap().len() as usize / into.len();
    let at = (random.usize(..frames - 1) * into.len()) as u64;
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(into).unwrap();
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let memory_bytes = arguments.next().map_or(32, |mebibytes| mebibytes.parse().unwrap()) << 20;
    let parent = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("coppice-cold-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let options = Options {
        memory_bytes,
        ..Options::default()
    };
    let frame_bytes = options.frame_bytes as usize;
    let database = Database::open(&folder, &options).unwrap();
    let tree = database.tree("t").unwrap();
    let mut keys = 0;
    while database.stats().unwrap().disk_bytes < 10 * memory_bytes {
        for _ in 0..20_000 {
            database.put(tree, &key(keys), &VALUE, Condition::Always).unwrap();
            keys += 1;
        }
        database.checkpoint().unwrap();
    }
    let mut file = open_file(&folder.join("blobs"));
    let mut room = vec![0; frame_bytes + PAGE];
    let start = room.as_ptr().align_offset(PAGE);
    let room = &mut room[start..start + frame_bytes];
    let mut random = Rng::with_seed(88_172_645_463_325_252);
    let (mut gets, mut reads, mut read_in) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let misses = database.stats().unwrap().memory_misses;
        let started = Instant::now();
        for _ in 0..READS {
            let found = database.get(tree, &key(random.usize(..keys)), |found| found.is_some());
            assert!(found.unwrap());
        }
        gets.push(started.elapsed().as_secs_f64() * 1e6 / READS as f64);
        read_in += database.stats().unwrap().memory_misses - misses;
        let started = Instant::now();
        for _ in 0..READS {
            read_anywhere(&mut file, room, &mut random);
        }
        reads.push(started.elapsed().as_secs_f64() * 1e6 / READS as f64);
    }
    let (get, read) = (median(gets), median(reads));
    println!(
        "{keys} keys, {} MiB on disk, {} MiB of memory: a get {get:.0} µs, a read {read:.0} µs, {:.2} times; {:.2} frames read in a get",
        database.stats().unwrap().disk_bytes >> 20,
        memory_bytes >> 20,
        get / read,
        read_in as f64 / (ROUNDS * READS) as f64
    );
    database.close().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
