//! A database as an environment holds it: open, with the jobs that run on it off the event loop.
//!
//! A job that was started before a close ends before it: what it promised (that all written before it is on disk) would
//! otherwise be left unsaid, or said of a database that is gone.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

use coppice_engine::{Database, Error, Event, Listening, TreeId, Watch};
use parking_lot::{Condvar, Mutex};

/// An open database, its jobs, its watches and who listens to it.
pub(crate) struct OpenDatabase {
    database: Database,
    watches: Mutex<Vec<Weak<Watch>>>,
    listening: Mutex<Option<Listening>>,
    jobs: Mutex<usize>,
    idle: Condvar,
}

/// A job that has been started. It ends when this is dropped, which must happen on the thread that did it: the event
/// loop may be waiting in a close.
pub(crate) struct Job {
    database: Arc<OpenDatabase>,
}

impl OpenDatabase {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            watches: Mutex::default(),
            listening: Mutex::default(),
            jobs: Mutex::new(0),
            idle: Condvar::new(),
        }
    }

    /// Starts a job.
    pub(crate) fn start(self: Arc<Self>) -> Job {
        *self.jobs.lock() += 1;
        Job { database: self }
    }

    /// Begins to watch; the watch ends with this handle on the database, though others have it open.
    pub(crate) fn watch_until_close(
        &self,
        tree: TreeId,
        prefix: &[u8],
        after: Option<u64>,
    ) -> Result<Arc<Watch>, Error> {
        let watch = Arc::new(self.database.watch(tree, prefix, after)?);
        let mut watches = self.watches.lock();
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        Ok(watch)
    }

    /// Calls `listener` with each event, instead of the one before; until this handle is closed, though others have the
    /// database open.
    pub(crate) fn listen_until_close(&self, listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Result<(), Error> {
        *self.listening.lock() = Some(self.database.listen(listener)?);
        Ok(())
    }

    /// Calls the listener no more.
    pub(crate) fn end_listening(&self) {
        drop(self.listening.lock().take());
    }

    /// Ends all watches, as the first step of a close.
    pub(crate) fn end_watches(&self) {
        for watch in self.watches.lock().drain(..) {
            if let Some(watch) = watch.upgrade() {
                watch.close();
            }
        }
    }

    /// Closes the database once the jobs that were started have ended.
    pub(crate) fn close_when_idle(&self) -> Result<(), Error> {
        let mut jobs = self.jobs.lock();
        while *jobs > 0 {
            self.idle.wait(&mut jobs);
        }
        drop(jobs);
        self.database.close()
    }
}

impl Deref for OpenDatabase {
    type Target = Database;

    #[inline]
    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Deref for Job {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        *self.database.jobs.lock() -= 1;
        self.database.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    fn open() -> Arc<OpenDatabase> {
        Arc::new(OpenDatabase::new(Database::in_memory().unwrap()))
    }

    #[test]
    fn close_waits_for_jobs() {
        let database = open();
        let job = Arc::clone(&database).start();
        let worker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            job.flush()
        });
        database.close_when_idle().unwrap();
        assert!(worker.join().unwrap().is_ok());
        assert!(database.trees().is_err());
    }

    #[test]
    fn job_that_never_ran_ends_too() {
        let database = open();
        drop(Arc::clone(&database).start());
        database.close_when_idle().unwrap();
    }
}
