use super::*;

const FRAME_BYTES: usize = 4096;
const UNIT: usize = 2;

fn leaf(number: usize) -> Ref {
    Ref::new(100 + number, Tag::Leaf)
}

/// Bytes 0, 255 and others spread between, ascending.
fn spread(count: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..count).map(|index| (index * 151) as u8).collect();
    bytes.sort_unstable();
    bytes
}

fn written(bytes: &[u8], prefix: &[u8]) -> (Vec<u8>, Ref) {
    let mut frame = vec![0xAA; FRAME_BYTES];
    let spec = NodeSpec {
        prefix: prefix.to_vec(),
        value: leaf(300),
        entries: bytes.iter().map(|byte| (*byte, leaf(usize::from(*byte)))).collect(),
    };
    let reference = spec.write(&mut frame, UNIT);
    (frame, reference)
}

#[test]
fn every_size_of_node_finds_exactly_its_entries() {
    for count in 0..=256 {
        let bytes = spread(count);
        let (frame, reference) = written(&bytes, b"prefix");
        let node = NodeRef::new(&frame, reference).unwrap();
        for byte in 0..=255 {
            let expected = if bytes.contains(&byte) {
                leaf(usize::from(byte))
            } else {
                Ref::NONE
            };
            assert_eq!(node.find(byte), expected, "byte {byte} of {count}");
        }
        let entries: Vec<(u8, Ref)> = node.entries().collect();
        let expected: Vec<(u8, Ref)> = bytes.iter().map(|byte| (*byte, leaf(usize::from(*byte)))).collect();
        assert_eq!(entries, expected);
        assert_eq!(
            (node.prefix(), node.value(), node.count()),
            (&b"prefix"[..], leaf(300), count)
        );
    }
}

#[test]
fn a_node_is_the_smallest_kind_that_takes_its_entries() {
    for (count, tag) in [
        (0, Tag::N4),
        (4, Tag::N4),
        (5, Tag::N16),
        (16, Tag::N16),
        (17, Tag::N48),
        (48, Tag::N48),
        (49, Tag::N256),
        (256, Tag::N256),
    ] {
        assert_eq!(written(&spread(count), b"").1.tag(), Some(tag), "{count} entries");
    }
}

#[test]
fn a_node_writes_only_the_units_that_it_says() {
    for count in 0..=256 {
        let (frame, reference) = written(&spread(count), b"abc");
        let node = NodeRef::new(&frame, reference).unwrap();
        assert_eq!(node.units(), node_units(count, 3));
        let end = (UNIT + node.units()) * crate::UNIT_BYTES;
        assert!(frame[..UNIT * crate::UNIT_BYTES].iter().all(|byte| *byte == 0xAA));
        assert!(frame[end..].iter().all(|byte| *byte == 0xAA));
    }
}

#[test]
fn the_search_for_the_next_entry_starts_where_it_is_told() {
    for count in [1, 4, 13, 40, 200] {
        let bytes = spread(count);
        let (frame, reference) = written(&bytes, b"");
        let node = NodeRef::new(&frame, reference).unwrap();
        for from in 0..=256 {
            let expected = bytes.iter().copied().find(|byte| usize::from(*byte) >= from);
            assert_eq!(node.next_from(from).map(|entry| entry.0), expected);
        }
    }
}

#[test]
fn the_search_for_the_last_entry_ends_where_it_is_told() {
    for count in [1, 4, 13, 40, 200] {
        let bytes = spread(count);
        let (frame, reference) = written(&bytes, b"");
        let node = NodeRef::new(&frame, reference).unwrap();
        for before in 0..=256 {
            let expected = bytes.iter().copied().rfind(|byte| usize::from(*byte) < before);
            assert_eq!(node.last_before(before).map(|entry| entry.0), expected);
        }
    }
}

#[test]
fn a_removed_entry_is_passed_over() {
    for count in [3, 12, 40, 200] {
        let bytes = spread(count);
        let (mut frame, reference) = written(&bytes, b"");
        let gone = bytes[count / 2];
        let slot = NodeRef::new(&frame, reference).unwrap().slot(gone).unwrap();
        put_u16((&mut frame).into(), slot, 0);
        let node = NodeRef::new(&frame, reference).unwrap();
        assert!(node.find(gone).is_none());
        assert_eq!(node.entries().count(), count - 1);
        assert!(node.spec().entries.iter().all(|entry| entry.0 != gone));
    }
}

#[test]
fn an_entry_is_set_replaced_and_removed_in_order() {
    let mut spec = NodeSpec {
        prefix: Vec::new(),
        value: Ref::NONE,
        entries: Vec::new(),
    };
    for byte in [9, 0, 255, 7] {
        spec.set(byte, leaf(1));
    }
    spec.set(9, leaf(2));
    spec.set(7, Ref::NONE);
    spec.set(8, Ref::NONE);
    assert_eq!(spec.entries, [(0, leaf(1)), (9, leaf(2)), (255, leaf(1))]);
}
