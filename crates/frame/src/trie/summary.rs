//! What lies at and below a node of one frame, counted and listed without looking at keys.

use super::{Crossing, NodePosition, TrieRef};
use crate::{Frame, Kind, node::Ref};

impl<'a> TrieRef<'a> {
    /// The frame.
    pub fn frame(self) -> Frame<'a> {
        self.frame
    }

    /// Whether nothing is left: no entry and no record.
    pub fn is_empty(self) -> bool {
        self.node(self.root_ref())
            .is_none_or(|root| root.value().is_none() && root.entries().next().is_none())
    }

    /// The records at and below a node in this frame, and the frames that its nodes lead to, each once. `depth` bytes lead
    /// to the node, its prefix included. A crossing's `up` says, here, by how many bytes the base of the frame below lies
    /// above that node: if by any, only those of the frame's keys that start with these bytes are below the node.
    pub fn count_here(self, node: NodePosition, depth: usize) -> (u64, Vec<Crossing>) {
        let (mut records, mut crossings) = (0, Vec::new());
        let mut pending = vec![(node.0, depth)];
        while let Some((reference, at)) = pending.pop() {
            let Some(node) = self.node(reference) else { continue };
            records += u64::from(!node.value().is_none());
            let mut last = Ref::NONE;
            for (_, entry) in node.entries() {
                if let Some(below) = self.node(entry) {
                    pending.push((entry, at + 1 + below.prefix_len()));
                } else if let Some(crossing) = self.crossing(entry) {
                    if entry != last {
                        let base = at.saturating_sub(crossing.up);
                        let up = depth.saturating_sub(base);
                        crossings.push(Crossing { up, ..crossing });
                    }
                } else {
                    records += 1;
                }
                last = entry;
            }
        }
        crossings.sort_unstable_by_key(|crossing| crossing.child);
        crossings.dedup_by_key(|crossing| crossing.child);
        (records, crossings)
    }

    /// The flat frames that a node and those below it share with what lies elsewhere, if they lead to nothing else: None
    /// where there is a record, or a frame of their own, which holds one at least. `up` is as [`TrieRef::count_here`] has
    /// it, never zero.
    pub fn only_shared(self, node: NodePosition) -> Option<Vec<Crossing>> {
        if self.leads_to_own(node.0) {
            return None;
        }
        let mut shared: Vec<Crossing> = Vec::new();
        // Each node with how many bytes it lies below the one asked for.
        let mut pending = vec![(node.0, 0)];
        while let Some((reference, below)) = pending.pop() {
            let node = self.node(reference)?;
            if !node.value().is_none() {
                return None;
            }
            let mut last = Ref::NONE;
            for (_, entry) in node.entries() {
                if let Some(next) = self.node(entry) {
                    pending.push((entry, below + 1 + next.prefix_len()));
                } else if entry != last {
                    let crossing = self.crossing(entry)?;
                    let up = crossing.up.checked_sub(below).filter(|up| *up > 0)?;
                    if shared.iter().all(|known| known.child != crossing.child) {
                        shared.push(Crossing { up, ..crossing });
                    }
                }
                last = entry;
            }
        }
        Some(shared)
    }

    /// Whether a record is found at or below a node, or a frame that they share with nothing, by a look at the first few
    /// nodes, as it is of nearly all.
    fn leads_to_own(self, reference: Ref) -> bool {
        const NODES: usize = 16;
        // Each node with how many bytes it lies below the one asked for.
        let mut pending = [(reference, 0); NODES];
        let mut found = 1;
        for next in 0..NODES {
            let Some((reference, below)) = pending.get(next).copied().filter(|_| next < found) else {
                break;
            };
            let Some(node) = self.node(reference) else { break };
            if !node.value().is_none() {
                return true;
            }
            let mut last = Ref::NONE;
            for (_, entry) in node.entries() {
                if let Some(under) = self.node(entry) {
                    if let Some(room) = pending.get_mut(found) {
                        *room = (entry, below + 1 + under.prefix_len());
                        found += 1;
                    }
                } else if entry != last && self.crossing(entry).is_none_or(|crossing| crossing.up <= below) {
                    return true;
                }
                last = entry;
            }
        }
        false
    }

    /// Every frame that this one leads to.
    pub fn crossings(self) -> Vec<Crossing> {
        self.count_here(self.root(), 0).1
    }

    /// Whether this frame leads to trie frames.
    pub fn leads_to_tries(self) -> bool {
        self.crossings().iter().any(|crossing| crossing.kind == Kind::Trie)
    }
}
