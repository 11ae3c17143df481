//! A database on a simulated disk, with its model beside it: each step is done to both, and what the disk may hold from
//! then on is noted in the disk's record.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use coppice_engine::{Database, Durability, Error, ErrorCode, Options, Snapshot, World};
use fastrand::Rng;

use crate::{
    disk::{Event, SimDisk},
    fault::Lie,
    medium::Medium,
    model::{Census, Mark, Model},
    put_off::PuttingOff,
    workload::{Handles, Profile, Step},
};

/// The map's log is written anew when it has grown by this much, so that short runs do that too.
const MAP_LOG_BYTES: u64 = 2048;
/// Frames as small as a database's can be, so that few records make many.
const FRAME_BYTES: u32 = 4096;

/// Which of a session's states a reopen may find: their places among [`Session::marks`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legal {
    /// The oldest one after a power cut.
    pub after_power_cut: usize,
    /// The oldest one after a kill.
    pub after_kill: usize,
    /// The newest one.
    pub newest: usize,
    /// Whether there may be no database: it was never opened.
    pub absent: bool,
}

/// What went wrong. Its text says all there is to know.
#[derive(Debug)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session, or a check of one, that found nothing wrong, or did.
pub type Checked<T> = Result<T, Violation>;

/// A formatted [`Violation`].
macro_rules! broken {
    ($($arg:tt)*) => { $crate::session::Violation(format!($($arg)*)) };
}
/// `Err` with one.
macro_rules! violation {
    ($($arg:tt)*) => { Err($crate::session::broken!($($arg)*)) };
}
pub(crate) use {broken, violation};

/// See the module.
pub struct Session {
    /// The disk, for faults.
    pub disk: SimDisk<Legal>,
    /// How it is used.
    pub profile: Profile,
    /// What the database must hold.
    pub model: Model,
    /// The states that were gone through, one after each commit.
    pub marks: Vec<Mark>,
    /// Which of them may be on the disk.
    pub legal: Legal,
    /// States that a full disk refused, and that a power cut may bring back until something has been written and synced in
    /// their stead: the place of the last mark before each, and the state's own.
    pub refused: Vec<(usize, Mark)>,
    /// The first error after which the database may be read-only.
    pub failed: Option<String>,
    /// Whether one has shown that it must take none.
    pub read_only: bool,
    database: Option<Database>,
    /// A snapshot, and what it must show.
    held: Option<(Snapshot, Model)>,
    handles: Handles,
    world: World,
}

/// Numbers that differ, from a seed.
fn random(seed: u64) -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let next = AtomicU64::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Arc::new(move || {
        let mut z = next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// A world with this disk, whose numbers come from a seed.
pub(crate) fn world_of<N: Send + fmt::Debug + 'static>(disk: &SimDisk<N>, profile: Profile, seed: u64) -> World {
    World {
        disk: Arc::new(disk.clone()),
        random: random(seed),
        segment_bytes: profile.segment_bytes,
        map_log_bytes: MAP_LOG_BYTES,
    }
}

impl Session {
    /// A session over a disk on which nothing has been opened yet; the disk's changes are recorded.
    pub fn new(medium: Medium, profile: Profile, seed: u64) -> Self {
        let disk = SimDisk::over(medium);
        disk.start_record();
        disk.set_maps(profile.maps);
        let mut session = Self {
            world: world_of(&disk, profile, seed),
            disk,
            profile,
            model: Model::default(),
            marks: vec![Mark { digest: 0, sequence: 0 }],
            legal: Legal::default(),
            refused: Vec::new(),
            failed: None,
            read_only: false,
            database: None,
            held: None,
            handles: Handles::new(),
        };
        session.legal.absent = true;
        session.note();
        session
    }

    /// A new database, through `steps` of its profile's steps.
    pub fn run(profile: Profile, seed: u64, lie: Option<Lie>) -> Checked<Self> {
        let mut session = Self::new(Medium::new(), profile, seed);
        session.disk.set_lie(lie);
        session.open(true).map_err(|error| broken!("creating: {error}"))?;
        let mut rng = Rng::with_seed(seed);
        for number in 0..profile.steps {
            let step = profile.draw(&session.model, &mut rng);
            session
                .execute(&step)
                .map_err(|violation| broken!("step {number}, {step:?}: {violation}"))?;
        }
        Ok(session)
    }

    fn note(&self) {
        self.disk.note(self.legal);
    }

    fn options(&self, create: bool) -> Options {
        Options {
            create,
            durability: self.profile.durability,
            frame_bytes: FRAME_BYTES,
            // The least that is taken.
            memory_bytes: 64 * u64::from(FRAME_BYTES),
            // One thread asks for checkpoints and waits for each.
            coalesce_window: Duration::ZERO,
            ..Options::default()
        }
    }

    /// The open database.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Opens, and finds its trees again.
    ///
    /// # Errors
    /// Those of the open.
    pub fn open(&mut self, create: bool) -> Result<(), Error> {
        self.world.disk = Arc::new(PuttingOff::over(Arc::new(self.disk.clone())));
        let database = Database::open_in(&self.world, &self.options(create))?;
        self.handles.clear();
        for name in self.model.trees.keys() {
            self.handles.insert(name.clone(), database.tree(name)?);
        }
        self.database = Some(database);
        self.failed = None;
        self.read_only = false;
        self.legal.absent = false;
        self.note();
        Ok(())
    }

    /// Lets go of the database as a killed process does.
    pub fn kill(&mut self) {
        self.held = None;
        self.database = None;
    }

    /// Does a step, which must succeed, to the database and the model.
    pub fn execute(&mut self, step: &Step) -> Checked<()> {
        self.attempt(step, None)?
            .map_err(|error| broken!("failed without a fault: {:?}, {error}", error.code()))
    }

    /// Does a step. When it fails, what the failure says of its effect is noted, and with `before`, the model as it was,
    /// the model is put back where there was none.
    pub fn attempt(&mut self, step: &Step, before: Option<Model>) -> Checked<Result<(), Error>> {
        let commits = step.commits(&self.model);
        let (tip, legal) = (self.marks.len() - 1, self.legal);
        for commit in &commits {
            self.model.apply(commit);
            self.marks.push(self.model.mark());
        }
        self.legal.newest = self.marks.len() - 1;
        self.note();
        let result = match step {
            Step::Close => {
                self.held = None;
                let closed = self.database.take().map_or(Ok(()), |database| database.close());
                closed.and_then(|()| self.reopen())
            }
            Step::Kill => {
                self.kill();
                self.reopen()
            }
            Step::Snapshot => self.hold_or_check()?,
            _ => match &self.database {
                Some(database) => step.call(database, &mut self.handles, &commits),
                None => return violation!("there is no open database"),
            },
        };
        match &result {
            Ok(()) => {
                let settled = step.settles(self.profile.durability, !commits.is_empty());
                if settled {
                    self.legal.after_power_cut = self.legal.newest;
                }
                if settled || self.profile.durability != Durability::None {
                    self.legal.after_kill = self.legal.newest;
                }
                if settled {
                    let newest = self.legal.newest;
                    self.refused.retain(|refused| refused.0 == newest);
                }
                if self.read_only && step.always_writes() {
                    return violation!("a write succeeded after a failure that ends all writing");
                }
                self.note();
                if matches!(step, Step::Close | Step::Kill) && before.is_none() {
                    self.check_contents()?;
                }
            }
            Err(error) => {
                let Some(before) = before else { return Ok(result) };
                match error.code() {
                    // Any of the commits may be there, in order.
                    ErrorCode::OutcomeUnknown if !commits.is_empty() => {
                        self.failed.get_or_insert_with(|| error.to_string());
                        self.read_only = true;
                        self.model = before;
                    }
                    ErrorCode::NoSpace | ErrorCode::ReadOnly | ErrorCode::Io | ErrorCode::Corrupt => {
                        if error.code() == ErrorCode::ReadOnly && !self.disk.has_failed() {
                            return violation!("read-only without a failure before: {error}");
                        }
                        let done = match step {
                            Step::PutMany(..) if !self.read_only => self.count_done(tip)?,
                            _ => 0,
                        };
                        if error.code() == ErrorCode::NoSpace {
                            let refused = self.marks.drain(tip + done + 1..);
                            self.refused.extend(refused.map(|mark| (tip + done, mark)));
                        }
                        if matches!(error.code(), ErrorCode::Io | ErrorCode::ReadOnly) {
                            self.failed.get_or_insert_with(|| error.to_string());
                        }
                        self.read_only |= error.code() == ErrorCode::Io && matches!(step, Step::Flush);
                        self.marks.truncate(tip + done + 1);
                        self.model = before;
                        for commit in commits.iter().take(done) {
                            self.model.apply(commit);
                        }
                        self.legal = legal;
                        self.legal.newest = tip + done;
                        self.note();
                    }
                    code => return violation!("failed with {code:?}: {error}"),
                }
            }
        }
        Ok(result)
    }

    /// How many of the commits behind a mark are visible: what fails half way keeps what it has done.
    fn count_done(&self, tip: usize) -> Checked<usize> {
        let Some(database) = &self.database else {
            return violation!("there is no open database");
        };
        let census = self.disk.without_fault(|| Census::of(database));
        let digest = census.map_err(|error| broken!("reading: {error}"))?.digest;
        match self.marks[tip..].iter().position(|mark| mark.digest == digest) {
            Some(done) => Ok(done),
            None => violation!("what failed half way left something else than its first commits"),
        }
    }

    /// Takes a snapshot; or compares the one that is held with what was there when it was taken, and lets it go.
    fn hold_or_check(&mut self) -> Checked<Result<(), Error>> {
        let Some(database) = &self.database else {
            return violation!("there is no open database");
        };
        let Some((snapshot, model)) = self.held.take() else {
            return Ok(database.snapshot().map(|snapshot| {
                self.held = Some((snapshot, self.model.clone()));
            }));
        };
        match Census::of(&snapshot) {
            Ok(census) if census.digest != model.mark().digest => {
                violation!("a snapshot shows something else than it did")
            }
            result => Ok(result.map(|_| ())),
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.open(false)
    }

    /// Compares what the database holds with the model, and checks that all of it fits together.
    pub fn check_contents(&self) -> Checked<()> {
        let Some(database) = &self.database else {
            return violation!("there is no open database");
        };
        let reading = |error: Error| broken!("reading: {:?}, {error}", error.code());
        let census = Census::of(database).map_err(reading)?;
        if census.digest != self.model.mark().digest {
            let found = Model::read(database).map_err(reading)?;
            return violation!("other contents than they must be:\n{}", found.differences(&self.model));
        }
        check_structure(database, &census)
    }

    /// Takes what the database holds for what it must: adopted sessions begin without a model.
    pub fn learn(&mut self) -> Checked<()> {
        let Some(database) = &self.database else {
            return violation!("there is no open database");
        };
        let reading = |error: Error| broken!("reading: {:?}, {error}", error.code());
        self.model = Model::read(database).map_err(reading)?;
        self.model.sequence = self.marks.last().map_or(0, |mark| mark.sequence);
        for name in self.model.trees.keys() {
            self.handles.insert(name.clone(), database.tree(name).map_err(reading)?);
        }
        Ok(())
    }

    /// What was recorded on the disk.
    pub fn take_record(&self) -> Vec<Event<Legal>> {
        self.disk.take_record()
    }

    /// A session over what a crash has left: opens it and finds out which of the legal states it is in. To go on from there,
    /// it must [`Session::learn`] first. `None` where there is no database and there need not be one.
    pub fn adopt(left: &Left<'_>, seed: u64) -> Checked<Option<Self>> {
        let mut session = Self::new(left.medium.clone(), left.profile, seed);
        session.marks = left.marks.to_vec();
        session.legal = Legal {
            after_power_cut: 0,
            after_kill: left.oldest,
            newest: left.marks.len() - 1,
            absent: left.absent,
        };
        session.disk.start_record();
        session.note();
        match session.open(false) {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::NotFound && left.absent => {
                session.open(true).map_err(|error| broken!("creating again: {error}"))?;
            }
            Err(error) => return violation!("opening: {:?}, {error}", error.code()),
        }
        let Some(database) = &session.database else {
            return Ok(None);
        };
        let reading = |error: Error| broken!("reading: {:?}, {error}", error.code());
        let census = Census::of(database).map_err(reading)?;
        check_structure(database, &census)?;
        let legal = &left.marks[left.oldest..];
        let same: Vec<Mark> = (legal.iter())
            .filter(|mark| mark.digest == census.digest)
            .copied()
            .collect();
        let Some(mut mark) = same.last().copied() else {
            return violation!(
                "none of the {} states that it may be in, sequences {:?} to {:?}; {} records found",
                legal.len(),
                legal.first().map(|mark| mark.sequence),
                legal.last().map(|mark| mark.sequence),
                census.records
            );
        };
        if same.iter().any(|other| other.sequence != mark.sequence) {
            let sequence = sequence_of(left, seed)?;
            match same.iter().find(|other| other.sequence == sequence) {
                Some(other) => mark = *other,
                None => return violation!("goes on after sequence {sequence}, which is not that of its contents"),
            }
        }
        session.marks.push(mark);
        let here = session.marks.len() - 1;
        // At 'none' an open makes nothing durable of what a process died in the middle of.
        let is_durable = left.profile.durability != Durability::None || !left.medium.has_unsynced();
        session.legal = Legal {
            after_power_cut: if is_durable { here } else { 0 },
            after_kill: here,
            newest: here,
            absent: false,
        };
        if !left.medium.has_unsynced() {
            // Nothing can be taken from it any more: however often recovery is cut short, it must come to this state.
            let legal = session.legal;
            session.disk.amend_notes(|note| {
                *note = Legal {
                    absent: note.absent,
                    ..legal
                }
            });
        }
        session.note();
        Ok(Some(session))
    }
}

/// What a crash has left, and what may be in it.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// The disk.
    pub medium: &'a Medium,
    /// How it was used, and will be.
    pub profile: Profile,
    /// The states that a power cut may leave now.
    pub marks: &'a [Mark],
    /// The first of them that it may be in as it is: others come before it where only the page cache has something.
    pub oldest: usize,
    /// Whether there may be no database.
    pub absent: bool,
}

fn check_structure(database: &Database, census: &Census) -> Checked<()> {
    database.check().map_err(|error| broken!("{error}"))?;
    let stats = database.stats().map_err(|error| broken!("statistics: {error}"))?;
    if stats.keys != census.records || stats.trees != census.trees {
        return violation!(
            "statistics say {} keys in {} trees, and there are {census:?}",
            stats.keys,
            stats.trees
        );
    }
    Ok(())
}

/// Where the sequence has come to: seen only by writing, which is done to a copy.
fn sequence_of(left: &Left<'_>, seed: u64) -> Checked<u64> {
    let mut scratch = Session::new(left.medium.clone(), left.profile, seed);
    let probe = |session: &mut Session| -> Result<u64, Error> {
        session.open(true)?;
        let Some(database) = &session.database else {
            return Ok(0);
        };
        let tree = database.tree("probe")?;
        let version = database.put(tree, b"probe", b"", coppice_engine::Condition::Always)?;
        Ok(version.unwrap_or_default().saturating_sub(2))
    };
    probe(&mut scratch).map_err(|error| broken!("probing: {error}"))
}
