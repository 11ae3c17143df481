//! Runs of neighbouring slots of a trie frame: where a flat frame's keys begin and end, what lies beside them, and all that
//! a run holds.
//!
//! The slots of one flat frame are neighbours in key order, but for records between them: a flat frame holds one run of the
//! keys. So frames beside each other can trade keys, and a run of them can be laid out anew.

use super::{
    Crossing, TrieRef,
    slots::{Passing, Slot, SlotCursor},
};
use crate::{
    Kind, Stored,
    node::{NodeRef, Ref},
    record::HEADER_BYTES,
};

/// What a record costs a flat frame beside its own bytes: rounding, its hash slot, its place in the order.
const FLAT_OVERHEAD_BYTES: usize = 7 + 6;

/// A run of slots: the paths of the first and the last one, branch bytes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Path of the first slot.
    pub first: Vec<u8>,
    /// Path of the last slot.
    pub last: Vec<u8>,
}

impl Run {
    /// From this run's first slot to the last one of another, which lies behind it.
    pub fn up_to(&self, other: &Run) -> Run {
        Run {
            first: self.first.clone(),
            last: other.last.clone(),
        }
    }
}

/// A flat frame and the run of slots that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatRun {
    /// The frame's number.
    pub child: u32,
    /// Its slots.
    pub run: Run,
}

/// Records beside one another, and the flat frames next to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The records' slots.
    pub run: Run,
    /// Roughly what they take in a flat frame.
    pub size_bytes: usize,
    /// The flat frame whose run ends before the first record.
    pub before: Option<FlatRun>,
    /// The flat frame whose run begins behind the last record.
    pub behind: Option<FlatRun>,
}

/// An entry with all that is below it, as a part of a region.
#[derive(Clone, Debug)]
pub(super) struct Top {
    pub(super) node: Ref,
    pub(super) byte: u8,
    /// Bytes that lead to the node, its prefix included.
    pub(super) depth: usize,
    /// Those bytes, and the entry's.
    pub(super) path: Vec<u8>,
}

/// All that lies between two slots, as whole entries: as few of them as possible.
#[derive(Clone, Debug)]
pub struct Region<'a> {
    pub(super) trie: TrieRef<'a>,
    pub(super) tops: Vec<Top>,
}

/// What a region holds.
#[derive(Debug, Default)]
pub struct RegionContents<'a> {
    /// Records of the trie frame itself, keys relative to it, ascending.
    pub records: Vec<(Vec<u8>, Stored<'a>)>,
    /// The flat frames, in key order, each once, with the path that leads to its base.
    pub flats: Vec<(u32, Vec<u8>)>,
    /// Whether it leads to trie frames.
    pub leads_to_tries: bool,
}

fn flat_child(slot: Slot) -> Option<u32> {
    match slot {
        Slot::Across(
            Crossing {
                child,
                kind: Kind::Flat,
                ..
            },
            _,
        ) => Some(child),
        _ => None,
    }
}

/// The larger of two runs with their sizes; the first where they are alike.
fn larger(one: Option<(Run, usize)>, other: Option<(Run, usize)>) -> Option<(Run, usize)> {
    let size = |run: &Option<(Run, usize)>| run.as_ref().map_or(0, |run| run.1);
    if size(&other) > size(&one) { other } else { one }
}

impl<'a> TrieRef<'a> {
    /// The run of the flat frame that a slot leads to, and its first and its last slot.
    fn run_at(cursor: &SlotCursor<'a>, child: u32) -> (Run, [SlotCursor<'a>; 2]) {
        let ends = [false, true].map(|forwards| {
            let mut last = cursor.clone();
            let mut ahead = cursor.clone();
            while ahead.step(forwards) {
                match ahead.slot() {
                    Slot::Record => {}
                    slot if flat_child(slot) == Some(child) => last.stand_at(&ahead),
                    Slot::Across(..) => break,
                }
            }
            last
        });
        let [first, last] = ends.each_ref().map(|end| end.path.clone());
        (Run { first, last }, ends)
    }

    /// The flat frame that this slot leads to, if it is one.
    fn flat_at(cursor: &SlotCursor<'a>) -> Option<FlatRun> {
        let child = flat_child(cursor.slot())?;
        let (run, _) = Self::run_at(cursor, child);
        Some(FlatRun { child, run })
    }

    /// The flat frame beside this slot, records passed over.
    fn flat_beside(mut cursor: SlotCursor<'a>, forwards: bool) -> Option<FlatRun> {
        while cursor.step(forwards) {
            match cursor.slot() {
                Slot::Record => {}
                _ => return Self::flat_at(&cursor),
            }
        }
        None
    }

    /// The flat frame that a key leads to, with the ones beside it: before, itself, behind. None where the key leads to no
    /// flat frame.
    pub fn flat_runs(self, key: &[u8]) -> Option<(Option<FlatRun>, FlatRun, Option<FlatRun>)> {
        let cursor = SlotCursor::at(self, key)?;
        let child = flat_child(cursor.slot())?;
        let (run, [first, last]) = Self::run_at(&cursor, child);
        let before = Self::flat_beside(first, false);
        let behind = Self::flat_beside(last, true);
        Some((before, FlatRun { child, run }, behind))
    }

    /// The flat frame whose keys may lie on both sides of a record; `key` is the record's. None where there is no such
    /// record or frame.
    pub fn flat_around(self, key: &[u8]) -> Option<FlatRun> {
        let at = SlotCursor::at(self, key).filter(|cursor| cursor.slot() == Slot::Record)?;
        let before = Self::flat_beside(at.clone(), false)?;
        let behind = Self::flat_beside(at, true)?;
        (before.child == behind.child).then_some(before)
    }

    /// The records of this frame, keys relative to it, in their order.
    pub fn items(self) -> Vec<(Vec<u8>, Stored<'a>)> {
        let mut contents = RegionContents::default();
        self.gather(self.root_ref(), 0, &[], &mut contents);
        contents.records
    }

    /// The flat frame that the slot right before the place of a key leads to. None where it leads to something else.
    pub fn flat_before(self, key: &[u8]) -> Option<FlatRun> {
        Self::flat_at(&SlotCursor::at_or_before(self, key)?)
    }

    /// All records between the place of a key and the slot before it that leads across, where none come behind the key: what
    /// ascending keys leave. None where there are none.
    pub fn gap_before(self, key: &[u8]) -> Option<Gap> {
        let mut cursor = SlotCursor::at_or_before(self, key)?;
        let mut behind = cursor.clone();
        if behind.step(true) && behind.slot() == Slot::Record {
            return None;
        }
        let last = cursor.clone();
        let (mut first, mut size_bytes) = (None, 0);
        while cursor.slot() == Slot::Record {
            size_bytes += self.size_in_flat(cursor.reference());
            first = Some(cursor.clone());
            if !cursor.step(false) {
                break;
            }
        }
        let first = first?;
        Some(Gap {
            run: Run {
                first: first.path.clone(),
                last: last.path.clone(),
            },
            size_bytes,
            before: Self::flat_beside(first, false),
            behind: Self::flat_beside(last, true),
        })
    }

    /// Roughly what a record takes in a flat frame.
    fn size_in_flat(self, record: Ref) -> usize {
        self.record(record).map_or(0, |record| {
            HEADER_BYTES + record.key_len() + record.value_len() + FLAT_OVERHEAD_BYTES
        })
    }

    /// The largest run of records, of those that take no more than `limit_bytes` of a flat frame.
    pub fn largest_gap(self, limit_bytes: usize) -> Option<Gap> {
        let mut cursor = SlotCursor::at_end(self, false)?;
        let mut best: Option<(Run, usize)> = None;
        let mut open: Option<(Run, usize)> = None;
        loop {
            let size = match cursor.slot() {
                Slot::Record => self.size_in_flat(cursor.reference()),
                Slot::Across(..) => limit_bytes + 1,
            };
            let joins = open.as_ref().is_some_and(|open| open.1 + size <= limit_bytes);
            match &mut open {
                Some((run, sum)) if joins => {
                    run.last.clone_from(&cursor.path);
                    *sum += size;
                }
                _ => {
                    best = larger(best, open.take());
                    if size <= limit_bytes {
                        let (first, last) = (cursor.path.clone(), cursor.path.clone());
                        open = Some((Run { first, last }, size));
                    }
                }
            }
            if !cursor.step(true) {
                break;
            }
        }
        let (run, size_bytes) = larger(best, open)?;
        let before = Self::flat_beside(SlotCursor::at(self, &run.first)?, false);
        let behind = Self::flat_beside(SlotCursor::at(self, &run.last)?, true);
        Some(Gap {
            run,
            size_bytes,
            before,
            behind,
        })
    }

    /// The flat frames that this frame leads to, in key order, with the path to each one's base.
    pub fn flat_frames(self) -> Vec<(u32, Vec<u8>)> {
        let mut contents = RegionContents::default();
        self.gather(self.root_ref(), 0, &[], &mut contents);
        contents.flats
    }

    /// The slots of a flat frame alone, without the records between them.
    pub fn region_of(self, flat: &FlatRun) -> Option<Region<'a>> {
        let mut cursor = SlotCursor::at(self, &flat.run.first)?;
        let mut tops = Vec::new();
        loop {
            if flat_child(cursor.slot()) == Some(flat.child) {
                let passing = cursor.passed.last()?;
                tops.push(Top {
                    node: passing.reference,
                    byte: passing.byte,
                    depth: passing.depth,
                    path: cursor.path.clone(),
                });
            }
            if cursor.path >= flat.run.last || !cursor.step(true) {
                break;
            }
        }
        Some(Region { trie: self, tops })
    }

    /// The same, and the path from this frame to the base of that one.
    pub fn region_and_path(self, flat: &FlatRun) -> Option<(Region<'a>, Vec<u8>)> {
        let region = self.region_of(flat)?;
        let (_, path) = region.contents().flats.into_iter().next()?;
        Some((region, path))
    }

    /// All between the first and the last slot of a run. None where there is no such slot.
    pub fn region(self, run: &Run) -> Option<Region<'a>> {
        let first = SlotCursor::at(self, &run.first).filter(|cursor| cursor.path == run.first)?;
        let last = SlotCursor::at(self, &run.last).filter(|cursor| cursor.path == run.last)?;
        if first.path > last.path {
            return None;
        }
        let mut shared = 0;
        while let (Some(left), Some(right)) = (first.passed.get(shared), last.passed.get(shared)) {
            if left.byte != right.byte || shared + 1 == first.passed.len().min(last.passed.len()) {
                break;
            }
            shared += 1;
        }
        // A node that lies wholly inside goes as the entry that leads to it.
        let opens = |passing: &Passing<'_>| passing.node.last_before(usize::from(passing.byte)).is_none();
        let closes = |passing: &Passing<'_>| passing.node.next_from(usize::from(passing.byte) + 1).is_none();
        let (mut left, mut right) = (first.passed.len() - 1, last.passed.len() - 1);
        while left > shared && first.passed.get(left).is_some_and(opens) {
            left -= 1;
        }
        while right > shared && last.passed.get(right).is_some_and(closes) {
            right -= 1;
        }
        while left == shared
            && right == shared
            && shared > 0
            && first.passed.get(shared).is_some_and(opens)
            && last.passed.get(shared).is_some_and(closes)
        {
            shared -= 1;
            (left, right) = (shared, shared);
        }
        let mut tops = Vec::new();
        let mut take = |passing: &Passing<'a>, path: &[u8], from: usize, to: usize| {
            for (byte, _) in passing.node.entries() {
                if (from..=to).contains(&usize::from(byte)) {
                    let mut path = path.get(..passing.depth).unwrap_or(&[]).to_vec();
                    path.push(byte);
                    tops.push(Top {
                        node: passing.reference,
                        byte,
                        depth: passing.depth,
                        path,
                    });
                }
            }
        };
        for at in (shared + 1..=left).rev() {
            let Some(passing) = first.passed.get(at) else { continue };
            let from = usize::from(passing.byte) + usize::from(at < left);
            take(passing, &first.path, from, 255);
        }
        if let (Some(low), Some(high)) = (first.passed.get(shared), last.passed.get(shared)) {
            let from = usize::from(low.byte) + usize::from(left > shared);
            if let Some(to) = usize::from(high.byte).checked_sub(usize::from(right > shared)) {
                take(low, &first.path, from, to);
            }
        }
        for at in shared + 1..=right {
            let Some(passing) = last.passed.get(at) else { continue };
            if let Some(to) = usize::from(passing.byte).checked_sub(usize::from(at < right)) {
                take(passing, &last.path, 0, to);
            }
        }
        Some(Region { trie: self, tops })
    }
}

impl<'a> Region<'a> {
    /// The paths to the entries that the region is made of, branch bytes included.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<&[u8]> {
        self.tops.iter().map(|top| top.path.as_slice()).collect()
    }

    /// Everything that the region holds and leads to.
    pub fn contents(&self) -> RegionContents<'a> {
        let mut contents = RegionContents::default();
        for top in &self.tops {
            let entry = self.trie.node(top.node).map_or(Ref::NONE, |node| node.find(top.byte));
            self.trie.gather(entry, top.depth, &top.path, &mut contents);
        }
        contents
    }
}

impl<'a> TrieRef<'a> {
    /// Adds what an entry leads to. The path includes its byte; `depth` bytes lead to the entry's node.
    pub(super) fn gather(self, entry: Ref, depth: usize, path: &[u8], contents: &mut RegionContents<'a>) {
        let mut pending = vec![(entry, depth, path.to_vec())];
        while let Some((reference, depth, mut path)) = pending.pop() {
            if let Some(crossing) = self.crossing(reference) {
                contents.leads_to_tries |= crossing.kind == Kind::Trie;
                if crossing.kind == Kind::Flat && contents.flats.last().is_none_or(|flat| flat.0 != crossing.child) {
                    path.truncate(depth.saturating_sub(crossing.up));
                    contents.flats.push((crossing.child, path));
                }
            } else if let Some(record) = self.record(reference) {
                let rest = record.key_len().saturating_sub(path.len());
                path.extend_from_slice(record.suffix(rest));
                contents.records.push((path, record.trie_stored()));
            } else if let Some(node) = self.node(reference) {
                self.open(node, path, &mut pending, contents);
            }
        }
    }

    fn open(
        self,
        node: NodeRef<'a>,
        mut path: Vec<u8>,
        pending: &mut Vec<(Ref, usize, Vec<u8>)>,
        contents: &mut RegionContents<'a>,
    ) {
        path.extend_from_slice(node.prefix());
        if let Some(record) = self.record(node.value()) {
            contents.records.push((path.clone(), record.trie_stored()));
        }
        let from = pending.len();
        let mut last = Ref::NONE;
        for (byte, entry) in node.entries() {
            if entry.is_crossing() && entry == last {
                continue;
            }
            last = entry;
            let mut below = path.clone();
            below.push(byte);
            pending.push((entry, path.len(), below));
        }
        if let Some(new) = pending.get_mut(from..) {
            new.reverse();
        }
    }
}
