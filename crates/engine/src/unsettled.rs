//! Writes that do not wait for the disk, because their caller will: for all of them at once.
//!
//! Owns which threads are in such a scope, and nothing else. It says something at
//! [`Durability::Disk`](crate::Durability::Disk) only: in the other modes no write waits.

use std::cell::Cell;

use crate::scope::within;

thread_local! {
    static UNSETTLED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `write`, whose writes return before they are on disk: [`Database::persist`](crate::Database::persist) waits for
/// that. Holds for what `write` does on this thread itself.
pub fn unsettled<R>(write: impl FnOnce() -> R) -> R {
    within(&UNSETTLED, write)
}

/// Whether this thread is in such a scope.
pub(crate) fn is_unsettled() -> bool {
    UNSETTLED.get()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn scope_ends_with_its_closure_also_in_a_panic() {
        assert!(!is_unsettled());
        assert!(unsettled(|| unsettled(is_unsettled) && is_unsettled()));
        assert!(!is_unsettled());
        assert!(catch_unwind(|| unsettled(|| panic!("in the scope"))).is_err());
        assert!(!is_unsettled());
    }

    #[test]
    fn other_threads_are_not_in_it() {
        let other = unsettled(|| std::thread::spawn(is_unsettled).join().unwrap());
        assert!(!other);
    }
}
