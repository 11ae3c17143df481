//! Calls that write.

use coppice_engine::{Condition, Error, ErrorCode};

use super::{
    Run,
    calls::{failed, holds, of_record, refused, same},
    tree_name,
};
use crate::session::{Checked, violation};

impl Run<'_> {
    pub(super) fn put(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let key = self.any_key(tree);
        let value = self.choices.value(self.options.frame_bytes as usize);
        let condition = self.any_condition(tree, &key);
        let allowed = holds(condition, self.maps.get(tree, &key));
        let put = self.database.put(self.handles[tree], &key, &value, condition);
        let put = put.map_err(failed("put"))?;
        same!(
            put.is_some(),
            allowed,
            "whether a put of {key:?} in tree {tree} was done, {condition:?}"
        );
        if let Some(version) = put {
            self.newer(version, &key)?;
            self.maps.put(tree, &key, version, &value);
        }
        Ok(())
    }

    /// Versions only grow.
    fn newer(&self, version: u64, key: &[u8]) -> Checked<()> {
        if version <= self.maps.newest {
            return violation!("version {version} of {key:?}, after {}", self.maps.newest);
        }
        Ok(())
    }

    pub(super) fn put_many(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let most = self.choices.pick(&[30, 30, 30, 300]);
        let count = self.choices.below(most);
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = if self.choices.one_in(2) {
            let stem = self.choices.key(self.maps.longest_key() / 2);
            let first = self.choices.below(900);
            let key = |index: usize| [&stem[..], format!("{:04}", first + index).as_bytes()].concat();
            (0..count).map(|index| (key(index), Vec::new())).collect()
        } else {
            (0..count).map(|_| (self.any_key(tree), Vec::new())).collect()
        };
        for entry in &mut entries {
            entry.1 = self.choices.value(self.options.frame_bytes as usize);
        }
        let mut given = entries.iter().map(|(key, value)| (&key[..], &value[..]));
        let put = self.database.put_many(self.handles[tree], &mut given);
        same!(
            put.map_err(failed("putMany"))?,
            entries.len() as u64,
            "how many were put"
        );
        let first = self.maps.newest + 1;
        for (key, value) in &entries {
            // The version is not told: it is read again below.
            self.maps.put(tree, key, first, value);
        }
        let mut last = first - 1;
        let mut written: Vec<&(Vec<u8>, Vec<u8>)> = Vec::new();
        for entry in entries.iter().rev() {
            if written.iter().all(|other| other.0 != entry.0) {
                written.push(entry);
            }
        }
        for (key, value) in written.into_iter().rev() {
            last = self.read_version(tree, key, value, last)?;
        }
        Ok(())
    }

    /// Takes over the version of a record that has just been written, which must be above `last`; returns it.
    fn read_version(&mut self, tree: usize, key: &[u8], value: &[u8], last: u64) -> Checked<u64> {
        let found = self
            .database
            .get(self.handles[tree], key, |record| record.map(of_record));
        match found.map_err(failed("get"))? {
            Some((version, found)) if version > last && found == value => {
                self.maps.put(tree, key, version, value);
                Ok(version)
            }
            other => violation!("{other:?} where {key:?} in tree {tree} was put, after version {last}"),
        }
    }

    pub(super) fn delete(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let key = self.any_key(tree);
        let condition = self.any_condition(tree, &key);
        let held = self.maps.get(tree, &key);
        let expected = held.is_some() && holds(condition, held);
        let deleted = self.database.delete(self.handles[tree], &key, condition);
        same!(
            deleted.map_err(failed("delete"))?,
            expected,
            "delete of {key:?} in tree {tree}, {condition:?}"
        );
        if expected {
            self.maps.remove(tree, &key);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let (from, to) = (self.any_key(tree), self.any_key(tree));
        let overwrite = self.choices.one_in(2);
        let expected = self.maps.get(tree, &from).is_some() && (overwrite || self.maps.get(tree, &to).is_none());
        let renamed = self.database.rename(self.handles[tree], &from, &to, overwrite);
        same!(
            renamed.map_err(failed("rename"))?,
            expected,
            "rename of {from:?} to {to:?} in tree {tree}"
        );
        if expected && let Some((_, value)) = self.maps.remove(tree, &from) {
            let last = self.maps.newest;
            self.read_version(tree, &to, &value, last)?;
        }
        Ok(())
    }

    pub(super) fn move_prefix(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let from = self.any_prefix(tree);
        let to = if self.choices.one_in(3) {
            self.any_prefix(tree)
        } else {
            self.choices.key(self.maps.longest_key())
        };
        let moved = self.database.move_prefix(self.handles[tree], &from, &to);
        let what = format!("move of {from:?} to {to:?} in tree {tree}");
        let refusal = self.maps.refuses_move(tree, &from, &to);
        placed(&what, moved, refusal, || self.maps.move_under(tree, &from, &to))
    }

    pub(super) fn clone_prefix(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let from = self.any_prefix(tree);
        let to = match self.choices.below(4) {
            0 => [&from[..], b"/copy/"].concat(),
            1 => self.any_prefix(tree),
            _ => self.choices.key(self.maps.longest_key()),
        };
        let what = format!("clone of {from:?} to {to:?} in tree {tree}");
        let mut cloned = self.database.clone_prefix(self.handles[tree], &from, &to);
        if from.starts_with(&to) || to.starts_with(&from) {
            refused(&what, cloned, ErrorCode::InvalidArgument)?;
            // As earlier versions made it, so that journals may hold it.
            cloned = self.database.clone_within(self.handles[tree], &from, &to);
        }
        let refusal = self.maps.refuses_clone(tree, &from, &to);
        placed(&what, cloned, refusal, || self.maps.clone_under(tree, &from, &to))
    }

    pub(super) fn delete_under(&mut self, tree: usize, prefix: &[u8]) -> Checked<()> {
        let deleted = self.database.delete_prefix(self.handles[tree], prefix);
        let expected = self.maps.remove_under(tree, prefix);
        same!(
            deleted.map_err(failed("deletePrefix"))?,
            expected,
            "deletePrefix of {prefix:?} in tree {tree}"
        );
        Ok(())
    }

    pub(super) fn delete_prefix(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let prefix = self.any_key(tree);
        self.delete_under(tree, &prefix)
    }

    pub(super) fn drop_tree(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let name = tree_name(tree);
        let gone = self.handles[tree];
        same!(
            self.database.drop_tree(name).map_err(failed("dropTree"))?,
            true,
            "whether {name:?} was there"
        );
        refused(
            "get in a dropped tree",
            self.database.get(gone, b"", |_| ()),
            ErrorCode::TreeDropped,
        )?;
        refused(
            "put in a dropped tree",
            self.database.put(gone, b"", b"", Condition::Always),
            ErrorCode::TreeDropped,
        )?;
        self.handles[tree] = self.database.tree(name).map_err(failed("tree"))?;
        self.maps.remove_under(tree, &[]);
        Ok(())
    }
}

/// Whether a subtree was given another place as it should: refused, or as many keys as the maps then say.
fn placed(
    what: &str,
    done: Result<u64, Error>,
    refusal: Option<ErrorCode>,
    expected: impl FnOnce() -> u64,
) -> Checked<()> {
    if let Some(code) = refusal {
        return refused(what, done, code);
    }
    same!(done.map_err(failed(what))?, expected(), "{what}");
    Ok(())
}
