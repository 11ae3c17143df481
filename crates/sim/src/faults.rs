//! The fault matrix: every call of a run fails in every way that it can, and what is left is held against what was promised.

use coppice_engine::{Database, Durability, ErrorCode};
use fastrand::Rng;

use crate::{
    cut::CutStyle,
    fault::{Call, Failure, Fault},
    medium::{AfterFailedSync, Medium},
    model::Census,
    session::{Checked, Left, Session, broken, violation},
    workload::{Profile, Step},
};

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Runs with a fault that came to pass.
    pub faults: u64,
    /// Of these, how many were failed syncs.
    pub failed_syncs: u64,
    /// Of these, how many were a full disk.
    pub full_disks: u64,
    /// Databases opened afterwards.
    pub reopens: u64,
}

impl Tried {
    /// Adds another matrix's figures.
    pub fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.failed_syncs += other.failed_syncs;
        self.full_disks += other.full_disks;
        self.reopens += other.reopens;
    }
}

/// The calls that a run from this seed makes when nothing fails.
fn calls_of(profile: Profile, seed: u64) -> Checked<Vec<Call>> {
    Ok(Session::run(profile, seed, None)?.disk.calls())
}

/// Fails each call of a run that `wanted` wants, in each way that it can, once and from then on.
///
/// # Errors
/// The first run after which something is not as promised, and how to come to it again.
pub fn fault_matrix(profile: Profile, seed: u64, wanted: impl Fn(Call) -> bool) -> Checked<Tried> {
    let mut tried = Tried::default();
    for (at, call) in calls_of(profile, seed)?.into_iter().enumerate() {
        if !wanted(call) {
            continue;
        }
        for failure in Failure::of(call) {
            for lasting in [false, true] {
                let fault = Fault {
                    at: at as u64,
                    failure: *failure,
                    lasting,
                };
                one_fault(profile, seed, fault, &mut tried).map_err(|violation| {
                    broken!(
                        "seed {seed}, {:?}, {call:?}, {fault:?}: {violation}",
                        profile.durability
                    )
                })?;
            }
        }
    }
    Ok(tried)
}

fn one_fault(profile: Profile, seed: u64, fault: Fault, tried: &mut Tried) -> Checked<()> {
    let mut session = Session::new(Medium::new(), profile, seed);
    session.disk.inject(fault);
    let mut rng = Rng::with_seed(seed);
    if let Err(error) = session.open(true)
        && !matches!(error.code(), ErrorCode::Io | ErrorCode::NoSpace)
    {
        return violation!("creating fails with {:?}: {error}", error.code());
    }
    // Now and then the process ends right behind the failure, before anything can make up for it.
    let ends_there = fault.at % 4 == u64::from(fault.lasting);
    for number in 0..profile.steps {
        if session.database().is_none() || (ends_there && session.disk.has_failed()) {
            break;
        }
        let step = profile.draw(&session.model, &mut rng);
        let reopens = matches!(step, Step::Close | Step::Kill);
        // After these, what a reopen finds is for the checks below, which know what pages were lost.
        if reopens
            && (session.failed.is_some()
                || (session.disk.has_failed() && matches!(fault.failure, Failure::Sync(_) | Failure::LateSync)))
        {
            break;
        }
        if fault.failure.is_no_space() && number + 1 == profile.steps {
            session.disk.disarm();
        }
        // What it shows after an unknown outcome is open; that it takes no writes is not.
        if session.read_only && !step.always_writes() && !matches!(step, Step::Flush | Step::Checkpoint) {
            continue;
        }
        let before = session.model.clone();
        session
            .attempt(&step, Some(before))
            .and_then(|result| match result {
                Err(error) if !session.disk.has_failed() => violation!("an error without a failure: {error}"),
                _ => Ok(()),
            })
            .map_err(|violation| broken!("step {number}, {step:?}: {violation}"))?;
    }
    if !session.disk.disarm() {
        return Ok(());
    }
    tried.faults += 1;
    tried.failed_syncs += u64::from(matches!(fault.failure, Failure::Sync(_) | Failure::LateSync));
    tried.full_disks += u64::from(fault.failure.is_no_space());
    if fault.failure.is_no_space() && !ends_there {
        room_returns(&mut session, &mut rng)?;
    }
    if let Some(database) = session.database() {
        check_live(&session, database).map_err(|violation| broken!("while it is open: {violation}"))?;
    }
    session.kill();
    check_left(&session, fault.failure, &mut rng, tried)
}

/// After a full disk, all goes on: nothing was lost, and nothing is refused any more.
fn room_returns(session: &mut Session, rng: &mut Rng) -> Checked<()> {
    if let Some(error) = &session.failed {
        return violation!("a full disk was not survived: {error}");
    }
    if session.database().is_none() {
        if session.profile.durability == Durability::None && !session.legal.absent {
            // What was not in a checkpoint is gone with the database that could not be closed.
            return Ok(());
        }
        let create = session.legal.absent;
        session
            .open(create)
            .map_err(|error| broken!("opening, now that there is room: {:?}, {error}", error.code()))?;
    }
    for _ in 0..3 {
        let step = session.profile.draw(&session.model, rng);
        session
            .execute(&step)
            .map_err(|violation| broken!("now that there is room, {step:?}: {violation}"))?;
    }
    session.execute(&Step::Checkpoint)
}

/// What is read goes on being one of the states that there may be.
fn check_live(session: &Session, database: &Database) -> Checked<()> {
    database.check().map_err(|error| broken!("{error}"))?;
    let census = Census::of(database).map_err(|error| broken!("reading: {error}"))?;
    let legal = &session.marks[session.legal.after_kill..=session.legal.newest];
    if !legal.iter().any(|mark| mark.digest == census.digest) {
        return violation!("none of the {} states that it may show", legal.len());
    }
    Ok(())
}

/// Reopens what is left: as a killed process leaves it, and after power cuts.
fn check_left(session: &Session, failure: Failure, rng: &mut Rng, tried: &mut Tried) -> Checked<()> {
    let medium = session.disk.medium();
    let legal = session.legal;
    let marks = &session.marks[legal.after_power_cut..=legal.newest];
    // A file system that goes back to the old pages takes from the living what a power cut would have taken.
    let reverted = failure == Failure::Sync(AfterFailedSync::Reverted);
    let left = Left {
        medium: &medium,
        profile: session.profile,
        marks,
        oldest: if reverted {
            0
        } else {
            legal.after_kill - legal.after_power_cut
        },
        absent: legal.absent,
    };
    tried.reopens += 1;
    go_on(&left, rng).map_err(|violation| broken!("after a kill: {violation}"))?;

    let mut marks = marks.to_vec();
    marks.extend(session.refused.iter().map(|refused| refused.1));
    let style = match rng.u32(..4) {
        0 => CutStyle::synced(),
        _ => CutStyle::random(medium.changes(), rng),
    };
    let left = Left {
        medium: &medium.power_cut(&style, rng),
        marks: &marks,
        oldest: 0,
        ..left
    };
    tried.reopens += 1;
    go_on(&left, rng).map_err(|violation| broken!("after a power cut, {style:?}: {violation}"))
}

/// Opens; now and then writes, and reads again.
fn go_on(left: &Left<'_>, rng: &mut Rng) -> Checked<()> {
    let Some(mut session) = Session::adopt(left, rng.u64(..))? else {
        return Ok(());
    };
    if rng.u32(..3) > 0 {
        return Ok(());
    }
    session.learn()?;
    for _ in 0..2 {
        let step = left.profile.draw(&session.model, rng);
        session
            .execute(&step)
            .map_err(|violation| broken!("then {step:?}: {violation}"))?;
    }
    session.execute(&Step::Close)
}
