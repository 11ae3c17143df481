//! Threads of the engine's own. They mask all signals: those belong to the host's threads.

use std::{io, sync::Arc};

use coppice_disk::mask_signals;
use coppice_sync::thread::{Builder, JoinHandle};

use crate::error::{Error, ErrorCode};

/// Starts a thread of that name.
///
/// # Errors
/// `Io` where the system gives none.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            mask_signals();
            run();
        })
        .map_err(|error: io::Error| {
            Error::with_source(ErrorCode::Io, "no thread could be started", Some(Arc::new(error)))
        })
}
