//! Putting a record where its key belongs.

use coppice_frame::{FlatMut, Kind, NoRoom, Placed, Stored, TrieMut, Value};

use super::{Forest, Level, MAX_FRAMES_ON_PATH, ROOT, make_room::Tried};
use crate::{
    error::{Error, ErrorCode},
    table::BlobKind,
};

/// How often one insert may find a frame full. Each time something is made smaller, so a few suffice; a frame can be
/// narrowed byte by byte along a key at worst.
pub(super) const MAX_ATTEMPTS: usize = 1 << 15;

impl Forest<'_> {
    /// Inserts or replaces a record. The caller has checked the lengths, and has looked the key up: so the frames on its
    /// path are in memory, and `replaced` is the blob that the value there had to itself.
    pub(crate) fn put(&mut self, key: &[u8], version: u64, value: &[u8], replaced: Option<u32>) -> Result<(), Error> {
        self.table.repin();
        let value = self.hold_value(value)?;
        self.insert(key, &Stored { version, value })?;
        if let Some(blob) = replaced {
            self.table.release(blob);
        }
        Ok(())
    }

    /// A value as a record is to hold it: as it is, or in a blob that is made for it.
    pub(crate) fn hold_value<'v>(&mut self, value: &'v [u8]) -> Result<Value<'v>, Error> {
        if self.is_inline(value.len()) {
            return Ok(Value::Inline(value));
        }
        let buffer = self.table.value_buffer(value);
        let blob = self.table.add(BlobKind::Value, value.len(), buffer)?;
        Ok(Value::Extent {
            blob,
            len: value.len() as u32,
        })
    }

    /// Inserts or replaces a record, whatever holds its value. The caller has looked the key up, and sees to the blob that
    /// the value there had to itself.
    pub(crate) fn insert(&mut self, key: &[u8], stored: &Stored<'_>) -> Result<(), Error> {
        // The journal may have it already.
        let claim = self.table.must_succeed();
        let done = self.insert_in_steps(key, stored);
        self.table.claim(claim);
        done
    }

    fn insert_in_steps(&mut self, key: &[u8], stored: &Stored<'_>) -> Result<(), Error> {
        let mut path = Vec::with_capacity(8);
        let mut tried = Tried::default();
        for _ in 0..MAX_ATTEMPTS {
            match self.try_insert(key, stored, &mut path)? {
                Ok(existed) => {
                    if !existed {
                        self.mark_counts_stale(&path);
                    }
                    return Ok(());
                }
                Err(full) => {
                    // What the step before gave up goes, however many steps there are.
                    self.table.repin();
                    self.as_one_move(|forest| forest.make_room(key, &path, full.units, &mut tried))?;
                }
            }
        }
        Err(Error::new(
            ErrorCode::Internal,
            "a frame stayed full however often room was made in it",
        ))
    }

    /// One walk down. `path` is left with the frames passed, the one that had no room last.
    fn try_insert(
        &mut self,
        key: &[u8],
        stored: &Stored<'_>,
        path: &mut Vec<Level>,
    ) -> Result<Result<bool, NoRoom>, Error> {
        path.clear();
        path.push(Level { blob: ROOT, base: 0 });
        let mut kind = Kind::Trie;
        while let Some(&Level { blob, base }) = path.last() {
            let rest = key.get(base..).unwrap_or(&[]);
            match kind {
                Kind::Flat => {
                    return Ok(FlatMut::new(self.table.frame_mut(blob, BlobKind::Flat)?).put(rest, stored));
                }
                Kind::Trie => {
                    // The walk through upper frames changes nothing as a rule; only then is one marked as changed.
                    if let coppice_frame::Seek::Below { crossing, depth } = self.table.trie(blob)?.seek(rest) {
                        path.push(Level {
                            blob: self.own(blob, crossing)?,
                            base: base + depth,
                        });
                        kind = crossing.kind;
                    } else {
                        self.reopen_before(blob, rest)?;
                        match TrieMut::new(self.table.frame_mut(blob, BlobKind::Trie)?).place(rest, stored) {
                            Ok(Placed::Here { existed }) => return Ok(Ok(existed)),
                            Ok(Placed::Below { crossing, depth }) => {
                                path.push(Level {
                                    blob: self.own(blob, crossing)?,
                                    base: base + depth,
                                });
                                kind = crossing.kind;
                            }
                            Err(full) => return Ok(Err(full)),
                        }
                    }
                }
            }
            if path.len() > MAX_FRAMES_ON_PATH {
                return Err(self.lost("a path has no end"));
            }
        }
        Err(self.lost("a path has no start"))
    }

    /// After the number of keys below these frames changed.
    pub(super) fn mark_counts_stale(&self, path: &[Level]) {
        for level in path {
            self.table.mark_count_stale(level.blob);
        }
    }
}
