//! What can go wrong with a journal, as its caller must tell it apart.

use std::{io, sync::Arc};

/// Every failure of the journal.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. From [`Journal::append`](crate::Journal::append) and
    /// [`Journal::sync`](crate::Journal::sync): whether what was being written survives is unknown, and nothing is
    /// written any more.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the file's name.
        context: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The disk is full. Nothing was appended; the same append may be tried again later.
    #[error("{context}: {source}")]
    NoSpace {
        /// What was being done, with the file's name.
        context: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A segment to append to could not be made, for a reason other than a full disk: a folder that may not be written
    /// to, say. Nothing was appended; the same append may be tried again.
    #[error("{context}: {source}")]
    Unwritten {
        /// What was being done, with the file's name.
        context: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// An earlier write or sync failed: nothing was done, and nothing will be until the journal is opened anew.
    #[error("the journal takes no more writes since an earlier failure: {context}: {source}")]
    Poisoned {
        /// What was being done at the failure.
        context: String,
        /// What the operating system said then.
        source: Arc<io::Error>,
    },
    /// Bytes that were on disk are damaged, missing, or another database's.
    #[error("{file} is damaged at offset {offset}: {what}")]
    Corrupt {
        /// The segment's file name.
        file: String,
        /// Offset in the file, bytes.
        offset: u64,
        /// The sequence number of the record that should be there, where one should.
        sequence: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// The bytes are sound and of a format that this version does not know.
    #[error("{file} is of a newer format at offset {offset}: {what}")]
    Incompatible {
        /// The segment's file name.
        file: String,
        /// Offset in the file, bytes.
        offset: u64,
        /// What is not known.
        what: String,
    },
    /// An operation does not fit a record. Nothing was appended.
    #[error("an operation of {bytes} bytes does not fit a journal record of at most {limit} bytes")]
    TooLarge {
        /// The operation's size as a payload.
        bytes: usize,
        /// The longest payload.
        limit: usize,
    },
    /// A record that was to be read back was trimmed, or has not been appended yet.
    #[error("the journal does not hold record {wanted}; the oldest that it holds is {oldest}")]
    NotHeld {
        /// The record's sequence number.
        wanted: u64,
        /// The lowest sequence number that can be read.
        oldest: u64,
    },
    /// An append did not begin with the next sequence number. Nothing was appended.
    #[error("the journal's next sequence number is {expected}, not {given}")]
    OutOfSequence {
        /// The next sequence number.
        expected: u64,
        /// What the caller gave.
        given: u64,
    },
}

impl Error {
    pub(crate) fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            context: context.into(),
            source: Arc::new(source),
        }
    }
}

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] Error),
    /// The caller could not apply a record.
    #[error("journal record {sequence} was not applied: {error}")]
    Apply {
        /// The record's sequence number.
        sequence: u64,
        /// What the caller said.
        error: E,
    },
}
