//! Room in a full flat frame.
//!
//! Fill is what the choices here are about. A frame that is split in the middle leaves two that are half empty, so what can
//! move to a sibling's free room moves there first; and what a carved-out group leaves behind does not keep a frame of its
//! own when it is little.

use coppice_frame::{
    Crossing, FlatRef, FlatSplit, Item, Kind, Placed, TrieMut, TrieRef, UNIT_BYTES, build_flat, copy_trie,
    first_byte_groups, flat_bytes_needed, plan_flat_split,
};

use super::{Tried, stuck};
use crate::{
    buffer::Buffer,
    error::Error,
    forest::{Forest, Level},
    table::BlobKind,
};

/// A full frame: what it holds, and where it hangs.
pub(in crate::forest) struct Full<'a> {
    pub(in crate::forest) blob: u32,
    pub(in crate::forest) items: &'a [Item<'a>],
    pub(in crate::forest) parent: u32,
    /// The bytes, relative to the frame above, that lead to the node whose entries lead here.
    pub(in crate::forest) path: &'a [u8],
}

fn flat(child: u32) -> Crossing {
    Crossing {
        child,
        kind: Kind::Flat,
    }
}

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
        let old = self.table.buffer(level.blob, BlobKind::Flat)?;
        let items = FlatRef::new(old.frame()).items();
        if !tried.compacted.contains(&level.blob)
            && let Some(buffer) = self.rebuilt(&items, need)
        {
            tried.compacted.push(level.blob);
            self.table.replace(level.blob, buffer);
            return Ok(None);
        }
        let parent = *above.last().ok_or_else(|| stuck("a flat frame on top"))?;
        let path = key.get(parent.base..level.base).unwrap_or(&[]);
        let full = Full {
            blob: level.blob,
            items: &items,
            parent: parent.blob,
            path,
        };
        let rest = key.get(level.base..).unwrap_or(&[]);
        let appending = items.last().is_some_and(|last| rest >= last.key);
        if !appending && !tried.moved && self.move_to_sibling(&full)? {
            tried.moved = true;
            return Ok(None);
        }
        match plan_flat_split(&items, appending).ok_or_else(|| stuck("one record fills a frame"))? {
            FlatSplit::Range { first } => self.split(&full, first),
            FlatSplit::Carve { first, end, prefix_len } => self.carve(&full, first, end, prefix_len),
        }
    }

    /// A frame of its records alone, if a worthwhile part of it is free then beside what is needed.
    pub(in crate::forest) fn rebuilt(&self, items: &[Item<'_>], need: usize) -> Option<Buffer> {
        let frame_bytes = self.frame_bytes();
        let fits = flat_bytes_needed(frame_bytes, items).saturating_add(need) <= frame_bytes / 16 * 15;
        fits.then(|| self.built(items, 0)).flatten()
    }

    /// A frame of these records, if they fit one.
    pub(in crate::forest) fn built(&self, items: &[Item<'_>], strip: usize) -> Option<Buffer> {
        let mut buffer = self.table.frame_buffer();
        build_flat(buffer.frame_mut(), items, strip).ok().map(|()| buffer)
    }

    /// What a flat frame would be with more records in it, if all of them fit.
    pub(in crate::forest) fn joined(&self, blob: u32, more: &[Item<'_>]) -> Result<Option<Buffer>, Error> {
        let held = self.table.buffer(blob, BlobKind::Flat)?;
        let mut items = FlatRef::new(held.frame()).items();
        items.extend_from_slice(more);
        items.sort_unstable_by_key(|item| item.key);
        Ok(self.built(&items, 0))
    }

    fn part(&self, items: &[Item<'_>], strip: usize) -> Result<Buffer, Error> {
        self.built(items, strip)
            .ok_or_else(|| stuck("a part of a frame does not fit a frame"))
    }

    /// The flat frames in memory, other than this one, that entries of the same node lead to.
    fn siblings(&self, full: &Full<'_>) -> Result<Vec<(u8, u32)>, Error> {
        let crossings = self.table.trie(full.parent)?.crossings_at(full.path);
        let others = crossings.into_iter().filter(|(_, crossing)| {
            crossing.kind == Kind::Flat && crossing.child != full.blob && self.table.is_resident(crossing.child)
        });
        Ok(others.map(|(byte, crossing)| (byte, crossing.child)).collect())
    }

    /// Moves groups of at least a quarter of a frame to a sibling that has room for them.
    fn move_to_sibling(&mut self, full: &Full<'_>) -> Result<bool, Error> {
        let frame_bytes = self.frame_bytes();
        let groups = first_byte_groups(full.items);
        let first_byte = full
            .items
            .first()
            .and_then(|item| item.key.first())
            .copied()
            .unwrap_or(0);
        for (byte, sibling) in self.siblings(full)? {
            let room = (frame_bytes / 16 * 15).saturating_sub(self.table.live_bytes(sibling));
            if room < frame_bytes / 4 {
                continue;
            }
            // From the end that is nearer to what the sibling holds.
            let from_low = byte < first_byte;
            let mut taken = 0;
            let mut moved = 0;
            while moved + 1 < groups.len() {
                let at = if from_low { moved } else { groups.len() - 1 - moved };
                let bytes = groups.get(at).map_or(0, |group| group.bytes);
                if taken + bytes > room {
                    break;
                }
                taken += bytes;
                moved += 1;
            }
            if taken < frame_bytes / 4 {
                continue;
            }
            let boundary = if from_low { moved } else { groups.len() - moved };
            let index = groups.get(boundary).map_or(full.items.len(), |group| group.first);
            let (low, high) = full
                .items
                .split_at_checked(index)
                .ok_or_else(|| stuck("a split out of range"))?;
            let (moving, staying) = if from_low { (low, high) } else { (high, low) };
            if self.hand_over(full, moving, staying, sibling)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves records, by their first bytes, into a sibling. False when they do not fit.
    fn hand_over(
        &mut self,
        full: &Full<'_>,
        moving: &[Item<'_>],
        staying: &[Item<'_>],
        sibling: u32,
    ) -> Result<bool, Error> {
        let (Some(joined), Some(stayed)) = (self.joined(sibling, moving)?, self.built(staying, 0)) else {
            return Ok(false);
        };
        let bytes = first_bytes(moving);
        let mut trie = TrieMut::new(self.table.frame_mut(full.parent, BlobKind::Trie)?);
        if trie.assign(full.path, full.path.len(), &bytes, flat(sibling)).is_err() {
            return Ok(false);
        }
        self.table.replace(sibling, joined);
        self.table.replace(full.blob, stayed);
        Ok(true)
    }

    /// Parts the records between two frames that hang from the same node.
    fn split(&mut self, full: &Full<'_>, first: usize) -> Result<Option<usize>, Error> {
        let (left, right) = full
            .items
            .split_at_checked(first)
            .ok_or_else(|| stuck("a split out of range"))?;
        let boundary = right.first().and_then(|item| item.key.first()).copied().unwrap_or(0);
        let mut bytes = self.table.trie(full.parent)?.bytes_to(full.path, full.blob);
        bytes.retain(|byte| *byte >= boundary);
        let (left, right) = (self.part(left, 0)?, self.part(right, 0)?);
        let child = self.table.add(BlobKind::Flat, self.frame_bytes(), right)?;
        let mut trie = TrieMut::new(self.table.frame_mut(full.parent, BlobKind::Trie)?);
        if let Err(lacking) = trie.assign(full.path, full.path.len(), &bytes, flat(child)) {
            self.table.remove(child);
            return Ok(Some(lacking.units));
        }
        self.table.replace(full.blob, left);
        Ok(None)
    }

    /// Gives the records of one first byte a node of their own and a frame below it; `prefix_len` bytes, which all of them
    /// share, lead to the node. None when that was done; else the units that the frame above lacks.
    pub(in crate::forest) fn carve(
        &mut self,
        full: &Full<'_>,
        first: usize,
        end: usize,
        prefix_len: usize,
    ) -> Result<Option<usize>, Error> {
        let group = full.items.get(first..end).unwrap_or(&[]);
        let (own, group) = match group.split_first() {
            Some((own, others)) if own.key.len() == prefix_len => (Some(own.stored), others),
            _ => (None, group),
        };
        let mut stayed = full.items.to_vec();
        stayed.drain(first..end);
        let prefix = group.first().and_then(|item| item.key.get(..prefix_len)).unwrap_or(&[]);
        let (byte, prefix) = prefix.split_first().ok_or_else(|| stuck("a group without a prefix"))?;
        let mut bytes: Vec<u8> = group
            .iter()
            .filter_map(|item| item.key.get(prefix_len).copied())
            .collect();
        bytes.dedup();
        let lower = self.part(group, prefix_len)?;

        // Several steps that must all find room: done in a copy of the frame above.
        let mut upper = self.table.frame_buffer();
        copy_trie(self.table.trie(full.parent)?.frame(), upper.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
        let child = self.table.add(BlobKind::Flat, self.frame_bytes(), lower)?;
        let depth = full.path.len();
        let mut trie = TrieMut::new(upper.frame_mut());
        if let Err(lacking) = trie.carve(full.path, depth, *byte, prefix, own.as_ref(), &bytes, flat(child)) {
            self.table.remove(child);
            return Ok(Some(lacking.units));
        }
        match self.settle(full, &stayed, &mut upper)? {
            Settled::Lacking(units) => {
                self.table.remove(child);
                return Ok(Some(units));
            }
            Settled::Elsewhere => self.table.remove(full.blob),
            Settled::Kept => {
                let stayed = self.part(&stayed, 0)?;
                self.table.replace(full.blob, stayed);
            }
        }
        self.table.replace(full.parent, upper);
        Ok(None)
    }

    /// Finds a place for what is left of a frame out of which a group was carved. Little goes to a sibling that has room,
    /// or becomes records in the frame above (`upper`, a fresh copy) where there is no sibling.
    fn settle(&mut self, full: &Full<'_>, stayed: &[Item<'_>], upper: &mut Buffer) -> Result<Settled, Error> {
        let (frame_bytes, depth) = (self.frame_bytes(), full.path.len());
        let bytes: usize = stayed.iter().map(Item::flat_bytes).sum();
        if stayed.is_empty() {
            TrieMut::new(upper.frame_mut()).detach(full.path, depth, full.blob);
            return Ok(Settled::Elsewhere);
        }
        if bytes > frame_bytes / 16 * 3 {
            return Ok(Settled::Kept);
        }
        let siblings = self.siblings(full)?;
        let roomy = siblings
            .iter()
            .find(|(_, sibling)| self.table.live_bytes(*sibling) + bytes <= frame_bytes / 16 * 14);
        if let Some((_, sibling)) = roomy {
            let Some(joined) = self.joined(*sibling, stayed)? else {
                return Ok(Settled::Kept);
            };
            let leading = TrieRef::new(upper.frame()).bytes_to(full.path, full.blob);
            if TrieMut::new(upper.frame_mut())
                .assign(full.path, depth, &leading, flat(*sibling))
                .is_err()
            {
                return Ok(Settled::Kept);
            }
            self.table.replace(*sibling, joined);
            return Ok(Settled::Elsewhere);
        }
        if !siblings.is_empty() {
            return Ok(Settled::Kept);
        }
        // Beside its bytes each record may cost a node of two entries.
        let needed = bytes + stayed.len() * 3 * UNIT_BYTES;
        if TrieRef::new(upper.frame()).live_bytes() + needed > frame_bytes {
            return Ok(Settled::Lacking(needed / UNIT_BYTES));
        }
        let kept = upper.clone();
        let mut trie = TrieMut::new(upper.frame_mut());
        trie.detach(full.path, depth, full.blob);
        for item in stayed {
            let key = [full.path, item.key].concat();
            if !matches!(trie.place(&key, &item.stored), Ok(Placed::Here { .. })) {
                *upper = kept;
                return Ok(Settled::Kept);
            }
        }
        Ok(Settled::Elsewhere)
    }
}

/// What became of the records that a carved-out group left behind.
enum Settled {
    /// They stay in their frame.
    Kept,
    /// They went; the frame is not needed any more.
    Elsewhere,
    /// They should go to the frame above, which lacks so many units.
    Lacking(usize),
}

fn first_bytes(items: &[Item<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = items.iter().filter_map(|item| item.key.first().copied()).collect();
    bytes.dedup();
    bytes
}
