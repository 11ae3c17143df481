//! Signals belong to the host's threads.

/// Masks all signals for the calling thread: each thread of ours begins with it.
#[cfg(unix)]
pub fn mask_signals() {
    // A refusal leaves the thread as any other of the process.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

/// Masks all signals for the calling thread, where there are any.
#[cfg(not(unix))]
pub fn mask_signals() {}
