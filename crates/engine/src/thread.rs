//! Threads of the engine's own. They mask all signals: those belong to the host's threads.

use std::{io, sync::Arc};

use coppice_disk::mask_signals;
use coppice_sync::thread::{Builder, JoinHandle};

use crate::error::{Error, ErrorCode};

#[cfg(test)]
thread_local! {
    static REFUSED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work` in a system that gives it no thread.
#[cfg(test)]
pub(crate) fn without_threads<R>(work: impl FnOnce() -> R) -> R {
    crate::scope::within(&REFUSED, work)
}

/// Starts a thread of that name.
///
/// # Errors
/// `Io` where the system gives none.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    #[cfg(test)]
    if REFUSED.get() {
        return Err(refused(io::ErrorKind::WouldBlock.into()));
    }
    Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            mask_signals();
            run();
        })
        .map_err(refused)
}

fn refused(error: io::Error) -> Error {
    Error::with_source(ErrorCode::Io, "no thread could be started", Some(Arc::new(error)))
}
