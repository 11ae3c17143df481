//! A lookup's walk through the nodes of one frame.

use std::sync::atomic::AtomicU64;

use super::{
    Ref, Tag, VALUE_AT,
    search::{N4_WORDS, N16_WORDS, N48_WORDS, N256_WORDS, find_in_4, find_in_16, find_in_48, find_in_256},
};
use crate::bytes::{Frame, load};

/// Where a lookup leaves the nodes.
pub(crate) enum Left {
    /// By this reference, which is to no node, behind so many bytes of the key.
    By(Ref, usize),
    /// The key ends at a node, whose own value this is.
    AtNode(Ref),
    /// The key leaves a node's prefix.
    Nowhere,
}

/// Whether a node's prefix of `len` bytes, from word `start` on, comes next in the key.
#[inline(always)]
fn passes(words: Frame<'_>, start: usize, len: usize, rest: &[u8]) -> bool {
    // A short prefix is compared as one word where the key has eight bytes to read.
    if len <= crate::UNIT_BYTES
        && let Some(prefix) = words.unit(start)
        && let Some(wanted) = rest.first_chunk()
    {
        let difference = prefix ^ u64::from_le_bytes(*wanted);
        return difference << (64 - 8 * len as u32) == 0;
    }
    rest.get(..len) == Some(words.text(start * crate::UNIT_BYTES, len))
}

/// Takes a lookup through one node: past its prefix, and on by the key's next byte.
#[inline(always)]
fn through<'k, const WORDS: usize>(
    frame: Frame<'_>,
    reference: u16,
    rest: &'k [u8],
    find: impl Fn(&[AtomicU64; WORDS], u8) -> u16,
) -> Result<(u16, &'k [u8]), Left> {
    let unit = usize::from(reference >> 3);
    let Some(node) = frame.units::<WORDS>(unit) else {
        return Err(Left::Nowhere);
    };
    let head = node.first().map_or(0, load);
    let len = usize::from(head as u16);
    if len > 0 && !passes(frame, unit + WORDS, len, rest) {
        return Err(Left::Nowhere);
    }
    match rest.get(len..) {
        Some([byte, below @ ..]) => Ok((find(node, *byte), below)),
        _ => Err(Left::AtNode(Ref((head >> (8 * VALUE_AT)) as u16))),
    }
}

/// [`through`] a node of 48 or 256.
#[inline(never)]
fn through_larger<'k>(frame: Frame<'_>, reference: u16, rest: &'k [u8]) -> Result<(u16, &'k [u8]), Left> {
    if reference & 7 == Tag::N48 as u16 {
        through::<N48_WORDS>(frame, reference, rest, find_in_48)
    } else {
        through::<N256_WORDS>(frame, reference, rest, find_in_256)
    }
}

/// Walks the nodes from `root` on, as the key says. This is what lookups are made of, so each kind of node checks its
/// bounds once, the kinds that most are of are asked for first (a jump table cost more than it saved), and a lane without
/// an entry, whose reference is zero, is not told from one with an entry until the walk is over.
#[inline(always)]
pub(crate) fn walk(frame: Frame<'_>, root: Ref, key: &[u8]) -> Left {
    let (mut reference, mut rest) = (root.0, key);
    loop {
        let tag = reference & 7;
        let taken = if tag == Tag::N4 as u16 {
            through::<N4_WORDS>(frame, reference, rest, find_in_4)
        } else if tag == Tag::N16 as u16 {
            through::<N16_WORDS>(frame, reference, rest, find_in_16)
        } else if Ref(reference).is_node() {
            through_larger(frame, reference, rest)
        } else {
            return Left::By(Ref(reference), key.len() - rest.len());
        };
        match taken {
            Ok(next) => (reference, rest) = next,
            Err(left) => return left,
        }
    }
}
