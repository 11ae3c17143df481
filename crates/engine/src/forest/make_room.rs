//! Room in a full frame: rebuilt without its garbage, relieved of a subtree, or split into the frame above.
//!
//! Every step leaves the tree whole; the insert that asked walks down again afterwards. A frame is rebuilt only if that
//! frees a worthwhile part of it, and at most once for one insert; else it becomes smaller, so the asking ends.

use coppice_frame::{
    Crossing, Eviction, FlatRef, FlatSplit, Item, Kind, TrieMut, TrieRef, TrieSplit, UNIT_BYTES, build_flat, copy_trie,
    flat_bytes_needed, plan_flat_split, push_down, split_trie,
};

use super::{Forest, Level};
use crate::{
    buffer::Buffer,
    error::{Error, ErrorCode},
    table::BlobKind,
};

fn stuck(what: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("no room could be made in a frame: {what}"))
}

impl Forest {
    /// Makes room in the last frame of `path`, or in one above it that has to take something up. `compacted` is the frame
    /// that was rebuilt last for this insert.
    pub(super) fn make_room(
        &mut self,
        key: &[u8],
        path: &[Level],
        units: usize,
        compacted: &mut Option<u32>,
    ) -> Result<(), Error> {
        let mut path = path;
        let mut need = units.saturating_mul(UNIT_BYTES);
        // Each turn goes one frame up, or ends.
        while let Some((level, above)) = path.split_last() {
            let full = match self.table.kind(level.blob) {
                Some(BlobKind::Flat) => self.relieve_flat(key, *level, above, need, compacted)?,
                _ => self.relieve_trie(key, *level, above, need, compacted)?,
            };
            match full {
                None => return Ok(()),
                Some(units) => need = units.saturating_mul(UNIT_BYTES),
            }
            path = above;
        }
        Err(stuck("the topmost frame is full"))
    }

    /// None when room was made; else the units that the frame above lacks.
    fn relieve_flat(
        &mut self,
        key: &[u8],
        level: Level,
        above: &[Level],
        need: usize,
        compacted: &mut Option<u32>,
    ) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let old = self.table.buffer(level.blob, BlobKind::Flat)?;
        let flat = FlatRef::new(old.bytes());
        let items = flat.items();
        if *compacted != Some(level.blob) && flat_bytes_needed(frame_bytes, &items) + need <= frame_bytes / 16 * 15 {
            let mut buffer = Buffer::zeroed(frame_bytes);
            if build_flat(buffer.make_mut(), &items, 0).is_ok() {
                *compacted = Some(level.blob);
                self.table.replace(level.blob, buffer);
                return Ok(None);
            }
        }
        let parent = *above.last().ok_or_else(|| stuck("a flat frame on top"))?;
        let depth = level.base - parent.base;
        let parent_key = key.get(parent.base..).unwrap_or(&[]);
        let rest = key.get(level.base..).unwrap_or(&[]);
        let appending = items.last().is_some_and(|last| rest >= last.key);
        let part = |items: &[Item<'_>], strip| {
            let mut buffer = Buffer::zeroed(frame_bytes);
            match build_flat(buffer.make_mut(), items, strip) {
                Ok(()) => Ok(buffer),
                Err(_) => Err(stuck("a part of a frame does not fit a frame")),
            }
        };
        match plan_flat_split(&items, appending).ok_or_else(|| stuck("one record fills a frame"))? {
            FlatSplit::Range { first } => {
                let (left, right) = items
                    .split_at_checked(first)
                    .ok_or_else(|| stuck("a split out of range"))?;
                let boundary = right.first().and_then(|item| item.key.first()).copied().unwrap_or(0);
                let path = parent_key.get(..depth).unwrap_or(&[]);
                let mut bytes = self.table.trie(parent.blob)?.bytes_to(path, level.blob);
                bytes.retain(|byte| *byte >= boundary);
                let (left, right) = (part(left, 0)?, part(right, 0)?);
                let child = self.table.add(BlobKind::Flat, frame_bytes, right);
                let crossing = Crossing {
                    child,
                    kind: Kind::Flat,
                };
                let mut trie = TrieMut::new(self.table.bytes_mut(parent.blob, BlobKind::Trie)?);
                if let Err(full) = trie.assign(parent_key, depth, &bytes, crossing) {
                    self.table.remove(child);
                    return Ok(Some(full.units));
                }
                self.table.replace(level.blob, left);
            }
            FlatSplit::Carve { first, end, prefix_len } => {
                let group = items.get(first..end).unwrap_or(&[]);
                let (own, group) = match group.split_first() {
                    Some((own, others)) if own.key.len() == prefix_len => (Some(own.stored), others),
                    _ => (None, group),
                };
                let mut stayed = items.clone();
                stayed.drain(first..end);
                let prefix = group.first().and_then(|item| item.key.get(..prefix_len)).unwrap_or(&[]);
                let (byte, prefix) = prefix.split_first().ok_or_else(|| stuck("a group without a prefix"))?;
                let mut bytes: Vec<u8> = group
                    .iter()
                    .filter_map(|item| item.key.get(prefix_len).copied())
                    .collect();
                bytes.dedup();
                let child = self.table.add(BlobKind::Flat, frame_bytes, part(group, prefix_len)?);
                let crossing = Crossing {
                    child,
                    kind: Kind::Flat,
                };
                let mut trie = TrieMut::new(self.table.bytes_mut(parent.blob, BlobKind::Trie)?);
                if let Err(full) = trie.carve(parent_key, depth, *byte, prefix, own.as_ref(), &bytes, crossing) {
                    self.table.remove(child);
                    return Ok(Some(full.units));
                }
                if stayed.is_empty() {
                    trie.detach(parent_key, depth, level.blob);
                    self.table.remove(level.blob);
                } else {
                    let stayed = part(&stayed, 0)?;
                    self.table.replace(level.blob, stayed);
                }
            }
        }
        Ok(None)
    }

    fn relieve_trie(
        &mut self,
        key: &[u8],
        level: Level,
        above: &[Level],
        need: usize,
        compacted: &mut Option<u32>,
    ) -> Result<Option<usize>, Error> {
        let frame_bytes = self.frame_bytes();
        let old = self.table.buffer(level.blob, BlobKind::Trie)?;
        let trie = TrieRef::new(old.bytes());
        if *compacted != Some(level.blob) && trie.live_bytes() + need <= frame_bytes / 8 * 7 {
            let mut buffer = Buffer::zeroed(frame_bytes);
            if copy_trie(old.bytes(), buffer.make_mut()).is_ok() {
                *compacted = Some(level.blob);
                self.table.replace(level.blob, buffer);
                return Ok(None);
            }
        }
        if let Some(eviction) = trie.plan_eviction(frame_bytes / 32 * 29)
            && eviction.flat_bytes >= frame_bytes / 8
            && self.evict(level.blob, trie, &eviction)?
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
    fn evict(&mut self, blob: u32, trie: TrieRef<'_>, eviction: &Eviction) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let records = trie.collect(&eviction.path, &eviction.bytes);
        let mut items: Vec<Item<'_>> = records
            .iter()
            .map(|(key, stored)| Item { key, stored: *stored })
            .collect();
        let neighbour = trie
            .crossings_at(&eviction.path)
            .into_iter()
            .filter(|(_, crossing)| crossing.kind == Kind::Flat)
            .map(|(_, crossing)| crossing.child)
            .find(|child| self.table.live_bytes(*child) + eviction.flat_bytes <= frame_bytes / 8 * 7);
        let held = neighbour
            .map(|child| self.table.buffer(child, BlobKind::Flat))
            .transpose()?;
        if let Some(held) = &held {
            items.extend(FlatRef::new(held.bytes()).items());
            items.sort_unstable_by_key(|item| item.key);
        }
        let mut flat = Buffer::zeroed(frame_bytes);
        let mut upper = Buffer::zeroed(frame_bytes);
        if build_flat(flat.make_mut(), &items, 0).is_err() || copy_trie(trie.as_bytes(), upper.make_mut()).is_err() {
            return Ok(false);
        }
        let child = match neighbour {
            Some(child) => child,
            None => self.table.add(BlobKind::Flat, frame_bytes, flat.clone()),
        };
        let crossing = Crossing {
            child,
            kind: Kind::Flat,
        };
        let path = &eviction.path;
        if TrieMut::new(upper.make_mut())
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

    /// The topmost frame has none above it: all that its root leads to moves into a new frame below the root.
    fn push_root_down(&mut self, trie: TrieRef<'_>) -> Result<(), Error> {
        let frame_bytes = self.frame_bytes();
        let (mut below, mut above) = (Buffer::zeroed(frame_bytes), Buffer::zeroed(frame_bytes));
        let child = self.table.add(BlobKind::Trie, frame_bytes, below.clone());
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
        };
        push_down(trie.as_bytes(), above.make_mut(), below.make_mut(), crossing)
            .map_err(|_| stuck("the topmost frame cannot be pushed down"))?;
        self.table.replace(child, below);
        self.table.replace(super::ROOT, above);
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
        let (mut left, mut right) = (Buffer::zeroed(frame_bytes), Buffer::zeroed(frame_bytes));
        let split = split_trie(trie.as_bytes(), left.make_mut(), right.make_mut())
            .map_err(|_| stuck("a trie frame cannot be split"))?;
        let child = self.table.add(BlobKind::Trie, frame_bytes, right.clone());
        let crossing = Crossing {
            child,
            kind: Kind::Trie,
        };
        let path = parent_key.get(..depth).unwrap_or(&[]);
        let leads_here = self.table.trie(parent.blob)?.bytes_to(path, level.blob);
        // Several steps that must all find room: done in a copy.
        let mut upper_buffer = self.table.buffer(parent.blob, BlobKind::Trie)?;
        let mut upper = TrieMut::new(upper_buffer.make_mut());
        let (left_is_empty, right_is_empty);
        let done = match &split {
            TrieSplit::Range { first, shared } => {
                left_is_empty = TrieRef::new(left.bytes()).is_empty();
                right_is_empty = TrieRef::new(right.bytes()).is_empty();
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
