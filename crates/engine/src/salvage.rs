//! A new database from what is left of a damaged one, which is only read.
//!
//! What the slot map still says is walked from the topmost frame down; each frame counts that passes its digest and its
//! validation. Its records are put into a new database, under the names that the catalog still has; then the journal's records
//! are done again behind them. So the trees of the new database have what those of the damaged one had as of one commit, less
//! what was lost, and nothing else.
//!
//! What is sound too, but not known to be in its place or to be the newest, goes to a tree of its own: what lies below lost
//! frames, what a damaged slot map leaves in doubt, and what the journal has behind a gap. Versions are new.
//!
//! Owns no format: the store, the journal and the frames say themselves what of theirs is sound. Memory: what the new database
//! may have, a few bytes for each blob, one frame and one value.

mod frames;
mod target;
#[cfg(test)]
mod tests;
mod unfinished;

use std::{path::Path, sync::Arc};

use coppice_disk::{Disk, FolderDisk, FolderLock, LOCK_FILE_NAME, LockError, check_openable};
use coppice_journal::{Op, Standing, goes_on_behind, is_segment_name, salvage as salvage_journal};
use coppice_store::Remains;

use self::{frames::Frames, target::Target, unfinished::Unfinished};
use crate::{
    backup::Destination,
    core::{Engine, replay_error, store_error},
    error::{Error, ErrorCode},
    options::{Durability, Options},
    registry::{folder_error, lock_error},
    verify::{OnProgress, Problem},
};

/// Problems and ranges of lost keys that a report lists; more are only counted.
const LISTED: usize = 10_000;

/// Losses looked at on account of prefixes that are moved or cloned: some seconds' worth, however many of both there are.
const FOLLOWED: usize = 20_000_000;

/// The new database begins with a small segment of journal.
const SMALL_JOURNAL_BYTES: u64 = 1 << 20;

/// Keys whose records were lost: those of a tree that begin with `first`, with `last`, or with what lies between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostKeys {
    /// The tree's name; none where several trees are concerned, or it is not known which.
    pub tree: Option<String>,
    /// What the first of them begin with. The whole key, and `last` too, where it is one record's value that was lost.
    pub first: Vec<u8>,
    /// What the last of them begin with.
    pub last: Vec<u8>,
    /// How many they were, as far as that is known: without those in frames below.
    pub records: u64,
}

impl LostKeys {
    /// So many, of which it is not known where they were.
    fn somewhere(records: u64) -> Self {
        Self {
            tree: None,
            first: Vec::new(),
            last: Vec::new(),
            records,
        }
    }

    /// These as a move or clone of `from` to `to` would have taken them along, and whether it would have taken all of them;
    /// where it would not, it is not known how many, and they may be any below `to`.
    fn carried(&self, from: &[u8], to: &[u8]) -> Option<(Self, bool)> {
        let rests = self.first.strip_prefix(from).zip(self.last.strip_prefix(from));
        let overlaps = (self.first.as_slice() <= from || self.first.starts_with(from))
            && (self.last.as_slice() >= from || from.starts_with(&self.last));
        let (first, last) = rests.or(overlaps.then_some((&[], &[])))?;
        let carried = Self {
            tree: self.tree.clone(),
            first: [to, first].concat(),
            last: [to, last].concat(),
            records: self.records,
        };
        Some((carried, rests.is_some()))
    }
}

/// What a salvage kept and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// The last commit that the trees show all of, less what was lost; none where a damaged map does not say it.
    pub version: Option<u64>,
    /// Trees of the new database, but for the one of what has no place.
    pub trees: u64,
    /// Records in them.
    pub keys: u64,
    /// The name of the tree of what has no place; none where there is nothing of the kind.
    pub lost_and_found: Option<String>,
    /// Records in it.
    pub unplaced: u64,
    /// Frames that could not be read.
    pub lost_frames: u64,
    /// Large values that could not be read.
    pub lost_values: u64,
    /// What was lost, as far as its place is known; 10,000 at most.
    pub lost: Vec<LostKeys>,
    /// Everything that is wrong with the damaged database; 10,000 at most, and one that says how many more.
    pub problems: Vec<Problem>,
}

/// What is gathered for the report on the way.
#[derive(Default)]
struct Findings {
    lost_frames: u64,
    lost_values: u64,
    lost: Vec<LostKeys>,
    /// How many of them were looked at for prefixes.
    followed: usize,
    problems: Vec<Problem>,
    more_problems: u64,
}

impl Findings {
    fn problem(&mut self, problem: Problem) {
        match self.problems.len() < LISTED {
            true => self.problems.push(problem),
            false => self.more_problems += 1,
        }
    }

    fn lose(&mut self, keys: LostKeys) {
        if self.lost.len() < LISTED {
            self.lost.push(keys);
        }
    }

    /// What was lost under `from` is missing under `to` as well, once that was moved or cloned there. Where that is too much
    /// to follow, it is said once that something was lost, and not where.
    fn carry(&mut self, tree: &str, (from, to): (&[u8], &[u8]), is_move: bool) {
        if self.followed > FOLLOWED {
            return;
        }
        self.followed += self.lost.len();
        if self.followed > FOLLOWED {
            return self.lose(LostKeys::somewhere(0));
        }
        for index in 0..self.lost.len() {
            let Some(lost) = self.lost.get_mut(index) else { return };
            if lost.tree.as_deref() != Some(tree) {
                continue;
            }
            match lost.carried(from, to) {
                Some((carried, true)) if is_move => *lost = carried,
                Some((carried, _)) => self.lose(carried),
                None => {}
            }
        }
    }

    /// Nothing is lost of what was deleted afterwards: of a tree, all that begins with a prefix. What lies partly there stays, and
    /// so does everything where that is too much to follow.
    fn forget(&mut self, tree: &str, prefix: &[u8]) {
        let followed = self.followed + self.lost.len();
        if followed > FOLLOWED {
            return;
        }
        self.followed = followed;
        self.lost.retain(|lost| {
            lost.tree.as_deref() != Some(tree) || !lost.first.starts_with(prefix) || !lost.last.starts_with(prefix)
        });
    }

    /// All problems, with one that says how many are not listed.
    fn into_problems(mut self) -> Vec<Problem> {
        if self.more_problems > 0 {
            self.problems.push(Problem {
                file: String::new(),
                offset: 0,
                what: format!("{} more problems are not listed", self.more_problems),
            });
        }
        self.problems
    }
}

/// Makes a new database in `destination` of what still checks of the one in `source`, of which no byte is changed. The
/// destination is a folder that is new or empty, and no database before all of it is there; it is removed again on a failure.
///
/// # Errors
/// `NotFound` where there is nothing of a database in `source`; `Corrupt` where no file there says which one it was; `Locked`
/// while somebody writes to it; `IncompatibleFormat`; `Io` where one of its files is there and cannot be opened. Of the
/// destination `InvalidArgument` where it is not empty or lies inside the source, `NoSpace`, `Io`. `Aborted` where `on_progress`,
/// told of blobs, breaks.
pub fn salvage(source: &Path, destination: &Path, on_progress: OnProgress<'_>) -> Result<SalvageReport, Error> {
    let disk = FolderDisk::open_read_only(source).map_err(|error| folder_error(source, error))?;
    let mut findings = Findings::default();
    let _lock = lock(&disk, &mut findings)?;
    let place = disk.identity().map_err(|error| folder_error(source, error))?;
    let remains = find(&disk, &mut findings)?;
    let destination = Destination::prepare(Some(&place), destination)?;
    let made = salvage_to(&disk, &remains, findings, destination.disk(), on_progress);
    if made.is_err() {
        destination.clear();
    }
    made
}

/// The same from one disk to another, which is empty. What is there after an error is no database.
///
/// # Errors
/// As [`salvage`].
#[cfg(feature = "simulation")]
pub fn salvage_disk(damaged: &dyn Disk, destination: Arc<dyn Disk>) -> Result<SalvageReport, Error> {
    let mut findings = Findings::default();
    let remains = find(damaged, &mut findings)?;
    let go_on: OnProgress<'_> = &mut |_, _| std::ops::ControlFlow::Continue(());
    salvage_to(damaged, &remains, findings, destination, go_on)
}

/// Keeps writers out, if there can be any: nothing is created for that.
fn lock(disk: &FolderDisk, findings: &mut Findings) -> Result<Option<FolderLock>, Error> {
    let names = disk.list().map_err(|error| folder_error(disk.path(), error))?;
    if !names.iter().any(|name| name == LOCK_FILE_NAME) {
        return Ok(None);
    }
    match FolderLock::acquire_shared(disk) {
        Ok(lock) => Ok(lock),
        Err(LockError::Io { source, .. }) => {
            findings.problem(Problem {
                file: LOCK_FILE_NAME.to_owned(),
                offset: 0,
                what: format!("it cannot be locked: {source}"),
            });
            Ok(None)
        }
        Err(error) => Err(lock_error(error)),
    }
}

/// What of the journal is there and cannot be opened is not lost: nothing is made without it. What is no regular file is none.
fn check_journal(disk: &dyn Disk) -> Result<(), Error> {
    let names = disk.list().map_err(|error| Error::from_io(disk.label(), error))?;
    let mut segments = names.iter().filter(|name| is_segment_name(name));
    segments.try_for_each(|name| {
        check_openable(disk, name).map_err(|error| Error::from_io(format!("opening {name}"), error))
    })
}

/// Looks for what is left of the store.
fn find(disk: &dyn Disk, findings: &mut Findings) -> Result<Remains, Error> {
    check_journal(disk)?;
    let (remains, problems) =
        Remains::find(disk, &|database_id, cut| goes_on_behind(disk, database_id, cut)).map_err(store_error)?;
    if remains.frame_bytes() as usize > coppice_frame::MAX_FRAME_BYTES {
        let message = format!(
            "frames of {} bytes are not known to this version",
            remains.frame_bytes()
        );
        return Err(Error::new(ErrorCode::IncompatibleFormat, message));
    }
    for problem in &problems {
        findings.problem(Problem::of_store(problem));
    }
    Ok(remains)
}

/// Fills a folder that is empty.
fn salvage_to(
    disk: &dyn Disk,
    remains: &Remains,
    findings: Findings,
    destination: Arc<dyn Disk>,
    on_progress: OnProgress<'_>,
) -> Result<SalvageReport, Error> {
    let unfinished = Arc::new(Unfinished::new(destination));
    let options = Options {
        durability: Durability::None,
        frame_bytes: remains.frame_bytes(),
        // Nothing is journaled.
        journal_bytes: SMALL_JOURNAL_BYTES,
        ..Options::default()
    };
    let engine = Engine::open(Arc::<Unfinished>::clone(&unfinished), None, &options)?;
    let filled = fill(&engine, disk, remains, findings, on_progress);
    match filled {
        Ok(report) => {
            engine.shut_down()?;
            drop(engine);
            unfinished.finish()?;
            Ok(report)
        }
        Err(error) => {
            engine.abandon();
            Err(error)
        }
    }
}

fn fill(
    engine: &Engine,
    disk: &dyn Disk,
    remains: &Remains,
    findings: Findings,
    on_progress: OnProgress<'_>,
) -> Result<SalvageReport, Error> {
    let mut frames = Frames::new(remains, Target::new(engine, findings), on_progress);
    frames.put_all()?;
    // A map whose last records are lost does not say what it is the state of; what was written does, as far as it goes.
    let cut = remains.cut().max(frames.newest_version());
    let mut target = frames.into_target();
    let is_exact = !remains.is_cut_lost() || comes_to_the_same(disk, remains, cut)?;
    let replayed = salvage_journal(disk, remains.database_id(), cut, &mut |_, standing, op| {
        let standing = if is_exact { standing } else { Standing::BehindGap };
        target.apply(standing, &op)
    });
    let replayed = replayed.map_err(replay_error)?;
    for error in &replayed.problems {
        target.findings.problem(Problem::of_journal(error));
    }
    if !is_exact {
        target.findings.problem(Problem {
            file: String::new(),
            offset: 0,
            what:
                "it is lost which commit the frames are the state of: what the journal has was not put into the trees"
                    .to_owned(),
        });
    }
    target.report(is_exact.then_some(replayed.last_sequence))
}

/// Whether all that the journal has behind `cut` may be done again, even if the frames have part of it: puts and deletes may,
/// in order and to the end; what is done to prefixes may not.
fn comes_to_the_same(disk: &dyn Disk, remains: &Remains, cut: u64) -> Result<bool, Error> {
    let mut only_records = true;
    let read = salvage_journal(disk, remains.database_id(), cut, &mut |_, standing, op| {
        only_records &= standing == Standing::Next && !is_of_prefixes(&op);
        Ok(())
    });
    Ok(read.map_err(replay_error)?.problems.is_empty() && only_records)
}

fn is_of_prefixes(op: &Op<'_>) -> bool {
    match op {
        Op::Put { .. } | Op::Delete { .. } | Op::CreateTree { .. } => false,
        Op::MovePrefix { .. } | Op::ClonePrefix { .. } | Op::DeletePrefix { .. } | Op::DropTree { .. } => true,
        Op::Batch(batch) => batch.ops().any(|op| is_of_prefixes(&op)),
    }
}
