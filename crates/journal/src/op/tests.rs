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
        kind in 0..3,
        tree: u32,
        key: Vec<u8>,
        value: Vec<u8>,
    ) {
        let op = match kind {
            0 => Op::Put { tree, key: &key, value: &value },
            1 => Op::Delete { tree, key: &key },
            _ => Op::CreateTree { tree, name: &key },
        };
        let bytes = payload(&op);
        prop_assert_eq!(bytes.len(), op.payload_bytes());
        prop_assert_eq!(Op::decode(op.kind(), &bytes), Ok(op));
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
}

#[test]
fn other_kinds_are_newer_not_damaged() {
    for kind in [0, 4, 255] {
        assert_eq!(Op::decode(kind, b"\0\0\0\0"), Err(DecodeError::UnknownKind(kind)));
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
    ] {
        assert!(
            matches!(Op::decode(kind, bytes), Err(DecodeError::Malformed(_))),
            "{kind} {bytes:?}"
        );
    }
}
