//! The whole of a database's operations against ordered maps, one call after the other, as fast as they go.
//!
//! Owns a run: which calls are made, in which order, with which arguments. All of it comes from [`Choices`], a seed's or a
//! fuzzer's. After each call, what it answered is compared with what the maps say; now and then everything is. Frames are
//! tiny as a rule, so that a few hundred keys split, join and move them all the time.

mod batches;
mod calls;
mod choices;
mod maps;
mod reads;
mod snapshots;
mod writes;

use std::sync::Arc;

use coppice_disk::MemoryDisk;
use coppice_engine::{Database, Error, Options, TreeId, World};

use self::{maps::Maps, snapshots::Kept};
use crate::{
    session::{Checked, broken, violation},
    suites::Figures,
};

pub use choices::Choices;

/// Trees that a run uses.
const TREES: usize = 3;
/// Beyond so many keys a run takes some out.
const MAX_KEYS: usize = 1500;

/// No database takes room for fewer.
const LEAST_FRAMES: u64 = 64;

/// What runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Runs.
    pub runs: u64,
    /// Calls whose answer was compared.
    pub calls: u64,
    /// Closes, or kills, with an open behind them.
    pub reopens: u64,
    /// Comparisons of all there is.
    pub checks: u64,
    /// Blobs that were evicted.
    pub evictions: u64,
}

impl Figures for Agreed {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.reopens += other.reopens;
        self.checks += other.checks;
        self.evictions += other.evictions;
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("runs", self.runs),
            ("calls", self.calls),
            ("reopens", self.reopens),
            ("checks of everything", self.checks),
            ("evictions", self.evictions),
        ]
    }
}

/// A database, and what must be in it.
struct Run<'c> {
    choices: Choices<'c>,
    world: World,
    options: Options,
    database: Database,
    /// By the tree's place among the names.
    handles: [TreeId; TREES],
    maps: Maps,
    kept: Vec<Kept>,
    done: Agreed,
}

fn tree_name(tree: usize) -> &'static str {
    ["", "a", "second tree"].get(tree).copied().unwrap_or_default()
}

fn handles_of(open: impl Fn(&str) -> Result<TreeId, Error>) -> Checked<[TreeId; TREES]> {
    let mut found = [TreeId(0); TREES];
    for (tree, handle) in found.iter_mut().enumerate() {
        *handle = open(tree_name(tree)).map_err(|error| broken!("opening a tree: {error}"))?;
    }
    Ok(found)
}

/// Makes up to `calls` calls, as long as there are choices left.
///
/// # Errors
/// The first call whose answer is not the maps', or what does not fit together inside.
pub fn agree(mut choices: Choices<'_>, calls: u64) -> Checked<Agreed> {
    let random = fastrand::Rng::with_seed(choices.below(1 << 16) as u64);
    let random = parking_lot::Mutex::new(random);
    let world = World {
        disk: Arc::new(MemoryDisk::new()),
        random: Arc::new(move || random.lock().u64(..)),
        segment_bytes: 1 << 20,
        map_log_bytes: 64 << 10,
    };
    let shape = choices.below(8);
    let frame_bytes = [4096, 4096, 8192, 65536][shape % 4];
    // Half of the runs have room for the fewest frames that are taken, so that they evict amid everything.
    let memory_bytes = if shape < 4 {
        LEAST_FRAMES * u64::from(frame_bytes)
    } else {
        Options::default().memory_bytes
    };
    let options = Options {
        frame_bytes,
        memory_bytes,
        ..Options::default()
    };
    let database = Database::open_in(&world, &options).map_err(|error| broken!("creating: {error}"))?;
    let mut run = Run {
        handles: handles_of(|name| database.tree(name))?,
        maps: Maps::new(TREES, options.frame_bytes as usize),
        kept: Vec::new(),
        choices,
        world,
        options,
        database,
        done: Agreed {
            runs: 1,
            ..Agreed::default()
        },
    };
    while run.done.calls < calls && !run.choices.is_at_end() {
        run.call()?;
        run.done.calls += 1;
        if run.maps.keys() > MAX_KEYS {
            run.thin_out()?;
        }
    }
    run.check()?;
    run.count_evictions()?;
    Ok(run.done)
}

impl Run<'_> {
    /// Closes the database, or leaves it as a killed process would, and opens it again.
    fn reopen(&mut self) -> Checked<()> {
        self.kept.clear();
        self.count_evictions()?;
        if self.choices.below(2) == 0 {
            self.database.close().map_err(|error| broken!("closing: {error}"))?;
        }
        self.database =
            Database::open_in(&self.world, &self.options).map_err(|error| broken!("opening again: {error}"))?;
        self.handles = handles_of(|name| self.database.tree(name))?;
        self.done.reopens += 1;
        Ok(())
    }

    /// Adds those since the last open.
    fn count_evictions(&mut self) -> Checked<()> {
        let stats = self.database.stats().map_err(|error| broken!("stats: {error}"))?;
        self.done.evictions += stats.memory_evictions;
        Ok(())
    }

    /// Compares everything.
    fn check(&mut self) -> Checked<()> {
        self.done.checks += 1;
        self.database
            .check()
            .map_err(|error| broken!("a check of all frames: {error}"))?;
        for tree in 0..TREES {
            let found = reads::all_of(|range, visit| {
                self.database
                    .scan(self.handles[tree], range, &mut |key, record| visit(key, record))
            })
            .map_err(|error| broken!("a scan of all: {error}"))?;
            let expected = self.maps.all_of(tree);
            if found != expected {
                let at = found
                    .iter()
                    .zip(&expected)
                    .position(|(found, expected)| found != expected);
                let at = at.unwrap_or(found.len().min(expected.len()));
                return violation!(
                    "tree {tree} has {} records, not {}; from number {at} on {:?}, not {:?}",
                    found.len(),
                    expected.len(),
                    found.get(at),
                    expected.get(at)
                );
            }
        }
        self.check_snapshots()
    }
}

/// One run of [`agree`] with a seed's choices: 20,000 calls.
///
/// # Errors
/// As [`agree`], with the seed.
pub fn agreement_suite(seed: u64) -> Checked<Agreed> {
    const CALLS: u64 = 20_000;
    agree(Choices::of_seed(seed), CALLS).map_err(|found| broken!("seed {seed}: {found}"))
}
