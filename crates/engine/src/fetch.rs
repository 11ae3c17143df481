//! Reading blobs in on threads of the engine's own, for those who do not want to wait: promises of reads, and scans that
//! will want what comes next.
//!
//! Owns two threads, which are started when something is first asked for and joined when the engine ends, and a queue with
//! one entry for each blob that is waited for, however many wait for it. What was read is in the table, and nobody holds it
//! there: who waits is told, and looks again. So that it is still there then, no more is read than a part of memory holds
//! before those who were told have taken note; one who takes long does not hold up the others for ever. What comes next is
//! read when nobody waits, and forgotten where there is too much of it.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt, mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use coppice_sync::thread::{self, JoinHandle};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    error::{Error, ErrorCode},
    resident::Lacked,
    table::Table,
    thread::spawn,
};

/// Reads of one database that are under way at once, beside those of the threads that wait for theirs.
const THREADS: usize = 2;
/// What was read and not looked at yet takes this part of what reads may fill, in frames at least and at most.
const UNTAKEN_PARTS: usize = 4;
const LEAST_UNTAKEN: usize = 4;
const MOST_UNTAKEN: usize = 64;
/// The same of what is read ahead.
const AHEAD_PARTS: usize = 8;
const LEAST_AHEAD: usize = 2;
const MOST_AHEAD: usize = 16;
/// For so long those who were told may leave it at that before others are served.
const UNTAKEN_PATIENCE: Duration = Duration::from_millis(5);

/// A read that was waited for.
#[derive(Debug)]
pub struct Arrival {
    /// The number that it was asked for under.
    pub ticket: u32,
    /// Why it failed, where it did. Else what was lacked is in memory, for the moment.
    pub outcome: Result<(), Error>,
}

/// Where one reader learns of what it waits for.
pub struct Arrivals {
    fetcher: Arc<Fetcher>,
    arrived: Mutex<Vec<Arrival>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}

impl Arrivals {
    pub(crate) fn new(fetcher: &Arc<Fetcher>, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            fetcher: Arc::clone(fetcher),
            arrived: Mutex::default(),
            wake,
        })
    }

    /// What has arrived since the last time, in that order.
    pub fn take(&self) -> Vec<Arrival> {
        let arrived = mem::take(&mut *self.arrived.lock());
        self.fetcher.note_taken(arrived.len());
        arrived
    }

    fn add(&self, arrival: Arrival) {
        let is_first = {
            let mut arrived = self.arrived.lock();
            arrived.push(arrival);
            arrived.len() == 1
        };
        if is_first {
            (self.wake)();
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.fetcher.note_taken(self.arrived.get_mut().len());
    }
}

/// Who waits for a blob.
struct Waiter {
    arrivals: Weak<Arrivals>,
    ticket: u32,
}

#[derive(Default)]
struct Queue {
    table: Option<Weak<Table>>,
    /// Blobs that are waited for.
    wanted: VecDeque<u32>,
    /// Blobs that will be.
    ahead: VecDeque<u32>,
    /// Of each blob that is waited for or being read, those who wait for it.
    waiting: HashMap<u32, Vec<Waiter>>,
    /// Those who were told that a blob is there, and have not taken note.
    untaken: usize,
    most_untaken: usize,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Fetcher {
    /// Whether it may be asked.
    ready: AtomicBool,
    /// How many blobs may wait to be read ahead.
    most_ahead: AtomicUsize,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Blobs read for those who wait, and ahead.
    fetched: AtomicU64,
    read_ahead: AtomicU64,
}

impl Fetcher {
    /// From now on it may be asked for a table's blobs; nothing is started yet.
    pub(crate) fn attend(&self, table: &Arc<Table>) {
        let frames = table.budget().limits().evict_above / table.frame_bytes();
        let mut queue = self.queue.lock();
        queue.table = Some(Arc::downgrade(table));
        queue.most_untaken = (frames / UNTAKEN_PARTS).clamp(LEAST_UNTAKEN, MOST_UNTAKEN);
        let most_ahead = (frames / AHEAD_PARTS).clamp(LEAST_AHEAD, MOST_AHEAD);
        self.most_ahead.store(most_ahead, Relaxed);
        self.ready.store(true, Relaxed);
    }

    /// Whether it may be asked.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// How many blobs may wait to be read ahead; none where nobody is to be asked.
    pub(crate) fn most_ahead(&self) -> usize {
        match self.is_ready() {
            true => self.most_ahead.load(Relaxed),
            false => 0,
        }
    }

    /// How many blobs were read for those who waited, and ahead of need.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.fetched, &self.read_ahead].map(|counter| counter.load(Relaxed))
    }

    /// Has what was lacked read in, and then tells `arrivals`. `urgent`: before what others wait for, who have not waited yet.
    ///
    /// # Errors
    /// `Closed`; `Io` where the system gives no thread.
    pub(crate) fn fetch(
        self: &Arc<Self>,
        lacked: &Lacked,
        arrivals: &Arc<Arrivals>,
        ticket: u32,
        urgent: bool,
    ) -> Result<(), Error> {
        let Some(blob) = lacked.first else {
            arrivals.add(Arrival {
                ticket,
                outcome: Ok(()),
            });
            return Ok(());
        };
        let mut queue = self.queue.lock();
        if !self.is_ready() {
            return Err(Error::new(ErrorCode::Closed, "the database is closed"));
        }
        self.see_to_threads(&mut queue)?;
        let waiter = Waiter {
            arrivals: Arc::downgrade(arrivals),
            ticket,
        };
        match queue.waiting.get_mut(&blob) {
            Some(waiters) => waiters.push(waiter),
            None => {
                queue.waiting.insert(blob, vec![waiter]);
                match urgent {
                    true => queue.wanted.push_front(blob),
                    false => queue.wanted.push_back(blob),
                }
            }
        }
        queue.add_ahead(&lacked.more, self.most_ahead());
        drop(queue);
        self.changed.notify_all();
        Ok(())
    }

    /// Has blobs read in that will be wanted, if there is nothing more urgent.
    pub(crate) fn read_ahead(self: &Arc<Self>, blobs: &[u32]) {
        let mut queue = self.queue.lock();
        // Without a thread those who want them will read them.
        if !self.is_ready() || self.see_to_threads(&mut queue).is_err() {
            return;
        }
        queue.add_ahead(blobs, self.most_ahead());
        drop(queue);
        self.changed.notify_all();
    }

    /// Ends the threads; what they read is finished first, what is waited for is not.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut queue = self.queue.lock();
            self.ready.store(false, Relaxed);
            queue.wanted.clear();
            queue.ahead.clear();
            queue.waiting.clear();
            mem::take(&mut queue.threads)
        };
        self.changed.notify_all();
        for thread in threads {
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }

    fn see_to_threads(self: &Arc<Self>, queue: &mut Queue) -> Result<(), Error> {
        if queue.idle > 0 || queue.threads.len() == THREADS {
            return Ok(());
        }
        let fetcher = Arc::clone(self);
        match spawn("coppice-reads", move || fetcher.run()) {
            Ok(thread) => queue.threads.push(thread),
            Err(error) if queue.threads.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    fn note_taken(&self, count: usize) {
        if count == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        queue.untaken = queue.untaken.saturating_sub(count);
        drop(queue);
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        while let Some((blob, is_ahead)) = self.next(&mut queue) {
            let Some(table) = queue.table.as_ref().and_then(Weak::upgrade) else {
                return;
            };
            let outcome = MutexGuard::unlocked(&mut queue, || {
                let outcome = table.fetch(blob);
                drop(table);
                outcome
            });
            let counter = if is_ahead { &self.read_ahead } else { &self.fetched };
            counter.fetch_add(u64::from(matches!(outcome, Ok(true))), Relaxed);
            let waiters = queue.waiting.remove(&blob).unwrap_or_default();
            queue.untaken += waiters.len();
            MutexGuard::unlocked(&mut queue, || self.tell(waiters, &outcome));
        }
    }

    /// Waits for what is to be read next, and whether nobody waits for it; none when the engine ends.
    fn next(&self, queue: &mut MutexGuard<'_, Queue>) -> Option<(u32, bool)> {
        loop {
            if !self.is_ready() {
                return None;
            }
            let is_free = queue.untaken < queue.most_untaken;
            if is_free && let Some(blob) = queue.wanted.pop_front() {
                return Some((blob, false));
            }
            if queue.wanted.is_empty()
                && let Some(blob) = queue.ahead.pop_front()
            {
                if queue.waiting.contains_key(&blob) {
                    continue;
                }
                queue.waiting.insert(blob, Vec::new());
                return Some((blob, true));
            }
            queue.idle += 1;
            if is_free {
                self.changed.wait(queue);
            } else if self.changed.wait_for(queue, UNTAKEN_PATIENCE).timed_out() {
                queue.untaken = 0;
            }
            queue.idle -= 1;
        }
    }

    fn tell(&self, waiters: Vec<Waiter>, outcome: &Result<bool, Error>) {
        for Waiter { arrivals, ticket } in waiters {
            match arrivals.upgrade() {
                Some(arrivals) => arrivals.add(Arrival {
                    ticket,
                    outcome: outcome.clone().map(|_| ()),
                }),
                None => self.note_taken(1),
            }
        }
    }
}

impl Queue {
    /// Where there are enough, more are forgotten.
    fn add_ahead(&mut self, blobs: &[u32], most: usize) {
        for blob in blobs {
            if self.ahead.len() < most && !self.waiting.contains_key(blob) && !self.ahead.contains(blob) {
                self.ahead.push_back(*blob);
            }
        }
    }
}
