//! Behaviours of a flat frame one by one; `model` runs arbitrary operations against an ordered map.

mod model;

use std::collections::BTreeMap;

use super::*;
use crate::{
    MIN_FRAME_BYTES, max_inline_bytes, max_key_bytes,
    testing::{Owned, Random, assert_valid, flat_contents, inline},
};

fn built(frame_bytes: usize, keys: &[&[u8]]) -> Vec<u8> {
    let items: Vec<Item<'_>> = keys
        .iter()
        .map(|key| Item {
            key,
            stored: inline(b"v"),
        })
        .collect();
    let mut frame = vec![0xAA; frame_bytes];
    build_flat(&mut frame, &items, 0).unwrap();
    assert_valid(&frame);
    frame
}

fn put(frame: &mut [u8], key: &[u8]) -> bool {
    let existed = FlatMut::new(&mut *frame).put(key, &inline(b"w")).unwrap();
    assert_valid(frame);
    existed
}

fn remove(frame: &mut [u8], key: &[u8]) -> bool {
    let existed = FlatMut::new(&mut *frame).remove(key);
    assert_valid(frame);
    existed
}

fn keys(frame: &[u8]) -> Vec<Vec<u8>> {
    flat_contents(frame).into_iter().map(|entry| entry.0).collect()
}

#[test]
fn an_empty_frame_of_any_size_holds_nothing() {
    for frame_bytes in [MIN_FRAME_BYTES, 4096, 1 << 16] {
        let frame = built(frame_bytes, &[]);
        assert_eq!(FlatRef::new(&frame).get(b"key"), None);
        assert_eq!(keys(&frame), Vec::<Vec<u8>>::new());
        assert_eq!(FlatRef::new(&frame).count_prefix(b"k"), 0);
    }
}

#[test]
fn ascending_keys_leave_no_order_array_behind() {
    for first in [&[][..], &[&b"00000"[..]]] {
        let mut frame = built(1 << 16, first);
        let mut expected: Vec<Vec<u8>> = first.iter().map(|key| key.to_vec()).collect();
        for number in 1..600u32 {
            let key = format!("{number:05}").into_bytes();
            FlatMut::new(&mut frame).put(&key, &inline(b"w")).unwrap();
            expected.push(key);
        }
        assert_valid(&frame);
        assert_eq!(keys(&frame), expected);
        // One record does not fill a unit of the sorted array, which is written again once, then.
        let tail_bytes = 2 * MAX_TAIL;
        let most = if first.is_empty() { 0 } else { UNIT_BYTES + tail_bytes };
        assert_eq!(FlatRef::new(&frame).garbage_bytes(), most);
    }
}

#[test]
fn the_newest_record_is_told_from_the_last() {
    let mut frame = built(4096, &[b"b", b"d"]);
    let ends = |frame: &[u8]| FlatRef::new(frame).ends_with_newest();
    assert!(ends(&frame));
    put(&mut frame, b"c");
    assert!(!ends(&frame));
    put(&mut frame, b"e");
    assert!(ends(&frame));
    let flat = FlatRef::new(&frame);
    assert_eq!((flat.first_key(), flat.last_key()), (&b"b"[..], &b"e"[..]));
    assert!(!ends(&built(4096, &[])));
}

#[test]
fn a_deleted_key_can_come_back() {
    let mut frame = built(4096, &[b"a", b"b"]);
    for _ in 0..10 {
        assert!(remove(&mut frame, b"a"));
        assert!(!remove(&mut frame, b"a"));
        assert_eq!(keys(&frame), [b"b"]);
        assert!(!put(&mut frame, b"a"));
        assert_eq!(keys(&frame), [b"a", b"b"]);
        assert_eq!(FlatRef::new(&frame).count_prefix(b"a"), 1);
    }
}

#[test]
fn a_replaced_record_is_walked_in_its_old_place() {
    let mut frame = built(4096, &[b"a", b"b"]);
    put(&mut frame, b"c");
    for key in [b"a", b"b", b"c"] {
        for _ in 0..3 {
            assert!(put(&mut frame, key));
        }
    }
    let expected: Vec<(Vec<u8>, Owned)> = [b"a", b"b", b"c"]
        .iter()
        .map(|key| (key.to_vec(), Owned::of(&inline(b"w"))))
        .collect();
    assert_eq!(flat_contents(&frame), expected);
}

#[test]
fn a_full_tail_is_merged_and_forgets_what_was_deleted() {
    let mut frame = built(4096, &[b"m", b"n", b"o", b"p"]);
    for number in 0..tail_capacity(4096) as u8 {
        put(&mut frame, &[b'k', number]);
    }
    remove(&mut frame, b"m");
    remove(&mut frame, &[b'k', 3]);
    assert_eq!(FlatRef::new(&frame).order().tail_len as usize, tail_capacity(4096));
    put(&mut frame, b"a");
    let order = FlatRef::new(&frame).order();
    assert_eq!(
        (order.sorted_len as usize, order.tail_len),
        (tail_capacity(4096) + 2, 1)
    );
    assert_eq!(keys(&frame)[..2], [b"a".to_vec(), b"k\0".to_vec()]);
}

/// Puts ascending keys of four bytes until a rebuilt frame takes no more; returns how many it took.
fn fill(frame: &mut Vec<u8>) -> u32 {
    let mut number = 0u32;
    loop {
        if FlatMut::new(&mut *frame)
            .put(&number.to_be_bytes(), &inline(b""))
            .is_ok()
        {
            number += 1;
            continue;
        }
        let mut copy = vec![0; frame.len()];
        build_flat(&mut copy, &FlatRef::new(&*frame).items(), 0).unwrap();
        if FlatMut::new(&mut copy.clone())
            .put(&number.to_be_bytes(), &inline(b""))
            .is_err()
        {
            assert_valid(&copy);
            return number;
        }
        *frame = copy;
    }
}

#[test]
fn records_come_in_order_however_late_their_keys_part_and_however_early_they_end() {
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for folder in ["", "a", "a/", "b/twelve bytes", "b/twenty bytes and on"] {
        for name in [
            "0",
            "00",
            "\0",
            "\u{7f}",
            "a name of twenty byte",
            "a name of twenty bytes",
        ] {
            expected.extend((0..8).map(|last| [folder.as_bytes(), name.as_bytes(), &[last; 2]].concat()));
        }
    }
    let (mut frame, count) = (built(1 << 16, &[]), expected.len());
    for step in 0..count {
        FlatMut::new(&mut frame)
            .put(&expected[step * 71 % count], &inline(&[]))
            .unwrap();
        // Some are replaced, and some go, before the tail is merged.
        if step % 9 == 0 {
            FlatMut::new(&mut frame)
                .put(&expected[step * 71 % count], &inline(b"v"))
                .unwrap();
        }
        if step % 11 == 0 {
            FlatMut::new(&mut frame).remove(&expected[step * 71 % count]);
        }
    }
    let gone: Vec<Vec<u8>> = (0..count)
        .step_by(11)
        .map(|step| expected[step * 71 % count].clone())
        .collect();
    expected.retain(|key| !gone.contains(key));
    expected.sort();
    let flat = FlatRef::new(&frame);
    let items = flat.items();
    assert_eq!(items.iter().map(|item| item.key.to_vec()).collect::<Vec<_>>(), expected);
    let mut keys = Vec::new();
    let behind = items_behind(&[(b"x/", flat), (b"y", flat)], &mut keys);
    let paths = [&b"x/"[..], b"y"].into_iter();
    let expected = paths.flat_map(|path| expected.iter().map(move |key| [path, key].concat()));
    assert_eq!(
        behind.iter().map(|item| item.key.to_vec()).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

#[test]
fn a_frame_of_the_smallest_records_fills_up() {
    for frame_bytes in [2048, 4096, 1 << 16] {
        let mut frame = built(frame_bytes, &[]);
        let number = fill(&mut frame) as usize;
        let fixed = frame_bytes / 4 + 64;
        assert!(
            number * 18 + fixed > frame_bytes,
            "{number} records fill {frame_bytes} bytes"
        );
    }
}

#[test]
fn part_of_a_full_frame_fits_a_frame_of_its_own() {
    // Large records make for a small table; the small ones alone want a larger.
    for frame_bytes in [2048, 4096, 1 << 16] {
        for large in 1..16 {
            let mut frame = built(frame_bytes, &[]);
            for number in 0..large as u32 {
                let key = [&[0xFF], &number.to_be_bytes()[..]].concat();
                let _full = FlatMut::new(&mut frame).put(&key, &inline(&vec![1; frame_bytes / 16]));
            }
            let mut copy = vec![0; frame_bytes];
            build_flat(&mut copy, &FlatRef::new(&frame).items(), 0).unwrap();
            fill(&mut copy);
            let items = FlatRef::new(&copy).items();
            for part in [
                &items[..],
                &items[1..],
                &items[..items.len() - 1],
                &items[..items.len() / 2],
            ] {
                build_flat(&mut vec![0; frame_bytes], part, 0).unwrap();
            }
        }
    }
}

#[test]
fn records_fit_while_there_is_room_for_them_and_a_copy_takes_no_more() {
    let mut random = Random(5);
    for frame_bytes in [2048, 4096, 1 << 16] {
        for _ in 0..300 {
            let mut records = BTreeMap::new();
            for _ in 0..random.below(frame_bytes / 24) {
                let mut key = random.key(2000);
                key.push(1);
                records.insert(key, random.stored(2000));
            }
            let items: Vec<Item<'_>> = records
                .iter()
                .map(|(key, owned)| Item {
                    key,
                    stored: owned.stored(),
                })
                .collect();
            let mut frame = vec![0; frame_bytes];
            let taken: usize = items.iter().map(Item::flat_bytes).sum();
            if build_flat(&mut frame, &items, 0).is_err() {
                // Beside the records a frame has its header, its order and its hash table.
                let slots = (items.len() * 8 / 7 + 1).next_power_of_two().max(MIN_HASH_SLOTS);
                let beside = HASH_AT + 2 * slots + 2 * items.len() + 8 + 2 * tail_capacity(frame_bytes);
                assert!(
                    taken + beside > frame_bytes,
                    "{taken} bytes of {frame_bytes} did not fit"
                );
                continue;
            }
            assert_valid(&frame);
            let flat = FlatRef::new(&frame);
            let spare = frame_bytes - flat.live_bytes();
            let mut copy = vec![0; frame_bytes];
            assert_eq!(copy_flat(flat, &mut copy, spare), Ok(()));
            assert!(copy_flat(flat, &mut vec![0; frame_bytes], spare + 1).is_err());
            assert!(copy == frame, "a copy of what has no garbage is the same");
        }
    }
}

#[test]
fn keys_lose_the_bytes_that_are_stripped() {
    let items: Vec<Item<'_>> = [&b"dir/a"[..], b"dir/b"]
        .iter()
        .map(|key| Item {
            key,
            stored: inline(b"v"),
        })
        .collect();
    let mut frame = vec![0; 4096];
    build_flat(&mut frame, &items, 4).unwrap();
    assert_valid(&frame);
    assert_eq!(keys(&frame), [b"a", b"b"]);
}

#[test]
fn the_longest_key_and_value_fit() {
    for frame_bytes in [MIN_FRAME_BYTES, 1 << 16] {
        let key = vec![0xFF; max_key_bytes(frame_bytes)];
        let value = vec![7; max_inline_bytes(frame_bytes)];
        let mut frame = built(frame_bytes, &[b"a"]);
        FlatMut::new(&mut frame).put(&key, &inline(&value)).unwrap();
        assert_valid(&frame);
        assert_eq!(FlatRef::new(&frame).get(&key), Some(inline(&value)));
    }
}

#[test]
fn a_skip_moves_forward_only() {
    let mut frame = built(4096, &[b"a/1", b"a/2", b"b/1", b"c/1"]);
    put(&mut frame, b"a/3");
    put(&mut frame, b"b/0");
    let flat = FlatRef::new(&frame);
    let mut cursor = FlatCursor::seek(flat, b"");
    cursor.skip_prefix(flat, b"b/");
    assert_eq!(cursor.next(flat).map(|entry| entry.0), Some(&b"c/1"[..]));
    cursor.skip_prefix(flat, b"a/");
    assert_eq!(cursor.next(flat), None);
}

fn items<'a>(keys: &'a [Vec<u8>], value: &'a [u8]) -> Vec<Item<'a>> {
    keys.iter()
        .map(|key| Item {
            key,
            stored: inline(value),
        })
        .collect()
}

#[test]
fn records_part_in_runs_of_about_the_same_size() {
    let keys: Vec<Vec<u8>> = (0..40).map(|byte| vec![byte]).collect();
    let items = items(&keys, b"value");
    assert_eq!(part_evenly(&items, 2, 0), [20, 40]);
    assert_eq!(part_evenly(&items, 3, 0), [14, 27, 40]);
    assert_eq!(part_evenly(&items, 1, 0), [40]);
    assert_eq!(part_evenly(&items[..1], 3, 0), [1]);
}

#[test]
fn records_part_where_keys_have_least_in_common() {
    let mut keys: Vec<Vec<u8>> = (0..17).map(|byte| vec![b'a', b'/', byte]).collect();
    keys.extend((0..23).map(|byte| vec![b'b', b'/', byte]));
    let items = items(&keys, b"value");
    let record = items[0].flat_bytes();
    assert_eq!(part_evenly(&items, 2, 4 * record), [17, 40]);
    assert_eq!(part_evenly(&items, 2, record), [20, 40]);
    assert_eq!(part_widely(&items), Some(17));
    assert_eq!(part_widely(&items[..1]), None);
}

#[test]
fn ascending_records_part_in_runs_that_are_full() {
    let keys: Vec<Vec<u8>> = (0..40).map(|byte| vec![byte]).collect();
    let items = items(&keys, b"value");
    let record = items[0].flat_bytes() + 5;
    assert_eq!(part_densely(&items, 15 * record), [15, 30, 40]);
    assert_eq!(part_densely(&items, 1), (1..=40).collect::<Vec<_>>());
}
