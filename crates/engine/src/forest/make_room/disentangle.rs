//! Flat frames taken apart, where a part of the trie frame above goes elsewhere and takes along what lies below it.

use coppice_frame::{FlatRef, Item, Moved, TrieRef};

use crate::{buffer::Buffer, error::Error, forest::Forest, table::BlobKind};

/// Flat frames taken apart where a part of a trie frame goes elsewhere.
pub(in crate::forest) struct Disentangled {
    /// What the part that goes must lead to instead.
    pub(in crate::forest) moved: Vec<Moved>,
    /// The frames made for it.
    pub(in crate::forest) added: Vec<u32>,
    /// The same for the part that stays: frames that are left with nothing.
    pub(in crate::forest) emptied: Vec<Moved>,
    /// What stays in the frames that it led to.
    left: Vec<(u32, Option<Buffer>)>,
}

impl Forest<'_> {
    /// Gives the part of a trie frame below these entries of the node that `path` leads to flat frames of its own, where it
    /// shares some with what lies elsewhere or their bases lie above that node. None where that cannot be done. Nothing is
    /// changed but for new frames; [`Forest::commit_disentangled`] or [`Forest::abandon_disentangled`] must follow.
    pub(in crate::forest) fn disentangle(
        &mut self,
        trie: TrieRef<'_>,
        path: &[u8],
        bytes: &[u8],
    ) -> Result<Option<Disentangled>, Error> {
        let mut made = Disentangled {
            moved: Vec::new(),
            added: Vec::new(),
            emptied: Vec::new(),
            left: Vec::new(),
        };
        for (from, base) in trie.entangled(path, bytes) {
            let held = self.table.buffer(from, BlobKind::Flat)?;
            let strip = path.len() - base.len();
            let behind = path.get(base.len()..).unwrap_or(&[]);
            let goes = |item: &Item<'_>| {
                item.key.starts_with(behind) && item.key.get(strip).is_some_and(|byte| bytes.contains(byte))
            };
            let (going, staying): (Vec<Item<'_>>, Vec<Item<'_>>) =
                FlatRef::new(held.frame()).items().into_iter().partition(goes);
            let (Some(gone), Some(stays)) = (self.built(&going, strip), self.built(&staying, 0)) else {
                self.abandon_disentangled(made);
                return Ok(None);
            };
            let to = match going.is_empty() {
                true => None,
                false => Some(self.table.add(BlobKind::Flat, self.frame_bytes(), gone)?),
            };
            made.added.extend(to);
            let base = path.len();
            made.moved.push(Moved { from, to, base });
            if staying.is_empty() {
                made.emptied.push(Moved { from, to: None, base });
            }
            made.left.push((from, (!staying.is_empty()).then_some(stays)));
        }
        Ok(Some(made))
    }

    /// Makes the frames that were taken apart be as they are to be.
    pub(in crate::forest) fn commit_disentangled(&mut self, made: Disentangled) {
        for (blob, stays) in made.left {
            match stays {
                Some(buffer) => self.table.replace(blob, buffer),
                None => self.table.remove(blob),
            }
        }
    }

    /// The same, where the part that stays is the trie frame `stayed` now, and the part that goes `went`: what either got of
    /// a flat frame may be little.
    pub(in crate::forest) fn commit_parted(&mut self, made: Disentangled, stayed: u32, went: u32) -> Result<(), Error> {
        let left: Vec<u32> = made.left.iter().map(|left| left.0).collect();
        let added = made.added.clone();
        self.commit_disentangled(made);
        for child in left {
            self.join_flat(stayed, child)?;
        }
        for child in added {
            self.join_flat(went, child)?;
        }
        Ok(())
    }

    /// Gives the new frames back.
    pub(in crate::forest) fn abandon_disentangled(&mut self, made: Disentangled) {
        for blob in made.added {
            self.table.remove(blob);
        }
    }
}
