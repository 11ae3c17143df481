//! Subtrees hung in a second time, and frames that more than one frame leads to.
//!
//! A clone's topmost nodes are copied, and what lies in frames of its own below them is not: it is led to once more. Whatever
//! such a frame leads to is shared with it, and knows nothing of that. So who changes something owns the frames on its way
//! first, from the topmost shared one down: each becomes a copy under a number of its own, which leads to the same frames and
//! values as the one that it was made of, and these are led to once more each.
//!
//! **A trie frame leads to each frame from one place**, as ever: what leads to shared frames is hung in as a frame of its own,
//! never as nodes of one that may lead to them already. What a change would do to a shared frame beside its way is not done,
//! or that frame is owned before.

use coppice_defect::{Defect, planted};
use coppice_frame::{
    Crossing, FlatRef, Frame, Kind, NodePosition, Step, Stored, TrieMut, TrieRef, Under, copy_subtree, copy_trie,
};

use super::{
    Forest, Known, MAX_FRAMES_ON_PATH, ROOT,
    carve::{Subtree, records_under},
    make_room::stuck,
};
use crate::{buffer::Buffer, error::Error, table::BlobKind};

impl Forest<'_> {
    /// The frame below a trie frame that a crossing leads to, for a change to it: a copy, if others lead there too.
    pub(super) fn own(&mut self, parent: u32, crossing: Crossing) -> Result<u32, Error> {
        if !self.table.is_shared(crossing.child) || planted(Defect::WritesIntoSharedFrames) {
            return Ok(crossing.child);
        }
        // What a reader found on its way through the shared frame may be the other side's by the time that it looks.
        self.as_one_move(|forest| forest.part(parent, crossing))
    }

    fn part(&mut self, parent: u32, crossing: Crossing) -> Result<u32, Error> {
        let kind = BlobKind::from(crossing.kind);
        let shared = self.table.buffer(crossing.child, kind)?;
        if !planted(Defect::ForgetsBelowShared) {
            self.refer_below(crossing.kind, shared.frame());
        }
        let child = self.table.add(kind, self.frame_bytes(), shared.copy())?;
        TrieMut::new(self.table.frame_mut(parent, BlobKind::Trie)?).redirect(crossing.child, child);
        self.table.release(crossing.child);
        Ok(child)
    }

    /// Owns those of a trie frame's flat frames that its entries for `bytes`, of the node that `path` leads to, share with its
    /// others and that others lead to. Whether there were any: then the trie frame is another now.
    pub(super) fn own_entangled(
        &mut self,
        blob: u32,
        trie: TrieRef<'_>,
        path: &[u8],
        bytes: &[u8],
    ) -> Result<bool, Error> {
        if !self.table.shares_any() {
            return Ok(false);
        }
        let mut any = false;
        for (child, _) in trie.entangled(path, bytes) {
            if self.table.is_shared(child) {
                self.own_flat(blob, child)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Owns a flat frame.
    pub(super) fn own_flat(&mut self, parent: u32, child: u32) -> Result<(), Error> {
        let crossing = Crossing {
            child,
            kind: Kind::Flat,
            up: 0,
        };
        self.own(parent, crossing).map(|_| ())
    }

    /// Whether a flat frame beside the way of a change can be changed with it: others do not lead there, and it need not be
    /// read.
    pub(super) fn may_trade(&self, child: u32) -> bool {
        self.table.is_resident(child) && !self.table.is_shared(child)
    }

    /// Whether a trie frame leads to frames that others lead to.
    pub(super) fn leads_to_shared(&self, trie: TrieRef<'_>) -> bool {
        let is_shared = |crossing: &Crossing| self.table.is_shared(crossing.child);
        self.table.shares_any() && trie.crossings().iter().any(is_shared)
    }

    /// Notes that all that a frame leads to is led to once more.
    fn refer_below(&self, kind: Kind, frame: Frame<'_>) {
        match kind {
            Kind::Flat => self.refer_to_values(FlatRef::new(frame)),
            Kind::Trie => {
                let trie = TrieRef::new(frame);
                for crossing in trie.crossings() {
                    self.table.refer(crossing.child);
                }
                self.refer_to(trie.items().into_iter().map(|(_, stored)| stored));
            }
        }
    }

    fn refer_to_values(&self, flat: FlatRef<'_>) {
        if flat.may_have_extents() {
            self.refer_to(flat.items().iter().map(|item| item.stored));
        }
    }

    fn refer_to<'r>(&self, records: impl Iterator<Item = Stored<'r>>) {
        for value in records.filter_map(|stored| Known::of(stored).extent) {
            self.table.refer(value);
        }
    }

    /// Has all keys that start with `from` there a second time, starting with `to`, with which no key starts now: their
    /// records as they are. One change for those who read meanwhile. The caller has checked that it can be done.
    pub(crate) fn clone_subtree(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.as_one_move(|forest| match forest.copy_out(from)? {
            Some(subtree) => forest.attach(to, &subtree),
            None => Ok(()),
        })
    }

    /// What [`Forest::detach`] would take out, which stays where it is: what lies below is led to once more.
    fn copy_out(&mut self, prefix: &[u8]) -> Result<Option<Subtree>, Error> {
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let held = self.table.buffer(blob, BlobKind::Trie)?;
            let trie = TrieRef::new(held.frame());
            match trie.under(rest) {
                Under::Nothing => return Ok(None),
                Under::Below { crossing, depth } => {
                    rest = rest.get(depth..).unwrap_or(&[]);
                    if crossing.kind == Kind::Flat {
                        return self.copy_out_records(crossing.child, rest);
                    }
                    blob = crossing.child;
                }
                Under::Node { node, lead } => {
                    let image = self.copy_out_nodes(trie, node, &[rest, lead].concat())?;
                    let lead = lead.to_vec();
                    return Ok(image.map(|image| Subtree::Nodes { lead, image }));
                }
                Under::Record { suffix, stored } => {
                    self.refer_to(std::iter::once(stored));
                    let image = self.image_of(&stored)?;
                    let lead = suffix.to_vec();
                    return Ok(Some(Subtree::Nodes { lead, image }));
                }
            }
        }
        Err(self.lost("a path has no end"))
    }

    fn copy_out_records(&mut self, blob: u32, prefix: &[u8]) -> Result<Option<Subtree>, Error> {
        let frame = self.table.buffer(blob, BlobKind::Flat)?;
        let items = FlatRef::new(frame.frame()).items();
        let (copied, _) = records_under(&items, prefix);
        if copied.is_empty() {
            return Ok(None);
        }
        self.refer_to(copied.iter().map(|item| item.stored));
        let prefix = prefix.to_vec();
        Ok(Some(Subtree::Records { frame, prefix }))
    }

    /// A node with all below it, as a trie frame. Of flat frames that it shares with what lies elsewhere it gets copies of its
    /// part. None where it leads to no key.
    fn copy_out_nodes(&mut self, trie: TrieRef<'_>, node: NodePosition, path: &[u8]) -> Result<Option<Buffer>, Error> {
        if let Some(image) = self.copy_only_trie(trie, node)? {
            self.refer_below(Kind::Trie, image.frame());
            return Ok(Some(image));
        }
        let made = self
            .disentangle(trie, path, &trie.bytes_at(node))?
            .ok_or_else(|| stuck("a flat frame's part does not fit a frame"))?;
        let mut image = self.table.frame_buffer();
        if copy_subtree(trie, node, path.len(), &made.moved, image.frame_mut()).is_err() {
            self.abandon_disentangled(made);
            return Err(stuck("a part of a trie frame does not fit a frame"));
        }
        let copy = TrieRef::new(image.frame());
        if copy.is_empty() {
            self.abandon_disentangled(made);
            return Ok(None);
        }
        for crossing in copy.crossings() {
            match made.added.contains(&crossing.child) {
                true => self.refer_to_values(self.table.flat(crossing.child)?),
                false => {
                    self.table.refer(crossing.child);
                }
            }
        }
        self.refer_to(copy.items().into_iter().map(|(_, stored)| stored));
        Ok(Some(image))
    }

    /// Where a node leads to one trie frame and to nothing else: that frame's copy, with the node's own record if there is
    /// one. Else each clone of a clone would lie one frame deeper. None also where the record does not fit.
    fn copy_only_trie(&self, trie: TrieRef<'_>, node: NodePosition) -> Result<Option<Buffer>, Error> {
        let mut image: Option<Buffer> = None;
        let mut below = only_trie(trie, node);
        let own = trie.value(node);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let Some(child) = below else { break };
            let trie = self.table.trie(child)?;
            let mut copy = self.table.frame_buffer();
            copy_trie(trie.frame(), copy.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
            if let Some(stored) = &own
                && TrieMut::new(copy.frame_mut()).place(&[], stored).is_err()
            {
                break;
            }
            image = Some(copy);
            below = only_trie(trie, trie.root());
        }
        Ok(image)
    }

    /// Reads in what [`Forest::clone_subtree`] will copy.
    pub(crate) fn read_in_copied(&self, prefix: &[u8]) -> Result<(), Error> {
        if self.table.is_all_resident() {
            return Ok(());
        }
        let mut below = self
            .read_in_to_node(prefix)?
            .and_then(|(trie, node)| only_trie(trie, node));
        for _ in 0..MAX_FRAMES_ON_PATH {
            let Some(child) = below else { break };
            let trie = self.table.trie(child)?;
            below = only_trie(trie, trie.root());
        }
        Ok(())
    }
}

/// The trie frame that all entries of a node lead to.
fn only_trie(trie: TrieRef<'_>, node: NodePosition) -> Option<u32> {
    let mut only = None;
    for byte in trie.bytes_at(node) {
        match trie.child(node, byte, 0) {
            Some(Step::Cross(crossing)) if crossing.kind == Kind::Trie => {
                if only.is_some_and(|only| only != crossing.child) {
                    return None;
                }
                only = Some(crossing.child);
            }
            _ => return None,
        }
    }
    only
}
