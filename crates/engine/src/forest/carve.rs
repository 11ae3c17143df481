//! Subtrees taken out of the tree: all keys that start with a prefix, at the cost of the way to them and a frame or two.
//!
//! A frame knows nothing of what is above its base, so what lies in frames of its own below the prefix stays as it is. What
//! the subtree shares with its neighbours is carved out: the topmost nodes are copied out of their trie frame, and records
//! that lie in a flat frame with others are parted from them.

use coppice_frame::{
    FlatRef, Item, Kind, NodePosition, Seek, Stored, TrieMut, TrieRef, Under, copy_subtree, copy_trie_moved,
};

use super::{Forest, Level, MAX_FRAMES_ON_PATH, ROOT, make_room::stuck};
use crate::{buffer::Buffer, error::Error, table::BlobKind};

/// A subtree that hangs nowhere. Nothing leads to the frames below it but this: it is hung in again, or laid to rest.
pub(crate) enum Subtree {
    /// Records of one flat frame, as that frame was.
    Records {
        frame: Buffer,
        /// What their keys start with, relative to that frame.
        prefix: Vec<u8>,
    },
    /// Nodes, with records and the frames below.
    Nodes {
        /// The path from the prefix to the topmost node.
        lead: Vec<u8>,
        /// A trie frame, based at that node, whose root has the node's own record.
        image: Buffer,
    },
}

/// The records of a flat frame whose keys start with a prefix, among all of them.
pub(super) fn records_under<'a, 'i>(items: &'i [Item<'a>], prefix: &[u8]) -> (&'i [Item<'a>], std::ops::Range<usize>) {
    let first = items.partition_point(|item| item.key < prefix);
    let behind = items.get(first..).unwrap_or(&[]);
    let count = behind.partition_point(|item| item.key.starts_with(prefix));
    (behind.get(..count).unwrap_or(&[]), first..first + count)
}

impl Subtree {
    /// The subtree's only record and the rest of its key, if it has no more.
    pub(super) fn only_record(&self) -> Option<(Vec<u8>, Stored<'_>)> {
        let Self::Nodes { lead, image } = self else { return None };
        let trie = TrieRef::new(image.frame());
        match trie.seek(&[]) {
            Seek::Found(stored) if trie.root_bytes().is_empty() => Some((lead.clone(), stored)),
            _ => None,
        }
    }
}

impl Forest<'_> {
    /// Takes out all keys that start with `prefix`, which is not empty. None where there are none.
    pub(crate) fn detach(&mut self, prefix: &[u8]) -> Result<Option<Subtree>, Error> {
        self.as_one_move(|forest| forest.take_out(prefix))
    }

    fn take_out(&mut self, prefix: &[u8]) -> Result<Option<Subtree>, Error> {
        let mut path = vec![Level { blob: ROOT, base: 0 }];
        while let Some(&Level { blob, base }) = path.last() {
            let rest = prefix.get(base..).unwrap_or(&[]);
            let held = self.table.buffer(blob, BlobKind::Trie)?;
            let trie = TrieRef::new(held.frame());
            let (lead, image) = match trie.under(rest) {
                Under::Nothing => return Ok(None),
                Under::Below { crossing, depth } => {
                    path.push(Level {
                        blob: self.own(blob, crossing)?,
                        base: base + depth,
                    });
                    if crossing.kind == Kind::Flat {
                        return self.detach_records(prefix, &path);
                    }
                    if path.len() > MAX_FRAMES_ON_PATH {
                        return Err(self.lost("a path has no end"));
                    }
                    continue;
                }
                Under::Node { node, lead } => {
                    if self.own_entangled(blob, trie, &[rest, lead].concat(), &trie.bytes_at(node))? {
                        continue;
                    }
                    match self.cut_off(blob, trie, node, rest, lead)? {
                        Some(image) => (lead, image),
                        None => return Ok(None),
                    }
                }
                Under::Record { suffix, stored } => {
                    let image = self.image_of(&stored)?;
                    TrieMut::new(self.table.frame_mut(blob, BlobKind::Trie)?).prune(rest);
                    (suffix, image)
                }
            };
            self.mark_counts_stale(&path);
            self.give_back(prefix, &path, Kind::Trie)?;
            let lead = lead.to_vec();
            return Ok(Some(Subtree::Nodes { lead, image }));
        }
        Err(self.lost("a path has no start"))
    }

    /// A trie frame with nothing but its root's record.
    pub(super) fn image_of(&self, stored: &Stored<'_>) -> Result<Buffer, Error> {
        let mut image = self.table.frame_buffer();
        TrieMut::init(image.frame_mut())
            .place(&[], stored)
            .map_err(|_| stuck("one record does not fit a frame"))?;
        Ok(image)
    }

    /// Takes a node, which the path `rest` and then `lead` leads to, out of a trie frame, with all below it: flat frames that
    /// it shares with what lies elsewhere are parted. None where it leads to no key.
    fn cut_off(
        &mut self,
        blob: u32,
        trie: TrieRef<'_>,
        node: NodePosition,
        rest: &[u8],
        lead: &[u8],
    ) -> Result<Option<Buffer>, Error> {
        let path = [rest, lead].concat();
        let made = self
            .disentangle(trie, &path, &trie.bytes_at(node))?
            .ok_or_else(|| stuck("a flat frame's part does not fit a frame"))?;
        let (mut image, mut upper) = (self.table.frame_buffer(), self.table.frame_buffer());
        if copy_subtree(trie, node, path.len(), &made.moved, image.frame_mut()).is_err()
            || copy_trie_moved(trie.frame(), upper.frame_mut(), &made.emptied).is_err()
        {
            self.abandon_disentangled(made);
            return Err(stuck("a part of a trie frame does not fit a frame"));
        }
        if TrieRef::new(image.frame()).is_empty() {
            self.abandon_disentangled(made);
            return Ok(None);
        }
        TrieMut::new(upper.frame_mut()).prune(rest);
        self.table.replace(blob, upper);
        self.commit_disentangled(made);
        self.join_around(blob, rest)?;
        Ok(Some(image))
    }

    /// Takes records out of the flat frame that `path` ends at.
    fn detach_records(&mut self, prefix: &[u8], path: &[Level]) -> Result<Option<Subtree>, Error> {
        let Some(&Level { blob, base }) = path.last() else {
            return Err(self.lost("a path has no start"));
        };
        let rest = prefix.get(base..).unwrap_or(&[]);
        let frame = self.table.buffer(blob, BlobKind::Flat)?;
        let mut items = FlatRef::new(frame.frame()).items();
        let (_, going) = records_under(&items, rest);
        if going.is_empty() {
            return Ok(None);
        }
        items.drain(going);
        let staying = self
            .built(&items, 0)
            .ok_or_else(|| stuck("a part of a frame does not fit a frame"))?;
        self.table.replace(blob, staying);
        self.mark_counts_stale(path);
        match path {
            [.., parent, _] if !items.is_empty() => {
                self.join_beside(parent.blob, prefix.get(parent.base..).unwrap_or(&[]))?;
            }
            _ => self.give_back(prefix, path, Kind::Flat)?,
        }
        Ok(Some(Subtree::Records {
            frame,
            prefix: rest.to_vec(),
        }))
    }

    /// Reads in the frames on the way to the keys that start with `prefix`, and that which holds some of them beside others.
    pub(crate) fn read_in_under(&self, prefix: &[u8]) -> Result<(), Error> {
        if self.table.is_all_resident() {
            return Ok(());
        }
        self.read_in_to_node(prefix).map(|_| ())
    }

    /// The same; the node that leads to all of these keys, if one does.
    pub(super) fn read_in_to_node(&self, prefix: &[u8]) -> Result<Option<(TrieRef<'_>, NodePosition)>, Error> {
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let trie = self.table.trie(blob)?;
            let (crossing, depth) = match trie.under(rest) {
                Under::Below { crossing, depth } => (crossing, depth),
                Under::Node { node, lead } => {
                    // Flat frames that hold keys beside the node's, too.
                    let (_, below) = trie.count_here(node, rest.len() + lead.len());
                    for crossing in below.iter().filter(|crossing| crossing.up > 0) {
                        self.table.flat(crossing.child)?;
                    }
                    return Ok(Some((trie, node)));
                }
                Under::Nothing | Under::Record { .. } => return Ok(None),
            };
            if crossing.kind == Kind::Flat {
                return self.table.flat(crossing.child).map(|_| None);
            }
            blob = crossing.child;
            rest = rest.get(depth..).unwrap_or(&[]);
        }
        Err(self.lost("a path has no end"))
    }

    /// Reads in what hanging in a subtree at `prefix` will touch that [`Forest::count`] of it does not: the flat frames
    /// that its keys might join, whatever else is taken out before.
    pub(crate) fn read_in_beside(&self, prefix: &[u8]) -> Result<(), Error> {
        if self.table.is_all_resident() {
            return Ok(());
        }
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let trie = self.table.trie(blob)?;
            for flat in trie.flats_beside(rest) {
                self.table.flat(flat)?;
            }
            let Seek::Below { crossing, depth } = trie.seek(rest) else {
                return Ok(());
            };
            if crossing.kind == Kind::Flat {
                return self.table.flat(crossing.child).map(|_| ());
            }
            blob = crossing.child;
            rest = rest.get(depth..).unwrap_or(&[]);
        }
        Err(self.lost("a path has no end"))
    }
}
