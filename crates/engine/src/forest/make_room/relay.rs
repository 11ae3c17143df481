//! Flat frames beside one another, their keys dealt out anew.
//!
//! A flat frame holds a run of the keys below one trie frame. So what is too much for one can go to its neighbours, two or
//! three can become one more or one fewer, and records of the trie frame can join them: all by laying out a region of the
//! trie frame again, in a copy of it.

use coppice_frame::{
    FlatRef, FlatRun, Item, Layout, NoRoom, Placed, Region, Run, Stored, TrieMut, TrieRef, UNIT_BYTES, Value,
    begin_flat, build_flat, copy_trie, items_behind,
};

use super::stuck;
use crate::{
    buffer::Buffer,
    error::Error,
    forest::{Forest, Level},
    table::BlobKind,
};

/// Which keys are to be dealt out.
#[derive(Clone, Copy, Debug)]
pub(in crate::forest) enum Hand<'a> {
    /// Everything in a run, records of the trie frame too.
    Run(&'a Run),
    /// Those of one flat frame.
    Flat(&'a FlatRun),
}

/// What became of keys that were to be dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forest) enum Relaid {
    Done,
    /// The trie frame lacks so many units.
    Lacking(usize),
    /// It cannot be done this way.
    Refused,
}

/// What must come of keys that are dealt out, or else they stay as they are.
#[derive(Clone, Copy, Debug)]
pub(in crate::forest) struct Demand {
    /// How many bytes, relative to the trie frame, lead to the base of the last part's frame at most.
    pub(in crate::forest) reach: usize,
    /// The most that may be live of the trie frame.
    pub(in crate::forest) live_bytes: usize,
    /// The fewest flat frames. Keys that begin others are records of the trie frame's nodes, however they are laid out, so a
    /// part may need none.
    pub(in crate::forest) flats: usize,
}

impl Demand {
    /// Whatever comes of it will do.
    pub(in crate::forest) fn none(frame_bytes: usize) -> Self {
        Self {
            reach: usize::MAX,
            live_bytes: frame_bytes,
            flats: 0,
        }
    }
}

/// A region of a trie frame laid out anew in a copy of that frame, which nobody reads yet.
pub(in crate::forest) struct Dealt {
    /// The frames of the parts that had one before, each with what it is to hold.
    kept: Vec<(u32, Buffer)>,
    /// Those made for the other parts.
    added: Vec<u32>,
    /// Those that no part needs.
    spare: Vec<u32>,
}

/// The last key before a cut, and the first one behind it.
pub(in crate::forest) type Sides = [Option<Vec<u8>>; 2];

impl Forest<'_> {
    /// Deals keys of a trie frame out anew. `part` chooses where they part, as [`coppice_frame::part_evenly`] does; the flat
    /// frames that they were in are used again as far as they go.
    pub(in crate::forest) fn relay(
        &mut self,
        parent: u32,
        hand: Hand<'_>,
        part: &dyn Fn(&[Item<'_>]) -> Vec<usize>,
    ) -> Result<Relaid, Error> {
        self.relay_if(parent, hand, Demand::none(self.frame_bytes()), part)
    }

    /// The same, if what comes of it is as demanded.
    pub(in crate::forest) fn relay_if(
        &mut self,
        parent: u32,
        hand: Hand<'_>,
        demand: Demand,
        part: &dyn Fn(&[Item<'_>]) -> Vec<usize>,
    ) -> Result<Relaid, Error> {
        let done = self.relay_as_it_is(parent, hand, demand, part)?;
        let Relaid::Lacking(units) = done else { return Ok(done) };
        // What is laid out anew takes up units before it gives any back.
        let old = self.table.buffer(parent, BlobKind::Trie)?;
        if TrieRef::new(old.frame()).live_bytes() + units * UNIT_BYTES > self.frame_bytes() {
            return Ok(done);
        }
        let mut compact = self.table.frame_buffer();
        copy_trie(old.frame(), compact.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
        self.table.replace(parent, compact);
        self.relay_as_it_is(parent, hand, demand, part)
    }

    fn relay_as_it_is(
        &mut self,
        parent: u32,
        hand: Hand<'_>,
        demand: Demand,
        part: &dyn Fn(&[Item<'_>]) -> Vec<usize>,
    ) -> Result<Relaid, Error> {
        let old = self.table.buffer(parent, BlobKind::Trie)?;
        let trie = TrieRef::new(old.frame());
        let region = match hand {
            Hand::Run(run) => trie.region(run),
            Hand::Flat(flat) => trie.region_of(flat),
        };
        let Some(region) = region else {
            return Ok(Relaid::Refused);
        };
        let contents = region.contents();
        let is_shared = |flat: &(u32, Vec<u8>)| self.table.is_shared(flat.0);
        if contents.leads_to_tries || contents.flats.iter().any(is_shared) {
            return Ok(Relaid::Refused);
        }
        // The flat frames, in key order, as they were.
        let mut held = Vec::with_capacity(contents.flats.len());
        for (child, path) in contents.flats {
            held.push((child, path, self.table.buffer(child, BlobKind::Flat)?));
        }
        let mut flats = Vec::with_capacity(held.len());
        for (_, path, buffer) in &held {
            flats.push((&path[..], FlatRef::new(buffer.frame())));
        }
        let mut keys = Vec::new();
        let mut items = items_behind(&flats, &mut keys);
        items.extend(
            contents
                .records
                .iter()
                .map(|(key, stored)| Item { key, stored: *stored }),
        );
        if !contents.records.is_empty() {
            // Stable, as that is quick where two runs are to be merged.
            items.sort_by_key(|item| item.key);
        }
        let children: Vec<u32> = held.iter().map(|held| held.0).collect();
        let mut upper = old.clone();
        match self.deal(
            &mut upper,
            &region,
            (&items, None),
            (&part(&items), demand.reach),
            &children,
        )? {
            Ok(dealt)
                if TrieRef::new(upper.frame()).live_bytes() > demand.live_bytes
                    || dealt.kept.len() + dealt.added.len() < demand.flats =>
            {
                self.abandon_dealt(&dealt);
                Ok(Relaid::Refused)
            }
            Ok(dealt) => {
                self.table.replace(parent, upper);
                self.commit_dealt(dealt);
                Ok(Relaid::Done)
            }
            Err(why) => Ok(why),
        }
    }

    /// Lays a region out anew in `upper`, a copy of the frame that it was found in. `guest` is the item, with an end of its
    /// own, that becomes a record of the trie frame; `reach` is as in [`Demand`]; `used` are the flat frames that the items were in. Nothing else is
    /// changed but for new frames; [`Forest::commit_dealt`] or [`Forest::abandon_dealt`] must follow.
    fn deal(
        &mut self,
        upper: &mut Buffer,
        region: &Region<'_>,
        (items, guest): (&[Item<'_>], Option<usize>),
        (ends, reach): (&[usize], usize),
        used: &[u32],
    ) -> Result<Result<Dealt, Relaid>, Error> {
        let mut reaches = vec![usize::MAX; ends.len()];
        if let Some(last) = reaches.last_mut() {
            *last = reach;
        }
        let Some(layout) = Layout::plan(region, items, ends, guest, &reaches) else {
            return Ok(Err(Relaid::Refused));
        };
        let Some(frames) = self.build_parts(&layout, items, ends) else {
            return Ok(Err(Relaid::Refused));
        };
        let mut dealt = Dealt {
            kept: Vec::new(),
            added: Vec::new(),
            spare: Vec::new(),
        };
        let mut used = used.iter().copied();
        let mut children = Vec::with_capacity(frames.len());
        for frame in frames {
            children.push(match (frame, used.next()) {
                (Some(frame), Some(child)) => {
                    dealt.kept.push((child, frame));
                    child
                }
                (Some(frame), None) => {
                    let child = self.table.add(BlobKind::Flat, self.frame_bytes(), frame)?;
                    dealt.added.push(child);
                    child
                }
                // No entry will lead there.
                (None, spare) => {
                    dealt.spare.extend(spare);
                    u32::MAX
                }
            });
        }
        dealt.spare.extend(used);
        match TrieMut::new(upper.frame_mut()).lay(region, &layout, items, &children) {
            Ok(()) => Ok(Ok(dealt)),
            Err(NoRoom { units }) => {
                self.abandon_dealt(&dealt);
                Ok(Err(if units == usize::MAX {
                    Relaid::Refused
                } else {
                    Relaid::Lacking(units)
                }))
            }
        }
    }

    /// Puts an empty flat frame behind one that stays as it is, for a key that leads to that one and comes behind all in it.
    /// The new frame's base is no deeper than `reach` bytes.
    pub(in crate::forest) fn begin_behind(
        &mut self,
        parent: u32,
        own: &FlatRun,
        key: &[u8],
        reach: usize,
    ) -> Result<Relaid, Error> {
        let old = self.table.buffer(parent, BlobKind::Trie)?;
        let held = self.table.buffer(own.child, BlobKind::Flat)?;
        let Some((region, path)) = TrieRef::new(old.frame()).region_and_path(own) else {
            return Ok(Relaid::Refused);
        };
        let flat = FlatRef::new(held.frame());
        let mut keys = Vec::new();
        let mut items = items_behind(&[(&path[..], flat)], &mut keys);
        let stored = Stored {
            version: 0,
            value: Value::Inline(&[]),
        };
        items.push(Item { key, stored });
        let ends = [items.len() - 1, items.len()];
        let layout = Layout::plan(&region, &items, &ends, None, &[path.len(), reach]);
        // One of the records might have to become a node's own.
        let fits = |layout: &Layout| layout.owned().is_empty() && layout.base(0) == Some(path.len());
        let Some(layout) = layout.filter(fits) else {
            return Ok(Relaid::Refused);
        };
        let mut buffer = self.table.frame_buffer();
        begin_flat(buffer.frame_mut(), flat);
        let child = self.table.add(BlobKind::Flat, self.frame_bytes(), buffer)?;
        let mut upper = old.clone();
        match TrieMut::new(upper.frame_mut()).lay(&region, &layout, &items, &[own.child, child]) {
            Ok(()) => {
                self.table.replace(parent, upper);
                Ok(Relaid::Done)
            }
            Err(NoRoom { .. }) => {
                self.table.remove(child);
                Ok(Relaid::Refused)
            }
        }
    }

    /// Makes the frames be as they were dealt.
    pub(in crate::forest) fn commit_dealt(&mut self, dealt: Dealt) {
        for (child, frame) in dealt.kept {
            self.table.replace(child, frame);
        }
        for child in dealt.spare {
            self.table.release(child);
        }
    }

    /// Gives the new frames back.
    pub(in crate::forest) fn abandon_dealt(&mut self, dealt: &Dealt) {
        for child in &dealt.added {
            self.table.remove(*child);
        }
    }

    /// Parts a flat frame in two in `upper`, a copy of the trie frame above: what lies before a key, and what lies behind it.
    /// Where the key leads to the flat frame, `guest` becomes its record.
    pub(in crate::forest) fn cut_at(
        &mut self,
        upper: &mut Buffer,
        flat: &FlatRun,
        key: &[u8],
        guest: Option<&Stored<'_>>,
    ) -> Result<Result<(Dealt, Sides), Relaid>, Error> {
        let old = upper.clone();
        let Some((region, path)) = TrieRef::new(old.frame()).region_and_path(flat) else {
            return Ok(Err(Relaid::Refused));
        };
        let held = self.table.buffer(flat.child, BlobKind::Flat)?;
        let mut keys = Vec::new();
        let mut items = items_behind(&[(&path[..], FlatRef::new(held.frame()))], &mut keys);
        let at = items.partition_point(|item| item.key < key);
        let mut ends = vec![at];
        if let Some(stored) = guest {
            items.insert(at, Item { key, stored: *stored });
            ends.push(at + 1);
        }
        ends.push(items.len());
        let behind = items.get(at + usize::from(guest.is_some()));
        let before = at.checked_sub(1).and_then(|last| items.get(last));
        let sides = [before, behind].map(|item| item.map(|item| item.key.to_vec()));
        let guest = guest.map(|_| at);
        let dealt = self.deal(upper, &region, (&items, guest), (&ends, usize::MAX), &[flat.child])?;
        Ok(dealt.map(|dealt| (dealt, sides)))
    }

    /// Makes a flat frame's records be the trie frame's own, where that leaves an eighth of it free at least.
    pub(in crate::forest) fn fold(&mut self, parent: u32, flat: &FlatRun) -> Result<(), Error> {
        let old = self.table.buffer(parent, BlobKind::Trie)?;
        let held = self.table.buffer(flat.child, BlobKind::Flat)?;
        let Some((region, path)) = TrieRef::new(old.frame()).region_and_path(flat) else {
            return Ok(());
        };
        let mut without = old.clone();
        let Ok(dealt) = self.deal(&mut without, &region, (&[], None), (&[], usize::MAX), &[flat.child])? else {
            return Ok(());
        };
        let mut upper = self.table.frame_buffer();
        copy_trie(without.frame(), upper.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
        let mut trie = TrieMut::new(upper.frame_mut());
        for item in FlatRef::new(held.frame()).items() {
            let placed = trie.place(&[&path[..], item.key].concat(), &item.stored);
            if !matches!(placed, Ok(Placed::Here { .. })) {
                return Ok(());
            }
        }
        if trie.as_ref().live_bytes() <= self.frame_bytes() / 8 * 7 {
            self.table.replace(parent, upper);
            self.commit_dealt(dealt);
        }
        Ok(())
    }

    /// Drops a flat frame whatever it holds, with all entries that lead to it. `key` leads there.
    pub(in crate::forest) fn drop_flat(&mut self, key: &[u8], parent: Level) -> Result<(), Error> {
        let mut upper = self.table.buffer(parent.blob, BlobKind::Trie)?;
        let old = upper.clone();
        let trie = TrieRef::new(old.frame());
        let runs = trie.flat_runs(key.get(parent.base..).unwrap_or(&[]));
        let Some((before, own, behind)) = runs else {
            return Ok(());
        };
        let Some(region) = trie.region_of(&own) else {
            return Ok(());
        };
        if let Ok(dealt) = self.deal(&mut upper, &region, (&[], None), (&[], usize::MAX), &[own.child])? {
            self.table.replace(parent.blob, upper);
            self.commit_dealt(dealt);
        }
        // Those that it lay between are neighbours now.
        match before.or(behind) {
            Some(beside) => self.join_beside(parent.blob, &beside.run.first),
            None => Ok(()),
        }
    }

    /// The frame of each part; none for a part that needs none. None where a part does not fit.
    fn build_parts(&self, layout: &Layout, items: &[Item<'_>], ends: &[usize]) -> Option<Vec<Option<Buffer>>> {
        let mut frames = Vec::with_capacity(ends.len());
        let mut first = 0;
        for (part, end) in ends.iter().enumerate() {
            let records = items.get(first..*end)?;
            let Some(base) = layout.base(part) else {
                frames.push(None);
                first = *end;
                continue;
            };
            let owned = layout.owned();
            let low = owned.partition_point(|own| *own < first);
            let frame = if owned.get(low).is_some_and(|own| own < end) {
                let others: Vec<Item<'_>> = records
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| owned.binary_search(&(first + at)).is_err())
                    .map(|(_, item)| *item)
                    .collect();
                self.built(&others, base)?
            } else {
                self.built(records, base)?
            };
            frames.push(Some(frame));
            first = *end;
        }
        Some(frames)
    }

    /// A frame of these records, if they fit one.
    pub(in crate::forest) fn built(&self, items: &[Item<'_>], strip: usize) -> Option<Buffer> {
        let mut buffer = self.table.frame_buffer();
        build_flat(buffer.frame_mut(), items, strip).ok().map(|()| buffer)
    }
}
