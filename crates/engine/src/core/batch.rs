//! Batches: operations on any trees, done all together or not at all, as one commit.
//!
//! Operations are applied to the forest one after the other, so that each sees those before it, and what each replaces is
//! kept. A condition that does not hold, a failure, and a journal that takes no more turn everything back, the newest
//! change first. Else the journal gets one record of what was changed, and with that the batch is committed: only then are
//! the blobs of replaced values freed. A rename is a batch of one.
//!
//! What readers find meanwhile does not count (`Pinned::begin_move`), so they see all of a batch or nothing. Keys and
//! values are checked before the first change.

mod attempt;
#[cfg(test)]
mod tests;

use attempt::{Attempt, Change};
use coppice_frame::max_inline_bytes;
use coppice_journal::{Batch, Op};

use super::{Engine, State, read::check_tree, subtree::check_apart, write::check_lengths};
use crate::{
    error::{Error, ErrorCode, shown_key},
    operation::{MAX_BATCH_BYTES, Operation, Outcome},
    request::{Condition, TreeId},
};

impl Engine {
    /// Does a batch, and in `'disk'` mode waits until it is on disk.
    pub(crate) fn commit(&self, operations: &[Operation<'_>]) -> Result<Outcome, Error> {
        let bytes = operations
            .iter()
            .fold(0_usize, |sum, operation| sum.saturating_add(operation.encoded_bytes()));
        if bytes > MAX_BATCH_BYTES {
            let message = format!("a batch of {bytes} bytes is over the limit of {MAX_BATCH_BYTES}");
            return Err(Error::new(ErrorCode::BatchTooLarge, message));
        }
        let outcome = match self.try_commit(operations) {
            // Once more with all that was changed before on disk, so that as much of memory as can be is the batch's.
            Err(error) if error.is_crowded() => {
                self.checkpoint()?;
                self.try_commit(operations)
            }
            other => other,
        };
        let outcome = outcome.map_err(|error| match error.is_crowded() {
            true => error.with_code(ErrorCode::BatchTooLarge),
            false => error,
        })?;
        if let Outcome::Committed { .. } = outcome {
            self.settle()?;
        }
        Ok(outcome)
    }

    fn try_commit(&self, operations: &[Operation<'_>]) -> Result<Outcome, Error> {
        let inline = max_inline_bytes(self.table.frame_bytes());
        let values = operations.iter().map(|operation| operation.value_bytes_over(inline));
        let values = values.fold(0, usize::saturating_add);
        let limit = self.table.budget().limits().value;
        if values > limit {
            let message = format!("a batch with values of {values} bytes is over a quarter of memory, {limit}");
            return Err(Error::new(ErrorCode::BatchTooLarge, message));
        }
        let mut state = self.exclusive_with_room(values)?;
        self.check_writable()?;
        let refused = operations.iter().enumerate().find_map(|(index, operation)| {
            let error = check(&state, operation).err()?;
            Some((index, name_operation(index, operation, &error)))
        });
        self.apply_or_take_back(&mut state, operations, refused)
    }

    /// Moves one record to another key. False where there is none, or one is in the way.
    pub(crate) fn rename(&self, tree: TreeId, from: &[u8], to: &[u8], overwrite: bool) -> Result<bool, Error> {
        let rename = Operation::Rename {
            tree,
            from,
            to,
            overwrite,
        };
        Ok(matches!(self.commit(&[rename])?, Outcome::Committed { .. }))
    }

    /// Does the operations. `refused`: the first that cannot be done whatever those before it do, and why; it counts only
    /// if these hold.
    fn apply_or_take_back(
        &self,
        state: &mut State<'_>,
        operations: &[Operation<'_>],
        refused: Option<(usize, Error)>,
    ) -> Result<Outcome, Error> {
        let version = state.sequence + 1;
        state.forest.table.begin_move();
        let done = self.try_or_take_back(state, version, operations, refused);
        state.forest.table.end_move();
        done
    }

    fn try_or_take_back(
        &self,
        state: &mut State<'_>,
        version: u64,
        operations: &[Operation<'_>],
        refused: Option<(usize, Error)>,
    ) -> Result<Outcome, Error> {
        let possible = refused.as_ref().map_or(operations.len(), |(index, _)| *index);
        let mut attempt = Attempt::new(&mut state.forest, version);
        let failed = match attempt.apply_all(operations.get(..possible).unwrap_or(operations)) {
            Ok(None) => {
                let written = match refused {
                    Some((_, error)) => Err(error),
                    None => {
                        let changes: Vec<Op<'_>> = attempt.changes.iter().flat_map(Change::ops).collect();
                        match &changes[..] {
                            [] => return Ok(Outcome::Committed { version: version - 1 }),
                            [one] => self.append(version, &[*one]),
                            several => self.append(version, &[Op::Batch(Batch::new(several))]),
                        }
                    }
                };
                match written {
                    Ok(()) => {
                        let freed = attempt.free_replaced();
                        state.sequence = version;
                        self.applied(freed)?;
                        return Ok(Outcome::Committed { version });
                    }
                    Err(error) => Err(error),
                }
            }
            Ok(Some(index)) => Ok(Outcome::Failed { index }),
            Err(error) => Err(error),
        };
        if let Err(error) = attempt.take_back() {
            let message = format!("a batch could not be taken back: {}", error.message());
            let failure = Error::new(error.code(), message);
            self.poison(&failure);
            return Err(failure);
        }
        failed
    }
}

impl State<'_> {
    /// Does again what was journaled as one commit. What does not fit the state was never journaled.
    pub(super) fn replay_together<'o>(&mut self, version: u64, ops: impl Iterator<Item = Op<'o>>) -> Result<(), Error> {
        let wrong = || {
            Error::new(
                ErrorCode::Corrupt,
                format!("journal record {version}: it was never made"),
            )
        };
        for op in ops {
            let operation = match op {
                Op::Put { tree, key, value } => Operation::Put {
                    tree: TreeId(tree),
                    key,
                    value,
                    condition: Condition::Always,
                },
                Op::Delete { tree, key } => Operation::Delete {
                    tree: TreeId(tree),
                    key,
                    condition: Condition::IfPresent,
                },
                Op::MovePrefix { tree, from, to } => Operation::MovePrefix {
                    tree: TreeId(tree),
                    from,
                    to,
                },
                Op::DeletePrefix { tree, prefix } => Operation::DeletePrefix {
                    tree: TreeId(tree),
                    prefix,
                },
                Op::CreateTree { .. } | Op::DropTree { .. } | Op::ClonePrefix { .. } | Op::Batch(_) => {
                    return Err(wrong());
                }
            };
            check(self, &operation).map_err(|_| wrong())?;
            let mut attempt = Attempt::new(&mut self.forest, version);
            let applied = attempt
                .apply(&operation)
                .map_err(|error| if is_refusal(&error) { wrong() } else { error })?;
            if !applied || attempt.changes.is_empty() {
                return Err(wrong());
            }
            attempt.free_replaced()?;
        }
        Ok(())
    }
}

/// What can be said of an operation before any is done.
fn check(state: &State<'_>, operation: &Operation<'_>) -> Result<(), Error> {
    check_tree(state, operation.tree())?;
    match *operation {
        Operation::Put { key, value, .. } => check_lengths(state, key, value),
        Operation::Rename { from, to, .. } => {
            check_lengths(state, from, &[])?;
            check_lengths(state, to, &[])
        }
        Operation::Delete { key, .. } | Operation::Assert { key, .. } => check_lengths(state, key, &[]),
        Operation::AssertEmpty { prefix, .. } | Operation::DeletePrefix { prefix, .. } => {
            check_lengths(state, prefix, &[])
        }
        Operation::MovePrefix { from, to, .. } => {
            check_lengths(state, from, &[])?;
            check_lengths(state, to, &[])?;
            check_apart(from, to)
        }
    }
}

/// Whether an operation failed for what the operations before it did, or did not.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::NotEmpty | ErrorCode::KeyTooLarge)
}

fn name_operation(index: usize, operation: &Operation<'_>, error: &Error) -> Error {
    let key = match *operation {
        Operation::Put { key, .. } | Operation::Delete { key, .. } | Operation::Assert { key, .. } => key,
        Operation::Rename { from, .. } | Operation::MovePrefix { from, .. } => from,
        Operation::AssertEmpty { prefix, .. } | Operation::DeletePrefix { prefix, .. } => prefix,
    };
    let message = format!("operation {index}, on {}: {}", shown_key(key), error.message());
    Error::new(error.code(), message)
}
