//! Reads that answer from memory or not at all: their caller has better things to do than to wait for the disk.
//!
//! Owns which threads are in such a scope and what the last one lacked, and nothing else. Where nobody reads for others
//! ([`Fetcher`](crate::fetch::Fetcher)) it says nothing, and reads go to the disk as ever.

use std::cell::{Cell, RefCell};

use crate::scope::within;

/// At most so many blobs are noted.
const MOST_NOTED: usize = 64;

thread_local! {
    static RESIDENT: Cell<bool> = const { Cell::new(false) };
    static LACKED: RefCell<Lacked> = const { RefCell::new(Lacked { first: None, more: Vec::new() }) };
}

/// What a scope's reads looked for and did not find in memory.
#[derive(Debug, Default)]
pub(crate) struct Lacked {
    /// What the first read to stop stopped at.
    pub(crate) first: Option<u32>,
    /// What will be wanted once that is there.
    pub(crate) more: Vec<u32>,
}

/// Runs `read`, whose reads of a database fail where they would have to wait for the disk: what they fail with answers
/// [`Error::is_not_in_memory`](crate::Error::is_not_in_memory), and [`Database::fetch`](crate::Database::fetch), called next on
/// this thread, has what they lacked read in. Holds for what `read` does on this thread itself.
pub fn resident<R>(read: impl FnOnce() -> R) -> R {
    LACKED.with_borrow_mut(|lacked| {
        lacked.first = None;
        lacked.more.clear();
    });
    within(&RESIDENT, read)
}

/// Whether this thread is in such a scope.
pub(crate) fn is_resident() -> bool {
    RESIDENT.get()
}

/// Notes a blob that a read has to do without.
pub(crate) fn note_lacked(blob: u32) {
    LACKED.with_borrow_mut(|lacked| match lacked.first {
        None => lacked.first = Some(blob),
        Some(_) => lacked.note_more(blob),
    });
}

/// Notes blobs that will be wanted next.
pub(crate) fn note_wanted_next(blobs: &[u32]) {
    LACKED.with_borrow_mut(|lacked| {
        for blob in blobs {
            lacked.note_more(*blob);
        }
    });
}

/// What the last scope of this thread lacked; nothing when asked again.
pub(crate) fn take_lacked() -> Lacked {
    LACKED.take()
}

impl Lacked {
    fn note_more(&mut self, blob: u32) {
        if self.more.len() < MOST_NOTED {
            self.more.push(blob);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn scope_ends_with_its_closure_also_in_a_panic() {
        assert!(!is_resident());
        assert!(resident(|| resident(is_resident) && is_resident()));
        assert!(catch_unwind(|| resident(|| panic!("in the scope"))).is_err());
        assert!(!is_resident());
    }

    #[test]
    fn other_threads_are_not_in_it() {
        let other = resident(|| std::thread::spawn(is_resident).join().unwrap());
        assert!(!other);
    }

    #[test]
    fn what_was_lacked_is_told_once_and_of_the_last_scope() {
        resident(|| note_lacked(1));
        resident(|| {
            note_lacked(2);
            note_lacked(3);
            note_wanted_next(&[4]);
        });
        let lacked = take_lacked();
        assert_eq!((lacked.first, lacked.more), (Some(2), vec![3, 4]));
        assert_eq!(take_lacked().first, None);
    }

    #[test]
    fn what_is_noted_is_bounded() {
        resident(|| (0..2 * MOST_NOTED as u32).for_each(note_lacked));
        assert_eq!(take_lacked().more.len(), MOST_NOTED);
    }
}
