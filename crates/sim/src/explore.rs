//! The crash explorer: plays a recorded run back, cuts the power at every I/O boundary in several ways, opens what is left,
//! and holds it against what was promised.

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    cut::CutStyle,
    disk::Event,
    medium::{Change, Medium},
    model::Mark,
    session::{Checked, Left, Legal, Session, broken},
    workload::{Profile, Step},
};

/// How thorough an exploration is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Power cuts at each boundary at which there is anything to lose.
    pub cuts: u32,
    /// Of a hundred boundaries, how many are explored, beside those at which a name came or went.
    pub boundaries_percent: u32,
    /// Of a hundred boundaries, at how many the process is killed as well.
    pub kills_percent: u32,
    /// Of a hundred images, how many are written to, and read again after another crash.
    pub continued_percent: u32,
    /// Of a hundred images that are written to, in how many recovery is cut short at each of its boundaries in turn.
    pub nested_percent: u32,
}

impl Effort {
    /// For runs of the usual length.
    pub fn usual() -> Self {
        Self {
            cuts: 8,
            boundaries_percent: 100,
            kills_percent: 25,
            continued_percent: 12,
            nested_percent: 3,
        }
    }
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Runs.
    pub runs: u64,
    /// I/O boundaries of runs.
    pub boundaries: u64,
    /// Images opened after a power cut or kill in a run.
    pub images: u64,
    /// Images opened after one in a recovery.
    pub nested_images: u64,
    /// Commits that these images had to have, since they were acknowledged; counted again in each.
    pub acknowledged: u64,
    /// A digest of all that was done, the same whenever the same seeds are explored by the same version.
    pub trace: u64,
}

impl Explored {
    /// Adds another exploration's figures.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.boundaries += other.boundaries;
        self.images += other.images;
        self.nested_images += other.nested_images;
        self.acknowledged += other.acknowledged;
        self.trace = self.trace.rotate_left(7) ^ other.trace;
    }
}

/// One recorded run.
struct Run<'a> {
    base: &'a Medium,
    events: &'a [Event<Legal>],
    marks: &'a [Mark],
    profile: Profile,
    seed: u64,
    depth: u32,
}

/// Runs a profile from a seed and explores it.
///
/// # Errors
/// The first image that is not as promised, and how to come to it again.
pub fn explore_seed(profile: Profile, effort: &Effort, seed: u64) -> Checked<Explored> {
    let session = Session::run(profile, seed, None)?;
    explore_session(&session, effort, seed)
}

/// Explores what a session did since it was new.
///
/// # Errors
/// As [`explore_seed`].
pub fn explore_session(session: &Session, effort: &Effort, seed: u64) -> Checked<Explored> {
    let events = session.take_record();
    let mut explored = Explored {
        runs: 1,
        ..Explored::default()
    };
    let run = Run {
        base: &Medium::new(),
        events: &events,
        marks: &session.marks,
        profile: session.profile,
        seed,
        depth: 0,
    };
    run.explore(effort, &mut explored)
        .map_err(|violation| broken!("seed {seed}, {:?}: {violation}", session.profile.durability))?;
    Ok(explored)
}

impl Run<'_> {
    fn explore(&self, effort: &Effort, explored: &mut Explored) -> Checked<()> {
        let mut medium = self.base.clone();
        let mut legal = Legal::default();
        let mut rng = Rng::with_seed(self.seed ^ 0xC0_FFEE);
        for (index, event) in self.events.iter().enumerate() {
            let change = match event {
                Event::Note(note) => {
                    legal = *note;
                    continue;
                }
                Event::Io(change) => change,
            };
            // Files that come and go are few, and dangerous.
            let names = matches!(change, Change::Create(_) | Change::Rename(..) | Change::Remove(_));
            let chosen = rng.u32(..100) < effort.boundaries_percent || names;
            let kill = rng.u32(..100) < effort.kills_percent;
            let at = |what: &str, image: u32| format!("depth {}, event {index}, {what} {image}", self.depth);
            if chosen
                && kill
                && let Some(torn) = torn_write(change, &mut rng)
            {
                let mut killed = medium.clone();
                killed.apply(&torn);
                self.examine(&killed, legal.after_kill, &legal, effort, &mut rng, explored)
                    .map_err(|violation| broken!("{}: {violation}", at("a kill in a write", 0)))?;
            }
            medium.apply(change);
            explored.trace = xxh3_64_with_seed(format!("{change:?}").as_bytes(), explored.trace);
            if !chosen {
                continue;
            }
            if self.depth == 0 {
                explored.boundaries += 1;
            }
            if kill {
                self.examine(&medium, legal.after_kill, &legal, effort, &mut rng, explored)
                    .map_err(|violation| broken!("{}: {violation}", at("a kill", 0)))?;
            }
            let cuts = if medium.has_unsynced() { effort.cuts } else { 1 };
            for image in 0..cuts {
                let style = if image == 0 {
                    CutStyle::synced()
                } else {
                    CutStyle::random(medium.changes(), &mut rng)
                };
                let left = medium.power_cut(&style, &mut rng);
                self.examine(&left, legal.after_power_cut, &legal, effort, &mut rng, explored)
                    .map_err(|violation| broken!("{}, {style:?}: {violation}", at("power cut", image)))?;
            }
        }
        Ok(())
    }

    /// Opens an image and holds it against the states from `oldest` on; now and then goes on from there.
    fn examine(
        &self,
        medium: &Medium,
        oldest: usize,
        legal: &Legal,
        effort: &Effort,
        rng: &mut Rng,
        explored: &mut Explored,
    ) -> Checked<()> {
        let left = Left {
            medium,
            profile: self.profile,
            marks: &self.marks[legal.after_power_cut..=legal.newest],
            oldest: oldest - legal.after_power_cut,
            absent: legal.absent,
        };
        explored.acknowledged += self.marks.get(oldest).map_or(0, |mark| mark.sequence);
        let seed = rng.u64(..);
        match self.depth {
            0 => explored.images += 1,
            _ => explored.nested_images += 1,
        }
        let Some(mut session) = Session::adopt(&left, seed)? else {
            return Ok(());
        };
        explored.trace ^= session.marks.last().map_or(0, |mark| mark.digest);
        if rng.u32(..100) >= effort.continued_percent {
            return Ok(());
        }
        session.learn()?;
        for _ in 0..rng.u32(1..8) {
            let step = self.profile.draw(&session.model, rng);
            session
                .execute(&step)
                .map_err(|violation| broken!("then {step:?}: {violation}"))?;
        }
        if rng.bool() {
            session.execute(&Step::Checkpoint)?;
        }
        session.check_contents()?;
        session.execute(&Step::Close)?;
        if self.depth == 0 && rng.u32(..100) < effort.nested_percent {
            let events = session.take_record();
            let nested = Run {
                base: medium,
                events: &events,
                marks: &session.marks,
                profile: self.profile,
                seed,
                depth: self.depth + 1,
            };
            let effort = Effort { cuts: 2, ..*effort };
            nested.explore(&effort, explored)?;
        }
        Ok(())
    }
}

/// The first part of a write: what a killed process may leave of the one that it was in.
fn torn_write(change: &Change, rng: &mut Rng) -> Option<Change> {
    match change {
        Change::Write(file, offset, bytes) if bytes.len() > 1 => {
            let kept = &bytes[..rng.usize(1..bytes.len())];
            Some(Change::Write(*file, *offset, kept.into()))
        }
        _ => None,
    }
}
