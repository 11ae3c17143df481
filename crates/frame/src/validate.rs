//! The check that stands between bytes from a disk and the code that walks them.
//!
//! A frame that passes has every reference inside its bounds, is a tree (no unit is reached twice, but for crossings that
//! entries of one node share), agrees with its own counts to the unit, has its keys in order, and no key or value over the
//! limits. So whatever is done with it ends, stays inside it, and leaves a frame that passes. What it leads to in other
//! frames is not looked at.

mod flat;
#[cfg(test)]
mod tests;
mod trie;

use crate::{
    Kind, LAYOUT_VERSION, MAX_FRAME_BYTES, MIN_FRAME_BYTES, UNIT_BYTES,
    bytes::{Frame, u8_at},
    max_inline_bytes, max_key_bytes,
    record::{EXTENT_BYTES, HEADER_BYTES, RecordRef},
};

/// Why a frame was not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong.
    pub what: &'static str,
    /// Near which byte of the frame.
    pub offset: usize,
}

type Checked = Result<(), Invalid>;

fn ensure(holds: bool, what: &'static str, offset: usize) -> Checked {
    if holds { Ok(()) } else { Err(Invalid { what, offset }) }
}

/// Checks a frame. Its cost is that of reading the frame once or twice.
///
/// On bytes that were not checked nothing panics or reads outside the frame, and lookups ([`crate::TrieRef::seek`],
/// [`crate::FlatRef::get`]), single steps and all of a flat frame's reads end. What walks or copies a whole trie may not end
/// where nodes lead back to themselves, and changes may do anything to the frame: both are for frames that passed, or that
/// were built here.
pub fn validate<'a>(frame: impl Into<Frame<'a>>) -> Result<Kind, Invalid> {
    let frame = frame.into();
    let sized = (MIN_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&frame.len());
    ensure(sized, "frame of an impossible size", 0)?;
    let kind = Kind::of(frame).ok_or(Invalid {
        what: "unknown kind of frame",
        offset: 0,
    })?;
    ensure(
        u8_at(frame, 1) == LAYOUT_VERSION,
        "unknown layout version of a frame",
        1,
    )?;
    match kind {
        Kind::Trie => trie::validate(frame)?,
        Kind::Flat => flat::validate(frame)?,
    }
    Ok(kind)
}

/// One bit for each unit of a frame.
struct Units {
    seen: Vec<u64>,
    claimed: usize,
}

impl Units {
    fn new(frame: Frame<'_>) -> Self {
        Self {
            seen: vec![0; frame.len() / UNIT_BYTES / 64 + 1],
            claimed: 0,
        }
    }

    /// Claims `count` units from `first` on, which lie within `within`; each belongs to one thing.
    fn claim(&mut self, first: usize, count: usize, within: std::ops::Range<usize>) -> Checked {
        let offset = first * UNIT_BYTES;
        ensure(
            count > 0 && first >= within.start && first + count <= within.end,
            "a reference out of bounds",
            offset,
        )?;
        let (mut unit, end) = (first, first + count);
        while unit < end {
            let word = self.seen.get_mut(unit / 64).ok_or(Invalid {
                what: "a reference out of bounds",
                offset,
            })?;
            let bits = (end - unit).min(64 - unit % 64);
            let mask = (u64::MAX >> (64 - bits)) << (unit % 64);
            ensure(*word & mask == 0, "bytes that two things claim", offset)?;
            *word |= mask;
            unit += bits;
        }
        self.claimed += count;
        Ok(())
    }

    /// Gives up a unit that was claimed by itself. False where it was not, or was given up before.
    fn give_up(&mut self, unit: usize) -> bool {
        let bit = 1 << (unit % 64);
        let Some(word) = self.seen.get_mut(unit / 64).filter(|word| **word & bit != 0) else {
            return false;
        };
        *word &= !bit;
        self.claimed -= 1;
        true
    }
}

/// Checks a record, of whose key `stored_key` bytes are stored.
fn check_record(frame: Frame<'_>, record: RecordRef<'_>, stored_key: usize, at: usize) -> Checked {
    let fits = at + HEADER_BYTES + stored_key + record.value_len() <= frame.len();
    ensure(fits, "a record that leaves the frame", at)?;
    ensure(
        record.key_len() <= max_key_bytes(frame.len()),
        "a key over the limit",
        at,
    )?;
    ensure(stored_key <= record.key_len(), "more of a key stored than there is", at)?;
    ensure(
        record.value_len() <= max_inline_bytes(frame.len()),
        "a value over the limit",
        at,
    )?;
    ensure(
        !record.is_extent() || record.value_len() == EXTENT_BYTES,
        "an extent of the wrong shape",
        at,
    )
}
