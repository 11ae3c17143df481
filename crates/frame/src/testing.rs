//! What the tests of several modules share: owned values, keys that hurt, and a frame's contents spelled out.

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    Crossing, FlatRef, NodePosition, Step, Stored, TrieRef, UNIT_BYTES, Value, max_inline_bytes, max_key_bytes,
    validate,
};

/// The SplitMix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Keys as [`any_key`] gives them, shorter on the whole.
    pub(crate) fn key(&mut self, frame_bytes: usize) -> Vec<u8> {
        match self.below(8) {
            0 => {
                let len = self.below(20);
                self.bytes(len)
            }
            1 => {
                let mut key = vec![b'p'; frame_bytes / 40];
                key.extend((0..self.below(5)).map(|_| self.pick(ALPHABET)));
                key
            }
            2 | 3 => vec![b'n', self.next() as u8],
            4 => vec![b'd', self.next() as u8, self.pick(ALPHABET)],
            5 if self.one_in(20) => vec![self.pick(ALPHABET); max_key_bytes(frame_bytes)],
            _ => (0..self.below(9)).map(|_| self.pick(ALPHABET)).collect(),
        }
    }

    pub(crate) fn stored(&mut self, frame_bytes: usize) -> Owned {
        let value = match self.below(12) {
            0 => OwnedValue::Extent {
                blob: self.next() as u32,
                len: self.next() as u32,
            },
            1 if self.one_in(4) => OwnedValue::Inline(self.bytes(max_inline_bytes(frame_bytes))),
            _ => {
                let len = self.below(24);
                OwnedValue::Inline(self.bytes(len))
            }
        };
        Owned {
            version: self.next() >> 16,
            value,
        }
    }
}

const ALPHABET: &[u8] = &[0, 0xFF, b'a', b'b', b'/'];

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum OwnedValue {
    Inline(Vec<u8>),
    Extent { blob: u32, len: u32 },
}

impl std::fmt::Debug for OwnedValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(bytes) => write!(formatter, "{} bytes", bytes.len()),
            Self::Extent { blob, len } => write!(formatter, "extent {blob} of {len}"),
        }
    }
}

/// A [`Stored`] of its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) version: u64,
    pub(crate) value: OwnedValue,
}

impl Owned {
    pub(crate) fn of(stored: &Stored<'_>) -> Self {
        let value = match stored.value {
            Value::Inline(bytes) => OwnedValue::Inline(bytes.to_vec()),
            Value::Extent { blob, len } => OwnedValue::Extent { blob, len },
        };
        Self {
            version: stored.version,
            value,
        }
    }

    pub(crate) fn stored(&self) -> Stored<'_> {
        let value = match &self.value {
            OwnedValue::Inline(bytes) => Value::Inline(bytes),
            OwnedValue::Extent { blob, len } => Value::Extent { blob: *blob, len: *len },
        };
        Stored {
            version: self.version,
            value,
        }
    }
}

/// An inline value of version 1.
pub(crate) fn inline(bytes: &[u8]) -> Stored<'_> {
    Stored {
        version: 1,
        value: Value::Inline(bytes),
    }
}

/// Keys of few different bytes, NUL and 0xFF among them, so that many are prefixes of others; keys with a long common
/// prefix; keys that fill nodes; arbitrary ones; and the longest allowed.
pub(crate) fn any_key(frame_bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    let longest = max_key_bytes(frame_bytes);
    prop_oneof![
        6 => vec(select(ALPHABET), 0..8),
        3 => vec(select(ALPHABET), 0..5).prop_map(move |tail| [vec![b'p'; frame_bytes / 40], tail].concat()),
        4 => any::<u8>().prop_map(|byte| vec![b'n', byte]),
        2 => (any::<u8>(), select(ALPHABET)).prop_map(|(byte, last)| vec![b'd', byte, last]),
        2 => vec(any::<u8>(), 0..24),
        1 => select(ALPHABET).prop_map(move |byte| [vec![b'm'; longest - 1], vec![byte]].concat()),
    ]
}

pub(crate) fn any_stored(frame_bytes: usize) -> impl Strategy<Value = Owned> {
    let value = prop_oneof![
        12 => vec(any::<u8>(), 0..24).prop_map(OwnedValue::Inline),
        1 => vec(any::<u8>(), max_inline_bytes(frame_bytes)).prop_map(OwnedValue::Inline),
        2 => any::<(u32, u32)>().prop_map(|(blob, len)| OwnedValue::Extent { blob, len }),
    ];
    (0..1u64 << 48, value).prop_map(|(version, value)| Owned { version, value })
}

/// What a trie frame holds at a path: a record of that key, or the way across for keys that start with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Record(Owned),
    Cross(Crossing),
}

/// Everything in a trie frame, in the order of a walk through its public steps.
pub(crate) fn trie_contents(frame: &[u8]) -> Vec<(Vec<u8>, Content)> {
    enum Visit<'a> {
        Enter(NodePosition),
        Leave(Content, &'a [u8]),
    }
    let trie = TrieRef::new(frame);
    let mut found = Vec::new();
    let mut pending = vec![(Vec::new(), Visit::Enter(trie.root()))];
    while let Some((mut path, visit)) = pending.pop() {
        match visit {
            Visit::Leave(content, suffix) => {
                path.extend_from_slice(suffix);
                found.push((path, content));
            }
            Visit::Enter(node) => {
                path.extend_from_slice(trie.prefix(node));
                if let Some(stored) = trie.value(node) {
                    found.push((path.clone(), Content::Record(Owned::of(&stored))));
                }
                let (mut from, first) = (0, pending.len());
                while let Some((byte, step)) = trie.next_child(node, from, path.len()) {
                    assert_eq!(trie.child(node, byte, path.len()), Some(step));
                    assert_eq!(
                        trie.last_child(node, usize::from(byte) + 1, path.len()),
                        Some((byte, step))
                    );
                    let before = trie.last_child(node, usize::from(byte), path.len());
                    assert!(before.is_none_or(|(before, _)| usize::from(before) < from));
                    assert_eq!(before.is_some(), from > 0);
                    from = usize::from(byte) + 1;
                    let below = [path.as_slice(), &[byte]].concat();
                    let visit = match step {
                        Step::Node(node) => Visit::Enter(node),
                        Step::Record { suffix, stored } => Visit::Leave(Content::Record(Owned::of(&stored)), suffix),
                        Step::Cross(crossing) => Visit::Leave(Content::Cross(crossing), &[]),
                    };
                    pending.push((below, visit));
                }
                pending[first..].reverse();
            }
        }
    }
    found
}

/// Every record of a flat frame, in the order of its cursor.
pub(crate) fn flat_contents(frame: &[u8]) -> Vec<(Vec<u8>, Owned)> {
    FlatRef::new(frame)
        .items()
        .iter()
        .map(|item| (item.key.to_vec(), Owned::of(&item.stored)))
        .collect()
}

#[track_caller]
pub(crate) fn assert_valid(frame: &[u8]) {
    if let Err(invalid) = validate(frame) {
        let unit = invalid.offset / UNIT_BYTES * UNIT_BYTES;
        let near = &frame[unit.min(frame.len())..(unit + 32).min(frame.len())];
        panic!("{} at byte {}: {near:?}", invalid.what, invalid.offset);
    }
}
