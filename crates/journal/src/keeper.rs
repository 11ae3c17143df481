//! The journal's own thread: makes the next segment, and pages, ready ahead of the appends.
//!
//! It masks all signals, which belong to the host's threads, and is joined when the journal is closed.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

use crate::journal::Shared;

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    stopping: bool,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Keeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(crate) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let theirs = Arc::clone(&signal);
        let thread = thread::Builder::new()
            .name("coppice-journal".to_owned())
            .spawn(move || {
                mask_signals();
                while theirs.wait() {
                    shared.tend();
                }
            })?;
        Ok(Self {
            signal,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Has the thread look for what there is to do.
    pub(crate) fn wake(&self) {
        self.signal.state.lock().woken = true;
        self.signal.changed.notify_one();
    }

    /// Ends the thread; what it is doing is finished first.
    pub(crate) fn stop(&self) {
        self.signal.state.lock().stopping = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // It panics only where the journal's own code would.
            let _ = thread.join();
        }
    }
}

impl Signal {
    /// Returns true when woken, false when it is time to end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.woken && !state.stopping {
            self.changed.wait(&mut state);
        }
        state.woken = false;
        !state.stopping
    }
}

#[cfg(unix)]
fn mask_signals() {
    // A refusal leaves the thread as any other of the process.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

#[cfg(not(unix))]
fn mask_signals() {}
