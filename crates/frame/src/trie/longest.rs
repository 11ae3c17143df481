//! The longest stored prefix of a key, in a trie frame.

use super::{Crossing, TrieRef};
use crate::{Stored, record::RecordRef};

/// What a trie frame knows of the longest stored prefix of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestPrefix<'a> {
    /// The longest that is stored in the frame itself, with the length of its key.
    pub found: Option<(usize, Stored<'a>)>,
    /// The frame below in which a longer one may be, and the bytes of the key that lead to its base.
    pub below: Option<(Crossing, usize)>,
}

impl<'a> TrieRef<'a> {
    /// Walks as [`TrieRef::seek`] does, and remembers the last record on the way whose key the path is.
    pub fn longest_prefix(self, key: &[u8]) -> LongestPrefix<'a> {
        let (mut reference, mut depth) = (self.root_ref(), 0);
        let mut best: Option<(usize, RecordRef<'a>)> = None;
        let mut below = None;
        while let Some(node) = self.node(reference) {
            let prefix = node.prefix();
            if key.get(depth..depth + prefix.len()) != Some(prefix) {
                break;
            }
            depth += prefix.len();
            if let Some(record) = self.record(node.value()) {
                best = Some((depth, record));
            }
            let Some(&byte) = key.get(depth) else { break };
            reference = node.find(byte);
            if let Some(crossing) = self.crossing(reference) {
                below = depth.checked_sub(crossing.up).map(|base| (crossing, base));
            } else if let Some(record) = self.record(reference) {
                let len = record.key_len();
                let rest = key.get(depth + 1..len);
                if rest.is_some_and(|rest| record.suffix(rest.len()) == rest) {
                    best = Some((len, record));
                }
            }
            depth += 1;
        }
        LongestPrefix {
            found: best.map(|(len, record)| (len, record.trie_stored())),
            below,
        }
    }
}
