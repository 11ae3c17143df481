//! A trie frame's entries to other frames: set, given a node of their own, removed.

use super::{Crossing, ROOT_AT, TrieMut, remove::Passed};
use crate::{
    NoRoom, Stored,
    bytes::put_u32,
    node::{NodeRef, NodeSpec, Ref, node_units, put_in_place},
    record::record_units,
};

impl TrieMut<'_> {
    /// The nodes on the way to the node that `depth` bytes of the key lead to, prefix included.
    pub(super) fn passed(&self, key: &[u8], depth: usize) -> Option<Vec<Passed>> {
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

    /// Counts everything out that a reference led to.
    pub(super) fn drop_subtree(&mut self, reference: Ref) {
        let mut pending = vec![reference];
        while let Some(reference) = pending.pop() {
            if let Some(node) = NodeRef::new(self.frame, reference) {
                let (spec, units) = (node.spec(), node.units());
                pending.push(spec.value);
                pending.extend(spec.entries.iter().map(|entry| entry.1));
                self.waste(units + crossings_of(&spec).len());
            } else {
                self.drop_leaf(reference);
            }
        }
    }

    /// Makes the entries for `bytes`, which ascend, of the node that `depth` bytes of `key` lead to, lead to a frame below
    /// instead of where they led before. Takes no more than one unit where the node has all of these entries.
    pub fn assign(&mut self, key: &[u8], depth: usize, bytes: &[u8], crossing: Crossing) -> Result<(), NoRoom> {
        let passed = self.passed(key, depth).ok_or(NoRoom { units: usize::MAX })?;
        let slot = passed.last().map_or(ROOT_AT, |last| last.slot);
        let reference = self.get_ref(slot);
        let Some(node) = NodeRef::new(self.frame, reference) else {
            return Err(NoRoom { units: usize::MAX });
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let old_units = node.units();
        let mut spec = node.spec();
        let before = crossings_of(&spec);
        let existing = before
            .iter()
            .copied()
            .find(|entry| self.as_ref().crossing(*entry) == Some(crossing));
        let replaced: Vec<Ref> = bytes
            .iter()
            .map(|byte| node.find(*byte))
            .filter(|entry| !entry.is_crossing())
            .collect();
        let in_place = bytes.iter().all(|byte| node.slot(*byte).is_some());
        let node_room = if in_place {
            0
        } else {
            let added = replaced.iter().filter(|entry| entry.is_none()).count();
            node_units(spec.entries.len() + added, spec.prefix.len())
        };
        self.need(node_room + usize::from(existing.is_none()))?;
        let entry = match existing {
            Some(existing) => existing,
            None => self.write_crossing(crossing),
        };
        for byte in bytes {
            spec.set(*byte, entry);
            if in_place {
                put_in_place(self.frame, reference, *byte, entry);
            }
        }
        if !in_place {
            let written = self.write_node(&spec);
            self.set_ref(slot, written);
            self.waste(old_units);
        }
        let after = crossings_of(&spec);
        self.waste(before.iter().filter(|entry| !after.contains(entry)).count());
        for entry in replaced {
            self.drop_subtree(entry);
        }
        Ok(())
    }

    /// Puts a new node below the entry for `byte` of the node that `depth` bytes of `key` lead to: it has the prefix and
    /// value given, and its entries for `bytes`, which ascend, lead to the frame below. What the entry led to before is no
    /// longer reached by it.
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
        let crossing_room = usize::from(!bytes.is_empty());
        self.need(node_units(bytes.len(), prefix.len()) + crossing_room + record)?;
        let below = if bytes.is_empty() {
            Ref::NONE
        } else {
            self.write_crossing(crossing)
        };
        let value = value.map_or(Ref::NONE, |value| self.write_leaf(depth + 1 + prefix.len(), &[], value));
        let entries: Vec<(u8, Ref)> = bytes.iter().map(|byte| (*byte, below)).collect();
        let written = if entries.is_empty() && value.is_none() {
            Ref::NONE
        } else {
            self.write_node(&NodeSpec {
                prefix: prefix.to_vec(),
                value,
                entries,
            })
        };
        self.set_ref(slot, written);
        if !old.is_crossing() {
            self.drop_subtree(old);
        } else if !shared {
            self.waste(1);
        }
        Ok(())
    }

    /// Has every entry that leads to one frame lead to another, of the same kind and with the same keys in it. Takes no room:
    /// a reader finds either.
    pub fn redirect(&mut self, from: u32, to: u32) {
        let mut pending = vec![self.get_ref(ROOT_AT)];
        while let Some(reference) = pending.pop() {
            let Some(node) = NodeRef::new(self.frame, reference) else {
                continue;
            };
            for (_, entry) in node.entries() {
                match self.as_ref().crossing(entry) {
                    Some(crossing) if crossing.child == from => put_u32(self.frame, entry.offset(), to),
                    Some(_) => {}
                    None => pending.push(entry),
                }
            }
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
        let leads = |entry: Ref| {
            self.as_ref()
                .crossing(entry)
                .is_some_and(|crossing| crossing.child == child)
        };
        let entries: Vec<(u8, Ref)> = node.entries().filter(|entry| leads(entry.1)).collect();
        let slots: Vec<usize> = entries.iter().filter_map(|entry| node.slot(entry.0)).collect();
        let mut crossings: Vec<Ref> = entries.iter().map(|entry| entry.1).collect();
        crossings.dedup();
        if crossings.is_empty() {
            return;
        }
        for slot in slots {
            self.set_ref(slot, Ref::NONE);
        }
        self.waste(crossings.len());
        self.tidy(passed);
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
