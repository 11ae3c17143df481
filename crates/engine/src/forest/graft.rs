//! Subtrees hung in: where no key is, by one entry of one node.
//!
//! A subtree's topmost nodes go into the trie frame that its prefix leads to, by copying if they are few, else into a frame
//! of their own. Where a flat frame was to take keys there, those of its records that share the entry are parted from it
//! and put in again behind the subtree; many of them get a frame of their own first.

use coppice_frame::{
    Crossing, FlatRef, Graft, Item, Kind, NoRoom, Seek, TrieMut, TrieRef, common_prefix, copy_trie, sink_trie,
};

use super::{
    Forest, Level, MAX_FRAMES_ON_PATH, ROOT,
    carve::{Subtree, records_under},
    insert::MAX_ATTEMPTS,
    make_room::{Full, Tried, stuck},
};
use crate::{buffer::Buffer, error::Error, table::BlobKind};

/// What is worth a frame of its own, as a part of one: less is copied, or put in record by record.
const FRAME_PARTS: usize = 8;

/// Records that lost their place to a subtree: of this flat frame as it was, those whose keys start with this byte. `base`
/// bytes of the subtree's path lead to the frame.
struct Displaced {
    frame: Buffer,
    byte: u8,
    base: usize,
}

/// What one attempt to hang a subtree in came to.
enum Attempt {
    Done(Option<Displaced>),
    /// A frame on the way was parted in two: the way is another now.
    Parted,
    /// The last frame on the way has no room.
    Lacking(NoRoom),
}

impl Forest<'_> {
    /// Hangs a subtree in, so that its keys start with `prefix`, which is not empty, and with which no key starts now. The
    /// caller has checked that no key grows past the limit.
    pub(crate) fn attach(&mut self, prefix: &[u8], subtree: &Subtree) -> Result<(), Error> {
        self.as_one_move(|forest| forest.hang_in(prefix, subtree))
    }

    /// Takes out all keys that start with `from` and hangs them in at `to`, as one change for those who read meanwhile. The
    /// caller has checked that both can be done.
    pub(crate) fn move_subtree(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.as_one_move(|forest| match forest.detach(from)? {
            Some(subtree) => forest.attach(to, &subtree),
            None => Ok(()),
        })
    }

    fn hang_in(&mut self, prefix: &[u8], subtree: &Subtree) -> Result<(), Error> {
        if let Some((suffix, stored)) = subtree.only_record() {
            return self.insert(&[prefix, &suffix].concat(), &stored);
        }
        match subtree {
            Subtree::Records { frame, prefix: old } => {
                let items = FlatRef::new(frame.frame()).items();
                self.attach_records(prefix, records_under(&items, old).0, old.len())
            }
            Subtree::Nodes { lead, image } => self.attach_nodes(prefix, lead, image),
        }
    }

    fn attach_records(&mut self, prefix: &[u8], items: &[Item<'_>], strip: usize) -> Result<(), Error> {
        let bytes: usize = items.iter().map(Item::flat_bytes).sum();
        let ([first, .., last], false) = (items, bytes <= self.frame_bytes() / FRAME_PARTS) else {
            for item in items {
                let suffix = item.key.get(strip..).unwrap_or(&[]);
                self.insert(&[prefix, suffix].concat(), &item.stored)?;
            }
            return Ok(());
        };
        let shared = common_prefix(first.key, last.key);
        let lead = first.key.get(strip..shared).unwrap_or(&[]);
        let (value, below) = match items.split_first() {
            Some((own, below)) if own.key.len() == shared => (Some(own.stored), below),
            _ => (None, items),
        };
        let mut branches: Vec<u8> = below.iter().filter_map(|item| item.key.get(shared).copied()).collect();
        branches.dedup();
        let lower = self
            .built(below, shared)
            .ok_or_else(|| stuck("a part of a frame does not fit a frame"))?;
        let child = self.table.add(BlobKind::Flat, self.frame_bytes(), lower)?;
        let graft = Graft::Frame {
            value,
            bytes: &branches,
            crossing: Crossing {
                child,
                kind: Kind::Flat,
            },
        };
        self.graft(prefix, lead, &graft)
    }

    fn attach_nodes(&mut self, prefix: &[u8], lead: &[u8], image: &Buffer) -> Result<(), Error> {
        let trie = TrieRef::new(image.frame());
        if trie.live_bytes() <= self.frame_bytes() / FRAME_PARTS {
            return self.graft(prefix, lead, &Graft::Nodes(trie));
        }
        let branches = trie.root_bytes();
        let mut lower = self.table.frame_buffer();
        sink_trie(trie.frame(), &[], &branches, lower.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
        let child = self.table.add(BlobKind::Trie, self.frame_bytes(), lower)?;
        let graft = Graft::Frame {
            value: trie.value(trie.root()),
            bytes: &branches,
            crossing: Crossing {
                child,
                kind: Kind::Trie,
            },
        };
        self.graft(prefix, lead, &graft)
    }

    fn graft(&mut self, prefix: &[u8], lead: &[u8], graft: &Graft<'_>) -> Result<(), Error> {
        let mut path = Vec::with_capacity(8);
        let mut tried = Tried::default();
        for _ in 0..MAX_ATTEMPTS {
            match self.try_graft(prefix, lead, graft, &mut path)? {
                Attempt::Done(displaced) => {
                    self.mark_counts_stale(&path);
                    return displaced.map_or(Ok(()), |displaced| self.put_back(prefix, &displaced));
                }
                Attempt::Parted => {}
                Attempt::Lacking(full) => self.make_room(prefix, &path, full.units, &mut tried)?,
            }
        }
        Err(stuck("a subtree found no place however often room was made"))
    }

    /// One walk down. `path` is left with the trie frames passed, the one that the subtree belongs in last.
    fn try_graft(
        &mut self,
        prefix: &[u8],
        lead: &[u8],
        graft: &Graft<'_>,
        path: &mut Vec<Level>,
    ) -> Result<Attempt, Error> {
        path.clear();
        path.push(Level { blob: ROOT, base: 0 });
        while let Some(&Level { blob, base }) = path.last() {
            let rest = prefix.get(base..).unwrap_or(&[]);
            let trie = self.table.trie(blob)?;
            let flat = match trie.seek(rest) {
                Seek::Below { crossing, depth } if crossing.kind == Kind::Trie => {
                    path.push(Level {
                        blob: crossing.child,
                        base: base + depth,
                    });
                    if path.len() > MAX_FRAMES_ON_PATH {
                        break;
                    }
                    continue;
                }
                Seek::Below { crossing, depth } => Some((crossing.child, depth)),
                Seek::Found(_) | Seek::Absent => None,
            };
            let mut upper = self.table.frame_buffer();
            copy_trie(trie.frame(), upper.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
            if let Err(full) = TrieMut::new(upper.frame_mut()).graft(rest, lead, graft) {
                return Ok(Attempt::Lacking(full));
            }
            let Some((child, depth)) = flat else {
                self.table.replace(blob, upper);
                return Ok(Attempt::Done(None));
            };
            return self.graft_over(prefix, Level { blob, base }, child, depth, upper);
        }
        Err(self.lost("a path has no end"))
    }

    /// The entry that the subtree took over in `upper` led to a flat frame: its records of that byte lose their place.
    fn graft_over(
        &mut self,
        prefix: &[u8],
        parent: Level,
        child: u32,
        depth: usize,
        mut upper: Buffer,
    ) -> Result<Attempt, Error> {
        let rest = prefix.get(parent.base..).unwrap_or(&[]);
        let (to_node, below) = rest.split_at_checked(depth).unwrap_or((rest, &[]));
        let Some(&byte) = below.first() else {
            return Err(self.lost("a crossing without a branch byte"));
        };
        let frame = self.table.buffer(child, BlobKind::Flat)?;
        let items = FlatRef::new(frame.frame()).items();
        let (group, range) = records_under(&items, &[byte]);
        let bytes: usize = group.iter().map(Item::flat_bytes).sum();
        if let [first, .., last] = group
            && bytes > self.frame_bytes() / FRAME_PARTS
        {
            let shared = common_prefix(first.key, last.key).min(common_prefix(first.key, below));
            let full = Full {
                blob: child,
                items: &items,
                parent: parent.blob,
                path: to_node,
            };
            return Ok(match self.carve(&full, range.start, range.end, shared)? {
                None => Attempt::Parted,
                Some(units) => Attempt::Lacking(NoRoom { units }),
            });
        }
        let is_displacing = !group.is_empty();
        if range.len() == items.len() {
            TrieMut::new(upper.frame_mut()).detach(rest, depth, child);
            self.table.remove(child);
        } else if is_displacing {
            let mut staying = items.clone();
            staying.drain(range);
            let staying = self
                .built(&staying, 0)
                .ok_or_else(|| stuck("a part of a frame does not fit a frame"))?;
            self.table.replace(child, staying);
        }
        self.table.replace(parent.blob, upper);
        Ok(Attempt::Done(is_displacing.then(|| Displaced {
            frame: frame.clone(),
            byte,
            base: parent.base + depth,
        })))
    }

    fn put_back(&mut self, prefix: &[u8], displaced: &Displaced) -> Result<(), Error> {
        let path = prefix.get(..displaced.base).unwrap_or(&[]);
        let items = FlatRef::new(displaced.frame.frame()).items();
        for item in records_under(&items, &[displaced.byte]).0 {
            self.insert(&[path, item.key].concat(), &item.stored)?;
        }
        Ok(())
    }
}
