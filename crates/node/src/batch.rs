//! A batch in one call.
//!
//! `src/operations.ts` encodes the operations one behind the other, each as
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind: 0 put, 1 delete, 2 rename, 3 assert, 4 assert (not) empty, 5 move prefix, 6 delete prefix |
//! | 1 | 1 | condition of a put, a delete, an assert: 0 none, 1 absent, 2 the version below, 3 present; of a rename 1: overwrite; of 4: 1 where there must be no key |
//! | 2 | 2 | zero |
//! | 4 | 4 | tree |
//! | 8 | 4 | length of the first key or the prefix |
//! | 12 | 4 | length of the value or the second key |
//! | 16 | 8 | version, a double |
//! | 24 | | the first, the second |
//!
//! all little-endian.

use std::ffi::CStr;

use coppice_engine::{Condition, OPERATION_BYTES, Operation as BatchOperation, Outcome, TreeId};

use crate::{
    failure::Failure,
    raw::{Call, Operation, Reply, Stop},
};

/// `commit(database, bytes, length, count)`: does the batch that the first `length` of `bytes` hold, `count` operations; its
/// version, or which one's condition did not hold.
pub(crate) struct Commit;

impl Operation for Commit {
    const NAME: &'static CStr = c"commit";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let bytes = call.bytes(1)?;
        let length = call.integer(2)? as usize;
        let operations = bytes
            .get(..length)
            .and_then(|bytes| decode(bytes, call.integer(3).ok()? as usize))
            .ok_or_else(|| Failure::internal("the operations of a batch are not of the form they must be"))?;
        let database = call.instance.borrow(call.integer(0)?)?;
        Ok(match database.commit(&operations)? {
            Outcome::Committed { version } => Reply::Number(version),
            Outcome::Failed { index } => Reply::Refused(index),
        })
    }
}

/// The operations, which must be so many and end where the bytes end.
fn decode(mut rest: &[u8], count: usize) -> Option<Vec<BatchOperation<'_>>> {
    let mut operations = Vec::with_capacity(count.min(rest.len() / OPERATION_BYTES));
    while !rest.is_empty() {
        operations.push(take(&mut rest)?);
    }
    (operations.len() == count).then_some(operations)
}

/// Takes one operation from the front.
fn take<'b>(rest: &mut &'b [u8]) -> Option<BatchOperation<'b>> {
    let (header, behind) = rest.split_first_chunk::<OPERATION_BYTES>()?;
    let word = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let tree = TreeId(word(4)?);
    let (first, behind) = behind.split_at_checked(word(8)? as usize)?;
    let (second, behind) = behind.split_at_checked(word(12)? as usize)?;
    *rest = behind;
    let [kind, detail, ..] = *header;
    let condition = || {
        Some(match detail {
            0 => Condition::Always,
            1 => Condition::IfAbsent,
            2 => Condition::IfVersion(f64::from_le_bytes(*header.last_chunk()?) as u64),
            3 => Condition::IfPresent,
            _ => return None,
        })
    };
    Some(match kind {
        0 => BatchOperation::Put {
            tree,
            key: first,
            value: second,
            condition: condition()?,
        },
        1 => BatchOperation::Delete {
            tree,
            key: first,
            condition: condition()?,
        },
        2 => BatchOperation::Rename {
            tree,
            from: first,
            to: second,
            overwrite: detail != 0,
        },
        3 => BatchOperation::Assert {
            tree,
            key: first,
            condition: condition()?,
        },
        4 => BatchOperation::AssertEmpty {
            tree,
            prefix: first,
            empty: detail != 0,
        },
        5 => BatchOperation::MovePrefix {
            tree,
            from: first,
            to: second,
        },
        6 => BatchOperation::DeletePrefix { tree, prefix: first },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: u8, detail: u8, first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, detail, 0, 0];
        bytes.extend_from_slice(&7_u32.to_le_bytes());
        bytes.extend_from_slice(&(first.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(second.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&9_f64.to_le_bytes());
        [&bytes, first, second].concat()
    }

    #[test]
    fn operations_are_read_as_they_were_written() {
        let bytes = [
            encoded(0, 2, b"key", b"value"),
            encoded(1, 3, b"", b""),
            encoded(2, 1, b"from", b"to"),
            encoded(3, 1, b"key", b""),
            encoded(4, 0, b"prefix", b""),
            encoded(5, 0, b"from", b"to"),
            encoded(6, 0, b"prefix", b""),
        ]
        .concat();
        let tree = TreeId(7);
        let expected = [
            BatchOperation::Put {
                tree,
                key: b"key",
                value: b"value",
                condition: Condition::IfVersion(9),
            },
            BatchOperation::Delete {
                tree,
                key: b"",
                condition: Condition::IfPresent,
            },
            BatchOperation::Rename {
                tree,
                from: b"from",
                to: b"to",
                overwrite: true,
            },
            BatchOperation::Assert {
                tree,
                key: b"key",
                condition: Condition::IfAbsent,
            },
            BatchOperation::AssertEmpty {
                tree,
                prefix: b"prefix",
                empty: false,
            },
            BatchOperation::MovePrefix {
                tree,
                from: b"from",
                to: b"to",
            },
            BatchOperation::DeletePrefix {
                tree,
                prefix: b"prefix",
            },
        ];
        assert_eq!(decode(&bytes, 7).as_deref(), Some(&expected[..]));
        let counted: usize = expected.iter().map(BatchOperation::encoded_bytes).sum();
        assert_eq!(counted, bytes.len());
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let whole = encoded(0, 0, b"key", b"value");
        assert!(decode(&whole, 1).is_some());
        assert!(decode(&whole, 2).is_none());
        assert!(decode(&whole, 0).is_none());
        assert!(decode(&[], 0).is_some());
        for len in 1..whole.len() {
            assert!(decode(whole.get(..len).unwrap_or_default(), 1).is_none(), "{len}");
        }
        assert!(decode(&encoded(7, 0, b"", b""), 1).is_none());
        assert!(decode(&encoded(0, 4, b"", b""), 1).is_none());
    }
}
