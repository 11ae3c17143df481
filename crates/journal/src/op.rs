//! The operations that records carry, and their payloads.

#[cfg(test)]
mod tests;

use crate::segment::Fields;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_CREATE_TREE: u8 = 3;

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
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Op::Put { .. } => KIND_PUT,
            Op::Delete { .. } => KIND_DELETE,
            Op::CreateTree { .. } => KIND_CREATE_TREE,
        }
    }

    /// How many bytes [`Op::encode`] adds.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Op::Put { key, value, .. } => (2 * WORD_BYTES).saturating_add(key.len()).saturating_add(value.len()),
            Op::Delete { key, .. } => WORD_BYTES.saturating_add(key.len()),
            Op::CreateTree { name, .. } => WORD_BYTES.saturating_add(name.len()),
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
            Op::Delete { tree, key } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(key);
            }
            Op::CreateTree { tree, name } => {
                into.extend_from_slice(&tree.to_le_bytes());
                into.extend_from_slice(name);
            }
        }
    }

    pub(crate) fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, DecodeError> {
        if !matches!(kind, KIND_PUT | KIND_DELETE | KIND_CREATE_TREE) {
            return Err(DecodeError::UnknownKind(kind));
        }
        let mut fields = Fields(payload);
        let tree = fields
            .u32()
            .ok_or(DecodeError::Malformed("a payload too short for a tree id"))?;
        Ok(match kind {
            KIND_PUT => {
                let (key, value) = fields
                    .u32()
                    .and_then(|key_bytes| fields.0.split_at_checked(key_bytes as usize))
                    .ok_or(DecodeError::Malformed("a key longer than its payload"))?;
                Op::Put { tree, key, value }
            }
            KIND_DELETE => Op::Delete { tree, key: fields.0 },
            _ => Op::CreateTree { tree, name: fields.0 },
        })
    }
}
