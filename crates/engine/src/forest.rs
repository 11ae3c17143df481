//! All trees of a database as one radix tree across frames.
//!
//! A record's full key is its tree's number, four bytes big-endian, and then the key; so a small tree shares frames with
//! its neighbours, and whatever works on a prefix works on a tree. Tree 0 is the catalog: names to numbers.
//!
//! Owns the walk from frame to frame. The topmost frame is blob 0, a trie, and never goes. Knows nothing of journals and
//! checkpoints; its callers hold the lock that makes a change one step.

mod carve;
#[cfg(any(test, feature = "simulation"))]
mod check;
mod count;
mod cursor;
mod graft;
mod graves;
mod in_place;
mod insert;
mod list;
mod longest;
mod make_room;
mod many;
mod remove;
mod share;
#[cfg(test)]
mod tests;

use coppice_frame::{Crossing, Kind, Seek, Stored, Value, max_inline_bytes, max_key_bytes};

use coppice_sync::{Step, is_left_out};

use crate::{
    error::{Error, ErrorCode},
    table::{BlobKind, Pinned, Table},
};

pub(crate) use carve::Subtree;
pub(crate) use cursor::{Cursor, Span, Stopped, successor};
pub(crate) use graves::{FIRST_GRAVE, GRAVE_BYTE};
pub(crate) use in_place::Place;
pub(crate) use list::{Progress, list};
use many::Descent;
pub(crate) use many::GROUP;

/// The topmost frame.
pub(crate) const ROOT: u32 = 0;
/// No path leads through more frames than this: each byte of a key can cost a node, and a frame holds many.
pub(crate) const MAX_FRAMES_ON_PATH: usize = 1024;

/// The forest as one operation sees it. What takes `&mut self` changes it: only who keeps all other writers out may call
/// that.
pub(crate) struct Forest<'t> {
    pub(crate) table: Pinned<'t>,
}

/// A frame on the way to a key: its number, and how many bytes of the key lead to its base.
#[derive(Clone, Copy, Debug)]
struct Level {
    blob: u32,
    base: usize,
}

/// A record that is there, without its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) version: u64,
    /// The blob that the value has to itself.
    pub(crate) extent: Option<u32>,
}

impl Known {
    pub(crate) fn of(stored: Stored<'_>) -> Self {
        Self {
            version: stored.version,
            extent: match stored.value {
                Value::Inline(_) => None,
                Value::Extent { blob, .. } => Some(blob),
            },
        }
    }
}

/// A record with its value's bytes at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    pub(crate) version: u64,
    pub(crate) value: &'a [u8],
}

impl<'t> Forest<'t> {
    /// The forest in these blobs.
    #[inline]
    pub(crate) fn new(table: &'t Table) -> Self {
        Self {
            table: Pinned::new(table),
        }
    }

    /// Plants the topmost frame in an empty table.
    pub(crate) fn plant(&mut self) -> Result<(), Error> {
        let bytes = self.table.frame_bytes();
        let mut buffer = self.table.frame_buffer();
        coppice_frame::TrieMut::init(buffer.frame_mut());
        let blob = self.table.add(BlobKind::Trie, bytes, buffer)?;
        debug_assert_eq!(blob, ROOT);
        Ok(())
    }

    /// Makes a change to several frames of which readers without locks see all or nothing. Whatever `change` answers, the
    /// change is over when it returns. Nothing that it reads is refused for want of memory: the journal may have it already.
    pub(crate) fn as_one_move<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        self.table.begin_move();
        let claim = self.table.must_succeed();
        let done = change(self);
        self.table.claim(claim);
        self.table.end_move();
        done
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.table.frame_bytes()
    }

    /// The longest full key.
    pub(crate) fn max_full_key_bytes(&self) -> usize {
        max_key_bytes(self.frame_bytes())
    }

    /// Whether a value of this length lies in a frame.
    pub(crate) fn is_inline(&self, value_bytes: usize) -> bool {
        value_bytes <= max_inline_bytes(self.frame_bytes())
    }

    fn lost(&self, what: &str) -> Error {
        Error::new(
            ErrorCode::Corrupt,
            format!("the tree's frames do not fit together: {what}"),
        )
    }

    /// Finds a key's record where it lies.
    #[inline]
    fn find(&self, key: &[u8]) -> Result<Option<Stored<'_>>, Error> {
        Ok(self.descend(key)?.finish())
    }

    /// Walks a lookup through the upper frames.
    #[inline(always)]
    fn descend<'a, 'k>(&'a self, key: &'k [u8]) -> Result<Descent<'a, 'k>, Error> {
        let (mut crossing, mut rest) = (
            Crossing {
                child: ROOT,
                kind: Kind::Trie,
                up: 0,
            },
            key,
        );
        for _ in 0..MAX_FRAMES_ON_PATH {
            match crossing.kind {
                Kind::Flat => return Ok(Descent::Flat(self.table.flat_lookup(crossing.child, rest)?)),
                Kind::Trie => match self.table.trie(crossing.child)?.seek(rest) {
                    Seek::Found(stored) => return Ok(Descent::Ended(Some(stored))),
                    Seek::Absent => return Ok(Descent::Ended(None)),
                    Seek::Below { crossing: below, depth } => {
                        crossing = below;
                        rest = rest.get(depth..).unwrap_or(&[]);
                    }
                },
            }
        }
        Err(self.lost("a path has no end"))
    }

    /// The record's value, wherever it lies.
    pub(crate) fn resolve<'a>(&'a self, stored: Stored<'a>) -> Result<Resolved<'a>, Error> {
        match stored.value {
            Value::Inline(value) => Ok(Resolved {
                version: stored.version,
                value,
            }),
            Value::Extent { blob, len } => {
                let bytes = self.table.value(blob)?;
                let value = bytes
                    .get(..len as usize)
                    .ok_or_else(|| self.lost("a value is shorter than its record says"))?;
                Ok(Resolved {
                    version: stored.version,
                    value,
                })
            }
        }
    }

    /// The value of a record that a walk came to, under the lock that keeps frames where they are; `key` tells its full key.
    /// None where the record is gone by now.
    #[inline]
    pub(crate) fn resolve_at<'a>(
        &'a self,
        key: impl FnOnce() -> Vec<u8>,
        stored: Stored<'a>,
    ) -> Result<Option<Resolved<'a>>, Error> {
        match stored.value {
            Value::Inline(value) => Ok(Some(Resolved {
                version: stored.version,
                value,
            })),
            Value::Extent { .. } => self.resolve_extent_at(&key(), stored),
        }
    }

    /// The number of a value's blob may be another's by now: not if the record is still there once the value was found.
    #[cold]
    fn resolve_extent_at<'a>(&'a self, key: &[u8], mut stored: Stored<'a>) -> Result<Option<Resolved<'a>>, Error> {
        loop {
            let resolved = self.resolve(stored);
            match self.find(key)? {
                Some(again) if again == stored => return resolved.map(Some),
                Some(newer) => stored = newer,
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Resolved<'_>>, Error> {
        self.find(key)?.map(|stored| self.resolve(stored)).transpose()
    }

    /// [`Forest::get`] for a reader who holds no lock. None: frames were moved meanwhile, and what was found means nothing.
    #[inline]
    pub(crate) fn get_unlocked(&self, key: &[u8]) -> Option<Result<Option<Resolved<'_>>, Error>> {
        let moves = self.table.moves()?;
        let found = self.find(key);
        if !self.table.is_still(moves) {
            return None;
        }
        match found {
            Ok(Some(stored)) => match stored.value {
                Value::Inline(value) => Some(Ok(Some(Resolved {
                    version: stored.version,
                    value,
                }))),
                Value::Extent { .. } => self.resolve_unlocked(key, stored, moves),
            },
            other => Some(other.map(|_| None)),
        }
    }

    /// The value that a record refers to. Its blob's number may be another's by now: not if the record is still there.
    #[cold]
    fn resolve_unlocked<'a>(
        &'a self,
        key: &[u8],
        stored: Stored<'a>,
        moves: u64,
    ) -> Option<Result<Option<Resolved<'a>>, Error>> {
        let resolved = self.resolve(stored);
        let again = self.find(key);
        let same = matches!(again, Ok(Some(again)) if again == stored) || is_left_out(Step::LookAgain);
        (same && self.table.is_still(moves)).then(|| resolved.map(Some))
    }

    /// Reads in the frames on the path that an insert of the key would take.
    fn read_in_path(&self, key: &[u8]) -> Result<(), Error> {
        let (mut blob, mut rest) = (ROOT, key);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let Some((crossing, depth)) = self.table.trie(blob)?.seek_place(rest) else {
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

    /// A key's record, to be changed. Reads in the frames that the change will touch.
    pub(crate) fn look_up_stored(&self, key: &[u8]) -> Result<Option<Stored<'_>>, Error> {
        if !self.table.is_all_resident() {
            self.read_in_path(key)?;
        }
        self.find(key)
    }

    /// What a change to a key's record must know of it. Reads in the frames that the change will touch.
    pub(crate) fn look_up(&self, key: &[u8]) -> Result<Option<Known>, Error> {
        Ok(self.look_up_stored(key)?.map(Known::of))
    }
}

#[cfg(test)]
impl Forest<'_> {
    pub(crate) fn look_up_and_put(&mut self, key: &[u8], version: u64, value: &[u8]) {
        let known = self.look_up(key).unwrap();
        self.put(key, version, value, known.and_then(|known| known.extent))
            .unwrap();
    }

    /// Whether the key was there.
    pub(crate) fn look_up_and_remove(&mut self, key: &[u8]) -> bool {
        let known = self.look_up(key).unwrap();
        if let Some(known) = known {
            self.remove(key, known.extent).unwrap();
        }
        known.is_some()
    }

    /// See [`Forest::check`].
    pub(crate) fn assert_valid(&self) {
        self.check().unwrap();
    }
}
