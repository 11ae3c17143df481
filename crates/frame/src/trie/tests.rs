//! Behaviours of a trie frame one by one; `model` runs arbitrary operations against an ordered map.

mod model;
mod splits;

use super::*;
use crate::{
    MIN_FRAME_BYTES, Value, max_key_bytes,
    testing::{assert_valid, inline, trie_contents},
};

fn empty(frame_bytes: usize) -> Vec<u8> {
    let mut frame = vec![0xAA; frame_bytes];
    TrieMut::init(&mut frame);
    frame
}

/// A small frame with a record of value "v" for each key.
fn with_keys(keys: &[&[u8]]) -> Vec<u8> {
    let mut frame = empty(4096);
    for key in keys {
        place(&mut frame, key);
    }
    frame
}

fn place(frame: &mut [u8], key: &[u8]) -> Placed {
    let placed = TrieMut::new(&mut *frame).place(key, &inline(b"v")).unwrap();
    assert_valid(frame);
    placed
}

fn remove(frame: &mut [u8], key: &[u8]) {
    assert!(TrieMut::new(&mut *frame).remove(key));
    assert_valid(frame);
}

fn has(frame: &[u8], key: &[u8]) -> bool {
    matches!(TrieRef::new(frame).seek(key), Seek::Found(_))
}

fn keys(frame: &[u8]) -> Vec<Vec<u8>> {
    trie_contents(frame).into_iter().map(|entry| entry.0).collect()
}

fn flat(child: u32) -> Crossing {
    Crossing {
        child,
        kind: Kind::Flat,
        up: 0,
    }
}

/// Kind of the node that a path leads to.
fn tag_at(frame: &[u8], path: &[u8]) -> Option<Tag> {
    let mut reference = TrieRef::new(frame).root_ref();
    let mut depth = 0;
    while let Some(node) = NodeRef::new(frame, reference) {
        depth += node.prefix_len();
        match path.get(depth) {
            None => break,
            Some(&byte) => reference = node.find(byte),
        }
        depth += 1;
    }
    if depth == path.len() { reference.tag() } else { None }
}

/// Units that something refers to.
fn live_units(frame: &[u8]) -> usize {
    TrieRef::new(frame).live_bytes() / crate::UNIT_BYTES
}

fn compacted(frame: &[u8]) -> Vec<u8> {
    let mut copy = vec![0x55; frame.len()];
    copy_trie(frame, &mut copy).unwrap();
    assert_valid(&copy);
    copy
}

#[test]
fn an_empty_frame_of_any_size_holds_nothing() {
    for frame_bytes in [MIN_FRAME_BYTES, 4096, 1 << 16] {
        let frame = empty(frame_bytes);
        assert_valid(&frame);
        assert!(TrieRef::new(&frame).is_empty());
        assert_eq!(TrieRef::new(&frame).seek(b""), Seek::Absent);
        assert_eq!(TrieRef::new(&frame).seek(b"key"), Seek::Absent);
        assert_eq!(trie_contents(&frame), []);
    }
}

#[test]
fn keys_that_are_prefixes_of_one_another_live_side_by_side() {
    let all: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"a", b"ab", b"abc", b"\xFF\xFF"];
    for first in 0..all.len() {
        let mut order = all;
        order.rotate_left(first);
        let mut frame = with_keys(&order);
        assert_eq!(keys(&frame), all);
        for (gone, key) in order.iter().enumerate() {
            remove(&mut frame, key);
            assert!(order[..=gone].iter().all(|key| !has(&frame, key)));
            assert!(order[gone + 1..].iter().all(|key| has(&frame, key)));
        }
        assert!(TrieRef::new(&frame).is_empty());
    }
}

#[test]
fn a_node_grows_through_all_four_kinds_and_shrinks_back() {
    let mut frame = empty(1 << 14);
    let mut seen = Vec::new();
    let note = |frame: &[u8], seen: &mut Vec<Tag>| {
        if let Some(tag) = tag_at(frame, b"n")
            && tag != Tag::Leaf
            && seen.last() != Some(&tag)
        {
            seen.push(tag);
        }
    };
    for byte in 0..=255u8 {
        place(&mut frame, &[b'n', byte.wrapping_mul(151), 1]);
        note(&frame, &mut seen);
    }
    assert_eq!(seen, [Tag::N4, Tag::N16, Tag::N48, Tag::N256]);
    let frame_after = compacted(&frame);
    assert_eq!(trie_contents(&frame_after), trie_contents(&frame));
    for byte in 0..=255u8 {
        frame = compacted(&frame);
        remove(&mut frame, &[b'n', byte, 1]);
        note(&frame, &mut seen);
    }
    assert_eq!(seen[4..], [Tag::N48, Tag::N16, Tag::N4]);
    assert!(TrieRef::new(&frame).is_empty());
}

#[test]
fn a_full_node_takes_its_last_entry_in_place() {
    let mut frame = empty(1 << 14);
    for byte in 0..49 {
        place(&mut frame, &[byte]);
    }
    let before = TrieRef::new(&frame).root();
    for byte in 49..=255 {
        place(&mut frame, &[byte]);
    }
    assert_eq!(TrieRef::new(&frame).root(), before);
    assert_eq!(TrieRef::new(&frame).records(), 256);
}

#[test]
fn a_node_of_48_takes_entries_in_place() {
    let mut frame = empty(4096);
    for byte in 0..17 {
        place(&mut frame, &[byte * 7]);
    }
    let before = TrieRef::new(&frame).root();
    for byte in 17..34 {
        place(&mut frame, &[byte * 7]);
    }
    assert_eq!(TrieRef::new(&frame).root(), before);
    assert_eq!(keys(&frame), (0..34).map(|byte| vec![byte * 7]).collect::<Vec<_>>());
}

#[test]
fn an_entry_that_was_removed_comes_back_in_place() {
    for count in [3, 12, 40] {
        let mut frame = empty(1 << 14);
        for byte in 0..count {
            place(&mut frame, &[byte]);
        }
        let before = TrieRef::new(&frame).root();
        remove(&mut frame, &[count / 2]);
        assert!(!has(&frame, &[count / 2]));
        place(&mut frame, &[count / 2]);
        assert_eq!(TrieRef::new(&frame).root(), before);
        assert_eq!(keys(&frame), (0..count).map(|byte| vec![byte]).collect::<Vec<_>>());
    }
}

#[test]
fn a_node_left_with_one_node_below_is_joined_with_it() {
    let mut frame = with_keys(&[b"path/a/1", b"path/a/2", b"path/b"]);
    remove(&mut frame, b"path/b");
    assert_eq!(tag_at(&frame, b"path/a/"), Some(Tag::N4));
    assert_eq!(tag_at(&frame, b"path/"), None);
    assert_eq!(live_units(&frame), live_units(&with_keys(&[b"path/a/1", b"path/a/2"])));
}

#[test]
fn a_node_left_with_one_record_gives_way_to_it() {
    let mut frame = with_keys(&[b"path/a/1", b"path/b"]);
    remove(&mut frame, b"path/a/1");
    assert_eq!(tag_at(&frame, b"p"), Some(Tag::Leaf));
    assert_eq!(keys(&frame), [b"path/b"]);
}

#[test]
fn a_node_left_with_its_own_record_gives_way_to_it() {
    let mut frame = with_keys(&[b"path", b"path/b"]);
    remove(&mut frame, b"path/b");
    assert_eq!(tag_at(&frame, b"p"), Some(Tag::Leaf));
    assert_eq!(keys(&frame), [b"path"]);
}

#[test]
fn a_record_that_moves_up_gets_back_the_bytes_it_lacks() {
    // Placed below the node, the second record stores one byte of its key.
    let mut frame = with_keys(&[b"path/a/1", b"path/a/2x"]);
    frame = compacted(&frame);
    remove(&mut frame, b"path/a/1");
    assert_eq!(tag_at(&frame, b"p"), Some(Tag::Leaf));
    assert!(has(&frame, b"path/a/2x"));
    assert_eq!(keys(&frame), [b"path/a/2x"]);
}

#[test]
fn an_extent_that_moves_up_stays_one() {
    let extent = Stored {
        version: 7,
        value: Value::Extent {
            blob: u32::MAX,
            len: 1 << 24,
        },
    };
    let mut frame = with_keys(&[b"path/a/1"]);
    TrieMut::new(&mut frame).place(b"path/a/2", &extent).unwrap();
    frame = compacted(&frame);
    remove(&mut frame, b"path/a/1");
    assert_eq!(TrieRef::new(&frame).seek(b"path/a/2"), Seek::Found(extent));
}

#[test]
fn a_replaced_record_has_the_new_version_and_value() {
    let mut frame = with_keys(&[b"key", b"key2", b""]);
    for key in [&b"key"[..], b"key2", b""] {
        let stored = Stored {
            version: (1 << 48) - 1,
            value: Value::Inline(b"longer than before"),
        };
        let placed = TrieMut::new(&mut frame).place(key, &stored).unwrap();
        assert_eq!(placed, Placed::Here { existed: true });
        assert_eq!(TrieRef::new(&frame).seek(key), Seek::Found(stored));
        assert_valid(&frame);
    }
    assert_eq!(TrieRef::new(&frame).records(), 3);
}

#[test]
fn a_key_of_the_longest_kind_fits_an_empty_frame() {
    for frame_bytes in [MIN_FRAME_BYTES, 1 << 16] {
        let mut frame = empty(frame_bytes);
        let mut key = vec![0xFF; max_key_bytes(frame_bytes)];
        let value = vec![7; crate::max_inline_bytes(frame_bytes)];
        TrieMut::new(&mut frame).place(&key, &inline(&value)).unwrap();
        *key.last_mut().unwrap() = 0;
        TrieMut::new(&mut frame).place(&key, &inline(&value)).unwrap();
        assert_valid(&frame);
        assert_eq!(TrieRef::new(&frame).seek(&key), Seek::Found(inline(&value)));
    }
}

#[test]
fn a_byte_without_an_entry_joins_the_nearest_flat_frame_below() {
    let mut frame = with_keys(&[b"d", b"m"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"", 0, b"d", flat(1)).unwrap();
    trie.assign(b"", 0, b"m", flat(2)).unwrap();
    for (byte, child) in [(b'a', 1), (b'e', 1), (b'l', 1), (b'n', 2), (0xFF, 2)] {
        let expected = Placed::Below {
            crossing: flat(child),
            depth: 0,
        };
        assert_eq!(place(&mut frame, &[byte, b'x']), expected);
        let expected = Seek::Below {
            crossing: flat(child),
            depth: 0,
        };
        assert_eq!(TrieRef::new(&frame).seek(&[byte]), expected);
    }
    assert_eq!(TrieRef::new(&frame).bytes_to(b"", 1), b"adel");
}

#[test]
fn a_byte_without_an_entry_does_not_join_a_trie_frame() {
    let mut frame = with_keys(&[b"d"]);
    let crossing = Crossing {
        child: 1,
        kind: Kind::Trie,
        up: 0,
    };
    TrieMut::new(&mut frame).assign(b"", 0, b"d", crossing).unwrap();
    assert_eq!(place(&mut frame, b"e"), Placed::Here { existed: false });
}

#[test]
fn a_subtree_that_goes_below_leaves_its_units_as_garbage() {
    let mut frame = with_keys(&[b"dir/a/1", b"dir/a/2", b"dir/a", b"dir/b", b"file"]);
    TrieMut::new(&mut frame).assign(b"dir/", 4, b"ab", flat(9)).unwrap();
    assert_valid(&frame);
    assert_eq!(keys(&frame), [&b"dir/a"[..], b"dir/b", b"file"]);
    assert_eq!(TrieRef::new(&frame).records(), 1);
    assert_eq!(TrieRef::new(&frame).bytes_to(b"dir/", 9), b"ab");
}

#[test]
fn a_subtree_with_crossings_that_goes_below_takes_them_along() {
    let mut frame = with_keys(&[b"dir/a/1", b"dir/a/2", b"dir/b"]);
    TrieMut::new(&mut frame).assign(b"dir/a/", 6, b"12", flat(1)).unwrap();
    TrieMut::new(&mut frame).assign(b"dir/", 4, b"a", flat(2)).unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).crossings(), [flat(2)]);
}

#[test]
fn assigning_no_entries_changes_nothing_that_counts() {
    let mut frame = with_keys(&[b"d", b"m"]);
    TrieMut::new(&mut frame).assign(b"", 0, b"", flat(1)).unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).crossings(), []);
}

#[test]
fn entries_that_exist_are_assigned_in_a_frame_without_room_for_their_node() {
    let mut frame = empty(4096);
    for byte in 0..100 {
        frame = compacted(&frame);
        place(&mut frame, &[byte]);
    }
    while TrieRef::new(&frame).free_units() > 1 {
        place(&mut frame, &[0]);
    }
    TrieMut::new(&mut frame).assign(b"", 0, &[3, 4, 99], flat(1)).unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).bytes_to(b"", 1), [3, 4, 99]);
    assert_eq!(TrieRef::new(&frame).records(), 97);
}

#[test]
fn a_detached_frame_leaves_no_entries_and_one_unit_of_garbage() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b", b"dir/c"]);
    TrieMut::new(&mut frame).assign(b"dir/", 4, b"ab", flat(1)).unwrap();
    TrieMut::new(&mut frame).detach(b"dir/b", 4, 1);
    assert_valid(&frame);
    assert_eq!(keys(&frame), [b"dir/c"]);
    assert_eq!(tag_at(&frame, b"d"), Some(Tag::Leaf));
}

#[test]
fn detaching_a_frame_that_no_entry_leads_to_changes_nothing() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b"]);
    let before = frame.clone();
    TrieMut::new(&mut frame).detach(b"dir/a", 4, 5);
    assert_eq!(frame, before);
}

#[test]
fn a_carved_entry_leads_to_a_node_of_its_own() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"dir/", 4, b"ab", flat(1)).unwrap();
    trie.carve(b"dir/a", 4, b'a', b"/long", Some(&inline(b"own")), b"xy", flat(2))
        .unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).seek(b"dir/a/long"), Seek::Found(inline(b"own")));
    let below = |child, depth| Seek::Below {
        crossing: flat(child),
        depth,
    };
    assert_eq!(TrieRef::new(&frame).seek(b"dir/a/longx1"), below(2, 10));
    assert_eq!(TrieRef::new(&frame).seek(b"dir/b"), below(1, 4));
    assert_eq!(TrieRef::new(&frame).seek(b"dir/a/lon"), Seek::Absent);
}

#[test]
fn carving_the_last_entry_to_a_frame_drops_the_crossing() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"dir/", 4, b"a", flat(1)).unwrap();
    trie.carve(b"dir/a", 4, b'a', b"", None, b"x", flat(2)).unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).crossings(), [flat(2)]);
}

#[test]
fn carving_at_a_record_counts_it_out() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b"]);
    TrieMut::new(&mut frame)
        .carve(b"dir/", 4, b'a', b"", None, b"x", flat(2))
        .unwrap();
    assert_valid(&frame);
    assert_eq!(TrieRef::new(&frame).records(), 1);
}

/// A crossing to a frame whose base lies so many bytes above its node.
fn above(child: u32, up: usize) -> Crossing {
    Crossing { up, ..flat(child) }
}

#[test]
fn a_crossing_tells_how_far_above_its_node_the_base_lies() {
    let mut frame = with_keys(&[b"dir/a", b"dir/b"]);
    TrieMut::new(&mut frame).assign(b"dir/", 4, b"ab", above(1, 3)).unwrap();
    assert_valid(&frame);
    let expected = Seek::Below {
        crossing: above(1, 3),
        depth: 1,
    };
    assert_eq!(TrieRef::new(&frame).seek(b"dir/a/1"), expected);
    assert_eq!(TrieRef::new(&frame).flat_frames(), [(1, b"d".to_vec())]);
}

#[test]
fn a_key_joins_the_frame_beside_it_only_below_that_frames_base() {
    let with_base_at = |up: usize| {
        let mut frame = with_keys(&[b"dir/a/1", b"dir/a/2", b"z"]);
        TrieMut::new(&mut frame)
            .assign(b"dir/a/", 6, b"12", above(1, up))
            .unwrap();
        frame
    };
    let mut frame = with_base_at(2);
    let joined = Placed::Below {
        crossing: above(1, 0),
        depth: 4,
    };
    assert_eq!(place(&mut frame, b"dir/b"), joined);
    assert_valid(&frame);
    let joined = Placed::Below {
        crossing: above(1, 1),
        depth: 4,
    };
    assert_eq!(place(&mut frame, b"dir/a0"), joined);
    let mut frame = with_base_at(1);
    assert_eq!(place(&mut frame, b"dir/b"), Placed::Here { existed: false });
}

#[test]
fn a_flat_frame_has_its_neighbours_beyond_records() {
    let mut frame = with_keys(&[b"a", b"b/1", b"b/2", b"c", b"d", b"e"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"", 0, b"a", flat(1)).unwrap();
    trie.assign(b"b/", 2, b"12", flat(2)).unwrap();
    trie.assign(b"", 0, b"d", flat(3)).unwrap();
    let run = |child, first: &[u8], last: &[u8]| FlatRun {
        child,
        run: Run {
            first: first.to_vec(),
            last: last.to_vec(),
        },
    };
    let (before, own, behind) = TrieRef::new(&frame).flat_runs(b"b/1").unwrap();
    assert_eq!(before, Some(run(1, b"a", b"a")));
    assert_eq!(own, run(2, b"b/1", b"b/2"));
    assert_eq!(behind, Some(run(3, b"d", b"d")));
    assert_eq!(TrieRef::new(&frame).flat_runs(b"c"), None);
}

#[test]
fn a_trie_frame_ends_the_search_for_a_neighbour() {
    let mut frame = with_keys(&[b"a", b"b", b"c"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"", 0, b"a", flat(1)).unwrap();
    let below = Crossing {
        kind: Kind::Trie,
        ..flat(2)
    };
    trie.assign(b"", 0, b"b", below).unwrap();
    trie.assign(b"", 0, b"c", flat(3)).unwrap();
    let (before, _, behind) = TrieRef::new(&frame).flat_runs(b"c").unwrap();
    assert_eq!((before, behind), (None, None));
}

#[test]
fn the_largest_gap_between_crossings_is_found() {
    let mut frame = empty(1 << 14);
    for byte in 0..30 {
        place(&mut frame, &[b"small/".as_slice(), &[byte]].concat());
        place(&mut frame, &[b"large/".as_slice(), &[byte], &[b'x'; 40]].concat());
    }
    place(&mut frame, b"m");
    TrieMut::new(&mut frame).assign(b"", 0, b"m", flat(1)).unwrap();
    let trie = TrieRef::new(&frame);
    let gap = trie.largest_gap(4096).unwrap();
    assert!(gap.run.first.starts_with(b"large/\0") && gap.run.last.starts_with(&[b"large/", &[29][..]].concat()));
    assert_eq!((gap.before, gap.behind.map(|run| run.child)), (None, Some(1)));
    let gap = trie.largest_gap(1000).unwrap();
    assert!((900..=1000).contains(&gap.size_bytes), "{gap:?}");
    assert_eq!(trie.largest_gap(20), None);
}

#[test]
fn what_ascending_keys_left_ends_at_the_place_of_the_next() {
    let mut frame = with_keys(&[b"a", b"b/1", b"b/2", b"b/3", b"c", b"m/1", b"m/2"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"", 0, b"a", flat(1)).unwrap();
    trie.assign(b"", 0, b"c", flat(2)).unwrap();
    let trie = TrieRef::new(&frame);
    let gap = trie.gap_before(b"b/4").unwrap();
    assert_eq!(
        (gap.run.first.as_slice(), gap.run.last.as_slice()),
        (&b"b/1"[..], &b"b/3"[..])
    );
    assert_eq!(gap.before.map(|run| run.child), Some(1));
    assert_eq!(gap.behind.map(|run| run.child), Some(2));
    let gap = trie.gap_before(b"z").unwrap();
    assert_eq!(
        (gap.run.first.as_slice(), gap.run.last.as_slice()),
        (&b"m/1"[..], &b"m/2"[..])
    );
    // A record comes behind the key; there is none before it; it would be a node's own.
    for key in [&b"b/25"[..], b"m/1x", b"d", b"", b"b/", b"m"] {
        assert_eq!(trie.gap_before(key), None, "{key:?}");
    }
}

#[test]
fn the_flat_frame_right_before_a_key_is_found() {
    let mut frame = with_keys(&[b"a/1", b"a/2", b"b", b"c"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"a/", 2, b"2", flat(1)).unwrap();
    trie.assign(b"", 0, b"c", flat(2)).unwrap();
    let before = |key: &[u8]| TrieRef::new(&frame).flat_before(key).map(|run| run.child);
    for (key, child) in [
        (&b"a/3"[..], Some(1)),
        (b"a0", Some(1)),
        (b"az", Some(1)),
        (b"c/x", Some(2)),
        (b"d", Some(2)),
    ] {
        assert_eq!(before(key), child, "{key:?}");
    }
    for key in [&b"a/1x"[..], b"a/", b"a", b"bb", b"A", b""] {
        assert_eq!(before(key), None, "{key:?}");
    }
}

#[test]
fn a_region_takes_the_nodes_that_lie_wholly_inside_as_one() {
    let mut frame = with_keys(&[b"a/1", b"a/2", b"b", b"b/1", b"b/2", b"c/1", b"c/2"]);
    TrieMut::new(&mut frame).assign(b"c/", 2, b"1", flat(1)).unwrap();
    let run = Run {
        first: b"a/2".to_vec(),
        last: b"c/1".to_vec(),
    };
    let region = TrieRef::new(&frame).region(&run).unwrap();
    assert_eq!(region.paths(), [&b"a/2"[..], b"b", b"c/1"]);
    let contents = region.contents();
    let records: Vec<&[u8]> = contents.records.iter().map(|record| record.0.as_slice()).collect();
    assert_eq!(records, [&b"a/2"[..], b"b", b"b/1", b"b/2"]);
    assert_eq!(contents.flats, [(1, b"c/".to_vec())]);
}

#[test]
fn slots_of_one_flat_frame_apart_from_each_other_are_refused() {
    let mut frame = with_keys(&[b"a", b"b", b"c"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"", 0, b"a", flat(1)).unwrap();
    trie.assign(b"", 0, b"c", flat(1)).unwrap();
    assert_valid(&frame);
    TrieMut::new(&mut frame).assign(b"", 0, b"b", flat(2)).unwrap();
    assert!(crate::validate(&frame).is_err());
}

#[test]
fn slots_of_one_flat_frame_that_disagree_on_its_base_are_refused() {
    let mut frame = with_keys(&[b"a/1", b"a/2", b"b/1", b"b/2"]);
    let mut trie = TrieMut::new(&mut frame);
    trie.assign(b"a/", 2, b"2", above(1, 2)).unwrap();
    trie.assign(b"b/", 2, b"1", above(1, 2)).unwrap();
    assert_valid(&frame);
    TrieMut::new(&mut frame).assign(b"b/", 2, b"1", above(1, 1)).unwrap();
    assert!(crate::validate(&frame).is_err());
}
