//! A trie frame rebuilt: compacted, split, and relieved of subtrees that have earned a flat frame of their own.

use super::{
    Crossing, NodePosition, ROOT_AT, TrieMut, TrieRef,
    region::RegionContents,
    slots::{Slot, SlotCursor},
};
use crate::{
    Frame, FrameMut, Kind, NoRoom, Stored, UNIT_BYTES, max_key_bytes,
    node::{NodeRef, NodeSpec, Ref, VALUE_AT},
    record::{RecordRef, record_units},
};

/// Where a trie frame is best split in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrieCut {
    /// The root's entries from this byte on part from those before it.
    Range(u8),
    /// The node behind this entry of the root parts from everything else.
    Carve(u8),
}

/// What the frame above must know of a trie frame that was split in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrieSplit<'a> {
    /// The right frame has the root's entries from this byte on, the left those before it. A trie frame that entries on
    /// both sides led to is in neither: the entries for these bytes, of the node above, must lead to it themselves.
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
    },
}

/// Keys that go from one flat frame to another together with the part of a trie frame that leads to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The flat frame that the part leads to.
    pub from: u32,
    /// The one that it shall lead to; nowhere, if there are no such keys.
    pub to: Option<u32>,
    /// How many bytes, relative to the trie frame that the part is taken from, lead to the new one's base.
    pub base: usize,
}

/// Copies a frame into a fresh buffer of the same size, leaving garbage behind.
pub fn copy_trie<'s, 't>(source: impl Into<Frame<'s>>, target: impl Into<FrameMut<'t>>) -> Result<(), NoRoom> {
    copy_trie_moved(source, target, &[])
}

/// The same, with other flat frames below.
pub fn copy_trie_moved<'s, 't>(
    source: impl Into<Frame<'s>>,
    target: impl Into<FrameMut<'t>>,
    moved: &[Moved],
) -> Result<(), NoRoom> {
    let source = TrieRef::new(source);
    let mut target = TrieMut::begin(target);
    let root = source.node(source.root_ref()).ok_or(NoRoom { units: usize::MAX })?;
    target.copy_root(source, root, 0, true, moved, &|_| true)
}

/// Splits a frame into two fresh buffers, where [`TrieRef::plan_cut`] said. `moved` is what holds for each.
pub fn split_trie<'a, 'l, 'r>(
    source: impl Into<Frame<'a>>,
    cut: TrieCut,
    moved: [&[Moved]; 2],
    left: impl Into<FrameMut<'l>>,
    right: impl Into<FrameMut<'r>>,
) -> Result<TrieSplit<'a>, NoRoom> {
    const WRONG: NoRoom = NoRoom { units: usize::MAX };
    let source = TrieRef::new(source);
    let root = source.node(source.root_ref()).ok_or(WRONG)?;
    let mut left = TrieMut::begin(left);
    let mut right = TrieMut::begin(right);
    match cut {
        TrieCut::Range(first) => {
            let shared = shared_tries(source, root, first);
            let apart = |byte: u8| shared.iter().any(|(_, bytes)| bytes.contains(&byte));
            left.copy_root(source, root, 0, true, moved[0], &|byte| byte < first && !apart(byte))?;
            right.copy_root(source, root, 0, false, moved[1], &|byte| byte >= first && !apart(byte))?;
            Ok(TrieSplit::Range { first, shared })
        }
        TrieCut::Carve(byte) => {
            let node = source.node(root.find(byte)).ok_or(WRONG)?;
            left.copy_root(source, root, 0, true, moved[0], &|other| other != byte)?;
            right.copy_root(source, node, 1 + node.prefix_len(), false, moved[1], &|_| true)?;
            Ok(TrieSplit::Carve {
                byte,
                prefix: node.prefix().to_vec(),
                value: source.record(node.value()).map(RecordRef::trie_stored),
                bytes: right.as_ref().root_bytes(),
            })
        }
    }
}

/// The trie frames that entries of a node lead to both before `first` and from there on, with the bytes of these entries.
fn shared_tries(source: TrieRef<'_>, node: NodeRef<'_>, first: u8) -> Vec<(Crossing, Vec<u8>)> {
    let mut found: Vec<(Crossing, Vec<u8>)> = Vec::new();
    for (byte, entry) in node.entries() {
        if let Some(crossing) = source.crossing(entry).filter(|crossing| crossing.kind == Kind::Trie) {
            match found.iter_mut().find(|known| known.0 == crossing) {
                Some((_, bytes)) => bytes.push(byte),
                None => found.push((crossing, vec![byte])),
            }
        }
    }
    found.retain(|(_, bytes)| bytes.iter().any(|byte| *byte < first) && bytes.iter().any(|byte| *byte >= first));
    found
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
    TrieMut::begin(below).copy_root(source, root, 0, false, &[], &|_| true)?;
    let mut above = TrieMut::begin(above);
    above.copy_root(source, root, 0, true, &[], &|_| false)?;
    above.assign(&[], 0, &source.root_bytes(), crossing)
}

/// Copies some entries of the node that `path` leads to into a fresh buffer, a trie frame based at that node.
pub fn sink_trie<'s, 't>(
    source: impl Into<Frame<'s>>,
    path: &[u8],
    bytes: &[u8],
    moved: &[Moved],
    target: impl Into<FrameMut<'t>>,
) -> Result<(), NoRoom> {
    let source = TrieRef::new(source);
    let node = source.node_at(path).ok_or(NoRoom { units: usize::MAX })?;
    TrieMut::begin(target).copy_root(source, node, path.len(), false, moved, &|byte| bytes.contains(&byte))
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

    /// Where a full frame is best split: between first bytes if that leaves a quarter on either side, else around the
    /// entry that dominates. None where there is too little to part.
    pub fn plan_cut(self) -> Option<TrieCut> {
        let root = self.node(self.root_ref())?;
        let sizes: Vec<(u8, Ref, usize)> = root
            .entries()
            .map(|(byte, entry)| (byte, entry, self.subtree_units(entry).max(1)))
            .collect();
        let total: usize = sizes.iter().map(|entry| entry.2).sum();
        let mut passed = 0;
        let boundary = sizes
            .iter()
            .map(|(byte, _, units)| {
                let smaller = passed.min(total - passed);
                passed += units;
                (smaller, *byte)
            })
            .max_by_key(|candidate| candidate.0)
            .filter(|candidate| candidate.0 > 0);
        let largest = sizes
            .iter()
            .max_by_key(|entry| entry.2)
            .filter(|entry| entry.1.is_node());
        match (boundary, largest) {
            (Some((smaller, first)), largest) if smaller * 4 >= total || largest.is_none() => {
                Some(TrieCut::Range(first))
            }
            (_, Some((byte, ..))) => Some(TrieCut::Carve(*byte)),
            _ => None,
        }
    }

    /// The node that a cut is made at, and the entries of it that part from the rest.
    pub fn cut_off(self, cut: TrieCut) -> Option<(Vec<u8>, Vec<u8>)> {
        let root = self.node(self.root_ref())?;
        let (path, node, from) = match cut {
            TrieCut::Range(first) => (Vec::new(), root, first),
            TrieCut::Carve(byte) => {
                let node = self.node(root.find(byte))?;
                ([&[byte], node.prefix()].concat(), node, 0)
            }
        };
        let bytes = node
            .entries()
            .map(|entry| entry.0)
            .filter(|byte| *byte >= from)
            .collect();
        Some((path, bytes))
    }

    /// The flat frames that these entries of the node that `path` leads to share with what lies elsewhere, or whose base
    /// lies above that node: what hangs below the entries cannot go elsewhere together with these frames. With the path
    /// to each one's base.
    pub fn entangled(self, path: &[u8], bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let Some(node) = self.node_at(path) else {
            return Vec::new();
        };
        let (mut inside, mut outside) = (RegionContents::default(), RegionContents::default());
        for (byte, entry) in node.entries() {
            let contents = if bytes.contains(&byte) {
                &mut inside
            } else {
                &mut outside
            };
            self.gather(entry, path.len(), &[path, &[byte]].concat(), contents);
        }
        let mut found = inside.flats;
        found.retain(|(child, base)| base.len() < path.len() || outside.flats.iter().any(|(other, _)| other == child));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a flat frame has slots both before these entries of the node that `path` leads to and behind them.
    pub fn spans(self, path: &[u8], bytes: &[u8]) -> bool {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return false;
        };
        let (low, high) = ([path, &[*first]].concat(), [path, &[*last]].concat());
        let (mut before, mut behind) = (None, None);
        let mut cursor = SlotCursor::at_end(self, false);
        while let Some(at) = &mut cursor {
            if let Slot::Across(crossing, _) = at.slot() {
                if at.path < low {
                    before = Some(crossing.child);
                } else if at.path > high && !at.path.starts_with(&high) {
                    behind = Some(crossing.child);
                    break;
                }
            }
            if !at.step(true) {
                break;
            }
        }
        before.is_some() && before == behind
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

    /// The bytes of a node's entries, ascending.
    pub fn bytes_at(self, node: NodePosition) -> Vec<u8> {
        let node = self.node(node.0);
        node.map(|node| node.entries().map(|entry| entry.0).collect())
            .unwrap_or_default()
    }

    /// The bytes of the root's entries, ascending.
    pub fn root_bytes(self) -> Vec<u8> {
        self.bytes_at(self.root())
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

/// The crossing of a copied node that `depth` bytes of the source's keys lead to; None where it leads nowhere any more.
fn redirected(crossing: Crossing, depth: usize, moved: &[Moved]) -> Option<Crossing> {
    let moved = moved.iter().find(|moved| moved.from == crossing.child);
    match moved.filter(|_| crossing.kind == Kind::Flat) {
        Some(Moved { to, base, .. }) => to.map(|child| Crossing {
            child,
            kind: Kind::Flat,
            up: depth.saturating_sub(*base),
        }),
        None => Some(crossing),
    }
}

/// Whether a copy of what is behind a reference, which `depth` bytes of the source's keys lead to, leads to anything: not to
/// flat frames alone that have no keys for it, nor to nodes alone that more than `most` bytes lead to, as no key is so long.
fn goes_on(source: TrieRef<'_>, (reference, depth): (Ref, usize), most: usize, moved: &[Moved]) -> bool {
    let mut pending = vec![(reference, depth)];
    while let Some((reference, depth)) = pending.pop() {
        match (source.node(reference), source.crossing(reference)) {
            (Some(node), _) if depth + node.prefix_len() > most => {}
            (Some(node), _) if node.value().is_none() => {
                let below = depth + node.prefix_len() + 1;
                pending.extend(node.entries().map(|entry| (entry.1, below)));
            }
            (None, Some(crossing)) if redirected(crossing, 0, moved).is_none() => {}
            _ => return true,
        }
    }
    false
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
        moved: &[Moved],
        keep: &dyn Fn(u8) -> bool,
    ) -> Result<(), NoRoom> {
        let mut spec = node.spec();
        spec.prefix.clear();
        spec.entries.retain(|(byte, _)| keep(*byte));
        if !with_value {
            spec.value = Ref::NONE;
        }
        self.copy_nodes(source, spec, ROOT_AT, strip, -(strip as isize), moved)
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
        moved: &[Moved],
    ) -> Result<(), NoRoom> {
        // Where the reference to a node must be written, the node in the source, and the bytes that lead to it.
        let mut pending = Vec::new();
        self.copy_node(source, top, slot, depth, shift, moved, &mut pending)?;
        while let Some((slot, reference, depth)) = pending.pop() {
            let node = source.node(reference).ok_or(NoRoom { units: usize::MAX })?;
            let depth = depth + node.prefix_len();
            self.copy_node(source, node.spec(), slot, depth, shift, moved, &mut pending)?;
        }
        Ok(())
    }

    /// Copies one node with its records and crossings; nodes below it are left in `pending`. `depth` bytes of the source's
    /// keys lead to the node, prefix included.
    #[allow(clippy::too_many_arguments)]
    fn copy_node(
        &mut self,
        source: TrieRef<'_>,
        mut spec: NodeSpec,
        slot: usize,
        depth: usize,
        shift: isize,
        moved: &[Moved],
        pending: &mut Vec<(usize, Ref, usize)>,
    ) -> Result<(), NoRoom> {
        if !moved.is_empty() || shift > 0 {
            let most = max_key_bytes(self.frame.len()).saturating_add_signed(-shift);
            spec.entries
                .retain(|(_, entry)| goes_on(source, (*entry, depth + 1), most, moved));
        }
        if spec.entries.is_empty() && spec.value.is_none() && slot != ROOT_AT {
            self.set_ref(slot, Ref::NONE);
            return Ok(());
        }
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
        for (byte, entry) in spec.entries.iter().filter(|(_, entry)| !entry.is_node()) {
            let Some(entry_slot) = self.as_ref().node(node).and_then(|node| node.slot(*byte)) else {
                continue;
            };
            if let Some(record) = source.record(*entry) {
                let copied = self.copy_record(record, depth + 1, shift)?;
                self.set_ref(entry_slot, copied);
            } else if let Some(crossing) = source.crossing(*entry).and_then(|it| redirected(it, depth, moved)) {
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
        for (byte, entry) in spec.entries.iter().rev().filter(|(_, entry)| entry.is_node()) {
            if let Some(entry_slot) = self.as_ref().node(node).and_then(|node| node.slot(*byte)) {
                pending.push((entry_slot, *entry, depth + 1));
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
