//! What models run on: loom's and shuttle's locks, with the faces of parking_lot's, and epochs that give memory back as early
//! as is allowed.

pub mod epoch;
pub mod witness;

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    sync::{PoisonError, TryLockError},
    time::{Duration, Instant},
};

#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

pub use checker::sync::{
    RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

use crate::Step;

/// Threads.
pub mod thread {
    pub use super::checker::thread::{Builder, JoinHandle, current, yield_now};

    /// Lets others run: time does not pass in a model.
    pub fn sleep(_: std::time::Duration) {
        yield_now();
    }
}

thread_local! {
    static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) };
}

/// From now on this is left out. For one model: they run on a thread of their own.
pub fn leave_out(step: Step) {
    LEFT_OUT.set(Some(step));
}

thread_local! {
    static SWITCHES: Cell<bool> = const { Cell::new(false) };
}

/// Whether [`switch`] does, from now on. What a model sets up needs none.
pub fn switch_at_words(switches: bool) {
    SWITCHES.set(switches);
}

/// Lets other threads run, at a word that shuttle does not know for an atomic. Not by a yield: that says that this thread cannot go
/// on, so others would run first at every word, and few schedules would have one thread wait while another does much.
#[cfg(shuttle)]
pub fn switch() {
    if SWITCHES.get() && !std::thread::panicking() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

/// Whether a model leaves this out.
pub fn is_left_out(step: Step) -> bool {
    LEFT_OUT.get() == Some(step)
}

/// This order, unless a model leaves the step out that it is for.
pub fn order(wanted: Ordering, step: Step) -> Ordering {
    if is_left_out(step) { Ordering::Relaxed } else { wanted }
}

/// As parking_lot's.
#[derive(Default)]
pub struct Mutex<T>(checker::sync::Mutex<T>);

/// As parking_lot's.
pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    held: Option<checker::sync::MutexGuard<'a, T>>,
}

/// As parking_lot's.
#[derive(Default)]
pub struct RwLock<T>(checker::sync::RwLock<T>);

/// As parking_lot's.
#[derive(Default)]
pub struct Condvar(checker::sync::Condvar);

/// As parking_lot's.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(());

impl WaitTimeoutResult {
    /// As parking_lot's.
    pub fn timed_out(&self) -> bool {
        true
    }
}

impl<T> Mutex<T> {
    /// As parking_lot's.
    pub fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    /// As parking_lot's.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.guard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As parking_lot's.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(self.guard(guard)),
            Err(TryLockError::Poisoned(guard)) => Some(self.guard(guard.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn guard<'a>(&'a self, held: checker::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard {
            lock: self,
            held: Some(held),
        }
    }
}

impl<T> RwLock<T> {
    /// As parking_lot's.
    pub fn new(value: T) -> Self {
        Self(checker::sync::RwLock::new(value))
    }

    /// As parking_lot's.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// As parking_lot's.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// As parking_lot's.
    pub fn try_read_recursive(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock")
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

impl<T> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutexGuard")
    }
}

#[expect(clippy::expect_used, reason = "a guard is empty only inside a wait")]
impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("held")
    }
}

#[expect(clippy::expect_used, reason = "a guard is empty only inside a wait")]
impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("held")
    }
}

impl Condvar {
    /// As parking_lot's.
    pub fn new() -> Self {
        Self(checker::sync::Condvar::new())
    }

    /// As parking_lot's.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Time does not pass in a model, so this is over at once: not before others could run.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> WaitTimeoutResult {
        guard.held = None;
        thread::yield_now();
        guard.held = guard.lock.lock().held.take();
        WaitTimeoutResult(())
    }

    /// As [`Condvar::wait_for`].
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> WaitTimeoutResult {
        self.wait_for(guard, Duration::ZERO)
    }

    /// As parking_lot's.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// As parking_lot's.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
