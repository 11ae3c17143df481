//! The engine's own thread: syncs the journal at intervals, and starts a checkpoint when the journal has grown enough.
//!
//! It holds the engine weakly, so that an engine that nobody closed goes when its last handle does. It masks all signals:
//! they belong to the host's threads.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{core::Engine, error::Error, error::ErrorCode, options::Durability};

/// How often the journal's size is looked at where no sync is due sooner.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A checkpoint that failed is tried again after this, then after twice as long, and so on up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Signal {
    stopping: Mutex<bool>,
    changed: Condvar,
}

/// The running thread. Stopped and joined by [`Background::stop`], or when dropped.
pub(crate) struct Background {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(engine: &Arc<Engine>) -> Result<Self, Error> {
        let signal = Arc::new(Signal::default());
        let (weak, theirs) = (Arc::downgrade(engine), Arc::clone(&signal));
        let thread = thread::Builder::new()
            .name("coppice".to_owned())
            .spawn(move || {
                mask_signals();
                run(&weak, &theirs);
            })
            .map_err(|error| Error::with_source(ErrorCode::Io, "no thread could be started", Some(Arc::new(error))))?;
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }

    /// Ends the thread; what it is doing is finished first.
    pub(crate) fn stop(&mut self) {
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

#[cfg(unix)]
fn mask_signals() {
    // A refusal leaves the thread as any other of the process.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

#[cfg(not(unix))]
fn mask_signals() {}

fn run(engine: &Weak<Engine>, signal: &Signal) {
    let Some((interval, syncs, limit)) = engine.upgrade().map(|engine| {
        let options = engine.options();
        (
            options.sync_interval,
            options.durability == Durability::Process,
            options.journal_bytes,
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
    let mut next_checkpoint = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        {
            let mut stopping = signal.stopping.lock();
            if !*stopping {
                signal.changed.wait_for(&mut stopping, look_every);
            }
            if *stopping {
                return;
            }
        }
        let Some(engine) = engine.upgrade() else { return };
        let Some(durable) = engine.durable() else { return };
        let now = Instant::now();
        if syncs && now >= next_sync {
            // A failure is remembered by the engine and shown to the next writer.
            let _ = engine.sync_in_background();
            next_sync = Instant::now() + interval;
        }
        if now >= next_checkpoint && durable.journal.bytes() >= limit {
            match engine.checkpoint() {
                Ok(_) => pause = FIRST_PAUSE,
                Err(_) => {
                    next_checkpoint = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}
