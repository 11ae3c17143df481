//! Several operations in one record: after a crash all of them are there, or none.

use super::{DecodeError, KIND_BATCH, Op, WORD_BYTES};
use crate::segment::Fields;

/// In front of each operation's payload: its length, its kind.
const MEMBER_HEADER_BYTES: usize = WORD_BYTES + 1;

/// Operations that are one commit, in order. None of them is a batch itself.
#[derive(Clone, Copy)]
pub struct Batch<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    /// As its maker has them.
    Listed(&'a [Op<'a>]),
    /// A payload that [`Batch::decode`] has read through.
    Encoded(&'a [u8]),
}

/// The operations of a batch, in order.
#[derive(Clone, Debug)]
pub struct BatchOps<'a>(Batch<'a>);

impl<'a> Batch<'a> {
    /// A batch of these operations. None may be a batch.
    pub fn new(ops: &'a [Op<'a>]) -> Self {
        debug_assert!(
            !ops.iter().any(|op| matches!(op, Op::Batch(_))),
            "a batch within a batch"
        );
        Self(Form::Listed(ops))
    }

    /// The operations, in order.
    pub fn ops(self) -> BatchOps<'a> {
        BatchOps(self)
    }

    pub(super) fn payload_bytes(self) -> usize {
        match self.0 {
            Form::Listed(ops) => ops.iter().fold(0, |sum: usize, op| {
                sum.saturating_add(MEMBER_HEADER_BYTES)
                    .saturating_add(op.payload_bytes())
            }),
            Form::Encoded(bytes) => bytes.len(),
        }
    }

    /// Appends the payload. The caller has checked its size, so that each length fits.
    pub(super) fn encode(self, into: &mut Vec<u8>) {
        match self.0 {
            Form::Listed(ops) => {
                for op in ops {
                    into.extend_from_slice(&(op.payload_bytes() as u32).to_le_bytes());
                    into.push(op.kind());
                    op.encode(into);
                }
            }
            Form::Encoded(bytes) => into.extend_from_slice(bytes),
        }
    }

    /// Reads through all of a payload, so that what comes out of [`Batch::ops`] later is all that it holds.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (kind, member) = take_member(&mut rest)
                .ok_or(DecodeError::Malformed("a batch that ends within one of its operations"))?;
            if kind == KIND_BATCH {
                return Err(DecodeError::Malformed("a batch within a batch"));
            }
            Op::decode(kind, member)?;
        }
        Ok(Self(Form::Encoded(payload)))
    }
}

/// Takes an operation's kind and payload from the front of an encoded batch.
fn take_member<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let mut fields = Fields(rest);
    let bytes = fields.u32()? as usize;
    let [kind] = fields.array()?;
    let (member, behind) = fields.0.split_at_checked(bytes)?;
    *rest = behind;
    Some((kind, member))
}

impl<'a> Iterator for BatchOps<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        match &mut self.0.0 {
            Form::Listed(ops) => {
                let (first, behind) = ops.split_first()?;
                *ops = behind;
                Some(*first)
            }
            Form::Encoded(rest) => {
                let (kind, member) = take_member(rest)?;
                Op::decode(kind, member).ok()
            }
        }
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ops()).finish()
    }
}

impl PartialEq for Batch<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.ops().eq(other.ops())
    }
}

impl Eq for Batch<'_> {}
