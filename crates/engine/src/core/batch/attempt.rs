//! A batch on its way: what its operations do to the forest one after the other, and what takes that back.

use coppice_defect::{Defect, planted};
use coppice_frame::{Stored, Value};
use coppice_journal::Op;

use super::{is_refusal, name_operation};
use crate::{
    core::{
        read::FullKey,
        subtree::{plan_delete, plan_move},
    },
    error::Error,
    forest::{Forest, Subtree},
    operation::Operation,
    request::TreeId,
};

/// A batch on its way.
pub(super) struct Attempt<'f, 't, 'o> {
    forest: &'f mut Forest<'t>,
    /// Of all that it puts.
    version: u64,
    /// What it has changed, for the journal.
    pub(super) changes: Vec<Change<'o>>,
    /// What takes its changes back, in the order of the changes.
    undo: Vec<Undo<'o>>,
    /// Blobs whose values were replaced or removed.
    replaced: Vec<u32>,
}

/// What was changed, as the journal has it.
pub(super) enum Change<'o> {
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
    pub(super) fn ops(&self) -> impl Iterator<Item = Op<'_>> {
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
    pub(super) fn new(forest: &'f mut Forest<'t>, version: u64) -> Self {
        Self {
            forest,
            version,
            changes: Vec::new(),
            undo: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Applies operations in order; the index of the first one that does not hold.
    pub(super) fn apply_all(&mut self, operations: &[Operation<'o>]) -> Result<Option<usize>, Error> {
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
    pub(super) fn apply(&mut self, operation: &Operation<'o>) -> Result<bool, Error> {
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
    pub(super) fn take_back(&mut self) -> Result<(), Error> {
        if planted(Defect::KeepsRefusedBatch) && !self.undo.is_empty() {
            self.undo.remove(0);
        }
        // Half of it cannot stay.
        self.forest.table.must_succeed();
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
    pub(super) fn free_replaced(self) -> Result<(), Error> {
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
