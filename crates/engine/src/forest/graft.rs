//! Subtrees hung in: where no key is, by one entry of one node.
//!
//! A subtree's topmost nodes go into the trie frame that its prefix leads to, by copying if they are few, else into a frame
//! of their own. Where a flat frame has keys on both sides, it is parted in two first: a flat frame holds one run of keys.

use coppice_frame::{
    Crossing, FlatRef, Graft, Item, Kind, NoRoom, Placed, Seek, Stored, TrieMut, TrieRef, Under, Value, common_prefix,
    copy_trie, sink_trie,
};

use super::{
    Forest, Level, MAX_FRAMES_ON_PATH, ROOT,
    carve::{Subtree, records_under},
    insert::MAX_ATTEMPTS,
    make_room::{Dealt, Relaid, Sides, Tried, stuck},
};
use crate::{buffer::Buffer, error::Error, table::BlobKind};

/// What is worth a frame of its own, as a part of one: less is copied, or put in record by record.
const FRAME_PARTS: usize = 8;

/// Stands in for a subtree on the way to its place.
const MARKER: Stored<'static> = Stored {
    version: 0,
    value: Value::Inline(&[]),
};

/// What became of a subtree that was to be hung into a trie frame.
enum Grafted {
    Done,
    /// The frame has too little room.
    Full(NoRoom),
    /// A flat frame that the subtree parts was shared and is owned now: to be tried again.
    Owned,
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
                up: 0,
            },
        };
        self.graft(prefix, lead, &graft)
    }

    fn attach_nodes(&mut self, prefix: &[u8], lead: &[u8], image: &Buffer) -> Result<(), Error> {
        let trie = TrieRef::new(image.frame());
        if trie.live_bytes() <= self.frame_bytes() / FRAME_PARTS && !self.leads_to_shared(trie) {
            return self.graft(prefix, lead, &Graft::Nodes(trie));
        }
        let branches = trie.root_bytes();
        let mut lower = self.table.frame_buffer();
        sink_trie(trie.frame(), &[], &branches, &[], lower.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
        let child = self.table.add(BlobKind::Trie, self.frame_bytes(), lower)?;
        let graft = Graft::Frame {
            value: trie.value(trie.root()),
            bytes: &branches,
            crossing: Crossing {
                child,
                kind: Kind::Trie,
                up: 0,
            },
        };
        self.graft(prefix, lead, &graft)
    }

    fn graft(&mut self, prefix: &[u8], lead: &[u8], graft: &Graft<'_>) -> Result<(), Error> {
        let mut path = Vec::with_capacity(8);
        let mut tried = Tried::default();
        for _ in 0..MAX_ATTEMPTS {
            match self.try_graft(prefix, lead, graft, &mut path)? {
                Ok(()) => {
                    self.mark_counts_stale(&path);
                    return Ok(());
                }
                Err(full) => self.make_room(prefix, &path, full.units, &mut tried)?,
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
    ) -> Result<Result<(), NoRoom>, Error> {
        path.clear();
        path.push(Level { blob: ROOT, base: 0 });
        while let Some(&Level { blob, base }) = path.last() {
            let rest = prefix.get(base..).unwrap_or(&[]);
            let trie = self.table.trie(blob)?;
            if let Seek::Below { crossing, depth } = trie.seek(rest)
                && crossing.kind == Kind::Trie
            {
                path.push(Level {
                    blob: self.own(blob, crossing)?,
                    base: base + depth,
                });
                if path.len() > MAX_FRAMES_ON_PATH {
                    break;
                }
                continue;
            }
            let mut upper = self.table.frame_buffer();
            copy_trie(trie.frame(), upper.frame_mut()).map_err(|_| stuck("a trie frame grew"))?;
            match self.graft_into(blob, upper, rest, lead, graft)? {
                Grafted::Done => return Ok(Ok(())),
                Grafted::Full(full) => return Ok(Err(full)),
                // The frame is another now.
                Grafted::Owned => {}
            }
        }
        Err(self.lost("a path has no end"))
    }

    /// Hangs a subtree into a trie frame of which `upper` is a copy. Nothing is changed where room is lacking.
    fn graft_into(
        &mut self,
        blob: u32,
        mut upper: Buffer,
        key: &[u8],
        lead: &[u8],
        graft: &Graft<'_>,
    ) -> Result<Grafted, Error> {
        let lacking = |units: usize| NoRoom {
            units: units.saturating_add(graft.units(key.len() + lead.len())),
        };
        let mut trie = TrieMut::new(upper.frame_mut());
        if let Under::Node { .. } = trie.as_ref().under(key) {
            // It leads to nothing but flat frames that have no keys there.
            trie.prune(key);
        }
        // The flat frame that has keys on both sides, and what has its place there between them.
        let (around, guest) = match trie.place(key, &MARKER) {
            Err(NoRoom { units }) => return Ok(Grafted::Full(lacking(units))),
            Ok(Placed::Below { .. }) => match TrieRef::new(upper.frame()).flat_runs(key) {
                Some((_, flat, _)) => (Some(flat), Some(&MARKER)),
                None => return Err(self.lost("a key that leads to no frame")),
            },
            Ok(Placed::Here { .. }) => (TrieRef::new(upper.frame()).flat_around(key), None),
        };
        let dealt = match around {
            Some(flat) if self.table.is_shared(flat.child) => {
                self.own_flat(blob, flat.child)?;
                return Ok(Grafted::Owned);
            }
            Some(flat) => self.cut_at(&mut upper, &flat, key, guest)?.map(Some),
            None => Ok(None),
        };
        let dealt: Option<(Dealt, Sides)> = match dealt {
            Ok(dealt) => dealt,
            Err(Relaid::Lacking(units)) => return Ok(Grafted::Full(lacking(units))),
            Err(_) => return Err(stuck("a flat frame cannot be parted")),
        };
        let hung = TrieMut::new(upper.frame_mut()).graft(key, lead, graft);
        match (hung, dealt) {
            (Ok(()), dealt) => {
                self.table.replace(blob, upper);
                if let Some((dealt, sides)) = dealt {
                    self.commit_dealt(dealt);
                    // What is left on either side may be little.
                    for key in sides.into_iter().flatten() {
                        self.join_beside(blob, &key)?;
                    }
                }
                Ok(Grafted::Done)
            }
            (Err(NoRoom { units }), dealt) => {
                if let Some((dealt, _)) = dealt {
                    self.abandon_dealt(&dealt);
                }
                if units == usize::MAX {
                    return Err(stuck("a subtree has no place"));
                }
                Ok(Grafted::Full(lacking(units)))
            }
        }
    }
}
