//! A walk over all of a trie frame, for whoever checks how frames hang together.

use std::collections::BTreeMap;

use super::TrieRef;
use crate::{Kind, Stored, node::Ref};

/// What a survey meets.
#[derive(Debug)]
pub enum Met<'m> {
    /// A record of this frame.
    Record {
        /// The whole key, relative to this frame.
        key: &'m [u8],
        /// Version and value.
        stored: Stored<'m>,
    },
    /// A frame below, once for each base that it is led to with.
    Below {
        /// That frame.
        child: u32,
        /// What kind of frame it is said to be.
        kind: Kind,
        /// The path to its base, relative to this frame.
        base: &'m [u8],
        /// What its keys may begin with: the way from its base to each entry that leads there, ascending.
        leads: &'m [Vec<u8>],
    },
}

impl TrieRef<'_> {
    /// Visits every record of this frame and every frame that it leads to, in no order that counts.
    pub fn survey(self, visit: &mut dyn FnMut(Met<'_>)) {
        let mut path = Vec::new();
        let mut pending: Vec<(Ref, usize, Option<u8>)> = vec![(self.root_ref(), 0, None)];
        let mut below: BTreeMap<(u32, Kind, Vec<u8>), Vec<Vec<u8>>> = BTreeMap::new();
        while let Some((reference, depth, byte)) = pending.pop() {
            path.truncate(depth);
            path.extend(byte);
            if let Some(record) = self.record(reference) {
                let rest = record.key_len().saturating_sub(path.len());
                path.extend_from_slice(record.suffix(rest));
                visit(Met::Record {
                    key: &path,
                    stored: record.trie_stored(),
                });
                continue;
            }
            let Some(node) = self.node(reference) else { continue };
            path.extend_from_slice(node.prefix());
            if let Some(record) = self.record(node.value()) {
                visit(Met::Record {
                    key: &path,
                    stored: record.trie_stored(),
                });
            }
            for (byte, entry) in node.entries() {
                match self.crossing(entry) {
                    None => pending.push((entry, path.len(), Some(byte))),
                    Some(crossing) => {
                        let (base, lead) = path.split_at(path.len().saturating_sub(crossing.up));
                        below
                            .entry((crossing.child, crossing.kind, base.to_vec()))
                            .or_default()
                            .push([lead, &[byte]].concat());
                    }
                }
            }
        }
        for ((child, kind, base), leads) in &mut below {
            leads.sort_unstable();
            visit(Met::Below {
                child: *child,
                kind: *kind,
                base,
                leads,
            });
        }
    }
}
