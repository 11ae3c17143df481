//! What a full trie frame can do without: the entries of one node that fill another frame best.

use super::TrieRef;
use crate::{
    UNIT_BYTES,
    node::{NodeRef, Ref, Tag},
    record::{HEADER_BYTES, RecordRef},
};

/// What a record costs a flat frame beside its own bytes: rounding, its hash slot, its place in the order.
const FLAT_OVERHEAD_BYTES: usize = 7 + 6;

/// Some entries of one node, with all that is below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes that lead to the node, relative to the frame.
    pub path: Vec<u8>,
    /// The entries' bytes.
    pub bytes: Vec<u8>,
    /// At most what they take in the frame that they are meant for.
    pub size_bytes: usize,
}

/// Which frame a part is meant for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// A flat one: records and nodes only, weighed as a flat frame keeps them.
    Flat,
    /// A trie: what does not lead to further tries, weighed as it is.
    Trie,
}

/// What is below an entry.
#[derive(Clone, Copy, Default)]
struct Weight {
    records: usize,
    bytes: usize,
    /// Something there does not suit the goal.
    barred: bool,
}

/// A node on the way down.
struct Level<'a> {
    node: NodeRef<'a>,
    /// The next byte to look at.
    next: usize,
    /// Length of the path up to and with the node's prefix, and of the path to its branch byte.
    depth: usize,
    path_before: usize,
    total: Weight,
    /// Entries gathered so far that fit together.
    run: Vec<u8>,
    run_bytes: usize,
}

struct Planner<'a> {
    trie: TrieRef<'a>,
    goal: Goal,
    limit_bytes: usize,
    path: Vec<u8>,
    best: Option<Part>,
}

impl<'a> Planner<'a> {
    fn record(&self, record: RecordRef<'_>) -> Weight {
        let bytes = match self.goal {
            Goal::Flat => HEADER_BYTES + record.key_len() + record.value_len() + FLAT_OVERHEAD_BYTES,
            Goal::Trie => record.trie_units() * UNIT_BYTES,
        };
        Weight {
            records: 1,
            bytes,
            barred: false,
        }
    }

    fn open(&mut self, node: NodeRef<'a>) -> Level<'a> {
        let path_before = self.path.len();
        self.path.extend_from_slice(node.prefix());
        let mut total = self
            .trie
            .record(node.value())
            .map(|record| self.record(record))
            .unwrap_or_default();
        if self.goal == Goal::Trie {
            total.bytes += node.units() * UNIT_BYTES;
        }
        Level {
            node,
            next: 0,
            depth: self.path.len(),
            path_before,
            total,
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

    /// Counts entries in that lead to the same place: into the node's total, and into its run if they suit.
    fn absorb(&mut self, level: &mut Level<'a>, bytes: &[u8], below: Weight) {
        level.total.records += below.records;
        level.total.bytes += below.bytes;
        level.total.barred |= below.barred;
        let size = match self.goal {
            // Keys in the flat frame are relative to this node.
            Goal::Flat => below.bytes.saturating_sub(below.records * level.depth),
            Goal::Trie => below.bytes,
        };
        if below.barred || size > self.limit_bytes {
            return;
        }
        if level.run_bytes + size > self.limit_bytes {
            self.offer(level);
        }
        level.run.extend_from_slice(bytes);
        level.run_bytes += size;
    }

    /// An entry that leads across. Entries that lead to the same frame stay together, counted at the first of them.
    fn cross(&mut self, level: &mut Level<'a>, byte: u8, entry: Ref) {
        if self.goal == Goal::Flat || entry.tag() == Some(Tag::Trie) {
            self.absorb(
                level,
                &[byte],
                Weight {
                    records: 0,
                    bytes: 0,
                    barred: true,
                },
            );
            return;
        }
        let bytes: Vec<u8> = level
            .node
            .entries()
            .filter(|other| other.1 == entry)
            .map(|other| other.0)
            .collect();
        if bytes.first() == Some(&byte) {
            self.absorb(
                level,
                &bytes,
                Weight {
                    records: 0,
                    bytes: UNIT_BYTES,
                    barred: false,
                },
            );
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
                    self.absorb(&mut above, &[byte], level.total);
                    levels.push(above);
                }
                continue;
            };
            level.next = usize::from(byte) + 1;
            if let Some(record) = self.trie.record(entry) {
                let weight = self.record(record);
                self.absorb(&mut level, &[byte], weight);
                levels.push(level);
            } else if let Some(node) = self.trie.node(entry) {
                self.path.push(byte);
                let below = self.open(node);
                levels.push(level);
                levels.push(below);
            } else {
                self.cross(&mut level, byte, entry);
                levels.push(level);
            }
        }
        self.best
    }
}

impl TrieRef<'_> {
    fn plan(self, goal: Goal, limit_bytes: usize) -> Option<Part> {
        Planner {
            trie: self,
            goal,
            limit_bytes,
            path: Vec::new(),
            best: None,
        }
        .run()
    }

    /// The entries of one node, leading to records and nodes alone, whose records fill a flat frame best without taking
    /// more than `limit_bytes` of it, overheads included.
    pub fn plan_eviction(self, limit_bytes: usize) -> Option<Part> {
        self.plan(Goal::Flat, limit_bytes)
    }

    /// The entries of one node, leading to no trie frame, that fill another trie frame best without taking more than
    /// `limit_bytes` of it.
    pub fn plan_sinking(self, limit_bytes: usize) -> Option<Part> {
        self.plan(Goal::Trie, limit_bytes)
    }
}
