//! The flat frame that a walk is in, and the one that it has left and may go on in: the keys of a frame are one run, to
//! which entries of several nodes may lead.

use coppice_frame::{Crossing, FlatCursor, FlatRef, FlatRest, Stored};

use super::{Span, succeed};
use crate::{error::Error, forest::Forest};

/// A visit of a flat frame.
struct Visit<'a> {
    blob: u32,
    flat: FlatRef<'a>,
    cursor: FlatCursor,
    /// Bytes of the full key that lead to the frame's base.
    base_len: usize,
}

/// The entries of one node, next to one another, that lead to a frame.
pub(super) struct Entries {
    pub(super) crossing: Crossing,
    pub(super) first: u8,
    pub(super) last: u8,
    /// Whether the path to the node is the beginning of an end of the span, which goes on behind it.
    pub(super) on_from: bool,
    pub(super) on_to: bool,
}

/// A walk's visits of flat frames. What they need is kept from one to the next, so that none has to allocate it.
#[derive(Default)]
pub(super) struct Visits<'a> {
    now: Option<Visit<'a>>,
    /// Left by a walk forwards, for as long as other entries may lead there below the same base.
    left: Option<Visit<'a>>,
    /// What the keys that are visited are at or after, and before, because of the entries that lead there. The first is a byte
    /// behind the path from the frame's base to the node that leads to the frame.
    from: Vec<u8>,
    to: Vec<u8>,
}

impl<'a> Visits<'a> {
    /// The next record of the frame at hand, and its key, which comes behind the path to the frame's base: `key` is that then.
    #[inline(always)]
    pub(super) fn next(&mut self, reverse: bool, key: &mut Vec<u8>) -> Option<(&'a [u8], Stored<'a>)> {
        let visit = self.now.as_mut()?;
        key.truncate(visit.base_len);
        if reverse {
            visit.cursor.next_back(visit.flat)
        } else {
            visit.cursor.next(visit.flat)
        }
    }

    /// Takes all that is left of the frame at hand.
    #[inline(always)]
    pub(super) fn take_rest(&mut self, reverse: bool, rest: &mut FlatRest<'a>) {
        if let Some(visit) = &mut self.now {
            visit.cursor.rest(visit.flat, reverse, rest);
        }
    }

    /// Leaves the frame at hand. `key`, which was its base, is the path to the node above again.
    pub(super) fn leave(&mut self, reverse: bool, key: &mut Vec<u8>) {
        if let Some(visit) = self.now.take() {
            key.truncate(visit.base_len);
            key.extend_from_slice(self.lead());
            self.left = Some(visit).filter(|_| !reverse);
        }
    }

    /// The path from the frame's base to the node above: the keys that are visited begin with it.
    fn lead(&self) -> &[u8] {
        self.from.split_last().map_or(&[], |(_, lead)| lead)
    }

    /// Forgets the frame that was left: keys may have been passed over, or may come there by now.
    pub(super) fn forget_left(&mut self) {
        self.left = None;
    }

    /// Before the walk goes on above a path: forgets the frame that was left if its base is below that.
    pub(super) fn forget_below(&mut self, path_len: usize) {
        self.left.take_if(|left| left.base_len > path_len);
    }

    /// Whether a frame with its base there is the one that was left; otherwise that is forgotten.
    pub(super) fn goes_on_in(&mut self, blob: u32, base_len: usize) -> bool {
        self.left.take_if(|left| (left.blob, left.base_len) != (blob, base_len));
        self.left.is_some()
    }

    /// Enters the frame that entries of the node at `key` lead to. `key` is then the path to the frame's base, which is so long.
    /// With `recall`, with what is known from walks that passed over groups.
    pub(super) fn enter(
        &mut self,
        forest: &'a Forest<'a>,
        span: Span<'_>,
        key: &mut Vec<u8>,
        (entries, base_len): (Entries, usize),
        recall: bool,
    ) -> Result<(), Error> {
        let (path_len, blob) = (key.len(), entries.crossing.child);
        let lead = key.get(base_len..).unwrap_or(&[]);
        for (room, byte) in [(&mut self.from, entries.first), (&mut self.to, entries.last)] {
            room.clear();
            room.reserve(lead.len() + 1);
            room.extend_from_slice(lead);
            room.push(byte);
        }
        let to_behind = succeed(&mut self.to).then_some(self.to.as_slice());
        let at_first = entries.on_from && span.from.get(path_len) == Some(&entries.first);
        let from = span.from.get(base_len..).filter(|_| at_first).unwrap_or(&self.from);
        let to = span
            .to
            .filter(|to| entries.on_to && to.get(path_len) == Some(&entries.last))
            .and_then(|to| to.get(base_len..))
            .or(to_behind);
        let visit = if let Some(mut visit) = self.left.take() {
            // Its keys are one run: none lies between those of one entry and those of the next.
            visit.cursor.go_on(visit.flat, to);
            visit
        } else {
            let flat = forest.table.flat(blob)?;
            let order = forest.table.flat_order(blob, flat);
            let mut cursor = FlatCursor::in_order(flat, order, from, to);
            if recall {
                forest.table.with_skips(blob, |skips| cursor.recall(flat, skips));
            }
            Visit {
                blob,
                flat,
                cursor,
                base_len,
            }
        };
        key.truncate(base_len);
        self.now = Some(visit);
        Ok(())
    }

    /// Passes over the keys that start with the first `len` bytes of the last record's, `key`, where those lie in the frame
    /// at hand alone. Otherwise that is left for good: false.
    pub(super) fn skip(&mut self, forest: &Forest<'_>, key: &[u8], len: usize) -> bool {
        if let Some(visit) = &mut self.now {
            let path_len = visit.base_len + self.from.len() - 1;
            if let Some(prefix) = key.get(visit.base_len..len).filter(|_| len > path_len) {
                if visit.cursor.wants_note() {
                    let note = |skips: &mut _| visit.cursor.note(visit.flat, skips);
                    forest.table.with_skips(visit.blob, note);
                }
                visit.cursor.skip_prefix(visit.flat, prefix);
                return true;
            }
        }
        (self.now, self.left) = (None, None);
        false
    }
}
