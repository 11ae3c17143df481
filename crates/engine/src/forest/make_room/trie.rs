//! Room in a full trie frame.

use coppice_frame::{
    Crossing, Item, Kind, Part, TrieMut, TrieRef, TrieSplit, copy_trie, push_down, sink_trie, split_trie,
};

use super::{Tried, stuck};
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
        if let Some(eviction) = trie.plan_eviction(frame_bytes / 32 * 29)
            && eviction.size_bytes >= frame_bytes / 4
            && self.evict(level.blob, trie, &eviction)?
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

    /// Moves a subtree's records into a flat frame below its node: one that the node leads to already if that has room,
    /// else a new one. False when that cannot be done here.
    fn evict(&mut self, blob: u32, trie: TrieRef<'_>, eviction: &Part) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let records = trie.collect(&eviction.path, &eviction.bytes);
        let items: Vec<Item<'_>> = records
            .iter()
            .map(|(key, stored)| Item { key, stored: *stored })
            .collect();
        let neighbour = trie
            .crossings_at(&eviction.path)
            .into_iter()
            .filter(|(_, crossing)| crossing.kind == Kind::Flat && self.table.is_resident(crossing.child))
            .map(|(_, crossing)| crossing.child)
            .find(|child| self.table.live_bytes(*child) + eviction.size_bytes <= frame_bytes / 8 * 7);
        let flat = match neighbour {
            Some(child) => self.joined(child, &items)?,
            None => self.built(&items, 0),
        };
        let mut upper = self.table.frame_buffer();
        let (Some(flat), Ok(())) = (flat, copy_trie(trie.frame(), upper.frame_mut())) else {
            return Ok(false);
        };
        let child = match neighbour {
            Some(child) => child,
            None => self.table.add(BlobKind::Flat, frame_bytes, flat.clone())?,
        };
        let crossing = Crossing {
            child,
            kind: Kind::Flat,
        };
        let path = &eviction.path;
        if TrieMut::new(upper.frame_mut())
            .assign(path, path.len(), &eviction.bytes, crossing)
            .is_err()
        {
            if neighbour.is_none() {
                self.table.remove(child);
            }
            return Ok(false);
        }
        if neighbour.is_some() {
            self.table.replace(child, flat);
        }
        self.table.replace(blob, upper);
        Ok(true)
    }

    /// Moves what leads to no tries into a trie frame of its own, so that the tries which this one leads to stay as near to
    /// the top as they are. False when that cannot be done here.
    fn sink(&mut self, blob: u32, trie: TrieRef<'_>, part: &Part) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let (mut lower, mut upper) = (self.table.frame_buffer(), self.table.frame_buffer());
        if sink_trie(trie.frame(), &part.path, &part.bytes, lower.frame_mut()).is_err()
            || copy_trie(trie.frame(), upper.frame_mut()).is_err()
        {
            return Ok(false);
        }
        let child = self.table.add(BlobKind::Trie, frame_bytes, lower)?;
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
        };
        if TrieMut::new(upper.frame_mut())
            .assign(&part.path, part.path.len(), &part.bytes, crossing)
            .is_err()
        {
            self.table.remove(child);
            return Ok(false);
        }
        self.table.replace(blob, upper);
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
        let split = split_trie(trie.frame(), left.frame_mut(), right.frame_mut())
            .map_err(|_| stuck("a trie frame cannot be split"))?;
        let child = self.table.add(BlobKind::Trie, frame_bytes, right.clone())?;
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
        };
        let path = parent_key.get(..depth).unwrap_or(&[]);
        let leads_here = self.table.trie(parent.blob)?.bytes_to(path, level.blob);
        // Several steps that must all find room: done in a copy.
        let mut upper_buffer = self.table.buffer(parent.blob, BlobKind::Trie)?;
        let mut upper = TrieMut::new(upper_buffer.frame_mut());
        let (left_is_empty, right_is_empty);
        let done = match &split {
            TrieSplit::Range { first, shared } => {
                left_is_empty = TrieRef::new(left.frame()).is_empty();
                right_is_empty = TrieRef::new(right.frame()).is_empty();
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
                left_is_empty: empty,
            } => {
                (left_is_empty, right_is_empty) = (*empty, false);
                upper.carve(parent_key, depth, *byte, prefix, value.as_ref(), bytes, crossing)
            }
        };
        if let Err(full) = done {
            self.table.remove(child);
            return Ok(Some(full.units));
        }
        for (empty, blob) in [(left_is_empty, level.blob), (right_is_empty, child)] {
            if empty {
                upper.detach(parent_key, depth, blob);
                self.table.remove(blob);
            }
        }
        self.table.replace(parent.blob, upper_buffer);
        if !left_is_empty {
            self.table.replace(level.blob, left);
        }
        Ok(None)
    }
}
