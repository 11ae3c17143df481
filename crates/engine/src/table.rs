//! The blob table: one entry for each frame and each large value, by number.
//!
//! Owns which numbers are in use, what is in memory, and what has changed since the last cut. Where a blob lies on disk is
//! the store's to know. A blob is read from the store when it is first asked for, and then stays.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use coppice_frame::{FlatRef, FrameMut, Kind, Stored, TrieRef, validate};

use crate::{
    buffer::Buffer,
    error::{Error, ErrorCode},
    pool::Pool,
};

/// Where blobs come from that are not in memory.
pub(crate) trait Source: Send + Sync {
    /// Fills `into` with the blob's bytes and checks them against their digest.
    fn read(&self, blob: u32, into: &mut [u8]) -> Result<(), Error>;
    /// Says where a blob lies, for messages.
    fn place(&self, blob: u32) -> String;
}

/// What a blob is; the value is stored in the slot map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlobKind {
    Trie = 1,
    Flat = 2,
    Value = 3,
}

impl BlobKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Trie),
            2 => Some(Self::Flat),
            3 => Some(Self::Value),
            _ => None,
        }
    }
}

impl From<Kind> for BlobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Trie => Self::Trie,
            Kind::Flat => Self::Flat,
        }
    }
}

/// A subtree's count that must be made again.
const STALE: u64 = u64::MAX;

/// A blob in memory.
struct Resident {
    buffer: Buffer,
    /// Of a flat frame: [`FlatRef::hash_bits`], kept here because the table is hot where the frame's header is not.
    hash_bits: u8,
}

impl Resident {
    fn new(kind: BlobKind, buffer: Buffer) -> Self {
        let hash_bits = if kind == BlobKind::Flat {
            FlatRef::new(buffer.frame()).hash_bits() as u8
        } else {
            0
        };
        Self { buffer, hash_bits }
    }
}

struct Entry {
    kind: BlobKind,
    /// Length in bytes.
    bytes: u32,
    /// As of the last cut: records of a flat frame, and live bytes of any frame. Memory, where it is, knows better.
    stored_records: u32,
    stored_live_bytes: u32,
    memory: OnceLock<Resident>,
    /// Keys below a trie frame, or [`STALE`].
    subtree_keys: AtomicU64,
    changed: bool,
}

/// A blob that a cut has to write.
pub(crate) struct Changed {
    pub(crate) blob: u32,
    pub(crate) kind: BlobKind,
    pub(crate) bytes: u32,
    pub(crate) records: u32,
    pub(crate) live_bytes: u32,
    pub(crate) buffer: Buffer,
}

/// What a cut has to make durable.
pub(crate) struct Cut {
    pub(crate) changed: Vec<Changed>,
    pub(crate) freed: Vec<u32>,
}

pub(crate) struct Table {
    frame_bytes: usize,
    pool: Arc<Pool>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Numbers of changed blobs; some may have been freed since.
    changed: Vec<u32>,
    /// Numbers freed since the last cut, that the store may still know.
    freed: Vec<u32>,
    source: Option<Arc<dyn Source>>,
    /// Blobs that are not in memory.
    absent: AtomicUsize,
    misses: AtomicU64,
}

fn vanished(blob: u32) -> Error {
    Error::new(ErrorCode::Internal, format!("blob {blob} vanished"))
}

impl Table {
    pub(crate) fn new(frame_bytes: usize, source: Option<Arc<dyn Source>>) -> Self {
        Self {
            frame_bytes,
            pool: Pool::new(frame_bytes),
            entries: Vec::new(),
            free: Vec::new(),
            changed: Vec::new(),
            freed: Vec::new(),
            source,
            absent: AtomicUsize::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Enters a blob that the store holds.
    pub(crate) fn enter(&mut self, blob: u32, kind: BlobKind, bytes: u32, records: u32, live_bytes: u32) {
        let at = blob as usize;
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.entries.get_mut(at) {
            *slot = Some(Entry {
                kind,
                bytes,
                stored_records: records,
                stored_live_bytes: live_bytes,
                memory: OnceLock::new(),
                subtree_keys: AtomicU64::new(STALE),
                changed: false,
            });
            self.absent.fetch_add(1, Relaxed);
        }
    }

    /// Call once all blobs of the store are entered.
    pub(crate) fn find_free_numbers(&mut self) {
        self.free = (0..self.entries.len() as u32)
            .rev()
            .filter(|blob| self.entry(*blob).is_none())
            .collect();
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Numbers in use or free.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, blob: u32) -> Option<&Entry> {
        self.entries.get(blob as usize)?.as_ref()
    }

    pub(crate) fn kind(&self, blob: u32) -> Option<BlobKind> {
        self.entry(blob).map(|entry| entry.kind)
    }

    /// Whether the blob is in memory.
    pub(crate) fn is_resident(&self, blob: u32) -> bool {
        self.entry(blob).is_some_and(|entry| entry.memory.get().is_some())
    }

    /// Whether every blob is.
    pub(crate) fn is_all_resident(&self) -> bool {
        self.absent.load(Relaxed) == 0
    }

    /// Whether no blob has this number.
    pub(crate) fn is_free(&self, blob: u32) -> bool {
        self.entry(blob).is_none()
    }

    fn corrupt(&self, blob: u32, what: &str) -> Error {
        let place = self
            .source
            .as_ref()
            .map_or_else(|| format!("blob {blob}"), |source| source.place(blob));
        Error::new(ErrorCode::Corrupt, format!("{place}: {what}"))
    }

    /// The blob's entry, which must be of this kind.
    fn entry_of_kind(&self, blob: u32, kind: BlobKind) -> Result<&Entry, Error> {
        match self.entry(blob) {
            Some(entry) if entry.kind == kind => Ok(entry),
            Some(_) => Err(self.corrupt(blob, "is not of the kind that leads to it")),
            None => Err(self.corrupt(blob, "is referred to but does not exist")),
        }
    }

    /// The blob's memory, read from the store if need be.
    fn resident(&self, blob: u32, kind: BlobKind) -> Result<&Resident, Error> {
        let entry = self.entry_of_kind(blob, kind)?;
        match entry.memory.get() {
            Some(resident) => Ok(resident),
            None => self.load(blob, entry),
        }
    }

    /// A value's bytes.
    pub(crate) fn value(&self, blob: u32) -> Result<&[u8], Error> {
        Ok(self.resident(blob, BlobKind::Value)?.buffer.bytes())
    }

    /// Room for a frame to be built in.
    pub(crate) fn frame_buffer(&self) -> Buffer {
        Buffer::for_frame(&self.pool)
    }

    #[cold]
    fn load<'a>(&'a self, blob: u32, entry: &'a Entry) -> Result<&'a Resident, Error> {
        let source = self
            .source
            .as_ref()
            .ok_or_else(|| self.corrupt(blob, "is in no store"))?;
        let len = entry.bytes as usize;
        let is_frame = entry.kind != BlobKind::Value;
        let mut buffer = if is_frame && len == self.frame_bytes {
            self.frame_buffer()
        } else {
            Buffer::zeroed(len)
        };
        source.read(blob, buffer.bytes_mut().get_mut(..len).unwrap_or_default())?;
        if is_frame {
            match validate(buffer.frame()) {
                Ok(kind) if BlobKind::from(kind) == entry.kind => {}
                Ok(_) => return Err(self.corrupt(blob, "holds a frame of another kind")),
                Err(invalid) => {
                    let what = format!("frame invalid near byte {}: {}", invalid.offset, invalid.what);
                    return Err(self.corrupt(blob, &what));
                }
            }
        }
        self.misses.fetch_add(1, Relaxed);
        // Another reader may have read it meanwhile; then that one counted it.
        if entry.memory.set(Resident::new(entry.kind, buffer)).is_ok() {
            self.absent.fetch_sub(1, Relaxed);
        }
        entry.memory.get().ok_or_else(|| vanished(blob))
    }

    pub(crate) fn trie(&self, blob: u32) -> Result<TrieRef<'_>, Error> {
        Ok(TrieRef::new(self.resident(blob, BlobKind::Trie)?.buffer.frame()))
    }

    pub(crate) fn flat(&self, blob: u32) -> Result<FlatRef<'_>, Error> {
        Ok(FlatRef::new(self.resident(blob, BlobKind::Flat)?.buffer.frame()))
    }

    /// Looks a key up in a flat frame.
    pub(crate) fn flat_get(&self, blob: u32, key: &[u8]) -> Result<Option<Stored<'_>>, Error> {
        let entry = self.entry_of_kind(blob, BlobKind::Flat)?;
        match entry.memory.get() {
            Some(Resident { buffer, hash_bits }) => {
                Ok(FlatRef::new(buffer.frame()).get_sized(key, u32::from(*hash_bits)))
            }
            None => Ok(FlatRef::new(self.load(blob, entry)?.buffer.frame()).get(key)),
        }
    }

    /// A frame, to be changed.
    pub(crate) fn frame_mut(&mut self, blob: u32, kind: BlobKind) -> Result<FrameMut<'_>, Error> {
        self.resident(blob, kind)?;
        let Some(entry) = self.entries.get_mut(blob as usize).and_then(Option::as_mut) else {
            return Err(vanished(blob));
        };
        if !entry.changed {
            entry.changed = true;
            self.changed.push(blob);
        }
        let resident = entry.memory.get_mut();
        resident
            .map(|resident| resident.buffer.frame_mut())
            .ok_or_else(|| vanished(blob))
    }

    /// A hold on a blob's bytes as they are now.
    pub(crate) fn buffer(&self, blob: u32, kind: BlobKind) -> Result<Buffer, Error> {
        Ok(self.resident(blob, kind)?.buffer.clone())
    }

    /// Puts a rebuilt frame in place of the old one. What was counted below that may hang below another frame now.
    pub(crate) fn replace(&mut self, blob: u32, buffer: Buffer) {
        if let Some(entry) = self.entries.get_mut(blob as usize).and_then(Option::as_mut) {
            if entry.memory.get().is_none() {
                self.absent.fetch_sub(1, Relaxed);
            }
            entry.memory = OnceLock::from(Resident::new(entry.kind, buffer));
            entry.subtree_keys = AtomicU64::new(STALE);
            if !entry.changed {
                entry.changed = true;
                self.changed.push(blob);
            }
        }
    }

    /// Gives a new blob its number.
    pub(crate) fn add(&mut self, kind: BlobKind, bytes: usize, buffer: Buffer) -> u32 {
        let blob = self.free.pop().unwrap_or(self.entries.len() as u32);
        self.enter(blob, kind, bytes as u32, 0, 0);
        self.replace(blob, buffer);
        blob
    }

    /// Frees a blob's number.
    pub(crate) fn remove(&mut self, blob: u32) {
        if let Some(slot) = self.entries.get_mut(blob as usize)
            && let Some(entry) = slot.take()
        {
            if entry.memory.get().is_none() {
                self.absent.fetch_sub(1, Relaxed);
            }
            self.free.push(blob);
            self.freed.push(blob);
        }
    }

    fn records_and_live(entry: &Entry) -> (u32, u32) {
        let Some(Resident { buffer, .. }) = entry.memory.get() else {
            return (entry.stored_records, entry.stored_live_bytes);
        };
        match entry.kind {
            BlobKind::Trie => {
                let trie = TrieRef::new(buffer.frame());
                (trie.records() as u32, trie.live_bytes() as u32)
            }
            BlobKind::Flat => {
                let flat = FlatRef::new(buffer.frame());
                (flat.records() as u32, flat.live_bytes() as u32)
            }
            BlobKind::Value => (0, entry.bytes),
        }
    }

    /// Records of a flat frame, without reading it.
    pub(crate) fn flat_records(&self, blob: u32) -> Result<u64, Error> {
        Ok(u64::from(
            Self::records_and_live(self.entry_of_kind(blob, BlobKind::Flat)?).0,
        ))
    }

    /// Live bytes of a frame, without reading it.
    pub(crate) fn live_bytes(&self, blob: u32) -> usize {
        self.entry(blob)
            .map_or(0, |entry| Self::records_and_live(entry).1 as usize)
    }

    /// Keys below a trie frame, if they were counted since the last change below it.
    pub(crate) fn subtree_keys(&self, blob: u32) -> Option<u64> {
        self.entry(blob)
            .map(|entry| entry.subtree_keys.load(Relaxed))
            .filter(|keys| *keys != STALE)
    }

    pub(crate) fn set_subtree_keys(&self, blob: u32, keys: Option<u64>) {
        if let Some(entry) = self.entry(blob) {
            entry.subtree_keys.store(keys.unwrap_or(STALE), Relaxed);
        }
    }

    /// Takes everything that changed since the last cut. The buffers stay as they are now: whoever writes to one of these
    /// blobs next copies it first.
    pub(crate) fn cut(&mut self) -> Cut {
        let mut changed = Vec::with_capacity(self.changed.len());
        for blob in std::mem::take(&mut self.changed) {
            let Some(entry) = self.entries.get_mut(blob as usize).and_then(Option::as_mut) else {
                continue;
            };
            if !std::mem::take(&mut entry.changed) {
                continue;
            }
            let (records, live_bytes) = Self::records_and_live(entry);
            entry.stored_records = records;
            entry.stored_live_bytes = live_bytes;
            if let Some(Resident { buffer, .. }) = entry.memory.get() {
                let buffer = buffer.clone();
                changed.push(Changed {
                    blob,
                    kind: entry.kind,
                    bytes: entry.bytes,
                    records,
                    live_bytes,
                    buffer,
                });
            }
        }
        let mut freed = std::mem::take(&mut self.freed);
        freed.sort_unstable();
        freed.dedup();
        freed.retain(|blob| self.entry(*blob).is_none());
        Cut { changed, freed }
    }

    /// Takes back a cut that could not be made durable, so that the next one covers it.
    pub(crate) fn restore(&mut self, cut: &Cut) {
        for changed in &cut.changed {
            match self.entries.get_mut(changed.blob as usize).and_then(Option::as_mut) {
                Some(entry) if !entry.changed => {
                    entry.changed = true;
                    self.changed.push(changed.blob);
                }
                Some(_) => {}
                None => self.freed.push(changed.blob),
            }
        }
        self.freed.extend(&cut.freed);
    }

    /// Every blob: its number, kind, length in bytes, live bytes and whether it is in memory.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census {
            misses: self.misses.load(Relaxed),
            ..Census::default()
        };
        for entry in self.entries.iter().flatten() {
            census.blobs += 1;
            let resident = entry.memory.get().is_some();
            census.resident_bytes += if resident { u64::from(entry.bytes) } else { 0 };
            census.changed_bytes += if entry.changed { u64::from(entry.bytes) } else { 0 };
            if entry.kind != BlobKind::Value {
                census.frame_bytes += u64::from(entry.bytes);
                census.live_bytes += u64::from(Self::records_and_live(entry).1);
            }
        }
        census
    }
}

/// Sums over the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) blobs: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) changed_bytes: u64,
    pub(crate) misses: u64,
}
