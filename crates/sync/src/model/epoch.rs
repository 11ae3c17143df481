//! Epoch-based reclamation as crossbeam-epoch promises it, with nothing to spare: what is deferred is done as soon as that is
//! allowed, by the last of those who were pinned. (Crossbeam's own code is explored by its own models.)
//!
//! Under loom, where a thread may see old values for as long as nothing orders it, that is when nobody is pinned: what one finds
//! who was pinned in between may be as old as what the others found.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    mem::{self, ManuallyDrop},
};

/// Somebody who is pinned.
pub struct Guard {
    number: u64,
}

struct Deferred {
    /// Who was pinned then, and is still.
    pinned: BTreeSet<u64>,
    run: Box<dyn FnOnce()>,
}

#[derive(Default)]
struct Epochs {
    next: u64,
    pinned: BTreeSet<u64>,
    /// Never dropped: what a model that failed has left here cannot be given back, since the model is gone.
    deferred: ManuallyDrop<Vec<Deferred>>,
}

thread_local! {
    /// A model and all of its threads run on one thread of the system.
    static EPOCHS: RefCell<Epochs> = RefCell::default();
}

/// What pinning and leaving order: memory is given back behind all that was done with it, and who is pinned behind that sees that
/// nothing leads there any more. Loom switches threads before this, and not between it and what follows.
#[cfg(loom)]
fn ordered(order: loom::sync::atomic::Ordering) {
    loom::lazy_static! {
        static ref TURNS: loom::sync::atomic::AtomicU64 = loom::sync::atomic::AtomicU64::new(0);
    }
    TURNS.fetch_add(1, order);
}

fn enter() -> u64 {
    #[cfg(loom)]
    ordered(loom::sync::atomic::Ordering::Acquire);
    EPOCHS.with_borrow_mut(|epochs| {
        let number = epochs.next;
        epochs.next += 1;
        epochs.pinned.insert(number);
        number
    })
}

fn leave(number: u64) {
    #[cfg(loom)]
    ordered(loom::sync::atomic::Ordering::AcqRel);
    let due = EPOCHS.with_borrow_mut(|epochs| {
        epochs.pinned.remove(&number);
        for deferred in epochs.deferred.iter_mut() {
            deferred.pinned.remove(&number);
        }
        let nobody = epochs.pinned.is_empty();
        let is_due = |deferred: &Deferred| if cfg!(loom) { nobody } else { deferred.pinned.is_empty() };
        let (due, rest): (Vec<_>, Vec<_>) = mem::take(&mut *epochs.deferred).into_iter().partition(is_due);
        *epochs.deferred = rest;
        due
    });
    for deferred in due {
        (deferred.run)();
    }
}

/// Pins the thread.
pub fn pin() -> Guard {
    Guard { number: enter() }
}

impl Guard {
    /// Does something once all who are pinned now have left.
    pub fn defer<F: FnOnce() -> R + 'static, R>(&self, run: F) {
        EPOCHS.with_borrow_mut(|epochs| {
            let pinned = epochs.pinned.clone();
            let run = Box::new(move || drop(run()));
            epochs.deferred.push(Deferred { pinned, run });
        });
    }

    /// Nothing waits for this in a model.
    pub fn flush(&self) {}

    /// Leaves, and is pinned again.
    pub fn repin(&mut self) {
        leave(self.number);
        self.number = enter();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave(self.number);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}
