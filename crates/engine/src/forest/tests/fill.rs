//! How full frames are, for each shape of keys: in order, in disorder, and after most of them came and went.

use std::collections::BTreeSet;

use super::{Forest, Random, planted};

/// Live bytes, in thousandths of all frames' bytes.
fn fill(forest: &Forest<'_>) -> u64 {
    let census = forest.table.census();
    census.live_bytes * 1000 / census.frame_bytes
}

fn shuffled(keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut keys, mut random) = (keys.to_vec(), Random(5));
    for at in (1..keys.len()).rev() {
        keys.swap(at, random.below(at as u64 + 1) as usize);
    }
    keys
}

fn put_all<'a>(forest: &mut Forest<'_>, keys: impl IntoIterator<Item = &'a Vec<u8>>) {
    for (version, key) in keys.into_iter().enumerate() {
        forest.look_up_and_put(key, version as u64 + 1, &[7; 100]);
    }
}

/// Loads the keys in order, and in disorder; then deletes and puts back; then deletes a third and overwrites what is left.
/// After each the frames must be so full, in thousandths, at least.
fn check(keys: impl Iterator<Item = Vec<u8>>, [sorted, random, churned, thinned]: [u64; 4]) {
    let keys: Vec<Vec<u8>> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    let mut forest = planted(65536);
    put_all(&mut forest, &keys);
    let reached = fill(&forest);
    assert!(reached >= sorted, "{reached} in order");

    let mut forest = planted(65536);
    let keys = shuffled(&keys);
    put_all(&mut forest, &keys);
    let reached = fill(&forest);
    assert!(reached >= random, "{reached} in disorder");
    forest.assert_valid();

    for round in 0..3 {
        let some = |(at, _): &(usize, &Vec<u8>)| (at * 31 + round) % 3 == 0;
        for (_, key) in keys.iter().enumerate().filter(some) {
            assert!(forest.look_up_and_remove(key));
        }
        put_all(&mut forest, keys.iter().enumerate().filter(some).map(|entry| entry.1));
    }
    let reached = fill(&forest);
    assert!(reached >= churned, "{reached} after a churn");

    for key in keys.iter().take(keys.len() / 3) {
        assert!(forest.look_up_and_remove(key));
    }
    put_all(&mut forest, keys.iter().skip(keys.len() / 3));
    let reached = fill(&forest);
    assert!(reached >= thinned, "{reached} after a third went");
    forest.assert_valid();
    assert_eq!(forest.count(b"").unwrap(), (keys.len() - keys.len() / 3) as u64);
}

#[test]
fn frames_are_filled_by_objects_in_folders_of_two_frames() {
    let key = |n: usize| {
        format!(
            "bucket-{:02}/folder-{:03}/part-{:012}.json",
            n % 4,
            n / 4 % 10,
            n * 7919
        )
    };
    check((0..39_000).map(|n| key(n).into_bytes()), [750, 750, 750, 650]);
}

#[test]
fn frames_are_filled_by_names_of_a_file_system() {
    let mut random = Random(3);
    let mut folders: Vec<String> = vec!["/usr".into()];
    let mut keys = Vec::new();
    while keys.len() < 40_000 {
        let parent = folders[random.below(folders.len() as u64) as usize].clone();
        let name = ["lib", "share", "doc-", "x"][random.below(4) as usize];
        let folder = format!("{parent}/{name}{:x}", random.below(1 << 16));
        let largest = 1 << random.below(9);
        for _ in 0..random.below(largest) {
            let name = ["lib", "perl-", "Z"][random.below(3) as usize];
            keys.push(format!("{folder}/{name}{:05}.so", random.below(99_999)).into_bytes());
        }
        keys.push(folder.clone().into_bytes());
        if folder.len() < 150 {
            folders.push(folder);
        }
    }
    check(keys.into_iter(), [750, 750, 750, 650]);
}

#[test]
fn frames_are_filled_by_random_keys() {
    let mut random = Random(9);
    check(
        (0..30_000).map(|_| (0..32).map(|_| random.below(256) as u8).collect()),
        [750, 750, 750, 650],
    );
}

#[test]
fn frames_are_filled_by_keys_that_share_their_end() {
    let key = |n: usize| {
        format!(
            "tenant-{:03}/object-{:08x}/meta.json",
            n % 50,
            n.wrapping_mul(2_654_435_761) as u32
        )
    };
    check((0..40_000).map(|n| key(n).into_bytes()), [750, 750, 750, 650]);
}

#[test]
fn frames_are_filled_by_one_directory() {
    let key = |n: usize| format!("one/directory/entry-{:07}", n * 7919 % 10_000_000);
    check((0..40_000).map(|n| key(n).into_bytes()), [750, 750, 750, 650]);
}

#[test]
fn frames_are_filled_by_chains_of_prefixes() {
    let mut keys = Vec::new();
    for chain in 0..3_000 {
        let mut key = format!("chain-{:06}", chain * 7919 % 1_000_000).into_bytes();
        for step in 0..10 {
            key.extend_from_slice(format!("/{step}x").as_bytes());
            keys.push(key.clone());
        }
    }
    check(keys.into_iter(), [600, 700, 700, 600]);
}
