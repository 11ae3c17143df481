//! How fast blobs reach the disk and come back, beside the disk itself: sequential direct I/O by plain calls.
//!
//! `cargo bench -p coppice-store --bench bandwidth -- [MiB] [rounds] [folder]`. Every figure is the median of the rounds,
//! each of which does everything once, in files of its own: on a disk that others use too only ratios within one run mean
//! anything.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark ends where anything fails"
)]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("direct I/O and io_uring are measured on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::{File, OpenOptions},
        os::unix::fs::{FileExt, OpenOptionsExt},
        path::{Path, PathBuf},
        sync::Arc,
        time::Instant,
    };

    use coppice_disk::{Disk, FolderDisk};
    use coppice_store::{BlobRead, BlobStore, BlobWrite, Epoch, Extent, FileStore, IoUring, Store, UringStore};

    const FRAME: usize = 64 << 10;
    const FRAME_PAGES: u32 = (FRAME / 4096) as u32;
    const MIB: usize = 1 << 20;

    struct Run {
        folder: PathBuf,
        memory: Vec<u8>,
        /// Where in memory the first page begins.
        page: usize,
        bytes: usize,
        figures: Vec<(&'static str, Vec<f64>)>,
    }

    impl Run {
        fn bytes(&self) -> usize {
            self.bytes
        }

        fn pages(&self) -> &[u8] {
            &self.memory[self.page..self.page + self.bytes]
        }

        fn images(&self) -> impl Iterator<Item = &[u8]> {
            let line = self.page;
            self.memory[line..line + self.bytes].chunks_exact(FRAME)
        }

        /// Times `work`, which moves all frames once.
        fn time(&mut self, what: &'static str, work: impl FnOnce(&Self)) {
            let start = Instant::now();
            work(self);
            let rate = self.bytes() as f64 / start.elapsed().as_secs_f64() / 1e6;
            match self.figures.iter_mut().find(|(name, _)| *name == what) {
                Some((_, rates)) => rates.push(rate),
                None => self.figures.push((what, vec![rate])),
            }
        }
    }

    fn disk(folder: &Path) -> FolderDisk {
        let _ = std::fs::remove_dir_all(folder);
        FolderDisk::create(folder).unwrap()
    }

    fn direct_file(path: &Path) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options
            .custom_flags(libc::O_DIRECT)
            .open(path)
            .expect("a file system with direct I/O")
    }

    /// Where the frames go: one behind the other, or each behind a gap of its own size.
    fn places(frames: usize, stride: u32) -> Vec<Extent> {
        (0..frames as u32)
            .map(|frame| Extent::new(1 + frame * stride * FRAME_PAGES, FRAME_PAGES).unwrap())
            .collect()
    }

    fn write(store: &dyn BlobStore, run: &Run, stride: u32) {
        let places = places(run.bytes() / FRAME, stride);
        let batch: Vec<(Extent, &[u8])> = places.into_iter().zip(run.images()).collect();
        store.write_batch(&batch).unwrap();
        store.sync().unwrap();
    }

    /// Frames in no order, so many at once.
    fn read(store: &dyn BlobStore, run: &Run, at_once: usize) {
        let mut places = places(run.bytes() / FRAME, 1);
        let mut state = 1_u64;
        for index in (1..places.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            places.swap(index, (state >> 33) as usize % (index + 1));
        }
        let mut into = vec![0; FRAME * at_once];
        for places in places.chunks(at_once) {
            let mut reads: Vec<BlobRead<'_>> = (places.iter().zip(into.chunks_exact_mut(FRAME)))
                .map(|(extent, into)| BlobRead { extent: *extent, into })
                .collect();
            for result in store.read_batch(&mut reads) {
                result.unwrap();
            }
        }
    }

    fn commit(run: &Run, io_uring: IoUring, first_cut: u64, store: &Store) {
        let writes = run.images().enumerate().map(|(id, bytes)| BlobWrite {
            id: id as u32,
            kind: 2,
            records: 1,
            live: 1,
            further_references: 0,
            bytes,
        });
        assert_eq!(store.uses_io_uring(), io_uring == IoUring::Always);
        let epoch = Epoch {
            cut: first_cut,
            next_tree: 1,
            writes: writes.collect(),
            ..Epoch::default()
        };
        store.commit(&epoch).unwrap();
    }

    fn round(run: &mut Run) {
        let folder = run.folder.clone();
        let raw = direct_file(&folder.join("raw"));
        run.time("device: sequential direct writes of 1 MiB, new file", |run| {
            for (index, bytes) in run.pages().chunks(MIB).enumerate() {
                raw.write_all_at(bytes, (index * MIB) as u64).unwrap();
            }
            raw.sync_data().unwrap();
        });
        run.time("device: the same over the file", |run| {
            for (index, bytes) in run.pages().chunks(MIB).enumerate() {
                raw.write_all_at(bytes, (index * MIB) as u64).unwrap();
            }
            raw.sync_data().unwrap();
        });
        drop(raw);
        std::fs::remove_file(folder.join("raw")).unwrap();

        let stores = folder.join("stores");
        let file = |name: &str| disk(&stores).create(name).unwrap();
        let vectored = FileStore::new(file("vectored"));
        assert!(vectored.is_direct(), "a file system with direct I/O");
        run.time("vectored: sequential, new file", |run| write(&vectored, run, 1));
        run.time("vectored: sequential, over the file", |run| write(&vectored, run, 1));
        run.time("vectored: reads one by one", |run| read(&vectored, run, 1));
        run.time("vectored: reads of 32 at once", |run| read(&vectored, run, 32));
        drop(vectored);
        let uring = UringStore::new(file("uring")).unwrap();
        run.time("io_uring: sequential, new file", |run| write(&uring, run, 1));
        run.time("io_uring: sequential, over the file", |run| write(&uring, run, 1));
        run.time("io_uring: reads of 32 at once", |run| read(&uring, run, 32));
        drop(uring);
        let vectored = FileStore::new(file("vectored"));
        run.time("vectored: every second slot, new file", |run| write(&vectored, run, 2));
        run.time("vectored: every second slot, over the file", |run| {
            write(&vectored, run, 2);
        });
        drop(vectored);
        let uring = UringStore::new(file("uring")).unwrap();
        run.time("io_uring: every second slot, new file", |run| write(&uring, run, 2));
        run.time("io_uring: every second slot, over the file", |run| {
            write(&uring, run, 2);
        });
        drop(uring);

        for (io_uring, new, over) in [
            (
                IoUring::Never,
                "vectored: commit, new file",
                "vectored: commit, over freed slots",
            ),
            (
                IoUring::Always,
                "io_uring: commit, new file",
                "io_uring: commit, over freed slots",
            ),
        ] {
            let disk: Arc<dyn Disk> = Arc::new(disk(&stores));
            let store = Store::create(disk, 1, FRAME as u32, io_uring).unwrap();
            run.time(new, |run| commit(run, io_uring, 1, &store));
            commit(run, io_uring, 2, &store);
            run.time(over, |run| commit(run, io_uring, 3, &store));
        }
        std::fs::remove_dir_all(stores).unwrap();
    }

    pub(super) fn main() {
        let arguments: Vec<String> = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench")
            .collect();
        let number = |index: usize, usual: usize| arguments.get(index).map_or(usual, |text| text.parse().unwrap());
        let (mib, rounds) = (number(0, 1024), number(1, 3));
        let folder = match arguments.get(2) {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let mut memory = vec![0_u8; mib * MIB + 4096];
        for (index, byte) in memory.iter_mut().enumerate() {
            *byte = (index / 61) as u8;
        }
        let page = memory.as_ptr().addr().wrapping_neg() % 4096;
        // The stores get frames as an engine has them: at addresses of cache lines, which direct I/O does not take.
        let mut run = Run {
            folder: folder.path().to_owned(),
            memory,
            page,
            bytes: mib * MIB,
            figures: Vec::new(),
        };
        for _ in 0..rounds {
            round(&mut run);
        }
        println!("{mib} MiB in frames of 64 KiB; median of {rounds} rounds, best");
        for (what, mut rates) in run.figures {
            rates.sort_by(f64::total_cmp);
            println!(
                "{what:<55} {:>6.0} MB/s {:>6.0}",
                rates[rates.len() / 2],
                rates[rates.len() - 1]
            );
        }
    }
}
