//! The operations that records carry, and their payloads.

mod batch;
mod owned;
#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchOps};
pub use owned::OwnedOp;

use crate::segment::Fields;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_CREATE_TREE: u8 = 3;
const KIND_BATCH: u8 = 5;
const KIND_MOVE_PREFIX: u8 = 6;
const KIND_DELETE_PREFIX: u8 = 7;
const KIND_DROP_TREE: u8 = 8;
const KIND_CLONE_PREFIX: u8 = 9;

/// Bytes of a tree id, and of a key's length.
const WORD_BYTES: usize = 4;

/// One operation. Its result must depend only on what came before it, so that replay repeats it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key's value.
    Put {
        /// The tree's id.
        tree: u32,
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Removes a key.
    Delete {
        /// The tree's id.
        tree: u32,
        /// The key.
        key: &'a [u8],
    },
    /// Gives a new tree its id and name.
    CreateTree {
        /// The new tree's id.
        tree: u32,
        /// Its name.
        name: &'a [u8],
    },
    /// Gives every key that starts with one prefix another in its place, which no key starts with.
    MovePrefix {
        /// The tree's id.
        tree: u32,
        /// What the keys start with.
        from: &'a [u8],
        /// What they start with from now on.
        to: &'a [u8],
    },
    /// Gives every key that starts with one prefix a second record, as it is, whose key has another prefix in its place, which
    /// no key starts with.
    ClonePrefix {
        /// The tree's id.
        tree: u32,
        /// What the keys start with.
        from: &'a [u8],
        /// What those of the second records start with.
        to: &'a [u8],
    },
    /// Removes every key that starts with a prefix.
    DeletePrefix {
        /// The tree's id.
        tree: u32,
        /// The prefix.
        prefix: &'a [u8],
    },
    /// Removes a tree with all its keys, and its name.
    DropTree {
        /// The tree's id.
        tree: u32,
        /// Its name.
        name: &'a [u8],
    },
    /// Several operations as one.
    Batch(Batch<'a>),
}

/// Why a payload that passed its digest is no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// A newer version's.
    UnknownKind(u8),
    /// No version writes such a payload.
    Malformed(&'static str),
}

impl<'a> Op<'a> {
    /// Whether it only removes: such operations may use the room that segments keep for them.
    pub(crate) fn only_removes(&self) -> bool {
        match self {
            Op::Delete { .. } | Op::DeletePrefix { .. } | Op::DropTree { .. } => true,
            Op::Batch(batch) => batch.ops().all(|op| op.only_removes()),
            Op::Put { .. } | Op::CreateTree { .. } | Op::MovePrefix { .. } | Op::ClonePrefix { .. } => false,
        }
    }

    pub(crate) fn kind(&self) -> u8 {
        match self {
            Op::Put { .. } => KIND_PUT,
            Op::Delete { .. } => KIND_DELETE,
            Op::CreateTree { .. } => KIND_CREATE_TREE,
            Op::Batch(_) => KIND_BATCH,
            Op::MovePrefix { .. } => KIND_MOVE_PREFIX,
            Op::ClonePrefix { .. } => KIND_CLONE_PREFIX,
            Op::DeletePrefix { .. } => KIND_DELETE_PREFIX,
            Op::DropTree { .. } => KIND_DROP_TREE,
        }
    }

    /// How many bytes [`Op::encode`] adds.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Op::Put { key, value, .. } => (2 * WORD_BYTES).saturating_add(key.len()).saturating_add(value.len()),
            Op::Delete { key, .. } => WORD_BYTES.saturating_add(key.len()),
            Op::CreateTree { name, .. } | Op::DropTree { name, .. } => WORD_BYTES.saturating_add(name.len()),
            Op::DeletePrefix { prefix, .. } => WORD_BYTES.saturating_add(prefix.len()),
            Op::MovePrefix { from, to, .. } | Op::ClonePrefix { from, to, .. } => {
                (2 * WORD_BYTES).saturating_add(from.len()).saturating_add(to.len())
            }
            Op::Batch(batch) => batch.payload_bytes(),
        }
    }

    /// Appends the payload. The caller has checked its size, so that the key's length fits.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        match *self {
            Op::Put { tree, key, value } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(&(key.len() as u32).to_le_bytes());
                into.extend_from_slice(key);
                into.extend_from_slice(value);
            }
            Op::Delete { tree, key } | Op::DeletePrefix { tree, prefix: key } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(key);
            }
            Op::CreateTree { tree, name } | Op::DropTree { tree, name } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(name);
            }
            Op::MovePrefix { tree, from, to } | Op::ClonePrefix { tree, from, to } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(&(from.len() as u32).to_le_bytes());
                into.extend_from_slice(from);
                into.extend_from_slice(to);
            }
            Op::Batch(batch) => batch.encode(into),
        }
    }

    pub(crate) fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, DecodeError> {
        if kind == KIND_BATCH {
            return Batch::decode(payload).map(Op::Batch);
        }
        if !(KIND_PUT..=KIND_CREATE_TREE).contains(&kind) && !(KIND_MOVE_PREFIX..=KIND_CLONE_PREFIX).contains(&kind) {
            return Err(DecodeError::UnknownKind(kind));
        }
        let mut fields = Fields(payload);
        let tree = fields
            .u32()
            .ok_or(DecodeError::Malformed("a payload too short for a tree id"))?;
        Ok(match kind {
            KIND_PUT => {
                let (key, value) = split_counted(fields)?;
                Op::Put { tree, key, value }
            }
            KIND_MOVE_PREFIX => {
                let (from, to) = split_counted(fields)?;
                Op::MovePrefix { tree, from, to }
            }
            KIND_CLONE_PREFIX => {
                let (from, to) = split_counted(fields)?;
                Op::ClonePrefix { tree, from, to }
            }
            KIND_DELETE => Op::Delete { tree, key: fields.0 },
            KIND_DELETE_PREFIX => Op::DeletePrefix { tree, prefix: fields.0 },
            KIND_DROP_TREE => Op::DropTree { tree, name: fields.0 },
            _ => Op::CreateTree { tree, name: fields.0 },
        })
    }
}

/// A length, a key of that length, and what is behind it.
fn split_counted(mut fields: Fields<'_>) -> Result<(&[u8], &[u8]), DecodeError> {
    fields
        .u32()
        .and_then(|key_bytes| fields.0.split_at_checked(key_bytes as usize))
        .ok_or(DecodeError::Malformed("a key longer than its payload"))
}
