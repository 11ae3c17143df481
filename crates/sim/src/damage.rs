//! The damage matrix: each file of a database damaged in every way that can be thought of, and then asked. It answers with
//! what is right, or with an error that says what is damaged; never with anything else.

use std::sync::Arc;

use coppice_engine::{Database, Durability, Error, ErrorCode, Options, World};
use fastrand::Rng;

use crate::{
    contents::Contents,
    disk::SimDisk,
    fault::Class,
    medium::Medium,
    model::{Census, Mark, Model},
    session::{Checked, Legal, Session, broken, violation},
    workload::{Profile, Step},
};

/// Of the bytes of frames and values, one in so many is flipped.
const SPARSE: usize = 64;
const PAGE_BYTES: usize = 4096;

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// Damaged databases that were opened.
    pub images: u64,
    /// Of these, how many had a flipped bit.
    pub flips: u64,
    /// How many opens were refused.
    pub refused: u64,
    /// How many opened, and had something that could not be read.
    pub partial: u64,
    /// How many opened, and answered everything: what was damaged mattered to nobody.
    pub whole: u64,
}

impl Damaged {
    /// Adds another matrix's figures.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.flips += other.flips;
        self.refused += other.refused;
        self.partial += other.partial;
        self.whole += other.whole;
    }
}

/// A database to damage.
struct Base {
    files: Vec<(String, Vec<u8>)>,
    /// The same files a while before, and those of another database.
    older: Vec<(String, Vec<u8>)>,
    foreign: Vec<(String, Vec<u8>)>,
    model: Model,
    /// The states gone through, and the first that the slot map does not cover.
    marks: Vec<Mark>,
    covered: usize,
}

fn files_of(medium: &Medium) -> Vec<(String, Vec<u8>)> {
    let bytes = |(name, id): (&String, usize)| (name.clone(), medium.contents(id).to_vec());
    medium.names().map(bytes).collect()
}

impl Base {
    /// All that was committed but for the last put is on disk, and the journal's last record says so. A clean one was closed
    /// after that.
    fn make(profile: Profile, seed: u64, clean: bool) -> Checked<Self> {
        let mut session = Session::run(profile, seed, None)?;
        let older = files_of(&session.disk.medium());
        session.execute(&Step::Tree("artifacts".to_owned()))?;
        session.execute(&Step::Checkpoint)?;
        let covered = session.legal.newest;
        let put = |name: &str| {
            Step::Put(
                "artifacts".to_owned(),
                name.as_bytes().to_vec(),
                name.as_bytes().into(),
                coppice_engine::Condition::Always,
            )
        };
        for number in 0..6 {
            session.execute(&put(&format!("after the checkpoint {number}")))?;
        }
        session.execute(&Step::Flush)?;
        session.execute(&put("the last one"))?;
        if clean {
            session.execute(&Step::Close)?;
        }
        let medium = session.disk.medium();
        let foreign = Session::run(profile, seed ^ 0x5EED, None)?.disk.medium();
        Ok(Self {
            files: files_of(&medium),
            older,
            foreign: files_of(&foreign),
            covered: if clean { session.legal.newest } else { covered },
            model: session.model.clone(),
            marks: session.marks.clone(),
        })
    }
}

/// Damages every file of a database that `seed` makes, in every way, and asks what is left.
///
/// # Errors
/// The first wrong answer, and how to come to it again.
pub fn damage_matrix(profile: Profile, seed: u64, clean: bool) -> Checked<Damaged> {
    let base = Base::make(profile, seed, clean)?;
    let mut damaged = Damaged::default();
    let mut rng = Rng::with_seed(seed);
    for (index, (name, bytes)) in base.files.iter().enumerate() {
        let ask = |what: &str, contents: Option<Vec<u8>>, floor: usize, damaged: &mut Damaged| {
            let mut files = base.files.clone();
            match contents {
                Some(contents) => files[index].1 = contents,
                None => {
                    files.remove(index);
                }
            }
            base.ask(&files, floor, damaged).map_err(|violation| {
                broken!(
                    "seed {seed}, {:?}, clean {clean}, {name}, {what}: {violation}",
                    profile.durability
                )
            })
        };
        let journal = Class::of(name) == Class::Journal;
        // A journal that is shorter than it was looks like one that a power cut took the end of. A flipped bit does so
        // in the last record alone: those before it are vouched for.
        let (shorter, flipped) = match journal {
            true => (base.covered, base.marks.len().saturating_sub(2).max(base.covered)),
            false => (base.marks.len() - 1, base.marks.len() - 1),
        };
        let every = if Class::of(name) == Class::Blobs { SPARSE } else { 1 };
        for at in 0..bytes.len() {
            // Room that nothing has been written to yet is flipped here and there.
            let unused = bytes[at..].iter().take(2 * SPARSE).all(|byte| *byte == 0);
            let every = if unused { SPARSE } else { every };
            if at >= 64 && rng.usize(..every) > 0 {
                continue;
            }
            let mut flip = bytes.clone();
            flip[at] ^= 1 << rng.u32(..8);
            damaged.flips += 1;
            ask(&format!("a bit of byte {at}"), Some(flip), flipped, &mut damaged)?;
        }
        for len in (0..bytes.len()).step_by((bytes.len() / 60).max(1)) {
            ask(
                &format!("cut off at {len}"),
                Some(bytes[..len].to_vec()),
                shorter,
                &mut damaged,
            )?;
        }
        for start in (0..bytes.len()).step_by(512) {
            let mut zeroed = bytes.clone();
            let end = (start + 512).min(zeroed.len());
            zeroed[start..end].fill(0);
            ask(&format!("zeros from {start}"), Some(zeroed), shorter, &mut damaged)?;
        }
        for start in (0..bytes.len()).step_by(PAGE_BYTES) {
            // As a write that went astray, or one that was lost, leaves it.
            let other = rng.usize(..bytes.len().div_ceil(PAGE_BYTES)) * PAGE_BYTES;
            let len = PAGE_BYTES.min(bytes.len() - start).min(bytes.len() - other);
            let mut astray = bytes.clone();
            astray[start..start + len].copy_from_slice(&bytes[other..other + len]);
            ask(&format!("page {other} at {start}"), Some(astray), shorter, &mut damaged)?;
        }
        let mut longer = bytes.clone();
        longer.extend((0..300).map(|_| rng.u8(..)));
        ask("garbage at its end", Some(longer), flipped, &mut damaged)?;
        ask("all zeros", Some(vec![0; bytes.len()]), shorter, &mut damaged)?;
        ask("empty", Some(Vec::new()), shorter, &mut damaged)?;
        ask("missing", None, shorter, &mut damaged)?;
        for (what, others) in [("older", &base.older), ("foreign", &base.foreign)] {
            for (other, contents) in others.iter().filter(|(other, _)| Class::of(other) == Class::of(name)) {
                ask(
                    &format!("{what} {other}"),
                    Some(contents.clone()),
                    shorter,
                    &mut damaged,
                )?;
            }
        }
    }
    Ok(damaged)
}

impl Base {
    /// Opens, and compares every answer with what is right: the state after one of the commits from `floor` on.
    fn ask(&self, files: &[(String, Vec<u8>)], floor: usize, damaged: &mut Damaged) -> Checked<()> {
        damaged.images += 1;
        let medium = Medium::of(
            files
                .iter()
                .map(|(name, bytes)| (name.clone(), Contents::from(&bytes[..]))),
        );
        let disk: SimDisk<Legal> = SimDisk::over(medium);
        let world = World {
            disk: Arc::new(disk),
            random: Arc::new(|| 7),
            segment_bytes: 4096,
            map_log_bytes: 64 << 10,
        };
        // With leave to create: nothing may be created over what is left of a database.
        let options = Options {
            create: true,
            durability: Durability::Process,
            ..Options::default()
        };
        let database = match Database::open_in(&world, &options) {
            Ok(database) => database,
            Err(error) => {
                damaged.refused += 1;
                return typed(&error);
            }
        };
        match Census::of(&database) {
            Ok(census) => {
                damaged.whole += 1;
                if self.marks[floor..].iter().any(|mark| mark.digest == census.digest) {
                    return Ok(());
                }
                violation!("answers with a state that is none of those it may be in: {census:?}")
            }
            Err(error) => {
                damaged.partial += 1;
                typed(&error)?;
                self.ask_each(&database)
            }
        }
    }

    /// Some of it cannot be read: what can be is right.
    fn ask_each(&self, database: &Database) -> Checked<()> {
        for (name, tree) in &self.model.trees {
            let id = match database.tree(name) {
                Ok(id) => id,
                Err(error) => {
                    typed(&error)?;
                    continue;
                }
            };
            for (key, (version, value)) in tree {
                let right = database.get(id, key, |record| {
                    record.is_some_and(|record| record.version == *version && record.value == &value[..])
                });
                match right {
                    Ok(true) => {}
                    Ok(false) => {
                        return violation!("a wrong answer for {:?} in {name:?}", String::from_utf8_lossy(key));
                    }
                    Err(error) => typed(&error)?,
                }
            }
        }
        Ok(())
    }
}

fn typed(error: &Error) -> Checked<()> {
    match error.code() {
        ErrorCode::Corrupt | ErrorCode::IncompatibleFormat => Ok(()),
        code => violation!("damage is answered with {code:?}: {error}"),
    }
}
