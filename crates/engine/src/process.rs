//! Which process this is: a child that was forked from one with open databases has their memory and none of their threads, and
//! shares the mapped journal with its parent. It must leave them alone.
//!
//! Owns a count of the forks that led here, which costs one load to look at; the number of the process would cost a system
//! call.
#![allow(unsafe_code)] // one call, which registers a function that adds one

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process that a database was opened by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    /// This process.
    pub(crate) fn here() -> Self {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(register);
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this is still the process, and not one forked from it.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }
}

#[cfg(unix)]
fn register() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // A failure is one of memory; then a child is not told from its parent, as on systems that cannot fork.
    //
    // SAFETY: the function is valid for as long as this image is loaded, which outlives its registration (the C library drops
    // that when an image is unloaded), and does nothing that a child of a process with threads may not do.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

#[cfg(not(unix))]
fn register() {}
