//! The real thing: a database in a folder of the operating system, a process that writes to it and says what was
//! acknowledged, and an end to that process, or to the file system, at any moment.
//!
//! The writer draws its steps from a seed and what it finds, so who knows both knows what it did.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use coppice_engine::{Database, Durability, Error, Options};
use fastrand::Rng;

use crate::{
    model::{Census, Mark, Model},
    session::{Checked, broken, violation},
    workload::{Handles, Profile},
};

/// Steps that a writer does before it ends by itself.
const MOST_STEPS: usize = 4000;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soaked {
    /// Ends.
    pub ends: u64,
    /// Steps acknowledged.
    pub acknowledged: u64,
    /// Commits found beyond those.
    pub beyond: u64,
}

impl Soaked {
    /// Adds another soak's figures.
    pub fn add(&mut self, other: &Self) {
        self.ends += other.ends;
        self.acknowledged += other.acknowledged;
        self.beyond += other.beyond;
    }
}

/// One writer's task.
#[derive(Clone, Debug)]
pub struct Task {
    /// The database's folder.
    pub folder: PathBuf,
    /// What a returned write has survived.
    pub durability: Durability,
    /// What the steps are drawn from.
    pub seed: u64,
    /// The last sequence number of the database as it is.
    pub sequence: u64,
}

fn options(durability: Durability) -> Options {
    Options {
        durability,
        frame_bytes: 4096,
        journal_bytes: 64 << 10,
        sync_interval: Duration::from_millis(5),
        ..Options::default()
    }
}

fn profile(durability: Durability) -> Profile {
    Profile {
        reopens: 0,
        checkpoints: 20,
        ..Profile::usual(durability)
    }
}

impl Task {
    /// The task as a command's arguments.
    pub fn to_args(&self) -> Vec<String> {
        let durability = if self.durability == Durability::Disk {
            "disk"
        } else {
            "process"
        };
        vec![
            "write".to_owned(),
            self.folder.display().to_string(),
            durability.to_owned(),
            self.seed.to_string(),
            self.sequence.to_string(),
        ]
    }

    /// The task of these arguments, without the first.
    pub fn from_args(args: &[String]) -> Option<Self> {
        let [folder, durability, seed, sequence] = args else {
            return None;
        };
        Some(Self {
            folder: folder.into(),
            durability: if durability == "disk" {
                Durability::Disk
            } else {
                Durability::Process
            },
            seed: seed.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }

    /// Writes until it is killed, with one line to the standard output after each step that has returned.
    ///
    /// # Errors
    /// The engine's; the reader's, when it has gone.
    pub fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let database = Database::open(&self.folder, &options(self.durability))?;
        let mut model = Model::read(&database)?;
        model.sequence = self.sequence;
        let mut handles = Handles::new();
        for name in model.trees.keys() {
            handles.insert(name.clone(), database.tree(name)?);
        }
        let mut rng = Rng::with_seed(self.seed);
        let mut out = std::io::stdout().lock();
        for _ in 0..MOST_STEPS {
            let step = profile(self.durability).draw(&model, &mut rng);
            let commits = step.commits(&model);
            step.call(&database, &mut handles, &commits)?;
            for commit in &commits {
                model.apply(commit);
            }
            out.write_all(b"\n")?;
            out.flush()?;
        }
        Ok(())
    }

    /// The states that a database may be in that was in this one: any of them, for a power cut at 'process'; and the first
    /// that may be left where what was acknowledged is.
    fn states(&self, mut model: Model, acknowledged: Acknowledged) -> (Vec<Mark>, usize) {
        model.sequence = self.sequence;
        let mut rng = Rng::with_seed(self.seed);
        let mut marks = vec![model.mark()];
        let mut oldest = 0;
        for step in 0..=acknowledged.in_all {
            if step == acknowledged.before_the_end {
                oldest = marks.len() - 1;
            }
            for commit in profile(self.durability).draw(&model, &mut rng).commits(&model) {
                model.apply(&commit);
                marks.push(model.mark());
            }
        }
        (marks, oldest)
    }
}

/// Where writers write, and how they are ended.
pub trait Place {
    /// The database's folder, ready to be opened.
    fn folder(&self) -> PathBuf;
    /// Ends the writer, and whatever else.
    ///
    /// # Errors
    /// Those of the operating system.
    fn end(&mut self, writer: &mut Child) -> std::io::Result<()>;
    /// Whether writes are lost that a killed process would not have lost.
    fn loses_power(&self) -> bool;
}

/// A folder whose writers are killed.
#[derive(Debug)]
pub struct Killed(pub PathBuf);

impl Place for Killed {
    fn folder(&self) -> PathBuf {
        self.0.join("db")
    }

    fn end(&mut self, writer: &mut Child) -> std::io::Result<()> {
        writer.kill()
    }

    fn loses_power(&self) -> bool {
        false
    }
}

/// Lets `program` write in a place, ends it after a random while, and compares what is left with what was acknowledged; then
/// again, on what is left. Between the rounds the database is opened and closed, or only opened.
///
/// # Errors
/// The first round after which something is missing, and its seed.
pub fn soak(program: &Path, place: &mut dyn Place, durability: Durability, seed: u64, rounds: u64) -> Checked<Soaked> {
    let mut soaked = Soaked::default();
    let mut rng = Rng::with_seed(seed);
    let mut before = Model::default();
    for round in 0..rounds {
        let task = Task {
            folder: place.folder(),
            durability,
            seed: rng.u64(..),
            sequence: before.sequence,
        };
        let acknowledged = end_a_writer(program, place, &task, &mut rng)
            .map_err(|error| broken!("seed {seed}, round {round}: {error}"))?;
        let counts = match place.loses_power() {
            true => acknowledged.before_the_end,
            false => acknowledged.in_all,
        };
        let acknowledged = Acknowledged {
            before_the_end: counts,
            ..acknowledged
        };
        let (marks, oldest) = task.states(before, acknowledged);
        let oldest = if place.loses_power() && durability != Durability::Disk {
            0
        } else {
            oldest
        };
        let (model, found) =
            open_and_find(&task.folder, durability, &marks, oldest, rng.bool()).map_err(|violation| {
                broken!("seed {seed}, round {round}, {durability:?}, {counts} steps acknowledged: {violation}")
            })?;
        before = model;
        soaked.ends += 1;
        soaked.acknowledged += counts as u64;
        soaked.beyond += found.saturating_sub(oldest) as u64;
    }
    Ok(soaked)
}

/// Steps that a writer has acknowledged.
#[derive(Clone, Copy)]
struct Acknowledged {
    /// Before anything was done to end it. A file system that is being shut down, other than a disk without power, still has
    /// processes to answer: ext4 then reports some syncs as done whose data it has dropped.
    before_the_end: usize,
    /// Also while it was ended.
    in_all: usize,
}

/// Starts a writer, and ends it.
fn end_a_writer(program: &Path, place: &mut dyn Place, task: &Task, rng: &mut Rng) -> std::io::Result<Acknowledged> {
    let mut writer = Command::new(program)
        .args(task.to_args())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(lines) = writer.stdout.take() else {
        return Err(std::io::Error::other("the writer has no output"));
    };
    // Not before the database is there: its creation is cut short elsewhere.
    let wanted = rng.usize(1..120);
    let pause = Duration::from_micros(rng.u64(..3000));
    let read = &AtomicUsize::new(0);
    let (enough, is_enough) = mpsc::channel();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for _ in BufReader::new(lines).lines().map_while(Result::ok) {
                if read.fetch_add(1, Ordering::Release) + 1 == wanted {
                    // It is waited for, once.
                    let _ = enough.send(());
                }
            }
        });
        // Also at the end of a writer that is done before.
        let _ = is_enough.recv();
        thread::sleep(pause);
        let before_the_end = read.load(Ordering::Acquire);
        let ended = place.end(&mut writer);
        if ended.is_err() {
            // Else its output would not end.
            let _ = writer.kill();
        }
        writer.wait()?;
        // What it had said before it was ended is still in the pipe.
        let _ = reader.join();
        ended?;
        Ok(Acknowledged {
            before_the_end,
            in_all: read.load(Ordering::Acquire),
        })
    })
}

/// Opens what is left, which must be one of the states from `oldest` on. Its contents, and which it was.
fn open_and_find(
    folder: &Path,
    durability: Durability,
    marks: &[Mark],
    oldest: usize,
    close: bool,
) -> Checked<(Model, usize)> {
    let failed = |error: Error| broken!("{:?}, {error}", error.code());
    let database = Database::open(folder, &options(durability)).map_err(failed)?;
    database.check().map_err(failed)?;
    let census = Census::of(&database).map_err(failed)?;
    // Several states may hold the same: a record that came and went.
    let last = database.stats().map_err(failed)?.last_commit;
    let is_it = |mark: &Mark| mark.digest == census.digest && mark.sequence == last;
    let Some(found) = marks.iter().position(is_it) else {
        return violation!(
            "none of {} states at commit {last}, {} records found",
            marks.len(),
            census.records
        );
    };
    if found < oldest {
        return violation!("state {found} of {}, and {oldest} was acknowledged", marks.len());
    }
    let mut model = Model::read(&database).map_err(failed)?;
    model.sequence = last;
    if close {
        database.close().map_err(failed)?;
    }
    Ok((model, found))
}
