//! Records of the map log: one snapshot, then one delta per commit.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "CopR"
//!      4     4  kind: 1 snapshot, 2 delta
//!      8     8  payload length, bytes; a multiple of 8
//!     16     8  cut: the commit sequence number that the blobs are the state of
//!     24     8  chain: the header digest of the record before; of the file's header, for the first
//!     32     8  digest of the payload
//!     40     8  digest of bytes 0..40: checked before any of them is believed
//!     48     4  next tree: the first tree id never used
//!     52     4  count of writes
//!     56     4  count of deletes; 0 in a snapshot
//!     60     4  zero
//!     64   32 each  writes: entries of the slot map (see slot_map.rs), each blob at most once
//!      …    4 each  deletes: blob ids
//!      …   0/4  zero, up to a multiple of 8
//! ```
//!
//! The payload begins at 48. Both digests are seeded by database id, generation and the record's offset, so that no
//! record is one in another place; the chain makes a record one only behind the records it was written behind. A
//! snapshot is the whole map, as writes on an empty one; a delta's writes replace, its deletes remove.

#[cfg(test)]
mod tests;

use bytemuck::{Pod, Zeroable};

use crate::{BlobId, MAX_BLOBS, digest::seeded, slot_map::MapEntry};

/// Bytes of a record's header.
pub(crate) const RECORD_HEADER_BYTES: usize = 48;
/// Bytes that every payload begins with.
pub(crate) const PREFIX_BYTES: usize = 16;
/// Bytes of a delete.
pub(crate) const DELETE_BYTES: usize = 4;
/// Bytes of a log's shortest record: a snapshot of an empty map.
pub(crate) const SHORTEST_RECORD_BYTES: usize = RECORD_HEADER_BYTES + PREFIX_BYTES;
/// What every record begins with, for finding one.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"CopR";

const DIGESTED_BYTES: usize = 40;

/// What a record's payload is applied to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordKind {
    /// An empty map.
    Snapshot = 1,
    /// The map as the records before left it.
    Delta = 2,
}

/// A record's header that passed its digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) payload_bytes: u64,
    pub(crate) cut: u64,
    /// What the record before must have as its `own`.
    pub(crate) chain: u64,
    pub(crate) payload_digest: u64,
    /// What the next record's `chain` must be.
    pub(crate) own: u64,
}

/// The start of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefix {
    pub(crate) next_tree: u32,
    pub(crate) writes: u32,
    pub(crate) deletes: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct HeaderLayout {
    magic: [u8; 4],
    kind: u32,
    payload_bytes: u64,
    cut: u64,
    chain: u64,
    payload_digest: u64,
    own: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct PrefixLayout {
    next_tree: u32,
    writes: u32,
    deletes: u32,
    zero: u32,
}

const _: () = {
    assert!(size_of::<HeaderLayout>() == RECORD_HEADER_BYTES);
    assert!(std::mem::offset_of!(HeaderLayout, payload_bytes) == 8);
    assert!(std::mem::offset_of!(HeaderLayout, cut) == 16);
    assert!(std::mem::offset_of!(HeaderLayout, chain) == 24);
    assert!(std::mem::offset_of!(HeaderLayout, payload_digest) == 32);
    assert!(std::mem::offset_of!(HeaderLayout, own) == DIGESTED_BYTES);
    assert!(size_of::<PrefixLayout>() == PREFIX_BYTES);
    assert!(RECORD_HEADER_BYTES + PREFIX_BYTES == 64);
};

/// What a record says, to be encoded.
pub(crate) struct Record<'a, W> {
    pub(crate) kind: RecordKind,
    pub(crate) cut: u64,
    pub(crate) next_tree: u32,
    pub(crate) writes: W,
    pub(crate) deletes: &'a [BlobId],
}

impl<W: Iterator<Item = (BlobId, MapEntry)>> Record<'_, W> {
    /// Appends the record's bytes to `into`, which is empty or ends at a multiple of 8, and returns its `own` digest.
    /// `seed` is that of the place that the record is for.
    pub(crate) fn encode(self, into: &mut Vec<u8>, seed: u64, chain: u64) -> u64 {
        let start = into.len();
        into.resize(start + SHORTEST_RECORD_BYTES, 0);
        let mut writes = 0;
        for (blob, entry) in self.writes {
            into.extend_from_slice(&entry.encode(blob));
            writes += 1;
        }
        for delete in self.deletes {
            into.extend_from_slice(&delete.to_le_bytes());
        }
        into.resize(into.len().next_multiple_of(8), 0);

        let (header, payload) = into.split_at_mut(start).1.split_at_mut(RECORD_HEADER_BYTES);
        let prefix = PrefixLayout {
            next_tree: self.next_tree,
            writes,
            deletes: self.deletes.len() as u32,
            zero: 0,
        };
        payload
            .split_at_mut(PREFIX_BYTES)
            .0
            .copy_from_slice(bytemuck::bytes_of(&prefix));
        let mut layout = HeaderLayout {
            magic: RECORD_MAGIC,
            kind: self.kind as u32,
            payload_bytes: payload.len() as u64,
            cut: self.cut,
            chain,
            payload_digest: seeded(payload, seed),
            own: 0,
        };
        layout.own = seeded(bytemuck::bytes_of(&layout).split_at(DIGESTED_BYTES).0, seed);
        header.copy_from_slice(bytemuck::bytes_of(&layout));
        layout.own
    }
}

impl RecordHeader {
    /// Reads a header; `None` when these bytes are no header of a record for the place of that seed.
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_BYTES], seed: u64) -> Option<Self> {
        let layout: HeaderLayout = bytemuck::cast(*bytes);
        if layout.magic != RECORD_MAGIC || layout.own != seeded(bytes.split_at(DIGESTED_BYTES).0, seed) {
            return None;
        }
        let kind = match layout.kind {
            1 => RecordKind::Snapshot,
            2 => RecordKind::Delta,
            _ => return None,
        };
        Some(Self {
            kind,
            payload_bytes: layout.payload_bytes,
            cut: layout.cut,
            chain: layout.chain,
            payload_digest: layout.payload_digest,
            own: layout.own,
        })
    }
}

impl Prefix {
    /// Reads the start of a payload of that many bytes; `None` when its counts do not add up to them.
    pub(crate) fn decode(bytes: [u8; PREFIX_BYTES], payload_bytes: u64) -> Option<Self> {
        let layout: PrefixLayout = bytemuck::cast(bytes);
        let prefix = Self {
            next_tree: layout.next_tree,
            writes: layout.writes,
            deletes: layout.deletes,
        };
        let fits = layout.writes <= MAX_BLOBS && layout.deletes <= MAX_BLOBS && layout.zero == 0;
        (fits && prefix.payload_bytes() == payload_bytes).then_some(prefix)
    }

    fn payload_bytes(self) -> u64 {
        let writes = u64::from(self.writes) * crate::slot_map::ENTRY_BYTES as u64;
        let deletes = u64::from(self.deletes) * DELETE_BYTES as u64;
        PREFIX_BYTES as u64 + writes + deletes.next_multiple_of(8)
    }
}
