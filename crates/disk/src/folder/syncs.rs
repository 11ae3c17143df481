//! Syncs beside reads, while a database is opened.
//!
//! What a recovery reads must be on the disk before anything is decided from it, but it may be read before that: as long as
//! nobody writes, a sync that is over later covers what was read. So until it is settled, a sync is begun on a thread and
//! returns at once. Whoever wants to change anything waits for all of them first, and where one has failed, nothing can be
//! changed any more.

#[cfg(test)]
mod tests;

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

#[derive(Default)]
struct State {
    waiting: Vec<Work>,
    under_way: usize,
    folder_begun: bool,
    failure: Option<(io::ErrorKind, Option<i32>)>,
    ended: bool,
    thread: Option<JoinHandle<()>>,
}

impl State {
    /// Whether all that was done has succeeded.
    fn outcome(&self) -> io::Result<()> {
        match self.failure {
            None => Ok(()),
            Some((kind, code)) => Err(code.map_or_else(|| kind.into(), io::Error::from_raw_os_error)),
        }
    }
}

#[derive(Default)]
struct Shared {
    /// Syncs are begun, and not done where they are asked for.
    overlapping: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Does one of those that wait. False where none does.
    fn work(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let Some(work) = state.waiting.pop() else { return false };
        state.under_way += 1;
        let done = MutexGuard::unlocked(state, work);
        state.under_way -= 1;
        if let Err(error) = done {
            state.failure.get_or_insert((error.kind(), error.raw_os_error()));
        }
        self.changed.notify_all();
        true
    }

    /// What the thread does.
    fn attend(&self) {
        let mut state = self.state.lock();
        while !state.ended {
            if !self.work(&mut state) {
                self.changed.wait(&mut state);
            }
        }
    }
}

/// The syncs of one folder and its files.
#[derive(Clone, Default)]
pub(super) struct Syncs(Arc<Shared>);

impl std::fmt::Debug for Syncs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Syncs").field(&self.0.overlapping).finish()
    }
}

impl Syncs {
    /// From now on until they are settled, syncs are begun. Called before anybody else knows of them.
    pub(super) fn overlap(&self) {
        let shared = Arc::clone(&self.0);
        let run = move || {
            mask_signals();
            shared.attend();
        };
        // Without a thread, syncs are done as ever.
        if let Ok(thread) = thread::Builder::new().name("coppice-sync".to_owned()).spawn(run) {
            self.0.state.lock().thread = Some(thread);
            self.0.overlapping.store(true, Ordering::Release);
        }
    }

    /// Syncs a file, or begins to. Fails where a sync that was begun has failed.
    pub(super) fn sync_file(&self, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.sync(false, sync)
    }

    /// Syncs the folder, or begins to. Nothing in it changes before all is settled, so once is enough until then. Fails as
    /// [`Syncs::sync_file`].
    pub(super) fn sync_folder(&self, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.sync(true, sync)
    }

    fn sync(&self, is_folder: bool, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        if self.is_settled() {
            return sync();
        }
        let mut state = self.0.state.lock();
        if state.ended {
            // Settled since it was looked at, or never to be.
            state.outcome()?;
            drop(state);
            return sync();
        }
        if !(is_folder && mem::replace(&mut state.folder_begun, true)) {
            state.waiting.push(Box::new(sync));
            self.0.changed.notify_all();
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        !self.0.overlapping.load(Ordering::Acquire)
    }

    /// Returns when all that was begun is done; from then on syncs are done where they are asked for.
    pub(super) fn settle(&self) -> io::Result<()> {
        if self.is_settled() {
            return Ok(());
        }
        let mut state = self.0.state.lock();
        while self.0.work(&mut state) || state.under_way > 0 {
            if state.waiting.is_empty() && state.under_way > 0 {
                self.0.changed.wait(&mut state);
            }
        }
        state.ended = true;
        self.0.changed.notify_all();
        state.outcome()?;
        self.0.overlapping.store(false, Ordering::Release);
        Ok(())
    }

    /// Ends: the thread is gone on return.
    pub(super) fn end(&self) {
        // Whom the outcome matters to has asked for it.
        let _ = self.settle();
        let thread = self.0.state.lock().thread.take();
        if let Some(thread) = thread {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}

#[cfg(unix)]
fn mask_signals() {
    // A refusal leaves the thread as any other of the process.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

#[cfg(not(unix))]
fn mask_signals() {}
