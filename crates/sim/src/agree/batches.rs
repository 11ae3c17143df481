//! Batches.

use coppice_engine::{Condition, ErrorCode, Operation, Outcome};

use super::{Run, calls::holds};
use crate::session::{Checked, violation};

/// One operation of a batch, as the maps understand it.
enum Part {
    Put(usize, Vec<u8>, Vec<u8>, Condition),
    Delete(usize, Vec<u8>, Condition),
    Rename(usize, Vec<u8>, Vec<u8>, bool),
    Move(usize, Vec<u8>, Vec<u8>),
    DeletePrefix(usize, Vec<u8>),
    Assert(usize, Vec<u8>, Condition),
    AssertEmpty(usize, Vec<u8>, bool),
}

/// How an operation of a batch ends.
enum End {
    Done,
    ConditionFailed,
    Refused(ErrorCode),
}

impl Run<'_> {
    fn any_part(&mut self) -> Part {
        let tree = self.any_tree();
        match self.choices.below(16) {
            0..6 => {
                let key = self.any_key(tree);
                let value = self.choices.value(self.options.frame_bytes as usize);
                let condition = if self.choices.one_in(3) {
                    self.any_condition(tree, &key)
                } else {
                    Condition::Always
                };
                Part::Put(tree, key, value, condition)
            }
            6..9 => Part::Delete(tree, self.any_key(tree), Condition::Always),
            9..11 => Part::Rename(tree, self.any_key(tree), self.any_key(tree), true),
            11 | 12 => Part::Move(tree, self.any_prefix(tree), self.any_key(tree)),
            13 => Part::DeletePrefix(tree, self.any_key(tree)),
            14 => {
                let key = self.any_key(tree);
                let condition = self.any_condition(tree, &key);
                Part::Assert(tree, key, condition)
            }
            _ => Part::AssertEmpty(tree, self.any_prefix(tree), self.choices.one_in(2)),
        }
    }

    /// Does to the maps what an operation of a batch does. Versions of what it puts are 0 until the batch is committed.
    fn do_part(&mut self, part: &Part) -> End {
        let done = |held: bool| if held { End::Done } else { End::ConditionFailed };
        match part {
            Part::Put(tree, key, value, condition) => {
                let allowed = holds(*condition, self.maps.get(*tree, key));
                if allowed {
                    self.maps.put(*tree, key, 0, value);
                }
                done(allowed)
            }
            Part::Delete(tree, key, condition) => {
                let allowed = holds(*condition, self.maps.get(*tree, key));
                if allowed {
                    self.maps.remove(*tree, key);
                }
                done(allowed)
            }
            Part::Rename(tree, from, to, overwrite) => {
                let allowed =
                    self.maps.get(*tree, from).is_some() && (*overwrite || self.maps.get(*tree, to).is_none());
                if allowed && let Some((_, value)) = self.maps.remove(*tree, from) {
                    self.maps.put(*tree, to, 0, &value);
                }
                done(allowed)
            }
            Part::Move(tree, from, to) => match self.maps.refuses_move(*tree, from, to) {
                Some(code) => End::Refused(code),
                None => {
                    self.maps.move_under(*tree, from, to);
                    End::Done
                }
            },
            Part::DeletePrefix(tree, prefix) => {
                self.maps.remove_under(*tree, prefix);
                End::Done
            }
            Part::Assert(tree, key, condition) => done(holds(*condition, self.maps.get(*tree, key))),
            Part::AssertEmpty(tree, prefix, empty) => done(self.maps.under(*tree, prefix).next().is_none() == *empty),
        }
    }

    fn operation<'p>(&self, part: &'p Part) -> Operation<'p> {
        let tree = |tree: &usize| self.handles[*tree];
        match part {
            Part::Put(at, key, value, condition) => Operation::Put {
                tree: tree(at),
                key,
                value,
                condition: *condition,
            },
            Part::Delete(at, key, condition) => Operation::Delete {
                tree: tree(at),
                key,
                condition: *condition,
            },
            Part::Rename(at, from, to, overwrite) => Operation::Rename {
                tree: tree(at),
                from,
                to,
                overwrite: *overwrite,
            },
            Part::Move(at, from, to) => Operation::MovePrefix {
                tree: tree(at),
                from,
                to,
            },
            Part::DeletePrefix(at, prefix) => Operation::DeletePrefix { tree: tree(at), prefix },
            Part::Assert(at, key, condition) => Operation::Assert {
                tree: tree(at),
                key,
                condition: *condition,
            },
            Part::AssertEmpty(at, prefix, empty) => Operation::AssertEmpty {
                tree: tree(at),
                prefix,
                empty: *empty,
            },
        }
    }

    pub(super) fn batch(&mut self) -> Checked<()> {
        let parts: Vec<Part> = (0..self.choices.below(7)).map(|_| self.any_part()).collect();
        let operations: Vec<Operation<'_>> = parts.iter().map(|part| self.operation(part)).collect();
        let outcome = self.database.commit(&operations);
        self.maps.begin();
        for (index, part) in parts.iter().enumerate() {
            match self.do_part(part) {
                End::Done => {}
                End::ConditionFailed => {
                    self.maps.undo();
                    return match outcome {
                        Ok(Outcome::Failed { index: found }) if found == index => Ok(()),
                        other => violation!("{other:?} of a batch whose operation {index} fails: {operations:?}"),
                    };
                }
                End::Refused(code) => {
                    self.maps.undo();
                    return match outcome {
                        Err(error) if error.code() == code => Ok(()),
                        other => violation!("{other:?} of a batch whose operation {index} is refused: {operations:?}"),
                    };
                }
            }
        }
        match outcome {
            Ok(Outcome::Committed { version }) => {
                self.maps.commit(version);
                Ok(())
            }
            other => violation!("{other:?} of a batch that can be done: {operations:?}"),
        }
    }
}
