//! An operation that outlives what it was made of.

use super::Op;

/// An operation with bytes of its own, in the form that records carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedOp {
    kind: u8,
    payload: Box<[u8]>,
}

impl OwnedOp {
    /// The operation, as it was given. None only of an operation that no record could carry.
    pub fn op(&self) -> Option<Op<'_>> {
        Op::decode(self.kind, &self.payload).ok()
    }

    /// Its size, bytes.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }
}

impl From<&Op<'_>> for OwnedOp {
    fn from(op: &Op<'_>) -> Self {
        let mut payload = Vec::with_capacity(op.payload_bytes());
        op.encode(&mut payload);
        Self {
            kind: op.kind(),
            payload: payload.into(),
        }
    }
}
