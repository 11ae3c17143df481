//! Scans and listings, a page in a call.
//!
//! A page crosses as one string of all its keys, end to end, and a block of figures that says where to cut it; values
//! (and keys, where they are asked for as bytes) go into the slab. No state stays behind: the next page is asked for
//! with the last key of this one.
//!
//! The figures are written into a buffer of JavaScript's, in the byte order of the machine, `capacity` = (its length −
//! 16) / 16 entries:
//!
//! | at | what |
//! |---|---|
//! | 0 | u32: entries in the page |
//! | 4 | u32: what is behind it: 0 nothing, 1 more, 2 nobody knows without the disk |
//! | 8 | u32: bytes of the slab used, from the offset given; no fewer than the entries take |
//! | 12 | u32: bytes that the first entry needs, where the page is empty because it does not fit |
//! | 16 | f64 × capacity: versions, where values are asked for |
//! | 16 + 8 × capacity | u32 × capacity: lengths of keys, in UTF-16 units (in bytes, for keys as bytes); bit 31: a rolled-up prefix |
//! | 16 + 12 × capacity | u32 × capacity: lengths of values, in bytes, where they are asked for |

use std::{
    ffi::CStr,
    fmt::Write as _,
    ops::{Bound, ControlFlow},
};

use coppice_engine::{After, Error, ListRequest, ListVisitor, Range, Record, SplitKey, TreeId};

use crate::{
    failure::Failure,
    raw::{Call, Operation, Reply, Stop, Target},
};

const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 16;
/// Marks a rolled-up prefix in a key's length.
const PREFIX_BIT: u32 = 1 << 31;

/// What is behind a page. Mirrored in `src/page.ts`.
#[derive(Clone, Copy)]
enum Behind {
    Nothing = 0,
    More = 1,
    Unknown = 2,
}

/// What a page is asked to hold and where it starts. Mirrored in `src/native/binding.ts`.
mod flag {
    pub(super) const LOWER: u32 = 1;
    pub(super) const LOWER_EXCLUSIVE: u32 = 2;
    pub(super) const UPPER: u32 = 4;
    pub(super) const UPPER_EXCLUSIVE: u32 = 8;
    pub(super) const VALUES: u32 = 16;
    pub(super) const KEYS_AS_BYTES: u32 = 32;
    pub(super) const AFTER: u32 = 64;
    pub(super) const RESUME_KEY: u32 = 128;
    pub(super) const RESUME_PREFIX: u32 = 256;
    pub(super) const REVERSE: u32 = 512;
}

/// `scan(database, tree, flags, limit, figures, slab, offset, prefix, lower, upper)`: the next records of a range, as a
/// page; its string of keys (empty for keys as bytes). With [`flag::REVERSE`] from the last one backwards.
pub(crate) struct Scan;

impl Operation for Scan {
    const NAME: &'static CStr = c"scan";
    const ARGUMENTS: usize = 10;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let flags = call.integer(2)?;
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let prefix = call.key(7, &mut scratch.key)?;
        let lower = match flags & (flag::LOWER | flag::LOWER_EXCLUSIVE) {
            0 => Bound::Unbounded,
            flag::LOWER => Bound::Included(call.key(8, &mut scratch.lower)?),
            _ => Bound::Excluded(call.key(8, &mut scratch.lower)?),
        };
        let upper = match flags & (flag::UPPER | flag::UPPER_EXCLUSIVE) {
            0 => Bound::Unbounded,
            flag::UPPER => Bound::Included(call.key(9, &mut scratch.upper)?),
            _ => Bound::Excluded(call.key(9, &mut scratch.upper)?),
        };
        let mut page = Page::open(call, flags, &mut scratch.page, &mut scratch.figures)?;
        let database = call.instance.reader(call.integer(0)?)?;
        let range = Range {
            prefix,
            lower,
            upper,
            reverse: flags & flag::REVERSE != 0,
        };
        let visit = &mut |key: SplitKey<'_>, record: Record<'_>| page.push(key, Some(record));
        let exhausted = database.scan(TreeId(call.integer(1)?), &range, visit);
        let behind = page.behind(exhausted.map(|exhausted| !exhausted))?;
        page.finish(call, behind)
    }
}

/// `list(database, tree, flags, limit, figures, slab, offset, prefix, delimiter, after, resume)`: the next items of a
/// listing, as a page; its string of keys and prefixes (empty for keys as bytes).
pub(crate) struct List;

impl Operation for List {
    const NAME: &'static CStr = c"list";
    const ARGUMENTS: usize = 11;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let flags = call.integer(2)?;
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let prefix = call.key(7, &mut scratch.key)?;
        let delimiter = call.key(8, &mut scratch.lower)?;
        let after = match flags & flag::AFTER {
            0 => None,
            _ => Some(call.key(9, &mut scratch.upper)?),
        };
        let resume = match flags & (flag::RESUME_KEY | flag::RESUME_PREFIX) {
            0 => After::Start,
            flag::RESUME_KEY => After::Key(call.key(10, &mut scratch.resume)?),
            _ => After::Prefix(call.key(10, &mut scratch.resume)?),
        };
        let mut page = Page::open(call, flags, &mut scratch.page, &mut scratch.figures)?;
        let request = ListRequest {
            prefix,
            delimiter,
            after,
            resume,
            limit: page.limit,
        };
        let database = call.instance.reader(call.integer(0)?)?;
        let more = database.list(TreeId(call.integer(1)?), &request, &mut page);
        let behind = page.behind(more)?;
        page.finish(call, behind)
    }
}

impl ListVisitor for Page<'_> {
    #[inline(always)]
    fn key(&mut self, key: SplitKey<'_>, record: Record<'_>) -> ControlFlow<()> {
        self.push(key, Some(record))
    }

    fn prefix(&mut self, prefix: &[u8]) -> ControlFlow<()> {
        let whole = SplitKey {
            head: &[],
            tail: prefix,
        };
        self.push(whole, None)
    }
}

/// A page in the making.
struct Page<'a> {
    figures: Target<'a>,
    slab: Target<'a>,
    /// Where the next value goes.
    slab_offset: usize,
    slab_start: usize,
    capacity: usize,
    limit: usize,
    with_values: bool,
    keys_as_bytes: bool,
    /// All keys so far, end to end, where they go as a string; and room behind them.
    text: &'a mut Vec<u8>,
    text_len: usize,
    /// Of each entry, how many bytes its key has, and [`PREFIX_BIT`], as they are handed over.
    key_figures: &'a mut Vec<[u8; 4]>,
    needed: usize,
}

impl<'a> Page<'a> {
    /// Reads the arguments that both operations have in common: 3 limit, 4 figures, 5 slab, 6 offset.
    fn open<'call: 'a>(
        call: &Call<'call>,
        flags: u32,
        text: &'a mut Vec<u8>,
        key_figures: &'a mut Vec<[u8; 4]>,
    ) -> Result<Self, Failure> {
        let figures = call.target(4)?;
        let capacity = figures.len().saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
        let limit = (call.integer(3)? as usize).min(capacity);
        if limit == 0 {
            return Err(Failure::internal("a page of no entries was asked for"));
        }
        key_figures.clear();
        let slab_start = call.integer(6)? as usize;
        Ok(Self {
            figures,
            slab: call.target(5)?,
            slab_offset: slab_start,
            slab_start,
            capacity,
            limit,
            with_values: flags & flag::VALUES != 0,
            keys_as_bytes: flags & flag::KEYS_AS_BYTES != 0,
            text,
            text_len: 0,
            key_figures,
            needed: 0,
        })
    }

    /// Adds a record, or a rolled-up prefix where there is none; breaks where the page is full.
    #[inline(always)]
    fn push(&mut self, key: SplitKey<'_>, record: Option<Record<'_>>) -> ControlFlow<()> {
        if self.key_figures.len() == self.limit {
            return ControlFlow::Break(());
        }
        if (self.with_values || self.keys_as_bytes) && self.fill_slab(key, record).is_break() {
            return ControlFlow::Break(());
        }
        if !self.keys_as_bytes {
            self.add_text(key);
        }
        let kind = if record.is_some() { 0 } else { PREFIX_BIT };
        self.key_figures.push((key.len() as u32 | kind).to_ne_bytes());
        ControlFlow::Continue(())
    }

    /// Puts what goes into the slab there, and the figures that only values have.
    #[inline]
    fn fill_slab(&mut self, key: SplitKey<'_>, record: Option<Record<'_>>) -> ControlFlow<()> {
        let count = self.key_figures.len();
        let record = record.filter(|_| self.with_values);
        let value = record.map_or(&[][..], |record| record.value);
        let key_bytes = if self.keys_as_bytes { key.len() } else { 0 };
        let needed = key_bytes + value.len();
        if self.slab_offset + needed > self.slab.len() {
            if count == 0 {
                self.needed = needed;
            }
            return ControlFlow::Break(());
        }
        if self.keys_as_bytes {
            self.slab.write(self.slab_offset, key.head);
            self.slab.write(self.slab_offset + key.head.len(), key.tail);
        }
        if self.with_values {
            self.slab.write(self.slab_offset + key_bytes, value);
            // Of 48 bits, so the same number as a signed one, which the processor converts in one step.
            let version = record.map_or(0.0, |record| record.version.cast_signed() as f64);
            self.figures.write(HEADER_BYTES + 8 * count, &version.to_ne_bytes());
            let value_lengths = HEADER_BYTES + 12 * self.capacity;
            self.write_word(value_lengths + 4 * count, value.len() as u32);
        }
        self.slab_offset += needed;
        ControlFlow::Continue(())
    }

    #[inline(always)]
    fn add_text(&mut self, key: SplitKey<'_>) {
        let (start, end) = (self.text_len, self.text_len + key.len());
        if end > self.text.len() {
            self.text.resize(2 * end, 0);
        }
        if let Some(room) = self.text.get_mut(start..end)
            && let Some((head, tail)) = room.split_at_mut_checked(key.head.len())
        {
            copy_short(head, key.head);
            copy_short(tail, key.tail);
        }
        self.text_len = end;
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.text_len).unwrap_or_default()
    }

    /// Whether there is more than the page has: nobody knows where what comes next is not in memory, if anything is.
    fn behind(&self, more: Result<bool, Error>) -> Result<Behind, Error> {
        match more {
            Ok(false) => Ok(Behind::Nothing),
            Ok(true) => Ok(Behind::More),
            Err(error) if error.is_not_in_memory() && !self.key_figures.is_empty() => Ok(Behind::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Writes the header and the keys' lengths, and makes the string.
    fn finish<'call>(mut self, call: &Call<'call>, mut behind: Behind) -> Result<Reply<'call>, Stop> {
        // Asked once of all: of each key it would cost as much as copying it.
        let all_ascii = self.text().is_ascii();
        if !all_ascii && self.count_units()? {
            behind = Behind::More;
        }
        let key_lengths = HEADER_BYTES + 8 * self.capacity;
        self.figures.write(key_lengths, self.key_figures.as_flattened());
        self.write_word(0, self.key_figures.len() as u32);
        self.write_word(4, behind as u32);
        self.write_word(8, (self.slab_offset - self.slab_start) as u32);
        self.write_word(12, self.needed as u32);
        let text = if all_ascii {
            call.ascii(self.text())?
        } else {
            call.utf8(self.text())?
        };
        Ok(Reply::Text(text))
    }

    /// Puts the length in UTF-16 units in place of each key's length in bytes. The page ends in front of the first key that
    /// is no text; true where there is one. Fails where that is the page's first.
    fn count_units(&mut self) -> Result<bool, Failure> {
        let mut start = 0;
        for (index, figure) in self.key_figures.iter_mut().enumerate() {
            let word = u32::from_ne_bytes(*figure);
            let end = start + (word & !PREFIX_BIT) as usize;
            let key = self.text.get(start..end).unwrap_or_default();
            let Some(units) = utf16_length(key) else {
                if index == 0 {
                    return Err(not_text(key));
                }
                self.text_len = start;
                self.key_figures.truncate(index);
                return Ok(true);
            };
            *figure = (units as u32 | word & PREFIX_BIT).to_ne_bytes();
            start = end;
        }
        Ok(false)
    }

    fn write_word(&self, offset: usize, word: u32) {
        self.figures.write(offset, &word.to_ne_bytes());
    }
}

/// Copies bytes that are few, as a rule, to where as many belong: in two pieces that overlap, without a call.
#[inline(always)]
fn copy_short(into: &mut [u8], bytes: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(into: &mut [u8], bytes: &[u8]) {
        if let (Some(first), Some(from)) = (into.first_chunk_mut::<N>(), bytes.first_chunk::<N>()) {
            *first = *from;
        }
        if let (Some(last), Some(from)) = (into.last_chunk_mut::<N>(), bytes.last_chunk::<N>()) {
            *last = *from;
        }
    }
    match bytes.len() {
        0 => {}
        1 => ends::<1>(into, bytes),
        2..4 => ends::<2>(into, bytes),
        4..8 => ends::<4>(into, bytes),
        8..16 => ends::<8>(into, bytes),
        16..32 => ends::<16>(into, bytes),
        32..=64 => ends::<32>(into, bytes),
        _ => into.copy_from_slice(bytes),
    }
}

/// How long UTF-8 text is in UTF-16 units; `None` for what is no text.
fn utf16_length(bytes: &[u8]) -> Option<usize> {
    if bytes.is_ascii() {
        return Some(bytes.len());
    }
    Some(std::str::from_utf8(bytes).ok()?.chars().map(char::len_utf16).sum())
}

/// What is said of a key that is no text where text was asked for.
pub(crate) fn not_text(key: &[u8]) -> Failure {
    const SHOWN_BYTES: usize = 64;
    let mut hex = String::with_capacity(2 * SHOWN_BYTES);
    for byte in key.iter().take(SHOWN_BYTES) {
        let _ = write!(hex, "{byte:02x}");
    }
    let cut = if key.len() > SHOWN_BYTES { "…" } else { "" };
    Failure::invalid_argument(format!(
        "the key with bytes 0x{hex}{cut} is not valid UTF-8; open the tree with keys: 'buffer' to read it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_copies_are_whole() {
        let bytes: Vec<u8> = (1..=200).collect();
        for len in 0..bytes.len() {
            let mut copy = vec![0; len];
            copy_short(&mut copy, &bytes[..len]);
            assert_eq!(copy, bytes[..len]);
        }
    }

    #[test]
    fn utf16_length_counts_units() {
        assert_eq!(utf16_length(b""), Some(0));
        assert_eq!(utf16_length(b"a/b\0"), Some(4));
        assert_eq!(utf16_length("é".as_bytes()), Some(1));
        assert_eq!(utf16_length("\u{1F333}".as_bytes()), Some(2));
    }

    #[test]
    fn utf16_length_refuses_what_is_no_text() {
        assert_eq!(utf16_length(&[0xFF]), None);
        assert_eq!(utf16_length(&[b'a', 0xC3]), None);
        // A surrogate, encoded as though it were a character.
        assert_eq!(utf16_length(&[0xED, 0xA0, 0x80]), None);
    }

    #[test]
    fn key_that_is_no_text_is_named_in_hex() {
        let failure = not_text(&[b'a', 0xFF]);
        assert_eq!(failure.code, "ERR_COPPICE_INVALID_ARGUMENT");
        assert!(failure.message.contains("0x61ff is not"), "{}", failure.message);
        assert!(not_text(&[0xFF; 65]).message.contains("ff… is"));
    }
}
