//! A disk in memory, for tests and for whatever needs no file.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    Disk, DiskFile,
    disk::{check_name, range_end},
};

/// A folder in memory. Clones share the same files, so that reopening a clone sees what was written; a handle on a
/// removed file goes on working. Syncs succeed and mean nothing: everything is gone with the last clone.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
}

impl MemoryDisk {
    /// An empty folder of its own.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name)?;
        match self.files.lock().entry(name.to_owned()) {
            Entry::Occupied(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Entry::Vacant(vacant) => Ok(Arc::clone(vacant.insert(Arc::default())) as Arc<dyn DiskFile>),
        }
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name)?;
        match self.files.lock().get(name) {
            Some(file) => Ok(Arc::clone(file) as Arc<dyn DiskFile>),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.files.lock().remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// There is no limit but the machine's memory.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn label(&self) -> String {
        "(memory)".to_owned()
    }
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Vec<u8>>);

impl MemoryFile {
    /// Grows the bytes with zeros to `len`; an error, not an abort, when the memory is not there.
    fn grow(bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        if let Some(more) = len.checked_sub(bytes.len()) {
            bytes.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
            bytes.resize(len, 0);
        }
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        range_end(offset, into.len())?;
        let bytes = self.0.read();
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_vectored_at(offset, &[bytes])
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = self.0.write();
        let mut position = offset;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let end = range_end(position, part.len())?;
            let range = as_len(position)?..as_len(end)?;
            Self::grow(&mut file, range.end)?;
            if let Some(to) = file.get_mut(range) {
                to.copy_from_slice(part);
            }
            position = end;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = as_len(len)?;
        let mut file = self.0.write();
        Self::grow(&mut file, len)?;
        file.truncate(len);
        Ok(())
    }
}

fn as_len(len: u64) -> io::Result<usize> {
    Ok(usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?)
}
