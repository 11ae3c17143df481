//! The search for a byte among a node's entries.

use std::sync::atomic::AtomicU64;

use super::{
    KEYS_AT, N4_PREFIX_AT, N16_PREFIX_AT, N16_REFS_AT, N48_PREFIX_AT, N48_REFS_AT, N256_PREFIX_AT, N256_REFS_AT, Ref,
};
use crate::bytes::load;

/// The number of the lowest byte of `word` that equals `byte`; 8 where none does. Mycroft's zero-byte test, whose lowest
/// hit is exact.
pub(super) fn find_byte(word: u64, byte: u8) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let difference = word ^ (LOW * u64::from(byte));
    let zeros = difference.wrapping_sub(LOW) & !difference & HIGH;
    zeros.trailing_zeros() as usize / 8
}

/// The number of the lowest byte of two words that equals `byte`; 16 or more where none does.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn find_among_16(low: u64, high: u64, byte: u8) -> usize {
    find_among_16_portably(low, high, byte)
}

/// The same, with the instructions that every x86-64 has.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
pub(super) fn find_among_16(low: u64, high: u64, byte: u8) -> usize {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: SSE2 belongs to the architecture, and these only compute.
    let equal = unsafe {
        let bytes = _mm_set_epi64x(high.cast_signed(), low.cast_signed());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
    };
    equal.trailing_zeros() as usize
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn find_among_16_portably(low: u64, high: u64, byte: u8) -> usize {
    let lane = find_byte(low, byte);
    if lane < 8 { lane } else { 8 + find_byte(high, byte) }
}

/// Words of a node before its prefix.
pub(super) const N4_WORDS: usize = N4_PREFIX_AT / crate::UNIT_BYTES;
pub(super) const N16_WORDS: usize = N16_PREFIX_AT / crate::UNIT_BYTES;
pub(super) const N48_WORDS: usize = N48_PREFIX_AT / crate::UNIT_BYTES;
pub(super) const N256_WORDS: usize = N256_PREFIX_AT / crate::UNIT_BYTES;

/// The two bytes at an even offset of a node.
#[inline(always)]
pub(super) fn field(node: &[AtomicU64], at: usize) -> u16 {
    let word = node.get(at / crate::UNIT_BYTES).map_or(0, load);
    (word >> (8 * (at % crate::UNIT_BYTES))) as u16
}

#[inline(always)]
pub(super) fn find_in_4(node: &[AtomicU64; N4_WORDS], byte: u8) -> u16 {
    let [_, first, second] = node;
    let (first, second) = (load(first), load(second));
    let lane = find_byte(first & u64::from(u32::MAX), byte) as u32;
    (first >> 32 | second << 32).checked_shr(16 * lane).unwrap_or(0) as u16
}

#[inline(always)]
pub(super) fn find_in_16(node: &[AtomicU64; N16_WORDS], byte: u8) -> u16 {
    let [_, first, second, ..] = node;
    let lane = find_among_16(load(first), load(second), byte);
    if lane < 16 {
        field(node, N16_REFS_AT + 2 * lane)
    } else {
        0
    }
}

#[inline(always)]
pub(super) fn find_in_48(node: &[AtomicU64; N48_WORDS], byte: u8) -> u16 {
    let at = KEYS_AT + usize::from(byte);
    let word = node.get(at / crate::UNIT_BYTES).map_or(0, load);
    match (word >> (8 * (at % crate::UNIT_BYTES))) as u8 {
        0 => 0,
        number => field(node, N48_REFS_AT - 2 + 2 * usize::from(number)),
    }
}

#[inline(always)]
pub(super) fn find_in_256(node: &[AtomicU64; N256_WORDS], byte: u8) -> u16 {
    field(node, N256_REFS_AT + 2 * usize::from(byte))
}

/// The first of a node's 256 lanes, of `bits` bits each from byte `start` on, at or after lane `from`, that is not zero and
/// that `take` wants. Passes over words of zeros as one.
pub(super) fn next_lane(
    body: &[AtomicU64],
    from: usize,
    bits: usize,
    start: usize,
    take: impl Fn(u16) -> Option<Ref>,
) -> Option<(u8, Ref)> {
    let lanes = 64 / bits;
    let words = body.get(start / crate::UNIT_BYTES..)?.get(..256 / lanes)?;
    let mut lane = from;
    while let Some(word) = words.get(lane / lanes) {
        let rest = load(word) >> (bits * (lane % lanes));
        if rest == 0 {
            lane = (lane / lanes + 1) * lanes;
            continue;
        }
        lane += rest.trailing_zeros() as usize / bits;
        let value = load(word) >> (bits * (lane % lanes)) & (u64::MAX >> (64 - bits));
        if let Some(found) = take(value as u16) {
            return Some((lane as u8, found));
        }
        lane += 1;
    }
    None
}

/// The last of a node's 256 lanes below lane `before`, as [`next_lane`].
pub(super) fn last_lane(
    body: &[AtomicU64],
    before: usize,
    bits: usize,
    start: usize,
    take: impl Fn(u16) -> Option<Ref>,
) -> Option<(u8, Ref)> {
    let lanes = 64 / bits;
    let words = body.get(start / crate::UNIT_BYTES..)?.get(..256 / lanes)?;
    let mut end = before;
    while end > 0 {
        let word = load(words.get((end - 1) / lanes)?);
        let unwanted = bits * (lanes - 1 - (end - 1) % lanes);
        let rest = word << unwanted;
        if rest == 0 {
            end = (end - 1) / lanes * lanes;
            continue;
        }
        let lane = end - 1 - rest.leading_zeros() as usize / bits;
        let value = word >> (bits * (lane % lanes)) & (u64::MAX >> (64 - bits));
        if let Some(found) = take(value as u16) {
            return Some((lane as u8, found));
        }
        end = lane;
    }
    None
}

#[cfg(test)]
mod tests;
