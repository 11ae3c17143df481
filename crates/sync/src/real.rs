//! What is shipped.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult};

/// Threads.
pub mod thread {
    pub use std::thread::{Builder, JoinHandle, current, sleep, yield_now};
}

/// Epoch-based reclamation.
pub mod epoch {
    pub use crossbeam_epoch::{Guard, pin};
}

use crate::Step;

/// Whether a model leaves this out.
#[inline(always)]
pub const fn is_left_out(_: Step) -> bool {
    false
}

/// This order, unless a model leaves the step out that it is for.
#[inline(always)]
pub const fn order(wanted: Ordering, _: Step) -> Ordering {
    wanted
}

/// What models see of memory; nothing without one.
pub mod witness {
    /// This memory was filled, and is about to be made known.
    #[inline(always)]
    pub fn published(_: *const u8) {}

    /// This memory was found by a reader.
    #[inline(always)]
    pub fn found(_: *const u8) {}
}
