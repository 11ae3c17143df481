//! Taking a record out, and giving frames back that hold too little.

use coppice_frame::{FlatMut, FlatRef, FlatRun, Kind, Seek, TrieMut, TrieRef, part_evenly};

use super::{Forest, Level, MAX_FRAMES_ON_PATH, ROOT, make_room::Hand};
use crate::{error::Error, table::BlobKind};

/// An underfull frame looks for neighbours to join each time its records have become a multiple of this.
const JOIN_EVERY_RECORDS: usize = 16;

/// Whether a flat frame with so many bytes live is one that its neighbours may take in.
fn is_underfull(live_bytes: usize, frame_bytes: usize) -> bool {
    live_bytes <= frame_bytes / 16 * 11
}

/// Whether a frame, once it has lost so many records more, is to be joined with its neighbours, or holds none any more.
pub(super) fn seeks_to_join(flat: FlatRef<'_>, frame_bytes: usize, lost: usize) -> bool {
    let records = flat.records().saturating_sub(lost);
    records.is_multiple_of(JOIN_EVERY_RECORDS) && is_underfull(flat.live_bytes(), frame_bytes)
}

impl Forest<'_> {
    /// Removes a record that is there, as the caller has found, and the blob that its value has to itself.
    pub(crate) fn remove(&mut self, key: &[u8], extent: Option<u32>) -> Result<(), Error> {
        self.table.repin();
        let mut path = vec![Level { blob: ROOT, base: 0 }];
        let mut kind = Kind::Trie;
        while let Some(&Level { blob, base }) = path.last() {
            let rest = key.get(base..).unwrap_or(&[]);
            if kind == Kind::Flat {
                FlatMut::new(self.table.frame_mut(blob, BlobKind::Flat)?).remove(rest);
                break;
            }
            let Seek::Below { crossing, depth } = self.table.trie(blob)?.seek(rest) else {
                TrieMut::new(self.table.frame_mut(blob, BlobKind::Trie)?).remove(rest);
                break;
            };
            path.push(Level {
                blob: self.own(blob, crossing)?,
                base: base + depth,
            });
            kind = crossing.kind;
            if path.len() > MAX_FRAMES_ON_PATH {
                return Err(self.lost("a path has no end"));
            }
        }
        self.mark_counts_stale(&path);
        if let Some(blob) = extent {
            self.table.release(blob);
        }
        self.as_one_move(|forest| forest.give_back(key, &path, kind))
    }

    /// Drops the frames on the path that hold nothing any more, from the bottom up; joins one that holds little.
    pub(super) fn give_back(&mut self, key: &[u8], path: &[Level], mut kind: Kind) -> Result<(), Error> {
        for pair in path.windows(2).rev() {
            let [parent, level] = pair else { continue };
            let empty = match kind {
                Kind::Flat => self.table.flat(level.blob)?.records() == 0,
                Kind::Trie => self.table.trie(level.blob)?.is_empty(),
            };
            if !empty {
                if kind == Kind::Flat {
                    self.join(key, *parent, *level)?;
                }
                return Ok(());
            }
            if kind == Kind::Flat {
                self.drop_flat(key, *parent)?;
            } else {
                self.drop_trie(key, *parent, *level)?;
            }
            kind = Kind::Trie;
        }
        Ok(())
    }

    /// Lets go of a trie frame, with all entries that lead to it. `key` leads there.
    pub(super) fn drop_trie(&mut self, key: &[u8], parent: Level, level: Level) -> Result<(), Error> {
        let mut trie = TrieMut::new(self.table.frame_mut(parent.blob, BlobKind::Trie)?);
        let parent_key = key.get(parent.base..).unwrap_or(&[]);
        trie.detach(parent_key, level.base - parent.base, level.blob);
        self.table.release(level.blob);
        Ok(())
    }

    /// Has an underfull flat frame and its neighbours become one frame fewer, where they fit that well.
    fn join(&mut self, key: &[u8], parent: Level, level: Level) -> Result<(), Error> {
        if !seeks_to_join(self.table.flat(level.blob)?, self.frame_bytes(), 0) {
            return Ok(());
        }
        self.join_beside(parent.blob, key.get(parent.base..).unwrap_or(&[]))
    }

    /// The same for the flat frames on both sides of a key of a trie frame that leads nowhere now: they may hold little.
    pub(super) fn join_around(&mut self, parent: u32, key: &[u8]) -> Result<(), Error> {
        let upper = self.table.buffer(parent, BlobKind::Trie)?;
        for child in TrieRef::new(upper.frame()).flats_beside(key) {
            self.join_flat(parent, child)?;
        }
        Ok(())
    }

    /// The same for one flat frame, if the trie frame still leads to it: joined with one before it, it is gone.
    pub(super) fn join_flat(&mut self, parent: u32, child: u32) -> Result<(), Error> {
        let upper = self.table.buffer(parent, BlobKind::Trie)?;
        let frames = TrieRef::new(upper.frame()).flat_frames();
        let Some((_, base)) = frames.into_iter().find(|(known, _)| *known == child) else {
            return Ok(());
        };
        if !self.may_trade(child) {
            return Ok(());
        }
        let held = self.table.buffer(child, BlobKind::Flat)?;
        match FlatRef::new(held.frame()).items().first() {
            Some(first) => self.join_beside(parent, &[&base[..], first.key].concat()),
            None => Ok(()),
        }
    }

    /// The same for the flat frame that a key of a trie frame leads to, however many records it has.
    pub(super) fn join_beside(&mut self, parent: u32, key: &[u8]) -> Result<(), Error> {
        let frame_bytes = self.frame_bytes();
        let upper = self.table.buffer(parent, BlobKind::Trie)?;
        let Some((before, own, behind)) = TrieRef::new(upper.frame()).flat_runs(key) else {
            return Ok(());
        };
        let live = self.table.live_bytes(own.child);
        if !self.may_trade(own.child) || !is_underfull(live, frame_bytes) {
            return Ok(());
        }
        if before.is_none() && behind.is_none() && live <= frame_bytes / 16 * 3 {
            return self.fold(parent, &own);
        }
        let beside = |run: Option<FlatRun>| run.filter(|run| self.may_trade(run.child));
        let (before, behind) = (beside(before), beside(behind));
        let live_of = |run: &Option<FlatRun>| run.as_ref().map_or(0, |run| self.table.live_bytes(run.child));
        let (live_before, live_behind) = (live_of(&before), live_of(&behind));
        let fits = |live: usize, parts: usize| live <= frame_bytes / 16 * 15 * parts;
        let (run, parts) = match (&before, &behind) {
            (Some(before), _) if fits(live_before + live, 1) => (before.run.up_to(&own.run), 1),
            (_, Some(behind)) if fits(live + live_behind, 1) => (own.run.up_to(&behind.run), 1),
            (Some(before), Some(behind)) if fits(live_before + live + live_behind, 2) => {
                (before.run.up_to(&behind.run), 2)
            }
            _ => return Ok(()),
        };
        drop(upper);
        self.relay(parent, Hand::Run(&run), &|items| {
            part_evenly(items, parts, frame_bytes / 32)
        })
        .map(|_| ())
    }
}
