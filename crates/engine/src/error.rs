//! The engine's one error type. Its code is stable and is what callers decide on; its message is for people.

use std::{error, fmt, io, sync::Arc};

/// What went wrong, as a caller may act on it. The names are those of the package's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The database was closed.
    Closed,
    /// Another process holds the database.
    Locked,
    /// There is no database (or no tree) of that name.
    NotFound,
    /// The database takes no writes, by request or after a failed sync.
    ReadOnly,
    /// An argument is outside what the operation takes.
    InvalidArgument,
    /// A key is longer than the limit.
    KeyTooLarge,
    /// A value is longer than the limit.
    ValueTooLarge,
    /// A batch is longer than the limit.
    BatchTooLarge,
    /// There are keys where none may be.
    NotEmpty,
    /// The tree was dropped.
    TreeDropped,
    /// Bytes on disk fail their check.
    Corrupt,
    /// The files are of a format that this version does not read.
    IncompatibleFormat,
    /// The operating system refused a read, a write or a sync.
    Io,
    /// The disk is full, or all of the memory that the options allow is in use.
    NoSpace,
    /// A write may or may not have become durable.
    OutcomeUnknown,
    /// What was asked for is not available on this platform or file system.
    Unsupported,
    /// A watcher was too slow: what it was not told yet is not held any more.
    FellBehind,
    /// The caller gave up.
    Aborted,
    /// A defect of the engine.
    Internal,
}

/// A key in a message is cut off here.
const SHOWN_KEY_BYTES: usize = 40;

/// A key, or the start of a long one, for a message.
pub(crate) fn shown_key(key: &[u8]) -> String {
    let (shown, rest) = key.split_at_checked(SHOWN_KEY_BYTES).unwrap_or((key, &[]));
    let cut = if rest.is_empty() { "" } else { "…" };
    format!("\"{}\"{cut}", shown.escape_ascii())
}

/// Every failure of the engine.
#[derive(Clone, Debug)]
pub struct Error {
    code: ErrorCode,
    message: String,
    source: Option<Arc<io::Error>>,
    lacks: Lacks,
}

/// What an operation failed for want of that it may have another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    Nothing,
    /// Memory that others will give back.
    Room,
    /// A blob in memory, where it may not be read in.
    Blob,
}

impl Error {
    /// An error with its code and a message that names what it concerns.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
            lacks: Lacks::Nothing,
        }
    }

    /// There is no room in memory: what others read and write will give some back.
    pub(crate) fn crowded(message: impl Into<String>) -> Self {
        Self {
            lacks: Lacks::Room,
            ..Self::new(ErrorCode::NoSpace, message)
        }
    }

    pub(crate) fn is_crowded(&self) -> bool {
        self.lacks == Lacks::Room
    }

    /// What is asked for is not in memory, where nothing may be read in: see [`resident`](crate::resident()).
    pub(crate) fn not_in_memory() -> Self {
        Self {
            lacks: Lacks::Blob,
            ..Self::new(ErrorCode::Internal, String::new())
        }
    }

    /// Whether a read stopped in front of the disk, as it must within [`resident`](crate::resident()), and will get further
    /// after [`Database::fetch`](crate::Database::fetch).
    pub fn is_not_in_memory(&self) -> bool {
        self.lacks == Lacks::Blob
    }

    /// An error that an I/O error caused; a full disk is told apart from the rest.
    pub fn from_io(context: impl Into<String>, source: io::Error) -> Self {
        let code = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            _ => ErrorCode::Io,
        };
        Self {
            code,
            message: format!("{}: {source}", context.into()),
            source: Some(Arc::new(source)),
            lacks: Lacks::Nothing,
        }
    }

    /// An error with the I/O error that caused it, which the message tells already.
    pub(crate) fn with_source(code: ErrorCode, message: impl Into<String>, source: Option<Arc<io::Error>>) -> Self {
        Self {
            code,
            message: message.into(),
            source,
            lacks: Lacks::Nothing,
        }
    }

    /// The same under another code.
    pub(crate) fn with_code(&self, code: ErrorCode) -> Self {
        Self { code, ..self.clone() }
    }

    /// The same, saying where it happened.
    pub(crate) fn within(&self, place: &str) -> Self {
        Self {
            message: format!("{place}: {}", self.message),
            ..self.clone()
        }
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message, without the cause's own.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
