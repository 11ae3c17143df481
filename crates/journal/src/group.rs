//! Group commit: one sync serves all who wait for it.
//!
//! Who finds no sync going on runs one, for everything that was appended by then; who finds one going on waits for it to
//! end, and if it did not cover what they wait for, one of them runs the next for all of them. So nobody waits for more
//! than the sync that was going on when they came and one more.

use crate::sync::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    running: Mutex<bool>,
    ended: Condvar,
}

impl GroupCommit {
    /// Returns once `done` answers, with its answer; `run` is called by one thread at a time, without any lock of the
    /// group's, whenever it does not.
    ///
    /// `run` must either make the `done` of everybody who waits answer, a failure being an answer, or make progress.
    pub(crate) fn wait_until<T>(&self, done: impl Fn() -> Option<T>, run: impl Fn()) -> T {
        if let Some(answer) = done() {
            return answer;
        }
        let mut running = self.running.lock();
        loop {
            if let Some(answer) = done() {
                return answer;
            }
            if *running {
                self.ended.wait(&mut running);
                continue;
            }
            *running = true;
            drop(running);
            let turn = Turn(self);
            run();
            drop(turn);
            running = self.running.lock();
        }
    }
}

/// Ends a turn, also when `run` panics: those who wait must not wait for ever.
struct Turn<'a>(&'a GroupCommit);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.running.lock() = false;
        self.0.ended.notify_all();
    }
}
