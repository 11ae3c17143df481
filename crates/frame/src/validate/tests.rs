//! Damaged frames: what passes the check must be safe to read and to change, and stays a frame that passes; what reads
//! without the check must end and not panic.

use super::*;
use crate::{
    Crossing, FlatCursor, FlatLookup, FlatMut, FlatRef, Item, Layout, Moved, Placed, Seek, Step, TrieMut, TrieRef,
    TrieSplit, build_flat,
    bytes::u16_at,
    copy_flat, copy_trie, max_inline_bytes, part_densely, part_evenly, part_widely, push_down, split_trie,
    testing::{Content, Random, assert_valid, flat_contents, inline, trie_contents},
};

/// A trie frame with nodes of all kinds, crossings, replaced and removed records, as full as `steps` make it.
fn some_trie(random: &mut Random, frame_bytes: usize, steps: usize) -> Vec<u8> {
    let mut frame = vec![0; frame_bytes];
    TrieMut::init(&mut frame);
    let wide = random.pick(&[3, 10, 30, 60]);
    for step in 0..steps {
        let (key, stored) = (random.key(frame_bytes), random.stored(frame_bytes));
        let key = if step < wide { vec![b'w', step as u8] } else { key };
        let mut trie = TrieMut::new(&mut frame);
        if trie.place(&key, &stored.stored()).is_err() {
            let mut copy = vec![0; frame_bytes];
            copy_trie(&frame, &mut copy).unwrap();
            frame = copy;
        } else if random.one_in(6) {
            trie.remove(&key);
        } else if random.one_in(40)
            && let Some(planned) = trie.as_ref().plan_sinking(frame_bytes / 8)
        {
            let (path, child) = (&planned.path, step as u32);
            let crossing = Crossing {
                child,
                kind: random.pick(&[Kind::Flat, Kind::Trie]),
                up: 0,
            };
            let up = if crossing.kind == Kind::Flat {
                random.below(path.len() + 1)
            } else {
                0
            };
            if !trie.as_ref().spans(path, &planned.bytes) {
                let _full = trie.assign(path, path.len(), &planned.bytes, Crossing { up, ..crossing });
            }
        }
    }
    assert_valid(&frame);
    frame
}

/// A flat frame with replaced and removed records, and a tail.
fn some_flat(random: &mut Random, frame_bytes: usize, steps: usize) -> Vec<u8> {
    let mut frame = vec![0; frame_bytes];
    build_flat(&mut frame, &[], 0).unwrap();
    for _ in 0..steps {
        let (mut key, stored) = (random.key(frame_bytes), random.stored(frame_bytes));
        key.insert(0, b'k');
        key.truncate(max_key_bytes(frame_bytes));
        let mut flat = FlatMut::new(&mut frame);
        if flat.put(&key, &stored.stored()).is_err() {
            let mut copy = vec![0; frame_bytes];
            build_flat(&mut copy, &FlatRef::new(&frame).items(), 0).unwrap();
            frame = copy;
        } else if random.one_in(5) {
            flat.remove(&key);
        }
    }
    assert_valid(&frame);
    frame
}

/// Valid frames of both kinds, from nearly empty to full.
fn some_frames(random: &mut Random, frame_bytes: usize) -> Vec<Vec<u8>> {
    [10, 60, 400]
        .iter()
        .flat_map(|steps| {
            [
                some_trie(random, frame_bytes, *steps),
                some_flat(random, frame_bytes, *steps),
            ]
        })
        .collect()
}

fn changed_trie(frame: &[u8], change: impl FnOnce(&mut TrieMut<'_>)) {
    let mut changed = frame.to_vec();
    change(&mut TrieMut::new(&mut changed));
    assert_valid(&changed);
}

/// Calls all that a trie frame offers.
fn use_trie(frame: &[u8], random: &mut Random) {
    let trie = TrieRef::new(frame);
    let contents = trie_contents(frame);
    let (mut copy, mut right) = (vec![0; frame.len()], vec![0; frame.len()]);
    copy_trie(frame, &mut copy).unwrap();
    assert_valid(&copy);
    assert_eq!(trie_contents(&copy), contents);
    assert!(TrieRef::new(&copy).live_bytes() <= trie.live_bytes());
    for (path, content) in &contents {
        match (trie.seek(path), content) {
            (Seek::Found(stored), Content::Record(owned)) => assert_eq!(stored, owned.stored()),
            (Seek::Below { crossing, depth }, Content::Cross(known)) => {
                assert_eq!((crossing, depth + crossing.up + 1), (*known, path.len()));
            }
            (seek, _) => panic!("{seek:?} instead of {content:?}"),
        }
    }
    assert_eq!(trie.is_empty(), contents.is_empty());
    assert!(trie.count_here(trie.root(), 0).0 as usize == trie.records());
    assert!(trie.crossings().len() <= contents.len());

    if let Some(gap) = trie.largest_gap(frame.len() / 2) {
        let mut run = gap.run;
        if random.one_in(2) {
            run = gap.before.map_or(run.clone(), |before| before.run.up_to(&run));
        }
        let region = trie.region(&run).unwrap();
        let held = region.contents();
        let items: Vec<Item<'_>> = held
            .records
            .iter()
            .map(|(key, stored)| Item { key, stored: *stored })
            .collect();
        if !held.leads_to_tries
            && gap
                .behind
                .is_none_or(|behind| held.flats.iter().all(|flat| flat.0 != behind.child))
        {
            let ends = part_evenly(&items, 2, 64);
            let layout = Layout::plan(&region, &items, &ends, None, &[]).unwrap();
            changed_trie(frame, |trie| {
                let _full = trie.lay(&region, &layout, &items, &[1 << 30, 1 << 31]);
            });
        }
    }
    if let Some(cut) = trie.plan_cut() {
        let (path, bytes) = trie.cut_off(cut).unwrap();
        let moved: Vec<Moved> = (trie.entangled(&path, &bytes).iter().zip(1 << 30..))
            .map(|((from, _), to)| Moved {
                from: *from,
                to: Some(to),
                base: path.len(),
            })
            .collect();
        if let Ok(split) = split_trie(frame, cut, [&[], &moved], &mut copy, &mut right) {
            assert_valid(&copy);
            assert_valid(&right);
            if let TrieSplit::Carve { value: Some(value), .. } = split {
                assert!(
                    contents
                        .iter()
                        .any(|(_, content)| matches!(content, Content::Record(own) if own.stored() == value))
                );
            }
        }
    }
    let crossing = Crossing {
        child: 78,
        kind: Kind::Trie,
        up: 0,
    };
    if push_down(frame, &mut copy, &mut right, crossing).is_ok() {
        assert_valid(&copy);
        assert_valid(&right);
    }

    for _ in 0..4 {
        let mut key = random.key(frame.len());
        if random.one_in(2) && !contents.is_empty() {
            let known = &contents[random.below(contents.len())].0;
            key = known[..random.below(known.len() + 1)].to_vec();
        }
        let stored = random.stored(frame.len());
        changed_trie(frame, |trie| {
            if let Ok(Placed::Here { .. }) = trie.place(&key, &stored.stored()) {
                assert_eq!(trie.as_ref().seek(&key), Seek::Found(stored.stored()));
            }
        });
    }
    let mut emptied = frame.to_vec();
    for (path, content) in &contents {
        match content {
            Content::Record(_) => assert!(TrieMut::new(&mut emptied).remove(path)),
            Content::Cross(crossing) => {
                let depth = path.len() - 1;
                if crossing.kind == Kind::Trie {
                    changed_trie(frame, |trie| {
                        let _full = trie.carve(path, depth, path[depth], b"xy", Some(&inline(b"z")), b"12", *crossing);
                    });
                    TrieMut::new(&mut emptied).detach(path, depth, crossing.child);
                } else if let Some((_, own, _)) = TrieRef::new(&emptied.clone()).flat_runs(path) {
                    let before = emptied.clone();
                    let region = TrieRef::new(&before).region_of(&own).unwrap();
                    let layout = Layout::plan(&region, &[], &[], None, &[]).unwrap();
                    TrieMut::new(&mut emptied).lay(&region, &layout, &[], &[]).unwrap();
                }
            }
        }
    }
    assert_valid(&emptied);
    assert_eq!(trie_contents(&emptied), []);
}

/// Calls all that a flat frame offers.
fn use_flat(frame: &[u8], random: &mut Random) {
    let flat = FlatRef::new(frame);
    let items = flat.items();
    let contents = flat_contents(frame);
    assert_eq!(items.len(), flat.records());
    let mut copy = vec![0; frame.len()];
    build_flat(&mut copy, &items, 0).unwrap();
    assert_valid(&copy);
    assert_eq!(flat_contents(&copy), contents);
    let mut compact = vec![0; frame.len()];
    copy_flat(flat, &mut compact, 0).unwrap();
    assert_valid(&compact);
    assert_eq!(flat_contents(&compact), contents);
    for item in &items {
        assert_eq!(flat.get(item.key), Some(item.stored));
    }
    for prefix in [&b"k"[..], b"kk", b"ka", b"k\0", b"x"] {
        assert_eq!(
            flat.count_prefix(prefix),
            items.iter().filter(|item| item.key.starts_with(prefix)).count()
        );
        let mut cursor = FlatCursor::seek(flat, prefix);
        cursor.skip_prefix(flat, prefix);
        assert!(cursor.next(flat).is_none_or(|(key, _)| !key.starts_with(prefix)));
    }
    for ends in [
        part_evenly(&items, 2, frame.len() / 16),
        part_densely(&items, frame.len() / 2),
        part_widely(&items).into_iter().chain([items.len()]).collect(),
    ] {
        assert!(ends.is_sorted() && ends.last() == Some(&items.len()));
        build_flat(&mut copy, &items[..ends[0]], 0).unwrap();
        assert_valid(&copy);
    }
    let mut changed = frame.to_vec();
    for _ in 0..20 {
        let mut key = random.key(1024);
        key.push(b'k');
        if random.one_in(2) && !items.is_empty() {
            key = items[random.below(items.len())].key.to_vec();
        }
        let stored = random.stored(frame.len());
        let existed = FlatRef::new(&changed).get(&key).is_some();
        if let Ok(found) = FlatMut::new(&mut changed).put(&key, &stored.stored()) {
            assert_eq!(found, existed);
            assert_eq!(FlatRef::new(&changed).get(&key), Some(stored.stored()));
        }
    }
    assert_valid(&changed);
    for (key, _) in flat_contents(&changed) {
        assert!(FlatMut::new(&mut changed).remove(&key));
    }
    assert_valid(&changed);
    assert_eq!(flat_contents(&changed), []);
}

/// Checks bytes; uses the frame if they pass. Says whether they did.
fn check_and_use(frame: &[u8], random: &mut Random) -> bool {
    match validate(frame) {
        Ok(Kind::Trie) => use_trie(frame, random),
        Ok(Kind::Flat) => use_flat(frame, random),
        Err(_) => return false,
    }
    true
}

/// Reads that are safe on any bytes: each ends, and none panics.
fn read_unchecked(frame: &[u8], random: &mut Random) {
    let trie = TrieRef::new(frame);
    let flat = FlatRef::new(frame);
    for _ in 0..8 {
        let key = random.key(2048);
        let _seek = trie.seek(&key);
        let _stored = flat.get(&key);
        let _count = flat.count_prefix(&key);
        let _longest = (flat.longest_prefix(&key), trie.longest_prefix(&key));
        let probe = FlatLookup::new(flat, &key, flat.hash_bits());
        let _probed = (probe.touch_record(probe.touch_slot()), probe.get());
        let mut cursor = FlatCursor::within(flat, &key, Some(&random.key(2048)));
        cursor.skip_prefix(flat, &key);
        let _ends = (cursor.next(flat), cursor.next_back(flat));
        // A walk of as many steps as the key has bytes.
        let (mut node, mut from) = (trie.root(), 0);
        for (depth, byte) in key.iter().enumerate() {
            let (_prefix, _value) = (trie.prefix(node), trie.value(node));
            let _child = (
                trie.child(node, *byte, depth),
                trie.last_child(node, usize::from(*byte), depth),
            );
            match trie.next_child(node, from, depth) {
                Some((_, Step::Node(below))) => (node, from) = (below, 0),
                Some((byte, _)) => from = usize::from(byte) + 1,
                None => break,
            }
        }
        let _bytes = (trie.root_bytes(), trie.bytes_to(&key, 1));
    }
    let _sizes = (
        trie.live_bytes(),
        trie.records(),
        trie.is_empty(),
        flat.live_bytes(),
        flat.records(),
    );
    let _items = flat.items();
}

#[test]
fn frames_of_impossible_sizes_are_refused() {
    let mut random = Random(1);
    let whole = some_trie(&mut random, 4096, 50);
    for len in (0..64).chain([2047, 2048, 2056, 4095]) {
        assert!(validate(&whole[..len]).is_err(), "{len} bytes");
        read_unchecked(&whole[..len], &mut random);
    }
    let mut large = whole;
    large.resize(MAX_FRAME_BYTES + 8, 0);
    assert!(validate(&large).is_err());
}

#[test]
fn a_tail_in_front_of_its_sorted_array_is_refused() {
    let mut frame = vec![0; 4096];
    build_flat(&mut frame, &[], 0).unwrap();
    let order = |frame: &[u8]| FlatRef::new(frame).order();
    let stored = inline(b"v");
    let mut keys = (1u8..).map(|number| [number.wrapping_mul(37), number]);
    while order(&frame).sorted_len == 0 {
        let key = keys.next().unwrap();
        FlatMut::new(&mut frame).put(&key, &stored).unwrap();
    }
    let before = order(&frame);
    while order(&frame).sorted_unit == before.sorted_unit {
        let key = keys.next().unwrap();
        FlatMut::new(&mut frame).put(&key, &stored).unwrap();
    }
    assert_valid(&frame);
    // The room of the tail before it was merged, with what the tail has now.
    let now = order(&frame);
    let [old, new] = [before.tail_unit, now.tail_unit].map(|unit| usize::from(unit) * UNIT_BYTES);
    frame.copy_within(new..new + 2 * usize::from(now.tail_len), old);
    frame[12..14].copy_from_slice(&before.tail_unit.to_le_bytes());
    assert_eq!(
        validate(&frame).unwrap_err().what,
        "a tail in front of its sorted array"
    );
}

#[test]
fn every_flipped_byte_is_found_or_harmless() {
    let mut random = Random(2);
    for mut frame in some_frames(&mut random, 2048) {
        let mut passed = 0;
        for at in 0..frame.len() {
            // All bits of the headers and what follows them, one of each byte elsewhere.
            let masks = if at < 160 {
                (0..8).map(|bit| 1 << bit).collect()
            } else {
                vec![1 << random.below(8)]
            };
            for mask in masks {
                frame[at] ^= mask;
                passed += usize::from(check_and_use(&frame, &mut random));
                frame[at] ^= mask;
            }
        }
        assert!(passed > 100, "only {passed} damaged frames came to be used");
    }
}

#[test]
fn words_changed_to_likely_values_are_found_or_harmless() {
    let mut random = Random(3);
    for frame_bytes in [2048, 4096] {
        for frame in some_frames(&mut random, frame_bytes) {
            for _ in 0..1500 {
                let mut damaged = frame.clone();
                for _ in 0..1 + random.below(3) {
                    // The first half of the words weighs more: headers, hash table and nodes lie there.
                    let words = if random.one_in(2) {
                        frame_bytes / 2
                    } else {
                        frame_bytes / 16
                    };
                    let (at, from) = (2 * random.below(words), 2 * random.below(words));
                    let word = u16_at(&damaged, at);
                    let other = u16_at(&frame, from);
                    let choices = [
                        0,
                        1,
                        7,
                        0xFFFF,
                        other,
                        word + u16::from(word < 0xFFFF),
                        word.saturating_sub(1),
                    ];
                    let near = [
                        word.wrapping_add(8),
                        word.wrapping_sub(8),
                        word ^ 1,
                        other.wrapping_add(8),
                    ];
                    let new = if random.one_in(3) {
                        random.pick(&near)
                    } else {
                        random.pick(&choices)
                    };
                    damaged[at..at + 2].copy_from_slice(&new.to_le_bytes());
                }
                check_and_use(&damaged, &mut random);
            }
        }
    }
}

#[test]
fn blocks_moved_within_a_frame_are_found_or_harmless() {
    let mut random = Random(4);
    for frame in some_frames(&mut random, 2048) {
        for _ in 0..4000 {
            let mut damaged = frame.clone();
            let len = 8 << random.below(6);
            let (from, to) = (random.below(2048 - len) & !7, random.below(2048 - len) & !7);
            damaged.copy_within(from..from + len, to);
            check_and_use(&damaged, &mut random);
        }
    }
}

#[test]
fn arbitrary_bytes_are_read_without_a_check() {
    let mut random = Random(5);
    for round in 0..200 {
        let mut frame = random.bytes(2048);
        if round % 2 == 0 {
            // Small words make for references that lead somewhere.
            for word in frame.chunks_exact_mut(2) {
                word[1] &= 7;
            }
        }
        frame[0] = 1 + (round % 2) as u8;
        frame[1] = LAYOUT_VERSION;
        check_and_use(&frame, &mut random);
        read_unchecked(&frame, &mut random);
    }
}

#[test]
fn damaged_frames_are_read_without_a_check() {
    let mut random = Random(6);
    for frame in some_frames(&mut random, 2048) {
        for _ in 0..500 {
            let mut damaged = frame.clone();
            for _ in 0..1 + random.below(20) {
                let at = random.below(damaged.len());
                damaged[at] = random.next() as u8;
            }
            read_unchecked(&damaged, &mut random);
        }
    }
}

#[test]
fn a_record_over_the_limits_is_refused() {
    let mut frame = vec![0; 4096];
    build_flat(&mut frame, &[], 0).unwrap();
    let long = vec![1; max_inline_bytes(4096) + 1];
    FlatMut::new(&mut frame).put(b"key", &inline(&long)).unwrap();
    assert_eq!(validate(&frame).unwrap_err().what, "a value over the limit");
}
