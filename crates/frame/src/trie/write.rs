//! Changes to a trie frame: the writer, and where a record goes.
//!
//! Whatever is new is written into free units first and becomes visible by one store of a reference. Room is asked for
//! before anything is written, so that [`NoRoom`] leaves the frame as it was.

use super::{Crossing, GARBAGE_AT, HEAD_AT, HEADER_UNITS, RECORDS_AT, ROOT_AT, Seek, TAIL_AT, TrieRef};
use crate::{
    Kind, LAYOUT_VERSION, NoRoom, Stored, UNIT_BYTES,
    bytes::{FrameMut, common_prefix, narrow, put_u8, put_u16, put_u32, u16_at},
    node::{NodeRef, NodeSpec, Ref, Tag, VALUE_AT, node_units, put_in_place},
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
        /// Bytes of the key that lead to the base of the frame below.
        depth: usize,
    },
}

/// A trie frame, to be changed.
#[derive(Debug)]
pub struct TrieMut<'a> {
    pub(super) frame: FrameMut<'a>,
}

impl<'a> TrieMut<'a> {
    /// The frame as a trie; the caller knows that it is one.
    pub fn new(frame: impl Into<FrameMut<'a>>) -> Self {
        Self { frame: frame.into() }
    }

    /// Makes the buffer a trie that has no root node yet.
    pub(super) fn begin(frame: impl Into<FrameMut<'a>>) -> Self {
        let frame = frame.into();
        frame.clear(0, frame.len() / UNIT_BYTES);
        put_u8(frame, 0, Kind::Trie as u8);
        put_u8(frame, 1, LAYOUT_VERSION);
        put_u16(frame, TAIL_AT, narrow(frame.len() / UNIT_BYTES));
        put_u16(frame, HEAD_AT, narrow(HEADER_UNITS));
        Self { frame }
    }

    /// Makes an empty trie of the buffer.
    pub fn init(frame: impl Into<FrameMut<'a>>) -> Self {
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
        put_u16(self.frame, unit * UNIT_BYTES + 4, narrow(crossing.up));
        put_u16(self.frame, unit * UNIT_BYTES + 6, 0);
        Ref::new(
            unit,
            if crossing.kind == Kind::Flat {
                Tag::Flat
            } else {
                Tag::Trie
            },
        )
    }

    pub(super) fn get_ref(&self, slot: usize) -> Ref {
        Ref(u16_at(self.frame, slot))
    }

    pub(super) fn set_ref(&mut self, slot: usize, reference: Ref) {
        put_u16(self.frame, slot, reference.0);
    }

    fn add(&mut self, field: usize, amount: isize) {
        let value = usize::from(u16_at(self.frame, field)).saturating_add_signed(amount);
        put_u16(self.frame, field, narrow(value));
    }

    pub(super) fn waste(&mut self, units: usize) {
        self.add(GARBAGE_AT, units as isize);
    }

    /// Counts a record out whose reference was just replaced.
    pub(super) fn drop_leaf(&mut self, reference: Ref) {
        if let Some(record) = self.as_ref().record(reference) {
            let units = record.trie_units();
            self.waste(units);
            self.add(RECORDS_AT, -1);
        }
    }

    /// Puts a record where its key belongs. Where the key leaves the nodes' paths and the slot before it, or else the one
    /// behind it, leads to a flat frame whose base is on the key's path, the key joins that frame.
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
                    return Ok(placed(Some(crossing), depth));
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
        let joined = key.get(depth).and_then(|byte| {
            self.as_ref()
                .flat_at_end(reference, depth - matched, *byte > branch, depth)
        });
        let suffix = key.get(depth + 1..).unwrap_or(&[]);
        let entry_units = match joined {
            Some(_) => 1,
            None => record_units(suffix.len(), stored.value.stored_len()),
        };
        self.need(lower.units() + node_units(2, shared.len()) + entry_units)?;
        let lower = self.write_node(&lower);
        let entry = match joined {
            Some(crossing) => self.write_crossing(crossing),
            None => self.write_leaf(key.len(), suffix, stored),
        };
        let mut upper = NodeSpec {
            prefix: shared,
            value: Ref::NONE,
            entries: vec![(branch, lower)],
        };
        match key.get(depth) {
            Some(&byte) => upper.set(byte, entry),
            None => upper.value = entry,
        }
        let upper = self.write_node(&upper);
        self.set_ref(slot, upper);
        self.waste(old_units);
        Ok(placed(joined, depth))
    }

    /// The node has no entry for the key's byte: it joins a flat frame beside it, or becomes a record here.
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
        let joined = self.as_ref().flat_beside_gap(node, byte, depth);
        let known = joined.and_then(|crossing| {
            let mut entries = node.entries().map(|entry| entry.1);
            entries.find(|entry| self.as_ref().crossing(*entry) == Some(crossing))
        });
        let suffix = key.get(depth + 1..).unwrap_or(&[]);
        let entry_units = match (joined, known) {
            (_, Some(_)) => 0,
            (Some(_), None) => 1,
            (None, None) => record_units(suffix.len(), stored.value.stored_len()),
        };
        let old_units = node.units();
        let grown = if node.takes_in_place(byte) {
            None
        } else {
            Some(node.spec())
        };
        let node_room = grown
            .as_ref()
            .map_or(0, |spec| node_units(spec.entries.len() + 1, spec.prefix.len()));
        self.need(entry_units + node_room)?;
        let entry = match (known, joined) {
            (Some(known), _) => known,
            (None, Some(crossing)) => self.write_crossing(crossing),
            (None, None) => self.write_leaf(key.len(), suffix, stored),
        };
        match grown {
            None => put_in_place(self.frame, reference, byte, entry),
            Some(mut spec) => {
                spec.set(byte, entry);
                let written = self.write_node(&spec);
                self.set_ref(slot, written);
                self.waste(old_units);
            }
        }
        Ok(placed(joined, depth))
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
        let record = RecordRef::new(self.frame.into(), leaf.offset());
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
}

/// Where a record went whose entry, of a node that `depth` bytes lead to, leads across or is the record.
fn placed(crossing: Option<Crossing>, depth: usize) -> Placed {
    match crossing {
        Some(crossing) => Placed::Below {
            crossing,
            depth: depth.saturating_sub(crossing.up),
        },
        None => Placed::Here { existed: false },
    }
}

impl TrieRef<'_> {
    /// The frame below to which [`TrieMut::place`] would send a key, and the bytes of the key that lead to that frame's
    /// base; None where it would take the record itself.
    pub fn seek_place(self, key: &[u8]) -> Option<(Crossing, usize)> {
        match self.seek(key) {
            Seek::Below { crossing, depth } => return Some((crossing, depth)),
            Seek::Found(_) => return None,
            Seek::Absent => {}
        }
        let (mut reference, mut depth) = (self.root_ref(), 0);
        loop {
            let node = self.node(reference)?;
            let prefix = node.prefix();
            let matched = common_prefix(key.get(depth..).unwrap_or(&[]), prefix);
            let start = depth;
            depth += matched;
            let byte = *key.get(depth)?;
            let joined = if let Some(branch) = prefix.get(matched) {
                self.flat_at_end(reference, start, byte > *branch, depth)
            } else {
                let entry = node.find(byte);
                if !entry.is_none() {
                    reference = entry;
                    depth += 1;
                    continue;
                }
                self.flat_beside_gap(node, byte, depth)
            }?;
            return Some((joined, depth.checked_sub(joined.up)?));
        }
    }

    /// The flat frame that a byte without an entry joins, at a node that `depth` bytes lead to.
    fn flat_beside_gap(self, node: NodeRef<'_>, byte: u8, depth: usize) -> Option<Crossing> {
        let beside = |entry: Option<(u8, Ref)>, last: bool| self.flat_at_end(entry?.1, depth + 1, last, depth);
        let before = beside(node.last_before(usize::from(byte)), true);
        before.or_else(|| beside(node.next_from(usize::from(byte) + 1), false))
    }

    /// The flat frame that the last slot behind a reference leads to, or the first, as a crossing of a node that `depth`
    /// bytes lead to: None where that is something else, or has its base below that node. `start` bytes lead to what is
    /// referred to, without its prefix.
    pub(super) fn flat_at_end(
        self,
        mut reference: Ref,
        mut start: usize,
        last: bool,
        depth: usize,
    ) -> Option<Crossing> {
        let mut holder = depth;
        while let Some(node) = self.node(reference) {
            if !last && !node.value().is_none() {
                return None;
            }
            let end = if last { node.last_before(256) } else { node.next_from(0) };
            reference = end?.1;
            holder = start + node.prefix_len();
            start = holder + 1;
        }
        let crossing = self
            .crossing(reference)
            .filter(|crossing| crossing.kind == Kind::Flat)?;
        let base = holder.checked_sub(crossing.up)?;
        Some(Crossing {
            up: depth.checked_sub(base)?,
            ..crossing
        })
    }
}
