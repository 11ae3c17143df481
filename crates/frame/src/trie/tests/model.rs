//! One trie frame under arbitrary operations, beside an ordered map of what it must hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    Crossing, Graft, Item, Kind, Layout, Moved, NoRoom, Placed, Region, Seek, Stored, TrieMut, TrieRef, Under,
    bytes::common_prefix,
    copy_subtree, copy_trie, max_key_bytes, part_evenly, sink_trie,
    testing::{Content, Owned, Random, any_key, any_stored, assert_valid, inline, trie_contents},
};

#[derive(Clone, Debug)]
enum Op {
    Place(Vec<u8>, Owned),
    Remove(Vec<u8>),
    RemoveAt(usize),
    Evict {
        limit_part: usize,
        parts: usize,
    },
    /// Invents keys for a flat frame and deals them out.
    Deal {
        at: usize,
        parts: usize,
        seed: u64,
    },
    Sink {
        limit_part: usize,
    },
    Divide(usize),
    Carve {
        at: usize,
        prefix: Vec<u8>,
        value: Option<Owned>,
        bytes: Vec<u8>,
    },
    Detach(usize),
    Move {
        at: usize,
        cut: usize,
        to: Vec<u8>,
        as_frame: bool,
    },
    Compact,
}

fn any_op(frame_bytes: usize) -> impl Strategy<Value = Op> {
    let carve = (
        any::<usize>(),
        prop::collection::vec(any::<u8>(), 0..4),
        prop::option::of(any_stored(frame_bytes)),
        prop::collection::btree_set(any::<u8>(), 1..20),
    );
    let moved = (any::<usize>(), any::<usize>(), any_key(frame_bytes), any::<bool>());
    prop_oneof![
        60 => (any_key(frame_bytes), any_stored(frame_bytes)).prop_map(|(key, stored)| Op::Place(key, stored)),
        5 => any_key(frame_bytes).prop_map(Op::Remove),
        20 => any::<usize>().prop_map(Op::RemoveAt),
        2 => (2..20usize, 1..4usize).prop_map(|(limit_part, parts)| Op::Evict { limit_part, parts }),
        2 => (any::<usize>(), 0..4usize, any::<u64>()).prop_map(|(at, parts, seed)| Op::Deal { at, parts, seed }),
        1 => (2..20usize).prop_map(|limit_part| Op::Sink { limit_part }),
        1 => any::<usize>().prop_map(Op::Divide),
        1 => carve.prop_map(|(at, prefix, value, bytes)| Op::Carve {
            at,
            prefix,
            value,
            bytes: bytes.into_iter().collect(),
        }),
        2 => any::<usize>().prop_map(Op::Detach),
        4 => moved.prop_map(|(at, cut, to, as_frame)| Op::Move { at, cut, to, as_frame }),
        1 => Just(Op::Compact),
    ]
}

/// A frame and what it must hold: records by key, and crossings by the path to them, branch byte included.
pub(super) struct Model {
    pub(super) frame: Vec<u8>,
    contents: BTreeMap<Vec<u8>, Content>,
    next_child: u32,
}

impl Model {
    fn new(frame_bytes: usize) -> Self {
        let mut frame = vec![0xAA; frame_bytes];
        TrieMut::init(&mut frame);
        Self {
            frame,
            contents: BTreeMap::new(),
            next_child: 1,
        }
    }

    fn below<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Content)> {
        self.contents
            .range(prefix.to_vec()..)
            .take_while(move |entry| entry.0.starts_with(prefix))
    }

    /// The crossing that a key passes, and the bytes that lead to the base of the frame below.
    fn crossed(&self, key: &[u8]) -> Option<(Crossing, usize)> {
        self.contents.iter().find_map(|(path, content)| match content {
            Content::Cross(crossing) if key.starts_with(path) => Some((*crossing, path.len() - 1 - crossing.up)),
            _ => None,
        })
    }

    /// Where a key belongs.
    fn expected(&self, key: &[u8]) -> Placed {
        if let Some((crossing, depth)) = self.crossed(key) {
            return Placed::Below { crossing, depth };
        }
        // A node stands where the key leaves the paths of all others.
        let lower = self.contents.range(..key.to_vec()).next_back();
        let upper = self.contents.range(key.to_vec()..).next();
        let depth = lower
            .into_iter()
            .chain(upper)
            .map(|entry| common_prefix(entry.0, key))
            .max()
            .unwrap_or(0);
        if depth < key.len() {
            // What lies beside it below that node: a flat frame whose base is no deeper takes it in.
            let joins = |beside: Option<(&Vec<u8>, &Content)>| match beside {
                Some((path, Content::Cross(crossing))) if crossing.kind == Kind::Flat && path.len() > depth => {
                    let base = path.len() - 1 - crossing.up;
                    let up = depth.checked_sub(base)?;
                    Some((Crossing { up, ..*crossing }, base))
                }
                _ => None,
            };
            let below = |entry: &(&Vec<u8>, &Content)| entry.0.starts_with(&key[..depth]);
            let joined = joins(lower.filter(below)).or_else(|| joins(upper.filter(below)));
            if let Some((crossing, depth)) = joined {
                return Placed::Below { crossing, depth };
            }
        }
        Placed::Here {
            existed: self.contents.contains_key(key),
        }
    }

    fn seek(&self, key: &[u8]) -> Seek<'_> {
        if let Some((crossing, depth)) = self.crossed(key) {
            return Seek::Below { crossing, depth };
        }
        match self.contents.get(key) {
            Some(Content::Record(owned)) => Seek::Found(owned.stored()),
            _ => Seek::Absent,
        }
    }

    /// Runs a change; where it finds no room it must have left the frame as it was, and is run once more on a compacted
    /// frame. None when that had no room either.
    fn change<T>(&mut self, change: impl Fn(&mut TrieMut<'_>) -> Result<T, NoRoom>) -> Option<T> {
        for last in [false, true] {
            let before = self.frame.clone();
            match change(&mut TrieMut::new(&mut self.frame)) {
                Ok(done) => return Some(done),
                Err(refused) => {
                    assert!(refused.units > 0 && refused.units <= self.frame.len());
                    assert!(self.frame == before, "a refused change left traces");
                    if !last {
                        self.compact();
                    }
                }
            }
        }
        None
    }

    fn compact(&mut self) {
        let mut copy = vec![0x55; self.frame.len()];
        copy_trie(&self.frame, &mut copy).unwrap();
        assert_valid(&copy);
        assert!(TrieRef::new(&copy).live_bytes() <= TrieRef::new(&self.frame).live_bytes());
        assert_eq!(trie_contents(&copy), trie_contents(&self.frame));
        let mut again = vec![0x33; copy.len()];
        copy_trie(&copy, &mut again).unwrap();
        assert!(again == copy, "a compacted frame changed when compacted");
        self.frame = copy;
    }

    fn place(&mut self, key: &[u8], stored: &Owned) -> bool {
        let expected = self.expected(key);
        let Some(placed) = self.change(|trie| trie.place(key, &stored.stored())) else {
            return false;
        };
        assert_eq!(placed, expected, "{key:?}");
        match placed {
            Placed::Here { .. } => self.contents.insert(key.to_vec(), Content::Record(stored.clone())),
            Placed::Below { crossing, depth } if self.crossed(key).is_none() => {
                let path = key[..=depth + crossing.up].to_vec();
                self.contents.insert(path, Content::Cross(crossing))
            }
            Placed::Below { .. } => None,
        };
        true
    }

    fn remove(&mut self, key: &[u8]) {
        let expected = matches!(self.contents.get(key), Some(Content::Record(_)));
        assert_eq!(TrieMut::new(&mut self.frame).remove(key), expected, "{key:?}");
        if expected {
            self.contents.remove(key);
        }
    }

    fn record_at(&self, at: usize) -> Option<Vec<u8>> {
        let records = |entry: &(&Vec<u8>, &Content)| matches!(entry.1, Content::Record(_));
        let count = self.contents.iter().filter(records).count();
        let number = (count > 0).then(|| at % count)?;
        self.contents
            .iter()
            .filter(records)
            .nth(number)
            .map(|entry| entry.0.clone())
    }

    /// One crossing, with the path to its node and its branch byte there.
    fn crossing_at(&self, at: usize) -> Option<(Vec<u8>, u8, Crossing)> {
        let crossings: Vec<(&Vec<u8>, Crossing)> = self
            .contents
            .iter()
            .filter_map(|(path, content)| match content {
                Content::Cross(crossing) => Some((path, *crossing)),
                Content::Record(_) => None,
            })
            .collect();
        let (path, crossing) = (!crossings.is_empty()).then(|| crossings[at % crossings.len()])?;
        let (byte, node) = path.split_last()?;
        Some((node.to_vec(), *byte, crossing))
    }

    fn new_child(&mut self, kind: Kind) -> Crossing {
        self.next_child += 1;
        Crossing {
            child: self.next_child,
            kind,
            up: 0,
        }
    }

    /// Moves neighbouring records to flat frames.
    fn evict(&mut self, limit_part: usize, parts: usize) {
        let limit = self.frame.len() / limit_part;
        let frame = self.frame.clone();
        let Some(gap) = TrieRef::new(&frame).largest_gap(limit) else {
            return;
        };
        let amid = gap.before.as_ref().map(|run| run.child) == gap.behind.as_ref().map(|run| run.child);
        if amid && gap.before.is_some() {
            return;
        }
        assert!(gap.size_bytes <= limit);
        let region = TrieRef::new(&frame).region(&gap.run).unwrap();
        let contents = region.contents();
        assert!(contents.flats.is_empty() && !contents.leads_to_tries && !contents.records.is_empty());
        let items: Vec<Item<'_>> = contents
            .records
            .iter()
            .map(|(key, stored)| Item { key, stored: *stored })
            .collect();
        assert!(items.is_sorted_by(|a, b| a.key < b.key));
        for item in &items {
            let known = Content::Record(Owned::of(&item.stored));
            assert_eq!(self.contents.get(item.key), Some(&known), "{:?}", item.key);
        }
        self.deal(&region, &items, &part_evenly(&items, parts, limit / 8));
    }

    /// Deals invented keys of one flat frame, at least one for most of its slots, out to others.
    fn deal_flat(&mut self, at: usize, parts: usize, seed: u64) {
        let flat = |entry: &(Vec<u8>, u8, Crossing)| entry.2.kind == Kind::Flat;
        let Some((mut key, byte, crossing)) = self.crossing_at(at).filter(flat) else {
            return;
        };
        key.push(byte);
        let frame = self.frame.clone();
        let trie = TrieRef::new(&frame);
        let (_, own, _) = trie.flat_runs(&key).unwrap();
        assert_eq!(own.child, crossing.child);
        let slots: Vec<&Vec<u8>> = self
            .contents
            .iter()
            .filter(|(_, content)| matches!(content, Content::Cross(other) if other.child == crossing.child))
            .map(|entry| entry.0)
            .collect();
        assert_eq!(
            (slots.first(), slots.last()),
            (Some(&&own.run.first), Some(&&own.run.last))
        );
        let mut random = Random(seed);
        let mut keys = std::collections::BTreeSet::new();
        for slot in slots {
            for _ in 0..if parts == 0 { 0 } else { random.below(4) } {
                let more = random.below(4);
                keys.insert([slot.as_slice(), &random.bytes(more)].concat());
            }
        }
        keys.retain(|key| key.len() < max_key_bytes(frame.len()));
        let items: Vec<Item<'_>> = keys
            .iter()
            .map(|key| Item {
                key,
                stored: inline(b"dealt"),
            })
            .collect();
        let region = trie.region_of(&own).unwrap();
        let ends = if items.is_empty() {
            Vec::new()
        } else {
            part_evenly(&items, parts, 16)
        };
        self.deal(&region, &items, &ends);
    }

    /// Lays a region out anew and checks that what is in it is led to where it is to be, and all else as before.
    fn deal(&mut self, region: &Region<'_>, items: &[Item<'_>], ends: &[usize]) {
        let reach: Vec<usize> = ends
            .iter()
            .map(|end| if end % 2 == 0 { usize::MAX } else { end % 7 })
            .collect();
        let layout = Layout::plan(region, items, ends, None, &reach).unwrap();
        for (part, reach) in reach.iter().enumerate() {
            assert!(layout.base(part).is_none_or(|base| base <= *reach));
        }
        let children: Vec<u32> = ends.iter().map(|_| self.new_child(Kind::Flat).child).collect();
        let before = self.frame.clone();
        let mut frame = before.clone();
        if TrieMut::new(&mut frame).lay(region, &layout, items, &children).is_err() {
            assert!(frame == before, "a refused change left traces");
            return;
        }
        assert_valid(&frame);
        let trie = TrieRef::new(&frame);
        for (at, item) in items.iter().enumerate() {
            let part = ends.partition_point(|end| *end <= at);
            match trie.seek(item.key) {
                Seek::Found(stored) => assert!(layout.owned().contains(&at) && stored == item.stored),
                Seek::Below { crossing, depth } => {
                    assert!(!layout.owned().contains(&at), "{:?} is in two places", item.key);
                    assert_eq!((crossing.child, Some(depth)), (children[part], layout.base(part)));
                }
                Seek::Absent => panic!("{:?} is lost", item.key),
            }
        }
        let paths = region.paths();
        let inside = |path: &[u8]| paths.iter().any(|top| path.starts_with(top));
        let outside = |contents: Vec<(Vec<u8>, Content)>| -> Vec<(Vec<u8>, Content)> {
            contents.into_iter().filter(|entry| !inside(&entry.0)).collect()
        };
        let after = trie_contents(&frame);
        assert_eq!(outside(after.clone()), outside(trie_contents(&before)));
        self.contents = after.into_iter().collect();
        self.frame = frame;
    }

    /// Moves what fills a trie frame best, crossings to flat frames included, into one of its own.
    fn sink(&mut self, limit_part: usize) {
        let limit = self.frame.len() / limit_part;
        let Some(planned) = TrieRef::new(&self.frame).plan_sinking(limit) else {
            return;
        };
        assert!(planned.size_bytes <= limit && !planned.bytes.is_empty());
        let depth = planned.path.len();
        let goes = |path: &[u8]| path.len() > depth && planned.bytes.contains(&path[depth]);
        let expected: Vec<(Vec<u8>, Content)> = self
            .below(&planned.path)
            .filter(|(path, _)| goes(path))
            .map(|(path, content)| (path[depth..].to_vec(), content.clone()))
            .collect();
        let to_trie = |content: &Content| matches!(content, Content::Cross(crossing) if crossing.kind == Kind::Trie);
        assert!(!expected.iter().any(|(_, content)| to_trie(content)));
        if TrieRef::new(&self.frame).spans(&planned.path, &planned.bytes) {
            return;
        }
        let moved: Vec<Moved> = TrieRef::new(&self.frame)
            .entangled(&planned.path, &planned.bytes)
            .into_iter()
            .map(|(from, base)| {
                assert!(base.len() <= depth);
                let to = Some(self.new_child(Kind::Flat).child);
                Moved { from, to, base: depth }
            })
            .collect();
        let expected: Vec<(Vec<u8>, Content)> = expected
            .into_iter()
            .map(|(path, content)| match content {
                Content::Cross(crossing) => match moved.iter().find(|moved| moved.from == crossing.child) {
                    Some(moved) => {
                        let (child, up) = (moved.to.unwrap(), path.len() - 1);
                        (path, Content::Cross(Crossing { child, up, ..crossing }))
                    }
                    None => (path, Content::Cross(crossing)),
                },
                content => (path, content),
            })
            .collect();
        let mut lower = vec![0x66; self.frame.len()];
        if sink_trie(&self.frame, &planned.path, &planned.bytes, &moved, &mut lower).is_err() {
            return;
        }
        assert_valid(&lower);
        assert_eq!(trie_contents(&lower), expected);
        // A header and a root come on top.
        assert!(TrieRef::new(&lower).live_bytes() <= planned.size_bytes + 16 + 520);

        let crossing = self.new_child(Kind::Trie);
        let (path, bytes) = (planned.path, planned.bytes);
        let assigned = self.change(|trie| trie.assign(&path, depth, &bytes, crossing));
        if assigned.is_some() {
            for (below, _) in expected {
                self.contents.remove(&[path.as_slice(), &below].concat());
            }
            for byte in bytes {
                self.contents
                    .insert([path.as_slice(), &[byte]].concat(), Content::Cross(crossing));
            }
        }
    }

    /// Gives the upper half of the entries that lead to one trie frame to a new one.
    fn divide(&mut self, at: usize) {
        let Some((path, _, old)) = self.crossing_at(at).filter(|at| at.2.kind == Kind::Trie) else {
            return;
        };
        let bytes = TrieRef::new(&self.frame).bytes_to(&path, old.child);
        let bytes = &bytes[bytes.len() / 2..];
        let crossing = self.new_child(old.kind);
        if self
            .change(|trie| trie.assign(&path, path.len(), bytes, crossing))
            .is_some()
        {
            for byte in bytes {
                self.contents
                    .insert([path.as_slice(), &[*byte]].concat(), Content::Cross(crossing));
            }
        }
    }

    fn carve(&mut self, at: usize, prefix: &[u8], value: Option<&Owned>, bytes: &[u8]) {
        let Some((path, byte, old)) = self.crossing_at(at).filter(|at| at.2.kind == Kind::Trie) else {
            return;
        };
        // The prefix is shared by keys that exist, with a byte to spare, so it is never longer than they may be.
        if path.len() + 1 + prefix.len() >= max_key_bytes(self.frame.len()) {
            return;
        }
        let crossing = self.new_child(old.kind);
        let stored: Option<Stored<'_>> = value.map(Owned::stored);
        let carved = self.change(|trie| trie.carve(&path, path.len(), byte, prefix, stored.as_ref(), bytes, crossing));
        if carved.is_some() {
            let node = [path.as_slice(), &[byte], prefix].concat();
            self.contents.remove(&node[..=path.len()]);
            for byte in bytes {
                self.contents
                    .insert([node.as_slice(), &[*byte]].concat(), Content::Cross(crossing));
            }
            if let Some(owned) = value {
                self.contents.insert(node, Content::Record(owned.clone()));
            }
        }
    }

    fn detach(&mut self, at: usize) {
        let Some((path, byte, crossing)) = self.crossing_at(at) else {
            return;
        };
        if crossing.kind == Kind::Flat {
            return self.deal_flat(at, 0, 0);
        }
        let key = [path.as_slice(), &[byte]].concat();
        TrieMut::new(&mut self.frame).detach(&key, path.len(), crossing.child);
        self.contents.retain(|_, content| *content != Content::Cross(crossing));
    }

    /// Cuts off what starts with a part of some path, and hangs it in elsewhere if that can be.
    fn move_subtree(&mut self, at: usize, cut: usize, to: &[u8], as_frame: bool) {
        let Some(path) = self.contents.keys().nth(at % self.contents.len().max(1)) else {
            return;
        };
        let prefix = path[..cut % (path.len() + 1)].to_vec();
        if prefix.is_empty() {
            return;
        }
        let expected: Vec<(Vec<u8>, Content)> = self
            .below(&prefix)
            .map(|(path, content)| (path[prefix.len()..].to_vec(), content.clone()))
            .collect();
        let (frame_bytes, mut next_child) = (self.frame.len(), self.next_child);
        let found = match TrieRef::new(&self.frame).under(&prefix) {
            Under::Nothing => panic!("nothing under {prefix:?}"),
            Under::Below { crossing, depth } => {
                assert_eq!(self.crossed(&prefix), Some((crossing, depth)));
                return;
            }
            Under::Record { suffix, stored } => {
                assert_eq!(expected, [(suffix.to_vec(), Content::Record(Owned::of(&stored)))]);
                None
            }
            Under::Node { node, lead } => {
                let (depth, mut image) = (prefix.len() + lead.len(), vec![0x77; frame_bytes]);
                let trie = TrieRef::new(&self.frame);
                let path = [&prefix[..], lead].concat();
                let moved: Vec<Moved> = (trie.entangled(&path, &trie.bytes_at(node)).into_iter())
                    .map(|(from, base)| {
                        assert!(base.len() < depth);
                        next_child += 1;
                        let to = Some(next_child);
                        Moved { from, to, base: depth }
                    })
                    .collect();
                copy_subtree(trie, node, depth, &moved, &mut image).unwrap();
                assert_valid(&image);
                Some((lead.to_vec(), image, moved))
            }
        };
        self.next_child = next_child;
        assert!(TrieMut::new(&mut self.frame).prune(&prefix));
        for (path, _) in &expected {
            self.contents.remove(&[&prefix[..], path].concat());
        }
        self.check();
        let Some((lead, image, moved)) = found else { return };
        let root = TrieRef::new(&image).root();
        let contents = trie_contents(&image);
        let stripped = expected
            .iter()
            .map(|(path, content)| (path[lead.len()..].to_vec(), content.clone()))
            .map(|(path, content)| match content {
                Content::Cross(crossing) => match moved.iter().find(|moved| moved.from == crossing.child) {
                    Some(moved) => {
                        let (child, up) = (moved.to.unwrap(), path.len() - 1);
                        (path, Content::Cross(Crossing { child, up, ..crossing }))
                    }
                    None => (path, Content::Cross(crossing)),
                },
                content => (path, content),
            });
        assert!(contents.iter().cloned().eq(stripped));
        let records = contents.iter().filter(|entry| matches!(entry.1, Content::Record(_)));
        let longest = records.map(|entry| entry.0.len()).max().unwrap_or(0);
        assert_eq!(TrieRef::new(&image).longest_here(root, 0).0, longest);

        let deepest = contents.iter().map(|entry| entry.0.len()).max().unwrap_or(0);
        if to.is_empty()
            || self.below(to).next().is_some()
            || self.crossed(to).is_some()
            || to.len() + lead.len() + deepest > crate::max_key_bytes(frame_bytes)
        {
            return;
        }
        let mut copy = vec![0x44; frame_bytes];
        copy_trie(&self.frame, &mut copy).unwrap();
        let bytes = TrieRef::new(&image).root_bytes();
        let value = contents
            .first()
            .filter(|entry| entry.0.is_empty())
            .map(|entry| entry.1.clone());
        let owned = value.map(|content| match content {
            Content::Record(owned) => owned,
            Content::Cross(crossing) => panic!("{crossing:?} on an empty path"),
        });
        let crossing = self.new_child(Kind::Trie);
        let as_frame = as_frame && !bytes.is_empty();
        let graft = if as_frame {
            let value = owned.as_ref().map(Owned::stored);
            let bytes = &bytes;
            Graft::Frame { value, bytes, crossing }
        } else {
            Graft::Nodes(TrieRef::new(&image))
        };
        // Only where no flat frame lies around: parting it is for those who know its keys.
        let mut trie = TrieMut::new(&mut copy);
        let Ok(Placed::Here { existed }) = trie.place(to, &inline(b"")) else {
            return;
        };
        assert!(!existed);
        if trie.as_ref().flat_around(to).is_some() || trie.graft(to, &lead, &graft).is_err() {
            return;
        }
        self.frame = copy;
        let node = [to, &lead].concat();
        if as_frame {
            for byte in bytes {
                self.contents
                    .insert([&node[..], &[byte]].concat(), Content::Cross(crossing));
            }
            if let Some(owned) = owned {
                self.contents.insert(node, Content::Record(owned));
            }
        } else {
            for (path, content) in contents {
                self.contents.insert([&node[..], &path].concat(), content);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Place(key, stored) => {
                self.place(key, stored);
            }
            Op::Remove(key) => self.remove(key),
            Op::RemoveAt(at) => {
                if let Some(key) = self.record_at(*at) {
                    self.remove(&key);
                }
            }
            Op::Evict { limit_part, parts } => self.evict(*limit_part, *parts),
            Op::Deal { at, parts, seed } => self.deal_flat(*at, *parts, *seed),
            Op::Sink { limit_part } => self.sink(*limit_part),
            Op::Divide(at) => self.divide(*at),
            Op::Carve {
                at,
                prefix,
                value,
                bytes,
            } => self.carve(*at, prefix, value.as_ref(), bytes),
            Op::Detach(at) => self.detach(*at),
            Op::Move { at, cut, to, as_frame } => self.move_subtree(*at, *cut, to, *as_frame),
            Op::Compact => self.compact(),
        }
    }

    fn check(&self) {
        assert_valid(&self.frame);
        let trie = TrieRef::new(&self.frame);
        let found = trie_contents(&self.frame);
        assert!(
            found
                .iter()
                .map(|(path, content)| (path, content))
                .eq(self.contents.iter())
        );
        let mut records = 0;
        let mut children: Vec<u32> = Vec::new();
        for (path, content) in &self.contents {
            match content {
                Content::Record(_) => {
                    records += 1;
                    assert_eq!(trie.seek(path), self.seek(path));
                }
                Content::Cross(crossing) => children.push(crossing.child),
            }
            for key in [
                &path[..path.len().saturating_sub(1)],
                &[path.as_slice(), b"\0"].concat(),
            ] {
                assert_eq!(trie.seek(key), self.seek(key));
            }
        }
        assert_eq!(trie.records(), records);
        let crossings: Vec<u32> = trie.crossings().iter().map(|crossing| crossing.child).collect();
        children.sort_unstable();
        children.dedup();
        assert_eq!(crossings, children);
        assert_eq!(trie.is_empty(), self.contents.is_empty());
    }
}

fn run(frame_bytes: usize, ops: &[Op]) {
    let mut model = Model::new(frame_bytes);
    for op in ops {
        model.apply(op);
        model.check();
    }
    model.compact();
    model.check_splits();
    model.check_push_down();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_of_2048_bytes_agrees_with_a_map(ops in prop::collection::vec(any_op(2048), 1..200)) {
        run(2048, &ops);
    }

    #[test]
    fn a_frame_of_4096_bytes_agrees_with_a_map(ops in prop::collection::vec(any_op(4096), 1..300)) {
        run(4096, &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_of_65536_bytes_agrees_with_a_map(ops in prop::collection::vec(any_op(65536), 1..400)) {
        run(65536, &ops);
    }
}

#[test]
fn frames_that_fill_and_empty_again_and_again_agree_with_a_map() {
    for (frame_bytes, steps) in [(2048, 20_000), (4096, 20_000), (65536, 20_000)] {
        let mut random = Random(frame_bytes as u64);
        let mut model = Model::new(frame_bytes);
        let mut growing = true;
        for step in 0..steps {
            if random.one_in(if growing { 4 } else { 1 }) {
                let count = model.contents.len();
                let known = model.contents.iter().nth(random.below(count));
                match known.map(|(path, content)| (path.clone(), content.clone())) {
                    Some((path, Content::Record(_))) => model.remove(&path),
                    Some(_) => model.detach(random.next() as usize),
                    None => growing = true,
                }
            } else {
                let (key, stored) = (random.key(frame_bytes), random.stored(frame_bytes));
                growing = model.place(&key, &stored);
            }
            if random.one_in(500) {
                let limit_part = 2 + random.below(10);
                model.sink(limit_part);
            }
            if random.one_in(300) {
                let (limit_part, parts) = (2 + random.below(10), 1 + random.below(3));
                model.evict(limit_part, parts);
            }
            if step % (frame_bytes / 256) == 0 {
                model.check();
            }
        }
        model.check();
        model.check_splits();
    }
}

#[test]
fn a_full_frame_still_replaces_and_removes() {
    let mut model = Model::new(2048);
    let mut number = 0u32;
    while TrieMut::new(&mut model.frame)
        .place(&number.to_be_bytes(), &inline(b"value"))
        .is_ok()
    {
        number += 1;
    }
    let before = model.frame.clone();
    assert!(
        TrieMut::new(&mut model.frame)
            .place(b"another", &inline(&[0; 100]))
            .is_err()
    );
    assert_eq!(before, model.frame);
    for gone in 0..number {
        assert!(TrieMut::new(&mut model.frame).remove(&gone.to_be_bytes()));
        assert_valid(&model.frame);
    }
    assert!(TrieRef::new(&model.frame).is_empty());
}
