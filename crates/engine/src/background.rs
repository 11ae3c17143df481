//! The engine's own thread: does the syncs that the opening has put off, syncs the journal at intervals, plans a checkpoint
//! when the journal has grown enough, much in memory has changed, or the last one is old, evicts and makes memory ready ahead of
//! need, frees what deleted subtrees left behind, and gives file space back.
//!
//! It holds the engine weakly, so that an engine that nobody closed goes when its last handle does. It waits for no
//! checkpoint: the checkpoint thread is at work on that, and the journal's syncs go on.

mod back_off;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use coppice_sync::thread::{self, JoinHandle};
use parking_lot::{Condvar, Mutex};

use crate::{
    background::back_off::BackOff, checkpointer::Ticket, core::Engine, error::Error, options::Durability, thread::spawn,
};

/// How often the journal's size is looked at where no sync is due sooner.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// While deleted subtrees wait, they are worked on for so long, and then others get as much.
const BURY_SLICE: Duration = Duration::from_millis(1);

/// While a writer has called, checkpoints under way are looked at so often.
const LOOK_WHEN_CALLED: Duration = Duration::from_millis(1);

/// A database to which nothing was written for so long gives room back to the disk.
const QUIET: Duration = Duration::from_secs(1);
/// In steps that take some 2 ms each, with so long a pause in between.
const BETWEEN_PUNCHES: Duration = Duration::from_millis(10);

/// Memory is made ready in steps, with so long a pause in between.
const BETWEEN_STEPS: Duration = Duration::from_micros(50);

/// How the thread is reached.
#[derive(Default)]
pub(crate) struct Signal {
    stopping: Mutex<bool>,
    changed: Condvar,
    /// Whether there is a thread.
    attended: AtomicBool,
    /// Whether a writer wants a checkpoint.
    called: AtomicBool,
}

impl Signal {
    /// Asks for a checkpoint to be planned soon. False where there is nobody to do it.
    pub(crate) fn call(&self) -> bool {
        if !self.called.load(Relaxed) && !self.called.swap(true, Relaxed) {
            let _turn = self.stopping.lock();
            self.changed.notify_all();
        }
        self.attended.load(Relaxed)
    }
}

/// The running thread. Stopped and joined by [`Background::stop`], or when dropped.
pub(crate) struct Background {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(engine: &Arc<Engine>) -> Result<Self, Error> {
        let signal = Arc::clone(engine.signal());
        let (weak, theirs) = (Arc::downgrade(engine), Arc::clone(&signal));
        let thread = spawn("coppice", move || run(&weak, &theirs))?;
        signal.attended.store(true, Relaxed);
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }

    /// Ends the thread; what it is doing is finished first.
    pub(crate) fn stop(&mut self) {
        self.signal.attended.store(false, Relaxed);
        *self.signal.stopping.lock() = true;
        self.signal.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(engine: &Weak<Engine>, signal: &Signal) {
    let Some((interval, syncs)) = engine.upgrade().map(|engine| {
        let options = engine.options();
        (
            options.sync_interval,
            options.durability == Durability::Process && engine.durable().is_some(),
        )
    }) else {
        return;
    };
    let look_every = if syncs {
        interval.min(LOOK_EVERY).max(Duration::from_millis(1))
    } else {
        LOOK_EVERY
    };
    let mut next_sync = Instant::now() + interval;
    let mut planner = Planner::new();
    let (mut burying, mut readying, mut giving_back) = (false, false, false);
    let mut compacting = BackOff::new();
    let mut last_written = (0, Instant::now());
    loop {
        {
            let mut stopping = signal.stopping.lock();
            if !*stopping {
                let wait = if signal.called.load(Relaxed) {
                    LOOK_WHEN_CALLED
                } else if readying {
                    BETWEEN_STEPS
                } else if burying {
                    BURY_SLICE
                } else if giving_back {
                    BETWEEN_PUNCHES
                } else {
                    look_every
                };
                signal.changed.wait_for(&mut stopping, wait);
            }
            if *stopping {
                return;
            }
        }
        let Some(engine) = engine.upgrade() else { return };
        // A failure is remembered by the engine and shown to the next writer, as that of a sync below.
        let _ = engine.settle_opening();
        burying = bury(&engine);
        let now = Instant::now();
        if syncs && now >= next_sync {
            let _ = engine.sync_in_background();
            next_sync = Instant::now() + interval;
        }
        planner.look(&engine, now);
        if !engine.wants_checkpoint_for_memory() {
            signal.called.store(false, Relaxed);
        }
        engine.evict_ahead();
        readying = engine.make_memory_ready();
        if !burying && planner.is_idle() && compacting.is_over(now) {
            // Where it fails, a writer or the next checkpoint will say so, unless it was for want of room.
            match engine.compact_in_background() {
                Ok(_) => compacting.succeeded(),
                Err(_) => compacting.failed(now),
            }
        }
        if engine.last_commit() != last_written.0 {
            last_written = (engine.last_commit(), now);
        }
        let is_quiet = now.duration_since(last_written.1) >= QUIET;
        giving_back = is_quiet && !burying && planner.is_idle() && engine.give_room_back();
    }
}

/// Plans checkpoints, one at a time.
struct Planner {
    /// The one that is under way, and the commit that it was planned at.
    under_way: Option<(Ticket, u64)>,
    /// The last commit that a checkpoint of this planner is known to have.
    covered: u64,
    last: Instant,
    back_off: BackOff,
}

impl Planner {
    fn new() -> Self {
        Self {
            under_way: None,
            covered: 0,
            last: Instant::now(),
            back_off: BackOff::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    fn look(&mut self, engine: &Engine, now: Instant) {
        if let Some((ticket, planned)) = &self.under_way {
            let Some(outcome) = ticket.outcome() else { return };
            engine.tell_of_checkpoint(outcome);
            match outcome {
                Ok(_) => {
                    self.covered = *planned;
                    self.back_off.succeeded();
                }
                Err(_) => self.back_off.failed(now),
            }
            self.last = now;
            self.under_way = None;
        }
        if self.is_due(engine, now) && self.back_off.is_over(now) {
            let commit = engine.last_commit();
            match engine.start_checkpoint() {
                Ok(ticket) => self.under_way = ticket.map(|ticket| (ticket, commit)),
                Err(_) => self.back_off.failed(now),
            }
        }
    }

    fn is_due(&self, engine: &Engine, now: Instant) -> bool {
        let Some(durable) = engine.durable() else { return false };
        let options = engine.options();
        let is_old = now.duration_since(self.last) >= options.checkpoint_interval;
        durable.journal.bytes() >= options.journal_bytes
            || engine.wants_checkpoint_for_memory()
            || (is_old && engine.last_commit() > self.covered.max(durable.folder.store.cut()))
    }
}

/// Frees some of what deleted subtrees left behind. Whether there is more; a frame that cannot be read is tried again when
/// others would be looked for.
fn bury(engine: &Engine) -> bool {
    let end = Instant::now() + BURY_SLICE;
    while engine.bury().unwrap_or(false) {
        if Instant::now() >= end {
            return true;
        }
    }
    false
}
