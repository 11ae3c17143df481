//! What a database must hold: ordered maps, and a digest that tells states apart without comparing them.

use std::{collections::BTreeMap, ops::Bound, ops::ControlFlow, sync::Arc};

use coppice_engine::{Database, Error, Range, Record, Snapshot, SplitKey, TreeId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A value's bytes.
pub type Value = Arc<[u8]>;

/// One tree: versions and values by key.
pub type Tree = BTreeMap<Vec<u8>, (u64, Value)>;

/// One change to one record, or to the set of trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A tree comes into being.
    NewTree(String),
    /// A record is put.
    Put(String, Vec<u8>, u64, Value),
    /// A record is removed.
    Delete(String, Vec<u8>),
    /// Every key under the first prefix moves to under the second, where there is none.
    MovePrefix(String, Vec<u8>, Vec<u8>),
    /// Every record under the first prefix is there a second time under the second, where there was none.
    ClonePrefix(String, Vec<u8>, Vec<u8>),
    /// Every record under a prefix is removed.
    DeletePrefix(String, Vec<u8>),
    /// A tree goes with all that is in it.
    DropTree(String),
}

/// What becomes visible, and durable, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The last sequence number that it takes.
    pub sequence: u64,
    /// What it changes, in order.
    pub edits: Vec<Edit>,
}

/// All trees, and the last sequence number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// By name.
    pub trees: BTreeMap<String, Tree>,
    /// The last commit's.
    pub sequence: u64,
    digest: u64,
}

/// A state's digest and the sequence number that it was reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of all names, keys, versions and values.
    pub digest: u64,
    /// The last commit's.
    pub sequence: u64,
}

fn digest_of_tree(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 1)
}

fn digest_of_record(tree: &str, key: &[u8], version: u64, value: &[u8]) -> u64 {
    let key = xxh3_64_with_seed(key, digest_of_tree(tree));
    xxh3_64_with_seed(&version.to_le_bytes(), key ^ xxh3_64(value).rotate_left(17))
}

impl Model {
    /// What tells this state from others.
    pub fn mark(&self) -> Mark {
        Mark {
            digest: self.digest,
            sequence: self.sequence,
        }
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.trees.values().map(BTreeMap::len).sum()
    }

    /// A record, if there is one.
    pub fn record(&self, tree: &str, key: &[u8]) -> Option<&(u64, Value)> {
        self.trees.get(tree)?.get(key)
    }

    /// The keys of a tree that start with a prefix, in order.
    pub fn keys_under(&self, tree: &str, prefix: &[u8]) -> Vec<Vec<u8>> {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let records = self.trees.get(tree).map(|tree| tree.range::<[u8], _>(range));
        let keys = records.into_iter().flatten().map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Goes to the state after a commit.
    pub fn apply(&mut self, commit: &Commit) {
        for edit in &commit.edits {
            match edit {
                Edit::NewTree(name) => self.add_tree(name),
                Edit::Put(tree, key, version, value) => {
                    self.remove(tree, key);
                    self.insert(tree, key.clone(), *version, Arc::clone(value));
                }
                Edit::Delete(tree, key) => self.remove(tree, key),
                Edit::MovePrefix(tree, from, to) => {
                    for key in self.keys_under(tree, from) {
                        let record = self.record(tree, &key).cloned();
                        self.remove(tree, &key);
                        if let Some((version, value)) = record {
                            self.insert(tree, [to, &key[from.len()..]].concat(), version, value);
                        }
                    }
                }
                Edit::ClonePrefix(tree, from, to) => {
                    for key in self.keys_under(tree, from) {
                        if let Some((version, value)) = self.record(tree, &key).cloned() {
                            self.insert(tree, [to, &key[from.len()..]].concat(), version, value);
                        }
                    }
                }
                Edit::DeletePrefix(tree, prefix) => {
                    for key in self.keys_under(tree, prefix) {
                        self.remove(tree, &key);
                    }
                }
                Edit::DropTree(tree) => {
                    for key in self.keys_under(tree, &[]) {
                        self.remove(tree, &key);
                    }
                    self.trees.remove(tree);
                    self.digest = self.digest.wrapping_sub(digest_of_tree(tree));
                }
            }
        }
        self.sequence = commit.sequence;
    }

    fn add_tree(&mut self, name: &str) {
        self.digest = self.digest.wrapping_add(digest_of_tree(name));
        self.trees.insert(name.to_owned(), Tree::new());
    }

    fn insert(&mut self, tree: &str, key: Vec<u8>, version: u64, value: Value) {
        let digest = digest_of_record(tree, &key, version, &value);
        self.digest = self.digest.wrapping_add(digest);
        if let Some(tree) = self.trees.get_mut(tree) {
            tree.insert(key, (version, value));
        }
    }

    fn remove(&mut self, tree: &str, key: &[u8]) {
        let removed = self.trees.get_mut(tree).and_then(|tree| tree.remove(key));
        if let Some((version, value)) = removed {
            let digest = digest_of_record(tree, key, version, &value);
            self.digest = self.digest.wrapping_sub(digest);
        }
    }

    /// Reads all that a database holds. The sequence number, which no reader sees, is left 0.
    ///
    /// # Errors
    /// Those of the database.
    pub fn read(database: &impl Readable) -> Result<Self, Error> {
        let mut model = Self::default();
        visit(database, &mut |tree, record| match record {
            None => model.add_tree(tree),
            Some((key, record)) => model.insert(tree, key.to_vec(), record.version, record.value.into()),
        })?;
        Ok(model)
    }

    /// The first few differences from another state, for messages.
    pub fn differences(&self, other: &Self) -> String {
        let mut lines = Vec::new();
        for name in self.trees.keys().chain(other.trees.keys()) {
            let (Some(here), Some(there)) = (self.trees.get(name), other.trees.get(name)) else {
                lines.push(format!("tree {name:?} is only in one of them"));
                continue;
            };
            let keys: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
            for key in keys {
                let (a, b) = (here.get(key), there.get(key));
                if a != b {
                    let show = |record: Option<&(u64, Value)>| match record {
                        Some((version, value)) => format!("version {version}, {} bytes", value.len()),
                        None => "absent".to_owned(),
                    };
                    let key = String::from_utf8_lossy(key);
                    lines.push(format!("{name:?} {key:?}: {} against {}", show(a), show(b)));
                }
            }
        }
        lines.dedup();
        lines.truncate(12);
        lines.join("\n")
    }
}

/// What there is in a database, without a copy of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// As in [`Mark`].
    pub digest: u64,
    /// Records in all trees.
    pub records: u64,
    /// Trees.
    pub trees: u64,
}

impl Census {
    /// Reads all of a database.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of(database: &impl Readable) -> Result<Self, Error> {
        let mut census = Self::default();
        visit(database, &mut |tree, record| {
            let digest = match record {
                None => digest_of_tree(tree),
                Some((key, record)) => digest_of_record(tree, key, record.version, record.value),
            };
            census.digest = census.digest.wrapping_add(digest);
            census.records += u64::from(record.is_some());
            census.trees += u64::from(record.is_none());
        })?;
        Ok(census)
    }
}

/// A database, or a snapshot of one.
pub trait Readable {
    /// The names of all trees, in order.
    ///
    /// # Errors
    /// The engine's.
    fn names(&self) -> Result<Vec<String>, Error>;
    /// The number of a tree that there is.
    ///
    /// # Errors
    /// The engine's.
    fn number(&self, name: &str) -> Result<TreeId, Error>;
    /// Visits a range of records.
    ///
    /// # Errors
    /// The engine's.
    fn visit(&self, tree: TreeId, range: &Range<'_>, visit: &mut OnRecord<'_>) -> Result<bool, Error>;
}

/// Called with each record of a scan.
pub type OnRecord<'a> = dyn FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()> + 'a;

macro_rules! readable {
    ($what:ty) => {
        impl Readable for $what {
            fn names(&self) -> Result<Vec<String>, Error> {
                self.trees()
            }

            fn number(&self, name: &str) -> Result<TreeId, Error> {
                self.tree(name)
            }

            fn visit(&self, tree: TreeId, range: &Range<'_>, visit: &mut OnRecord<'_>) -> Result<bool, Error> {
                self.scan(tree, range, &mut |key, record| visit(key, record))
            }
        }
    };
}

readable!(Database);
readable!(Snapshot);

/// Called with a tree's name, and with a record of it or, once and first, without.
type Visit<'a> = &'a mut dyn FnMut(&str, Option<(&[u8], Record<'_>)>);

/// Visits each tree, and then its records in order.
fn visit(database: &impl Readable, visit: Visit<'_>) -> Result<(), Error> {
    let everything = Range::ALL;
    let mut key = Vec::new();
    for name in database.names()? {
        visit(&name, None);
        let id = database.number(&name)?;
        let mut last: Option<Vec<u8>> = None;
        database.visit(id, &everything, &mut |split, record| {
            key.clear();
            split.append_to(&mut key);
            assert!(last.as_ref().is_none_or(|last| *last < key), "a scan out of order");
            last.get_or_insert_default().clone_from(&key);
            visit(&name, Some((&key, record)));
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}
