//! Reads and writes of little-endian integers at byte offsets, and nothing else.
//!
//! Reads outside the frame give zero, which every caller takes for "no reference", "no bytes"; writes outside it are a
//! defect and do nothing in release builds. All access to a frame's words goes through here, so that this is the one
//! place that changes when they become atomics.

use crate::UNIT_BYTES;

#[inline(always)]
pub(crate) fn u8_at(frame: &[u8], at: usize) -> u8 {
    frame.get(at).copied().unwrap_or(0)
}

#[inline(always)]
pub(crate) fn chunk<const BYTES: usize>(frame: &[u8], at: usize) -> Option<&[u8; BYTES]> {
    frame.get(at..)?.first_chunk()
}

#[inline(always)]
pub(crate) fn u16_at(frame: &[u8], at: usize) -> u16 {
    chunk(frame, at).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

#[inline(always)]
pub(crate) fn u32_at(frame: &[u8], at: usize) -> u32 {
    chunk(frame, at).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[inline(always)]
pub(crate) fn u64_at(frame: &[u8], at: usize) -> u64 {
    chunk(frame, at).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Six bytes, for versions.
pub(crate) fn u48_at(frame: &[u8], at: usize) -> u64 {
    u64::from(u32_at(frame, at)) | u64::from(u16_at(frame, at + 4)) << 32
}

/// Bytes `at..at + len`, or the empty slice where the frame does not reach that far.
pub(crate) fn slice(frame: &[u8], at: usize, len: usize) -> &[u8] {
    frame.get(at..).and_then(|rest| rest.get(..len)).unwrap_or(&[])
}

pub(crate) fn write(frame: &mut [u8], at: usize, bytes: &[u8]) {
    let target = at.checked_add(bytes.len()).and_then(|end| frame.get_mut(at..end));
    debug_assert!(
        target.is_some(),
        "write of {} bytes at {at} leaves the frame",
        bytes.len()
    );
    if let Some(target) = target {
        target.copy_from_slice(bytes);
    }
}

pub(crate) fn put_u8(frame: &mut [u8], at: usize, value: u8) {
    write(frame, at, &[value]);
}

pub(crate) fn put_u16(frame: &mut [u8], at: usize, value: u16) {
    write(frame, at, &value.to_le_bytes());
}

pub(crate) fn put_u32(frame: &mut [u8], at: usize, value: u32) {
    write(frame, at, &value.to_le_bytes());
}

pub(crate) fn put_u64(frame: &mut [u8], at: usize, value: u64) {
    write(frame, at, &value.to_le_bytes());
}

pub(crate) fn put_u48(frame: &mut [u8], at: usize, value: u64) {
    let [a, b, c, d, e, f, ..] = value.to_le_bytes();
    write(frame, at, &[a, b, c, d, e, f]);
}

/// Narrows a length or offset that the frame's size bounds.
pub(crate) fn narrow(value: usize) -> u16 {
    debug_assert!(value <= usize::from(u16::MAX), "{value} does not fit 16 bits");
    value as u16
}

/// Units that hold this many bytes.
pub(crate) const fn units_for(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

/// Length of the common prefix.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
