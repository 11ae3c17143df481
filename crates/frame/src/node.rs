//! Nodes of the radix tree: their layouts, and how they are read and written.
//!
//! A node starts with 8 bytes {prefix length, reference to its own value, number of entries, zero}, each of two bytes.
//! The number counts removed entries too; a node of 256 keeps the one that it was written with:
//!
//! | kind | entries | from byte 8 | prefix from |
//! |---|---|---|---|
//! | N4 | 1–4 | 4 key bytes, ascending; 4 references | 24 |
//! | N16 | 5–16 | 16 key bytes, ascending; 16 references | 56 |
//! | N48 | 17–48 | for each of 256 bytes the entry's number + 1, or 0; 48 references | 360 |
//! | N256 | 49–256 | 256 references | 520 |
//!
//! A reference of zero is an entry that was removed; it comes back by one store, or goes when the node is next written. In
//! a node of 48 the entries are numbered in the order they came.

mod search;
mod walk;

use std::sync::atomic::AtomicU64;

use self::search::{
    field, find_among_16, find_byte, find_in_4, find_in_16, find_in_48, find_in_256, last_lane, next_lane,
};
use crate::bytes::{Frame, FrameMut, load, narrow, put_u8, put_u16, u8_at, units_for, write};

pub(crate) use walk::{Left, walk};

/// A reference: the unit's number in the upper 13 bits, what lies there in the lower 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref(pub(crate) u16);

/// What a reference leads to; the value is the reference's lower 3 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Tag {
    N4 = 1,
    N16 = 2,
    N48 = 3,
    N256 = 4,
    Leaf = 5,
    /// To a flat frame.
    Flat = 6,
    /// To a trie frame.
    Trie = 7,
}

impl Ref {
    pub(crate) const NONE: Ref = Ref(0);

    pub(crate) fn new(unit: usize, tag: Tag) -> Self {
        Self(narrow(unit << 3) | tag as u16)
    }

    #[inline]
    pub(crate) fn tag(self) -> Option<Tag> {
        const TAGS: [Option<Tag>; 8] = [
            None,
            Some(Tag::N4),
            Some(Tag::N16),
            Some(Tag::N48),
            Some(Tag::N256),
            Some(Tag::Leaf),
            Some(Tag::Flat),
            Some(Tag::Trie),
        ];
        TAGS.get(usize::from(self.0 & 7)).copied().flatten()
    }

    /// Where it points, in bytes: the unit's number times 8 is the reference less its tag.
    pub(crate) fn offset(self) -> usize {
        usize::from(self.0 & !7)
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn is_node(self) -> bool {
        (Tag::N4 as u16..=Tag::N256 as u16).contains(&(self.0 & 7))
    }

    pub(crate) fn is_crossing(self) -> bool {
        self.0 & 7 >= Tag::Flat as u16
    }
}

const KEYS_AT: usize = 8;
const N4_REFS_AT: usize = KEYS_AT + 4;
const N16_REFS_AT: usize = KEYS_AT + 16;
const N48_REFS_AT: usize = KEYS_AT + 256;
const N256_REFS_AT: usize = KEYS_AT;
/// The prefix is text, and shares no word with references.
const N4_PREFIX_AT: usize = (N4_REFS_AT + 4 * 2).next_multiple_of(crate::UNIT_BYTES);
const N16_PREFIX_AT: usize = N16_REFS_AT + 16 * 2;
const N48_PREFIX_AT: usize = N48_REFS_AT + 48 * 2;
const N256_PREFIX_AT: usize = N256_REFS_AT + 256 * 2;
pub(crate) const VALUE_AT: usize = 2;
const COUNT_AT: usize = 4;

const _: () = assert!(N4_PREFIX_AT == 24 && N16_PREFIX_AT == 56 && N48_PREFIX_AT == 360 && N256_PREFIX_AT == 520);

/// The most units that a node with this many entries and prefix bytes takes.
pub(crate) fn node_units(entries: usize, prefix_bytes: usize) -> usize {
    units_for(prefix_at(tag_for(entries)) + prefix_bytes)
}

fn tag_for(entries: usize) -> Tag {
    match entries {
        0..=4 => Tag::N4,
        5..=16 => Tag::N16,
        17..=48 => Tag::N48,
        _ => Tag::N256,
    }
}

fn refs_at(tag: Tag) -> usize {
    match tag {
        Tag::N4 => N4_REFS_AT,
        Tag::N16 => N16_REFS_AT,
        Tag::N48 => N48_REFS_AT,
        _ => N256_REFS_AT,
    }
}

fn prefix_at(tag: Tag) -> usize {
    match tag {
        Tag::N4 => N4_PREFIX_AT,
        Tag::N16 => N16_PREFIX_AT,
        Tag::N48 => N48_PREFIX_AT,
        _ => N256_PREFIX_AT,
    }
}

/// A node at its place in a frame.
#[derive(Clone, Copy)]
pub(crate) struct NodeRef<'a> {
    frame: Frame<'a>,
    /// The node's first eight bytes.
    head: u64,
    at: usize,
    tag: Tag,
}

impl<'a> NodeRef<'a> {
    /// None where the reference is to something else.
    pub(crate) fn new(frame: impl Into<Frame<'a>>, reference: Ref) -> Option<Self> {
        let frame = frame.into();
        let tag = reference.tag()?;
        if !reference.is_node() {
            return None;
        }
        let at = reference.offset();
        let head = load(frame.words_from(at).first()?);
        Some(Self { frame, head, at, tag })
    }

    /// The node, from its first word to the frame's end.
    fn body(self) -> &'a [AtomicU64] {
        self.frame.words_from(self.at)
    }

    pub(crate) fn prefix(self) -> &'a [u8] {
        self.frame.text(self.at + prefix_at(self.tag), self.prefix_len())
    }

    pub(crate) fn prefix_len(self) -> usize {
        usize::from(self.head as u16)
    }

    pub(crate) fn value(self) -> Ref {
        Ref((self.head >> (8 * VALUE_AT)) as u16)
    }

    /// Entries, removed ones included.
    pub(crate) fn count(self) -> usize {
        usize::from((self.head >> (8 * COUNT_AT)) as u16)
    }

    pub(crate) fn units(self) -> usize {
        units_for(prefix_at(self.tag) + self.prefix_len())
    }

    pub(crate) fn capacity(self) -> usize {
        match self.tag {
            Tag::N4 => 4,
            Tag::N16 => 16,
            Tag::N48 => 48,
            _ => 256,
        }
    }

    /// The branch bytes of a node of 4 or 16; what lies behind them, in the other lanes of a node of 4.
    fn branch_bytes(self) -> [u8; 16] {
        let body = self.body();
        let word = |index: usize| u128::from(body.get(index).map_or(0, load));
        (word(1) | word(2) << 64).to_le_bytes()
    }

    /// The free lane that a node of 48 has behind its last entry.
    fn spare_lane(self) -> Option<usize> {
        (self.tag == Tag::N48 && self.count() < 48).then(|| self.count())
    }

    /// Whether an entry for `byte` needs no other node.
    pub(crate) fn takes_in_place(self, byte: u8) -> bool {
        self.slot(byte).is_some() || self.spare_lane().is_some()
    }

    /// Whether the entries are as a writer leaves them: no more than there is room for, each byte once, in order where the
    /// kind has one. Looks at no reference.
    pub(crate) fn is_well_formed(self) -> bool {
        let count = self.count();
        match self.tag {
            Tag::N4 | Tag::N16 => {
                let bytes = self.branch_bytes();
                bytes
                    .get(..count)
                    .is_some_and(|bytes| count <= self.capacity() && bytes.is_sorted_by(|a, b| a < b))
            }
            Tag::N48 => {
                let mut taken = 0u64;
                let numbers = (0..256).map(|byte| u8_at(self.frame, self.at + KEYS_AT + byte));
                count <= 48
                    && numbers.filter(|number| *number > 0).all(|number| {
                        let bit = 1u64.checked_shl(u32::from(number)).unwrap_or(0);
                        let once = usize::from(number) <= count && taken & bit == 0;
                        taken |= bit;
                        once
                    })
            }
            _ => count <= 256,
        }
    }

    /// The number of the entry for `byte`, among those that the node's kind stores references for. May be that of an entry
    /// that was never made, whose reference is zero: key bytes of such are zero too.
    fn lane(self, byte: u8) -> Option<usize> {
        let body = self.body();
        let word = |index: usize| body.get(index).map_or(0, load);
        match self.tag {
            Tag::N4 => {
                let lane = find_byte(word(1) & u64::from(u32::MAX), byte);
                (lane < 4).then_some(lane)
            }
            Tag::N16 => {
                let lane = find_among_16(word(1), word(2), byte);
                (lane < 16).then_some(lane)
            }
            Tag::N48 => {
                let number = usize::from(u8_at(self.frame, self.at + KEYS_AT + usize::from(byte)));
                number.checked_sub(1).filter(|lane| *lane < 48)
            }
            _ => Some(usize::from(byte)),
        }
    }

    /// Where the reference for `byte` is stored; None where the node has no such entry.
    pub(crate) fn slot(self, byte: u8) -> Option<usize> {
        let lane = self.lane(byte)?;
        let made = self.capacity() == 256 || lane < self.count();
        made.then(|| self.at + refs_at(self.tag) + 2 * lane)
    }

    /// Where the entry for `byte` leads.
    pub(crate) fn find(self, byte: u8) -> Ref {
        let body = self.body();
        Ref(match self.tag {
            Tag::N4 => body.first_chunk().map_or(0, |node| find_in_4(node, byte)),
            Tag::N16 => body.first_chunk().map_or(0, |node| find_in_16(node, byte)),
            Tag::N48 => body.first_chunk().map_or(0, |node| find_in_48(node, byte)),
            _ => body.first_chunk().map_or(0, |node| find_in_256(node, byte)),
        })
    }

    fn reference(self, lane: usize) -> Ref {
        Ref(field(self.body(), refs_at(self.tag) + 2 * lane))
    }

    /// The reference behind a number in a node of 48, if there is one.
    fn numbered(self, number: u16) -> Option<Ref> {
        let found = (1..=48)
            .contains(&number)
            .then(|| self.reference(usize::from(number) - 1))?;
        (!found.is_none()).then_some(found)
    }

    /// The first entry at or after byte `from` (0..=256) that leads somewhere.
    pub(crate) fn next_from(self, from: usize) -> Option<(u8, Ref)> {
        match self.tag {
            Tag::N4 | Tag::N16 => {
                let bytes = self.branch_bytes();
                let made = bytes.iter().enumerate().take(self.count().min(self.capacity()));
                // Each is looked at: in a frame that is damaged they may not ascend.
                made.filter(|(_, byte)| usize::from(**byte) >= from)
                    .find_map(|(lane, byte)| {
                        let found = (*byte, self.reference(lane));
                        (!found.1.is_none()).then_some(found)
                    })
            }
            Tag::N48 => next_lane(self.body(), from, 8, KEYS_AT, |number| self.numbered(number)),
            _ => next_lane(self.body(), from, 16, N256_REFS_AT, |entry| Some(Ref(entry))),
        }
    }

    /// The last entry below byte `before` (0..=256) that leads somewhere.
    pub(crate) fn last_before(self, before: usize) -> Option<(u8, Ref)> {
        match self.tag {
            Tag::N4 | Tag::N16 => {
                let bytes = self.branch_bytes();
                let made = bytes.get(..self.count().min(self.capacity())).unwrap_or_default();
                made.iter().enumerate().rev().find_map(|(lane, byte)| {
                    let found = (*byte, self.reference(lane));
                    (usize::from(*byte) < before && !found.1.is_none()).then_some(found)
                })
            }
            Tag::N48 => last_lane(self.body(), before, 8, KEYS_AT, |number| self.numbered(number)),
            _ => last_lane(self.body(), before, 16, N256_REFS_AT, |entry| Some(Ref(entry))),
        }
    }

    /// All entries that lead somewhere, in byte order.
    pub(crate) fn entries(self) -> Entries<'a> {
        let bytes = match self.tag {
            Tag::N4 | Tag::N16 => self.branch_bytes(),
            _ => [0; 16],
        };
        Entries {
            node: self,
            bytes,
            lane: 0,
            from: 0,
        }
    }

    pub(crate) fn spec(self) -> NodeSpec {
        let mut entries = Vec::with_capacity(self.count().min(self.capacity()));
        entries.extend(self.entries());
        NodeSpec {
            prefix: self.prefix().to_vec(),
            value: self.value(),
            entries,
        }
    }
}

/// See [`NodeRef::entries`].
pub(crate) struct Entries<'a> {
    node: NodeRef<'a>,
    /// Of a node of 4 or 16: its branch bytes, and the next one's place among them.
    bytes: [u8; 16],
    lane: usize,
    /// The least byte that the next entry may have.
    from: usize,
}

impl Iterator for Entries<'_> {
    type Item = (u8, Ref);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.node;
        if !matches!(node.tag, Tag::N4 | Tag::N16) {
            let found = node.next_from(self.from)?;
            self.from = usize::from(found.0) + 1;
            return Some(found);
        }
        let made = node.count().min(node.capacity());
        loop {
            let byte = *self.bytes.get(..made)?.get(self.lane)?;
            let reference = node.reference(self.lane);
            self.lane += 1;
            // In a frame that is damaged they may not ascend.
            if usize::from(byte) >= self.from && !reference.is_none() {
                self.from = usize::from(byte) + 1;
                return Some((byte, reference));
            }
        }
    }
}

/// Stores an entry in a node that takes it in place. One store publishes it: of the reference, or in a node of 48 of the
/// entry's number, which the reference precedes.
pub(crate) fn put_in_place(frame: FrameMut<'_>, node: Ref, byte: u8, entry: Ref) {
    let Some(at) = NodeRef::new(frame, node) else { return };
    if let Some(slot) = at.slot(byte) {
        put_u16(frame, slot, entry.0);
    } else if let Some(lane) = at.spare_lane() {
        put_u16(frame, node.offset() + COUNT_AT, narrow(lane + 1));
        put_u16(frame, node.offset() + N48_REFS_AT + 2 * lane, entry.0);
        put_u8(
            frame,
            node.offset() + KEYS_AT + usize::from(byte),
            narrow(lane + 1) as u8,
        );
    }
}

/// A node taken apart, to be changed and written elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct NodeSpec {
    pub(crate) prefix: Vec<u8>,
    pub(crate) value: Ref,
    /// Ascending by byte; none is [`Ref::NONE`].
    pub(crate) entries: Vec<(u8, Ref)>,
}

impl NodeSpec {
    pub(crate) fn units(&self) -> usize {
        node_units(self.entries.len(), self.prefix.len())
    }

    /// Sets, replaces or (with [`Ref::NONE`]) removes an entry.
    pub(crate) fn set(&mut self, byte: u8, reference: Ref) {
        match self.entries.binary_search_by_key(&byte, |entry| entry.0) {
            Ok(at) if reference.is_none() => {
                self.entries.remove(at);
            }
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = reference;
                }
            }
            Err(_) if reference.is_none() => {}
            Err(at) => self.entries.insert(at, (byte, reference)),
        }
    }

    /// Writes the node into units that the caller has taken, which are zero, and returns the reference to it.
    pub(crate) fn write<'f>(&self, frame: impl Into<FrameMut<'f>>, unit: usize) -> Ref {
        let frame = frame.into();
        let tag = tag_for(self.entries.len());
        let at = unit * crate::UNIT_BYTES;
        frame.clear(unit, self.units());
        put_u16(frame, at, narrow(self.prefix.len()));
        put_u16(frame, at + VALUE_AT, self.value.0);
        put_u16(frame, at + COUNT_AT, narrow(self.entries.len()));
        write(frame, at + prefix_at(tag), &self.prefix);
        for (lane, (byte, reference)) in self.entries.iter().enumerate() {
            match tag {
                Tag::N4 => {
                    put_u8(frame, at + KEYS_AT + lane, *byte);
                    put_u16(frame, at + N4_REFS_AT + 2 * lane, reference.0);
                }
                Tag::N16 => {
                    put_u8(frame, at + KEYS_AT + lane, *byte);
                    put_u16(frame, at + N16_REFS_AT + 2 * lane, reference.0);
                }
                Tag::N48 => {
                    put_u8(frame, at + KEYS_AT + usize::from(*byte), narrow(lane + 1) as u8);
                    put_u16(frame, at + N48_REFS_AT + 2 * lane, reference.0);
                }
                _ => put_u16(frame, at + N256_REFS_AT + 2 * usize::from(*byte), reference.0),
            }
        }
        Ref::new(unit, tag)
    }
}

#[cfg(test)]
mod tests;
