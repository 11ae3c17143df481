//! What must be in the database: an ordered map for each tree, and what a batch undoes.

use std::{collections::BTreeMap, ops::Bound};

use coppice_engine::ErrorCode;

/// A record: version and value.
pub(super) type Held = (u64, Vec<u8>);
/// Records in order.
pub(super) type Records = Vec<(Vec<u8>, Held)>;
/// What a tree had under a key.
type Old = (usize, Vec<u8>, Option<Held>);

/// The maps.
#[derive(Clone)]
pub(super) struct Maps {
    trees: Vec<BTreeMap<Vec<u8>, Held>>,
    /// No version was higher.
    pub(super) newest: u64,
    longest_key: usize,
    /// What was there before each change since [`Maps::begin`], while a batch goes on.
    before: Option<Vec<Old>>,
}

impl Maps {
    pub(super) fn new(trees: usize, frame_bytes: usize) -> Self {
        Self {
            trees: vec![BTreeMap::new(); trees],
            newest: 0,
            longest_key: frame_bytes / 8,
            before: None,
        }
    }

    pub(super) fn longest_key(&self) -> usize {
        self.longest_key
    }

    pub(super) fn keys(&self) -> usize {
        self.trees.iter().map(BTreeMap::len).sum()
    }

    pub(super) fn tree(&self, tree: usize) -> &BTreeMap<Vec<u8>, Held> {
        &self.trees[tree]
    }

    pub(super) fn all_of(&self, tree: usize) -> Records {
        let records = self.trees[tree].iter();
        records.map(|(key, held)| (key.clone(), held.clone())).collect()
    }

    pub(super) fn get(&self, tree: usize, key: &[u8]) -> Option<&Held> {
        self.trees[tree].get(key)
    }

    /// Keys that start with a prefix.
    pub(super) fn under(&self, tree: usize, prefix: &[u8]) -> impl Iterator<Item = &Vec<u8>> {
        let from = (Bound::Included(prefix.to_vec()), Bound::Unbounded);
        let prefix = prefix.to_vec();
        let keys = self.trees[tree].range(from).map(|(key, _)| key);
        keys.take_while(move |key| key.starts_with(&prefix))
    }

    /// A batch begins: what follows can be undone.
    pub(super) fn begin(&mut self) {
        self.before = Some(Vec::new());
    }

    /// Undoes what was done since.
    pub(super) fn undo(&mut self) {
        for (tree, key, held) in self.before.take().into_iter().flatten().rev() {
            match held {
                Some(held) => self.trees[tree].insert(key, held),
                None => self.trees[tree].remove(&key),
            };
        }
    }

    /// Gives what was put since [`Maps::begin`] its version.
    pub(super) fn commit(&mut self, version: u64) {
        self.newest = self.newest.max(version);
        for (tree, key, _) in self.before.take().into_iter().flatten() {
            if let Some(held) = self.trees[tree].get_mut(&key)
                && held.0 == 0
            {
                held.0 = version;
            }
        }
    }

    pub(super) fn put(&mut self, tree: usize, key: &[u8], version: u64, value: &[u8]) {
        self.newest = self.newest.max(version);
        let old = self.trees[tree].insert(key.to_vec(), (version, value.to_vec()));
        self.note(tree, key, old);
    }

    fn note(&mut self, tree: usize, key: &[u8], old: Option<Held>) {
        if let Some(before) = &mut self.before {
            before.push((tree, key.to_vec(), old));
        }
    }

    pub(super) fn remove(&mut self, tree: usize, key: &[u8]) -> Option<Held> {
        let old = self.trees[tree].remove(key);
        self.note(tree, key, old.clone());
        old
    }

    pub(super) fn remove_under(&mut self, tree: usize, prefix: &[u8]) -> u64 {
        let keys: Vec<Vec<u8>> = self.under(tree, prefix).cloned().collect();
        for key in &keys {
            self.remove(tree, key);
        }
        keys.len() as u64
    }

    /// Why a subtree cannot be moved.
    pub(super) fn refuses_move(&self, tree: usize, from: &[u8], to: &[u8]) -> Option<ErrorCode> {
        if from.starts_with(to) || to.starts_with(from) {
            return Some(ErrorCode::InvalidArgument);
        }
        self.refuses_clone(tree, from, to)
    }

    /// Why a subtree cannot be cloned.
    pub(super) fn refuses_clone(&self, tree: usize, from: &[u8], to: &[u8]) -> Option<ErrorCode> {
        if self.under(tree, to).next().is_some() {
            return Some(ErrorCode::NotEmpty);
        }
        let longest = self.under(tree, from).map(Vec::len).max()?;
        (longest - from.len() + to.len() > self.longest_key).then_some(ErrorCode::KeyTooLarge)
    }

    /// Clones a subtree that nothing keeps from it; how many keys.
    pub(super) fn clone_under(&mut self, tree: usize, from: &[u8], to: &[u8]) -> u64 {
        let keys: Vec<Vec<u8>> = self.under(tree, from).cloned().collect();
        for key in &keys {
            if let Some((version, value)) = self.get(tree, key).cloned() {
                let cloned = [to, &key[from.len()..]].concat();
                self.put(tree, &cloned, version, &value);
            }
        }
        keys.len() as u64
    }

    /// Moves a subtree that nothing keeps from it; how many keys.
    pub(super) fn move_under(&mut self, tree: usize, from: &[u8], to: &[u8]) -> u64 {
        let keys: Vec<Vec<u8>> = self.under(tree, from).cloned().collect();
        for key in &keys {
            if let Some((version, value)) = self.remove(tree, key) {
                let moved = [to, &key[from.len()..]].concat();
                self.put(tree, &moved, version, &value);
            }
        }
        keys.len() as u64
    }
}
