//! Changes that need nothing but one flat frame: several writers make them at once, each with its frame latched, while
//! frames stay where they are.

use coppice_defect::{Defect, planted};
use coppice_frame::{FlatLookup, Kind, NoRoom, Reserved, Seek, Spot, Stored, UNIT_BYTES, Value};

use super::{Forest, GROUP, Known, ROOT, remove::seeks_to_join};
use crate::{error::Error, table::Latched};

/// A path through more frames than this is walked by who has the tree alone.
const MAX_TRIES: usize = 8;
/// As a part of a frame, the garbage that makes it worth rebuilding.
const WORTHWHILE_PART: usize = 16;

/// The way to the flat frame that a key belongs in.
#[derive(Clone, Copy)]
pub(crate) struct Way<'k> {
    flat: u32,
    /// The key, relative to the frame, and its hash.
    rest: &'k [u8],
    hash: u64,
    /// The tries above.
    tries: [u32; MAX_TRIES],
    depth: usize,
}

/// Where a key is, or would be: in a flat frame that is latched.
pub(crate) struct Place<'f, 'k> {
    forest: &'f Forest<'f>,
    latched: Latched<'f>,
    way: Way<'k>,
}

impl<'t> Forest<'t> {
    /// Latches the flat frame that a key belongs in. None where it belongs, or would be put, anywhere else. The caller keeps
    /// frames where they are.
    pub(crate) fn latch_place<'f, 'k>(&'f self, key: &'k [u8]) -> Result<Option<Place<'f, 'k>>, Error>
    where
        't: 'f,
    {
        self.way(key)?.map(|(way, _)| self.latch(way)).transpose()
    }

    /// The ways of up to [`GROUP`] full keys, with what puts of them will look at on its way to the processor: several misses
    /// are waited for at once. They hold until something else than a flat frame is changed.
    pub(crate) fn ways<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Result<[Option<Way<'k>>; GROUP], Error> {
        let mut ways = [None; GROUP];
        let mut lookups = [None; GROUP];
        for ((way, lookup), key) in ways.iter_mut().zip(&mut lookups).zip(keys) {
            (*way, *lookup) = self.way(key)?.unzip();
        }
        lookups.iter().flatten().for_each(FlatLookup::prefetch_records);
        Ok(ways)
    }

    /// The way to the flat frame that a key belongs in, and the lookup there, for which the frame is asked.
    #[inline]
    fn way<'k>(&self, key: &'k [u8]) -> Result<Option<(Way<'k>, FlatLookup<'_, 'k>)>, Error> {
        let (mut blob, mut rest) = (ROOT, key);
        let mut tries = [ROOT; MAX_TRIES];
        for (depth, level) in tries.iter_mut().enumerate() {
            *level = blob;
            let Seek::Below {
                crossing,
                depth: passed,
            } = self.table.trie(blob)?.seek(rest)
            else {
                return Ok(None);
            };
            // Such a frame is owned first, by who has the tree alone.
            if self.table.is_shared(crossing.child) && !planted(Defect::WritesIntoSharedFrames) {
                return Ok(None);
            }
            rest = rest.get(passed..).unwrap_or(&[]);
            blob = crossing.child;
            if crossing.kind == Kind::Flat {
                let lookup = self.table.flat_lookup(blob, rest)?;
                let way = Way {
                    flat: blob,
                    rest,
                    hash: lookup.prefetch_to_put(),
                    tries,
                    depth: depth + 1,
                };
                return Ok(Some((way, lookup)));
            }
        }
        Ok(None)
    }

    /// Latches the frame at the end of a way, which the caller keeps where it is.
    #[inline]
    pub(crate) fn latch<'f, 'k>(&'f self, way: Way<'k>) -> Result<Place<'f, 'k>, Error>
    where
        't: 'f,
    {
        Ok(Place {
            forest: self,
            latched: self.table.latch_flat(way.flat)?,
            way,
        })
    }
}

impl Place<'_, '_> {
    /// Where the key belongs, and its record, for a change to it.
    pub(crate) fn probe(&self) -> (Spot, Option<Known>) {
        let (spot, stored) = self.latched.flat().probe_hashed(self.way.rest, self.way.hash);
        (spot, stored.map(Known::of))
    }

    /// Sees to room for a value at the key's spot; None where the frame has none.
    pub(crate) fn reserve(&mut self, spot: Spot, value: &[u8]) -> Result<Option<Reserved>, Error> {
        match self.latched.flat_mut()?.reserve(spot, self.way.rest.len(), value.len()) {
            Ok(reserved) => Ok(Some(reserved)),
            Err(full) if self.rebuild(full)? => self.reserve(self.probe().0, value),
            Err(_) => Ok(None),
        }
    }

    /// Rebuilds the frame, if that frees enough of it that it need not be done again soon.
    fn rebuild(&mut self, full: NoRoom) -> Result<bool, Error> {
        let flat = self.latched.flat();
        let built = if flat.garbage_bytes() >= self.forest.frame_bytes() / WORTHWHILE_PART {
            self.forest.rebuilt(flat, full.units * UNIT_BYTES)
        } else {
            None
        };
        match built {
            Some(buffer) => self.latched.replace(buffer).map(|()| true),
            None => Ok(false),
        }
    }

    /// Puts what room was reserved for.
    pub(crate) fn put(
        &mut self,
        reserved: Reserved,
        version: u64,
        value: &[u8],
        replaced: Option<u32>,
    ) -> Result<(), Error> {
        let stored = Stored {
            version,
            value: Value::Inline(value),
        };
        let existed = self.latched.flat_mut()?.publish(reserved, self.way.rest, &stored);
        if !existed {
            self.mark_counts_stale();
        }
        self.drop_value(replaced);
        Ok(())
    }

    /// Whether a record may go without more to be done.
    pub(crate) fn stays_filled(&self) -> bool {
        !seeks_to_join(self.latched.flat(), self.forest.frame_bytes(), 1)
    }

    /// Removes the record, which is there.
    pub(crate) fn remove(&mut self, known: Known) -> Result<(), Error> {
        self.latched.flat_mut()?.remove(self.way.rest);
        self.mark_counts_stale();
        self.drop_value(known.extent);
        Ok(())
    }

    fn drop_value(&self, extent: Option<u32>) {
        if let Some(blob) = extent {
            self.forest.table.release(blob);
        }
    }

    fn mark_counts_stale(&self) {
        self.latched.mark_count_stale();
        for blob in self.way.tries.iter().take(self.way.depth) {
            self.forest.table.mark_count_stale(*blob);
        }
    }
}
