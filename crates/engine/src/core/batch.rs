//! Batches: operations on any trees, done all together or not at all, as one commit.
//!
//! Operations are applied to the forest one after the other, so that each sees those before it, and what each replaces is
//! kept. A condition that does not hold, a failure, and a journal that takes no more turn everything back, the newest
//! change first. Else the journal gets one record of what was changed, and with that the batch is committed: only then are
//! the blobs of replaced values freed. A rename is a batch of one.
//!
//! What readers find meanwhile does not count (`Pinned::begin_move`), so they see all of a batch or nothing. Keys and
//! values are checked before the first change.

#[cfg(test)]
mod tests;

use coppice_defect::{Defect, planted};
use coppice_frame::{Stored, Value, max_inline_bytes};
use coppice_journal::{Batch, Op};

use super::{
    Engine, State,
    read::{FullKey, check_tree},
    subtree::{check_apart, plan_delete, plan_move},
    write::check_lengths,
};
use crate::{
    error::{Error, ErrorCode, shown_key},
    forest::{Forest, Subtree},
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

/// A batch on its way.
struct Attempt<'f, 't, 'o> {
    forest: &'f mut Forest<'t>,
    /// Of all that it puts.
    version: u64,
    /// What it has changed, for the journal.
    changes: Vec<Change<'o>>,
    /// What takes its changes back, in the order of the changes.
    undo: Vec<Undo<'o>>,
    /// Blobs whose values were replaced or removed.
    replaced: Vec<u32>,
}

/// What was changed, as the journal has it.
enum Change<'o> {
    Made(Op<'o>),
    /// The value goes along, so that whoever reads the journal back knows it.
    Renamed {
        tree: u32,
        from: &'o [u8],
        to: &'o [u8],
        value: Vec<u8>,
    },
}

impl Change<'_> {
    fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        let [first, second] = match self {
            Self::Made(op) => [Some(*op), None],
            Self::Renamed { tree, from, to, value } => {
                let (tree, key) = (*tree, *to);
                let left = (from != to).then_some(Op::Delete { tree, key: from });
                [left, Some(Op::Put { tree, key, value })]
            }
        };
        first.into_iter().chain(second)
    }
}

/// How a change is taken back.
enum Undo<'o> {
    Record(Before<'o>),
    Move {
        tree: TreeId,
        from: &'o [u8],
        to: &'o [u8],
    },
    /// The subtree is hung in again; or laid to rest, when it is to stay deleted.
    Deletion {
        tree: TreeId,
        prefix: &'o [u8],
        subtree: Subtree,
    },
}

/// A record as it was before a change.
struct Before<'o> {
    tree: TreeId,
    key: &'o [u8],
    record: Option<Kept>,
    /// The blob that was made for its new value.
    made: Option<u32>,
}

/// A record, out of its frame.
#[derive(Clone)]
struct Kept {
    version: u64,
    value: KeptValue,
}

#[derive(Clone)]
enum KeptValue {
    Inline(Box<[u8]>),
    Extent { blob: u32, len: u32 },
}

impl Kept {
    fn value(&self) -> Value<'_> {
        match &self.value {
            KeptValue::Inline(bytes) => Value::Inline(bytes),
            KeptValue::Extent { blob, len } => Value::Extent { blob: *blob, len: *len },
        }
    }

    fn blob(&self) -> Option<u32> {
        match self.value {
            KeptValue::Inline(_) => None,
            KeptValue::Extent { blob, .. } => Some(blob),
        }
    }
}

impl From<Stored<'_>> for Kept {
    fn from(stored: Stored<'_>) -> Self {
        Self {
            version: stored.version,
            value: match stored.value {
                Value::Inline(bytes) => KeptValue::Inline(bytes.into()),
                Value::Extent { blob, len } => KeptValue::Extent { blob, len },
            },
        }
    }
}

impl<'f, 't, 'o> Attempt<'f, 't, 'o> {
    fn new(forest: &'f mut Forest<'t>, version: u64) -> Self {
        Self {
            forest,
            version,
            changes: Vec::new(),
            undo: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Applies operations in order; the index of the first one that does not hold.
    fn apply_all(&mut self, operations: &[Operation<'o>]) -> Result<Option<usize>, Error> {
        for (index, operation) in operations.iter().enumerate() {
            self.forest.table.relieve()?;
            let applied = self.apply(operation).map_err(|error| {
                if is_refusal(&error) {
                    name_operation(index, operation, &error)
                } else {
                    error
                }
            })?;
            if !applied {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Applies one operation; false, with nothing changed by it, where it does not hold.
    fn apply(&mut self, operation: &Operation<'o>) -> Result<bool, Error> {
        match *operation {
            Operation::Put {
                tree,
                key,
                value,
                condition,
            } => {
                let there = self.look_up(tree, key)?;
                if !condition.holds(there.as_ref().map(|record| record.version)) {
                    return Ok(false);
                }
                self.changes.push(Change::Made(Op::Put {
                    tree: tree.0,
                    key,
                    value,
                }));
                self.replaced.extend(there.as_ref().and_then(Kept::blob));
                let value = self.forest.hold_value(value)?;
                self.set(tree, key, there, value, true)?;
            }
            Operation::Delete { tree, key, condition } => {
                let there = self.look_up(tree, key)?;
                if !condition.holds(there.as_ref().map(|record| record.version)) {
                    return Ok(false);
                }
                if let Some(record) = there {
                    self.changes.push(Change::Made(Op::Delete { tree: tree.0, key }));
                    self.replaced.extend(record.blob());
                    self.unset(tree, key, record)?;
                }
            }
            Operation::Rename {
                tree,
                from,
                to,
                overwrite,
            } => {
                let Some(record) = self.look_up(tree, from)? else {
                    return Ok(false);
                };
                let there = self.look_up(tree, to)?;
                if there.is_some() && !overwrite {
                    return Ok(false);
                }
                let stored = Stored {
                    version: record.version,
                    value: record.value(),
                };
                let value = self.forest.resolve(stored)?.value.to_vec();
                self.changes.push(Change::Renamed {
                    tree: tree.0,
                    from,
                    to,
                    value,
                });
                if from == to {
                    self.set(tree, to, there, record.value(), false)?;
                } else {
                    if planted(Defect::FreesRenamedValues) {
                        self.replaced.extend(record.blob());
                    }
                    self.replaced.extend(there.as_ref().and_then(Kept::blob));
                    self.set(tree, to, there, record.value(), false)?;
                    self.unset(tree, from, record)?;
                }
            }
            Operation::MovePrefix { tree, from, to } => {
                if plan_move(self.forest, tree, from, to)? > 0 {
                    self.changes
                        .push(Change::Made(Op::MovePrefix { tree: tree.0, from, to }));
                    self.undo.push(Undo::Move { tree, from, to });
                    let (from, to) = (FullKey::new(tree.0, from), FullKey::new(tree.0, to));
                    self.forest.move_subtree(from.bytes(), to.bytes())?;
                }
            }
            Operation::DeletePrefix { tree, prefix } => {
                plan_delete(self.forest, tree, prefix, self.version)?;
                if let Some(subtree) = self.forest.detach(FullKey::new(tree.0, prefix).bytes())? {
                    self.changes
                        .push(Change::Made(Op::DeletePrefix { tree: tree.0, prefix }));
                    self.undo.push(Undo::Deletion { tree, prefix, subtree });
                }
            }
            Operation::Assert { tree, key, condition } => {
                let full = FullKey::new(tree.0, key);
                let known = self.forest.look_up(full.bytes())?;
                return Ok(condition.holds(known.map(|known| known.version)));
            }
            Operation::AssertEmpty { tree, prefix, empty } => {
                let full = FullKey::new(tree.0, prefix);
                return Ok(self.forest.is_empty(full.bytes())? == empty);
            }
        }
        Ok(true)
    }

    fn look_up(&self, tree: TreeId, key: &[u8]) -> Result<Option<Kept>, Error> {
        let full = FullKey::new(tree.0, key);
        Ok(self.forest.look_up_stored(full.bytes())?.map(Kept::from))
    }

    /// Sets a key's record. `made`: the value's blob, if it has one, was made for this.
    fn set(
        &mut self,
        tree: TreeId,
        key: &'o [u8],
        there: Option<Kept>,
        value: Value<'_>,
        made: bool,
    ) -> Result<(), Error> {
        let made = match value {
            Value::Extent { blob, .. } if made => Some(blob),
            _ => None,
        };
        // Noted before it is done: what fails in the middle is taken back too.
        self.undo.push(Undo::Record(Before {
            tree,
            key,
            record: there,
            made,
        }));
        let stored = Stored {
            version: self.version,
            value,
        };
        self.forest.insert(FullKey::new(tree.0, key).bytes(), &stored)
    }

    /// Removes a record that is there, and keeps its blob.
    fn unset(&mut self, tree: TreeId, key: &'o [u8], record: Kept) -> Result<(), Error> {
        self.undo.push(Undo::Record(Before {
            tree,
            key,
            record: Some(record),
            made: None,
        }));
        self.forest.remove(FullKey::new(tree.0, key).bytes(), None)
    }

    /// Takes everything back, also what failed in the middle: each record is made what it was.
    fn take_back(&mut self) -> Result<(), Error> {
        if planted(Defect::KeepsRefusedBatch) && !self.undo.is_empty() {
            self.undo.remove(0);
        }
        while let Some(undo) = self.undo.pop() {
            self.forest.table.repin();
            match undo {
                Undo::Record(before) => self.take_record_back(&before)?,
                Undo::Move { tree, from, to } => {
                    let (from, to) = (FullKey::new(tree.0, from), FullKey::new(tree.0, to));
                    self.forest.move_subtree(to.bytes(), from.bytes())?;
                }
                Undo::Deletion { tree, prefix, subtree } => {
                    self.forest.attach(FullKey::new(tree.0, prefix).bytes(), &subtree)?;
                }
            }
        }
        Ok(())
    }

    fn take_record_back(&mut self, before: &Before<'_>) -> Result<(), Error> {
        let full = FullKey::new(before.tree.0, before.key);
        match &before.record {
            Some(record) => {
                let stored = Stored {
                    version: record.version,
                    value: record.value(),
                };
                self.forest.insert(full.bytes(), &stored)?;
            }
            None if self.forest.look_up(full.bytes())?.is_some() => self.forest.remove(full.bytes(), None)?,
            None => {}
        }
        if let Some(blob) = before.made {
            self.forest.table.release(blob);
        }
        Ok(())
    }

    /// Frees what nothing refers to any more, now that all of it is to stay.
    fn free_replaced(self) -> Result<(), Error> {
        for blob in self.replaced {
            self.forest.table.release(blob);
        }
        for undo in self.undo {
            if let Undo::Deletion { subtree, .. } = undo {
                self.forest.inter(&subtree, self.version)?;
            }
        }
        Ok(())
    }
}
