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

    /// The records at and below a node in this frame, and the frames that its nodes lead to, each once.
    pub fn count_here(self, node: NodePosition) -> (u64, Vec<Crossing>) {
        let (mut records, mut crossings) = (0, Vec::new());
        let mut pending = vec![node.0];
        let mut seen: Vec<Ref> = Vec::new();
        while let Some(reference) = pending.pop() {
            let Some(node) = self.node(reference) else { continue };
            records += u64::from(!node.value().is_none());
            seen.clear();
            for (_, entry) in node.entries() {
                if entry.is_node() {
                    pending.push(entry);
                } else if let Some(crossing) = self.crossing(entry) {
                    if !seen.contains(&entry) {
                        seen.push(entry);
                        crossings.push(crossing);
                    }
                } else {
                    records += 1;
                }
            }
        }
        (records, crossings)
    }

    /// Every frame that this one leads to, once for each node that does.
    pub fn crossings(self) -> Vec<Crossing> {
        self.count_here(self.root()).1
    }

    /// Whether this frame leads to trie frames.
    pub fn leads_to_tries(self) -> bool {
        self.crossings().iter().any(|crossing| crossing.kind == Kind::Trie)
    }
}
