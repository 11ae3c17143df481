//! The calls: which one is next, what they are drawn from, and how answers are compared.

use coppice_engine::{Condition, Error, ErrorCode, Record};

use super::{Run, TREES, maps::Held};
use crate::session::{Checked, Violation, broken, violation};

/// Compares an answer with what it must be.
macro_rules! same {
    ($found:expr, $expected:expr, $($what:tt)+) => {{
        let (found, expected) = ($found, $expected);
        if found != expected {
            return $crate::session::violation!("{}: {found:?}, not {expected:?}", format_args!($($what)+));
        }
    }};
}
pub(super) use same;

/// What a call may not say.
pub(super) fn failed(what: &str) -> impl Fn(Error) -> Violation + '_ {
    move |error| broken!("{what}: {error}")
}

/// Compares a refusal, or what was done instead of it.
pub(super) fn refused<T: std::fmt::Debug>(what: &str, done: Result<T, Error>, expected: ErrorCode) -> Checked<()> {
    match done {
        Err(error) if error.code() == expected => Ok(()),
        other => violation!("{what}: {other:?}, not {expected:?}"),
    }
}

pub(super) fn of_record(record: Record<'_>) -> Held {
    (record.version, record.value.to_vec())
}

pub(super) fn holds(condition: Condition, held: Option<&Held>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => held.is_none(),
        Condition::IfPresent => held.is_some(),
        Condition::IfVersion(version) => held.is_some_and(|held| held.0 == version),
    }
}

impl Run<'_> {
    pub(super) fn any_tree(&mut self) -> usize {
        [0, 0, 0, 0, 1, 1, 2][self.choices.below(7)]
    }

    /// A key that is there, if the tree has any.
    pub(super) fn stored_key(&mut self, tree: usize) -> Option<Vec<u8>> {
        let near = self.choices.key(self.maps.longest_key());
        let map = self.maps.tree(tree);
        let behind = map.range(near..).next().or_else(|| map.iter().next());
        behind.map(|(key, _)| key.clone())
    }

    /// A key: one that is there, one that a stored one is a prefix of or the other way round, or any.
    pub(super) fn any_key(&mut self, tree: usize) -> Vec<u8> {
        let longest = self.maps.longest_key();
        let kind = self.choices.below(8);
        if kind < 5
            && let Some(mut key) = self.stored_key(tree)
        {
            match kind {
                3 => key.truncate(self.choices.below(key.len() + 1)),
                4 => {
                    key.push(self.choices.pick(&[0, 0xFF, b'/', b'a']));
                    key.truncate(longest);
                }
                _ => {}
            }
            return key;
        }
        self.choices.key(longest)
    }

    /// What a few or many keys start with.
    pub(super) fn any_prefix(&mut self, tree: usize) -> Vec<u8> {
        let mut prefix = self.any_key(tree);
        let keep = self.choices.below(prefix.len() + 1);
        prefix.truncate(keep);
        if prefix.is_empty() && !self.choices.one_in(4) {
            prefix = self.any_key(tree);
        }
        prefix
    }

    pub(super) fn any_condition(&mut self, tree: usize, key: &[u8]) -> Condition {
        match self.choices.below(8) {
            0 => Condition::IfAbsent,
            1 => Condition::IfPresent,
            2 => Condition::IfVersion(self.maps.get(tree, key).map_or(1, |held| held.0)),
            // Not 0, which stands in the maps for what a batch gives its own puts.
            3 => Condition::IfVersion(1 + self.choices.below(999) as u64),
            _ => Condition::Always,
        }
    }

    /// Makes one call, and compares.
    pub(super) fn call(&mut self) -> Checked<()> {
        match self.choices.below(1000) {
            0..170 => self.get(),
            170..200 => self.get_many(),
            200..240 => self.longest_prefix(),
            240..470 => self.put(),
            470..485 => self.put_many(),
            485..640 => self.delete(),
            640..680 => self.rename(),
            680..730 => self.batch(),
            730..750 => self.move_prefix(),
            750..765 => self.clone_prefix(),
            765..785 => self.delete_prefix(),
            785..788 => self.drop_tree(),
            788..850 => self.count(),
            850..915 => self.scan(),
            915..970 => self.list(),
            970..985 => self.snapshot(),
            985..993 => self.tidy(),
            993..997 => self.checkpoint(),
            997..999 => self.reopen(),
            _ => self.check(),
        }
    }

    /// Takes out some of what there is too much of.
    pub(super) fn thin_out(&mut self) -> Checked<()> {
        for tree in 0..TREES {
            let Some(key) = self.stored_key(tree) else { continue };
            let prefix = key.get(..1).unwrap_or_default().to_vec();
            self.delete_under(tree, &prefix)?;
        }
        Ok(())
    }

    /// What the engine's thread would do.
    fn tidy(&mut self) -> Checked<()> {
        self.database
            .tidy()
            .map(|_| ())
            .map_err(failed("freeing what was deleted"))
    }

    fn checkpoint(&mut self) -> Checked<()> {
        let report = self.database.checkpoint().map_err(failed("checkpoint"))?;
        same!(report.flushed_blobs, report.dirty_blobs, "what a checkpoint wrote");
        Ok(())
    }
}
