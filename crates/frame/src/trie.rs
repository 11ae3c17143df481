//! Trie frames: the header, lookups, and the steps that a walk over all keys is made of.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind, 1 |
//! | 1 | 1 | version of this layout, 1 |
//! | 2 | 2 | reference to the root node |
//! | 4 | 2 | first free unit: nodes and crossings grow up from unit 2 |
//! | 6 | 2 | first unit of the records, which grow down from the frame's end |
//! | 8 | 2 | units that nothing refers to any more |
//! | 10 | 2 | records in this frame |
//! | 12 | 4 | zero |
//!
//! A crossing is one unit: the number of the frame that it leads to (4 bytes), by how many bytes that frame's base lies
//! above the crossing's node (2 bytes, zero for a trie frame), zero (2 bytes); the reference to it says which kind of frame
//! that is. The root node has no prefix; in all frames but a tree's topmost it has no value either.

mod cross;
mod graft;
mod layout;
mod longest;
mod plan;
mod region;
mod remove;
mod reshape;
mod slots;
mod summary;
mod survey;
#[cfg(test)]
mod tests;
mod write;

use crate::{
    Kind, Stored,
    bytes::{Frame, u16_at, u32_at},
    node::{Left, NodeRef, Ref, Tag, walk},
    record::RecordRef,
};

pub use graft::{Graft, Under, copy_subtree};
pub use layout::Layout;
pub use longest::LongestPrefix;
pub use plan::Part;
pub use region::{FlatRun, Gap, Region, RegionContents, Run};
pub use reshape::{Moved, TrieCut, TrieSplit, copy_trie, copy_trie_moved, push_down, sink_trie, split_trie};
pub use survey::Met;
pub use write::{Placed, TrieMut};

pub(crate) const HEADER_UNITS: usize = 2;
pub(crate) const ROOT_AT: usize = 2;
pub(crate) const HEAD_AT: usize = 4;
pub(crate) const TAIL_AT: usize = 6;
pub(crate) const GARBAGE_AT: usize = 8;
pub(crate) const RECORDS_AT: usize = 10;

/// Where a walk leaves the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The number of the frame below.
    pub child: u32,
    /// What kind of frame that is.
    pub kind: Kind,
    /// By how many bytes the base of the frame below lies above the node that leads to it: zero for a trie frame.
    pub up: usize,
}

/// Where a lookup ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek<'a> {
    /// The record is here.
    Found(Stored<'a>),
    /// There is no such key.
    Absent,
    /// The key, if it exists, lies in the frame below, relative to what comes after the first `depth` bytes.
    Below {
        /// The frame below.
        crossing: Crossing,
        /// Bytes of the key that lead to the base of the frame below.
        depth: usize,
    },
}

/// A node of one frame, for walks. Means nothing in another frame, nor after a change to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePosition(pub(crate) Ref);

/// What an entry of a node leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Another node.
    Node(NodePosition),
    /// A record, whose key goes on with `suffix` behind the branch byte.
    Record {
        /// The rest of the key.
        suffix: &'a [u8],
        /// Version and value.
        stored: Stored<'a>,
    },
    /// A frame below. Those of its keys that start with the path to the node, from the frame's base on, and the branch
    /// byte belong here.
    Cross(Crossing),
}

/// A trie frame, to be read.
#[derive(Clone, Copy, Debug)]
pub struct TrieRef<'a> {
    pub(crate) frame: Frame<'a>,
}

impl<'a> TrieRef<'a> {
    /// The frame as a trie; the caller knows that [`crate::validate`] has passed it, or has built it.
    pub fn new(frame: impl Into<Frame<'a>>) -> Self {
        Self { frame: frame.into() }
    }

    pub(crate) fn root_ref(self) -> Ref {
        Ref(u16_at(self.frame, ROOT_AT))
    }

    pub(crate) fn node(self, reference: Ref) -> Option<NodeRef<'a>> {
        NodeRef::new(self.frame, reference)
    }

    pub(crate) fn record(self, reference: Ref) -> Option<RecordRef<'a>> {
        (reference.tag() == Some(Tag::Leaf)).then(|| RecordRef::new(self.frame, reference.offset()))
    }

    pub(crate) fn crossing(self, reference: Ref) -> Option<Crossing> {
        let kind = match reference.tag()? {
            Tag::Flat => Kind::Flat,
            Tag::Trie => Kind::Trie,
            _ => return None,
        };
        Some(Crossing {
            child: u32_at(self.frame, reference.offset()),
            kind,
            up: usize::from(u16_at(self.frame, reference.offset() + 4)),
        })
    }

    /// Looks a key up. Visits one node for each byte or more of the key, so its cost is bounded by the key's length.
    pub fn seek(self, key: &[u8]) -> Seek<'a> {
        let (reference, depth) = match walk(self.frame, self.root_ref(), key) {
            Left::By(reference, depth) => (reference, depth),
            Left::AtNode(value) => {
                let value = self.record(value);
                return value.map_or(Seek::Absent, |record| Seek::Found(record.trie_stored()));
            }
            Left::Nowhere => return Seek::Absent,
        };
        if let Some(record) = self.record(reference) {
            let rest = key.get(depth..).unwrap_or(&[]);
            let found = record.key_len() == key.len() && record.suffix(rest.len()) == rest;
            return if found {
                Seek::Found(record.trie_stored())
            } else {
                Seek::Absent
            };
        }
        let Some(crossing) = self.crossing(reference) else {
            return Seek::Absent;
        };
        match depth.checked_sub(1 + crossing.up) {
            Some(depth) => Seek::Below { crossing, depth },
            None => Seek::Absent,
        }
    }

    /// The frame's topmost node.
    pub fn root(self) -> NodePosition {
        NodePosition(self.root_ref())
    }

    /// The bytes between the branch byte that led to the node and the node itself.
    pub fn prefix(self, node: NodePosition) -> &'a [u8] {
        self.node(node.0).map_or(&[], NodeRef::prefix)
    }

    /// The record whose key ends at the node.
    pub fn value(self, node: NodePosition) -> Option<Stored<'a>> {
        self.record(self.node(node.0)?.value()).map(RecordRef::trie_stored)
    }

    /// The first entry of a node at or after byte `from` (0..=256). `depth` is how many bytes of a key, relative to this
    /// frame, lead to the node, its prefix included.
    pub fn next_child(self, node: NodePosition, from: usize, depth: usize) -> Option<(u8, Step<'a>)> {
        let (byte, reference) = self.node(node.0)?.next_from(from)?;
        Some((byte, self.step(reference, depth)?))
    }

    /// The last entry of a node below byte `before` (0..=256), as [`TrieRef::next_child`].
    pub fn last_child(self, node: NodePosition, before: usize, depth: usize) -> Option<(u8, Step<'a>)> {
        let (byte, reference) = self.node(node.0)?.last_before(before)?;
        Some((byte, self.step(reference, depth)?))
    }

    /// The entry of a node for one byte.
    pub fn child(self, node: NodePosition, byte: u8, depth: usize) -> Option<Step<'a>> {
        self.step(self.node(node.0)?.find(byte), depth)
    }

    fn step(self, reference: Ref, depth: usize) -> Option<Step<'a>> {
        if let Some(record) = self.record(reference) {
            let rest = record.key_len().checked_sub(depth + 1)?;
            return Some(Step::Record {
                suffix: record.suffix(rest),
                stored: record.trie_stored(),
            });
        }
        match self.crossing(reference) {
            Some(crossing) => Some(Step::Cross(crossing)),
            None => reference.is_node().then_some(Step::Node(NodePosition(reference))),
        }
    }

    /// Records in this frame itself.
    pub fn records(self) -> usize {
        usize::from(u16_at(self.frame, RECORDS_AT))
    }

    pub(crate) fn head(self) -> usize {
        usize::from(u16_at(self.frame, HEAD_AT))
    }

    pub(crate) fn tail(self) -> usize {
        usize::from(u16_at(self.frame, TAIL_AT))
    }

    /// Units between the nodes and the records.
    pub(crate) fn free_units(self) -> usize {
        self.tail().saturating_sub(self.head())
    }

    /// Bytes that something refers to, header included: what a rebuilt frame would take, or a little less.
    pub fn live_bytes(self) -> usize {
        let garbage = usize::from(u16_at(self.frame, GARBAGE_AT)) + self.free_units();
        self.frame.len().saturating_sub(garbage * crate::UNIT_BYTES)
    }
}
