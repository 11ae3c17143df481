//! What a batch is made of, and how it ends.

use crate::request::{Condition, TreeId};

/// The largest batch: the sum of its operations' [`Operation::encoded_bytes`].
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// What an operation counts besides its keys and its value. No less than what the journal adds to them.
pub const OPERATION_BYTES: usize = 24;

/// One operation of a batch. One whose condition does not hold fails the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Sets a key's value.
    Put {
        /// Where.
        tree: TreeId,
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// On the record that is there.
        condition: Condition,
    },
    /// Removes a key. Where there is none, and the condition allows that, there is nothing to do.
    Delete {
        /// Where.
        tree: TreeId,
        /// The key.
        key: &'a [u8],
        /// On the record that is there.
        condition: Condition,
    },
    /// Moves one record, which there must be, to a key where there must be none unless `overwrite` is set.
    Rename {
        /// Where.
        tree: TreeId,
        /// The key that it leaves.
        from: &'a [u8],
        /// The key that it moves to.
        to: &'a [u8],
        /// Whether a record that is there may be replaced.
        overwrite: bool,
    },
    /// Moves every key under one prefix to under another, as [`crate::Database::move_prefix`].
    MovePrefix {
        /// Where.
        tree: TreeId,
        /// What the keys start with.
        from: &'a [u8],
        /// What they start with from then on.
        to: &'a [u8],
    },
    /// Removes every key under a prefix.
    DeletePrefix {
        /// Where.
        tree: TreeId,
        /// The prefix.
        prefix: &'a [u8],
    },
    /// Changes nothing.
    Assert {
        /// Where.
        tree: TreeId,
        /// The key.
        key: &'a [u8],
        /// What must hold of its record.
        condition: Condition,
    },
    /// Changes nothing. No key starts with the prefix; or one does.
    AssertEmpty {
        /// Where.
        tree: TreeId,
        /// The prefix.
        prefix: &'a [u8],
        /// Which of the two must hold.
        empty: bool,
    },
}

impl Operation<'_> {
    /// What it counts towards [`MAX_BATCH_BYTES`].
    pub fn encoded_bytes(&self) -> usize {
        let bytes = match self {
            Self::Put { key, value, .. } => key.len().saturating_add(value.len()),
            Self::Delete { key, .. } | Self::Assert { key, .. } => key.len(),
            Self::Rename { from, to, .. } | Self::MovePrefix { from, to, .. } => from.len().saturating_add(to.len()),
            Self::DeletePrefix { prefix, .. } | Self::AssertEmpty { prefix, .. } => prefix.len(),
        };
        bytes.saturating_add(OPERATION_BYTES)
    }

    /// Bytes of the value that it puts, if that is longer than so many.
    pub(crate) fn value_bytes_over(&self, most: usize) -> usize {
        match self {
            Self::Put { value, .. } if value.len() > most => value.len(),
            _ => 0,
        }
    }

    pub(crate) fn tree(&self) -> TreeId {
        match *self {
            Self::Put { tree, .. }
            | Self::Delete { tree, .. }
            | Self::Rename { tree, .. }
            | Self::MovePrefix { tree, .. }
            | Self::DeletePrefix { tree, .. }
            | Self::Assert { tree, .. }
            | Self::AssertEmpty { tree, .. } => tree,
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Committed {
        /// The version of all that it put; the last commit's where it changed nothing.
        version: u64,
    },
    /// Nothing was done.
    Failed {
        /// The first operation whose condition did not hold.
        index: usize,
    },
}
