//! Hostile frames: one is built from the fuzzer's bytes, then damaged by them. What passes the check must be safe to read
//! and to change and stay a frame that passes; what does not must be read without a panic, and to an end.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use coppice_frame::{
    FlatCursor, FlatMut, FlatRef, Frame, FrameMut, Kind, Met, NodePosition, Step, Stored, TrieMut, TrieRef, Value,
    build_flat, copy_trie, max_inline_bytes, max_key_bytes, part_densely, part_evenly, part_widely, split_trie,
    validate,
};
use libfuzzer_sys::fuzz_target;

const FRAME_BYTES: usize = 2048;

/// A frame's memory, at an address that frames may have.
#[derive(Clone)]
struct Memory(Vec<u64>);

impl Memory {
    fn new() -> Self {
        Self(vec![0; FRAME_BYTES / 8])
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    fn frame(&mut self) -> Frame<'_> {
        Frame::from(self.bytes())
    }

    fn frame_mut(&mut self) -> FrameMut<'_> {
        FrameMut::from(self.bytes())
    }
}

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Put {
        key: Key<'a>,
        version: u32,
        value: &'a [u8],
    },
    PutExtent {
        key: Key<'a>,
        blob: u32,
        len: u32,
    },
    Remove(Key<'a>),
}

/// Short keys meet each other; others are the fuzzer's own.
#[derive(Arbitrary, Debug)]
enum Key<'a> {
    Two(u8, u8),
    One(u8),
    Empty,
    Long(u8, u8),
    Any(&'a [u8]),
}

impl Key<'_> {
    fn bytes(&self) -> Vec<u8> {
        let longest = max_key_bytes(FRAME_BYTES);
        match *self {
            Self::Two(first, second) => vec![first % 4, second],
            Self::One(byte) => vec![byte],
            Self::Empty => Vec::new(),
            Self::Long(byte, last) => [vec![byte; longest - 1], vec![last]].concat(),
            Self::Any(bytes) => bytes[..bytes.len().min(longest)].to_vec(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Byte { at: u16, byte: u8 },
    Word { at: u16, word: u16 },
    Copy { from: u16, to: u16, len: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    flat: bool,
    built: Vec<Change<'a>>,
    damage: Vec<Damage>,
    after: Vec<Change<'a>>,
}

/// A trie frame takes any key; a flat one those that have a first byte.
fn change(memory: &mut Memory, kind: Kind, change: &Change<'_>) {
    let longest_value = max_inline_bytes(FRAME_BYTES);
    let (key, stored) = match change {
        Change::Put { key, version, value } => {
            let value = Value::Inline(&value[..value.len().min(longest_value)]);
            let version = u64::from(*version);
            (key, Some(Stored { version, value }))
        }
        Change::PutExtent { key, blob, len } => {
            let value = Value::Extent { blob: *blob, len: *len };
            (key, Some(Stored { version: 1, value }))
        }
        Change::Remove(key) => (key, None),
    };
    let mut key = key.bytes();
    match kind {
        Kind::Trie => {
            let mut trie = TrieMut::new(memory.frame_mut());
            match stored {
                Some(stored) => drop(trie.place(&key, &stored)),
                None => drop(trie.remove(&key)),
            }
        }
        Kind::Flat => {
            if key.is_empty() {
                key.push(b'k');
            }
            let mut flat = FlatMut::new(memory.frame_mut());
            match stored {
                Some(stored) => drop(flat.put(&key, &stored)),
                None => drop(flat.remove(&key)),
            }
        }
    }
}

fn damage(bytes: &mut [u8], damage: &Damage) {
    match *damage {
        Damage::Byte { at, byte } => {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        Damage::Word { at, word } => {
            let at = usize::from(at) % (bytes.len() / 2) * 2;
            bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
        Damage::Copy { from, to, len } => {
            let len = usize::from(len).max(1);
            let place = |at: u16| usize::from(at) % (bytes.len() - len);
            let (from, to) = (place(from), place(to));
            bytes.copy_within(from..from + len, to);
        }
    }
}

/// Reads that must end whatever the bytes are.
fn read_unchecked(memory: &mut Memory, keys: &[Vec<u8>]) {
    let frame = memory.frame();
    match Kind::of(frame) {
        Some(Kind::Trie) => {
            let trie = TrieRef::new(frame);
            for key in keys {
                trie.seek(key);
                trie.longest_prefix(key);
            }
        }
        Some(Kind::Flat) => {
            let flat = FlatRef::new(frame);
            flat.items();
            for key in keys {
                flat.get(key);
                flat.count_prefix(key);
                flat.longest_prefix(key);
                let mut cursor = FlatCursor::within(flat, key, None);
                while cursor.next_back(flat).is_some() {}
            }
        }
        None => {}
    }
}

fn use_flat(memory: &mut Memory) {
    let mut copy = Memory::new();
    let flat = FlatRef::new(memory.frame());
    let items = flat.items();
    assert_eq!(items.len(), flat.records());
    assert!(items.is_sorted_by(|left, right| left.key < right.key));
    for item in &items {
        assert_eq!(flat.get(item.key), Some(item.stored));
        assert_eq!(flat.longest_prefix(item.key), Some((item.key.len(), item.stored)));
    }
    let mut cursor = FlatCursor::seek(flat, &[]);
    for item in &items {
        assert_eq!(cursor.next(flat), Some((item.key, item.stored)));
    }
    assert!(
        build_flat(copy.frame_mut(), &items, 0).is_ok(),
        "a rebuilt frame needs no more room"
    );
    for ends in [
        part_evenly(&items, 3, FRAME_BYTES / 32),
        part_densely(&items, FRAME_BYTES / 2),
    ] {
        assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end == items.len()));
    }
    assert!(part_widely(&items).is_none_or(|at| at <= items.len()));
    assert_eq!(validate(copy.frame()), Ok(Kind::Flat));
}

fn use_trie(memory: &mut Memory) {
    let (mut left, mut right) = (Memory::new(), Memory::new());
    let mut source = memory.clone();
    assert!(
        copy_trie(source.frame(), left.frame_mut()).is_ok(),
        "a rebuilt frame needs no more room"
    );
    assert_eq!(validate(left.frame()), Ok(Kind::Trie));
    let trie = TrieRef::new(memory.frame());
    // Flat frames that both sides share must be parted first, which takes those frames.
    if let Some(cut) = trie.plan_cut()
        && let Some((path, bytes)) = trie.cut_off(cut)
        && trie.entangled(&path, &bytes).is_empty()
        && split_trie(source.frame(), cut, [&[]; 2], left.frame_mut(), right.frame_mut()).is_ok()
    {
        assert_eq!(validate(left.frame()), Ok(Kind::Trie));
        assert_eq!(validate(right.frame()), Ok(Kind::Trie));
    }
    let (mut met, mut flats) = (0, 0);
    trie.survey(&mut |what| match what {
        Met::Record { .. } => met += 1,
        Met::Below { kind, .. } => flats += usize::from(kind == Kind::Flat),
    });
    assert_eq!((met, flats), (trie.records(), trie.flat_frames().len()));
    let mut records = 0;
    let mut pending: Vec<(NodePosition, Vec<u8>)> = vec![(trie.root(), Vec::new())];
    while let Some((node, mut path)) = pending.pop() {
        path.extend_from_slice(trie.prefix(node));
        records += usize::from(trie.value(node).is_some());
        let mut from = 0;
        while let Some((byte, step)) = trie.next_child(node, from, path.len()) {
            from = usize::from(byte) + 1;
            let below = [&path[..], &[byte]].concat();
            match step {
                Step::Node(node) => pending.push((node, below)),
                Step::Record { suffix, stored } => {
                    records += 1;
                    let key = [&below[..], suffix].concat();
                    assert_eq!(trie.seek(&key), coppice_frame::Seek::Found(stored));
                }
                Step::Cross(_) => {}
            }
        }
    }
    assert_eq!(records, trie.records());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else {
        return;
    };
    let mut memory = Memory::new();
    let kind = if input.flat { Kind::Flat } else { Kind::Trie };
    match kind {
        Kind::Flat => drop(build_flat(memory.frame_mut(), &[], 0)),
        Kind::Trie => drop(TrieMut::init(memory.frame_mut())),
    }
    for step in &input.built {
        change(&mut memory, kind, step);
    }
    assert_eq!(validate(memory.frame()), Ok(kind), "what was built");
    for damage_step in &input.damage {
        damage(memory.bytes(), damage_step);
    }
    let keys: Vec<Vec<u8>> = (input.built.iter().chain(&input.after))
        .map(|change| match change {
            Change::Put { key, .. } | Change::PutExtent { key, .. } | Change::Remove(key) => key.bytes(),
        })
        .collect();
    read_unchecked(&mut memory, &keys);
    let Ok(kind) = validate(memory.frame()) else { return };
    match kind {
        Kind::Flat => use_flat(&mut memory),
        Kind::Trie => use_trie(&mut memory),
    }
    for step in &input.after {
        change(&mut memory, kind, step);
        assert_eq!(validate(memory.frame()), Ok(kind), "after {step:?}");
    }
});
