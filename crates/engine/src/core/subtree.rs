//! Whole subtrees moved, cloned and deleted, and trees dropped: each one commit and one record of the journal, at a cost that does
//! not grow with what is below.
//!
//! All that can refuse an operation, and every read that it needs, comes before the journal takes it. What a deletion
//! leaves behind waits in the forest's graves; [`Engine::bury`] frees it, a few frames at a time, for the engine's thread.

#[cfg(test)]
mod tests;

use coppice_defect::{Defect, planted};
use coppice_journal::Op;

use super::{
    CATALOG, Engine, Exclusive, State, TREE_BYTES,
    read::{FullKey, check_tree, tree_number},
};
use crate::{
    error::{Error, ErrorCode, shown_key},
    forest::{Forest, Known},
    options::MAX_KEY_BYTES,
    request::TreeId,
};

/// Frames that are freed before others get their turn.
const BURY_STEPS: usize = 8;
/// More keys are not cloned at once: so however often that is done, they can be counted.
const MAX_CLONED_KEYS: u64 = 1 << 40;

/// Refuses to place a subtree within itself, or itself within it.
pub(super) fn check_apart(from: &[u8], to: &[u8]) -> Result<(), Error> {
    if from.starts_with(to) || to.starts_with(from) {
        let message = format!("of {} and {} one contains the other", shown_key(from), shown_key(to));
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    Ok(())
}

/// Checks a move, and reads in what it will touch. How many keys will move.
pub(super) fn plan_move(forest: &mut Forest<'_>, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
    check_apart(from, to)?;
    let keys = keys_to_place(forest, tree, from, to)?;
    if keys > 0 {
        forest.read_in_under(FullKey::new(tree.0, from).bytes())?;
        forest.read_in_beside(FullKey::new(tree.0, to).bytes())?;
    }
    Ok(keys)
}

/// The same of a clone. How many keys will be there twice.
fn plan_clone(forest: &mut Forest<'_>, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
    let keys = keys_to_place(forest, tree, from, to)?;
    if keys > MAX_CLONED_KEYS {
        let message = format!("{keys} keys under {} are more than are cloned at once", shown_key(from));
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    if keys > 0 {
        forest.read_in_copied(FullKey::new(tree.0, from).bytes())?;
        forest.read_in_beside(FullKey::new(tree.0, to).bytes())?;
    }
    Ok(keys)
}

/// How many keys under `from` have a place under `to`, which all of them or none must have. Sees to memory for what will be
/// read in.
fn keys_to_place(forest: &mut Forest<'_>, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
    let (full_from, full_to) = (FullKey::new(tree.0, from), FullKey::new(tree.0, to));
    if !forest.is_empty(full_to.bytes())? && !planted(Defect::MovesOntoKeys) {
        let message = format!("there are keys under {}", shown_key(to));
        return Err(Error::new(ErrorCode::NotEmpty, message));
    }
    let keys = forest.count(full_from.bytes())?;
    if keys == 0 {
        return Ok(0);
    }
    let limit = MAX_KEY_BYTES.min(forest.max_full_key_bytes() - TREE_BYTES);
    let too_long = match limit.checked_sub(to.len()) {
        Some(most) => to.len() > from.len() && forest.has_longer(full_from.bytes(), most)?,
        None => true,
    };
    if too_long {
        let message = format!(
            "under {} a key would grow past the limit of {limit} bytes",
            shown_key(to)
        );
        return Err(Error::new(ErrorCode::KeyTooLarge, message));
    }
    // What was asked so far has let go of frames on its way; a node may lead to many.
    forest.table.relieve_for(forest.table.budget().limits().value)?;
    Ok(keys)
}

/// Reads in what the deletion of a prefix will touch. How many keys will go.
pub(super) fn plan_delete(forest: &mut Forest<'_>, tree: TreeId, prefix: &[u8], sequence: u64) -> Result<u64, Error> {
    let full = FullKey::new(tree.0, prefix);
    // The count lets go of frames on its way.
    let keys = forest.count(full.bytes())?;
    forest.read_in_under(full.bytes())?;
    forest.read_in_grave(sequence)?;
    Ok(keys)
}

fn number_of(forest: &Forest<'_>, name: &[u8]) -> Result<Option<(u32, Known)>, Error> {
    let full = FullKey::new(CATALOG, name);
    let Some(known) = forest.look_up(full.bytes())? else {
        return Ok(None);
    };
    let number = forest.get(full.bytes())?.and_then(|found| tree_number(found.value));
    let number = number.ok_or_else(|| Error::new(ErrorCode::Corrupt, "the catalog has a tree without a number"))?;
    Ok(Some((number, known)))
}

impl Engine {
    /// Moves every key under `from` to under `to`. How many.
    pub(crate) fn move_prefix(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.change_subtree(
            self.exclusive_with_room(0)?,
            tree,
            Op::MovePrefix { tree: tree.0, from, to },
            |state| plan_move(&mut state.forest, tree, from, to),
            |state| state.move_prefix(tree, from, to),
        )
    }

    /// Gives every key under `from` a second record under `to`. How many.
    pub(crate) fn clone_prefix(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.clone_where(tree, from, to, check_apart)
    }

    /// The same where `to` may lie below `from`, which is no longer offered: journals may hold it.
    pub(crate) fn clone_within(&self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<u64, Error> {
        self.clone_where(tree, from, to, |_, _| Ok(()))
    }

    fn clone_where(
        &self,
        tree: TreeId,
        from: &[u8],
        to: &[u8],
        check: fn(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        self.change_subtree(
            self.exclusive_with_room(0)?,
            tree,
            Op::ClonePrefix { tree: tree.0, from, to },
            |state| {
                check(from, to)?;
                plan_clone(&mut state.forest, tree, from, to)
            },
            |state| state.clone_prefix(tree, from, to),
        )
    }

    /// Removes every key under the prefix. How many.
    pub(crate) fn delete_prefix(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.change_subtree(
            self.exclusive_to_remove()?,
            tree,
            Op::DeletePrefix { tree: tree.0, prefix },
            |state| {
                let next = state.sequence + 1;
                plan_delete(&mut state.forest, tree, prefix, next)
            },
            |state| state.delete_prefix(tree, prefix),
        )
    }

    /// Makes a change that was planned, if it concerns any keys: how many. `plan` refuses what cannot be, with nothing done.
    fn change_subtree(
        &self,
        mut state: Exclusive<'_>,
        tree: TreeId,
        op: Op<'_>,
        plan: impl FnOnce(&mut State<'_>) -> Result<u64, Error>,
        change: impl FnOnce(&mut State<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        self.check_writable()?;
        check_tree(&state, tree)?;
        let keys = plan(&mut state)?;
        if keys == 0 {
            return Ok(0);
        }
        self.append(state.sequence + 1, &[op])?;
        self.applied(change(&mut state))?;
        drop(state);
        self.settle()?;
        Ok(keys)
    }

    /// Removes a tree and its name. False where there is none of that name.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<bool, Error> {
        let mut state = self.exclusive_to_remove()?;
        self.check_writable()?;
        let Some((tree, known)) = number_of(&state.forest, name.as_bytes())? else {
            return Ok(false);
        };
        let next = state.sequence + 1;
        plan_delete(&mut state.forest, TreeId(tree), &[], next)?;
        let op = Op::DropTree {
            tree,
            name: name.as_bytes(),
        };
        self.append(state.sequence + 1, &[op])?;
        // Before the keys go, so that nobody takes the tree for an empty one.
        self.dropped.note(tree, name);
        self.applied(state.drop_tree(tree, name.as_bytes(), known))?;
        drop(state);
        self.settle()?;
        Ok(true)
    }

    /// Frees some of what deletions left behind. Whether there is more.
    pub(crate) fn bury(&self) -> Result<bool, Error> {
        self.check_writable()?;
        if !self.table.budget().admits(0) {
            return Ok(false);
        }
        // What must be read is read while others go on.
        if !self.uncrowded(|| self.shared().forest.has_graves())? {
            return Ok(false);
        }
        let mut state = self.exclusive();
        self.check_writable()?;
        let steps = if state.forest.table.is_all_resident() {
            BURY_STEPS
        } else {
            1
        };
        for _ in 0..steps {
            if !state.forest.bury()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the journal's operations do to the state: the same when they are made and when they are replayed.
impl State<'_> {
    fn move_prefix(&mut self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.sequence += 1;
        let (from, to) = (FullKey::new(tree.0, from), FullKey::new(tree.0, to));
        self.forest.table.repin();
        self.forest.move_subtree(from.bytes(), to.bytes())
    }

    fn clone_prefix(&mut self, tree: TreeId, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.sequence += 1;
        let (from, to) = (FullKey::new(tree.0, from), FullKey::new(tree.0, to));
        self.forest.table.repin();
        self.forest.clone_subtree(from.bytes(), to.bytes())
    }

    /// Makes a clone again, also one within itself, as earlier versions made. What does not fit the state was never journaled.
    pub(super) fn replay_clone(&mut self, sequence: u64, tree: u32, from: &[u8], to: &[u8]) -> Result<(), Error> {
        let tree = TreeId(tree);
        let planned = match check_tree(self, tree) {
            Ok(()) => plan_clone(&mut self.forest, tree, from, to),
            Err(_) => Ok(0),
        };
        let refused = [ErrorCode::NotEmpty, ErrorCode::KeyTooLarge, ErrorCode::InvalidArgument];
        match planned {
            Err(error) if !refused.contains(&error.code()) => Err(error),
            Ok(1..) => self.clone_prefix(tree, from, to),
            _ => Err(Error::new(
                ErrorCode::Corrupt,
                format!("journal record {sequence}: a clone that was never made"),
            )),
        }
    }

    fn delete_prefix(&mut self, tree: TreeId, prefix: &[u8]) -> Result<(), Error> {
        self.sequence += 1;
        self.forest.table.repin();
        match self.forest.detach(FullKey::new(tree.0, prefix).bytes())? {
            Some(subtree) => self.forest.inter(&subtree, self.sequence),
            None => Ok(()),
        }
    }

    fn drop_tree(&mut self, tree: u32, name: &[u8], known: Known) -> Result<(), Error> {
        self.forest.remove(FullKey::new(CATALOG, name).bytes(), known.extent)?;
        self.delete_prefix(TreeId(tree), &[])
    }

    /// False where there is no such tree.
    pub(super) fn replay_drop_tree(&mut self, tree: u32, name: &[u8]) -> Result<bool, Error> {
        match number_of(&self.forest, name)? {
            Some((known_tree, known)) if known_tree == tree => self.drop_tree(tree, name, known).map(|()| true),
            _ => Ok(false),
        }
    }
}
