//! What became of deleted subtrees: they wait in graves until their frames and values have been freed, step by step.
//!
//! A grave is a tree of a number that no named tree gets; the first byte of its keys is [`GRAVE_BYTE`]. So what waits there
//! is part of the forest, of every cut and of what recovery finds, and nothing else has to remember it. No key grows when
//! its subtree is laid to rest: what was deleted had a tree's number in front of it before.

use coppice_defect::{Defect, planted};
use coppice_frame::{FlatRef, Kind, Step, Stored, TrieRef, Under};

use super::{Forest, Known, Level, MAX_FRAMES_ON_PATH, ROOT, Subtree, carve::records_under};
use crate::{
    error::{Error, ErrorCode},
    table::BlobKind,
};

/// What the keys of graves start with. Tree numbers are big-endian.
pub(crate) const GRAVE_BYTE: u8 = 0xFF;
/// The first tree number of a grave.
pub(crate) const FIRST_GRAVE: u32 = (GRAVE_BYTE as u32) << 24;

/// The first thing in the graves: its key, or for a frame a part of one, and the frames on the way.
struct Buried {
    key: Vec<u8>,
    path: Vec<Level>,
    what: Remains,
}

/// A record that waits in a flat frame among living ones.
struct BuriedRecord {
    /// In full.
    key: Vec<u8>,
    /// The blob that its value has to itself.
    extent: Option<u32>,
}

enum Remains {
    /// A record of the path's last frame, and the blob that its value has to itself.
    Record(Option<u32>),
    /// The path's last frame, a flat one, and whether it holds nothing that is not buried.
    Records { all: bool },
    /// The path's last frame, a trie, which others lead to as well: with all below it, it stays.
    Shared,
}

impl Forest<'_> {
    /// Frees what a detached subtree holds: at once if it leads to no frames, else it gets a grave. The commit's sequence
    /// number says where to look for an empty one.
    pub(crate) fn inter(&mut self, subtree: &Subtree, sequence: u64) -> Result<(), Error> {
        if self.freed_at_once(subtree) || planted(Defect::DigsNoGrave) {
            return Ok(());
        }
        let grave = self.empty_grave(sequence)?;
        self.attach(&grave.to_be_bytes(), subtree)
    }

    /// Frees a subtree that leads to no frames; whether it was one.
    fn freed_at_once(&mut self, subtree: &Subtree) -> bool {
        match subtree {
            Subtree::Records { frame, prefix } => {
                let items = FlatRef::new(frame.frame()).items();
                self.free_extents(records_under(&items, prefix).0.iter().map(|item| item.stored));
                true
            }
            Subtree::Nodes { image, .. } => {
                let trie = TrieRef::new(image.frame());
                if !trie.crossings().is_empty() {
                    return false;
                }
                self.free_extents(trie.items().into_iter().map(|(_, stored)| stored));
                true
            }
        }
    }

    /// Reads in what [`Forest::inter`] will touch.
    pub(crate) fn read_in_grave(&self, sequence: u64) -> Result<(), Error> {
        self.empty_grave(sequence).map(|_| ())
    }

    /// The tree number of a grave that holds nothing.
    fn empty_grave(&self, sequence: u64) -> Result<u32, Error> {
        for step in 0..=!FIRST_GRAVE {
            let number = FIRST_GRAVE | (sequence as u32).wrapping_add(step);
            if self.is_empty(&number.to_be_bytes())? {
                return Ok(number);
            }
        }
        Err(Error::new(ErrorCode::Internal, "there is no grave left"))
    }

    fn free_extents<'r>(&mut self, records: impl Iterator<Item = Stored<'r>>) {
        for blob in records.filter_map(|stored| Known::of(stored).extent) {
            self.table.release(blob);
        }
    }

    /// Whether anything waits in a grave. Reads in what the next step of [`Forest::bury`] will touch.
    pub(crate) fn has_graves(&self) -> Result<bool, Error> {
        let Some(buried) = self.first_buried()? else {
            return Ok(false);
        };
        if let (Remains::Records { all }, Some(level)) = (buried.what, buried.path.last())
            && (!all || (self.table.flat_may_have_extents(level.blob)? && !self.is_others_too(level.blob)))
        {
            self.table.flat(level.blob)?;
        }
        Ok(true)
    }

    /// Frees a frame or a record, with its values. False when the graves are empty.
    pub(crate) fn bury(&mut self) -> Result<bool, Error> {
        let Some(Buried { key, path, what }) = self.first_buried()? else {
            return Ok(false);
        };
        match (what, path.as_slice()) {
            (Remains::Record(extent), _) => self.remove(&key, extent)?,
            (Remains::Records { all: true }, [above @ .., parent, level]) => {
                if self.table.flat_may_have_extents(level.blob)? && !self.is_others_too(level.blob) {
                    let frame = self.table.buffer(level.blob, BlobKind::Flat)?;
                    let items = FlatRef::new(frame.frame()).items();
                    self.free_extents(items.iter().map(|item| item.stored));
                }
                self.as_one_move(|forest| {
                    forest.drop_flat(&key, *parent)?;
                    forest.mark_counts_stale(&path);
                    let upwards = [above, &[*parent]].concat();
                    forest.give_back(&key, &upwards, Kind::Trie)
                })?;
            }
            (Remains::Shared, [above @ .., parent, level]) => {
                self.as_one_move(|forest| {
                    forest.drop_trie(&key, *parent, *level)?;
                    let upwards = [above, &[*parent]].concat();
                    forest.mark_counts_stale(&upwards);
                    forest.give_back(&key, &upwards, Kind::Trie)
                })?;
            }
            (Remains::Shared, _) => return Err(self.lost("the topmost frame is led to")),
            (Remains::Records { .. }, path) => {
                let records = match path.last() {
                    Some(level) => self.buried_among_others(&key, *level)?,
                    None => Vec::new(),
                };
                for BuriedRecord { key, extent } in &records {
                    self.remove(key, *extent)?;
                }
                // Nodes alone: parted from the living, and back to the same graves.
                if records.is_empty()
                    && let Some(subtree) = self.detach(&[GRAVE_BYTE])?
                    && !self.freed_at_once(&subtree)
                {
                    self.attach(&[GRAVE_BYTE], &subtree)?;
                }
            }
        }
        Ok(true)
    }

    /// What is buried in a flat frame that living keys share. Such records go one by one; to lay them elsewhere first would
    /// bring small frames together with the living again.
    fn buried_among_others(&self, key: &[u8], level: Level) -> Result<Vec<BuriedRecord>, Error> {
        let base = key.get(..level.base).unwrap_or(key);
        let items = self.table.flat(level.blob)?.items();
        let (buried, _) = records_under(&items, [GRAVE_BYTE].get(base.len()..).unwrap_or(&[]));
        Ok((buried.iter())
            .map(|item| BuriedRecord {
                key: [base, item.key].concat(),
                extent: Known::of(item.stored).extent,
            })
            .collect())
    }

    /// What to do where graves share flat frames with living keys, or once did: if all that was buried there is gone, there
    /// is nothing.
    fn first_among_others(
        &self,
        key: Vec<u8>,
        mut path: Vec<Level>,
        shared: &[(u32, Vec<u8>)],
    ) -> Result<Option<Buried>, Error> {
        if self.is_empty(&[GRAVE_BYTE])? {
            return Ok(None);
        }
        let above = path.last().map_or(0, |level| level.base);
        for (blob, _) in shared {
            self.table.flat(*blob)?;
        }
        path.extend(shared.first().map(|(blob, base)| Level {
            blob: *blob,
            base: above + base.len(),
        }));
        Ok(Some(Buried {
            key,
            path,
            what: Remains::Records { all: false },
        }))
    }

    /// Whether others lead to a frame as well as a grave: all below it is theirs too.
    fn is_others_too(&self, blob: u32) -> bool {
        self.table.is_shared(blob) && !planted(Defect::FreesSharedFrames)
    }

    fn first_buried(&self) -> Result<Option<Buried>, Error> {
        let (mut key, mut path) = (vec![GRAVE_BYTE], vec![Level { blob: ROOT, base: 0 }]);
        // Whether all that the frame holds is buried: then its first entry is the one to take, whichever byte led here.
        let mut all = false;
        while let Some(&Level { blob, base }) = path.last() {
            if path.len() > MAX_FRAMES_ON_PATH {
                break;
            }
            let trie = self.table.trie(blob)?;
            let rest = key.get(base..).unwrap_or(&[]);
            let mut node = match trie.under(if all { &[] } else { rest }) {
                Under::Nothing => return Ok(None),
                Under::Node { node, lead } if all => {
                    key.truncate(base);
                    key.extend_from_slice(lead);
                    node
                }
                Under::Node { node, lead } => {
                    key.extend_from_slice(lead);
                    let shared = trie.entangled(key.get(base..).unwrap_or(&[]), &trie.bytes_at(node));
                    if !shared.is_empty() {
                        return self.first_among_others(key, path, &shared);
                    }
                    all = true;
                    node
                }
                Under::Record { suffix, stored } => {
                    key.extend_from_slice(suffix);
                    return Ok(Some(Buried {
                        key,
                        path,
                        what: Remains::Record(Known::of(stored).extent),
                    }));
                }
                Under::Below { crossing, depth } => {
                    path.push(Level {
                        blob: crossing.child,
                        base: base + depth,
                    });
                    if crossing.kind == Kind::Flat {
                        let flat = self.table.flat(crossing.child)?;
                        let found = flat.has_prefix(rest.get(depth..).unwrap_or(&[]));
                        return Ok(found.then_some(Buried {
                            key,
                            path,
                            what: Remains::Records { all: false },
                        }));
                    }
                    continue;
                }
            };
            loop {
                if let Some(stored) = trie.value(node) {
                    return Ok(Some(Buried {
                        key,
                        path,
                        what: Remains::Record(Known::of(stored).extent),
                    }));
                }
                let depth = key.len() - base;
                let Some((byte, step)) = trie.next_child(node, 0, depth) else {
                    return Err(self.lost("a node leads nowhere"));
                };
                key.push(byte);
                match step {
                    Step::Node(below) => {
                        key.extend_from_slice(trie.prefix(below));
                        node = below;
                    }
                    Step::Record { suffix, stored } => {
                        key.extend_from_slice(suffix);
                        return Ok(Some(Buried {
                            key,
                            path,
                            what: Remains::Record(Known::of(stored).extent),
                        }));
                    }
                    Step::Cross(crossing) => {
                        path.push(Level {
                            blob: crossing.child,
                            base: (base + depth).saturating_sub(crossing.up),
                        });
                        if crossing.kind == Kind::Flat {
                            return Ok(Some(Buried {
                                key,
                                path,
                                what: Remains::Records { all: true },
                            }));
                        }
                        if self.is_others_too(crossing.child) {
                            return Ok(Some(Buried {
                                key,
                                path,
                                what: Remains::Shared,
                            }));
                        }
                        break;
                    }
                }
            }
        }
        Err(self.lost("a path has no end"))
    }
}
