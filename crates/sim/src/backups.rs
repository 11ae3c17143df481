//! Backups onto a second simulated disk: the power is cut at every I/O boundary of one, and every call of it fails in every
//! way. What is on the second disk then is the whole database as of its moment, or no database; the first is as it was.

use coppice_engine::{Error, ErrorCode};
use fastrand::Rng;

use crate::{
    cut::CutStyle,
    disk::{Event, SimDisk},
    fault::{Call, Failure, Fault},
    medium::Medium,
    model::{Census, Mark},
    session::{Checked, Session, broken, violation, world_of},
    workload::{Profile, Step},
};

/// Power cuts at each boundary.
const CUTS: u32 = 4;

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Backups that were begun.
    pub backups: u64,
    /// Copies that were looked at after a power cut, a kill or a failure.
    pub images: u64,
    /// Of the backups, how many met a failure.
    pub faults: u64,
    /// Of the copies, how many were no database.
    pub refused: u64,
}

impl BackedUp {
    /// Adds another matrix's figures.
    pub fn add(&mut self, other: &Self) {
        self.backups += other.backups;
        self.images += other.images;
        self.faults += other.faults;
        self.refused += other.refused;
    }
}

/// Whether the backup has returned.
type Returned = bool;

/// One database, and the disk that it is copied to.
struct Matrix {
    session: Session,
    seed: u64,
    rng: Rng,
    done: BackedUp,
}

/// Runs a profile from a seed and backs it up again and again: as it is, with what it has on disk and in memory; and once
/// more when it has just been opened, so that all of it is read.
///
/// # Errors
/// The first backup after which something is not as promised, and how to come to it again.
pub fn backup_matrix(profile: Profile, seed: u64) -> Checked<BackedUp> {
    let mut matrix = Matrix {
        session: Session::run(profile, seed, None)?,
        seed,
        rng: Rng::with_seed(seed),
        done: BackedUp::default(),
    };
    let explored = matrix.explore().and_then(|()| {
        matrix.session.execute(&Step::Close)?;
        matrix.explore()
    });
    explored.map_err(|violation| broken!("seed {seed}, {:?}: {violation}", profile.durability))?;
    Ok(matrix.done)
}

impl Matrix {
    fn back_up(&mut self, disk: &SimDisk<Returned>) -> Checked<Result<(), Error>> {
        self.done.backups += 1;
        let world = world_of(disk, self.session.profile, self.seed ^ 0xBAC);
        match self.session.database() {
            Some(database) => Ok(database.backup_in(&world)),
            None => violation!("there is no open database"),
        }
    }

    fn explore(&mut self) -> Checked<()> {
        let disk = SimDisk::over(Medium::new());
        disk.start_record();
        let before = self.session.disk.calls().len();
        let result = self.back_up(&disk)?;
        let read = self.session.disk.calls().split_off(before);
        result.map_err(|error| broken!("without a fault: {error}"))?;
        disk.note(true);
        self.cut_power(&disk.take_record())?;

        let failures = |calls: Vec<Call>| {
            let every = |(at, call): (usize, Call)| Failure::of(call).iter().map(move |failure| (at, call, *failure));
            calls.into_iter().enumerate().flat_map(every).collect::<Vec<_>>()
        };
        for (at, call, failure) in failures(disk.calls()) {
            for lasting in [false, true] {
                let disk = SimDisk::over(Medium::new());
                let fault = Fault {
                    at: at as u64,
                    failure,
                    lasting,
                };
                disk.inject(fault);
                self.fail(&disk, &disk)
                    .map_err(|violation| broken!("{call:?} of the copy, {fault:?}: {violation}"))?;
            }
        }
        for (index, (at, call, failure)) in failures(read).into_iter().enumerate() {
            let source = self.session.disk.clone();
            let fault = Fault {
                at: (source.calls().len() + at) as u64,
                failure,
                lasting: index % 2 == 0,
            };
            source.inject(fault);
            self.fail(&SimDisk::over(Medium::new()), &source)
                .map_err(|violation| broken!("{call:?} of the database, {fault:?}: {violation}"))?;
        }
        Ok(())
    }

    /// One backup, with a fault on one of the disks.
    fn fail<N>(&mut self, copy: &SimDisk<Returned>, faulty: &SimDisk<N>) -> Checked<()> {
        let result = self.back_up(copy)?;
        if faulty.disarm() {
            self.done.faults += 1;
        } else if let Err(error) = &result {
            return violation!("an error without a failure: {error}");
        }
        if let Err(error) = &result
            && !matches!(error.code(), ErrorCode::Io | ErrorCode::NoSpace)
        {
            return violation!("fails with {:?}: {error}", error.code());
        }
        let medium = copy.medium();
        self.look_at(&medium, false)?;
        let style = CutStyle::random(medium.changes(), &mut self.rng);
        let left = medium.power_cut(&style, &mut self.rng);
        self.look_at(&left, result.is_ok())
            .map_err(|violation| broken!("after a power cut, {style:?}: {violation}"))?;
        self.session.check_contents()
    }

    /// Cuts the power at each boundary of a backup.
    fn cut_power(&mut self, events: &[Event<Returned>]) -> Checked<()> {
        let mut medium = Medium::new();
        let mut returned = false;
        for (index, event) in events.iter().enumerate() {
            match event {
                Event::Note(note) => returned = *note,
                Event::Io(change) => medium.apply(change),
            }
            self.look_at(&medium, returned)
                .map_err(|violation| broken!("event {index}, a kill: {violation}"))?;
            for cut in 0..CUTS {
                let style = match cut {
                    0 => CutStyle::synced(),
                    _ => CutStyle::random(medium.changes(), &mut self.rng),
                };
                let left = medium.power_cut(&style, &mut self.rng);
                self.look_at(&left, returned)
                    .map_err(|violation| broken!("event {index}, {style:?}: {violation}"))?;
            }
        }
        Ok(())
    }

    /// What is on the second disk: the database as it is now, or, unless the backup has `returned`, none.
    fn look_at(&mut self, medium: &Medium, returned: bool) -> Checked<()> {
        self.done.images += 1;
        let mut copy = Session::new(medium.clone(), self.session.profile, self.rng.u64(..));
        match copy.open(false) {
            Ok(()) => {}
            Err(error) if !returned && matches!(error.code(), ErrorCode::NotFound | ErrorCode::Corrupt) => {
                self.done.refused += 1;
                return Ok(());
            }
            Err(error) => return violation!("opening the copy: {:?}, {error}", error.code()),
        }
        let Some(database) = copy.database() else {
            return violation!("the copy is not open");
        };
        let Mark { digest, sequence } = self.session.model.mark();
        let census = Census::of(database).map_err(|error| broken!("reading the copy: {error}"))?;
        if census.digest != digest {
            return violation!("the copy has other contents, {} records of them", census.records);
        }
        database.check().map_err(|error| broken!("the copy: {error}"))?;
        let written = database
            .tree("probe")
            .and_then(|tree| database.put(tree, b"probe", b"", coppice_engine::Condition::Always));
        match written {
            Ok(Some(version)) if version == sequence + 2 => {}
            other => return violation!("the copy goes on with {other:?} after {sequence}"),
        }
        if self.rng.u32(..4) == 0 {
            copy.kill();
            copy.open(false)
                .map_err(|error| broken!("opening the copy again: {error}"))?;
        }
        Ok(())
    }
}
