//! What a full trie frame can do without: neighbouring entries of one node that fill another trie frame best.

use super::TrieRef;
use crate::{
    UNIT_BYTES,
    node::{NodeRef, Ref, Tag},
};

/// Neighbouring entries of one node, with all that is below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes that lead to the node, relative to the frame.
    pub path: Vec<u8>,
    /// The entries' bytes.
    pub bytes: Vec<u8>,
    /// At most what they take in the frame that they are meant for.
    pub size_bytes: usize,
}

/// What is below an entry.
#[derive(Clone, Copy, Default)]
struct Weight {
    bytes: usize,
    /// There is a way to a trie frame.
    barred: bool,
}

/// A node on the way down.
struct Level<'a> {
    node: NodeRef<'a>,
    /// The next byte to look at.
    next: usize,
    /// Length of the path to the node's branch byte.
    path_before: usize,
    total: Weight,
    /// Entries gathered so far that fit together.
    run: Vec<u8>,
    run_bytes: usize,
}

struct Planner<'a> {
    trie: TrieRef<'a>,
    limit_bytes: usize,
    path: Vec<u8>,
    best: Option<Part>,
}

impl<'a> Planner<'a> {
    fn open(&mut self, node: NodeRef<'a>) -> Level<'a> {
        let path_before = self.path.len();
        self.path.extend_from_slice(node.prefix());
        let value = self.trie.record(node.value());
        let bytes = (node.units() + value.map_or(0, |record| record.trie_units())) * UNIT_BYTES;
        Level {
            node,
            next: 0,
            path_before,
            total: Weight { bytes, barred: false },
            run: Vec::new(),
            run_bytes: 0,
        }
    }

    fn offer(&mut self, level: &mut Level<'a>) {
        if level.run_bytes > self.best.as_ref().map_or(0, |best| best.size_bytes) {
            self.best = Some(Part {
                path: self.path.clone(),
                bytes: level.run.clone(),
                size_bytes: level.run_bytes,
            });
        }
        level.run.clear();
        level.run_bytes = 0;
    }

    /// Counts an entry in: into the node's total, and into its run if it suits.
    fn absorb(&mut self, level: &mut Level<'a>, byte: u8, below: Weight) {
        level.total.bytes += below.bytes;
        level.total.barred |= below.barred;
        let fits = !below.barred && below.bytes <= self.limit_bytes;
        if !fits || level.run_bytes + below.bytes > self.limit_bytes {
            self.offer(level);
        }
        if fits {
            level.run.push(byte);
            level.run_bytes += below.bytes;
        }
    }

    fn run(mut self) -> Option<Part> {
        let root = self.open(self.trie.node(self.trie.root_ref())?);
        let mut levels = vec![root];
        while let Some(mut level) = levels.pop() {
            let Some((byte, entry)) = level.node.next_from(level.next) else {
                self.offer(&mut level);
                self.path.truncate(level.path_before);
                if let (Some(byte), Some(mut above)) = (self.path.pop(), levels.pop()) {
                    self.absorb(&mut above, byte, level.total);
                    levels.push(above);
                }
                continue;
            };
            level.next = usize::from(byte) + 1;
            if let Some(node) = self.trie.node(entry) {
                self.path.push(byte);
                let below = self.open(node);
                levels.push(level);
                levels.push(below);
            } else {
                let weight = self.end(&level, byte, entry);
                self.absorb(&mut level, byte, weight);
                levels.push(level);
            }
        }
        self.best
    }

    /// What an entry to a record or across weighs. A crossing counts at the last of the entries that share it.
    fn end(&self, level: &Level<'a>, byte: u8, entry: Ref) -> Weight {
        let shared = level
            .node
            .next_from(usize::from(byte) + 1)
            .is_some_and(|next| next.1 == entry);
        Weight {
            bytes: match self.trie.record(entry) {
                Some(record) => record.trie_units() * UNIT_BYTES,
                None if shared => 0,
                None => UNIT_BYTES,
            },
            barred: entry.tag() == Some(Tag::Trie),
        }
    }
}

impl TrieRef<'_> {
    /// The neighbouring entries of one node, leading to no trie frame, that fill another trie frame best without taking
    /// more than `limit_bytes` of it.
    pub fn plan_sinking(self, limit_bytes: usize) -> Option<Part> {
        Planner {
            trie: self,
            limit_bytes,
            path: Vec::new(),
            best: None,
        }
        .run()
    }
}
