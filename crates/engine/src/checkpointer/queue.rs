//! The queue between planners and the I/O thread: bounded, first in first out, and the keeper of what failed.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, OnceLock},
    time::Instant,
};

use coppice_sync::{Condvar, Mutex};

use super::{Epoch, Outcome, Settings, WhenFull, failed_with, poisons};
use crate::{
    budget::CutBytes,
    error::{Error, ErrorCode},
    table::Cut,
};

/// Counters of groups.
#[derive(Clone, Default, Debug)]
pub(crate) struct Rounds {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) bytes_written: u64,
    pub(crate) last_error: Option<String>,
}

struct Queued {
    epoch: Epoch,
    outcome: Arc<OnceLock<Outcome>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Queued>,
    /// Epochs that the I/O thread has taken and not reported.
    in_hand: usize,
    /// What failed epochs had, for the next planner.
    returned: Vec<Cut>,
    /// Counts failures: an epoch that was cut before one must not be queued behind it.
    generation: u64,
    stopping: bool,
    /// Why there is no I/O thread any more.
    dead: Option<Error>,
    rounds: Rounds,
}

/// See the module.
pub(super) struct Queue {
    settings: Settings,
    state: Mutex<State>,
    /// Something came, or no more will come.
    arrived: Condvar,
    /// There is room again, or a report.
    left: Condvar,
    poison: Arc<OnceLock<Error>>,
}

/// Leave to queue one epoch.
pub(super) struct Room {
    /// To be handed back with the epoch.
    pub(super) generation: u64,
    /// What must be restored before it is cut.
    pub(super) returned: Vec<Cut>,
}

/// What became of a group: one outcome for each epoch, and what was not done.
pub(super) struct GroupResult {
    pub(super) outcomes: Vec<Outcome>,
    /// Nothing of the group is durable.
    pub(super) failed: bool,
    /// Deletes to be tried again.
    pub(super) deletes_to_restore: Vec<u32>,
    /// A failure behind the commit that leaves it open what is on disk.
    pub(super) poison: Option<Error>,
    pub(super) bytes_written: u64,
}

/// A promise of a report.
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Ticket {
    /// The report, if there is one yet.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// Waits for the report.
    pub(crate) fn wait(&self) -> Outcome {
        let mut state = self.queue.state.lock();
        loop {
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            self.queue.left.wait(&mut state);
        }
    }
}

impl Queue {
    pub(super) fn new(settings: Settings, poison: Arc<OnceLock<Error>>) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            arrived: Condvar::new(),
            left: Condvar::new(),
            poison,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Leave to queue an epoch.
    pub(super) fn room(&self, when_full: WhenFull) -> Result<Option<Room>, Error> {
        let mut state = self.state.lock();
        loop {
            if let Some(cause) = &state.dead {
                return Err(cause.clone());
            }
            if state.stopping {
                return Err(Error::new(ErrorCode::Closed, "the database is closed"));
            }
            if state.waiting.len() < self.settings.queue_depth {
                return Ok(Some(Room {
                    generation: state.generation,
                    returned: mem::take(&mut state.returned),
                }));
            }
            if when_full == WhenFull::GiveUp {
                return Ok(None);
            }
            self.left.wait(&mut state);
        }
    }

    /// Queues an epoch. `None` where one before it has failed meanwhile: its cut is kept with the others that did.
    pub(super) fn push(self: &Arc<Self>, generation: u64, epoch: Epoch) -> Option<Ticket> {
        let mut state = self.state.lock();
        if generation != state.generation || state.dead.is_some() || state.stopping {
            state.returned.push(epoch.cut);
            return None;
        }
        let outcome = Arc::new(OnceLock::new());
        state.waiting.push_back(Queued {
            epoch,
            outcome: Arc::clone(&outcome),
        });
        self.arrived.notify_one();
        Some(Ticket {
            queue: Arc::clone(self),
            outcome,
        })
    }

    /// Waits for an epoch, then for neighbours, and takes what there is, up to the limit. `None` when the queue was stopped
    /// and is empty.
    pub(super) fn take_group(&self) -> Option<Held<'_>> {
        let limit = self.settings.group_epochs.max(1);
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.stopping {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let until = Instant::now() + self.settings.window;
        while state.waiting.len() < limit && !state.stopping {
            if self.arrived.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let count = state.waiting.len().min(limit);
        let (epochs, outcomes) = state
            .waiting
            .drain(..count)
            .map(|queued| (queued.epoch, queued.outcome))
            .unzip();
        state.in_hand = count;
        self.left.notify_all();
        Some(Held {
            queue: self,
            epochs,
            outcomes,
        })
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.arrived.notify_all();
        self.left.notify_all();
    }

    pub(super) fn rounds(&self) -> Rounds {
        self.state.lock().rounds.clone()
    }

    pub(super) fn depth(&self) -> usize {
        let state = self.state.lock();
        state.waiting.len() + state.in_hand
    }

    /// Blobs and deletes that were given back and that no planner has restored, in order.
    #[cfg(test)]
    pub(super) fn returned_for_tests(&self) -> (Vec<u32>, Vec<u32>) {
        let state = self.state.lock();
        let images = state
            .returned
            .iter()
            .flat_map(|cut| cut.changed.iter())
            .map(|changed| changed.blob);
        let deletes = state.returned.iter().flat_map(|cut| &cut.freed).copied();
        (images.collect(), deletes.collect())
    }

    /// To be held by the I/O thread: says so when it dies.
    pub(super) fn last_words(&self) -> LastWords<'_> {
        LastWords { queue: self }
    }

    /// Returns everything of these epochs and of those in the queue, which build on them, and reports them.
    fn fail(&self, epochs: Vec<Epoch>, slots: &[Arc<OnceLock<Outcome>>], outcomes: Vec<Outcome>) {
        let first = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).cloned();
        let first = first.unwrap_or_else(|| Error::new(ErrorCode::Internal, "a checkpoint failed without an error"));
        if poisons(&first) {
            // Only the first failure is kept.
            let _ = self.poison.set(first.clone());
        }
        let mut state = self.state.lock();
        state.generation += 1;
        state.rounds.failed += 1;
        state.rounds.last_error = Some(first.to_string());
        state.returned.extend(epochs.into_iter().map(|epoch| epoch.cut));
        for (slot, outcome) in slots.iter().zip(outcomes) {
            let _ = slot.set(outcome);
        }
        for queued in mem::take(&mut state.waiting) {
            state.returned.push(queued.epoch.cut);
            let _ = queued.outcome.set(Err(failed_with(&first)));
        }
        state.in_hand = 0;
        self.left.notify_all();
    }
}

/// A group in the hands of the I/O thread. One that is dropped without a report was lost with its thread.
pub(super) struct Held<'q> {
    queue: &'q Queue,
    epochs: Vec<Epoch>,
    outcomes: Vec<Arc<OnceLock<Outcome>>>,
}

impl Held<'_> {
    pub(super) fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// Reports every epoch, in order.
    pub(super) fn report(mut self, result: GroupResult) {
        let (epochs, slots) = (mem::take(&mut self.epochs), mem::take(&mut self.outcomes));
        if result.failed {
            self.queue.fail(epochs, &slots, result.outcomes);
            return;
        }
        if let Some(error) = result.poison {
            let _ = self.queue.poison.set(error);
        }
        // What the cuts hold goes before anybody hears that it is on disk.
        drop(epochs);
        let error = result.outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        let mut state = self.queue.state.lock();
        state.rounds.bytes_written += result.bytes_written;
        match error {
            None => state.rounds.done += 1,
            Some(error) => {
                state.rounds.failed += 1;
                state.rounds.last_error = Some(error.to_string());
            }
        }
        if !result.deletes_to_restore.is_empty() {
            state.returned.push(Cut {
                changed: Arc::default(),
                recounted: Vec::new(),
                freed: result.deletes_to_restore,
                _counted: CutBytes::default(),
            });
        }
        for (slot, outcome) in slots.iter().zip(result.outcomes) {
            let _ = slot.set(outcome);
        }
        state.in_hand = 0;
        self.queue.left.notify_all();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.epochs.is_empty() {
            return;
        }
        let (epochs, slots) = (mem::take(&mut self.epochs), mem::take(&mut self.outcomes));
        let error = death();
        let outcomes = slots.iter().map(|_| Err(error.clone())).collect();
        self.queue.fail(epochs, &slots, outcomes);
    }
}

fn death() -> Error {
    Error::new(
        ErrorCode::Internal,
        "the checkpoint thread died in the middle of a round",
    )
}

/// Dropped by a thread that unwinds, it fails all that is queued and all that would be.
pub(super) struct LastWords<'q> {
    queue: &'q Queue,
}

impl LastWords<'_> {
    /// The thread ends as it should.
    pub(super) fn none_needed(self) {
        mem::forget(self);
    }
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.queue.state.lock().dead = Some(death());
        self.queue.fail(Vec::new(), &[], vec![Err(death())]);
    }
}
