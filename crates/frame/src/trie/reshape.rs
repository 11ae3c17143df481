//! A trie frame rebuilt: compacted, split, and relieved of subtrees that have earned a flat frame of their own.

use super::{Crossing, ROOT_AT, TrieMut, TrieRef};
use crate::{
    Frame, FrameMut, NoRoom, Stored, UNIT_BYTES,
    node::{NodeRef, NodeSpec, Ref, VALUE_AT},
    record::{RecordRef, record_units},
};

/// How a trie frame was split in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrieSplit<'a> {
    /// The right frame has the root's entries from this byte on, the left those before it. A frame that entries on both
    /// sides led to is in neither: the entries for these bytes, of the node above, must lead to it themselves.
    Range {
        /// The first byte that is the right frame's.
        first: u8,
        /// What led to both sides, with the bytes that did, ascending.
        shared: Vec<(Crossing, Vec<u8>)>,
    },
    /// The node behind one entry of the root belongs in the frame above; what it led to is the right frame, based at that
    /// node. The left frame has the other entries.
    Carve {
        /// The entry.
        byte: u8,
        /// The node's prefix.
        prefix: Vec<u8>,
        /// The node's own record.
        value: Option<Stored<'a>>,
        /// The node's entries, ascending.
        bytes: Vec<u8>,
        /// Whether nothing stayed in the left frame.
        left_is_empty: bool,
    },
}

/// Copies a frame into a fresh buffer of the same size, leaving garbage behind.
pub fn copy_trie<'s, 't>(source: impl Into<Frame<'s>>, target: impl Into<FrameMut<'t>>) -> Result<(), NoRoom> {
    let source = TrieRef::new(source);
    let mut target = TrieMut::begin(target);
    let root = source.node(source.root_ref()).ok_or(NoRoom { units: usize::MAX })?;
    target.copy_root(source, root, 0, true, &|_| true)
}

/// Splits a frame into two fresh buffers.
pub fn split_trie<'a, 'l, 'r>(
    source: impl Into<Frame<'a>>,
    left: impl Into<FrameMut<'l>>,
    right: impl Into<FrameMut<'r>>,
) -> Result<TrieSplit<'a>, NoRoom> {
    let source = TrieRef::new(source);
    let root = source.node(source.root_ref()).ok_or(NoRoom { units: usize::MAX })?;
    let sizes: Vec<(u8, Ref, usize)> = root
        .entries()
        .map(|(byte, entry)| (byte, entry, source.subtree_units(entry).max(1)))
        .collect();
    let total: usize = sizes.iter().map(|entry| entry.2).sum();
    let mut left = TrieMut::begin(left);
    let mut right = TrieMut::begin(right);

    let mut passed = 0;
    let boundary = sizes
        .iter()
        .map(|(byte, _, units)| {
            let smaller = passed.min(total - passed);
            passed += units;
            (smaller, *byte)
        })
        .max_by_key(|candidate| candidate.0);
    let largest = sizes
        .iter()
        .max_by_key(|entry| entry.2)
        .filter(|entry| entry.1.is_node());
    match (boundary, largest) {
        (Some((smaller, first)), largest) if smaller > 0 && (smaller * 4 >= total || largest.is_none()) => {
            let both = |entry: Ref| {
                let mut bytes = sizes.iter().filter(|other| other.1 == entry).map(|other| other.0);
                bytes.any(|byte| byte < first) && bytes.any(|byte| byte >= first)
            };
            let mut shared: Vec<(Crossing, Vec<u8>)> = Vec::new();
            let mut apart: Vec<u8> = Vec::new();
            for (byte, entry, _) in &sizes {
                if let Some(crossing) = source.crossing(*entry).filter(|_| both(*entry)) {
                    apart.push(*byte);
                    match shared.iter_mut().find(|known| known.0 == crossing) {
                        Some((_, bytes)) => bytes.push(*byte),
                        None => shared.push((crossing, vec![*byte])),
                    }
                }
            }
            left.copy_root(source, root, 0, true, &|byte| byte < first && !apart.contains(&byte))?;
            right.copy_root(source, root, 0, false, &|byte| byte >= first && !apart.contains(&byte))?;
            Ok(TrieSplit::Range { first, shared })
        }
        (_, Some(&(byte, entry, _))) => {
            let node = source.node(entry).ok_or(NoRoom { units: usize::MAX })?;
            left.copy_root(source, root, 0, true, &|other| other != byte)?;
            right.copy_root(source, node, 1 + node.prefix_len(), false, &|_| true)?;
            Ok(TrieSplit::Carve {
                byte,
                prefix: node.prefix().to_vec(),
                value: source.record(node.value()).map(RecordRef::trie_stored),
                bytes: node.entries().map(|entry| entry.0).collect(),
                left_is_empty: sizes.len() == 1 && root.value().is_none(),
            })
        }
        _ => Err(NoRoom { units: usize::MAX }),
    }
}

/// Moves all that a frame's root leads to into the frame `below`, which is reached by `crossing`; `above` is left with the
/// root, its value, and entries across.
pub fn push_down<'s, 'a, 'b>(
    source: impl Into<Frame<'s>>,
    above: impl Into<FrameMut<'a>>,
    below: impl Into<FrameMut<'b>>,
    crossing: Crossing,
) -> Result<(), NoRoom> {
    let source = TrieRef::new(source);
    let root = source.node(source.root_ref()).ok_or(NoRoom { units: usize::MAX })?;
    TrieMut::begin(below).copy_root(source, root, 0, false, &|_| true)?;
    let mut above = TrieMut::begin(above);
    above.copy_root(source, root, 0, true, &|_| false)?;
    above.assign(&[], 0, &source.root_bytes(), crossing)
}

/// Copies some entries of the node that `path` leads to into a fresh buffer, a trie frame based at that node.
pub fn sink_trie<'s, 't>(
    source: impl Into<Frame<'s>>,
    path: &[u8],
    bytes: &[u8],
    target: impl Into<FrameMut<'t>>,
) -> Result<(), NoRoom> {
    let source = TrieRef::new(source);
    let node = source.node_at(path).ok_or(NoRoom { units: usize::MAX })?;
    TrieMut::begin(target).copy_root(source, node, path.len(), false, &|byte| bytes.contains(&byte))
}

impl<'a> TrieRef<'a> {
    /// Units of everything behind a reference.
    fn subtree_units(self, reference: Ref) -> usize {
        let (mut units, mut pending) = (0, vec![reference]);
        while let Some(reference) = pending.pop() {
            if let Some(node) = self.node(reference) {
                units += node.units();
                pending.push(node.value());
                pending.extend(node.entries().map(|entry| entry.1));
            } else if let Some(record) = self.record(reference) {
                units += record.trie_units();
            } else if reference.is_crossing() {
                units += 1;
            }
        }
        units
    }

    /// The records behind entries of the node that `path` leads to, in key order, their keys relative to that node.
    pub fn collect(self, path: &[u8], bytes: &[u8]) -> Vec<(Vec<u8>, Stored<'a>)> {
        let mut found = Vec::new();
        let Some(top) = self.node_at(path) else { return found };
        // Each pending reference with the key that leads to it.
        let mut pending: Vec<(Ref, Vec<u8>)> = bytes.iter().rev().map(|byte| (top.find(*byte), vec![*byte])).collect();
        while let Some((reference, mut key)) = pending.pop() {
            if let Some(record) = self.record(reference) {
                let rest = record.key_len().saturating_sub(path.len() + key.len());
                key.extend_from_slice(record.suffix(rest));
                found.push((key, record.trie_stored()));
            } else if let Some(node) = self.node(reference) {
                key.extend_from_slice(node.prefix());
                if let Some(record) = self.record(node.value()) {
                    found.push((key.clone(), record.trie_stored()));
                }
                let from = pending.len();
                for (byte, entry) in node.entries() {
                    let mut below = key.clone();
                    below.push(byte);
                    pending.push((entry, below));
                }
                if let Some(new) = pending.get_mut(from..) {
                    new.reverse();
                }
            }
        }
        found
    }

    /// The bytes for which the node that `path` leads to has entries across to `child`.
    pub fn bytes_to(self, path: &[u8], child: u32) -> Vec<u8> {
        let Some(node) = self.node_at(path) else {
            return Vec::new();
        };
        let leads = |entry: Ref| self.crossing(entry).is_some_and(|crossing| crossing.child == child);
        node.entries()
            .filter(|(_, entry)| leads(*entry))
            .map(|(byte, _)| byte)
            .collect()
    }

    /// The frames that the node that `path` leads to has entries to, with the first byte that does.
    pub fn crossings_at(self, path: &[u8]) -> Vec<(u8, Crossing)> {
        let mut found: Vec<(u8, Crossing)> = Vec::new();
        let Some(node) = self.node_at(path) else { return found };
        for (byte, entry) in node.entries() {
            if let Some(crossing) = self.crossing(entry)
                && !found.iter().any(|(_, known)| *known == crossing)
            {
                found.push((byte, crossing));
            }
        }
        found
    }

    /// The bytes of the root's entries, ascending.
    pub fn root_bytes(self) -> Vec<u8> {
        self.node(self.root_ref())
            .map(|root| root.entries().map(|(byte, _)| byte).collect())
            .unwrap_or_default()
    }

    fn node_at(self, path: &[u8]) -> Option<NodeRef<'a>> {
        let (mut node, mut depth) = (self.node(self.root_ref())?, 0);
        loop {
            let prefix = node.prefix();
            if path.get(depth..depth + prefix.len()) != Some(prefix) {
                return None;
            }
            depth += prefix.len();
            let Some(byte) = path.get(depth) else { return Some(node) };
            node = self.node(node.find(*byte))?;
            depth += 1;
        }
    }
}

impl TrieMut<'_> {
    /// Copies a node, as this frame's root, with the entries that `keep` wants. `strip` bytes of the source's keys lead to
    /// the new base. The node's value comes along only if asked for; its prefix never does.
    pub(super) fn copy_root(
        &mut self,
        source: TrieRef<'_>,
        node: NodeRef<'_>,
        strip: usize,
        with_value: bool,
        keep: &dyn Fn(u8) -> bool,
    ) -> Result<(), NoRoom> {
        let mut spec = node.spec();
        spec.prefix.clear();
        spec.entries.retain(|(byte, _)| keep(*byte));
        if !with_value {
            spec.value = Ref::NONE;
        }
        self.copy_nodes(source, spec, ROOT_AT, strip, -(strip as isize))
    }

    /// Copies a node, taken apart, and all below it, and stores the reference to it at `slot`. `depth` bytes of the source's
    /// keys lead to the node, prefix included; the copies' keys are longer than the source's by `shift`.
    pub(super) fn copy_nodes(
        &mut self,
        source: TrieRef<'_>,
        top: NodeSpec,
        slot: usize,
        depth: usize,
        shift: isize,
    ) -> Result<(), NoRoom> {
        // Where the reference to a node must be written, the node in the source, and the bytes that lead to it.
        let mut pending = Vec::new();
        self.copy_node(source, top, slot, depth, shift, &mut pending)?;
        while let Some((slot, reference, depth)) = pending.pop() {
            let node = source.node(reference).ok_or(NoRoom { units: usize::MAX })?;
            let depth = depth + node.prefix_len();
            self.copy_node(source, node.spec(), slot, depth, shift, &mut pending)?;
        }
        Ok(())
    }

    /// Copies one node with its records and crossings; nodes below it are left in `pending`. `depth` bytes of the source's
    /// keys lead to the node, prefix included.
    fn copy_node(
        &mut self,
        source: TrieRef<'_>,
        mut spec: NodeSpec,
        slot: usize,
        depth: usize,
        shift: isize,
        pending: &mut Vec<(usize, Ref, usize)>,
    ) -> Result<(), NoRoom> {
        let below: Vec<(u8, Ref)> = spec
            .entries
            .iter()
            .copied()
            .filter(|(_, entry)| entry.is_node())
            .collect();
        let mut crossings: Vec<(Ref, Ref)> = Vec::new();
        self.need(spec.units())?;
        let written_at = self.as_ref().head();
        let value = spec.value;
        spec.value = Ref::NONE;
        let node = self.write_node(&spec);
        debug_assert_eq!(written_at * UNIT_BYTES, node.offset());
        if let Some(record) = source.record(value) {
            let copied = self.copy_record(record, depth, shift)?;
            self.set_ref(node.offset() + VALUE_AT, copied);
        }
        for (byte, entry) in &spec.entries {
            let Some(entry_slot) = self.as_ref().node(node).and_then(|node| node.slot(*byte)) else {
                continue;
            };
            if let Some(record) = source.record(*entry) {
                let copied = self.copy_record(record, depth + 1, shift)?;
                self.set_ref(entry_slot, copied);
            } else if let Some(crossing) = source.crossing(*entry) {
                let known = crossings.iter().find(|(old, _)| old == entry).map(|(_, new)| *new);
                let copied = match known {
                    Some(copied) => copied,
                    None => {
                        self.need(1)?;
                        let copied = self.write_crossing(crossing);
                        crossings.push((*entry, copied));
                        copied
                    }
                };
                self.set_ref(entry_slot, copied);
            }
        }
        for (byte, entry) in below.into_iter().rev() {
            if let Some(entry_slot) = self.as_ref().node(node).and_then(|node| node.slot(byte)) {
                pending.push((entry_slot, entry, depth + 1));
            }
        }
        self.set_ref(slot, node);
        Ok(())
    }

    fn copy_record(&mut self, record: RecordRef<'_>, depth: usize, shift: isize) -> Result<Ref, NoRoom> {
        let rest = record.key_len().saturating_sub(depth);
        self.need(record_units(rest, record.value_len()))?;
        Ok(self.write_leaf(
            record.key_len().saturating_add_signed(shift),
            record.suffix(rest),
            &record.trie_stored(),
        ))
    }
}
