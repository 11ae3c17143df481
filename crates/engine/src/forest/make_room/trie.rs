//! Room in a full trie frame.

use coppice_frame::{
    Crossing, FlatRun, Gap, Item, Kind, Part, TrieMut, TrieRef, TrieSplit, copy_trie, copy_trie_moved, part_densely,
    part_evenly, push_down, sink_trie, split_trie,
};

use super::{Demand, Hand, Relaid, Tried, stuck};
use crate::{
    error::Error,
    forest::{Forest, Level, ROOT},
    table::BlobKind,
};

impl Forest<'_> {
    /// None when room was made; else the units that the frame above lacks.
    pub(super) fn relieve_trie(
        &mut self,
        key: &[u8],
        level: Level,
        above: &[Level],
        need: usize,
        tried: &mut Tried,
    ) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let old = self.table.buffer(level.blob, BlobKind::Trie)?;
        let trie = TrieRef::new(old.frame());
        if !tried.compacted.contains(&level.blob) && trie.live_bytes() + need <= frame_bytes / 8 * 7 {
            let mut buffer = self.table.frame_buffer();
            if copy_trie(old.frame(), buffer.frame_mut()).is_ok() {
                tried.compacted.push(level.blob);
                self.table.replace(level.blob, buffer);
                return Ok(None);
            }
        }
        if let Some(gap) = trie.gap_before(key.get(level.base..).unwrap_or(&[]))
            && gap.size_bytes >= frame_bytes / 8
            && self.evict_ascending(level.blob, trie.live_bytes(), &gap)?
        {
            return Ok(None);
        }
        if let Some(gap) = trie.largest_gap(frame_bytes / 32 * 29)
            && gap.size_bytes >= frame_bytes / 8
            && self.evict(level.blob, trie.live_bytes(), &gap)?
        {
            return Ok(None);
        }
        if trie.leads_to_tries()
            && let Some(part) = trie.plan_sinking(frame_bytes / 4 * 3)
            && part.size_bytes >= frame_bytes / 4
            && self.sink(level.blob, trie, &part)?
        {
            return Ok(None);
        }
        let Some(parent) = above.last().copied() else {
            self.push_root_down(trie)?;
            return Ok(None);
        };
        self.split_trie_into(key, level, parent, trie)
    }

    /// Moves records that ascending keys left into flat frames: into the one before them first, each as full as can be. The
    /// last one's base is that of the trie frame, so that the keys to come can join it, whatever they share. False when that
    /// cannot be done here, or would leave most of them where they are.
    fn evict_ascending(&mut self, blob: u32, live_bytes: usize, gap: &Gap) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let child = |run: &Option<FlatRun>| run.as_ref().map(|run| run.child);
        if gap.before.is_some() && child(&gap.before) == child(&gap.behind) {
            return Ok(false);
        }
        let before = gap.before.as_ref().filter(|run| self.may_trade(run.child));
        let run = before.map_or_else(|| gap.run.clone(), |before| before.run.up_to(&gap.run));
        let demand = Demand {
            reach: 0,
            live_bytes: live_bytes.saturating_sub(gap.size_bytes / 2),
            flats: 0,
        };
        let part = |items: &[Item<'_>]| part_densely(items, frame_bytes / 64 * 61);
        Ok(self.relay_if(blob, Hand::Run(&run), demand, &part)? == Relaid::Done)
    }

    /// Moves neighbouring records into flat frames: into one beside them that has room, else into one of their own, if they
    /// are enough for one, else they are shared out with the emptier one beside them. False when that cannot be done here, or
    /// would leave most of them where they are: keys that begin others are the nodes' own records, however they are laid out.
    fn evict(&mut self, blob: u32, live_bytes: usize, gap: &Gap) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let demand = Demand {
            live_bytes: live_bytes.saturating_sub(gap.size_bytes / 2),
            ..Demand::none(frame_bytes)
        };
        if let (Some(before), Some(behind)) = (&gap.before, &gap.behind)
            && before.child == behind.child
            && self.table.is_shared(before.child)
        {
            // The frame leads to another then: it is looked at again.
            return self.own_flat(blob, before.child).map(|()| true);
        }
        let resident = |run: &&FlatRun| self.may_trade(run.child);
        let live = |run: &FlatRun| self.table.live_bytes(run.child);
        let amid = match (&gap.before, &gap.behind) {
            (Some(before), Some(behind)) if before.child == behind.child => Some((live(before), before.run.clone())),
            _ => None,
        };
        let before = gap.before.as_ref().filter(resident);
        let before = before.map(|run| (live(run), run.run.up_to(&gap.run)));
        let behind = gap.behind.as_ref().filter(resident);
        let behind = behind.map(|run| (live(run), gap.run.up_to(&run.run)));
        // Records amid a flat frame's keys can go nowhere else.
        let in_any_case = amid.is_some();
        let emptier = amid.or_else(|| before.into_iter().chain(behind).min_by_key(|candidate| candidate.0));
        let (run, parts) = match emptier {
            Some((live, run)) if live + gap.size_bytes <= frame_bytes / 16 * 15 => (run, 1),
            Some((_, run)) if in_any_case || (gap.size_bytes < frame_bytes / 2) => (run, 2),
            None if gap.size_bytes < frame_bytes / 4 => return Ok(false),
            _ => (gap.run.clone(), 1),
        };
        let slack = frame_bytes / 32;
        for parts in parts..=parts + 1 {
            let part = |items: &[Item<'_>]| part_evenly(items, parts, slack);
            if self.relay_if(blob, Hand::Run(&run), demand, &part)? == Relaid::Done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves what leads to no tries into a trie frame of its own, so that the tries which this one leads to stay as near to
    /// the top as they are. False when that cannot be done here.
    fn sink(&mut self, blob: u32, trie: TrieRef<'_>, part: &Part) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        if trie.spans(&part.path, &part.bytes) {
            return Ok(false);
        }
        if self.own_entangled(blob, trie, &part.path, &part.bytes)? {
            return Ok(true);
        }
        let Some(made) = self.disentangle(trie, &part.path, &part.bytes)? else {
            return Ok(false);
        };
        let (mut lower, mut upper) = (self.table.frame_buffer(), self.table.frame_buffer());
        if sink_trie(trie.frame(), &part.path, &part.bytes, &made.moved, lower.frame_mut()).is_err()
            || copy_trie_moved(trie.frame(), upper.frame_mut(), &made.emptied).is_err()
            || TrieRef::new(lower.frame()).is_empty()
        {
            self.abandon_disentangled(made);
            return Ok(false);
        }
        let child = self.table.add(BlobKind::Trie, frame_bytes, lower)?;
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
            up: 0,
        };
        if TrieMut::new(upper.frame_mut())
            .assign(&part.path, part.path.len(), &part.bytes, crossing)
            .is_err()
        {
            self.table.remove(child);
            self.abandon_disentangled(made);
            return Ok(false);
        }
        self.table.replace(blob, upper);
        self.commit_parted(made, blob, child)?;
        Ok(true)
    }

    /// The topmost frame has none above it: all that its root leads to moves into a new frame below the root.
    fn push_root_down(&mut self, trie: TrieRef<'_>) -> Result<(), Error> {
        let frame_bytes = self.frame_bytes();
        let (mut below, mut above) = (self.table.frame_buffer(), self.table.frame_buffer());
        let child = self.table.add(BlobKind::Trie, frame_bytes, below.clone())?;
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
            up: 0,
        };
        push_down(trie.frame(), above.frame_mut(), below.frame_mut(), crossing)
            .map_err(|_| stuck("the topmost frame cannot be pushed down"))?;
        self.table.replace(child, below);
        self.table.replace(ROOT, above);
        Ok(())
    }

    fn split_trie_into(
        &mut self,
        key: &[u8],
        level: Level,
        parent: Level,
        trie: TrieRef<'_>,
    ) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let depth = level.base - parent.base;
        let parent_key = key.get(parent.base..).unwrap_or(&[]);
        let (mut left, mut right) = (self.table.frame_buffer(), self.table.frame_buffer());
        let cut = trie.plan_cut().ok_or_else(|| stuck("a trie frame cannot be split"))?;
        let (cut_path, cut_bytes) = trie.cut_off(cut).ok_or_else(|| stuck("a cut at no node"))?;
        if self.own_entangled(level.blob, trie, &cut_path, &cut_bytes)? {
            return Ok(None);
        }
        let made = self
            .disentangle(trie, &cut_path, &cut_bytes)?
            .ok_or_else(|| stuck("a flat frame's part does not fit a frame"))?;
        let moved = [&made.emptied[..], &made.moved[..]];
        let split = split_trie(trie.frame(), cut, moved, left.frame_mut(), right.frame_mut())
            .map_err(|_| stuck("a part of a trie frame does not fit a frame"))?;
        if let TrieSplit::Range { shared, .. } = &split
            && let Some((crossing, _)) = shared.iter().find(|(crossing, _)| self.table.is_shared(crossing.child))
        {
            // The frame above may lead there already.
            self.abandon_disentangled(made);
            self.own(level.blob, *crossing)?;
            return Ok(None);
        }
        let child = self.table.add(BlobKind::Trie, frame_bytes, right.clone())?;
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
            up: 0,
        };
        let path = parent_key.get(..depth).unwrap_or(&[]);
        let leads_here = self.table.trie(parent.blob)?.bytes_to(path, level.blob);
        // Several steps that must all find room: done in a copy.
        let mut upper_buffer = self.table.buffer(parent.blob, BlobKind::Trie)?;
        let mut upper = TrieMut::new(upper_buffer.frame_mut());
        let left_is_empty = TrieRef::new(left.frame()).is_empty();
        let right_is_empty = TrieRef::new(right.frame()).is_empty();
        let done = match &split {
            TrieSplit::Range { first, shared } => {
                let bytes: Vec<u8> = leads_here.into_iter().filter(|byte| byte >= first).collect();
                let mut done = upper.assign(parent_key, depth, &bytes, crossing);
                for (crossing, bytes) in shared {
                    done = done.and_then(|()| upper.assign(parent_key, depth, bytes, *crossing));
                }
                done
            }
            TrieSplit::Carve {
                byte,
                prefix,
                value,
                bytes,
            } => upper.carve(parent_key, depth, *byte, prefix, value.as_ref(), bytes, crossing),
        };
        if let Err(full) = done {
            self.table.remove(child);
            self.abandon_disentangled(made);
            return Ok(Some(full.units));
        }
        for (empty, blob) in [(left_is_empty, level.blob), (right_is_empty, child)] {
            if empty {
                upper.detach(parent_key, depth, blob);
                self.table.remove(blob);
            }
        }
        self.table.replace(parent.blob, upper_buffer);
        if left_is_empty || right_is_empty {
            if !left_is_empty {
                self.table.replace(level.blob, left);
            }
            self.commit_disentangled(made);
        } else {
            self.table.replace(level.blob, left);
            self.commit_parted(made, level.blob, child)?;
        }
        Ok(None)
    }
}
