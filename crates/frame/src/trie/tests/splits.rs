//! A trie frame split or pushed down: single behaviours, and what a model's frame must become.

use super::{empty, flat, keys, model::Model, place, with_keys};
use crate::{
    Crossing, Graft, Kind, Moved, Seek, TrieMut, TrieRef, TrieSplit, copy_trie_moved, push_down, split_trie,
    testing::{Content, Owned, assert_valid, inline, trie_contents},
};

impl Model {
    /// Splits the frame, and both halves again until nothing is left to split; every part holds what it must.
    pub(super) fn check_splits(&self) {
        let mut pending = vec![self.frame.clone()];
        let mut parts = 0;
        let mut next_child = 1 << 30;
        while let Some(frame) = pending.pop() {
            parts += 1;
            assert!(parts <= 2 * frame.len(), "splitting does not end");
            let whole = trie_contents(&frame);
            let (mut left, mut right) = (vec![0x22; frame.len()], vec![0x44; frame.len()]);
            let trie = TrieRef::new(&frame);
            let Some(cut) = trie.plan_cut() else {
                assert!(trie.root_bytes().len() <= 1, "no way to split");
                continue;
            };
            let (path, bytes) = trie.cut_off(cut).unwrap();
            let moved: Vec<Moved> = trie
                .entangled(&path, &bytes)
                .into_iter()
                .map(|(from, base)| {
                    assert!(base.len() <= path.len());
                    next_child += 1;
                    let (to, base) = (Some(next_child), path.len());
                    Moved { from, to, base }
                })
                .collect();
            let split = split_trie(&frame, cut, [&[], &moved], &mut left, &mut right).unwrap();
            assert_valid(&left);
            assert_valid(&right);
            for half in [&left, &right] {
                assert!(TrieRef::new(half).live_bytes() <= trie.live_bytes());
            }
            let (mut below, mut own) = (Vec::new(), None);
            let goes_right = |path: &[u8]| match &split {
                TrieSplit::Range { first, .. } => path.first().is_some_and(|byte| byte >= first),
                TrieSplit::Carve { byte, .. } => path.first() == Some(byte),
            };
            let strip = path.len();
            let (mut to_right, mut to_left): (Vec<_>, Vec<_>) =
                whole.into_iter().partition(|entry| goes_right(&entry.0));
            if let TrieSplit::Range { shared, .. } = &split {
                // A trie frame that entries of the root on both sides lead to goes to neither.
                let led_to = |side: &[(Vec<u8>, Content)], content: &Content| {
                    matches!(content, Content::Cross(crossing) if crossing.kind == Kind::Trie)
                        && side.iter().any(|entry| entry.0.len() == 1 && entry.1 == *content)
                };
                let (left_before, right_before) = (to_left.clone(), to_right.clone());
                let mut apart = Vec::new();
                let mut keep = |entry: &(Vec<u8>, Content)| {
                    let both = led_to(&left_before, &entry.1) && led_to(&right_before, &entry.1);
                    if let (true, Content::Cross(crossing)) = (both, &entry.1) {
                        apart.push((*crossing, entry.0[0]));
                    }
                    !both
                };
                to_left.retain(&mut keep);
                to_right.retain(&mut keep);
                let each = |(crossing, bytes): &(Crossing, Vec<u8>)| -> Vec<(Crossing, u8)> {
                    bytes.iter().map(|byte| (*crossing, *byte)).collect()
                };
                let mut shared: Vec<(Crossing, u8)> = shared.iter().flat_map(each).collect();
                shared.sort_unstable_by_key(|entry| entry.1);
                assert_eq!(shared, apart);
            }
            for (path, content) in to_right {
                match content {
                    Content::Record(record) if strip == path.len() => own = Some(record),
                    Content::Cross(crossing) => {
                        let path = path[strip..].to_vec();
                        let moved = moved.iter().find(|moved| moved.from == crossing.child);
                        let crossing = moved.map_or(crossing, |moved| Crossing {
                            child: moved.to.unwrap(),
                            up: path.len() - 1,
                            ..crossing
                        });
                        assert!(crossing.up < path.len(), "a base above the frame's own");
                        below.push((path, Content::Cross(crossing)));
                    }
                    content => below.push((path[strip..].to_vec(), content)),
                }
            }
            assert_eq!(trie_contents(&left), to_left);
            assert_eq!(trie_contents(&right), below);
            if let TrieSplit::Carve { value, bytes, .. } = split {
                let mut firsts: Vec<u8> = below.iter().map(|entry| entry.0[0]).collect();
                firsts.dedup();
                assert_eq!(bytes, firsts);
                assert_eq!(value.map(|value| Owned::of(&value)), own);
            }
            pending.push(left);
            pending.push(right);
        }
    }

    pub(super) fn check_push_down(&self) {
        let (mut above, mut below) = (vec![0; self.frame.len()], vec![0; self.frame.len()]);
        let crossing = Crossing {
            child: u32::MAX,
            kind: Kind::Trie,
            up: 0,
        };
        push_down(&self.frame, &mut above, &mut below, crossing).unwrap();
        assert_valid(&above);
        assert_valid(&below);
        let mut expected = trie_contents(&self.frame);
        expected.retain(|entry| !entry.0.is_empty());
        assert_eq!(trie_contents(&below), expected);
        assert!(TrieRef::new(&below).live_bytes() <= TrieRef::new(&self.frame).live_bytes());
        assert_eq!(
            TrieRef::new(&above).bytes_to(b"", u32::MAX),
            TrieRef::new(&self.frame).root_bytes()
        );
        assert_eq!(TrieRef::new(&above).seek(b""), TrieRef::new(&self.frame).seek(b""));
    }
}

/// Splits where the frame says, moving nothing.
fn split<'a>(frame: &'a [u8], left: &mut [u8], right: &mut [u8]) -> TrieSplit<'a> {
    let cut = TrieRef::new(frame).plan_cut().unwrap();
    split_trie(frame, cut, [&[], &[]], left, right).unwrap()
}

#[test]
fn a_split_range_parts_by_the_roots_entries() {
    let keys_in: Vec<Vec<u8>> = (0..40).map(|byte| vec![byte, b'x', b'y']).collect();
    let mut frame = empty(1 << 14);
    for key in &keys_in {
        place(&mut frame, key);
    }
    let (mut left, mut right) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    let expected = TrieSplit::Range {
        first: 20,
        shared: Vec::new(),
    };
    assert_eq!(split(&frame, &mut left, &mut right), expected);
    assert_valid(&left);
    assert_valid(&right);
    assert_eq!(keys(&left), keys_in[..20]);
    assert_eq!(keys(&right), keys_in[20..]);
}

#[test]
fn a_flat_frame_that_both_halves_would_lead_to_is_two_after_a_split() {
    let mut frame = empty(1 << 14);
    for byte in 0..8 {
        place(&mut frame, &[byte]);
    }
    TrieMut::new(&mut frame).assign(b"", 0, &[2, 3, 4, 5], flat(1)).unwrap();
    TrieMut::new(&mut frame).assign(b"", 0, &[6], flat(2)).unwrap();
    let trie = TrieRef::new(&frame);
    let cut = trie.plan_cut().unwrap();
    let (path, bytes) = trie.cut_off(cut).unwrap();
    assert_eq!((&path[..], &bytes[..]), (&b""[..], &[4, 5, 6, 7][..]));
    assert_eq!(trie.entangled(&path, &bytes), [(1, Vec::new())]);
    let moved = [Moved {
        from: 1,
        to: Some(9),
        base: 0,
    }];
    let (mut left, mut right) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    split_trie(&frame, cut, [&[], &moved], &mut left, &mut right).unwrap();
    assert_eq!(TrieRef::new(&left).bytes_to(b"", 1), [2, 3]);
    assert_eq!(TrieRef::new(&right).bytes_to(b"", 9), [4, 5]);
    assert_eq!(TrieRef::new(&right).bytes_to(b"", 2), [6]);
}

#[test]
fn a_trie_frame_that_both_halves_would_lead_to_is_in_neither() {
    let mut frame = empty(1 << 14);
    for byte in 0..8 {
        place(&mut frame, &[byte]);
    }
    let below = Crossing {
        kind: Kind::Trie,
        ..flat(1)
    };
    TrieMut::new(&mut frame).assign(b"", 0, &[0, 5, 7], below).unwrap();
    TrieMut::new(&mut frame).assign(b"", 0, &[2, 3], flat(2)).unwrap();
    let (mut left, mut right) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    let expected = TrieSplit::Range {
        first: 4,
        shared: vec![(below, vec![0, 5, 7])],
    };
    assert_eq!(split(&frame, &mut left, &mut right), expected);
    assert_eq!(keys(&left), [[1], [2], [3]]);
    assert_eq!(keys(&right), [[4], [6]]);
}

/// A copy of a frame whose frame 1 is left with nothing.
fn copied_without_one(frame: &[u8]) -> Vec<u8> {
    let moved = [Moved {
        from: 1,
        to: None,
        base: 0,
    }];
    let mut copy = vec![0; 4096];
    copy_trie_moved(frame, &mut copy, &moved).unwrap();
    assert_valid(&copy);
    copy
}

#[test]
fn entries_to_a_frame_that_is_left_with_nothing_are_not_copied() {
    let mut frame = with_keys(&[b"a", b"b/1", b"b/2"]);
    TrieMut::new(&mut frame).assign(b"b/", 2, b"12", flat(1)).unwrap();
    let copy = copied_without_one(&frame);
    assert_eq!(keys(&copy), [b"a"]);
}

#[test]
fn nodes_that_lead_to_such_a_frame_alone_are_not_copied() {
    let mut frame = with_keys(&[b"a", b"b/1x", b"b/1y", b"b/2x", b"b/2y"]);
    for node in [b"b/1", b"b/2"] {
        TrieMut::new(&mut frame).assign(node, 3, b"xy", flat(1)).unwrap();
    }
    let copy = copied_without_one(&frame);
    assert_eq!(TrieRef::new(&copy).root_bytes(), b"a");
}

#[test]
fn one_entry_that_dominates_is_carved() {
    let mut frame = empty(1 << 14);
    place(&mut frame, b"a");
    for byte in 0..40 {
        place(&mut frame, &[b'd', b'i', b'r', byte, byte]);
    }
    place(&mut frame, b"dir");
    let (mut left, mut right) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    let split = split(&frame, &mut left, &mut right);
    let expected = TrieSplit::Carve {
        byte: b'd',
        prefix: b"ir".to_vec(),
        value: Some(inline(b"v")),
        bytes: (0..40).collect(),
    };
    assert_eq!(split, expected);
    assert_valid(&left);
    assert_valid(&right);
    assert_eq!(keys(&left), [b"a"]);
    assert_eq!(keys(&right), (0..40).map(|byte| vec![byte, byte]).collect::<Vec<_>>());
}

#[test]
fn a_carved_frame_is_empty_only_without_a_value_of_its_root() {
    for own in [false, true] {
        let mut frame = with_keys(&[b"da", b"db"]);
        if own {
            place(&mut frame, b"");
        }
        let (mut left, mut right) = (vec![0; 4096], vec![0; 4096]);
        let split = split(&frame, &mut left, &mut right);
        assert!(matches!(split, TrieSplit::Carve { .. }), "{split:?}");
        assert_eq!(TrieRef::new(&left).is_empty(), !own);
    }
}

#[test]
fn a_frame_pushed_down_leaves_its_root_and_value() {
    let frame = with_keys(&[b"", b"a", b"b/1", b"b/2"]);
    let (mut above, mut below) = (vec![0; 4096], vec![0; 4096]);
    let crossing = Crossing {
        child: 3,
        kind: Kind::Trie,
        up: 0,
    };
    push_down(&frame, &mut above, &mut below, crossing).unwrap();
    assert_valid(&above);
    assert_valid(&below);
    assert_eq!(keys(&below), [&b"a"[..], b"b/1", b"b/2"]);
    assert_eq!(TrieRef::new(&above).seek(b""), Seek::Found(inline(b"v")));
    assert_eq!(TrieRef::new(&above).seek(b"b/1"), Seek::Below { crossing, depth: 0 });
    assert_eq!(TrieRef::new(&above).bytes_to(b"", 3), b"ab");
}

#[test]
fn nodes_that_would_lie_deeper_than_any_key_are_not_hung_in() {
    let deep = [b'y'; 450];
    let ends = [b"1", b"2"].map(|end| [&deep[..], end].concat());
    let mut source = with_keys(&[b"x", &ends[0], &ends[1]]);
    TrieMut::new(&mut source).assign(&deep, 450, b"12", flat(1)).unwrap();
    let place = [b'k'; 100];
    let mut target = with_keys(&[&place, b"z"]);
    let graft = Graft::Nodes(TrieRef::new(&source));
    TrieMut::new(&mut target).graft(&place, b"", &graft).unwrap();
    assert_valid(&target);
    assert_eq!(keys(&target), [[&place[..], b"x"].concat(), b"z".to_vec()]);
}
