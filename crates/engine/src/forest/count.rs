//! How many keys start with a prefix, without visiting them.
//!
//! A flat frame knows its records, and the slot map knows them for frames not in memory. A trie frame's sum over all below
//! it is kept in the table until something below changes, and so are the counts at its nodes that were asked for: a count
//! walks the nodes of one frame, and of those whose sums went stale, unless it was made before and nothing changed since.

use std::collections::HashMap;

use coppice_frame::{Crossing, Kind, NodePosition, TrieRef, Under};

use super::{Forest, MAX_FRAMES_ON_PATH, ROOT};
use crate::error::Error;

impl Forest<'_> {
    /// Keys that start with `prefix`. Lets go of frames that it has passed where memory is short.
    pub(crate) fn count(&mut self, prefix: &[u8]) -> Result<u64, Error> {
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let trie = self.table.trie(blob)?;
            match trie.under(rest) {
                Under::Nothing => return Ok(0),
                Under::Node { node, lead } => {
                    if let Some(keys) = self.table.node_keys(blob, node) {
                        return Ok(keys);
                    }
                    let path = [rest, lead].concat();
                    let mark = self.table.begin_node_count(blob);
                    let (keys, below) = trie.count_here(node, path.len());
                    let keys = self.count_below(keys, below, &path)?;
                    self.table.end_node_count(blob, mark, node, keys);
                    return Ok(keys);
                }
                Under::Record { .. } => return Ok(1),
                Under::Below { crossing, depth } => {
                    rest = rest.get(depth..).unwrap_or(&[]);
                    if crossing.kind == Kind::Flat {
                        return Ok(self.table.flat(crossing.child)?.count_prefix(rest) as u64);
                    }
                    blob = crossing.child;
                }
            }
        }
        Err(self.lost("a path has no end"))
    }

    /// Whether no key starts with `prefix`. Reads the frames on the way there, and flat frames that keys under the prefix
    /// share with others.
    pub(crate) fn is_empty(&self, prefix: &[u8]) -> Result<bool, Error> {
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let trie = self.table.trie(blob)?;
            match trie.under(rest) {
                Under::Nothing => return Ok(true),
                Under::Node { node, lead } => return Ok(!self.occurs(trie, node, &[rest, lead].concat())?),
                Under::Record { .. } => return Ok(false),
                Under::Below { crossing, depth } => {
                    rest = rest.get(depth..).unwrap_or(&[]);
                    if crossing.kind == Kind::Flat {
                        return Ok(!self.table.flat(crossing.child)?.has_prefix(rest));
                    }
                    blob = crossing.child;
                }
            }
        }
        Err(self.lost("a path has no end"))
    }

    /// Whether there is a key at or below a node, which `path` leads to, its prefix included: where it leads to nothing but
    /// flat frames that it shares with others, its own keys may all be gone.
    pub(super) fn occurs(&self, trie: TrieRef<'_>, node: NodePosition, path: &[u8]) -> Result<bool, Error> {
        let Some(shared) = trie.only_shared(node) else {
            return Ok(true);
        };
        for crossing in shared {
            if self
                .table
                .flat(crossing.child)?
                .has_prefix(last_bytes(path, crossing.up))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// So many keys, and those below a node that the crossings lead to; `path` leads to the node, its prefix included.
    fn count_below(&mut self, mut keys: u64, below: Vec<Crossing>, path: &[u8]) -> Result<u64, Error> {
        for crossing in below {
            self.table.relieve()?;
            keys += match (crossing.kind, crossing.up) {
                (Kind::Trie, _) => self.count_frame(crossing.child)?,
                (Kind::Flat, 0) => self.table.flat_records(crossing.child)?,
                (Kind::Flat, up) => self.table.flat(crossing.child)?.count_prefix(last_bytes(path, up)) as u64,
            };
        }
        Ok(keys)
    }

    /// Keys below a trie frame. Frames whose sums are stale are visited deepest first.
    fn count_frame(&mut self, blob: u32) -> Result<u64, Error> {
        // What was counted just now, whether or not it may be kept: writers may be at work below.
        let mut counted: HashMap<u32, u64> = HashMap::new();
        let mut pending = vec![blob];
        while let Some(&blob) = pending.last() {
            if pending.len() > self.table.len() * 256 {
                return Err(self.lost("frames lead to one another in a ring"));
            }
            if counted.contains_key(&blob) {
                pending.pop();
                continue;
            }
            if let Some(keys) = self.table.subtree_keys(blob) {
                counted.insert(blob, keys);
                pending.pop();
                continue;
            }
            self.table.relieve()?;
            let mark = self.table.begin_count(blob);
            let trie = self.table.trie(blob)?;
            let (mut keys, crossings) = trie.count_here(trie.root(), 0);
            let waiting = pending.len();
            for crossing in crossings {
                match crossing.kind {
                    Kind::Flat => keys += self.table.flat_records(crossing.child)?,
                    Kind::Trie => match counted.get(&crossing.child) {
                        Some(below) => keys += below,
                        None => pending.push(crossing.child),
                    },
                }
            }
            if pending.len() == waiting {
                self.table.end_count(blob, mark, keys);
                counted.insert(blob, keys);
                pending.pop();
            }
        }
        counted
            .get(&blob)
            .copied()
            .ok_or_else(|| self.lost("a count came to no end"))
    }
}

/// The last so many bytes of a path; all of it where it has fewer.
fn last_bytes(path: &[u8], bytes: usize) -> &[u8] {
    path.get(path.len().saturating_sub(bytes)..).unwrap_or(path)
}
