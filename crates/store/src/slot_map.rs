//! The slot map: which extent holds the current image of each blob, how long it is, and what its digest must be.
//!
//! Held in memory, 32 bytes a blob, by id; what makes it durable is `slot_log.rs`. An entry on disk:
//!
//! ```text
//! offset  size  field
//!      0     4  blob id, below 2^28
//!      4     4  first page of the extent in the file `blobs`, never 0
//!      8     4  length of the blob, bytes, 1..=16 MiB; the extent has as many pages as that fills
//!     12     4  records  (the engine's: what it wants to know of the blob without reading it)
//!     16     4  live     (the engine's)
//!     20     1  kind     (the engine's)
//!     21     3  references that lead to the blob beside the first  (the engine's)
//!     24     8  digest of the blob's bytes (see digest.rs)
//! ```

#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc};

use bytemuck::{Pod, Zeroable};

use crate::{
    BlobId, BlobInfo, MAX_BLOB_BYTES, MAX_BLOBS, MAX_FURTHER_REFERENCES,
    extent::{Extent, pages_for},
};

/// Bytes of an entry on disk.
pub(crate) const ENTRY_BYTES: usize = 32;

const CHUNK_BLOBS: usize = 1024;
const LENGTH_BITS: u32 = 24;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// Where a blob is and what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MapEntry {
    start: NonZeroU32,
    /// The length less one in the low 24 bits, the kind above.
    length_and_kind: u32,
    records: u32,
    live: u32,
    further_references: u32,
    digest: u64,
}

const _: () = {
    assert!(size_of::<Option<MapEntry>>() == 32);
    assert!(MAX_FURTHER_REFERENCES < 1 << 24);
    assert!(MAX_BLOB_BYTES == 1 << LENGTH_BITS);
};

impl MapEntry {
    /// An entry. `None` when the extent is not one of the file, the length not that of a blob, or the references are more
    /// than an entry can state.
    pub(crate) fn new(start: u32, info: BlobInfo, digest: u64) -> Option<Self> {
        let is_blob = (1..=MAX_BLOB_BYTES).contains(&info.bytes);
        if !is_blob || info.further_references > MAX_FURTHER_REFERENCES {
            return None;
        }
        Extent::new(start, pages_for(info.bytes))?;
        Some(Self {
            start: NonZeroU32::new(start)?,
            length_and_kind: (info.bytes - 1) | u32::from(info.kind) << LENGTH_BITS,
            records: info.records,
            live: info.live,
            further_references: info.further_references,
            digest,
        })
    }

    /// The same place and digest, with another count of references.
    pub(crate) fn with_further_references(self, further_references: u32) -> Self {
        Self {
            further_references: further_references.min(MAX_FURTHER_REFERENCES),
            ..self
        }
    }

    /// The pages that hold the blob.
    pub(crate) fn extent(self) -> Extent {
        let pages = pages_for(self.info().bytes);
        Extent::new(self.start.get(), pages).unwrap_or_else(|| unreachable!("checked when the entry was made"))
    }

    /// What the engine knows of the blob.
    pub(crate) fn info(self) -> BlobInfo {
        BlobInfo {
            bytes: (self.length_and_kind & LENGTH_MASK) + 1,
            kind: (self.length_and_kind >> LENGTH_BITS) as u8,
            records: self.records,
            live: self.live,
            further_references: self.further_references,
        }
    }

    /// The digest of the blob's bytes.
    pub(crate) fn digest(self) -> u64 {
        self.digest
    }

    /// The entry's bytes on disk.
    pub(crate) fn encode(self, blob: BlobId) -> [u8; ENTRY_BYTES] {
        let info = self.info();
        let [low, middle, high, _] = info.further_references.to_le_bytes();
        bytemuck::cast(EntryLayout {
            blob,
            start: self.start.get(),
            bytes: info.bytes,
            records: info.records,
            live: info.live,
            kind: info.kind,
            further_references: [low, middle, high],
            digest: self.digest,
        })
    }

    /// An entry from disk. `None` when it is none.
    pub(crate) fn decode(bytes: [u8; ENTRY_BYTES]) -> Option<(BlobId, Self)> {
        let layout: EntryLayout = bytemuck::cast(bytes);
        if layout.blob >= MAX_BLOBS {
            return None;
        }
        let [low, middle, high] = layout.further_references;
        let info = BlobInfo {
            bytes: layout.bytes,
            kind: layout.kind,
            records: layout.records,
            live: layout.live,
            further_references: u32::from_le_bytes([low, middle, high, 0]),
        };
        Some((layout.blob, Self::new(layout.start, info, layout.digest)?))
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct EntryLayout {
    blob: u32,
    start: u32,
    bytes: u32,
    records: u32,
    live: u32,
    kind: u8,
    further_references: [u8; 3],
    digest: u64,
}

const _: () = {
    assert!(size_of::<EntryLayout>() == ENTRY_BYTES);
    assert!(std::mem::offset_of!(EntryLayout, start) == 4);
    assert!(std::mem::offset_of!(EntryLayout, bytes) == 8);
    assert!(std::mem::offset_of!(EntryLayout, records) == 12);
    assert!(std::mem::offset_of!(EntryLayout, live) == 16);
    assert!(std::mem::offset_of!(EntryLayout, kind) == 20);
    assert!(std::mem::offset_of!(EntryLayout, further_references) == 21);
    assert!(std::mem::offset_of!(EntryLayout, digest) == 24);
};

type Chunk = [Option<MapEntry>; CHUNK_BLOBS];

/// Entries by blob id. Ids are dense, but one stray id must not cost more than a chunk and its row of pointers, so the
/// table is in chunks of 1,024, made when first needed. A clone shares them: it costs a pointer for each, and each is copied
/// when one of the two first changes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotMap {
    chunks: Vec<Option<Arc<Chunk>>>,
    blobs: u32,
    blob_bytes: u64,
}

fn place(blob: BlobId) -> (usize, usize) {
    (blob as usize / CHUNK_BLOBS, blob as usize % CHUNK_BLOBS)
}

impl SlotMap {
    /// The entry of a blob.
    pub(crate) fn get(&self, blob: BlobId) -> Option<MapEntry> {
        let (chunk, index) = place(blob);
        *self.chunks.get(chunk)?.as_ref()?.get(index)?
    }

    /// Sets a blob's entry and returns the one before. The id is below [`MAX_BLOBS`].
    pub(crate) fn insert(&mut self, blob: BlobId, entry: MapEntry) -> Option<MapEntry> {
        debug_assert!(blob < MAX_BLOBS);
        let (chunk, index) = place(blob);
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, None);
        }
        let chunk = self
            .chunks
            .get_mut(chunk)?
            .get_or_insert_with(|| Arc::new([None; CHUNK_BLOBS]));
        let slot = Arc::make_mut(chunk).get_mut(index)?;
        let before = slot.replace(entry);
        self.blob_bytes += u64::from(entry.info().bytes);
        self.forget(before);
        self.blobs += 1;
        before
    }

    /// Sets the entries of many blobs, which cost less where neighbours come one after another. Ids are below [`MAX_BLOBS`].
    pub(crate) fn insert_all(&mut self, entries: impl Iterator<Item = (BlobId, MapEntry)>) {
        let mut entries = entries.peekable();
        while let Some(&(blob, _)) = entries.peek() {
            let number = place(blob).0;
            if self.chunks.len() <= number {
                self.chunks.resize(number + 1, None);
            }
            let Some(chunk) = self.chunks.get_mut(number) else {
                return;
            };
            let chunk = Arc::make_mut(chunk.get_or_insert_with(|| Arc::new([None; CHUNK_BLOBS])));
            while let Some((blob, entry)) = entries.next_if(|(blob, _)| place(*blob).0 == number) {
                debug_assert!(blob < MAX_BLOBS);
                let before = chunk.get_mut(place(blob).1).and_then(|slot| slot.replace(entry));
                if let Some(before) = before {
                    self.blobs -= 1;
                    self.blob_bytes -= u64::from(before.info().bytes);
                }
                self.blobs += 1;
                self.blob_bytes += u64::from(entry.info().bytes);
            }
        }
    }

    /// Removes a blob's entry and returns it.
    pub(crate) fn remove(&mut self, blob: BlobId) -> Option<MapEntry> {
        let (chunk, index) = place(blob);
        let chunk = self.chunks.get_mut(chunk)?.as_mut()?;
        chunk.get(index)?.as_ref()?;
        let before = Arc::make_mut(chunk).get_mut(index)?.take();
        self.forget(before);
        before
    }

    fn forget(&mut self, entry: Option<MapEntry>) {
        if let Some(entry) = entry {
            self.blobs -= 1;
            self.blob_bytes -= u64::from(entry.info().bytes);
        }
    }

    /// Every entry, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BlobId, MapEntry)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let first = number * CHUNK_BLOBS;
            let entries = chunk.iter().flat_map(|chunk| chunk.iter().enumerate());
            entries.filter_map(move |(index, entry)| Some(((first + index) as BlobId, (*entry)?)))
        })
    }

    /// How many blobs there are.
    pub(crate) fn blobs(&self) -> u32 {
        self.blobs
    }

    /// Sum of their lengths, without padding.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.blob_bytes
    }
}
