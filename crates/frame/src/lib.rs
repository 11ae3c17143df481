//! The adaptive radix tree inside one frame.
//!
//! A *frame* is a byte buffer of a fixed size (64 KiB in a database, smaller in tests) that means the same wherever it
//! lies: every reference in it is an offset in 8-byte units. There are two kinds.
//!
//! * A **trie frame** ([`TrieRef`], [`TrieMut`]) holds nodes of the adaptive radix tree of Leis et al., "The Adaptive
//!   Radix Tree: ARTful Indexing for Main-Memory Databases" (ICDE 2013): nodes of 4, 16, 48 and 256 entries with path
//!   compression. An entry leads to a node, to a record, or across into another frame.
//! * A **flat frame** ([`FlatRef`], [`FlatMut`]) holds records behind an open-addressing hash table of their keys, and an
//!   order array for scans.
//!
//! Keys inside a frame are relative to the frame's *base*: the path of the node, in the frame above, whose entries lead
//! across, or of one above it. Several entries of one node may lead to the same frame; to a flat frame, entries of several
//! nodes may lead, as long as they are neighbours in key order.
//!
//! Nodes and records are written once and then published by one store of a 16-bit reference, so that a reader who got hold
//! of a reference never sees the bytes behind it change, but for the number of the frame that a crossing leads to, which one
//! store replaces where it stands ([`TrieMut::redirect`]). Space comes back only when a frame is rebuilt into a fresh
//! buffer. The crate does no I/O, starts no threads, and treats bytes as hostile until [`validate`] has passed them.
//! The byte layout is written down in `docs/format.md`.

mod bytes;
mod flat;
mod node;
mod record;
#[cfg(test)]
mod testing;
mod trie;
mod validate;

pub use bytes::{Frame, FrameMut, common_prefix};
pub use flat::{
    FlatCursor, FlatLookup, FlatMut, FlatOrder, FlatRef, FlatRest, Item, Reserved, Skips, Spot, TailOrder, begin_flat,
    build_flat, copy_flat, items_behind, part_densely, part_evenly, part_widely,
};
pub use record::{Stored, Value};
pub use trie::{
    Crossing, FlatRun, Gap, Graft, Layout, LongestPrefix, Met, Moved, NodePosition, Part, Placed, Region,
    RegionContents, Run, Seek, Step, TrieCut, TrieMut, TrieRef, TrieSplit, Under, copy_subtree, copy_trie,
    copy_trie_moved, push_down, sink_trie, split_trie,
};
pub use validate::{Invalid, validate};

/// Offsets inside a frame count units of this many bytes.
pub const UNIT_BYTES: usize = 8;
/// The largest frame that 13-bit unit offsets reach.
pub const MAX_FRAME_BYTES: usize = UNIT_BYTES << 13;
/// The smallest frame that the splitting rules work in.
pub const MIN_FRAME_BYTES: usize = 2048;

/// Version of the layouts that this crate reads and writes; a frame's second byte.
pub const LAYOUT_VERSION: u8 = 1;

/// The two kinds of frame; the value is the frame's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Nodes of the radix tree.
    Trie = 1,
    /// Hashed records.
    Flat = 2,
}

impl Kind {
    /// The kind of a frame, from its first byte.
    pub fn of<'a>(frame: impl Into<Frame<'a>>) -> Option<Self> {
        match bytes::u8_at(frame, 0) {
            1 => Some(Self::Trie),
            2 => Some(Self::Flat),
            _ => None,
        }
    }
}

/// The longest key, relative to a frame, that frames of this size take: an eighth, and the four bytes of a tree's number.
pub const fn max_key_bytes(frame_bytes: usize) -> usize {
    frame_bytes / 8 + 4
}

/// The longest value that is stored beside its key in frames of this size; longer ones get an extent of their own.
pub const fn max_inline_bytes(frame_bytes: usize) -> usize {
    frame_bytes / 16
}

/// The frame lacks room for what was asked; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Units that were asked for.
    pub units: usize,
}
