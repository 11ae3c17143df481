//! Damaged databases rebuilt from what still checks: the trees hold what was there at the commit that the report names, less
//! what was lost, and whatever has no place is something that was there once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coppice_disk::MemoryDisk;
use coppice_engine::{Database, ErrorCode, Options, SalvageReport, salvage_disk};
use fastrand::Rng;

use crate::{
    contents::Contents,
    disk::SimDisk,
    medium::Medium,
    model::{Edit, Model, Value},
    session::{Checked, Legal, Session, broken, violation, world_of},
    workload::{Profile, Step},
};

/// Damaged copies of the database that a seed makes.
const COPIES: usize = 40;
/// A copy is damaged in so many ways at most.
const MOST_DAMAGES: usize = 4;
const PAGE_BYTES: usize = 4096;
/// Values of this length may be numbers of trees, out of a catalog that has lost its place.
const NUMBER_BYTES: usize = 4;

/// What was rebuilt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Damaged databases.
    pub images: u64,
    /// Of these, how many could not be rebuilt, since nothing said whose they were.
    pub refused: u64,
    /// How many were kept whole.
    pub whole: u64,
    /// Records that were in their trees.
    pub placed: u64,
    /// Records without a place.
    pub unplaced: u64,
}

impl Rebuilt {
    /// Adds another matrix's figures.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.refused += other.refused;
        self.whole += other.whole;
        self.placed += other.placed;
        self.unplaced += other.unplaced;
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// A database to damage, and all that it ever was.
struct Base {
    profile: Profile,
    files: Files,
    /// The same files a while before.
    older: Files,
    history: BTreeMap<u64, Model>,
    values: BTreeSet<Value>,
}

fn files_of(medium: &Medium) -> Files {
    let bytes = |(name, id): (&String, usize)| (name.clone(), medium.contents(id).to_vec());
    medium.names().map(bytes).collect()
}

impl Base {
    fn make(profile: Profile, seed: u64) -> Checked<Self> {
        let mut session = Session::run(Profile { steps: 0, ..profile }, seed, None)?;
        let mut base = Self {
            profile,
            files: Files::new(),
            older: Files::new(),
            history: BTreeMap::from([(0, Model::default())]),
            values: BTreeSet::new(),
        };
        let mut rng = Rng::with_seed(seed);
        for number in 0..profile.steps {
            let step = profile.draw(&session.model, &mut rng);
            base.execute(&mut session, &step)?;
            if number == profile.steps / 2 {
                base.older = files_of(&session.disk.medium());
            }
        }
        if seed.is_multiple_of(3) {
            base.execute(&mut session, &Step::Close)?;
        }
        base.files = files_of(&session.disk.medium());
        Ok(base)
    }

    fn execute(&mut self, session: &mut Session, step: &Step) -> Checked<()> {
        let mut model = session.model.clone();
        for commit in step.commits(&model) {
            model.apply(&commit);
            // Those too that a batch puts and deletes again: they are in graves.
            for edit in &commit.edits {
                if let Edit::Put(_, _, _, value) = edit {
                    self.values.insert(Arc::clone(value));
                }
            }
            self.history.insert(commit.sequence, model.clone());
        }
        session.execute(step)
    }

    /// A copy with some damage, and what that is.
    fn damaged(&self, rng: &mut Rng) -> (Files, String) {
        let mut files = self.files.clone();
        let mut done = Vec::new();
        for _ in 0..rng.usize(1..=MOST_DAMAGES) {
            let names: Vec<String> = files.keys().cloned().collect();
            let Some(name) = rng.choice(names) else { break };
            let bytes = files.entry(name.clone()).or_default();
            let len = bytes.len();
            let what = match rng.u32(..12) {
                _ if len == 0 => "empty",
                0..5 => {
                    let at = rng.usize(..len);
                    bytes[at] ^= 1 << rng.u32(..8);
                    "a flipped bit"
                }
                5..7 => {
                    let start = rng.usize(..len) / 512 * 512;
                    let end = (start + 512 * rng.usize(1..8)).min(len);
                    bytes[start..end].fill(0);
                    "zeros"
                }
                7 => {
                    let page = |rng: &mut Rng| rng.usize(..len.div_ceil(PAGE_BYTES)) * PAGE_BYTES;
                    let (from, to) = (page(rng), page(rng));
                    let moved = PAGE_BYTES.min(len - from).min(len - to);
                    bytes.copy_within(from..from + moved, to);
                    "a page astray"
                }
                8 => {
                    bytes.truncate(rng.usize(..len));
                    "cut off"
                }
                9 => {
                    bytes.extend((0..300).map(|_| rng.u8(..)));
                    "garbage at its end"
                }
                10 => match self.older.get(&name) {
                    Some(older) => {
                        bytes.clone_from(older);
                        "older"
                    }
                    None => "as it is",
                },
                _ => {
                    files.remove(&name);
                    "missing"
                }
            };
            done.push(format!("{name}: {what}"));
        }
        (files, done.join(", "))
    }

    fn rebuild(&self, files: &Files, rebuilt: &mut Rebuilt) -> Checked<()> {
        rebuilt.images += 1;
        let contents = files
            .iter()
            .map(|(name, bytes)| (name.clone(), Contents::from(&bytes[..])));
        let disk: SimDisk<Legal> = SimDisk::over(Medium::of(contents));
        let destination = MemoryDisk::new();
        let report = match salvage_disk(&disk, Arc::new(destination.clone())) {
            Ok(report) => report,
            Err(error) if matches!(error.code(), ErrorCode::Corrupt | ErrorCode::NotFound) => {
                rebuilt.refused += 1;
                return Ok(());
            }
            Err(error) => return violation!("{:?}: {error}", error.code()),
        };
        if files_of(&disk.medium()) != *files {
            return violation!("the damaged database was changed");
        }
        let mut world = world_of(&disk, self.profile, 7);
        world.disk = Arc::new(destination);
        let options = Options {
            create: false,
            ..Options::default()
        };
        let opening = |error| broken!("opening the new one: {error}");
        let database = Database::open_in(&world, &options).map_err(opening)?;
        database.check().map_err(opening)?;
        self.compare(&report, &Model::read(&database).map_err(opening)?, rebuilt)
    }

    fn compare(&self, report: &SalvageReport, found: &Model, rebuilt: &mut Rebuilt) -> Checked<()> {
        for (name, tree) in &found.trees {
            if report.lost_and_found.as_ref() == Some(name) {
                rebuilt.unplaced += tree.len() as u64;
                let strange = tree
                    .iter()
                    .find(|(_, (_, value))| value.len() != NUMBER_BYTES && !self.values.contains(value));
                if let Some((key, _)) = strange {
                    return violation!("{:?} has a value that never was there", String::from_utf8_lossy(key));
                }
            } else {
                rebuilt.placed += tree.len() as u64;
            }
        }
        let Some(version) = report.version else {
            let shows = |model: &Model| Self::check_shown(report, found, model).is_ok();
            return match self.history.values().any(shows) {
                true => Ok(()),
                false => violation!("the trees are those of no commit: {report:?}"),
            };
        };
        let Some(model) = self.history.get(&version) else {
            return violation!("there was no commit {version}");
        };
        Self::check_shown(report, found, model)?;
        if report.problems.is_empty() {
            rebuilt.whole += 1;
            if found.records() != model.records() || found.trees.len() != model.trees.len() {
                return violation!("something is lost, and nothing is said of it: {report:?}");
            }
        }
        Ok(())
    }

    /// Whether the trees have nothing but what was there.
    fn check_shown(report: &SalvageReport, found: &Model, model: &Model) -> Checked<()> {
        let placed = found
            .trees
            .iter()
            .filter(|(name, _)| report.lost_and_found.as_ref() != Some(name));
        for (name, tree) in placed {
            let Some(was) = model.trees.get(name) else {
                // The names of trees can be lost.
                match name.starts_with("tree-") {
                    true => continue,
                    false => return violation!("there was no tree {name:?} then: {report:?}"),
                }
            };
            for (key, (_, value)) in tree {
                if was.get(key).is_none_or(|(_, was)| was != value) {
                    let key = String::from_utf8_lossy(key);
                    return violation!("{name:?} has a wrong value for {key:?}: {report:?}");
                }
            }
        }
        Ok(())
    }
}

/// Damages copies of a database that `seed` makes, and rebuilds each.
///
/// # Errors
/// The first that is wrong, and how to come to it again.
pub fn salvage_matrix(profile: Profile, seed: u64) -> Checked<Rebuilt> {
    let base = Base::make(profile, seed)?;
    let mut rng = Rng::with_seed(!seed);
    let mut rebuilt = Rebuilt::default();
    base.rebuild(&base.files, &mut rebuilt)
        .map_err(|violation| broken!("seed {seed}, undamaged: {violation}"))?;
    for copy in 0..COPIES {
        let (files, what) = base.damaged(&mut rng);
        base.rebuild(&files, &mut rebuilt)
            .map_err(|violation| broken!("seed {seed}, copy {copy}, {what}: {violation}"))?;
    }
    Ok(rebuilt)
}
