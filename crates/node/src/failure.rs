//! A failure as it crosses into JavaScript: a stable code and a message for people. `src/errors.ts` makes the class.

use std::{any::Any, error::Error as _, panic};

use coppice_engine::{Error, ErrorCode};

/// Why an operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of the package's `ERR_COPPICE_*` codes.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// What the operating system said, where it did.
    pub(crate) cause: Option<String>,
    /// Whether a read stopped in front of the disk.
    pub(crate) is_not_in_memory: bool,
}

impl Failure {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: name(code),
            message: message.into(),
            cause: None,
            is_not_in_memory: false,
        }
    }

    /// The handle stands for no open database of this environment.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorCode::Closed, "the database is closed")
    }

    /// The handle stands for a snapshot, and what was asked for is not reading.
    pub(crate) fn read_only_snapshot() -> Self {
        Self::new(ErrorCode::ReadOnly, "a snapshot takes no writes")
    }

    /// An argument that only a caller can put right.
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// A defect of this package.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    fn from_panic(payload: &(dyn Any + Send)) -> Self {
        let what = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self::internal(format!("the engine panicked: {what}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: name(error.code()),
            message: error.message().to_owned(),
            cause: error.source().map(ToString::to_string),
            is_not_in_memory: error.is_not_in_memory(),
        }
    }
}

/// Runs what may panic. The engine's own invariants after a panic are its concern; nothing of this crate is left half
/// changed, because each operation here changes at most one thing, last.
pub(crate) fn guard<T>(operation: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panic::catch_unwind(panic::AssertUnwindSafe(operation))
        .unwrap_or_else(|payload| Err(Failure::from_panic(payload.as_ref())))
}

/// The package's name of an engine code.
fn name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Closed => "ERR_COPPICE_CLOSED",
        ErrorCode::Locked => "ERR_COPPICE_LOCKED",
        ErrorCode::NotFound => "ERR_COPPICE_NOT_FOUND",
        ErrorCode::ReadOnly => "ERR_COPPICE_READ_ONLY",
        ErrorCode::InvalidArgument => "ERR_COPPICE_INVALID_ARGUMENT",
        ErrorCode::KeyTooLarge => "ERR_COPPICE_KEY_TOO_LARGE",
        ErrorCode::ValueTooLarge => "ERR_COPPICE_VALUE_TOO_LARGE",
        ErrorCode::BatchTooLarge => "ERR_COPPICE_BATCH_TOO_LARGE",
        ErrorCode::NotEmpty => "ERR_COPPICE_NOT_EMPTY",
        ErrorCode::TreeDropped => "ERR_COPPICE_TREE_DROPPED",
        ErrorCode::Corrupt => "ERR_COPPICE_CORRUPT",
        ErrorCode::IncompatibleFormat => "ERR_COPPICE_INCOMPATIBLE_FORMAT",
        ErrorCode::Io => "ERR_COPPICE_IO",
        ErrorCode::NoSpace => "ERR_COPPICE_NO_SPACE",
        ErrorCode::OutcomeUnknown => "ERR_COPPICE_OUTCOME_UNKNOWN",
        ErrorCode::FellBehind => "ERR_COPPICE_FELL_BEHIND",
        ErrorCode::Aborted => "ERR_COPPICE_ABORTED",
        ErrorCode::Unsupported => "ERR_COPPICE_UNSUPPORTED",
        // The engine's list may grow ahead of this one; a code that is not known here is a defect to report.
        _ => "ERR_COPPICE_INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_error_keeps_code_and_message() {
        let failure = Failure::from(Error::new(ErrorCode::Locked, "held by process 7"));
        assert_eq!(failure.code, "ERR_COPPICE_LOCKED");
        assert_eq!(failure.message, "held by process 7");
    }

    #[test]
    fn io_error_is_kept_as_the_cause() {
        let refused = std::io::Error::other("device on fire");
        let failure = Failure::from(Error::from_io("/data/slots", refused));
        assert_eq!(failure.code, "ERR_COPPICE_IO");
        assert_eq!(failure.cause.as_deref(), Some("device on fire"));
    }

    #[test]
    fn panic_becomes_an_internal_failure() {
        let failure = guard::<()>(|| panic!("slot {} is gone", 3)).unwrap_err();
        assert_eq!(failure.code, "ERR_COPPICE_INTERNAL");
        assert_eq!(failure.message, "the engine panicked: slot 3 is gone");
    }
}
