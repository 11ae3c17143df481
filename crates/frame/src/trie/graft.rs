//! Whole subtrees of a trie frame: found by a prefix, copied out, cut off, hung in elsewhere.
//!
//! A subtree is all keys that start with a prefix, which may end anywhere: at a node, within a node's own prefix, within a
//! record's key. Copied out, it is a trie frame whose base is the subtree's topmost node; its root has the record that the
//! node had. What hangs across from it stays where it is: frames below know nothing of what is above them.

use super::{Crossing, Moved, NodePosition, ROOT_AT, TrieMut, TrieRef, remove::Passed};
use crate::{
    FrameMut, NoRoom, Stored,
    node::{NodeRef, NodeSpec, Ref, node_units},
    record::record_units,
};

/// Where the keys that start with a prefix are, as far as one frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under<'a> {
    /// There are none.
    Nothing,
    /// They are at and below this node.
    Node {
        /// The node.
        node: NodePosition,
        /// How the path to the node goes on behind the prefix.
        lead: &'a [u8],
    },
    /// There is one, whose record is here.
    Record {
        /// How the key goes on behind the prefix.
        suffix: &'a [u8],
        /// Version and value.
        stored: Stored<'a>,
    },
    /// They are in a frame below, relative to what comes behind the first `depth` bytes of the prefix.
    Below {
        /// The frame below.
        crossing: Crossing,
        /// Bytes of the prefix that lead to that frame's base; fewer than all.
        depth: usize,
    },
}

/// What is hung into a trie frame.
#[derive(Clone, Copy, Debug)]
pub enum Graft<'a> {
    /// The root of another trie frame, its record and all below it, by copying.
    Nodes(TrieRef<'a>),
    /// A new node whose entries lead to a frame.
    Frame {
        /// The node's own record.
        value: Option<Stored<'a>>,
        /// The node's entries, ascending; at least one.
        bytes: &'a [u8],
        /// Where they lead.
        crossing: Crossing,
    },
}

impl<'a> TrieRef<'a> {
    /// Where the keys that start with `prefix` are.
    pub fn under(self, prefix: &[u8]) -> Under<'a> {
        let (mut reference, mut depth) = (self.root_ref(), 0);
        while let Some(node) = self.node(reference) {
            let rest = prefix.get(depth..).unwrap_or(&[]);
            let path = node.prefix();
            if let Some(lead) = path.strip_prefix(rest) {
                return Under::Node {
                    node: NodePosition(reference),
                    lead,
                };
            }
            let Some((byte, rest)) = rest.strip_prefix(path).and_then(<[u8]>::split_first) else {
                return Under::Nothing;
            };
            depth += path.len();
            reference = node.find(*byte);
            if let Some(record) = self.record(reference) {
                let suffix = record.suffix(record.key_len().saturating_sub(depth + 1));
                let stored = record.trie_stored();
                return suffix
                    .strip_prefix(rest)
                    .map_or(Under::Nothing, |suffix| Under::Record { suffix, stored });
            }
            if let Some(crossing) = self.crossing(reference) {
                return match depth.checked_sub(crossing.up) {
                    Some(depth) => Under::Below { crossing, depth },
                    None => Under::Nothing,
                };
            }
            depth += 1;
        }
        Under::Nothing
    }

    /// The flat frames that `key` would join, or stand in the midst of, if what lies beyond some node on its way were gone.
    pub fn flats_beside(self, key: &[u8]) -> Vec<u32> {
        let (mut found, mut reference, mut depth) = (Vec::new(), self.root_ref(), 0);
        while let Some(node) = self.node(reference) {
            let rest = key.get(depth..).unwrap_or(&[]);
            let Some((byte, _)) = rest.strip_prefix(node.prefix()).and_then(<[u8]>::split_first) else {
                let ends = [true, false].map(|last| self.flat_at_end(reference, depth, last, depth));
                found.extend(ends.into_iter().flatten().map(|crossing| crossing.child));
                break;
            };
            let below = depth + node.prefix_len();
            let (before, behind) = (
                node.last_before(usize::from(*byte)),
                node.next_from(usize::from(*byte) + 1),
            );
            for (entry, last) in [(before, true), (behind, false)] {
                let beside = entry.and_then(|(_, entry)| self.flat_at_end(entry, below + 1, last, below));
                found.extend(beside.map(|crossing| crossing.child));
            }
            depth = below + 1;
            reference = node.find(*byte);
        }
        found
    }

    /// The length, relative to this frame, of the longest key at and below a node that has its record here (0 where none
    /// has), and the frames that the nodes lead to, each with the bytes that lead to its base. `depth` bytes lead to the
    /// node, its prefix included.
    pub fn longest_here(self, node: NodePosition, depth: usize) -> (usize, Vec<(usize, Crossing)>) {
        let (mut longest, mut crossings) = (0, Vec::new());
        let mut pending = vec![(node.0, depth)];
        while let Some((reference, depth)) = pending.pop() {
            let Some(node) = self.node(reference) else { continue };
            if !node.value().is_none() {
                longest = longest.max(depth);
            }
            for (_, entry) in node.entries() {
                if let Some(below) = self.node(entry) {
                    pending.push((entry, depth + 1 + below.prefix_len()));
                } else if let Some(record) = self.record(entry) {
                    longest = longest.max(record.key_len());
                } else if let Some(crossing) = self.crossing(entry) {
                    crossings.push((depth.saturating_sub(crossing.up), crossing));
                }
            }
        }
        crossings.sort_unstable_by_key(|(_, crossing)| crossing.child);
        crossings.dedup_by_key(|(_, crossing)| crossing.child);
        (longest, crossings)
    }
}

/// Copies a node that [`TrieRef::under`] found, its record and all below it into a fresh buffer, as the root of a frame
/// based at the node. `depth` bytes lead to the node, its prefix included; `moved` has the flat frames that it shares with
/// what lies elsewhere, as [`TrieRef::entangled`] tells them.
pub fn copy_subtree<'t>(
    source: TrieRef<'_>,
    node: NodePosition,
    depth: usize,
    moved: &[Moved],
    target: impl Into<FrameMut<'t>>,
) -> Result<(), NoRoom> {
    let node = source.node(node.0).ok_or(NoRoom { units: usize::MAX })?;
    TrieMut::begin(target).copy_root(source, node, depth, true, moved, &|_| true)
}

impl TrieMut<'_> {
    /// Cuts off the node or the record of [`TrieRef::under`]. False where `prefix`, which is not empty, has neither here.
    pub fn prune(&mut self, prefix: &[u8]) -> bool {
        let mut passed = Vec::new();
        let (mut slot, mut depth) = (ROOT_AT, 0);
        loop {
            let reference = self.get_ref(slot);
            let rest = prefix.get(depth..).unwrap_or(&[]);
            if let Some(node) = NodeRef::new(self.frame, reference) {
                if node.prefix().starts_with(rest) {
                    break;
                }
                let Some((byte, _)) = rest.strip_prefix(node.prefix()).and_then(<[u8]>::split_first) else {
                    return false;
                };
                let Some(below) = node.slot(*byte) else { return false };
                passed.push(Passed { slot, depth });
                slot = below;
                depth += node.prefix_len() + 1;
            } else if let Some(record) = self.as_ref().record(reference) {
                if !record.suffix(record.key_len().saturating_sub(depth)).starts_with(rest) {
                    return false;
                }
                break;
            } else {
                return false;
            }
        }
        if passed.is_empty() {
            return false;
        }
        let cut = self.get_ref(slot);
        self.set_ref(slot, Ref::NONE);
        self.drop_subtree(cut);
        self.tidy(passed);
        true
    }

    /// Hangs in a subtree whose topmost node has the path `key` and then `lead`, in place of the record of `key`, which is
    /// an entry's and no node's own. No flat frame has keys on both sides of it. For frames that nobody reads yet; [`NoRoom`]
    /// leaves this one half done.
    pub fn graft(&mut self, key: &[u8], lead: &[u8], graft: &Graft<'_>) -> Result<(), NoRoom> {
        let (slot, depth) = self.record_slot(key).ok_or(NoRoom { units: usize::MAX })?;
        let old = self.get_ref(slot);
        let prefix = [key.get(depth..).unwrap_or(&[]), lead].concat();
        let path_bytes = key.len() + lead.len();
        self.need(graft.units(prefix.len()))?;
        match *graft {
            Graft::Nodes(source) => {
                let root = source.node(source.root_ref()).ok_or(NoRoom { units: usize::MAX })?;
                let mut top = root.spec();
                top.prefix = prefix;
                self.copy_nodes(source, top, slot, 0, path_bytes as isize, &[])?;
            }
            Graft::Frame { value, bytes, crossing } => {
                let below = self.write_crossing(crossing);
                let value = value.map_or(Ref::NONE, |value| self.write_leaf(path_bytes, &[], &value));
                let entries = bytes.iter().map(|byte| (*byte, below)).collect();
                let written = self.write_node(&NodeSpec { prefix, value, entries });
                self.set_ref(slot, written);
            }
        }
        self.drop_leaf(old);
        Ok(())
    }

    /// Where the reference to the record of `key` is stored, if it is an entry's, with how many bytes of the key lead
    /// there, the branch byte included.
    fn record_slot(&self, key: &[u8]) -> Option<(usize, usize)> {
        let mut node = NodeRef::new(self.frame, self.get_ref(ROOT_AT))?;
        let mut depth = 0;
        loop {
            let (byte, _) = key.get(depth..)?.strip_prefix(node.prefix())?.split_first()?;
            depth += node.prefix_len() + 1;
            let (at, entry) = (node.slot(*byte)?, node.find(*byte));
            if let Some(record) = self.as_ref().record(entry) {
                let same = record.key_len() == key.len() && Some(record.suffix(key.len() - depth)) == key.get(depth..);
                return same.then_some((at, depth));
            }
            node = NodeRef::new(self.frame, entry)?;
        }
    }
}

impl Graft<'_> {
    /// Units that this takes at most below a prefix of so many bytes.
    pub fn units(&self, prefix_bytes: usize) -> usize {
        match self {
            Graft::Nodes(source) => source.live_bytes() / crate::UNIT_BYTES + prefix_bytes.div_ceil(crate::UNIT_BYTES),
            Graft::Frame { value, bytes, .. } => {
                let record = value.map_or(0, |value| record_units(0, value.value.stored_len()));
                node_units(bytes.len(), prefix_bytes) + 1 + record
            }
        }
    }
}
