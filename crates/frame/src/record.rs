//! Records: one key's suffix, version and value.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | length of the key, relative to the frame |
//! | 2 | 2 | length of the value's bytes; bit 15 set: they are an extent's number (4) and the value's length (4) |
//! | 4 | 2 | in a trie frame: how many of the key's last bytes are stored. In a flat frame, which stores them all: 0, or a reference to the record that replaced this one, or [`DEAD`] |
//! | 6 | 6 | version |
//! | 12 | | the stored bytes of the key, then the value's |
//!
//! A trie frame may store more of a key than the path above leaves over: a reader compares the last bytes that it still
//! needs, and the total length. So records stay as they are when nodes above them split.

use crate::{
    UNIT_BYTES,
    bytes::{Frame, FrameMut, narrow, put_u16, put_u64, u64_at, units_for, write},
};

pub(crate) const HEADER_BYTES: usize = 12;
const EXTENT_FLAG: u16 = 1 << 15;
pub(crate) const EXTENT_BYTES: usize = 8;
/// In a flat record's link: deleted, replaced by nothing.
pub(crate) const DEAD: u16 = 7;

/// What of the version lies behind a record's first word.
const VERSION_REST_BYTES: usize = HEADER_BYTES - UNIT_BYTES;

const _: () = assert!(VERSION_REST_BYTES == 4 && HEADER_BYTES == 2 + 2 + 2 + 6);

/// A value as a frame holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The bytes themselves, at most [`crate::max_inline_bytes`].
    Inline(&'a [u8]),
    /// A blob of its own, outside all frames.
    Extent {
        /// The blob's number.
        blob: u32,
        /// The value's length in bytes.
        len: u32,
    },
}

impl Value<'_> {
    pub(crate) fn is_extent(&self) -> bool {
        matches!(self, Value::Extent { .. })
    }

    pub(crate) fn stored_len(&self) -> usize {
        match self {
            Value::Inline(bytes) => bytes.len(),
            Value::Extent { .. } => EXTENT_BYTES,
        }
    }
}

/// A value with the version of the commit that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Commit sequence number, below 2^48.
    pub version: u64,
    /// The value.
    pub value: Value<'a>,
}

/// A record at its place in a frame, as its first word was when this was made.
#[derive(Clone, Copy)]
pub(crate) struct RecordRef<'a> {
    frame: Frame<'a>,
    at: usize,
    /// Loaded once: the compiler would not join loads of an atomic, and all that is asked for first is in it.
    head: u64,
}

impl<'a> RecordRef<'a> {
    #[inline(always)]
    pub(crate) fn new(frame: Frame<'a>, at: usize) -> Self {
        let head = u64_at(frame, at);
        Self { frame, at, head }
    }

    /// Length of the key relative to the frame.
    #[inline(always)]
    pub(crate) fn key_len(self) -> usize {
        usize::from(self.head as u16)
    }

    #[inline(always)]
    pub(crate) fn link(self) -> u16 {
        (self.head >> 32) as u16
    }

    #[inline(always)]
    fn version(self) -> u64 {
        self.head >> 48 | (u64_at(self.frame, self.at + 8) << 32) >> 16
    }

    #[inline(always)]
    fn value_field(self) -> u16 {
        (self.head >> 16) as u16
    }

    pub(crate) fn value_len(self) -> usize {
        usize::from(self.value_field() & !EXTENT_FLAG)
    }

    pub(crate) fn is_extent(self) -> bool {
        self.value_field() & EXTENT_FLAG != 0
    }

    /// The whole relative key of a flat frame's record.
    pub(crate) fn flat_key(self) -> &'a [u8] {
        self.frame.text(self.at + HEADER_BYTES, self.key_len())
    }

    /// Key and value of a flat frame's record, one behind the other, and the key's length.
    #[inline(always)]
    pub(crate) fn text(self) -> (&'a [u8], usize) {
        let key_len = self.key_len();
        (
            self.frame.text(self.at + HEADER_BYTES, key_len + self.value_len()),
            key_len,
        )
    }

    /// Eight bytes of a flat frame's key from `at` on, as a number that orders as they do; zeros behind the key's end.
    #[inline(always)]
    pub(crate) fn head_at(self, at: usize) -> u64 {
        let left = self.key_len().saturating_sub(at).min(8);
        if left == 0 {
            return 0;
        }
        let (word, first) = {
            let start = self.at + HEADER_BYTES + at;
            (start - start % UNIT_BYTES, start % UNIT_BYTES)
        };
        let low = u64_at(self.frame, word) >> (8 * first);
        let high = u64_at(self.frame, word + UNIT_BYTES)
            .checked_shl(64 - 8 * first as u32)
            .unwrap_or(0);
        (low | high).swap_bytes() & u64::MAX << (64 - 8 * left)
    }

    /// The last `len` bytes of the key of a trie frame's record; empty where fewer are stored.
    pub(crate) fn suffix(self, len: usize) -> &'a [u8] {
        let stored = usize::from(self.link());
        match stored.checked_sub(len) {
            Some(skip) => self.frame.text(self.at + HEADER_BYTES + skip, len),
            None => &[],
        }
    }

    /// Copies a flat frame's record, as one that nothing has replaced, into room that the caller has taken.
    pub(crate) fn copy_flat(self, frame: FrameMut<'_>, at: usize) {
        // All behind the first word is never changed.
        let rest = (self.flat_units() - 1) * UNIT_BYTES;
        write(frame, at + UNIT_BYTES, self.frame.text(self.at + UNIT_BYTES, rest));
        put_u64(frame, at, self.head & !(0xFFFF << 32));
    }

    /// The whole relative key of a flat frame's record, its version and value; none where the frame does not reach that far.
    #[inline(always)]
    pub(crate) fn flat_entry(self) -> Option<(&'a [u8], Stored<'a>)> {
        let key_len = self.key_len();
        // All behind the first word is never changed, so that one check does for it, and what nobody asks for is not read.
        let len = VERSION_REST_BYTES + key_len + self.value_len();
        let (version, text) = self.frame.some_text(self.at + UNIT_BYTES, len)?.split_first_chunk()?;
        let (key, value) = text.split_at_checked(key_len)?;
        let value = if self.is_extent() {
            extent_in(value)
        } else {
            Value::Inline(value)
        };
        let version = self.head >> 48 | u64::from(u32::from_le_bytes(*version)) << 16;
        Some((key, Stored { version, value }))
    }

    fn stored_at(self, key_bytes: usize) -> Stored<'a> {
        let at = self.at + HEADER_BYTES + key_bytes;
        let value = if self.is_extent() {
            extent_in(self.frame.text(at, EXTENT_BYTES))
        } else {
            Value::Inline(self.frame.text(at, self.value_len()))
        };
        Stored {
            version: self.version(),
            value,
        }
    }

    pub(crate) fn flat_stored(self) -> Stored<'a> {
        self.stored_at(self.key_len())
    }

    pub(crate) fn trie_stored(self) -> Stored<'a> {
        self.stored_at(usize::from(self.link()))
    }

    pub(crate) fn flat_units(self) -> usize {
        record_units(self.key_len(), self.value_len())
    }

    pub(crate) fn trie_units(self) -> usize {
        record_units(usize::from(self.link()), self.value_len())
    }
}

/// The extent whose number and length a record stores.
fn extent_in(stored: &[u8]) -> Value<'static> {
    let number = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    Value::Extent {
        blob: number(stored.first_chunk()),
        len: number(stored.last_chunk()),
    }
}

/// Units of a record that stores this many bytes of key and value.
pub(crate) const fn record_units(key_bytes: usize, value_bytes: usize) -> usize {
    units_for(HEADER_BYTES + key_bytes + value_bytes)
}

/// Writes a record whose room the caller has taken.
pub(crate) fn write_record(frame: FrameMut<'_>, at: usize, key_len: usize, link: u16, key: &[u8], stored: &Stored<'_>) {
    let value_at = at + HEADER_BYTES + key.len();
    let value_field = match stored.value {
        Value::Inline(bytes) => narrow(bytes.len()),
        Value::Extent { .. } => EXTENT_FLAG | EXTENT_BYTES as u16,
    };
    let head = u64::from(narrow(key_len)) | u64::from(value_field) << 16 | u64::from(link) << 32;
    put_u64(frame, at, head | stored.version << 48);
    put_u64(frame, at + 8, stored.version >> 16);
    write(frame, at + HEADER_BYTES, key);
    match stored.value {
        Value::Inline(bytes) => write(frame, value_at, bytes),
        Value::Extent { blob, len } => {
            write(frame, value_at, &blob.to_le_bytes());
            write(frame, value_at + 4, &len.to_le_bytes());
        }
    }
}

pub(crate) fn set_link(frame: FrameMut<'_>, at: usize, link: u16) {
    put_u16(frame, at + 4, link);
}
