//! A walk over all of a trie frame, for whoever checks how frames hang together.

use super::{Crossing, TrieRef};
use crate::{Stored, node::Ref};

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
    /// A frame below, once for each node that leads to it.
    Below {
        /// That frame.
        crossing: Crossing,
        /// The path of the node, relative to this frame: the base of the frame below.
        path: &'m [u8],
        /// The bytes of the node's entries that lead there, ascending: the first bytes of keys below.
        bytes: &'m [u8],
    },
}

impl TrieRef<'_> {
    /// Visits every record of this frame and every frame that it leads to, in no order that counts.
    pub fn survey(self, visit: &mut dyn FnMut(Met<'_>)) {
        let mut path = Vec::new();
        let mut pending: Vec<(Ref, usize, Option<u8>)> = vec![(self.root_ref(), 0, None)];
        let mut below: Vec<(Crossing, Vec<u8>)> = Vec::new();
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
            below.clear();
            for (byte, entry) in node.entries() {
                match self.crossing(entry) {
                    None => pending.push((entry, path.len(), Some(byte))),
                    Some(crossing) => match below.iter_mut().find(|(known, _)| *known == crossing) {
                        Some((_, bytes)) => bytes.push(byte),
                        None => below.push((crossing, vec![byte])),
                    },
                }
            }
            for (crossing, bytes) in &below {
                visit(Met::Below {
                    crossing: *crossing,
                    path: &path,
                    bytes,
                });
            }
        }
    }
}
