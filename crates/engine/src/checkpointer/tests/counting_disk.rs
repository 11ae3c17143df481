//! A disk in memory that writes down what is done to it, and fails on demand.

use std::{io, sync::Arc};

use coppice_disk::{Disk, DiskFile, MemoryDisk};
use parking_lot::Mutex;

#[derive(Default, Debug)]
struct Log {
    events: Vec<String>,
    /// The event that fails, each time, and how.
    fault: Option<(String, io::ErrorKind)>,
}

/// Events are `write`, `sync` or `set_len`, and the file: `blobs`, `map` or `journal`.
#[derive(Clone, Default, Debug)]
pub(super) struct CountingDisk {
    pub(super) memory: MemoryDisk,
    log: Arc<Mutex<Log>>,
}

impl CountingDisk {
    /// What was done since the last call to the store's files, reads and names aside. The journal makes segments ahead
    /// when it sees fit.
    pub(super) fn take_events(&self) -> Vec<String> {
        let mut events = std::mem::take(&mut self.log.lock().events);
        events.retain(|event| !event.ends_with(" journal"));
        events
    }

    pub(super) fn fail(&self, event: &str, kind: io::ErrorKind) {
        self.log.lock().fault = Some((event.to_owned(), kind));
    }

    pub(super) fn heal(&self) {
        self.log.lock().fault = None;
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let kind = name.split(['-', '.']).next().unwrap_or_default().to_owned();
        let log = Arc::clone(&self.log);
        Arc::new(CountingFile { kind, file, log })
    }
}

impl Disk for CountingDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.memory.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.memory.open(name)?))
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
        "(counting)".to_owned()
    }
}

#[derive(Debug)]
struct CountingFile {
    kind: String,
    file: Arc<dyn DiskFile>,
    log: Arc<Mutex<Log>>,
}

impl CountingFile {
    fn note(&self, what: &str) -> io::Result<()> {
        let mut log = self.log.lock();
        let event = format!("{what} {}", self.kind);
        let failure = log
            .fault
            .as_ref()
            .filter(|(fails, _)| *fails == event)
            .map(|(_, kind)| *kind);
        log.events.push(event);
        failure.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.note("write")?;
        self.file.write_all_at(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.note("write")?;
        self.file.write_vectored_at(offset, parts)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note("sync")?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note("set_len")?;
        self.file.set_len(len)
    }
}
