//! Scopes of a thread: what holds for all that a closure does on the thread that runs it.

use std::{cell::Cell, thread::LocalKey};

/// Runs `work` with the flag set for its thread, which has its old value again behind that, also when `work` panics.
pub(crate) fn within<R>(flag: &'static LocalKey<Cell<bool>>, work: impl FnOnce() -> R) -> R {
    let _scope = Scope {
        flag,
        before: flag.replace(true),
    };
    work()
}

struct Scope {
    flag: &'static LocalKey<Cell<bool>>,
    before: bool,
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}
