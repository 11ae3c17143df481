//! What leaves memory when it runs short: clean blobs, by the second-chance clock.
//!
//! A hand goes round the blobs' words. One that was used since the hand last came by is passed over, and must be used again
//! to be passed over once more (F. J. Corbató, "A paging experiment with the Multics system", 1968). Readers note a use only
//! where none is noted, so a reader of what is in memory writes nothing. Nothing is ever waited for: a blob whose latch
//! somebody holds is passed over, and of several threads that would evict one does.
//!
//! A blob is clean when the store has what memory has: it was not changed since the last cut, and no cut that is still to
//! be made durable holds its buffer. A buffer is given back when no reader can be left in it.
//!
//! Frames that a change has read in stay until it is done: who evicts holds the structure shared, or has it alone and says
//! when.

use std::{
    sync::{Weak, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use coppice_sync::{
    RwLock, RwLockReadGuard, RwLockWriteGuard, Step,
    epoch::{self, Guard},
    is_left_out, thread,
};

use super::{Entry, Table, Word};
use crate::{buffer::Buffer, error::Error};

/// Evicted together, in frames.
const BATCH_FRAMES: usize = 8;
/// How long room in memory is waited for that readers, or holds on buffers, keep.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, for who keeps others waiting meanwhile.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_millis(200);
/// Tries before a thread that waits sleeps between them.
const BUSY_TRIES: usize = 32;
const NAP: Duration = Duration::from_micros(100);

impl Table {
    /// Keeps frames where they are.
    pub(crate) fn keep_still(&self) -> RwLockReadGuard<'_, ()> {
        match is_left_out(Step::KeepStill) {
            true => Box::leak(Box::<RwLock<()>>::default()).read(),
            false => self.structure.read(),
        }
    }

    /// Keeps all others out who change frames, or need them to stay where they are.
    pub(crate) fn have_alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.structure.write()
    }

    /// There is no room in memory. Who is told this, and has nothing read or changed yet, lets go of what it found, waits
    /// for room, and begins again.
    pub(super) fn crowded(&self) -> Error {
        let total = self.budget().total().unwrap_or(0);
        Error::crowded(format!(
            "memory of {total} bytes is too little for what is in use at once"
        ))
    }

    /// Before so many more bytes are read in: evicts what is too much, unless somebody changes frames.
    pub(crate) fn evict_for(&self, bytes: usize, guard: &Guard) {
        let most = self.budget().limits().evict_above.saturating_sub(bytes);
        if self.budget().in_use() > most {
            self.evict_to(most.saturating_sub(BATCH_FRAMES * self.frame_bytes), guard);
        }
    }

    /// Evicts until no more than so much is in use.
    fn evict_to(&self, most: usize, guard: &Guard) {
        let live = self.live.as_deref().unwrap_or(self);
        live.evict_views(most, guard);
        // Not `try_read`: whoever reads may hold it already, and a writer who waits for it would never get it.
        if let Some(_still) = live.structure.try_read_recursive() {
            live.evict_own(most, 2, guard);
        }
    }

    /// The same, for who has the structure alone.
    pub(super) fn evict_alone(&self, most: usize, guard: &Guard) {
        self.evict_views(most, guard);
        self.evict_own(most, 2, guard);
    }

    /// Evicts what snapshots have read: first, since they let go of what they share with the live table, too. What they use
    /// is left to them.
    fn evict_views(&self, most: usize, guard: &Guard) {
        // Not locked meanwhile: who takes a snapshot adds one.
        let views: Vec<_> = self.views.lock().iter().filter_map(Weak::upgrade).collect();
        for view in views {
            view.evict_own(most, 1, guard);
        }
    }

    /// Evicts of this table alone. Once around finds what was not used, a second time what was.
    fn evict_own(&self, most: usize, rounds: usize, guard: &Guard) {
        let Some(mut hand) = self.hand.try_lock() else { return };
        let in_use = self.budget().in_use();
        let goal = in_use.saturating_sub(most);
        let end = self.len();
        let (mut freed, mut victims) = (0, Vec::new());
        for _ in 0..rounds * end {
            if freed >= goal {
                break;
            }
            *hand = if *hand + 1 < end { *hand + 1 } else { 0 };
            if let Some((buffer, bytes)) = self.take_idle(*hand) {
                freed += bytes;
                victims.push(buffer);
            }
        }
        if victims.is_empty() {
            return;
        }
        self.evictions.fetch_add(victims.len() as u64, Relaxed);
        let held = self.budget().hold_evicted(freed);
        if is_left_out(Step::AwaitReaders) {
            return drop((victims, held));
        }
        guard.defer(move || drop((victims, held)));
        guard.flush();
    }

    /// A blob's buffer, taken out of memory, if it is clean and was not used since the hand last came by.
    fn take_idle(&self, blob: usize) -> Option<(Buffer, usize)> {
        let word = self.words.get(blob).filter(|word| word.is_idle())?;
        let slot = self.slots.get(blob)?;
        let mut latch = slot.entry.try_lock()?;
        let entry = latch.as_mut().filter(|_| self.source.is_some())?;
        let taken = match self.live {
            Some(_) => entry.take_unheld(word)?,
            None => entry.take_clean(word)?,
        };
        slot.forget_walks();
        self.absent.fetch_add(1, Relaxed);
        Some(taken)
    }

    /// Makes memory for frames ready: as much as a checkpoint under way, or one that began now, would hold, within the budget.
    /// A step at a time; whether there is more to do.
    pub(crate) fn make_memory_ready(&self) -> bool {
        self.pool.make_ready(self.budget.unsettled().min(self.budget.room()))
    }

    /// Evicts ahead of need, and gives back what was evicted before.
    pub(crate) fn evict_ahead(&self) {
        let guard = epoch::pin();
        self.evict_for(BATCH_FRAMES * self.frame_bytes, &guard);
        if self.budget().used() > self.budget().in_use() {
            guard.flush();
        }
    }

    /// Waits for room to read, after [`Table::crowded`]. The caller holds nothing that it found.
    pub(crate) fn wait_for_reads(&self) -> Result<(), Error> {
        let limits = self.budget().limits();
        let most = limits.evict_above;
        self.wait_for_room(most, &|| self.budget().used() <= most)
    }

    /// Waits for room for a change that puts so much into memory beside frames. The caller holds nothing that it found.
    pub(crate) fn wait_for_change(&self, more: usize) -> Result<(), Error> {
        let limits = self.budget().limits();
        let most = limits
            .total
            .saturating_sub(limits.reserve)
            .saturating_sub(more)
            .min(limits.evict_above);
        self.wait_for_room(most, &|| self.budget().has_room(more))
    }

    fn wait_for_room(&self, most: usize, has_room: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut patience = Patience::new(PATIENCE);
        while !has_room() {
            let guard = epoch::pin();
            if self.budget().in_use() > most {
                self.evict_to(most, &guard);
            }
            guard.flush();
            drop(guard);
            if !patience.wait() {
                return Err(self.crowded());
            }
        }
        Ok(())
    }
}

impl Entry {
    /// The memory of a blob that the store has as it is.
    fn take_clean(&mut self, word: &Word) -> Option<(Buffer, usize)> {
        if self.changed || self.memory.as_mut()?.is_shared() && !is_left_out(Step::LeaveHeld) {
            return None;
        }
        if !is_left_out(Step::ClearWord) {
            word.clear();
        }
        Some((self.memory.take()?, self.bytes as usize))
    }

    /// The memory of a frozen table's blob, if that can be found again; and what that gives back.
    fn take_unheld(&mut self, word: &Word) -> Option<(Buffer, usize)> {
        if self.held {
            return None;
        }
        word.clear();
        let mut buffer = self.memory.take()?;
        let own = if buffer.is_shared() { 0 } else { self.bytes as usize };
        Some((buffer, own))
    }
}

/// How long somebody has waited.
pub(super) struct Patience {
    most: Duration,
    tries: usize,
    end: Option<Instant>,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            tries: 0,
            end: None,
        }
    }

    /// Waits a moment. False when it is enough.
    pub(super) fn wait(&mut self) -> bool {
        self.tries += 1;
        if self.tries < BUSY_TRIES {
            thread::yield_now();
            return true;
        }
        let now = Instant::now();
        if now >= *self.end.get_or_insert(now + self.most) {
            return false;
        }
        thread::sleep(NAP);
        true
    }
}
