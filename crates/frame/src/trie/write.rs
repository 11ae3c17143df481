//! Changes to a trie frame.
//!
//! Whatever is new is written into free units first and becomes visible by one store of a reference. Room is asked for
//! before anything is written, so that [`NoRoom`] leaves the frame as it was. Removals need no room: they store a zero
//! reference, and tidy up as far as room allows.

use super::{Crossing, GARBAGE_AT, HEAD_AT, HEADER_UNITS, RECORDS_AT, ROOT_AT, TAIL_AT, TrieRef};
use crate::{
    Kind, LAYOUT_VERSION, NoRoom, Stored, UNIT_BYTES, Value,
    bytes::{common_prefix, narrow, put_u8, put_u16, put_u32, u16_at},
    node::{NodeRef, NodeSpec, Ref, Tag, VALUE_AT, node_units},
    record::{RecordRef, record_units, write_record},
};

/// Where [`TrieMut::place`] put a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In this frame; `existed` when it replaced a record of the same key.
    Here {
        /// Whether the key was there before.
        existed: bool,
    },
    /// Nowhere yet: it belongs in a frame below, to which the node's entry leads (now, if it did not before).
    Below {
        /// The frame below.
        crossing: Crossing,
        /// Bytes of the key that lead to the crossing's node.
        depth: usize,
    },
}

/// A node on the way to a key: where the reference to it is stored, and how many bytes of the key lead to it.
#[derive(Clone, Copy)]
struct Passed {
    slot: usize,
    depth: usize,
}

/// A trie frame, to be changed.
#[derive(Debug)]
pub struct TrieMut<'a> {
    frame: &'a mut [u8],
}

impl<'a> TrieMut<'a> {
    /// The frame as a trie; the caller knows that it is one.
    pub fn new(frame: &'a mut [u8]) -> Self {
        Self { frame }
    }

    /// Makes the buffer a trie that has no root node yet.
    pub(super) fn begin(frame: &'a mut [u8]) -> Self {
        frame.fill(0);
        put_u8(frame, 0, Kind::Trie as u8);
        put_u8(frame, 1, LAYOUT_VERSION);
        put_u16(frame, TAIL_AT, narrow(frame.len() / UNIT_BYTES));
        put_u16(frame, HEAD_AT, narrow(HEADER_UNITS));
        Self { frame }
    }

    /// Makes an empty trie of the buffer.
    pub fn init(frame: &'a mut [u8]) -> Self {
        let mut trie = Self::begin(frame);
        let root = NodeSpec {
            prefix: Vec::new(),
            value: Ref::NONE,
            entries: Vec::new(),
        };
        let written = trie.write_node(&root);
        trie.set_ref(ROOT_AT, written);
        trie
    }

    /// The frame, to be read.
    pub fn as_ref(&self) -> TrieRef<'_> {
        TrieRef::new(self.frame)
    }

    pub(super) fn need(&self, units: usize) -> Result<(), NoRoom> {
        if units <= self.as_ref().free_units() {
            Ok(())
        } else {
            Err(NoRoom { units })
        }
    }

    fn take_head(&mut self, units: usize) -> usize {
        let unit = self.as_ref().head();
        put_u16(self.frame, HEAD_AT, narrow(unit + units));
        unit
    }

    /// Writes a node into room that was asked for.
    pub(super) fn write_node(&mut self, spec: &NodeSpec) -> Ref {
        let unit = self.take_head(spec.units());
        spec.write(self.frame, unit)
    }

    /// Writes a record that stores the last bytes of its key, into room that was asked for.
    pub(super) fn write_leaf(&mut self, key_len: usize, suffix: &[u8], stored: &Stored<'_>) -> Ref {
        let units = record_units(suffix.len(), stored.value.stored_len());
        let unit = self.as_ref().tail().saturating_sub(units);
        put_u16(self.frame, TAIL_AT, narrow(unit));
        write_record(
            self.frame,
            unit * UNIT_BYTES,
            key_len,
            narrow(suffix.len()),
            suffix,
            stored,
        );
        self.add(RECORDS_AT, 1);
        Ref::new(unit, Tag::Leaf)
    }

    pub(super) fn write_crossing(&mut self, crossing: Crossing) -> Ref {
        let unit = self.take_head(1);
        put_u32(self.frame, unit * UNIT_BYTES, crossing.child);
        put_u32(self.frame, unit * UNIT_BYTES + 4, 0);
        Ref::new(
            unit,
            if crossing.kind == Kind::Flat {
                Tag::Flat
            } else {
                Tag::Trie
            },
        )
    }

    fn get_ref(&self, slot: usize) -> Ref {
        Ref(u16_at(self.frame, slot))
    }

    pub(super) fn set_ref(&mut self, slot: usize, reference: Ref) {
        put_u16(self.frame, slot, reference.0);
    }

    fn add(&mut self, field: usize, amount: isize) {
        let value = usize::from(u16_at(self.frame, field)).saturating_add_signed(amount);
        put_u16(self.frame, field, narrow(value));
    }

    fn waste(&mut self, units: usize) {
        self.add(GARBAGE_AT, units as isize);
    }

    /// Counts a record out whose reference was just replaced.
    fn drop_leaf(&mut self, reference: Ref) {
        if let Some(record) = self.as_ref().record(reference) {
            let units = record.trie_units();
            self.waste(units);
            self.add(RECORDS_AT, -1);
        }
    }

    /// Counts everything out that a reference led to.
    fn drop_subtree(&mut self, reference: Ref) {
        let mut pending = vec![reference];
        while let Some(reference) = pending.pop() {
            if let Some(node) = NodeRef::new(self.frame, reference) {
                pending.push(node.value());
                pending.extend(node.entries().map(|entry| entry.1).filter(|entry| !entry.is_crossing()));
                let units = node.units();
                self.waste(units);
            } else {
                self.drop_leaf(reference);
            }
        }
    }

    /// Puts a record where its key belongs. Where a node has no entry for the key's next byte but another of its entries
    /// leads to a flat frame, the byte joins that frame.
    pub fn place(&mut self, key: &[u8], stored: &Stored<'_>) -> Result<Placed, NoRoom> {
        let value_len = stored.value.stored_len();
        let (mut slot, mut depth) = (ROOT_AT, 0);
        loop {
            let reference = self.get_ref(slot);
            let Some(node) = NodeRef::new(self.frame, reference) else {
                return Err(NoRoom { units: usize::MAX });
            };
            let prefix = node.prefix();
            let rest = key.get(depth..).unwrap_or(&[]);
            let matched = common_prefix(rest, prefix);
            if matched < prefix.len() {
                return self.split_prefix(slot, reference, key, depth + matched, matched, stored);
            }
            depth += matched;
            let Some(&byte) = key.get(depth) else {
                self.need(record_units(0, value_len))?;
                let at = reference.offset() + VALUE_AT;
                let old = self.get_ref(at);
                let new = self.write_leaf(key.len(), &[], stored);
                self.set_ref(at, new);
                self.drop_leaf(old);
                return Ok(Placed::Here {
                    existed: !old.is_none(),
                });
            };
            let entry = node.find(byte);
            match entry.tag() {
                None => return self.fill_gap(slot, reference, key, depth, stored),
                Some(Tag::Leaf) => {
                    let Some(entry_slot) = node.slot(byte) else {
                        return Err(NoRoom { units: usize::MAX });
                    };
                    return self.meet_leaf(entry_slot, entry, key, depth + 1, stored);
                }
                Some(Tag::Flat | Tag::Trie) => {
                    let crossing = self.as_ref().crossing(entry).ok_or(NoRoom { units: usize::MAX })?;
                    return Ok(Placed::Below { crossing, depth });
                }
                Some(_) => {
                    let Some(entry_slot) = node.slot(byte) else {
                        return Err(NoRoom { units: usize::MAX });
                    };
                    slot = entry_slot;
                    depth += 1;
                }
            }
        }
    }

    /// The key leaves a node's prefix after `matched` bytes of it: a node for what both share goes above.
    fn split_prefix(
        &mut self,
        slot: usize,
        reference: Ref,
        key: &[u8],
        depth: usize,
        matched: usize,
        stored: &Stored<'_>,
    ) -> Result<Placed, NoRoom> {
        let Some(node) = NodeRef::new(self.frame, reference) else {
            return Err(NoRoom { units: usize::MAX });
        };
        let old_units = node.units();
        let mut lower = node.spec();
        let rest = lower.prefix.split_off(matched);
        let shared = std::mem::take(&mut lower.prefix);
        let Some((&branch, below)) = rest.split_first() else {
            return Err(NoRoom { units: usize::MAX });
        };
        lower.prefix = below.to_vec();
        let suffix = key.get(depth + 1..).unwrap_or(&[]);
        let record = record_units(suffix.len(), stored.value.stored_len());
        self.need(lower.units() + node_units(2, shared.len()) + record)?;
        let lower = self.write_node(&lower);
        let leaf = self.write_leaf(key.len(), suffix, stored);
        let mut upper = NodeSpec {
            prefix: shared,
            value: Ref::NONE,
            entries: vec![(branch, lower)],
        };
        match key.get(depth) {
            Some(&byte) => upper.set(byte, leaf),
            None => upper.value = leaf,
        }
        let upper = self.write_node(&upper);
        self.set_ref(slot, upper);
        self.waste(old_units);
        Ok(Placed::Here { existed: false })
    }

    /// The node has no entry for the key's byte: it joins a flat frame that the node leads to, or becomes a record here.
    fn fill_gap(
        &mut self,
        slot: usize,
        reference: Ref,
        key: &[u8],
        depth: usize,
        stored: &Stored<'_>,
    ) -> Result<Placed, NoRoom> {
        let Some(node) = NodeRef::new(self.frame, reference) else {
            return Err(NoRoom { units: usize::MAX });
        };
        let Some(&byte) = key.get(depth) else {
            return Err(NoRoom { units: usize::MAX });
        };
        let neighbour = neighbour_flat(node, byte);
        let suffix = key.get(depth + 1..).unwrap_or(&[]);
        let record = if neighbour.is_none() {
            record_units(suffix.len(), stored.value.stored_len())
        } else {
            0
        };
        let in_place = node.is_256();
        let old_units = node.units();
        let node_room = if in_place {
            0
        } else {
            node_units(node.entries().count() + 1, node.prefix_len())
        };
        let mut spec = if in_place { None } else { Some(node.spec()) };
        let entry_slot = node.slot(byte);
        self.need(record + node_room)?;
        let entry = match neighbour {
            Some(crossing) => crossing,
            None => self.write_leaf(key.len(), suffix, stored),
        };
        match (&mut spec, entry_slot) {
            (Some(spec), _) => {
                spec.set(byte, entry);
                let written = self.write_node(spec);
                self.set_ref(slot, written);
                self.waste(old_units);
            }
            (None, Some(entry_slot)) => self.set_ref(entry_slot, entry),
            (None, None) => {}
        }
        match self.as_ref().crossing(entry) {
            Some(crossing) => Ok(Placed::Below { crossing, depth }),
            None => Ok(Placed::Here { existed: false }),
        }
    }

    /// An entry leads to a record: the same key's, which is replaced, or another's, which gets a node above both.
    /// `depth` counts the branch byte.
    fn meet_leaf(
        &mut self,
        slot: usize,
        leaf: Ref,
        key: &[u8],
        depth: usize,
        stored: &Stored<'_>,
    ) -> Result<Placed, NoRoom> {
        let record = RecordRef::new(self.frame, leaf.offset());
        let theirs = record.suffix(record.key_len().saturating_sub(depth));
        let ours = key.get(depth..).unwrap_or(&[]);
        let shared = common_prefix(theirs, ours);
        if shared == theirs.len() && shared == ours.len() {
            self.need(record_units(ours.len(), stored.value.stored_len()))?;
            let new = self.write_leaf(key.len(), ours, stored);
            self.set_ref(slot, new);
            self.drop_leaf(leaf);
            return Ok(Placed::Here { existed: true });
        }
        let suffix = ours.get(shared + 1..).unwrap_or(&[]);
        self.need(record_units(suffix.len(), stored.value.stored_len()) + node_units(2, shared))?;
        let mut spec = NodeSpec {
            prefix: ours.get(..shared).unwrap_or(&[]).to_vec(),
            value: Ref::NONE,
            entries: Vec::with_capacity(2),
        };
        match theirs.get(shared) {
            Some(&byte) => spec.set(byte, leaf),
            None => spec.value = leaf,
        }
        let new = self.write_leaf(key.len(), suffix, stored);
        match ours.get(shared) {
            Some(&byte) => spec.set(byte, new),
            None => spec.value = new,
        }
        let written = self.write_node(&spec);
        self.set_ref(slot, written);
        Ok(Placed::Here { existed: false })
    }

    /// The nodes on the way to the node that `depth` bytes of the key lead to, prefix included.
    fn passed(&self, key: &[u8], depth: usize) -> Option<Vec<Passed>> {
        let mut passed = Vec::new();
        let (mut slot, mut at) = (ROOT_AT, 0);
        loop {
            let node = NodeRef::new(self.frame, self.get_ref(slot))?;
            passed.push(Passed { slot, depth: at });
            let prefix = node.prefix();
            if key.get(at..at + prefix.len()) != Some(prefix) {
                return None;
            }
            at += prefix.len();
            if at >= depth {
                return (at == depth).then_some(passed);
            }
            slot = node.slot(*key.get(at)?)?;
            at += 1;
        }
    }

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

    /// Removes a node's entries to a frame below. `depth` is as in [`Placed::Below`].
    pub fn detach(&mut self, key: &[u8], depth: usize, child: u32) {
        let Some(passed) = self.passed(key, depth) else { return };
        let Some(node) = passed
            .last()
            .and_then(|last| NodeRef::new(self.frame, self.get_ref(last.slot)))
        else {
            return;
        };
        let slots: Vec<usize> = node
            .entries()
            .filter(|(_, entry)| {
                self.as_ref()
                    .crossing(*entry)
                    .is_some_and(|crossing| crossing.child == child)
            })
            .filter_map(|(byte, _)| node.slot(byte))
            .collect();
        for slot in slots {
            self.set_ref(slot, Ref::NONE);
        }
        self.waste(1);
        self.tidy(passed);
    }

    /// After a removal: drops nodes that lead nowhere, joins a node with its only child, shrinks.
    fn tidy(&mut self, mut passed: Vec<Passed>) {
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
                    if live <= shrinks_at(capacity) && self.need(node_units(live, prefix_len)).is_ok() {
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

    /// Makes the entries for `bytes`, of the node that `depth` bytes of `key` lead to, lead to a frame below instead of
    /// where they led before.
    pub fn assign(&mut self, key: &[u8], depth: usize, bytes: &[u8], crossing: Crossing) -> Result<(), NoRoom> {
        let passed = self.passed(key, depth).ok_or(NoRoom { units: usize::MAX })?;
        let slot = passed.last().map_or(ROOT_AT, |last| last.slot);
        let Some(node) = NodeRef::new(self.frame, self.get_ref(slot)) else {
            return Err(NoRoom { units: usize::MAX });
        };
        let old_units = node.units();
        let mut spec = node.spec();
        let before: Vec<Ref> = crossings_of(&spec);
        let existing = before
            .iter()
            .copied()
            .find(|entry| self.as_ref().crossing(*entry) == Some(crossing));
        let replaced: Vec<Ref> = bytes
            .iter()
            .map(|byte| node.find(*byte))
            .filter(|entry| !entry.is_crossing())
            .collect();
        for byte in bytes {
            spec.set(*byte, existing.unwrap_or(Ref(u16::MAX)));
        }
        self.need(spec.units() + 1)?;
        if existing.is_none() {
            let new = self.write_crossing(crossing);
            for byte in bytes {
                spec.set(*byte, new);
            }
        }
        let after = crossings_of(&spec);
        let written = self.write_node(&spec);
        self.set_ref(slot, written);
        self.waste(old_units + before.iter().filter(|entry| !after.contains(entry)).count());
        for entry in replaced {
            self.drop_subtree(entry);
        }
        Ok(())
    }

    /// Puts a new node below the entry for `byte` of the node that `depth` bytes of `key` lead to: it has the prefix and
    /// value given, and its entries for `bytes` lead to the frame below.
    #[allow(clippy::too_many_arguments)]
    pub fn carve(
        &mut self,
        key: &[u8],
        depth: usize,
        byte: u8,
        prefix: &[u8],
        value: Option<&Stored<'_>>,
        bytes: &[u8],
        crossing: Crossing,
    ) -> Result<(), NoRoom> {
        let passed = self.passed(key, depth).ok_or(NoRoom { units: usize::MAX })?;
        let Some(node) = passed
            .last()
            .and_then(|last| NodeRef::new(self.frame, self.get_ref(last.slot)))
        else {
            return Err(NoRoom { units: usize::MAX });
        };
        let Some(slot) = node.slot(byte) else {
            return Err(NoRoom { units: usize::MAX });
        };
        let old = self.get_ref(slot);
        let shared = node.entries().filter(|entry| entry.1 == old).count() > 1;
        let record = value.map_or(0, |value| record_units(0, value.value.stored_len()));
        self.need(node_units(bytes.len(), prefix.len()) + 1 + record)?;
        let below = self.write_crossing(crossing);
        let value = value.map_or(Ref::NONE, |value| self.write_leaf(depth + 1 + prefix.len(), &[], value));
        let entries = bytes.iter().map(|byte| (*byte, below)).collect();
        let written = self.write_node(&NodeSpec {
            prefix: prefix.to_vec(),
            value,
            entries,
        });
        self.set_ref(slot, written);
        if !shared {
            self.waste(1);
        }
        Ok(())
    }
}

/// The flat frame that a byte without an entry joins: the one that the nearest entry below leads to, else above.
fn neighbour_flat(node: NodeRef<'_>, byte: u8) -> Option<Ref> {
    let (mut below, mut above) = (None, None);
    for (entry_byte, entry) in node.entries().filter(|(_, entry)| entry.tag() == Some(Tag::Flat)) {
        if entry_byte < byte {
            below = Some(entry);
        } else if above.is_none() {
            above = Some(entry);
        }
    }
    below.or(above)
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

fn crossings_of(spec: &NodeSpec) -> Vec<Ref> {
    let mut found: Vec<Ref> = Vec::new();
    for (_, entry) in &spec.entries {
        if entry.is_crossing() && !found.contains(entry) {
            found.push(*entry);
        }
    }
    found
}
