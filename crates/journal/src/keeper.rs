//! The journal's own thread: makes the next segment, and pages, ready ahead of the appends.
//!
//! It is started when there is first something to do, masks all signals, which belong to the host's threads, and is joined
//! when the journal is closed.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use coppice_disk::mask_signals;
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

/// The thread, once it was woken.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            signal: Arc::default(),
            thread: Mutex::default(),
        }
    }

    /// Has the thread look for what there is to do. Where the system gives none, appends do it themselves.
    pub(crate) fn wake(&self) {
        self.signal.state.lock().woken = true;
        self.signal.changed.notify_one();
        let mut thread = self.thread.lock();
        if thread.is_none() && !self.signal.state.lock().stopping {
            *thread = self.start();
        }
    }

    fn start(&self) -> Option<JoinHandle<()>> {
        let (shared, signal) = (Arc::clone(&self.shared), Arc::clone(&self.signal));
        let run = move || {
            mask_signals();
            while signal.wait() {
                shared.tend();
            }
        };
        thread::Builder::new()
            .name("coppice-journal".to_owned())
            .spawn(run)
            .ok()
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
