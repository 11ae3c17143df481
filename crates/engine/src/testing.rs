//! What the tests share.

use std::{io, sync::Arc};

use coppice_disk::{Disk, DiskFile, MemoryDisk};
use parking_lot::Mutex;
use proptest::test_runner::Config;

use crate::{Options, core::Engine};

/// How the names of the journal's first segment begin. A test whose sync is to fail there says so: the journal's thread may be
/// making the next one, and would meet the failure first.
pub(crate) const FIRST_SEGMENT: &str = "journal-0000000000000001.";

/// So many cases, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(usual: u32) -> Config {
    let mut config = Config {
        max_shrink_iters: 2000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = usual;
    }
    config
}

/// A disk in memory whose writes and syncs fail on demand. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailingDisk {
    memory: MemoryDisk,
    failures: Arc<Mutex<Failures>>,
}

#[derive(Debug)]
struct FailingFile {
    name: String,
    memory: Arc<dyn DiskFile>,
    failures: Arc<Mutex<Failures>>,
}

#[derive(Debug, Default)]
struct Failures {
    creations: Option<io::ErrorKind>,
    writes: Option<io::ErrorKind>,
    syncs: Option<io::ErrorKind>,
    /// Which file cannot be opened.
    opens_of: Option<String>,
    /// Syncs fail of files whose names begin so.
    syncs_of: String,
}

impl FailingDisk {
    /// From now on no file can be made, or every one.
    pub(crate) fn fail_creations(&self, kind: Option<io::ErrorKind>) {
        self.failures.lock().creations = kind;
    }

    /// From now on this file cannot be opened.
    pub(crate) fn fail_opens_of(&self, name: &str) {
        self.failures.lock().opens_of = Some(name.to_owned());
    }

    /// From now on each write fails so, or none does.
    pub(crate) fn fail_writes(&self, kind: Option<io::ErrorKind>) {
        self.failures.lock().writes = kind;
    }

    /// From now on each sync of a file fails so, or none does.
    pub(crate) fn fail_syncs(&self, kind: Option<io::ErrorKind>) {
        self.fail_syncs_of("", kind);
    }

    /// The same for files whose names begin so.
    pub(crate) fn fail_syncs_of(&self, prefix: &str, kind: Option<io::ErrorKind>) {
        let mut failures = self.failures.lock();
        failures.syncs = kind;
        failures.syncs_of = prefix.to_owned();
    }

    pub(crate) fn open_engine(&self, options: &Options) -> Engine {
        Engine::open(Arc::new(self.clone()), None, options).unwrap()
    }

    fn wrap(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FailingFile {
            name: name.to_owned(),
            memory: file,
            failures: Arc::clone(&self.failures),
        })
    }
}

impl Disk for FailingDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let refused = self.failures.lock().creations;
        match refused {
            Some(kind) => Err(kind.into()),
            None => self.memory.create(name).map(|file| self.wrap(name, file)),
        }
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        match self.failures.lock().opens_of.as_deref() == Some(name) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => self.memory.open(name).map(|file| self.wrap(name, file)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.sync()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.memory.free_bytes()
    }

    fn label(&self) -> String {
        self.memory.label()
    }
}

impl FailingFile {
    fn check(&self) -> io::Result<()> {
        self.failures.lock().writes.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.memory.read_at(offset, into)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.memory.write_all_at(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.check()?;
        self.memory.write_vectored_at(offset, parts)
    }

    fn sync_data(&self) -> io::Result<()> {
        let failures = self.failures.lock();
        match failures.syncs {
            Some(kind) if self.name.starts_with(&failures.syncs_of) => Err(kind.into()),
            _ => self.memory.sync_data(),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }
}
