//! The suites, by seed: what a seed's number stands for, and many seeds on several threads. Tests run a fixed range of
//! seeds; the command of this crate runs as many as it is asked for.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use coppice_engine::Durability;
use parking_lot::Mutex;

use crate::{
    backups::{BackedUp, backup_matrix},
    damage::{Damaged, damage_matrix},
    explore::{Effort, Explored, explore_seed},
    fault::Call,
    faults::{Tried, fault_matrix},
    salvages::{Rebuilt, salvage_matrix},
    session::{Checked, Violation},
    soak::Soaked,
    workload::Profile,
};

/// Figures that can be added up.
pub trait Figures: Default + Send {
    /// Adds another run's.
    fn add(&mut self, other: &Self);
    /// Names and numbers, for the ledger.
    fn list(&self) -> Vec<(&'static str, u64)>;
}

impl Figures for Explored {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("runs", self.runs),
            ("boundaries", self.boundaries),
            ("images", self.images),
            ("images in recovery", self.nested_images),
            ("acknowledged commits looked for", self.acknowledged),
            ("trace", self.trace),
        ]
    }
}

impl Figures for Rebuilt {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("images", self.images),
            ("refused", self.refused),
            ("whole", self.whole),
            ("records in place", self.placed),
            ("records without a place", self.unplaced),
        ]
    }
}

impl Figures for Tried {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("faults", self.faults),
            ("failed syncs", self.failed_syncs),
            ("full disks", self.full_disks),
            ("reopens", self.reopens),
        ]
    }
}

impl Figures for Damaged {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("damaged images", self.images),
            ("flips", self.flips),
            ("refused", self.refused),
            ("in part", self.partial),
            ("whole", self.whole),
        ]
    }
}

impl Figures for BackedUp {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("backups", self.backups),
            ("images", self.images),
            ("faults", self.faults),
            ("refused", self.refused),
        ]
    }
}

impl Figures for Soaked {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("ends", self.ends),
            ("steps acknowledged", self.acknowledged),
            ("commits beyond", self.beyond),
        ]
    }
}

/// Power cuts and kills at every I/O boundary, in a recovery too. Of ten seeds, four are at 'process' and four at 'disk', of
/// these one each on a disk that maps no files; one is at 'none', and one makes so many checkpoints that the map's log is
/// rewritten.
///
/// # Errors
/// See [`explore_seed`].
pub fn crash_suite(seed: u64) -> Checked<Explored> {
    let usual = Effort::usual();
    match seed % 10 {
        at @ 0..8 => {
            let durability = [Durability::Process, Durability::Disk][at as usize / 4];
            let profile = Profile {
                maps: at % 4 < 3,
                ..Profile::usual(durability)
            };
            explore_seed(profile, &usual, seed)
        }
        8 => explore_seed(Profile::usual(Durability::None), &usual, seed),
        _ => {
            let effort = Effort {
                boundaries_percent: 40,
                ..usual
            };
            explore_seed(Profile::checkpoints(Durability::Process), &effort, seed)
        }
    }
}

/// Every call fails in every way that it can, once and from then on. Of five seeds, two are at 'process', two at 'disk', one
/// each on a disk that maps no files.
///
/// # Errors
/// See [`fault_matrix`].
pub fn fault_suite(seed: u64) -> Checked<Tried> {
    let durability = match seed % 5 {
        0..2 => Durability::Process,
        2..4 => Durability::Disk,
        _ => Durability::None,
    };
    let profile = Profile {
        maps: !matches!(seed % 5, 1 | 3),
        ..Profile::small(durability)
    };
    fault_matrix(profile, seed, |_| true)
}

/// Every sync fails, in each of three ways that file systems have; longer runs than [`fault_suite`]'s.
///
/// # Errors
/// See [`fault_matrix`].
pub fn failed_sync_suite(seed: u64) -> Checked<Tried> {
    let durability = [Durability::Process, Durability::Disk][seed as usize % 2];
    let profile = Profile {
        steps: 40,
        ..Profile::small(durability)
    };
    fault_matrix(profile, seed, |call| matches!(call, Call::Sync | Call::SyncFolder))
}

/// Every file damaged in every way, of a database that was closed, for odd seeds, or killed.
///
/// # Errors
/// See [`damage_matrix`].
pub fn damage_suite(seed: u64) -> Checked<Damaged> {
    let durability = [Durability::Process, Durability::Disk][seed as usize / 2 % 2];
    let profile = Profile {
        steps: 30,
        ..Profile::small(durability)
    };
    damage_matrix(profile, seed, seed % 2 == 1)
}

/// Backups of databases that are in use or were just opened, with power cuts and failures of either disk.
///
/// # Errors
/// See [`backup_matrix`].
pub fn backup_suite(seed: u64) -> Checked<BackedUp> {
    let durability = [Durability::Process, Durability::Disk, Durability::None][seed as usize % 3];
    let profile = Profile {
        steps: 40,
        ..Profile::small(durability)
    };
    backup_matrix(profile, seed)
}

/// Databases with several files damaged at once, rebuilt from what still checks; for every third seed it was closed.
///
/// # Errors
/// See [`salvage_matrix`].
pub fn salvage_suite(seed: u64) -> Checked<Rebuilt> {
    let durability = [Durability::Process, Durability::Disk][seed as usize % 2];
    let profile = Profile {
        steps: 60,
        ..Profile::small(durability)
    };
    salvage_matrix(profile, seed)
}

/// Runs a suite over seeds, on several threads, until there are no more or it is `until`. After the first violation, no
/// further seed is begun. The figures do not depend on the threads, but for a trace, which wants one alone. The seed that
/// would have been next, and the figures.
///
/// # Errors
/// The violation, or the panic, and its seed.
pub fn run_seeds<F: Figures>(
    seeds: Range<u64>,
    threads: usize,
    until: Option<Instant>,
    suite: impl Fn(u64) -> Checked<F> + Sync + std::panic::RefUnwindSafe,
) -> Checked<(u64, F)> {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let found: Mutex<Checked<()>> = Mutex::new(Ok(()));
    let all = Mutex::new(F::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let is_over = || until.is_some_and(|until| Instant::now() >= until);
                while !stop.load(Ordering::Relaxed) && !is_over() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match std::panic::catch_unwind(|| suite(seed)) {
                        Ok(Ok(figures)) => all.lock().add(&figures),
                        Ok(Err(violation)) => {
                            stop.store(true, Ordering::Relaxed);
                            *found.lock() = Err(violation);
                        }
                        Err(_) => {
                            stop.store(true, Ordering::Relaxed);
                            *found.lock() = Err(Violation(format!("seed {seed} panicked")));
                        }
                    }
                }
            });
        }
    });
    found.into_inner()?;
    Ok((next.into_inner().min(seeds.end), all.into_inner()))
}

/// Runs a suite's seeds in a test: prints the figures, and panics with the violation.
pub fn test_seeds<F: Figures>(
    seeds: Range<u64>,
    suite: impl Fn(u64) -> Checked<F> + Sync + std::panic::RefUnwindSafe,
) -> F {
    match run_seeds(seeds.clone(), 1, None, suite) {
        Ok((_, figures)) => {
            println!("seeds {seeds:?}: {}", line(&figures));
            figures
        }
        Err(violation) => panic!("{violation}"),
    }
}

/// Figures on one line.
pub fn line(figures: &impl Figures) -> String {
    let show = |(name, number): &(&str, u64)| match *name {
        "trace" => format!("trace {number:016x}"),
        _ => format!("{number} {name}"),
    };
    let all: Vec<String> = figures.list().iter().map(show).collect();
    all.join(", ")
}
