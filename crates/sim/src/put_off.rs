//! A disk of which syncs are put off, as a folder's are while a database is opened: by the same code.

use std::{io, sync::Arc};

use coppice_disk::{Disk, DiskFile, MappedFile, Syncs};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct PuttingOff {
    disk: Arc<dyn Disk>,
    syncs: Syncs,
}

impl PuttingOff {
    /// Over a disk that knows nothing of it, from now on until something settles.
    pub(crate) fn over(disk: Arc<dyn Disk>) -> Self {
        let syncs = Syncs::default();
        syncs.put_off();
        Self { disk, syncs }
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let syncs = self.syncs.clone();
        Arc::new(File { file, syncs })
    }
}

impl Disk for PuttingOff {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.syncs.settle()?;
        Ok(self.file(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.syncs.settle()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.syncs.settle()?;
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync(&self) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        self.syncs.sync_folder(move || disk.sync())
    }

    fn settle(&self) -> io::Result<()> {
        self.syncs.settle()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn label(&self) -> String {
        self.disk.label()
    }
}

#[derive(Debug)]
struct File {
    file: Arc<dyn DiskFile>,
    syncs: Syncs,
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.write_all_at(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.write_vectored_at(offset, parts)
    }

    fn sync_data(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        self.syncs.sync_file(move || file.sync_data())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.allocate(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.syncs.settle()?;
        self.file.punch(offset, len)
    }

    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        self.syncs.settle()?;
        self.file.map(len)
    }
}
