//! The hunt for planted defects: with one of them active, the suites are run one after the other until one fails.
//!
//! A defect is active in the whole process, so each is hunted in a process of its own, which may also hang or die of it.

use std::{
    io::{BufRead, BufReader},
    ops::Range,
    panic,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use coppice_defect::{Defect, plant};
use coppice_engine::Durability;

use crate::{
    agree::{Choices, agree},
    explore::{Effort, explore_seed},
    session::{Checked, broken},
    suites::{backup_suite, crash_suite, damage_suite, failed_sync_suite, fault_suite},
    workload::Profile,
};

/// A process that is not done after this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// One way to look for a defect: its name, and what runs a seed.
type Suite = (&'static str, fn(u64) -> Checked<()>);

const SHORT_CRASH: Suite = ("crash, short", short_crash);
const MAP_CRASH: Suite = ("crash, map", map_crash);
const SYNCS: Suite = ("syncs", |seed| failed_sync_suite(seed).map(drop));
const BACKUPS: Suite = ("backups", |seed| backup_suite(seed).map(drop));
const AGREE: Suite = ("agree, short", |seed| agree(Choices::of_seed(seed), 4000).map(drop));
const FAULTS: Suite = ("faults", |seed| fault_suite(seed).map(drop));
const DAMAGE: Suite = ("damage", |seed| damage_suite(seed).map(drop));
const CRASH: Suite = ("crash", |seed| crash_suite(seed).map(drop));

/// What is tried, and with which seeds: from the quickest to the most thorough.
const HUNT: &[(Suite, Range<u64>)] = &[
    (SHORT_CRASH, 0..3),
    (MAP_CRASH, 0..1),
    (SYNCS, 0..2),
    (BACKUPS, 0..1),
    (AGREE, 0..1),
    (FAULTS, 0..2),
    (DAMAGE, 0..1),
    (SHORT_CRASH, 3..12),
    (BACKUPS, 1..3),
    (AGREE, 1..2),
    (DAMAGE, 1..2),
    (CRASH, 0..4),
];

/// Short runs in all three modes, most images of which are gone on from.
fn short_crash(seed: u64) -> Checked<()> {
    let durability = [Durability::Process, Durability::Disk, Durability::None][seed as usize % 3];
    let effort = Effort {
        cuts: 4,
        continued_percent: 30,
        ..Effort::usual()
    };
    let profile = Profile {
        maps: seed % 4 < 3,
        ..Profile::small(durability)
    };
    explore_seed(profile, &effort, seed).map(drop)
}

/// So many checkpoints that the map's log is rewritten, with cuts there.
fn map_crash(seed: u64) -> Checked<()> {
    let effort = Effort {
        cuts: 4,
        boundaries_percent: 4,
        ..Effort::usual()
    };
    explore_seed(Profile::checkpoints(Durability::Process), &effort, seed).map(drop)
}

/// What a hunt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hunted {
    /// A suite failed with this seed, and said this.
    Caught {
        /// Its name.
        suite: String,
        /// The first of its seeds that brings the defect to light.
        seed: u64,
        /// The violation's first line.
        how: String,
    },
    /// No suite did.
    Missed,
}

/// What stands in place of a defect's name where nothing is planted.
pub const NO_DEFECT: &str = "none";

/// The defect of this name.
pub fn defect_named(name: &str) -> Option<Defect> {
    Defect::ALL.iter().copied().find(|defect| format!("{defect:?}") == name)
}

/// Looks for a defect, or with `None` for what should not be there, in this very process. Says on the standard output what it
/// tries, and then what came of it, for [`hunt`] to read.
pub fn hunt_here(defect: Option<Defect>) {
    // A panic is an answer as any other.
    panic::set_hook(Box::new(|_| {}));
    plant(defect);
    for ((name, run), seeds) in HUNT {
        for seed in seeds.clone() {
            println!("try\t{name}\t{seed}");
            let how = match panic::catch_unwind(|| run(seed)) {
                Ok(Ok(())) => continue,
                Ok(Err(violation)) => violation.to_string(),
                Err(payload) => format!("a panic: {}", text_of(payload.as_ref())),
            };
            println!("caught\t{}", how.lines().next().unwrap_or_default());
            return;
        }
    }
    println!("missed");
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Hunts a defect in a process of its own: `program` is to call [`hunt_here`] for the arguments `hunt NAME`.
///
/// # Errors
/// Where there is no such process.
pub fn hunt(program: &Path, defect: Option<Defect>) -> Checked<Hunted> {
    let name = defect.map_or_else(|| NO_DEFECT.to_owned(), |defect| format!("{defect:?}"));
    let mut child = Command::new(program)
        .args(["hunt", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| broken!("starting a hunt: {error}"))?;
    let Some(output) = child.stdout.take() else {
        return Err(broken!("the hunt has no output"));
    };
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let (mut suite, mut seed) = (String::new(), 0);
    let caught = |suite: &str, seed: u64, how: &str| Hunted::Caught {
        suite: suite.to_owned(),
        seed,
        how: how.to_owned(),
    };
    let hunted = loop {
        let line = match lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => break caught(&suite, seed, "hangs"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break caught(&suite, seed, "kills the process"),
        };
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("try"), Some(name), Some(number)) => {
                suite = name.to_owned();
                seed = number.parse().unwrap_or_default();
            }
            (Some("caught"), Some(how), _) => break caught(&suite, seed, how),
            (Some("missed"), ..) => break Hunted::Missed,
            _ => {}
        }
    };
    // It is over with the answer, or hangs.
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    Ok(hunted)
}
