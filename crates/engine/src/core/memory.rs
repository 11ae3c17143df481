//! What the bound on memory asks of operations. A read that finds no room for what it must read in lets go of what it
//! found, waits for readers to let go of what was evicted, and begins again. A change starts only when there is room for
//! what it may need, and waits while too much of memory is nowhere but there: for checkpoints, which it asks for in time.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use coppice_store::Store;

use super::{Engine, Exclusive, State, write::STALL};
use crate::{
    checkpointer::{self, Epoch},
    error::Error,
};

/// How often a read begins again that gets no further. Each time what it read in before is in memory as a rule.
const ATTEMPTS: usize = 1000;
/// After so many, what was changed is written, so that there is more to evict.
const ATTEMPTS_BESIDE_CHANGES: usize = 16;

/// How often what is to be held is made less by a checkpoint.
const HOLD_ATTEMPTS: usize = 8;

impl Engine {
    /// Does what may find no room to read in. It holds nothing when it has failed, and can be done again.
    pub(super) fn uncrowded<R>(&self, mut read: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
        let mut attempts = 0;
        loop {
            match read() {
                Err(error) if error.is_crowded() && attempts < ATTEMPTS => self.wait_for_reads(attempts)?,
                other => return other,
            }
            attempts += 1;
        }
    }

    /// The state for a hold on what is nowhere but in memory, which keeps it there for as long as it lasts: little, if
    /// checkpoints can see to that.
    pub(super) fn exclusive_to_hold(&self) -> Exclusive<'_> {
        let budget = self.table.budget();
        for _ in 0..HOLD_ATTEMPTS {
            let state = self.exclusive();
            let more = budget.unsettled();
            if more == 0 || !budget.is_held_enough(more) {
                return state;
            }
            drop(state);
            if self.checkpoint().is_err() {
                break;
            }
        }
        self.exclusive()
    }

    /// Whether so much has changed in memory that a checkpoint should start.
    pub(crate) fn wants_checkpoint_for_memory(&self) -> bool {
        self.table.budget().wants_checkpoint()
    }

    /// Evicts before somebody has to.
    pub(crate) fn evict_ahead(&self) {
        self.table.evict_ahead();
    }

    /// Has memory found for the copies that writers will make of what a checkpoint is writing, as much as is nowhere but in
    /// memory. A step at a time; whether there is more to do.
    pub(crate) fn make_memory_ready(&self) -> bool {
        self.durable.is_some() && self.table.make_memory_ready()
    }

    /// Before a change takes any lock that puts so many bytes into memory beside frames: sees to room.
    #[inline]
    pub(super) fn make_way_in_memory(&self, more: usize) -> Result<(), Error> {
        let budget = self.table.budget();
        if budget.wants_checkpoint() {
            self.signal.call();
        }
        if budget.admits(more) {
            return Ok(());
        }
        self.settle_memory(more)?;
        self.table.wait_for_change(more)
    }

    /// Waits for checkpoints while too much is nowhere but in memory. Who has waited long, or for nobody, makes one.
    #[cold]
    fn settle_memory(&self, more: usize) -> Result<(), Error> {
        let budget = self.table.budget();
        if !budget.is_clogged(more) {
            return Ok(());
        }
        self.stall(|| {
            if budget.is_settling() && self.signal.call() && budget.wait_until_settled(more, STALL) {
                Ok(())
            } else {
                self.checkpoint().map(|_| ())
            }
        })
    }

    /// Waits for room to read, after so many attempts. A change that was larger than most leaves none until it is on disk.
    #[cold]
    pub(super) fn wait_for_reads(&self, attempts: usize) -> Result<(), Error> {
        // If these fail there may be room all the same.
        let _ = if attempts == ATTEMPTS_BESIDE_CHANGES {
            self.checkpoint().map(|_| ())
        } else {
            self.settle_memory(0)
        };
        self.table.wait_for_reads()
    }

    /// The same as [`Engine::exclusive_with_room`] for what only removes.
    pub(super) fn exclusive_to_remove(&self) -> Result<Exclusive<'_>, Error> {
        loop {
            self.make_way_to_remove()?;
            let state = self.exclusive();
            if self.table.budget().has_room(0) {
                return Ok(state);
            }
        }
    }

    /// The state for a change that puts so many bytes into memory beside frames. Whatever it reads in stays in memory until
    /// it is done, and there is room for it.
    pub(super) fn exclusive_with_room(&self, more: usize) -> Result<Exclusive<'_>, Error> {
        loop {
            self.make_way(more)?;
            let state = self.exclusive();
            let budget = self.table.budget();
            if budget.admits(more) {
                return Ok(state);
            }
        }
    }
}

impl State<'_> {
    /// Between two records of the journal that are replayed: what changed is made durable where it is much, without the
    /// journal, and evicted.
    pub(super) fn make_way_in_recovery(&mut self, store: &Arc<Store>) -> Result<(), Error> {
        let table = &self.forest.table;
        if table.budget().wants_checkpoint() {
            let epoch = Epoch {
                cut: table.cut(),
                version: self.sequence,
                next_tree: self.next_tree,
                started: Instant::now(),
            };
            checkpointer::commit_alone(Arc::clone(store), &epoch)?;
        }
        self.forest.table.relieve()
    }
}
