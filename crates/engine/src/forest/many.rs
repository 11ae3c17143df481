//! Lookups of many keys, interleaved.
//!
//! Each key is walked through the upper frames, which are hot, as far as its flat frame; then the hash lines of a group of
//! keys are touched one after the other, and then their records, so that the processor waits for several cache misses at
//! once. The touches are plain loads in short loops, which out-of-order execution overlaps.

use std::{hint::black_box, ops::ControlFlow};

use coppice_frame::{FlatLookup, Stored};

use super::Forest;
use crate::error::Error;

/// Keys that wait together.
pub(crate) const GROUP: usize = 16;

/// Told a full key and its record; breaks to be told no more.
pub(crate) type Found<'v, 'a> = dyn FnMut(&[u8], Option<Stored<'a>>) -> Result<ControlFlow<()>, Error> + 'v;

/// Where a key's walk through the upper frames ends.
#[derive(Clone, Copy)]
pub(super) enum Descent<'a, 'k> {
    Ended(Option<Stored<'a>>),
    Flat(FlatLookup<'a, 'k>),
}

impl<'a> Descent<'a, '_> {
    #[inline(always)]
    pub(super) fn finish(&self) -> Option<Stored<'a>> {
        match self {
            Self::Ended(stored) => *stored,
            Self::Flat(probe) => probe.get(),
        }
    }
}

impl Forest<'_> {
    /// Finds the records of up to [`GROUP`] full keys; `found` is told each key, in their order, and its record, until it
    /// breaks. Where nothing may be read in, those in front of the first that lacks a frame are told, and what the others
    /// lack is noted too.
    pub(crate) fn find_group<'a>(
        &'a self,
        keys: &[&[u8]],
        found: &mut Found<'_, 'a>,
    ) -> Result<ControlFlow<()>, Error> {
        let mut descents = [Descent::Ended(None); GROUP];
        let mut lacking = None;
        for (at, (descent, key)) in descents.iter_mut().zip(keys).enumerate() {
            match self.descend(key) {
                Ok(descended) => *descent = descended,
                Err(error) if error.is_not_in_memory() => lacking = lacking.or(Some((at, error))),
                Err(error) => return Err(error),
            }
        }
        let answered = lacking.as_ref().map_or(keys.len(), |(at, _)| *at);
        let descents = descents.get(..answered).unwrap_or_default();
        let mut slots = [0; GROUP];
        for (slot, descent) in slots.iter_mut().zip(descents) {
            if let Descent::Flat(probe) = descent {
                *slot = probe.touch_slot();
            }
        }
        let mut touched = 0;
        for (slot, descent) in slots.iter().zip(descents) {
            if let Descent::Flat(probe) = descent {
                touched |= probe.touch_record(*slot);
            }
        }
        black_box(touched);
        for (key, descent) in keys.iter().zip(descents) {
            if found(key, descent.finish())?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        match lacking {
            Some((_, error)) => Err(error),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// The record whose full key is the longest stored prefix of `key`, with its length. Looks at the nodes on the path,
    /// and at one flat frame.
    pub(crate) fn longest_prefix(&self, key: &[u8]) -> Result<Option<(usize, Stored<'_>)>, Error> {
        let (mut blob, mut base) = (super::ROOT, 0);
        let mut best = None;
        for _ in 0..super::MAX_FRAMES_ON_PATH {
            let rest = key.get(base..).unwrap_or(&[]);
            let here = self.table.trie(blob)?.longest_prefix(rest);
            best = here.found.map(|(len, stored)| (base + len, stored)).or(best);
            let Some((crossing, depth)) = here.below else {
                return Ok(best);
            };
            base += depth;
            blob = crossing.child;
            if crossing.kind == coppice_frame::Kind::Flat {
                let below = self.table.flat(blob)?.longest_prefix(key.get(base..).unwrap_or(&[]));
                return Ok(below.map(|(len, stored)| (base + len, stored)).or(best));
            }
        }
        Err(self.lost("a path has no end"))
    }
}

#[cfg(test)]
mod tests;
