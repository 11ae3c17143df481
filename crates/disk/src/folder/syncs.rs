//! Syncs that are put off while a database is opened.
//!
//! What a recovery reads must be on the disk before anything is decided from it, but it may be read before that: as long as
//! nobody writes, a sync that is done later covers what was read. So until it is settled, a sync that is asked for is
//! noted and returns at once. Whoever wants to change anything settles first: does all that was put off. Where one of
//! these has failed, nothing can be changed any more.

#[cfg(test)]
mod tests;

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

#[derive(Default)]
struct State {
    waiting: Vec<Work>,
    folder_waits: bool,
    failure: Option<(io::ErrorKind, Option<i32>)>,
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
    /// Syncs are put off, and not done where they are asked for. For good, once one of them has failed.
    putting_off: AtomicBool,
    /// Held by whoever does them, so that nobody who settles returns before.
    state: Mutex<State>,
}

/// The syncs of one folder and its files.
#[derive(Clone, Default)]
pub struct Syncs(Arc<Shared>);

impl std::fmt::Debug for Syncs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Syncs").field(&self.0.putting_off).finish()
    }
}

impl Syncs {
    /// From now on until they are settled, syncs are put off. Called before anybody else knows of them.
    pub fn put_off(&self) {
        self.0.putting_off.store(true, Ordering::Release);
    }

    /// Syncs a file, or puts that off.
    ///
    /// # Errors
    /// As the sync, or as one that was put off.
    pub fn sync_file(&self, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.sync(false, sync)
    }

    /// Syncs the folder, or puts that off. Nothing in it changes before all is settled, so once is enough until then.
    ///
    /// # Errors
    /// As [`Syncs::sync_file`].
    pub fn sync_folder(&self, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.sync(true, sync)
    }

    fn sync(&self, is_folder: bool, sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        if self.is_settled() {
            return sync();
        }
        let mut state = self.0.state.lock();
        state.outcome()?;
        if self.is_settled() {
            // Since it was looked at.
            drop(state);
            return sync();
        }
        if !(is_folder && mem::replace(&mut state.folder_waits, true)) {
            state.waiting.push(Box::new(sync));
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        !self.0.putting_off.load(Ordering::Acquire)
    }

    /// Does all that was put off; from then on syncs are done where they are asked for. Whoever comes meanwhile waits for it.
    ///
    /// # Errors
    /// As the first of them that failed, now and for good.
    pub fn settle(&self) -> io::Result<()> {
        if self.is_settled() {
            return Ok(());
        }
        let mut state = self.0.state.lock();
        for work in mem::take(&mut state.waiting) {
            if let Err(error) = work() {
                state.failure.get_or_insert((error.kind(), error.raw_os_error()));
            }
        }
        state.outcome()?;
        self.0.putting_off.store(false, Ordering::Release);
        Ok(())
    }
}
