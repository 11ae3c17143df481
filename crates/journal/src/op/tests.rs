//! Payloads: round trips, and everything that is none.

use proptest::prelude::*;

use super::*;

fn payload(op: &Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    op.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn operations_come_back_as_they_were(
        kind in 0..6,
        tree: u32,
        key: Vec<u8>,
        value: Vec<u8>,
    ) {
        let op = match kind {
            0 => Op::Put { tree, key: &key, value: &value },
            1 => Op::Delete { tree, key: &key },
            2 => Op::MovePrefix { tree, from: &key, to: &value },
            3 => Op::DeletePrefix { tree, prefix: &key },
            4 => Op::DropTree { tree, name: &key },
            _ => Op::CreateTree { tree, name: &key },
        };
        let bytes = payload(&op);
        prop_assert_eq!(bytes.len(), op.payload_bytes());
        prop_assert_eq!(Op::decode(op.kind(), &bytes), Ok(op));
        let owned = OwnedOp::from(&op);
        prop_assert_eq!(owned.op(), Some(op));
    }

    #[test]
    fn batches_come_back_as_they_were(members: Vec<(u8, u32, Vec<u8>, Vec<u8>)>) {
        let ops: Vec<Op<'_>> = members
            .iter()
            .map(|(kind, tree, key, value)| match kind % 5 {
                0 => Op::Put { tree: *tree, key, value },
                1 => Op::Delete { tree: *tree, key },
                2 => Op::MovePrefix { tree: *tree, from: key, to: value },
                3 => Op::DeletePrefix { tree: *tree, prefix: key },
                _ => Op::CreateTree { tree: *tree, name: key },
            })
            .collect();
        let batch = Op::Batch(Batch::new(&ops));
        let bytes = payload(&batch);
        prop_assert_eq!(bytes.len(), batch.payload_bytes());
        let Ok(Op::Batch(read)) = Op::decode(batch.kind(), &bytes) else {
            panic!("no batch");
        };
        prop_assert_eq!(read.ops().collect::<Vec<_>>(), ops);
        prop_assert_eq!(payload(&Op::Batch(read)), bytes);
    }

    #[test]
    fn a_batch_cut_short_is_no_batch_or_one_of_fewer_operations(sizes in prop::collection::vec(0_usize..9, 1..4)) {
        let keys: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![7; size]).collect();
        let ops: Vec<Op<'_>> = keys.iter().map(|key| Op::Delete { tree: 1, key }).collect();
        let bytes = payload(&Op::Batch(Batch::new(&ops)));
        let ends: Vec<usize> = sizes.iter().scan(0, |end, size| { *end += 5 + 4 + size; Some(*end) }).collect();
        for len in 0..bytes.len() {
            let whole = ends.iter().filter(|&&end| end <= len).count();
            match Op::decode(5, &bytes[..len]) {
                Ok(Op::Batch(batch)) => {
                    prop_assert!(len == 0 || ends.contains(&len));
                    prop_assert_eq!(batch.ops().count(), whole);
                }
                other => prop_assert_eq!(other, Err(DecodeError::Malformed("a batch that ends within one of its operations"))),
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(kind: u8, bytes: Vec<u8>) {
        if let Ok(op) = Op::decode(kind, &bytes) {
            prop_assert_eq!(payload(&op), bytes);
        }
    }
}

#[test]
fn payloads_have_the_documented_layout() {
    let put = Op::Put {
        tree: 7,
        key: b"k",
        value: b"v",
    };
    assert_eq!((put.kind(), payload(&put)), (1, b"\x07\0\0\0\x01\0\0\0kv".to_vec()));
    let delete = Op::Delete { tree: 7, key: b"k" };
    assert_eq!((delete.kind(), payload(&delete)), (2, b"\x07\0\0\0k".to_vec()));
    let create = Op::CreateTree { tree: 7, name: b"n" };
    assert_eq!((create.kind(), payload(&create)), (3, b"\x07\0\0\0n".to_vec()));
    let moved = Op::MovePrefix {
        tree: 7,
        from: b"f",
        to: b"t",
    };
    assert_eq!((moved.kind(), payload(&moved)), (6, b"\x07\0\0\0\x01\0\0\0ft".to_vec()));
    let cloned = Op::ClonePrefix {
        tree: 7,
        from: b"f",
        to: b"t",
    };
    assert_eq!(
        (cloned.kind(), payload(&cloned)),
        (9, b"\x07\0\0\0\x01\0\0\0ft".to_vec())
    );
    let deleted = Op::DeletePrefix { tree: 7, prefix: b"p" };
    assert_eq!((deleted.kind(), payload(&deleted)), (7, b"\x07\0\0\0p".to_vec()));
    let dropped = Op::DropTree { tree: 7, name: b"n" };
    assert_eq!((dropped.kind(), payload(&dropped)), (8, b"\x07\0\0\0n".to_vec()));
    let ops = [delete, create];
    let batch = Op::Batch(Batch::new(&ops));
    let members = b"\x05\0\0\0\x02\x07\0\0\0k\x05\0\0\0\x03\x07\0\0\0n";
    assert_eq!((batch.kind(), payload(&batch)), (5, members.to_vec()));
}

#[test]
fn other_kinds_are_newer_not_damaged() {
    for kind in [0, 4, 10, 255] {
        assert_eq!(Op::decode(kind, b"\0\0\0\0"), Err(DecodeError::UnknownKind(kind)));
        let member = [&4_u32.to_le_bytes()[..], &[kind], &[0; 4]].concat();
        assert_eq!(Op::decode(5, &member), Err(DecodeError::UnknownKind(kind)));
    }
}

#[test]
fn payloads_too_short_are_malformed() {
    for (kind, bytes) in [
        (1, &b"\x01\0\0"[..]),
        (1, b"\x01\0\0\0\x01\0"),
        (1, b"\x01\0\0\0\x02\0\0\0k"),
        (2, b""),
        (3, b"\0"),
        (6, b"\x01\0\0\0\x02\0\0\0k"),
        (9, b"\x01\0\0\0\x02\0\0\0k"),
        (5, b"\0\0\0\0"),
        (5, b"\x04\0\0\0\x02\0\0\0"),
        (5, b"\x03\0\0\0\x02\0\0\0"),
        (5, b"\0\0\0\0\x05"),
    ] {
        assert!(
            matches!(Op::decode(kind, bytes), Err(DecodeError::Malformed(_))),
            "{kind} {bytes:?}"
        );
    }
}
