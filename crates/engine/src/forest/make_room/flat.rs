//! Room in a full flat frame.
//!
//! Fill is what the choices here are about. A frame that is split in the middle leaves two that are half empty, so a full
//! frame first evens out with a neighbour that has room, and where neither has any, it and its neighbours become one frame
//! more together: the B*-tree of Knuth, "The Art of Computer Programming", volume 3, section 6.2.4, with both neighbours.

use coppice_frame::{FlatRef, FlatRun, Item, TrieRef, UNIT_BYTES, common_prefix, copy_flat, part_evenly, part_widely};

use super::{Demand, Hand, Relaid, Tried, stuck};
use crate::{
    buffer::Buffer,
    error::Error,
    forest::{Forest, Level},
    table::BlobKind,
};

impl Forest<'_> {
    /// None when room was made; else the units that the frame above lacks.
    pub(super) fn relieve_flat(
        &mut self,
        key: &[u8],
        level: Level,
        above: &[Level],
        need: usize,
        tried: &mut Tried,
    ) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let old = self.table.buffer(level.blob, BlobKind::Flat)?;
        let flat = FlatRef::new(old.frame());
        if !tried.compacted.contains(&level.blob)
            && flat.live_bytes() + need <= frame_bytes / 16 * 15
            && let Some(buffer) = self.rebuilt(flat, need)
        {
            tried.compacted.push(level.blob);
            self.table.replace(level.blob, buffer);
            return Ok(None);
        }
        let parent = *above.last().ok_or_else(|| stuck("a flat frame on top"))?;
        let upper = self.table.buffer(parent.blob, BlobKind::Trie)?;
        let (before, own, behind) = TrieRef::new(upper.frame())
            .flat_runs(key.get(parent.base..).unwrap_or(&[]))
            .ok_or_else(|| stuck("a flat frame that nothing leads to"))?;
        let beside = |run: Option<FlatRun>| run.filter(|run| self.may_trade(run.child));
        let (before, behind) = (beside(before), beside(behind));
        let rest = key.get(level.base..).unwrap_or(&[]);
        let room_behind = behind
            .as_ref()
            .is_some_and(|run| self.table.live_bytes(run.child) <= frame_bytes / 4 * 3);
        if rest >= flat.last_key() && !room_behind {
            let shared = common_prefix(flat.first_key(), rest);
            let reach = level.base - parent.base + shared;
            // A deeper base makes room as a rebuilt frame does.
            if shared * flat.records() >= frame_bytes / 12 && self.lay_alone(parent.blob, &own, reach)? == Relaid::Done
            {
                return Ok(None);
            }
            let below = key.get(parent.base..).unwrap_or(&[]);
            if rest > flat.last_key() && self.begin_behind(parent.blob, &own, below, reach)? == Relaid::Done {
                return Ok(None);
            }
            return match self.split_off_last(parent.blob, &own, reach)? {
                Relaid::Done => Ok(None),
                _ => self.split_alone(parent.blob, &own),
            };
        }
        let done = self.share_out(parent.blob, before.as_ref(), &own, behind.as_ref(), tried)?;
        if done == Relaid::Done {
            return Ok(None);
        }
        self.split_alone(parent.blob, &own)
    }

    /// Where keys ascend, the last flat frame's base may be too deep for a key that comes behind all in it: then the frame is
    /// given one that suits, or if it is full, a frame behind it. Else such keys would gather in the trie frame, and be
    /// copied again whenever that has no room. Done only where the newest record of the frame is its last.
    pub(in crate::forest) fn reopen_before(&mut self, parent: u32, key: &[u8]) -> Result<(), Error> {
        let frame_bytes = self.frame_bytes();
        let trie = self.table.trie(parent)?;
        if trie.seek_place(key).is_some() {
            return Ok(());
        }
        let Some(own) = trie.flat_before(key).filter(|own| self.may_trade(own.child)) else {
            return Ok(());
        };
        let flat = self.table.flat(own.child)?;
        if !flat.ends_with_newest() {
            return Ok(());
        }
        let Some((_, mut path)) = trie.region_and_path(&own) else {
            return Ok(());
        };
        path.extend_from_slice(flat.first_key());
        let reach = common_prefix(&path, key);
        let has_room = flat.live_bytes() <= frame_bytes / 16 * 15;
        self.as_one_move(|forest| {
            if !has_room || forest.lay_alone(parent, &own, reach)? != Relaid::Done {
                forest.split_off_last(parent, &own, reach)?;
            }
            Ok(())
        })
    }

    /// A frame without its garbage, if a worthwhile part of it is free then beside what is needed.
    pub(in crate::forest) fn rebuilt(&self, flat: FlatRef<'_>, need: usize) -> Option<Buffer> {
        let mut buffer = self.table.frame_buffer();
        let spare = self.frame_bytes() / 16 + need;
        copy_flat(flat, buffer.frame_mut(), spare).ok().map(|()| buffer)
    }

    /// Lays a flat frame out anew, with its base as deep as its keys allow, and no deeper than `reach` bytes.
    fn lay_alone(&mut self, parent: u32, own: &FlatRun, reach: usize) -> Result<Relaid, Error> {
        let demand = Demand {
            reach,
            ..Demand::none(self.frame_bytes())
        };
        self.relay_if(parent, Hand::Flat(own), demand, &|items| vec![items.len()])
    }

    /// Ascending keys leave full frames behind: only the last record goes to a new one, whose base is no deeper than `reach`
    /// bytes, so that keys that share as much can join it.
    fn split_off_last(&mut self, parent: u32, own: &FlatRun, reach: usize) -> Result<Relaid, Error> {
        let demand = Demand {
            reach,
            ..Demand::none(self.frame_bytes())
        };
        let part = |items: &[Item<'_>]| vec![items.len().saturating_sub(1).max(1), items.len()];
        self.relay_if(parent, Hand::Flat(own), demand, &part)
    }

    /// Evens a full frame out with the neighbour that has more room, or makes one frame more of it and its neighbours.
    fn share_out(
        &mut self,
        parent: u32,
        before: Option<&FlatRun>,
        own: &FlatRun,
        behind: Option<&FlatRun>,
        tried: &mut Tried,
    ) -> Result<Relaid, Error> {
        let frame_bytes = self.frame_bytes();
        let slack = frame_bytes / 32;
        let roomiest = [before, behind]
            .into_iter()
            .flatten()
            .min_by_key(|run| self.table.live_bytes(run.child));
        if let Some(neighbour) = roomiest
            && !tried.evened
            && self.table.live_bytes(neighbour.child) <= frame_bytes / 4 * 3
        {
            let run = if Some(neighbour) == before {
                neighbour.run.up_to(&own.run)
            } else {
                own.run.up_to(&neighbour.run)
            };
            let done = self.relay(parent, Hand::Run(&run), &|items| part_evenly(items, 2, slack))?;
            if done == Relaid::Done {
                tried.evened = true;
                return Ok(done);
            }
        }
        if before.is_none() && behind.is_none() {
            return Ok(Relaid::Refused);
        }
        let run = before.unwrap_or(own).run.up_to(&behind.unwrap_or(own).run);
        let parts = 2 + usize::from(before.is_some()) + usize::from(behind.is_some());
        let demand = Demand {
            flats: parts,
            ..Demand::none(frame_bytes)
        };
        let part = |items: &[Item<'_>]| part_evenly(items, parts, slack);
        self.relay_if(parent, Hand::Run(&run), demand, &part)
    }

    /// Splits a frame in the middle; or where that takes too much of the frame above, where keys have least in common.
    fn split_alone(&mut self, parent: u32, own: &FlatRun) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let evenly = |items: &[Item<'_>]| part_evenly(items, 2, frame_bytes / 8);
        match self.relay(parent, Hand::Flat(own), &evenly)? {
            Relaid::Done => return Ok(None),
            Relaid::Lacking(units) if units <= frame_bytes / UNIT_BYTES / 16 => return Ok(Some(units)),
            _ => {}
        }
        let widely = |items: &[Item<'_>]| part_widely(items).into_iter().chain([items.len()]).collect();
        match self.relay(parent, Hand::Flat(own), &widely)? {
            Relaid::Done => Ok(None),
            Relaid::Lacking(units) => Ok(Some(units)),
            Relaid::Refused => Err(stuck("a flat frame cannot be split")),
        }
    }
}
