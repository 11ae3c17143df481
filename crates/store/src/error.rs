//! The one error type of this crate.

use std::io;

use coppice_disk::is_no_space;

use crate::BlobId;

/// Every failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder holds no database: there is no superblock, and nothing that a database has committed.
    #[error("{folder} holds no database")]
    NotADatabase {
        /// The folder.
        folder: String,
    },
    /// The folder holds a database already.
    #[error("{folder} holds a database already")]
    AlreadyADatabase {
        /// The folder.
        folder: String,
    },
    /// The disk failed. When it failed a commit, whether that commit is on disk is unknown, and the store takes no more
    /// of them.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The disk's own words.
        source: io::Error,
    },
    /// The disk is full. The commit did nothing; a later one may succeed.
    #[error("{context}: {source}")]
    NoSpace {
        /// What was being done.
        context: String,
        /// The disk's own words.
        source: io::Error,
    },
    /// Bytes on disk fail their check.
    #[error("{file} is damaged at byte {offset}{}: {what}", of_blob(.blob))]
    Corrupt {
        /// The file's name.
        file: String,
        /// Where in the file, bytes.
        offset: u64,
        /// The blob that the damage concerns, where it is one.
        blob: Option<BlobId>,
        /// What is wrong.
        what: String,
    },
    /// The files are intact but of a format that this version does not read.
    #[error("{file}: {what}")]
    Incompatible {
        /// The file's name.
        file: String,
        /// What is not known.
        what: String,
    },
    /// An earlier commit failed in a way that leaves the disk's state unknown. Reads go on; commits do not.
    #[error("the store takes no more commits since one failed: {cause}")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// This system, or what confines this process on it, does not have what was asked for.
    #[error("{what}: {source}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// The system's own words.
        source: io::Error,
    },
    /// There is no blob of that id.
    #[error("there is no blob {blob}")]
    Absent {
        /// The id.
        blob: BlobId,
    },
    /// The caller asked for what the store does not do. Nothing was done.
    #[error("{what}")]
    Refused {
        /// What is wrong with the request.
        what: String,
    },
}

fn of_blob(blob: &Option<BlobId>) -> String {
    blob.map(|id| format!(" (blob {id})")).unwrap_or_default()
}

impl StoreError {
    /// An I/O error with what was being done; a full disk is told apart from the rest.
    pub(crate) fn from_io(context: impl Into<String>, source: io::Error) -> Self {
        let context = context.into();
        if is_no_space(&source) {
            Self::NoSpace { context, source }
        } else {
            Self::Io { context, source }
        }
    }

    pub(crate) fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            blob: None,
            what: what.into(),
        }
    }

    pub(crate) fn corrupt_blob(file: &str, offset: u64, blob: BlobId, what: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            blob: Some(blob),
            what: what.into(),
        }
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }
}

/// Says what was being done when an I/O call failed.
pub(crate) trait IoContext<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::from_io(doing(), source))
    }
}
