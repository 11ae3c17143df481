//! A disk in memory, for tests and for whatever needs no file.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use crate::{
    Disk, DiskFile, MappedFile,
    disk::{check_mapped, check_name, range_end},
};

const WORD_BYTES: usize = size_of::<u64>();

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
struct MemoryFile(RwLock<Contents>);

#[derive(Debug)]
enum Contents {
    Plain(Vec<u8>),
    /// All of a file that was mapped, until it is written to or changes its length otherwise.
    Mapped(Arc<MemoryMapping>),
}

impl Default for Contents {
    fn default() -> Self {
        Self::Plain(Vec::new())
    }
}

#[derive(Debug)]
struct MemoryMapping(Box<[AtomicU64]>);

impl MemoryMapping {
    fn bytes(&self) -> usize {
        self.0.len() * WORD_BYTES
    }

    /// Copies from `start` on and returns how much: all that was asked for, or up to the end.
    fn copy_to(&self, start: usize, into: &mut [u8]) -> usize {
        let count = self.bytes().saturating_sub(start).min(into.len());
        let words = self.0.iter().skip(start / WORD_BYTES);
        let mut rest = into.get_mut(..count).unwrap_or_default();
        let mut skip = start % WORD_BYTES;
        for word in words {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            let bytes = bytes.get(skip..).unwrap_or_default();
            skip = 0;
            let (to, behind) = rest.split_at_mut(bytes.len().min(rest.len()));
            if to.is_empty() {
                break;
            }
            to.copy_from_slice(bytes.get(..to.len()).unwrap_or_default());
            rest = behind;
        }
        count
    }
}

impl MappedFile for MemoryMapping {
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }

    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        check_mapped(&range, self.bytes())
    }

    fn populate(&self, range: Range<usize>) -> io::Result<()> {
        check_mapped(&range, self.bytes())
    }
}

impl Contents {
    /// The bytes of a file that is not mapped any more.
    fn plain(&mut self) -> io::Result<&mut Vec<u8>> {
        if let Self::Mapped(mapping) = self {
            if Arc::strong_count(mapping) > 1 {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the file is mapped"));
            }
            let mut bytes = vec![0; mapping.bytes()];
            mapping.copy_to(0, &mut bytes);
            *self = Self::Plain(bytes);
        }
        match self {
            Self::Plain(bytes) => Ok(bytes),
            Self::Mapped(_) => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }
}

/// Grows the bytes with zeros to `len`; an error, not an abort, when the memory is not there.
fn grow(bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
    if let Some(more) = len.checked_sub(bytes.len()) {
        bytes.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
    }
    Ok(())
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        range_end(offset, into.len())?;
        let Ok(start) = usize::try_from(offset) else {
            return Ok(0);
        };
        match &*self.0.read() {
            Contents::Plain(bytes) => {
                let rest = bytes.get(start..).unwrap_or_default();
                let count = rest.len().min(into.len());
                if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                Ok(count)
            }
            Contents::Mapped(mapping) => Ok(mapping.copy_to(start, into)),
        }
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_vectored_at(offset, &[bytes])
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut contents = self.0.write();
        let file = contents.plain()?;
        let mut position = offset;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let end = range_end(position, part.len())?;
            let range = as_len(position)?..as_len(end)?;
            grow(file, range.end)?;
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
        Ok(match &*self.0.read() {
            Contents::Plain(bytes) => bytes.len() as u64,
            Contents::Mapped(mapping) => mapping.bytes() as u64,
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = as_len(len)?;
        let mut contents = self.0.write();
        let file = contents.plain()?;
        grow(file, len)?;
        file.truncate(len);
        Ok(())
    }

    /// Maps files whose length is `len`.
    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        let mut contents = self.0.write();
        let file = contents.plain()?;
        if file.len() as u64 != len || !file.len().is_multiple_of(WORD_BYTES) || file.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes of a file of {} cannot be mapped", file.len()),
            ));
        }
        let words = file.as_chunks::<WORD_BYTES>().0.iter();
        let words = words.map(|bytes| AtomicU64::new(u64::from_ne_bytes(*bytes))).collect();
        let mapping = Arc::new(MemoryMapping(words));
        *contents = Contents::Mapped(Arc::clone(&mapping));
        Ok(Some(mapping))
    }
}

fn as_len(len: u64) -> io::Result<usize> {
    Ok(usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?)
}
