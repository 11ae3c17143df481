//! The forest against an ordered map: any bytes in keys, frames so small that everything splits and joins.

mod fill;
mod subtrees;

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use std::ops::ControlFlow;

use super::{Cursor, Forest, Progress, Span, cursor::Event, list};
use crate::{
    budget::Budget,
    request::{After, ListItem, ListRequest},
    table::Table,
    testing::cases,
};

/// None, one byte, several, and one that no UTF-8 has.
const DELIMITERS: &[&[u8]] = &[b"", b"/", b"a", b"r0", b"\xFF"];

pub(super) type Model = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

pub(super) fn all_from(from: &[u8]) -> Span<'_> {
    Span {
        from,
        to: None,
        reverse: false,
    }
}

pub(super) fn planted(frame_bytes: usize) -> Forest<'static> {
    let table = Box::leak(Box::new(Table::new(frame_bytes, Budget::unbounded(), None)));
    let mut forest = Forest::new(table);
    forest.plant().unwrap();
    forest
}

/// Every frame valid, every key found, the walk in order, the counts right.
fn assert_same(forest: &mut Forest, model: &Model) {
    forest.assert_valid();
    for (key, (version, value)) in model {
        let found = forest.get(key).unwrap().unwrap_or_else(|| panic!("{key:?} is lost"));
        assert_eq!((found.version, found.value), (*version, &value[..]), "{key:?}");
    }
    let mut cursor = Cursor::new(forest, all_from(&[]), None).unwrap();
    let mut expected = model.iter();
    while let Some(event) = cursor.next().unwrap() {
        let Event::Record(stored) = event else {
            panic!("a group without a rollup")
        };
        let (key, (version, _)) = expected.next().expect("a key too many");
        assert_eq!((cursor.key(), stored.version), (&key[..], *version));
    }
    assert_eq!(expected.next(), None, "keys are missing from the walk");
    assert_eq!(forest.count(&[]).unwrap(), model.len() as u64);
}

fn count_of(model: &Model, prefix: &[u8]) -> u64 {
    model
        .range(prefix.to_vec()..)
        .take_while(|(key, _)| key.starts_with(prefix))
        .count() as u64
}

/// Keys that collide, nest and share long runs: short strings over few letters, repeated parts, and any bytes.
pub(super) fn key() -> impl Strategy<Value = Vec<u8>> {
    let path = vec(
        prop_oneof!["[ab/]{0,3}", "dir[0-9]/", "common-part-of-a-path/", "f[0-9]{1,3}"],
        0..5,
    )
    .prop_map(|parts| parts.concat().into_bytes());
    let bytes = vec(prop_oneof![Just(0u8), Just(0xFF), Just(b'/'), any::<u8>()], 0..12);
    let deep = (0usize..200).prop_map(|len| vec![b'x'; len]);
    prop_oneof![4 => path, 3 => bytes, 1 => deep]
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Vec<u8>, usize),
    Remove(Vec<u8>),
    RemoveNth(usize),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![3 => 0usize..40, 1 => 0usize..400];
    prop_oneof![
        6 => (key(), size).prop_map(|(key, len)| Step::Put(key, len)),
        1 => key().prop_map(Step::Remove),
        2 => any::<usize>().prop_map(Step::RemoveNth),
    ]
}

pub(super) fn apply(forest: &mut Forest, model: &mut Model, version: u64, step: Step) {
    match step {
        Step::Put(key, len) => {
            let value = vec![version as u8; len];
            forest.look_up_and_put(&key, version, &value);
            model.insert(key, (version, value));
        }
        Step::Remove(key) => {
            assert_eq!(forest.look_up_and_remove(&key), model.remove(&key).is_some(), "{key:?}");
        }
        Step::RemoveNth(nth) => {
            if let Some(key) = model.keys().nth(nth % model.len().max(1)).cloned() {
                assert!(forest.look_up_and_remove(&key), "{key:?}");
                model.remove(&key);
            }
        }
    }
}

/// Counts below some keys' beginnings, of which some are kept from one time to the next. Not below the empty one, where graves
/// are.
fn assert_counts(forest: &mut Forest<'_>, model: &Model) {
    for key in model.keys().step_by(model.len() / 16 + 1) {
        for len in [1, key.len() / 4, key.len() / 2] {
            let Some(prefix) = key.get(..len).filter(|prefix| !prefix.is_empty()) else {
                continue;
            };
            assert_eq!(forest.count(prefix).unwrap(), count_of(model, prefix), "{prefix:?}");
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn agrees_with_an_ordered_map(steps in vec(step(), 1..900), frame in prop_oneof![Just(2048usize), Just(4096)]) {
        let (mut forest, mut model) = (planted(frame), Model::new());
        for (index, step) in steps.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, step);
            if index % 20 == 0 {
                prop_assert_eq!(forest.count(&[]).unwrap(), model.len() as u64);
                assert_counts(&mut forest, &model);
            }
            if index % 50 == 7 {
                forest.assert_valid();
            }
        }
        assert_same(&mut forest, &model);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for (index, key) in keys.iter().enumerate() {
            for len in [key.len() / 2, key.len()] {
                prop_assert_eq!(forest.count(&key[..len]).unwrap(), count_of(&model, &key[..len]));
            }
            let mut cursor = Cursor::new(&forest, all_from(key), None).unwrap();
            cursor.next().unwrap();
            prop_assert_eq!(cursor.key(), &key[..]);
            cursor.next().unwrap();
            if let Some(next) = keys.get(index + 1) {
                prop_assert_eq!(cursor.key(), &next[..]);
            }
        }
        for key in keys {
            prop_assert!(forest.look_up_and_remove(&key));
        }
        assert_same(&mut forest, &Model::new());
        prop_assert_eq!(forest.table.census().blobs, 1, "frames are left over");
    }

    #[test]
    fn seeks_between_keys(keys in vec(key(), 1..300), probes in vec(key(), 1..100)) {
        let (mut forest, mut model) = (planted(2048), Model::new());
        for (index, key) in keys.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, Step::Put(key, 20));
        }
        for probe in probes {
            let mut cursor = Cursor::new(&forest, all_from(&probe), None).unwrap();
            let found = cursor.next().unwrap().map(|_| cursor.key().to_vec());
            prop_assert_eq!(found.as_ref(), model.range(probe.clone()..).next().map(|entry| entry.0), "{:?}", probe);
            prop_assert_eq!(forest.get(&probe).unwrap().map(|found| found.version), model.get(&probe).map(|e| e.0));
            prop_assert_eq!(forest.count(&probe).unwrap(), count_of(&model, &probe));
        }
    }

    #[test]
    fn lists_as_the_plain_rule_says(
        keys in vec(key(), 1..300),
        prefix in key(),
        delimiter in proptest::sample::select(DELIMITERS),
        after in prop::option::of(key()),
        limit in 1usize..20,
    ) {
        let (mut forest, mut model) = (planted(2048), Model::new());
        for (index, key) in keys.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, Step::Put([b"TREE", &key[..]].concat(), 20));
        }
        let prefixes = [prefix.clone(), prefix[..prefix.len() / 2].to_vec(), Vec::new()];
        for prefix in prefixes {
            let mut expected: Vec<(bool, Vec<u8>)> = Vec::new();
            for key in model.keys().map(|key| &key[4..]) {
                if !key.starts_with(&prefix) || after.as_ref().is_some_and(|after| key <= &after[..]) {
                    continue;
                }
                let at = (!delimiter.is_empty())
                    .then(|| key[prefix.len()..].windows(delimiter.len()).position(|window| window == delimiter))
                    .flatten();
                let item = match at {
                    Some(at) => (true, key[..prefix.len() + at + delimiter.len()].to_vec()),
                    None => (false, key.to_vec()),
                };
                if expected.last() != Some(&item) {
                    expected.push(item);
                }
            }
            let mut listed: Vec<(bool, Vec<u8>)> = Vec::new();
            loop {
                let last = listed.last().cloned();
                let resume = match &last {
                    None => After::Start,
                    Some((true, group)) => After::Prefix(group),
                    Some((false, key)) => After::Key(key),
                };
                let request =
                    ListRequest { prefix: &prefix, delimiter, after: after.as_deref(), resume, limit };
                let before = listed.len();
                let more = list(&forest, b"TREE", &request, &mut Progress::default(), &mut |item: ListItem<'_>| {
                    listed.push(match item {
                        ListItem::Key(key, _) => (false, key.to_vec()),
                        ListItem::Prefix(group) => (true, group.to_vec()),
                    });
                    ControlFlow::Continue(())
                }).unwrap();
                prop_assert_eq!(more, listed.len() < expected.len());
                prop_assert!(listed.len() - before <= limit);
                if !more {
                    break;
                }
            }
            prop_assert_eq!(&listed, &expected, "prefix {:?}", prefix);
        }
    }
}

/// A small generator whose seed is in the test, for loads too large for proptest.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn object_key(number: u64) -> Vec<u8> {
    format!(
        "bucket-{:02}/dir-{:03}/object-{:08}.json",
        number % 16,
        number / 16 % 200,
        number
    )
    .into_bytes()
}

#[test]
fn holds_a_hundred_thousand_keys_in_frames_of_real_size() {
    let (mut forest, mut model, mut random) = (planted(65536), Model::new(), Random(7));
    for version in 1..=100_000 {
        let key = object_key(random.below(1 << 20));
        let value = vec![version as u8; random.below(200) as usize];
        forest.look_up_and_put(&key, version, &value);
        model.insert(key, (version, value));
    }
    assert_same(&mut forest, &model);
    let census = forest.table.census();
    assert!(
        census.live_bytes * 10 > census.frame_bytes * 6,
        "fill {} of {}",
        census.live_bytes,
        census.frame_bytes
    );
    let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    for key in keys.iter().filter(|_| random.below(10) < 9) {
        assert!(forest.look_up_and_remove(key));
        model.remove(key);
    }
    assert_same(&mut forest, &model);
}

#[test]
fn counts_right_while_trie_frames_split_and_join() {
    let (mut forest, mut model, mut random) = (planted(2048), Model::new(), Random(11));
    for version in 1..=20_000u64 {
        let key = format!("b{}/d{}/o{:04}", random.below(9), random.below(40), random.below(3000)).into_bytes();
        if random.below(3) == 0 {
            assert_eq!(forest.look_up_and_remove(&key), model.remove(&key).is_some());
        } else {
            forest.look_up_and_put(&key, version, &[1; 20]);
            model.insert(key.clone(), (version, vec![1; 20]));
        }
        assert_eq!(
            forest.count(&[]).unwrap(),
            model.len() as u64,
            "after {version} changes"
        );
        if version % 100 == 0 {
            assert_eq!(forest.count(&key[..3]).unwrap(), count_of(&model, &key[..3]));
        }
        if version % 2000 == 0 {
            forest.assert_valid();
        }
    }
    assert_same(&mut forest, &model);
}

#[test]
fn fills_frames_under_ascending_inserts() {
    let mut forest = planted(65536);
    for number in 0..60_000u64 {
        let key = format!("bucket/dir-{:04}/object-{:06}.json", number / 1000, number % 1000);
        forest.look_up_and_put(key.as_bytes(), number + 1, &[7; 100]);
    }
    forest.assert_valid();
    let census = forest.table.census();
    assert!(
        census.live_bytes * 10 > census.frame_bytes * 6,
        "fill {} of {}",
        census.live_bytes,
        census.frame_bytes
    );
}

#[test]
fn replaces_values_without_growing() {
    let mut forest = planted(65536);
    for round in 0..20u64 {
        for number in 0..5_000u64 {
            forest.look_up_and_put(&object_key(number), round * 5_000 + number + 1, &[round as u8; 100]);
        }
    }
    forest.assert_valid();
    let census = forest.table.census();
    assert!(
        census.frame_bytes < 5_000 * 320,
        "{} bytes of frames",
        census.frame_bytes
    );
}

#[test]
fn takes_the_longest_keys_and_chains_of_prefixes() {
    let mut forest = planted(65536);
    let mut model = Model::new();
    let longest = forest.max_full_key_bytes();
    let mut version = 0;
    for len in (0..longest).step_by(97).chain([longest]) {
        for last in [0u8, 0xFF] {
            let mut key = vec![b'k'; len];
            if let Some(byte) = key.last_mut() {
                *byte = last;
            }
            version += 1;
            forest.look_up_and_put(&key, version, &key);
            model.insert(key.clone(), (version, key));
        }
    }
    assert_same(&mut forest, &model);
}
