//! The ends of a trie frame's paths, one after another: entries that lead to records or across.

use super::{Crossing, TrieRef};
use crate::node::{NodeRef, Ref};

/// A node on the way to a slot.
#[derive(Clone, Copy)]
pub(super) struct Passing<'a> {
    pub(super) node: NodeRef<'a>,
    pub(super) reference: Ref,
    /// The entry that leads on.
    pub(super) byte: u8,
    /// Bytes that lead to the node, its prefix included.
    pub(super) depth: usize,
}

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A record, or a node without entries, which has nothing but a record.
    Record,
    /// The way to another frame, with the number of bytes that lead to that frame's base.
    Across(Crossing, usize),
}

/// Stands at an entry that leads to no further entries. Records that nodes have of their own are no slots.
#[derive(Clone)]
pub(super) struct SlotCursor<'a> {
    trie: TrieRef<'a>,
    /// The nodes passed, the slot's own last; never empty.
    pub(super) passed: Vec<Passing<'a>>,
    /// The path to the slot, branch byte included.
    pub(super) path: Vec<u8>,
}

impl<'a> SlotCursor<'a> {
    /// On its way from the root, to a path of about so many bytes.
    fn new(trie: TrieRef<'a>, path_len: usize) -> Self {
        Self {
            trie,
            passed: Vec::with_capacity(32),
            path: Vec::with_capacity(path_len),
        }
    }

    /// At the slot that a key leads to; None where it leaves the nodes' paths.
    pub(super) fn at(trie: TrieRef<'a>, key: &[u8]) -> Option<Self> {
        let mut cursor = Self::new(trie, key.len());
        let mut reference = trie.root_ref();
        while let Some(node) = trie.node(reference) {
            let rest = key.get(cursor.path.len()..)?;
            let (byte, _) = rest.strip_prefix(node.prefix())?.split_first()?;
            cursor.pass(node, reference, *byte);
            reference = node.find(*byte);
        }
        (!reference.is_none()).then_some(cursor)
    }

    /// At the slot that a key leads to, or else at the last one before it; None where there is none, and for a key that ends
    /// at a node or in its prefix.
    pub(super) fn at_or_before(trie: TrieRef<'a>, key: &[u8]) -> Option<Self> {
        let mut cursor = Self::new(trie, key.len());
        let mut reference = trie.root_ref();
        while let Some(node) = trie.node(reference) {
            let rest = key.get(cursor.path.len()..).unwrap_or(&[]);
            match rest.strip_prefix(node.prefix()).and_then(<[u8]>::split_first) {
                Some((byte, _)) => {
                    cursor.pass(node, reference, *byte);
                    reference = node.find(*byte);
                }
                None if node.prefix().starts_with(rest) => return None,
                None if rest > node.prefix() => {
                    cursor.descend(reference, true);
                    return Some(cursor);
                }
                None => return cursor.step(false).then_some(cursor),
            }
        }
        (!reference.is_none() || cursor.step(false)).then_some(cursor)
    }

    /// At the first or the last slot of the frame; None where it has none.
    pub(super) fn at_end(trie: TrieRef<'a>, last: bool) -> Option<Self> {
        let mut cursor = Self::new(trie, 0);
        cursor.descend(trie.root_ref(), last);
        (!cursor.passed.is_empty()).then_some(cursor)
    }

    fn descend(&mut self, mut reference: Ref, last: bool) {
        while let Some(node) = self.trie.node(reference) {
            let end = if last { node.last_before(256) } else { node.next_from(0) };
            let Some((byte, next)) = end else { return };
            self.pass(node, reference, byte);
            reference = next;
        }
    }

    /// Goes on through a node that the path leads to, by its entry for `byte`.
    fn pass(&mut self, node: NodeRef<'a>, reference: Ref, byte: u8) {
        self.path.extend_from_slice(node.prefix());
        let depth = self.path.len();
        self.path.push(byte);
        self.passed.push(Passing {
            node,
            reference,
            byte,
            depth,
        });
    }

    /// Moves to where another cursor of the same frame stands.
    pub(super) fn stand_at(&mut self, other: &Self) {
        self.passed.clone_from(&other.passed);
        self.path.clone_from(&other.path);
    }

    /// The reference that the slot holds.
    pub(super) fn reference(&self) -> Ref {
        self.passed
            .last()
            .map_or(Ref::NONE, |passing| passing.node.find(passing.byte))
    }

    pub(super) fn slot(&self) -> Slot {
        let depth = self.passed.last().map_or(0, |passing| passing.depth);
        match self.trie.crossing(self.reference()) {
            Some(crossing) => Slot::Across(crossing, depth.saturating_sub(crossing.up)),
            None => Slot::Record,
        }
    }

    /// Moves to the slot behind this one, or before it. False where there is none; then it stays.
    pub(super) fn step(&mut self, forwards: bool) -> bool {
        for at in (0..self.passed.len()).rev() {
            let Some(passing) = self.passed.get_mut(at) else {
                continue;
            };
            let next = if forwards {
                passing.node.next_from(usize::from(passing.byte) + 1)
            } else {
                passing.node.last_before(usize::from(passing.byte))
            };
            if let Some((byte, reference)) = next {
                passing.byte = byte;
                let depth = passing.depth;
                self.passed.truncate(at + 1);
                self.path.truncate(depth);
                self.path.push(byte);
                self.descend(reference, !forwards);
                return true;
            }
        }
        false
    }
}
