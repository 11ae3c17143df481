//! The database that a salvage fills: which tree, and which key of it, each thing goes to.

use std::collections::{BTreeMap, BTreeSet};

use coppice_journal::{Op, Standing};

use super::{Findings, SalvageReport};
use crate::{
    core::{CATALOG, Engine, Reads},
    error::{Error, ErrorCode},
    request::{Condition, TreeId},
    verify::Problem,
};

/// How trees are called whose names are lost, with their numbers behind it.
const NAMELESS: &str = "tree-";

/// The tree of what has no place, unless a tree has that name.
const LOST_AND_FOUND: &str = "lost+found";

/// Put between two checkpoints of the new database, whose changes lie in memory.
const UNSAVED_BYTES: usize = 64 << 20;

/// Where something goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shelf {
    /// To the tree of that number in the damaged database, under its own key.
    Tree(u32),
    /// It may be out of date, or another's: `old/<tree>/<key>`.
    Old(u32),
    /// What leads to this frame is lost, and with it how its keys begin: `frame-<blob>/<rest of the key>`.
    Frame(u32),
    /// Whose value this was is lost: `value-<blob>`.
    Value(u32),
    /// Commits before it are missing: `journal/<tree>/<key>`.
    Journal(u32),
}

/// A tree of the new database, and what keys get there in front.
struct Place {
    tree: TreeId,
    before: Vec<u8>,
}

impl Place {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.before, key].concat()
    }
}

pub(super) struct Target<'t> {
    engine: &'t Engine,
    /// Names by their trees' numbers in the damaged database, as far as they are known.
    names: BTreeMap<u32, String>,
    trees: BTreeMap<u32, Named>,
    lost_and_found: Option<Named>,
    /// Names of trees in the new database.
    taken: BTreeSet<String>,
    /// Put since the last checkpoint.
    unsaved_bytes: usize,
    pub(super) findings: Findings,
}

/// A tree of the new database.
struct Named {
    id: TreeId,
    name: String,
}

impl<'t> Target<'t> {
    pub(super) fn new(engine: &'t Engine, findings: Findings) -> Self {
        Self {
            engine,
            names: BTreeMap::new(),
            trees: BTreeMap::new(),
            lost_and_found: None,
            taken: BTreeSet::new(),
            unsaved_bytes: 0,
            findings,
        }
    }

    /// Learns a tree's name, which never changes.
    pub(super) fn learn(&mut self, number: u32, name: &[u8]) {
        if let Ok(name) = std::str::from_utf8(name) {
            self.names.entry(number).or_insert_with(|| name.to_owned());
        }
    }

    /// The tree's name, or what stands for it where that is lost.
    pub(super) fn name(&self, number: u32) -> String {
        self.names
            .get(&number)
            .cloned()
            .unwrap_or_else(|| format!("{NAMELESS}{number}"))
    }

    /// Makes a tree, with the first name of that beginning that no other has.
    fn make(&mut self, name: &str) -> Result<Named, Error> {
        let mut free = name.to_owned();
        let mut attempt = 1;
        while self.taken.contains(&free) {
            attempt += 1;
            free = format!("{name}-{attempt}");
        }
        let id = self.engine.tree(&free)?;
        self.taken.insert(free.clone());
        Ok(Named { id, name: free })
    }

    /// Makes the tree of that number, if it is not there.
    pub(super) fn tree(&mut self, number: u32) -> Result<TreeId, Error> {
        if let Some(named) = self.trees.get(&number) {
            return Ok(named.id);
        }
        let named = self.make(&self.name(number))?;
        let id = named.id;
        self.trees.insert(number, named);
        Ok(id)
    }

    fn lost_and_found(&mut self) -> Result<TreeId, Error> {
        if let Some(named) = &self.lost_and_found {
            return Ok(named.id);
        }
        // No tree that is still to come should have to take another name for it.
        let mut name = LOST_AND_FOUND.to_owned();
        while self.names.values().any(|known| *known == name) {
            name.push('+');
        }
        let named = self.make(&name)?;
        let id = named.id;
        self.lost_and_found = Some(named);
        Ok(id)
    }

    fn place(&mut self, shelf: Shelf) -> Result<Place, Error> {
        let before = match shelf {
            Shelf::Tree(number) => {
                return Ok(Place {
                    tree: self.tree(number)?,
                    before: Vec::new(),
                });
            }
            Shelf::Old(number) => format!("old/{}/", self.name(number)),
            Shelf::Frame(blob) => format!("frame-{blob}/"),
            Shelf::Value(blob) => format!("value-{blob}"),
            Shelf::Journal(number) => format!("journal/{}/", self.name(number)),
        };
        Ok(Place {
            tree: self.lost_and_found()?,
            before: before.into_bytes(),
        })
    }

    /// Puts a record where it belongs; where the new database does not take it there, that is a problem.
    pub(super) fn put(&mut self, shelf: Shelf, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let place = self.place(shelf)?;
        self.unsaved_bytes += key.len() + value.len();
        if self.unsaved_bytes > UNSAVED_BYTES {
            self.engine.checkpoint()?;
            self.unsaved_bytes = 0;
        }
        let put = self.engine.put(place.tree, &place.key(key), value, Condition::Always);
        self.unless_refused(put.map(|_| ()))
    }

    /// Passes on failures of the new database; what only it does not take is a problem.
    fn unless_refused(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(error)
                if matches!(
                    error.code(),
                    ErrorCode::KeyTooLarge
                        | ErrorCode::ValueTooLarge
                        | ErrorCode::NotEmpty
                        | ErrorCode::InvalidArgument
                ) =>
            {
                self.findings.problem(Problem {
                    file: String::new(),
                    offset: 0,
                    what: error.message().to_owned(),
                });
                Ok(())
            }
            other => other,
        }
    }

    /// Does an operation of the journal again. One that does not fit what is left is a problem, and no failure.
    pub(super) fn apply(&mut self, standing: Standing, op: &Op<'_>) -> Result<(), Error> {
        let shelf = match standing {
            Standing::Next => Shelf::Tree,
            Standing::BehindGap => Shelf::Journal,
        };
        match *op {
            Op::Put { tree, key, value } => self.put(shelf(tree), key, value),
            Op::Delete { tree, key } => {
                let place = self.place(shelf(tree))?;
                let deleted = self.engine.delete(place.tree, &place.key(key), Condition::Always);
                self.unless_refused(deleted.map(|_| ()))
            }
            Op::MovePrefix { tree, from, to } => {
                let place = self.place(shelf(tree))?;
                let moved = self.engine.move_prefix(place.tree, &place.key(from), &place.key(to));
                self.carry_losses(standing, tree, (from, to), true);
                self.unless_refused(moved.map(|_| ()))
            }
            Op::ClonePrefix { tree, from, to } => {
                let place = self.place(shelf(tree))?;
                let cloned = self.engine.clone_within(place.tree, &place.key(from), &place.key(to));
                self.carry_losses(standing, tree, (from, to), false);
                self.unless_refused(cloned.map(|_| ()))
            }
            Op::DeletePrefix { tree, prefix } => {
                let place = self.place(shelf(tree))?;
                let deleted = self.engine.delete_prefix(place.tree, &place.key(prefix));
                self.forget_losses(standing, tree, prefix);
                self.unless_refused(deleted.map(|_| ()))
            }
            Op::CreateTree { tree, name } => {
                self.learn(tree, name);
                match standing {
                    Standing::Next => self.tree(tree).map(|_| ()),
                    Standing::BehindGap => Ok(()),
                }
            }
            Op::DropTree { tree, .. } => self.drop_tree(standing, tree),
            Op::Batch(batch) => batch.ops().try_for_each(|op| self.apply(standing, &op)),
        }
    }

    fn carry_losses(&mut self, standing: Standing, number: u32, prefixes: (&[u8], &[u8]), is_move: bool) {
        if standing == Standing::Next {
            let name = self.name(number);
            self.findings.carry(&name, prefixes, is_move);
        }
    }

    /// Not where the name may be another tree's, whose own is lost.
    fn forget_losses(&mut self, standing: Standing, number: u32, prefix: &[u8]) {
        let known = self.names.get(&number).filter(|name| !name.starts_with(NAMELESS));
        if standing == Standing::Next
            && let Some(name) = known
        {
            self.findings.forget(name, prefix);
        }
    }

    fn drop_tree(&mut self, standing: Standing, number: u32) -> Result<(), Error> {
        if standing == Standing::BehindGap {
            let place = self.place(Shelf::Journal(number))?;
            return self.engine.delete_prefix(place.tree, &place.before).map(|_| ());
        }
        self.forget_losses(standing, number, &[]);
        if let Some(named) = self.trees.remove(&number) {
            self.engine.drop_tree(&named.name)?;
            self.taken.remove(&named.name);
        }
        Ok(())
    }

    /// What has become of it all; `version` is the last commit of which nothing is missing, if that is known.
    pub(super) fn report(self, version: Option<u64>) -> Result<SalvageReport, Error> {
        let mut keys = 0;
        for named in self.trees.values() {
            keys += self.engine.count(named.id, b"")?;
        }
        let unplaced = match &self.lost_and_found {
            Some(named) => self.engine.count(named.id, b"")?,
            None => 0,
        };
        let (lost_frames, lost_values) = (self.findings.lost_frames, self.findings.lost_values);
        let mut findings = self.findings;
        Ok(SalvageReport {
            version,
            trees: self.trees.len() as u64,
            keys,
            lost_and_found: self.lost_and_found.map(|named| named.name),
            unplaced,
            lost_frames,
            lost_values,
            lost: std::mem::take(&mut findings.lost),
            problems: findings.into_problems(),
        })
    }

    /// The number of the tree that a catalog's record names, learnt from it.
    pub(super) fn learn_from_catalog(&mut self, path: &[u8], value: &[u8]) -> Option<u32> {
        let name = path.strip_prefix(&CATALOG.to_be_bytes())?;
        let number = u32::from_le_bytes(value.try_into().ok()?);
        self.learn(number, name);
        Some(number)
    }
}
