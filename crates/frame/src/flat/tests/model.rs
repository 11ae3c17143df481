//! One flat frame under arbitrary operations, beside an ordered map of what it must hold.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::built;
use crate::{
    FlatCursor, FlatLookup, FlatMut, FlatOrder, FlatRef, FlatRest, Item, NoRoom, Skips, Stored, TailOrder, build_flat,
    bytes::common_prefix,
    max_key_bytes, part_evenly,
    testing::{Owned, Random, any_key, any_stored, assert_valid, flat_contents},
};

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>, Owned),
    PutAgain(usize, Owned),
    Remove(Vec<u8>),
    RemoveAt(usize),
    Skip { from: Vec<u8>, prefix_len: usize },
    Within { from: Vec<u8>, to: Option<Vec<u8>> },
    Rebuild,
}

fn a_key(frame_bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    any_key(frame_bytes).prop_map(|key| if key.is_empty() { vec![0] } else { key })
}

fn any_op(frame_bytes: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (a_key(frame_bytes), any_stored(frame_bytes)).prop_map(|(key, stored)| Op::Put(key, stored)),
        10 => (any::<usize>(), any_stored(frame_bytes)).prop_map(|(at, stored)| Op::PutAgain(at, stored)),
        3 => a_key(frame_bytes).prop_map(Op::Remove),
        15 => any::<usize>().prop_map(Op::RemoveAt),
        10 => (any_key(frame_bytes), 0..6usize).prop_map(|(from, prefix_len)| Op::Skip { from, prefix_len }),
        5 => (any_key(frame_bytes), proptest::option::of(any_key(frame_bytes)))
            .prop_map(|(from, to)| Op::Within { from, to }),
        1 => Just(Op::Rebuild),
    ]
}

struct Model {
    frame: Vec<u8>,
    /// The order of the frame's tail when it was last walked.
    tail: RefCell<Option<Arc<TailOrder>>>,
    /// What walks that passed over groups have left behind.
    skips: RefCell<Skips>,
    records: BTreeMap<Vec<u8>, Owned>,
}

impl Model {
    fn new(frame_bytes: usize) -> Self {
        Self {
            frame: built(frame_bytes, &[]),
            tail: RefCell::default(),
            skips: RefCell::default(),
            records: BTreeMap::new(),
        }
    }

    fn key_at(&self, at: usize) -> Option<Vec<u8>> {
        let count = self.records.len();
        let number = (count > 0).then(|| at % count)?;
        self.records.keys().nth(number).cloned()
    }

    fn put(&mut self, key: &[u8], stored: &Owned) {
        let existed = self.records.contains_key(key);
        loop {
            let before = self.frame.clone();
            match FlatMut::new(&mut self.frame).put(key, &stored.stored()) {
                Ok(found) => {
                    assert_eq!(found, existed);
                    self.records.insert(key.to_vec(), stored.clone());
                    return;
                }
                Err(NoRoom { .. }) => {
                    assert!(self.frame == before, "a refused change left traces");
                    self.rebuild();
                    if FlatMut::new(&mut self.frame.clone())
                        .put(key, &stored.stored())
                        .is_err()
                    {
                        self.split(key);
                        return;
                    }
                }
            }
        }
    }

    fn rebuild(&mut self) {
        let flat = FlatRef::new(&self.frame);
        let mut copy = vec![0x55; self.frame.len()];
        build_flat(&mut copy, &flat.items(), 0).unwrap();
        assert_valid(&copy);
        // The hash table may be of another size, as the mean record now asks for.
        let beside_table = |flat: FlatRef<'_>| flat.live_bytes() - (2 << flat.hash_bits());
        let (before, after) = (beside_table(flat), beside_table(FlatRef::new(&copy)));
        assert!(after <= before, "{before} bytes became {after}");
        assert_eq!(flat_contents(&copy), flat_contents(&self.frame));
        self.frame = copy;
        self.tail.take();
        self.skips.take();
    }

    /// Splits the records as the frame is full, checks both parts, and goes on with the larger.
    fn split(&mut self, key: &[u8]) {
        let flat = FlatRef::new(&self.frame);
        let items = flat.items();
        let appending = self
            .records
            .keys()
            .next_back()
            .is_some_and(|last| last.as_slice() < key);
        let ends = if appending {
            vec![items.len() - 1, items.len()]
        } else {
            part_evenly(&items, 2, self.frame.len() / 16)
        };
        assert_eq!((ends.len(), ends[1]), (2, items.len()));
        let (stay, go) = items.split_at(ends[0]);
        // What all keys of the right part share is left off, if more is left of each.
        let shared = common_prefix(go[0].key, go[go.len() - 1].key);
        let strip = shared.min(go[0].key.len() - 1);
        assert!(stay.len() < items.len() && go.len() <= items.len() && !go.is_empty());
        let (mut left, mut right) = (vec![0x22; self.frame.len()], vec![0x44; self.frame.len()]);
        build_flat(&mut left, stay, 0).unwrap();
        build_flat(&mut right, go, strip).unwrap();
        assert_valid(&left);
        assert_valid(&right);
        let expected = |items: &[Item<'_>], strip: usize| -> Vec<(Vec<u8>, Owned)> {
            items
                .iter()
                .map(|item| (item.key[strip..].to_vec(), Owned::of(&item.stored)))
                .collect()
        };
        assert_eq!(flat_contents(&left), expected(stay, 0));
        assert_eq!(flat_contents(&right), expected(go, strip));
        self.frame = if stay.len() >= go.len() { left } else { right };
        self.tail.take();
        self.skips.take();
        self.records = flat_contents(&self.frame).into_iter().collect();
    }

    fn remove(&mut self, key: &[u8]) {
        let expected = self.records.remove(key).is_some();
        assert_eq!(FlatMut::new(&mut self.frame).remove(key), expected);
    }

    /// A walk with the order that walks before it have found, and left behind.
    fn walk(&self, from: &[u8], to: Option<&[u8]>) -> FlatCursor {
        let flat = FlatRef::new(&self.frame);
        let order = FlatOrder::of(flat, || self.tail.borrow().clone());
        if let Some(tail) = order.tail() {
            self.tail.replace(Some(Arc::clone(tail)));
        }
        FlatCursor::in_order(flat, order, from, to)
    }

    /// What a delimiter listing does: seek, step, skip what shares a prefix with the key, and so on.
    fn skip(&self, from: &[u8], prefix_len: usize) {
        let flat = FlatRef::new(&self.frame);
        let mut cursor = self.walk(from, None);
        cursor.recall(flat, &self.skips.borrow());
        let mut expected = self.records.range(from.to_vec()..).peekable();
        while let Some((key, stored)) = expected.next() {
            assert_eq!(cursor.next(flat), Some((key.as_slice(), stored.stored())));
            let prefix = &key[..prefix_len.min(key.len())];
            if prefix.len() == prefix_len && !prefix.is_empty() {
                if cursor.wants_note() {
                    cursor.note(flat, &mut self.skips.borrow_mut());
                }
                cursor.skip_prefix(flat, prefix);
                while expected.next_if(|(key, _)| key.starts_with(prefix)).is_some() {}
            }
        }
        assert_eq!(cursor.next(flat), None);
    }

    fn longest_prefix(&self, key: &[u8]) -> Option<(usize, Stored<'_>)> {
        let stored = |len: usize| Some((len, self.records.get(&key[..len])?.stored()));
        (0..=key.len()).rev().find_map(stored)
    }

    /// A walk between bounds agrees with the map from either end, and from both at once.
    fn within(&self, from: &[u8], to: Option<&[u8]>) {
        let flat = FlatRef::new(&self.frame);
        let expected: Vec<_> = self
            .records
            .range(from.to_vec()..)
            .take_while(|(key, _)| to.is_none_or(|to| key.as_slice() < to))
            .map(|(key, stored)| (key.as_slice(), stored.stored()))
            .collect();
        let mut cursor = self.walk(from, to);
        let forwards: Vec<_> = std::iter::from_fn(|| cursor.next(flat)).collect();
        assert_eq!(forwards, expected);
        let mut cursor = self.walk(from, to);
        let mut backwards: Vec<_> = std::iter::from_fn(|| cursor.next_back(flat)).collect();
        backwards.reverse();
        assert_eq!(backwards, expected);
        for reverse in [false, true] {
            // All at once, and behind what single steps took.
            for steps in [0, 1, 7] {
                let mut cursor = FlatCursor::within(flat, from, to);
                let step = || match reverse {
                    false => cursor.next(flat),
                    true => cursor.next_back(flat),
                };
                let mut visited: Vec<_> = std::iter::from_fn(step).take(steps).collect();
                let mut rest = FlatRest::none();
                cursor.rest(flat, reverse, &mut rest);
                visited.extend(rest);
                assert_eq!(cursor.next(flat), None, "the rest was taken");
                if reverse {
                    visited.reverse();
                }
                assert_eq!(visited, expected);
            }
        }
        let mut cursor = self.walk(from, to);
        let mut left = expected.iter();
        while let Some(record) = left.next() {
            assert_eq!(cursor.next(flat), Some(*record));
            assert_eq!(cursor.next_back(flat), left.next_back().copied());
        }
        assert_eq!((cursor.next(flat), cursor.next_back(flat)), (None, None));
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(key, stored) => self.put(key, stored),
            Op::PutAgain(at, stored) => {
                if let Some(key) = self.key_at(*at) {
                    self.put(&key, stored);
                }
            }
            Op::Remove(key) => self.remove(key),
            Op::RemoveAt(at) => {
                if let Some(key) = self.key_at(*at) {
                    self.remove(&key);
                }
            }
            Op::Skip { from, prefix_len } => self.skip(from, *prefix_len),
            Op::Within { from, to } => self.within(from, to.as_deref()),
            Op::Rebuild => self.rebuild(),
        }
    }

    fn check(&self) {
        assert_valid(&self.frame);
        let flat = FlatRef::new(&self.frame);
        assert!(
            flat_contents(&self.frame)
                .iter()
                .map(|(key, stored)| (key, stored))
                .eq(&self.records)
        );
        assert_eq!(flat.records(), self.records.len());
        for (key, stored) in &self.records {
            assert_eq!(flat.get(key), Some(stored.stored()));
            let probe = FlatLookup::new(flat, key, flat.hash_bits());
            probe.touch_record(probe.touch_slot());
            assert_eq!(probe.get(), Some(stored.stored()));
            for absent in [&key[..key.len() - 1], &[key.as_slice(), b"\0"].concat()] {
                assert_eq!(flat.get(absent), self.records.get(absent).map(Owned::stored));
                assert_eq!(flat.longest_prefix(absent), self.longest_prefix(absent));
            }
        }
        for prefix in [
            &b""[..],
            b"\0",
            b"\xFF",
            b"a",
            b"ab",
            b"d",
            b"n",
            b"pp",
            b"\xFF\xFF",
            b"b/",
        ] {
            let expected = self.records.keys().filter(|key| key.starts_with(prefix)).count();
            assert_eq!(flat.count_prefix(prefix), expected, "{prefix:?}");
        }
    }
}

fn run(frame_bytes: usize, ops: &[Op]) {
    let mut model = Model::new(frame_bytes);
    for op in ops {
        model.apply(op);
        model.check();
    }
    model.rebuild();
    model.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_of_2048_bytes_agrees_with_a_map(ops in vec(any_op(2048), 1..200)) {
        run(2048, &ops);
    }

    #[test]
    fn a_frame_of_4096_bytes_agrees_with_a_map(ops in vec(any_op(4096), 1..300)) {
        run(4096, &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_of_65536_bytes_agrees_with_a_map(ops in vec(any_op(65536), 1..400)) {
        run(65536, &ops);
    }
}

#[test]
fn frames_that_fill_and_split_again_and_again_agree_with_a_map() {
    for frame_bytes in [2048, 4096, 65536] {
        let mut random = Random(frame_bytes as u64);
        let mut model = Model::new(frame_bytes);
        for step in 0..20_000 {
            let mut key = random.key(frame_bytes);
            key.push(0xFF);
            let stored = random.stored(frame_bytes);
            match random.below(8) {
                0 => {
                    if let Some(key) = model.key_at(random.next() as usize) {
                        model.remove(&key);
                    }
                }
                1 => {
                    if let Some(key) = model.key_at(random.next() as usize) {
                        model.put(&key, &stored);
                    }
                }
                _ => model.put(&key[..key.len().min(max_key_bytes(frame_bytes))], &stored),
            }
            if step % (frame_bytes / 256) == 0 {
                model.check();
            }
            if random.one_in(200) {
                model.skip(&key, 1);
                let other = random.key(frame_bytes);
                model.within(&key, None);
                model.within(&[], Some(&key));
                model.within(&other, Some(&key));
            }
        }
        model.check();
    }
}
