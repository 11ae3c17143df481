//! Removals from a trie frame, and the tidying after them.
//!
//! A removal needs no room: it stores a zero reference. What is left behind is tidied up as far as room allows.

use super::{ROOT_AT, TrieMut};
use crate::{
    Stored, Value,
    node::{NodeRef, Ref, Tag, VALUE_AT, node_units},
    record::record_units,
};

/// A node on the way to a key: where the reference to it is stored, and how many bytes of the key lead to it.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub(super) slot: usize,
    pub(super) depth: usize,
}

impl TrieMut<'_> {
    /// Removes a record of this frame. False where it holds none of that key.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let mut passed = Vec::new();
        let (mut slot, mut depth) = (ROOT_AT, 0);
        loop {
            let reference = self.get_ref(slot);
            let Some(node) = NodeRef::new(self.frame, reference) else {
                return false;
            };
            passed.push(Passed { slot, depth });
            let prefix = node.prefix();
            if key.get(depth..depth + prefix.len()) != Some(prefix) {
                return false;
            }
            depth += prefix.len();
            let found = match key.get(depth) {
                None => Some(reference.offset() + VALUE_AT),
                Some(&byte) => node.slot(byte),
            };
            let Some(found) = found else { return false };
            let entry = self.get_ref(found);
            if depth < key.len() && entry.is_node() {
                slot = found;
                depth += 1;
                continue;
            }
            let Some(record) = self.as_ref().record(entry) else {
                return false;
            };
            let rest = key.get(depth + 1..).unwrap_or(&[]);
            if record.key_len() != key.len() || (depth < key.len() && record.suffix(rest.len()) != rest) {
                return false;
            }
            self.set_ref(found, Ref::NONE);
            self.drop_leaf(entry);
            self.tidy(passed);
            return true;
        }
    }

    /// After a removal: drops nodes that lead nowhere, joins a node with its only child, shrinks.
    pub(super) fn tidy(&mut self, mut passed: Vec<Passed>) {
        while let Some(Passed { slot, depth }) = passed.pop() {
            let Some(node) = NodeRef::new(self.frame, self.get_ref(slot)) else {
                return;
            };
            let (units, prefix_len, value, capacity) = (node.units(), node.prefix_len(), node.value(), node.capacity());
            let (first, second) = {
                let mut entries = node.entries();
                (entries.next(), entries.next())
            };
            let is_root = passed.is_empty();
            match (first, second) {
                (None, _) if value.is_none() && !is_root => {
                    self.set_ref(slot, Ref::NONE);
                    self.waste(units);
                    continue;
                }
                (None, _) if !is_root => self.hoist_leaf(slot, value, depth, units),
                (Some((_, leaf)), None) if value.is_none() && !is_root && leaf.tag() == Some(Tag::Leaf) => {
                    self.hoist_leaf(slot, leaf, depth, units);
                }
                (Some((byte, child)), None) if value.is_none() && !is_root && child.is_node() => {
                    self.join_child(slot, byte, child);
                }
                _ => {
                    let live = node.entries().count();
                    if capacity > 4 && live <= shrinks_at(capacity) && self.need(node_units(live, prefix_len)).is_ok() {
                        let spec = node.spec();
                        let written = self.write_node(&spec);
                        self.set_ref(slot, written);
                        self.waste(units);
                    }
                }
            }
            return;
        }
    }

    /// Replaces a node by the only record it leads to, rewriting the record if it stores too little of its key.
    fn hoist_leaf(&mut self, slot: usize, leaf: Ref, depth: usize, node_units: usize) {
        let Some(record) = self.as_ref().record(leaf) else {
            return;
        };
        let needed = record.key_len().saturating_sub(depth);
        if usize::from(record.link()) >= needed {
            self.set_ref(slot, leaf);
            self.waste(node_units);
            return;
        }
        let Some(node) = NodeRef::new(self.frame, self.get_ref(slot)) else {
            return;
        };
        let mut suffix = node.prefix().to_vec();
        if let Some((byte, entry)) = node.entries().next()
            && entry == leaf
        {
            suffix.push(byte);
            suffix.extend_from_slice(record.suffix(needed.saturating_sub(suffix.len())));
        }
        if suffix.len() != needed || self.need(record_units(needed, record.value_len())).is_err() {
            return;
        }
        let (key_len, stored) = (record.key_len(), record.trie_stored());
        let bytes = if let Value::Inline(bytes) = stored.value {
            bytes.to_vec()
        } else {
            Vec::new()
        };
        let value = match stored.value {
            Value::Inline(_) => Value::Inline(&bytes),
            Value::Extent { blob, len } => Value::Extent { blob, len },
        };
        let new = self.write_leaf(
            key_len,
            &suffix,
            &Stored {
                version: stored.version,
                value,
            },
        );
        self.set_ref(slot, new);
        self.drop_leaf(leaf);
        self.waste(node_units);
    }

    /// Joins a node that has no value with the only node it leads to.
    fn join_child(&mut self, slot: usize, byte: u8, child: Ref) {
        let Some(node) = NodeRef::new(self.frame, self.get_ref(slot)) else {
            return;
        };
        let Some(below) = NodeRef::new(self.frame, child) else {
            return;
        };
        let units = node.units() + below.units();
        let mut spec = below.spec();
        let mut prefix = node.prefix().to_vec();
        prefix.push(byte);
        prefix.append(&mut spec.prefix);
        spec.prefix = prefix;
        if self.need(spec.units()).is_ok() {
            let written = self.write_node(&spec);
            self.set_ref(slot, written);
            self.waste(units);
        }
    }
}

/// A node of this capacity is rewritten as a smaller one when no more entries than this are left: fewer than the smaller
/// one takes, so that a key that comes and goes does not rewrite it each time.
fn shrinks_at(capacity: usize) -> usize {
    match capacity {
        16 => 3,
        48 => 12,
        256 => 36,
        _ => 0,
    }
}
