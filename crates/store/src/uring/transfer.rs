//! Transfers over a queue that answers in any order, in part, or asks to come again.
//!
//! Knows nothing of io_uring: what it is given is a queue of slots, each with a buffer and at most one command under way.
//! Every function returns only when nothing is under way any more, unless the queue itself is broken.

#[cfg(test)]
mod tests;

use std::{io, thread};

use rustix::io::Errno;

use crate::{blob_store::BlobRead, blob_store::check_read, extent::PAGE_BYTES, pieces::Pieces};

/// What a short transfer is continued from: whole sectors, since direct I/O takes nothing less.
const SECTOR_BYTES: usize = 512;

/// How often a command that made no progress is sent again, before that is an error.
const MAX_RETRIES: u32 = 1000;

/// What a slot is asked to do. Offsets and lengths are bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// Writes `len` bytes of the slot's buffer, from `start` on, at `offset` of the file.
    Write { offset: u64, start: usize, len: usize },
    /// Reads into the slot's buffer.
    Read { offset: u64, start: usize, len: usize },
    /// Syncs the file's data.
    Sync,
}

/// A queue of slots.
pub(super) trait Queue {
    fn slots(&self) -> usize;

    fn slot_bytes(&self) -> usize;

    /// A slot's buffer; empty while a command of the slot is under way.
    fn buffer(&mut self, slot: usize) -> &mut [u8];

    /// Prepares a command of an idle slot for the next submission.
    fn prepare(&mut self, slot: usize, command: Command) -> io::Result<()>;

    /// Submits all that was prepared, in one call, and waits until at least so many commands have completed.
    ///
    /// # Errors
    /// The queue is broken: nobody knows what is under way.
    fn submit_and_wait(&mut self, completions: usize) -> io::Result<()>;

    /// A command that has completed: its slot, and the bytes transferred or the negated error number.
    fn completion(&mut self) -> Option<(usize, i32)>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Write,
    Read,
}

/// What a slot is at work on.
struct Job {
    offset: u64,
    len: usize,
    done: usize,
    retries: u32,
    /// The caller's.
    tag: usize,
}

impl Job {
    fn new(offset: u64, len: usize, tag: usize) -> Self {
        Self {
            offset,
            len,
            done: 0,
            retries: 0,
            tag,
        }
    }

    /// What is left of it.
    fn command(&self, direction: Direction) -> Command {
        let (offset, start, len) = (self.offset + self.done as u64, self.done, self.len - self.done);
        match direction {
            Direction::Write => Command::Write { offset, start, len },
            Direction::Read => Command::Read { offset, start, len },
        }
    }

    /// Takes a completion in: true when the job is done, false when what is left must be sent again.
    fn advance(&mut self, direction: Direction, result: i32) -> io::Result<bool> {
        let transferred = match usize::try_from(result) {
            Ok(transferred) => transferred.min(self.len - self.done),
            Err(_) => {
                let error = io::Error::from_raw_os_error(result.wrapping_neg());
                let again = [Errno::INTR, Errno::AGAIN].map(|errno| Some(errno.raw_os_error()));
                self.retries += 1;
                if !again.contains(&error.raw_os_error()) || self.retries > MAX_RETRIES {
                    return Err(error);
                }
                thread::yield_now();
                return Ok(false);
            }
        };
        if self.done + transferred == self.len {
            return Ok(true);
        }
        let progress = transferred - transferred % SECTOR_BYTES;
        if progress == 0 {
            return Err(match direction {
                Direction::Write => io::ErrorKind::WriteZero.into(),
                Direction::Read => io::ErrorKind::UnexpectedEof.into(),
            });
        }
        self.done += progress;
        Ok(false)
    }
}

/// Runs jobs until `next` has no more. `next` makes a job in an idle slot's buffer; `finish` is told of each that ended,
/// with the bytes of its buffer, and says whether more are wanted.
///
/// Slots are filled as they become idle, half of them at a time, so that a submission is a batch and the disk is never
/// without work.
fn run(
    queue: &mut impl Queue,
    direction: Direction,
    mut next: impl FnMut(&mut [u8]) -> Option<Job>,
    mut finish: impl FnMut(&Job, io::Result<&[u8]>) -> bool,
) -> io::Result<()> {
    let mut jobs: Vec<Option<Job>> = Vec::new();
    jobs.resize_with(queue.slots(), || None);
    let mut idle: Vec<usize> = (0..queue.slots()).rev().collect();
    let mut more = true;
    loop {
        while more && let Some(slot) = idle.pop() {
            match next(queue.buffer(slot)) {
                Some(job) => {
                    queue.prepare(slot, job.command(direction))?;
                    if let Some(place) = jobs.get_mut(slot) {
                        *place = Some(job);
                    }
                }
                None => {
                    more = false;
                    idle.push(slot);
                }
            }
        }
        let active = queue.slots() - idle.len();
        if active == 0 {
            return Ok(());
        }
        let wanted = if more { active.div_ceil(2) } else { active };
        queue.submit_and_wait(wanted)?;
        while let Some((slot, result)) = queue.completion() {
            let Some(job) = jobs.get_mut(slot).and_then(Option::as_mut) else {
                return Err(io::Error::other("io_uring completed what was not asked for"));
            };
            let ended = match job.advance(direction, result) {
                Ok(false) => {
                    queue.prepare(slot, job.command(direction))?;
                    continue;
                }
                Ok(true) => Ok(queue.buffer(slot).get(..job.len).unwrap_or_default() as &[u8]),
                Err(error) => Err(error),
            };
            more &= finish(job, ended);
            if let Some(place) = jobs.get_mut(slot) {
                *place = None;
            }
            idle.push(slot);
        }
    }
}

/// Writes all pieces, which are no longer than a slot's buffer. The first failure ends it, once what is under way has
/// completed.
pub(super) fn write_all(queue: &mut impl Queue, mut pieces: Pieces<'_, '_>) -> io::Result<()> {
    let mut outcome = Ok(());
    run(
        queue,
        Direction::Write,
        |buffer| {
            let piece = pieces.next()?;
            piece.copy_to(buffer);
            Some(Job::new(piece.offset, piece.len, 0))
        },
        |_, ended| match ended {
            Ok(_) => true,
            Err(error) => {
                if outcome.is_ok() {
                    outcome = Err(error);
                }
                false
            }
        },
    )?;
    outcome
}

/// Reads every blob, however the others fare.
pub(super) fn read_all(queue: &mut impl Queue, reads: &mut [BlobRead<'_>]) -> Vec<io::Result<()>> {
    let mut results: Vec<io::Result<()>> = reads.iter().map(|read| check_read(read.extent, read.into)).collect();
    let slot_bytes = queue.slot_bytes();
    // Which read, and where in it, each job is for.
    let mut parts = Vec::new();
    for (index, (read, result)) in reads.iter().zip(&results).enumerate() {
        if result.is_ok() {
            parts.extend((0..read.into.len()).step_by(slot_bytes).map(|start| (index, start)));
        }
    }
    let jobs: Vec<Job> = (parts.iter().enumerate())
        .filter_map(|(tag, &(index, start))| {
            let read = reads.get(index)?;
            let len = (read.into.len() - start)
                .min(slot_bytes)
                .next_multiple_of(PAGE_BYTES as usize);
            Some(Job::new(read.extent.offset_bytes() + start as u64, len, tag))
        })
        .collect();
    let mut jobs = jobs.into_iter();
    let broken = run(
        queue,
        Direction::Read,
        |_| jobs.next(),
        |job, ended| {
            let Some(&(index, start)) = parts.get(job.tag) else {
                return true;
            };
            match ended {
                Ok(bytes) => {
                    let rest = reads.get_mut(index).and_then(|read| read.into.get_mut(start..));
                    let rest = rest.unwrap_or_default();
                    let len = rest.len().min(bytes.len());
                    if let (Some(to), Some(from)) = (rest.get_mut(..len), bytes.get(..len)) {
                        to.copy_from_slice(from);
                    }
                }
                Err(error) => {
                    if let Some(result) = results.get_mut(index) {
                        *result = Err(error);
                    }
                }
            }
            true
        },
    );
    if let Err(error) = broken {
        for result in &mut results {
            *result = Err(io::Error::new(error.kind(), error.to_string()));
        }
    }
    results
}

/// Syncs the file's data. Nothing may be under way.
pub(super) fn sync(queue: &mut impl Queue) -> io::Result<()> {
    queue.prepare(0, Command::Sync)?;
    loop {
        queue.submit_and_wait(1)?;
        if let Some((_, result)) = queue.completion() {
            return if result < 0 {
                Err(io::Error::from_raw_os_error(result.wrapping_neg()))
            } else {
                Ok(())
            };
        }
    }
}
