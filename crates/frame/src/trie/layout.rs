//! A region of a trie frame laid out anew: its keys parted among flat frames, with as few nodes above as that takes.

use super::{Crossing, TrieMut, region::Region};
use crate::{
    Item, Kind, NoRoom,
    bytes::common_prefix,
    node::{NodeRef, NodeSpec, Ref, node_units, put_in_place},
    record::record_units,
};

/// Where an entry is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Nowhere,
    /// To the flat frame of this part.
    Part(usize),
    /// To this item, as a record.
    Record(usize),
    /// To the planned node of this number, which is higher than that of the node that the entry is in.
    Node(usize),
}

#[derive(Debug)]
struct PlannedNode {
    /// The prefix is part of this item's key.
    item: usize,
    prefix: std::ops::Range<usize>,
    own: Option<usize>,
    /// Bytes that lead to the node, its prefix included.
    depth: usize,
    entries: Vec<(u8, Goes)>,
}

/// An entry to be planned.
#[derive(Clone, Copy, Debug)]
enum Place {
    Top(usize),
    Entry(usize, usize),
}

/// The slots of one part.
#[derive(Clone, Default)]
struct PartSlots {
    count: usize,
    last: Option<Place>,
    /// From the first item of the first slot to the end of the last.
    items: Option<std::ops::Range<usize>>,
    /// The fewest bytes that lead to a node which holds one.
    depth: usize,
}

impl PartSlots {
    fn add(&mut self, place: Place, items: std::ops::Range<usize>, depth: usize) {
        self.depth = if self.count == 0 { depth } else { self.depth.min(depth) };
        self.count += 1;
        self.last = Some(place);
        self.items = Some(match &self.items {
            Some(known) => known.start.min(items.start)..known.end.max(items.end),
            None => items,
        });
    }
}

/// How a region's records part, and what nodes lead to them.
#[derive(Debug)]
pub struct Layout {
    nodes: Vec<PlannedNode>,
    tops: Vec<Goes>,
    /// Bytes that lead to each part's base; None for a part that needs no frame.
    bases: Vec<Option<usize>>,
    /// The items that become nodes' own records, ascending.
    owned: Vec<usize>,
    /// The item that becomes a record, though it is no node's own.
    guest: Option<usize>,
    /// The deepest that the base of each part may lie.
    reach: Vec<usize>,
}

impl Layout {
    /// Plans a region for these records, which are all that it holds, keys relative to the trie frame, ascending. Part
    /// `p` gets the items from the end of the part before it, or 0, to `ends[p]`; the part of `guest` is that item alone,
    /// which becomes a record of the trie frame. The base of each part lies no deeper than `reach` says, so that other keys
    /// which share that many bytes can join its frame. None where a record does not belong.
    pub fn plan(
        region: &Region<'_>,
        items: &[Item<'_>],
        ends: &[usize],
        guest: Option<usize>,
        reach: &[usize],
    ) -> Option<Self> {
        let mut layout = Self {
            nodes: Vec::new(),
            tops: vec![Goes::Nowhere; region.tops.len()],
            bases: vec![None; ends.len()],
            owned: Vec::new(),
            guest,
            reach: reach.to_vec(),
        };
        let mut slots: Vec<PartSlots> = vec![PartSlots::default(); ends.len()];
        let part_of = |item: usize| ends.partition_point(|end| *end <= item);
        let mut next = 0;
        for (at, top) in region.tops.iter().enumerate() {
            let first = next;
            next += run_of(items.get(first..)?, |key| key.starts_with(&top.path));
            let mut pending = vec![(Place::Top(at), first, next, top.depth)];
            while let Some((place, first, end, depth)) = pending.pop() {
                if first == end {
                    continue;
                }
                let part = part_of(first);
                if guest == Some(first) && first + 1 == end {
                    layout.lead(place, Goes::Record(first));
                } else if part == part_of(end - 1) {
                    slots.get_mut(part)?.add(place, first..end, depth);
                    layout.lead(place, Goes::Part(part));
                } else {
                    layout.add_node(items, place, first, end, depth, &mut pending)?;
                }
            }
        }
        if next != items.len() {
            return None;
        }
        for (part, slots) in slots.into_iter().enumerate() {
            let (Some(range), Some(place)) = (slots.items, slots.last) else {
                continue;
            };
            let shared = layout.shared(items, part, &range)?;
            *layout.bases.get_mut(part)? = Some(slots.depth.min(shared));
            if slots.count == 1 {
                layout.deepen(items, part, place, range, slots.depth)?;
            }
        }
        layout.owned.sort_unstable();
        Some(layout)
    }

    /// How many bytes a part's keys share, and others that are to join it.
    fn shared(&self, items: &[Item<'_>], part: usize, range: &std::ops::Range<usize>) -> Option<usize> {
        let (low, high) = (items.get(range.start)?, items.get(range.end - 1)?);
        let reach = self.reach.get(part).copied().unwrap_or(usize::MAX);
        Some(common_prefix(low.key, high.key).min(reach))
    }

    fn lead(&mut self, place: Place, goes: Goes) {
        let entry = match place {
            Place::Top(top) => self.tops.get_mut(top),
            Place::Entry(node, entry) => self
                .nodes
                .get_mut(node)
                .and_then(|node| node.entries.get_mut(entry))
                .map(|entry| &mut entry.1),
        };
        if let Some(entry) = entry {
            *entry = goes;
        }
    }

    /// Plans a node where the items' keys part, below an entry of a node that `above` bytes lead to. Its entries are left
    /// in `pending`.
    fn add_node(
        &mut self,
        items: &[Item<'_>],
        place: Place,
        first: usize,
        end: usize,
        above: usize,
        pending: &mut Vec<(Place, usize, usize, usize)>,
    ) -> Option<usize> {
        let (low, high) = (items.get(first)?, items.get(end.checked_sub(1)?)?);
        let depth = common_prefix(low.key, high.key);
        let number = self.nodes.len();
        let own = (low.key.len() == depth).then_some(first);
        self.owned.extend(own);
        let mut entries = Vec::new();
        let mut at = first + usize::from(own.is_some());
        while at < end {
            let byte = *items.get(at)?.key.get(depth)?;
            let from = at;
            at += run_of(items.get(at..end)?, |key| key.get(depth) == Some(&byte));
            pending.push((Place::Entry(number, entries.len()), from, at, depth));
            entries.push((byte, Goes::Nowhere));
        }
        self.nodes.push(PlannedNode {
            item: first,
            prefix: above + 1..depth,
            own,
            depth,
            entries,
        });
        self.lead(place, Goes::Node(number));
        Some(number)
    }

    /// A part with one slot gets a node of its own where its keys part, if what that leaves off the keys is worth it.
    fn deepen(
        &mut self,
        items: &[Item<'_>],
        part: usize,
        place: Place,
        range: std::ops::Range<usize>,
        above: usize,
    ) -> Option<()> {
        let low = items.get(range.start)?;
        let depth = common_prefix(low.key, items.get(range.end - 1)?.key);
        if self.shared(items, part, &range)? < depth {
            return Some(());
        }
        let gain = (depth - above) * (range.end - range.start);
        let mut entries = 0;
        let mut at = range.start + usize::from(low.key.len() == depth);
        while at < range.end {
            let byte = items.get(at)?.key.get(depth);
            at += run_of(items.get(at..range.end)?, |key| key.get(depth) == byte);
            entries += 1;
        }
        let cost = (node_units(entries, depth - above) + 2) * crate::UNIT_BYTES;
        if entries == 0 || gain < 2 * cost {
            return Some(());
        }
        let mut pending = Vec::new();
        let node = self.add_node(items, place, range.start, range.end, above, &mut pending)?;
        for entry in &mut self.nodes.get_mut(node)?.entries {
            entry.1 = Goes::Part(part);
        }
        *self.bases.get_mut(part)? = Some(depth);
        Some(())
    }

    /// Bytes that lead to the base of a part's frame; None for a part that needs none.
    pub fn base(&self, part: usize) -> Option<usize> {
        self.bases.get(part).copied().flatten()
    }

    /// The items that become nodes' own records, and so are in no flat frame, ascending.
    pub fn owned(&self) -> &[usize] {
        &self.owned
    }

    fn crossing(&self, part: usize, depth: usize, children: &[u32]) -> Option<Crossing> {
        Some(Crossing {
            child: *children.get(part)?,
            kind: Kind::Flat,
            up: depth - self.base(part)?,
        })
    }

    fn units(&self, region: &Region<'_>, items: &[Item<'_>]) -> usize {
        let nodes: usize = self
            .nodes
            .iter()
            .map(|node| {
                let own = node.own.and_then(|own| items.get(own));
                node_units(node.entries.len(), node.prefix.len())
                    + parts_of(node.entries.iter().map(|entry| entry.1))
                    + own.map_or(0, |own| record_units(0, own.stored.value.stored_len()))
            })
            .sum();
        let guest = self.guest.and_then(|guest| items.get(guest));
        let guest = guest.map_or(0, |guest| {
            record_units(guest.key.len(), guest.stored.value.stored_len())
        });
        let same_node = |a: &usize, b: &usize| {
            let node = |at: &usize| region.tops.get(*at).map(|top| top.node);
            node(a) == node(b)
        };
        let tops: Vec<usize> = (0..region.tops.len()).collect();
        let crossings: usize = tops
            .chunk_by(same_node)
            .map(|group| parts_of(group.iter().filter_map(|at| self.tops.get(*at)).copied()))
            .sum();
        nodes + crossings + guest
    }
}

/// How many items at the start of these have keys that `belongs` says yes of, and which are neighbours.
fn run_of(items: &[Item<'_>], belongs: impl Fn(&[u8]) -> bool) -> usize {
    match items.first() {
        Some(first) if belongs(first.key) => items.partition_point(|item| belongs(item.key)),
        _ => 0,
    }
}

/// How many different parts entries lead to; those of one part are neighbours.
fn parts_of(entries: impl Iterator<Item = Goes>) -> usize {
    let mut last = None;
    entries
        .filter(|goes| matches!(goes, Goes::Part(_)) && last.replace(*goes) != Some(*goes))
        .count()
}

impl TrieMut<'_> {
    /// Makes a region be as planned. The frame is a copy, byte for byte, of the one that the region was found in;
    /// `children` are the numbers of the parts' frames.
    pub fn lay(
        &mut self,
        region: &Region<'_>,
        layout: &Layout,
        items: &[Item<'_>],
        children: &[u32],
    ) -> Result<(), NoRoom> {
        const WRONG: NoRoom = NoRoom { units: usize::MAX };
        self.need(layout.units(region, items))?;
        let mut written = vec![Ref::NONE; layout.nodes.len()];
        for (number, node) in layout.nodes.iter().enumerate().rev() {
            let key = items.get(node.item).ok_or(WRONG)?.key;
            let mut last = (Goes::Nowhere, Ref::NONE);
            let mut entries = Vec::with_capacity(node.entries.len());
            for (byte, goes) in &node.entries {
                let entry = self.led(*goes, &mut last, node.depth, layout, (items, children), &written)?;
                entries.push((*byte, entry));
            }
            let value = match node.own.and_then(|own| items.get(own)) {
                Some(own) => self.write_leaf(own.key.len(), &[], &own.stored),
                None => Ref::NONE,
            };
            let reference = self.write_node(&NodeSpec {
                prefix: key.get(node.prefix.clone()).ok_or(WRONG)?.to_vec(),
                value,
                entries,
            });
            *written.get_mut(number).ok_or(WRONG)? = reference;
        }
        let mut replaced: Vec<Ref> = Vec::new();
        let mut last = (Goes::Nowhere, Ref::NONE);
        let mut last_node = Ref::NONE;
        for (top, goes) in region.tops.iter().zip(&layout.tops) {
            if top.node != last_node {
                last = (Goes::Nowhere, Ref::NONE);
                last_node = top.node;
            }
            let entry = self.led(*goes, &mut last, top.depth, layout, (items, children), &written)?;
            let old = NodeRef::new(self.frame, top.node).map_or(Ref::NONE, |node| node.find(top.byte));
            put_in_place(self.frame, top.node, top.byte, entry);
            if !replaced.contains(&old) {
                replaced.push(old);
            }
        }
        for old in replaced {
            if old.is_crossing() {
                self.waste(1);
            } else {
                self.drop_subtree(old);
            }
        }
        // Nodes that lost entries may lead nowhere now, or to one place only; the deepest first.
        let mut thinned: Vec<&[u8]> = region
            .tops
            .iter()
            .zip(&layout.tops)
            .filter(|(_, goes)| **goes == Goes::Nowhere)
            .filter_map(|(top, _)| top.path.get(..top.depth))
            .collect();
        thinned.sort_by_key(|path| std::cmp::Reverse(path.len()));
        thinned.dedup();
        for path in thinned {
            if let Some(passed) = self.passed(path, path.len()) {
                self.tidy(passed);
            }
        }
        Ok(())
    }

    /// The reference for an entry; neighbouring entries that lead to the same part share a crossing.
    fn led(
        &mut self,
        goes: Goes,
        last: &mut (Goes, Ref),
        depth: usize,
        layout: &Layout,
        (items, children): (&[Item<'_>], &[u32]),
        written: &[Ref],
    ) -> Result<Ref, NoRoom> {
        Ok(match goes {
            Goes::Nowhere => Ref::NONE,
            Goes::Node(node) => written.get(node).copied().unwrap_or(Ref::NONE),
            Goes::Record(item) => {
                let item = items.get(item).ok_or(NoRoom { units: usize::MAX })?;
                let suffix = item.key.get(depth + 1..).unwrap_or(&[]);
                self.write_leaf(item.key.len(), suffix, &item.stored)
            }
            Goes::Part(_) if last.0 == goes => last.1,
            Goes::Part(part) => {
                let crossing = layout
                    .crossing(part, depth, children)
                    .ok_or(NoRoom { units: usize::MAX })?;
                let written = self.write_crossing(crossing);
                *last = (goes, written);
                written
            }
        })
    }
}
