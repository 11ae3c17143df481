//! The checkpoint thread and the bounded queue of epochs before it.
//!
//! A planner takes a cut and puts it into the queue, which is as long as the options say; it waits for room at most, never
//! for the disk. The I/O thread takes the oldest epoch, waits a moment for a neighbour, and makes what is there durable as
//! one group: one batched write, one sync, one slot-map record (`group.rs`). Reports come in the order of the epochs.
//!
//! **Epochs build on each other**: each has only what changed since the one before. So a failure fails all that were
//! planned since, and their cuts are handed to the next planner, who restores them before it takes its own: nothing is
//! forgotten, and nothing is made durable on top of a hole. For the same reason one planner is at work at a time.
//!
//! Owns its thread, and the cuts between their being taken and their report. Knows nothing of what is in a blob, and
//! takes no lock of the engine's.

mod group;
mod queue;
mod target;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use coppice_store::Store;
use coppice_sync::{Mutex, thread::JoinHandle};

pub(crate) use queue::{Rounds, Ticket};
pub(crate) use target::{Files, Target};

use crate::{
    error::{Error, ErrorCode},
    stats::CheckpointReport,
    table::Cut,
    thread,
};

use group::commit_group;
use queue::Queue;

/// What became of an epoch.
pub(crate) type Outcome = Result<CheckpointReport, Error>;

/// One cut, on its way to the disk.
pub(crate) struct Epoch {
    pub(crate) cut: Cut,
    /// The last commit that it has.
    pub(crate) version: u64,
    /// The first tree number that was never used.
    pub(crate) next_tree: u32,
    /// When it was taken.
    pub(crate) started: Instant,
}

/// Makes one epoch durable in a store, at once and by this thread; the journal keeps what it covers.
pub(crate) fn commit_alone(store: Arc<Store>, epoch: &Epoch) -> Result<(), Error> {
    let files = Files { store, journal: None };
    let done = commit_group(&files, std::slice::from_ref(epoch));
    done.outcomes.into_iter().try_for_each(|outcome| outcome.map(|_| ()))
}

/// How much the queue holds, and what makes a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Epochs that may wait.
    pub(crate) queue_depth: usize,
    /// Epochs that one write may serve.
    pub(crate) group_epochs: usize,
    /// How long the first of a group waits for a neighbour.
    pub(crate) window: Duration,
}

/// What a planner does when the queue is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    GiveUp,
}

/// The thread, which is started when there is first something to do. Stopped by [`Checkpointer::stop`], or when dropped.
pub(crate) struct Checkpointer {
    target: Arc<dyn Target>,
    queue: Arc<Queue>,
    planning: Mutex<()>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    /// `poison` is set by a failure that leaves it open what is on disk.
    pub(crate) fn new(target: Arc<dyn Target>, settings: Settings, poison: Arc<OnceLock<Error>>) -> Self {
        Self {
            target,
            queue: Arc::new(Queue::new(settings, poison)),
            planning: Mutex::new(()),
            worker: Mutex::new(None),
        }
    }

    /// Starts the thread, unless that was done, or it is to stop.
    fn attend(&self) -> Result<(), Error> {
        let mut worker = self.worker.lock();
        if worker.is_some() || self.queue.is_stopping() {
            return Ok(());
        }
        let (target, queue) = (Arc::clone(&self.target), Arc::clone(&self.queue));
        *worker = Some(thread::spawn("coppice-io", move || {
            let last_words = queue.last_words();
            while let Some(held) = queue.take_group() {
                let results = commit_group(target.as_ref(), held.epochs());
                held.report(results);
            }
            last_words.none_needed();
        })?);
        Ok(())
    }

    /// Queues an epoch, which `take` makes once there is room: it is given the cuts that earlier epochs have failed to make
    /// durable, restores them, and then takes its own. `None` where the queue is full and that is not waited for.
    ///
    /// # Errors
    /// That of `take`; `Closed` after [`Checkpointer::stop`]; `Internal` when the thread has died; `Io` where the system gives
    /// none.
    pub(crate) fn plan(
        &self,
        when_full: WhenFull,
        mut take: impl FnMut(Vec<Cut>) -> Result<Epoch, Error>,
    ) -> Result<Option<Ticket>, Error> {
        let _alone = self.planning.lock();
        self.attend()?;
        loop {
            let Some(room) = self.queue.room(when_full)? else {
                return Ok(None);
            };
            let epoch = take(room.returned)?;
            if let Some(ticket) = self.queue.push(room.generation, epoch) {
                return Ok(Some(ticket));
            }
        }
    }

    /// Counters since the start.
    pub(crate) fn rounds(&self) -> Rounds {
        self.queue.rounds()
    }

    /// Epochs that wait or are being written.
    pub(crate) fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Takes no more epochs, finishes those in the queue, and ends the thread. A second call does nothing.
    pub(crate) fn stop(&self) {
        self.queue.stop();
        if let Some(worker) = self.worker.lock().take() {
            // A thread that died has said so to everybody who waited for it.
            let _ = worker.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the epochs behind one that failed are told.
fn failed_with(first: &Error) -> Error {
    let message = format!(
        "not made durable, since an earlier checkpoint failed: {}",
        first.message()
    );
    Error::new(first.code(), message)
}

/// Whether a failure leaves it open what is on disk.
fn poisons(error: &Error) -> bool {
    error.code() != ErrorCode::NoSpace
}
