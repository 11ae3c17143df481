//! What a run does to a database: steps drawn from a seed, and what each must come to.
//!
//! A new operation of the engine is one more variant of [`Step`]: how it is drawn ([`Profile::draw`]), what it commits
//! ([`Step::commits`]) and how it is called ([`Step::call`]).

use std::{collections::BTreeMap, ops::ControlFlow};

use coppice_engine::{Condition, Database, Durability, Error, Operation, Outcome, TreeId};
use fastrand::Rng;

use crate::model::{Commit, Edit, Model, Value};

/// One thing that a run does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Opens a tree, which may be new.
    Tree(String),
    /// Puts a record.
    Put(String, Vec<u8>, Value, Condition),
    /// Puts many, each a commit of its own.
    PutMany(String, Vec<(Vec<u8>, Value)>),
    /// Deletes a record, which may be absent.
    Delete(String, Vec<u8>),
    /// Moves a record to another key.
    Rename(String, Vec<u8>, Vec<u8>, bool),
    /// Does all of these together, or none.
    Batch(Vec<Part>),
    /// Moves all keys under a prefix to under another.
    MovePrefix(String, Vec<u8>, Vec<u8>),
    /// Has all keys under a prefix a second time under another.
    ClonePrefix(String, Vec<u8>, Vec<u8>),
    /// Removes all keys under a prefix.
    DeletePrefix(String, Vec<u8>),
    /// Removes a tree.
    DropTree(String),
    /// Frees some of what deletions left.
    Tidy,
    /// Gives file space back.
    Compact,
    /// Takes a snapshot, or compares the one that is held with what it must show, and lets it go.
    Snapshot,
    /// Makes what was written durable.
    Flush,
    /// Moves it to the file of blobs.
    Checkpoint,
    /// Closes and opens again.
    Close,
    /// Opens again what a killed process left.
    Kill,
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Part {
    /// Puts a record.
    Put(String, Vec<u8>, Value, Condition),
    /// Deletes a record, which may be absent.
    Delete(String, Vec<u8>),
    /// Moves a record, which must be there, to another key.
    Rename(String, Vec<u8>, Vec<u8>, bool),
    /// Moves all keys under a prefix to under another.
    MovePrefix(String, Vec<u8>, Vec<u8>),
    /// Removes all keys under a prefix.
    DeletePrefix(String, Vec<u8>),
}

/// Handles on trees, which are those of one open database.
pub type Handles = BTreeMap<String, TreeId>;

impl Step {
    /// What the step commits when it succeeds, in order, on top of this state.
    pub fn commits(&self, model: &Model) -> Vec<Commit> {
        let next = model.sequence + 1;
        let one = |edit| {
            vec![Commit {
                sequence: next,
                edits: vec![edit],
            }]
        };
        let record = |tree: &String, key: &Vec<u8>| model.record(tree, key);
        match self {
            Self::Tree(name) if !model.trees.contains_key(name) => one(Edit::NewTree(name.clone())),
            Self::Put(tree, key, value, condition) => {
                let version = record(tree, key).map(|record| record.0);
                if !holds(*condition, version) {
                    return Vec::new();
                }
                one(Edit::Put(tree.clone(), key.clone(), next, value.clone()))
            }
            Self::PutMany(tree, entries) => (next..)
                .zip(entries)
                .map(|(sequence, (key, value))| Commit {
                    sequence,
                    edits: vec![Edit::Put(tree.clone(), key.clone(), sequence, value.clone())],
                })
                .collect(),
            Self::Delete(tree, key) if record(tree, key).is_some() => one(Edit::Delete(tree.clone(), key.clone())),
            Self::Rename(tree, from, to, overwrite) => {
                let rename = Part::Rename(tree.clone(), from.clone(), to.clone(), *overwrite);
                together(&[rename], model).unwrap_or_default()
            }
            Self::Batch(parts) => together(parts, model).unwrap_or_default(),
            Self::MovePrefix(tree, from, to) => {
                let moved = Part::MovePrefix(tree.clone(), from.clone(), to.clone());
                together(&[moved], model).unwrap_or_default()
            }
            Self::ClonePrefix(tree, from, to) if !model.keys_under(tree, from).is_empty() => {
                one(Edit::ClonePrefix(tree.clone(), from.clone(), to.clone()))
            }
            Self::DeletePrefix(tree, prefix) => {
                let deleted = Part::DeletePrefix(tree.clone(), prefix.clone());
                together(&[deleted], model).unwrap_or_default()
            }
            Self::DropTree(name) if model.trees.contains_key(name) => one(Edit::DropTree(name.clone())),
            Self::Tree(_)
            | Self::Delete(..)
            | Self::ClonePrefix(..)
            | Self::DropTree(_)
            | Self::Tidy
            | Self::Compact
            | Self::Snapshot
            | Self::Flush
            | Self::Checkpoint
            | Self::Close
            | Self::Kill => Vec::new(),
        }
    }

    /// Calls the engine, and compares what it answers with what it must. Closing, opening and snapshots are the session's.
    ///
    /// # Errors
    /// The engine's.
    pub fn call(&self, database: &Database, handles: &mut Handles, commits: &[Commit]) -> Result<(), Error> {
        let version = commits.first().map(|commit| commit.sequence);
        match self {
            Self::Tree(name) => {
                handles.insert(name.clone(), database.tree(name)?);
            }
            Self::Put(tree, key, value, condition) => {
                let put = database.put(handles[tree], key, value, *condition)?;
                assert_eq!(put, version, "the version of a put");
            }
            Self::PutMany(tree, entries) => {
                let mut pairs = entries.iter().map(|(key, value)| (&key[..], &value[..]));
                let put = database.put_many(handles[tree], &mut pairs)?;
                assert_eq!(put, entries.len() as u64, "how many were put");
            }
            Self::Delete(tree, key) => {
                let deleted = database.delete(handles[tree], key, Condition::Always)?;
                assert_eq!(deleted, version.is_some(), "whether a key was there");
            }
            Self::Rename(tree, from, to, overwrite) => {
                let renamed = database.rename(handles[tree], from, to, *overwrite)?;
                assert_eq!(renamed, version.is_some(), "whether a key was renamed");
            }
            Self::Batch(parts) => {
                let operations: Vec<Operation<'_>> = parts.iter().map(|part| part.operation(handles)).collect();
                let outcome = database.commit(&operations)?;
                if let Some(version) = version {
                    assert_eq!(outcome, Outcome::Committed { version }, "how a batch ended");
                }
            }
            Self::MovePrefix(tree, from, to) => {
                let moved = database.move_prefix(handles[tree], from, to)?;
                assert_eq!(moved > 0, version.is_some(), "whether a move had anything to move");
            }
            Self::ClonePrefix(tree, from, to) => {
                // One to below itself is made as earlier versions made it, and replayed.
                let cloned = database.clone_within(handles[tree], from, to)?;
                assert_eq!(cloned > 0, version.is_some(), "whether a clone had anything to copy");
            }
            Self::DeletePrefix(tree, prefix) => {
                let deleted = database.delete_prefix(handles[tree], prefix)?;
                assert_eq!(
                    deleted > 0,
                    version.is_some(),
                    "whether a prefix had anything to delete"
                );
            }
            Self::DropTree(name) => {
                let dropped = database.drop_tree(name)?;
                assert_eq!(dropped, version.is_some(), "whether there was a tree to drop");
                handles.remove(name);
            }
            Self::Tidy => {
                database.tidy()?;
            }
            Self::Compact => {
                database.compact(&mut |_, _| ControlFlow::Continue(()))?;
            }
            Self::Flush => database.flush()?,
            Self::Checkpoint => {
                let report = database.checkpoint()?;
                assert_eq!(report.dirty_blobs, report.flushed_blobs, "what a checkpoint wrote");
            }
            Self::Snapshot | Self::Close | Self::Kill => {}
        }
        Ok(())
    }

    /// Whether it writes whatever there is.
    pub fn always_writes(&self) -> bool {
        match self {
            Self::Put(_, _, _, Condition::Always) => true,
            Self::PutMany(_, entries) => !entries.is_empty(),
            _ => false,
        }
    }

    /// Whether all that was written before is on disk when the step has succeeded. One that `wrote` nothing may do so after a
    /// failure that ended all writing, and vouches for nothing then.
    pub fn settles(&self, durability: Durability, wrote: bool) -> bool {
        match self {
            Self::Flush | Self::Checkpoint | Self::Compact | Self::Close => true,
            Self::Kill => durability != Durability::None,
            Self::Tree(_)
            | Self::Put(..)
            | Self::PutMany(..)
            | Self::Delete(..)
            | Self::Rename(..)
            | Self::MovePrefix(..)
            | Self::ClonePrefix(..)
            | Self::DeletePrefix(..)
            | Self::DropTree(_)
            | Self::Batch(_) => durability == Durability::Disk && wrote,
            Self::Tidy | Self::Snapshot => false,
        }
    }
}

impl Part {
    fn operation<'a>(&'a self, handles: &Handles) -> Operation<'a> {
        match self {
            Self::Put(tree, key, value, condition) => Operation::Put {
                tree: handles[tree],
                key,
                value,
                condition: *condition,
            },
            Self::Delete(tree, key) => Operation::Delete {
                tree: handles[tree],
                key,
                condition: Condition::Always,
            },
            Self::Rename(tree, from, to, overwrite) => Operation::Rename {
                tree: handles[tree],
                from,
                to,
                overwrite: *overwrite,
            },
            Self::MovePrefix(tree, from, to) => Operation::MovePrefix {
                tree: handles[tree],
                from,
                to,
            },
            Self::DeletePrefix(tree, prefix) => Operation::DeletePrefix {
                tree: handles[tree],
                prefix,
            },
        }
    }
}

fn holds(condition: Condition, version: Option<u64>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => version.is_none(),
        Condition::IfPresent => version.is_some(),
        Condition::IfVersion(wanted) => version == Some(wanted),
    }
}

/// The one commit that a batch makes, if it changes anything; `None` where a condition does not hold.
fn together(parts: &[Part], model: &Model) -> Option<Vec<Commit>> {
    let sequence = model.sequence + 1;
    let mut after = model.clone();
    let mut edits = Vec::new();
    for part in parts {
        let record = |tree: &String, key: &Vec<u8>| after.record(tree, key).cloned();
        let mut made = Vec::new();
        match part {
            Part::Put(tree, key, value, condition) => {
                if !holds(*condition, record(tree, key).map(|record| record.0)) {
                    return None;
                }
                made.push(Edit::Put(tree.clone(), key.clone(), sequence, value.clone()));
            }
            Part::Delete(tree, key) if record(tree, key).is_some() => {
                made.push(Edit::Delete(tree.clone(), key.clone()));
            }
            Part::Delete(..) => {}
            Part::Rename(tree, from, to, overwrite) => {
                let (_, value) = record(tree, from)?;
                if record(tree, to).is_some() && !overwrite {
                    return None;
                }
                made.push(Edit::Delete(tree.clone(), from.clone()));
                made.push(Edit::Put(tree.clone(), to.clone(), sequence, value));
            }
            Part::MovePrefix(tree, from, to) if !after.keys_under(tree, from).is_empty() => {
                made.push(Edit::MovePrefix(tree.clone(), from.clone(), to.clone()));
            }
            Part::DeletePrefix(tree, prefix) if !after.keys_under(tree, prefix).is_empty() => {
                made.push(Edit::DeletePrefix(tree.clone(), prefix.clone()));
            }
            Part::MovePrefix(..) | Part::DeletePrefix(..) => {}
        }
        let made = Commit { sequence, edits: made };
        after.apply(&made);
        edits.extend(made.edits);
    }
    match edits.is_empty() {
        true => Some(Vec::new()),
        false => Some(vec![Commit { sequence, edits }]),
    }
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What a returned write has survived.
    pub durability: Durability,
    /// How many steps.
    pub steps: usize,
    /// Of a thousand steps, how many are checkpoints.
    pub checkpoints: u32,
    /// Of a thousand steps, how many close or kill.
    pub reopens: u32,
    /// Deletes begin to outnumber puts when there are about this many records.
    pub records: usize,
    /// The size of the journal's segments, bytes.
    pub segment_bytes: u64,
    /// Whether the disk maps files.
    pub maps: bool,
}

impl Profile {
    /// Runs in which everything happens: frames split and join, values get blobs of their own, segments rotate.
    pub fn usual(durability: Durability) -> Self {
        Self {
            durability,
            steps: 60,
            checkpoints: 60,
            reopens: 20,
            records: 260,
            segment_bytes: 4096,
            maps: true,
        }
    }

    /// Small ones, for suites that run many.
    pub fn small(durability: Durability) -> Self {
        Self {
            steps: 18,
            checkpoints: 120,
            reopens: 40,
            records: 80,
            segment_bytes: 1024,
            ..Self::usual(durability)
        }
    }

    /// So many checkpoints that the map's log is rewritten again and again.
    pub fn checkpoints(durability: Durability) -> Self {
        Self {
            steps: 200,
            checkpoints: 500,
            reopens: 5,
            ..Self::usual(durability)
        }
    }

    /// The next step of a run.
    pub fn draw(&self, model: &Model, rng: &mut Rng) -> Step {
        let trees: Vec<&String> = model.trees.keys().collect();
        if trees.is_empty() || (trees.len() < TREES.len() && rng.u32(..1000) < 15) {
            return Step::Tree(TREES[rng.usize(..TREES.len())].to_owned());
        }
        let tree = trees[rng.usize(..trees.len())].clone();
        let roll = rng.u32(..1000);
        if roll < self.checkpoints {
            return Step::Checkpoint;
        }
        if roll < self.checkpoints + self.reopens {
            // At 'none' a kill would take back what the model has.
            return if self.durability == Durability::None || rng.bool() {
                Step::Close
            } else {
                Step::Kill
            };
        }
        if roll < self.checkpoints + self.reopens + 60 {
            return Step::Flush;
        }
        let crowded = model.records() > self.records / 2 + rng.usize(..self.records);
        let there = |rng: &mut Rng| {
            let records = &model.trees[&tree];
            (!records.is_empty())
                .then(|| records.iter().nth(rng.usize(..records.len())))
                .flatten()
        };
        match rng.u32(..20) {
            18..20 => match draw_clone(model, &tree, 2 * self.records, rng) {
                Some((from, to)) => Step::ClonePrefix(tree, from, to),
                None => Step::Tidy,
            },
            13 => match draw_move(model, &tree, rng) {
                Some((from, to)) => Step::MovePrefix(tree, from, to),
                None => Step::Tidy,
            },
            14 if trees.len() > 1 && rng.u32(..12) == 0 => Step::DropTree(tree),
            14 => Step::DeletePrefix(tree.clone(), draw_prefix(model, &tree, rng)),
            15 if rng.u32(..4) == 0 => Step::Compact,
            15 => Step::Tidy,
            16..18 => Step::Snapshot,
            10 => match there(rng) {
                Some((from, _)) => {
                    let to = if rng.u32(..4) == 0 {
                        there(rng).map(|(key, _)| key.clone())
                    } else {
                        None
                    };
                    let to = to.unwrap_or_else(|| draw_key(rng));
                    Step::Rename(tree.clone(), from.clone(), to, rng.bool())
                }
                None => Step::Rename(tree, draw_key(rng), draw_key(rng), true),
            },
            11..13 => Step::Batch(draw_batch(model, &trees, crowded, rng)),
            0..3 if !crowded => {
                let count = rng.usize(..40);
                let entries = (0..count).map(|_| (draw_key(rng), draw_value(rng))).collect();
                Step::PutMany(tree, entries)
            }
            0..2 | 3..5 => match there(rng) {
                Some((key, _)) if rng.u32(..8) > 0 => Step::Delete(tree, key.clone()),
                _ => Step::Delete(tree, draw_key(rng)),
            },
            5 => match there(rng) {
                Some((key, (version, _))) => {
                    let condition = match rng.u32(..4) {
                        0 => Condition::IfVersion(*version),
                        1 => Condition::IfVersion(version + 1),
                        2 => Condition::IfAbsent,
                        _ => Condition::Always,
                    };
                    Step::Put(tree, key.clone(), draw_value(rng), condition)
                }
                None => Step::Put(tree, draw_key(rng), draw_value(rng), Condition::IfAbsent),
            },
            _ => Step::Put(tree, draw_key(rng), draw_value(rng), Condition::Always),
        }
    }
}

/// What some keys of a tree start with; now and then none does.
fn draw_prefix(model: &Model, tree: &str, rng: &mut Rng) -> Vec<u8> {
    let records = &model.trees[tree];
    if records.is_empty() || rng.u32(..8) == 0 {
        return draw_key(rng);
    }
    let mut key = records
        .keys()
        .nth(rng.usize(..records.len()))
        .cloned()
        .unwrap_or_default();
    let folders: Vec<usize> = (1..=key.len()).filter(|end| key[end - 1] == b'/').collect();
    let end = match folders.len() {
        count @ 1.. if rng.u32(..4) > 0 => folders[rng.usize(..count)],
        _ => rng.usize(..=key.len()),
    };
    key.truncate(end);
    key
}

/// A move that can be done: its prefixes apart, and nothing where it leads to.
fn draw_move(model: &Model, tree: &str, rng: &mut Rng) -> Option<(Vec<u8>, Vec<u8>)> {
    let (from, to) = (draw_prefix(model, tree, rng), draw_key(rng));
    can_move(model, tree, &from, &to).then_some((from, to))
}

fn can_move(model: &Model, tree: &str, from: &[u8], to: &[u8]) -> bool {
    let apart = !from.starts_with(to) && !to.starts_with(from);
    apart && has_place(model, tree, from, to)
}

/// Whether all keys under a prefix can be under another.
fn has_place(model: &Model, tree: &str, from: &[u8], to: &[u8]) -> bool {
    let longest = model
        .keys_under(tree, from)
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or_default();
    model.keys_under(tree, to).is_empty() && (longest + to.len()).saturating_sub(from.len()) <= MAX_KEY_BYTES
}

/// A clone that can be made, to below itself now and then; of as many keys as make no more than so many records.
fn draw_clone(model: &Model, tree: &str, records: usize, rng: &mut Rng) -> Option<(Vec<u8>, Vec<u8>)> {
    let from = draw_prefix(model, tree, rng);
    let to = match rng.u32(..4) {
        0 => [&from[..], b"copy/"].concat(),
        _ => draw_key(rng),
    };
    let fits = model.records() + model.keys_under(tree, &from).len() <= records;
    (fits && has_place(model, tree, &from, &to)).then_some((from, to))
}

/// A batch that is not refused; its conditions may fail it.
fn draw_batch(model: &Model, trees: &[&String], crowded: bool, rng: &mut Rng) -> Vec<Part> {
    let mut parts = Vec::new();
    for _ in 0..rng.u32(1..8) {
        let part = draw_part(model, trees, crowded, rng);
        if let Part::MovePrefix(tree, from, to) = &part {
            // What the operations before it leave decides.
            let mut here = model.clone();
            for commit in together(&parts, model).unwrap_or_default() {
                here.apply(&commit);
            }
            if !can_move(&here, tree, from, to) {
                continue;
            }
        }
        parts.push(part);
    }
    parts
}

/// One operation of a batch; few of them fail it.
fn draw_part(model: &Model, trees: &[&String], crowded: bool, rng: &mut Rng) -> Part {
    let tree = trees[rng.usize(..trees.len())].clone();
    let records = &model.trees[&tree];
    let there = match records.len() {
        0 => None,
        len => records.iter().nth(rng.usize(..len)),
    };
    match (rng.u32(..10), there) {
        (8, Some(_)) => Part::DeletePrefix(tree.clone(), draw_prefix(model, &tree, rng)),
        (9, Some(_)) => Part::MovePrefix(tree.clone(), draw_prefix(model, &tree, rng), draw_key(rng)),
        (0..3, Some((key, _))) => Part::Delete(tree, key.clone()),
        (3, Some((from, _))) => Part::Rename(tree, from.clone(), draw_key(rng), true),
        (4, Some((key, (version, _)))) => {
            let condition = [
                Condition::IfVersion(*version),
                Condition::IfPresent,
                Condition::IfAbsent,
            ][rng.usize(..3)];
            Part::Put(tree, key.clone(), draw_value(rng), condition)
        }
        _ if crowded => Part::Delete(tree, draw_key(rng)),
        _ => Part::Put(tree, draw_key(rng), draw_value(rng), Condition::Always),
    }
}

/// What fits frames of 4 KiB.
const MAX_KEY_BYTES: usize = 500;
const TREES: [&str; 3] = ["", "artifacts", "t/\u{0}"];

/// Paths of a small world, so that keys meet again; and now and then any bytes.
fn draw_key(rng: &mut Rng) -> Vec<u8> {
    let mut key = Vec::new();
    match rng.u32(..12) {
        0 => {
            let len = rng.usize(..6);
            key.extend((0..len).map(|_| [0, 0xFF, b'/', b'a'][rng.usize(..4)]));
        }
        1 => {
            key.extend_from_slice(b"deep/");
            key.resize(rng.usize(5..500), b'x');
        }
        _ => {
            for _ in 0..rng.u32(1..4) {
                match rng.u32(..3) {
                    0 => key.extend_from_slice(b"bucket-01/objects/"),
                    1 => key.extend_from_slice(format!("{}/", rng.u32(..8)).as_bytes()),
                    _ => key.extend_from_slice(format!("part-{:04}", rng.u32(..60)).as_bytes()),
                }
            }
        }
    }
    key
}

/// Short ones, and now and then one with a blob of its own.
fn draw_value(rng: &mut Rng) -> Value {
    let len = match rng.u32(..40) {
        0 => rng.usize(4000..9000),
        1 => rng.usize(250..1200),
        2..6 => 0,
        _ => rng.usize(1..70),
    };
    let mut value = vec![0; len];
    rng.fill(&mut value);
    value.into()
}
