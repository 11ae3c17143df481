//! A frame's bytes as words that one thread may change while others read, and reads and writes of little-endian integers
//! in them.
//!
//! Everything in a frame is of one of two sorts. *Words* hold references, counts and links, and are only ever read and
//! written whole, as atomics of 8 bytes: a smaller field is taken out of its word, and put back with the word's other
//! fields as they were, which is sound because a frame has one writer. *Text* is the keys and values of records and the
//! prefixes of nodes: written before the one store that makes it reachable, and never again, so that it may be lent out as
//! a plain slice. No text shares a word with a field that changes after that store.
//!
//! Reads outside the frame give zero, which every caller takes for "no reference", "no bytes"; writes outside it are a
//! defect and do nothing in release builds.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use crate::UNIT_BYTES;

/// What the processor fetches at once.
const LINE_BYTES: usize = 64;

/// A frame, to be read, perhaps while another thread writes to it.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    words: &'a [AtomicU64],
}

/// A frame, to be written by one thread, perhaps while others read it. It cannot be given to another thread, since a copy of
/// it may be left here.
#[derive(Clone, Copy)]
pub struct FrameMut<'a> {
    frame: Frame<'a>,
    one_thread: PhantomData<*const ()>,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "frame of {} bytes", self.len())
    }
}

impl fmt::Debug for FrameMut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frame.fmt(formatter)
    }
}

impl<'a> Frame<'a> {
    /// No frame: whatever is read of it is zero.
    pub const EMPTY: Self = Self { words: &[] };

    /// The frame that these words hold.
    ///
    /// # Safety
    /// For as long as `'a`, whatever writes to the words does so through one [`FrameMut`] at a time, or holds them alone.
    #[allow(unsafe_code)]
    pub unsafe fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// The frame's size in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.words.len() * UNIT_BYTES
    }

    /// The frame from a unit on; nothing where it does not reach that far.
    #[inline(always)]
    pub(crate) fn words_from(self, at: usize) -> &'a [AtomicU64] {
        self.words.get(at / UNIT_BYTES..).unwrap_or(&[])
    }

    /// Units from one on.
    #[inline(always)]
    pub(crate) fn units<const UNITS: usize>(self, first: usize) -> Option<&'a [AtomicU64; UNITS]> {
        self.words.get(first..first + UNITS)?.first_chunk()
    }

    /// One unit.
    #[inline(always)]
    pub(crate) fn unit(self, unit: usize) -> Option<u64> {
        self.words.get(unit).map(load)
    }

    #[inline(always)]
    fn word(self, at: usize) -> u64 {
        self.words.get(at / UNIT_BYTES).map_or(0, load)
    }

    /// Asks for the cache line that holds a byte, and for the one behind it, without waiting for either.
    #[inline(always)]
    pub(crate) fn prefetch(self, at: usize) {
        self.prefetch_line(at);
        self.prefetch_line(at + LINE_BYTES);
    }

    /// Asks for the cache line that holds a byte, without waiting for it.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn prefetch_line(self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.words.as_ptr().cast::<i8>();
            // SAFETY: a prefetch reads nothing and cannot fault, whatever the address; it is made without arithmetic that
            // would have to stay inside the frame.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at)) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        std::hint::black_box(self.word(at));
    }

    /// Text: bytes `at..at + len`, or the empty slice where the frame does not reach that far.
    #[inline(always)]
    pub(crate) fn text(self, at: usize, len: usize) -> &'a [u8] {
        self.some_text(at, len).unwrap_or_default()
    }

    /// The same; none where the frame does not reach that far.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn some_text(self, at: usize, len: usize) -> Option<&'a [u8]> {
        if len > self.len().checked_sub(at)? {
            return None;
        }
        // SAFETY: the bytes lie inside the words, which live for 'a. They are text: the writer stored them before the
        // reference by which the caller came here, which was loaded with acquire, and no writer stores to their words
        // again (docs/unsafe.md).
        Some(unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>().add(at), len) })
    }
}

impl<'a> FrameMut<'a> {
    /// The frame that these words hold, to be written.
    ///
    /// # Safety
    /// No other `FrameMut` of these words is used for as long as this one, and nothing but frames is made of them.
    #[allow(unsafe_code)]
    pub unsafe fn new(words: &'a [AtomicU64]) -> Self {
        Self {
            frame: Frame { words },
            one_thread: PhantomData,
        }
    }

    /// The frame, to be read.
    pub fn as_ref(self) -> Frame<'a> {
        self.frame
    }

    /// The frame's size in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.frame.len()
    }

    /// Zeroes all units from one on, as many as said. Nothing refers to them.
    #[allow(unsafe_code)]
    pub(crate) fn clear(self, unit: usize, units: usize) {
        let words = unit.checked_add(units).and_then(|end| self.frame.words.get(unit..end));
        debug_assert!(words.is_some(), "{units} units from {unit} on leave the frame");
        if let Some(words) = words {
            // SAFETY: the words are the frame's; nothing refers to them, so no reader looks at them (docs/unsafe.md).
            unsafe { std::ptr::write_bytes(words.as_ptr().cast_mut(), 0, words.len()) }
        }
    }

    /// Replaces `count` bytes (1..=8) of the word that they all lie in.
    fn put(self, at: usize, count: usize, value: u64) {
        let word = self.frame.words.get(at / UNIT_BYTES);
        let first = at % UNIT_BYTES;
        debug_assert!(
            word.is_some() && first + count <= UNIT_BYTES,
            "write of {count} bytes at {at} leaves its word or the frame"
        );
        if let Some(word) = word {
            let mask = (u64::MAX >> (64 - 8 * count)) << (8 * first);
            let rest = load(word) & !mask;
            switch();
            word.store((rest | value << (8 * first) & mask).to_le(), Release);
        }
    }
}

impl<'a> From<FrameMut<'a>> for Frame<'a> {
    fn from(frame: FrameMut<'a>) -> Self {
        frame.frame
    }
}

impl<'a> From<&'a mut [u8]> for FrameMut<'a> {
    /// Bytes that nobody else holds. What does not start at a multiple of 8, as no frame does, is an empty one.
    #[allow(unsafe_code)]
    fn from(bytes: &'a mut [u8]) -> Self {
        let start = bytes.as_mut_ptr().cast::<AtomicU64>();
        let words = if start.is_aligned() {
            // SAFETY: aligned, inside the slice, whose lifetime and exclusiveness the result takes over; any bytes are
            // valid atomics.
            unsafe { std::slice::from_raw_parts(start, bytes.len() / UNIT_BYTES) }
        } else {
            &[]
        };
        Self {
            frame: Frame { words },
            one_thread: PhantomData,
        }
    }
}

impl<'a> From<&'a mut [u8]> for Frame<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        FrameMut::from(bytes).frame
    }
}

/// Where models switch threads (coppice-sync).
#[inline(always)]
fn switch() {
    #[cfg(shuttle)]
    coppice_sync::switch();
}

/// The word's value, and all that was stored before it.
#[inline(always)]
pub(crate) fn load(word: &AtomicU64) -> u64 {
    switch();
    u64::from_le(word.load(Acquire))
}

#[inline(always)]
pub(crate) fn u8_at<'a>(frame: impl Into<Frame<'a>>, at: usize) -> u8 {
    (frame.into().word(at) >> (8 * (at % UNIT_BYTES))) as u8
}

/// The two bytes at an even offset.
#[inline(always)]
pub(crate) fn u16_at<'a>(frame: impl Into<Frame<'a>>, at: usize) -> u16 {
    (frame.into().word(at) >> (8 * (at % UNIT_BYTES))) as u16
}

/// The four bytes at a multiple of four.
#[inline(always)]
pub(crate) fn u32_at<'a>(frame: impl Into<Frame<'a>>, at: usize) -> u32 {
    (frame.into().word(at) >> (8 * (at % UNIT_BYTES))) as u32
}

/// The unit at a multiple of eight.
#[inline(always)]
pub(crate) fn u64_at<'a>(frame: impl Into<Frame<'a>>, at: usize) -> u64 {
    frame.into().word(at)
}

/// Writes text into units that nothing refers to yet.
#[allow(unsafe_code)]
pub(crate) fn write(frame: FrameMut<'_>, at: usize, text: &[u8]) {
    let end = at.checked_add(text.len());
    let fits = end.is_some_and(|end| end <= frame.len());
    debug_assert!(fits, "write of {} bytes at {at} leaves the frame", text.len());
    if fits {
        // SAFETY: the bytes lie inside the frame, whose words may be written to through a shared reference; no reader looks
        // at text before the reference to it is stored with release, which comes after this (docs/unsafe.md).
        unsafe {
            let target = frame.frame.words.as_ptr().cast_mut().cast::<u8>().add(at);
            std::ptr::copy(text.as_ptr(), target, text.len());
        }
    }
}

pub(crate) fn put_u8(frame: FrameMut<'_>, at: usize, value: u8) {
    frame.put(at, 1, u64::from(value));
}

pub(crate) fn put_u16(frame: FrameMut<'_>, at: usize, value: u16) {
    frame.put(at, 2, u64::from(value));
}

pub(crate) fn put_u32(frame: FrameMut<'_>, at: usize, value: u32) {
    frame.put(at, 4, u64::from(value));
}

/// Stores the unit at a multiple of eight.
#[inline(always)]
pub(crate) fn put_u64(frame: FrameMut<'_>, at: usize, value: u64) {
    let word = frame.frame.words.get(at / UNIT_BYTES);
    debug_assert!(
        word.is_some() && at.is_multiple_of(UNIT_BYTES),
        "write of a unit at {at}"
    );
    if let Some(word) = word {
        switch();
        word.store(value.to_le(), Release);
    }
}

/// Stores numbers one behind the other, from a unit on that nothing refers to yet.
pub(crate) fn write_u16s(frame: FrameMut<'_>, unit: usize, numbers: &[u16]) {
    let word = |[a, b, c, d]: [u16; 4]| u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48;
    let (fours, rest) = numbers.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate() {
        put_u64(frame, (unit + index) * UNIT_BYTES, word(*four));
    }
    if !rest.is_empty() {
        let at = |index: usize| rest.get(index).copied().unwrap_or(0);
        put_u64(frame, (unit + fours.len()) * UNIT_BYTES, word([at(0), at(1), at(2), 0]));
    }
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

/// How many bytes two byte strings have in common at their start.
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let ((a_words, _), (b_words, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (at, (x, y)) in a_words.iter().zip(b_words).enumerate() {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return 8 * at + difference.trailing_zeros() as usize / 8;
        }
    }
    let whole = 8 * a_words.len().min(b_words.len());
    let rest = a.iter().zip(b).skip(whole);
    whole + rest.take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod from_tests {
    //! Tests keep frames in vectors of bytes, which they read and damage at will.

    use super::{AtomicU64, Frame, FrameMut, UNIT_BYTES};

    impl<'a> From<&'a [u8]> for Frame<'a> {
        #[allow(unsafe_code)]
        fn from(bytes: &'a [u8]) -> Self {
            let start = bytes.as_ptr().cast::<AtomicU64>();
            assert!(start.is_aligned());
            // SAFETY: aligned, inside the slice; a `Frame` only loads.
            let words = unsafe { std::slice::from_raw_parts(start, bytes.len() / UNIT_BYTES) };
            Self { words }
        }
    }

    impl<'a> From<&'a Vec<u8>> for Frame<'a> {
        fn from(bytes: &'a Vec<u8>) -> Self {
            bytes.as_slice().into()
        }
    }

    impl<'a> From<&'a mut Vec<u8>> for FrameMut<'a> {
        fn from(bytes: &'a mut Vec<u8>) -> Self {
            bytes.as_mut_slice().into()
        }
    }
}
