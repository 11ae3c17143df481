//! What a verification reports.

use std::ops::ControlFlow;

use coppice_journal::Error as JournalError;
use coppice_store::StoreError;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name; `memory` for a frame that is not on disk as it is now.
    pub file: String,
    /// Where in the file, bytes; near it where the place is inside a frame. Of a frame in memory: where in the frame.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    pub(crate) fn of_journal(error: &JournalError) -> Self {
        let what = error.to_string();
        let (file, offset) = match error {
            JournalError::Corrupt { file, offset, .. } | JournalError::Incompatible { file, offset, .. } => {
                (file.clone(), *offset)
            }
            _ => (String::new(), 0),
        };
        Self { file, offset, what }
    }

    pub(crate) fn of_store(error: &StoreError) -> Self {
        let what = error.to_string();
        let (file, offset) = match error {
            StoreError::Corrupt { file, offset, .. } => (file.clone(), *offset),
            StoreError::Incompatible { file, .. } => (file.clone(), 0),
            _ => (String::new(), 0),
        };
        Self { file, offset, what }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The last commit that was looked at.
    pub version: u64,
    /// Named trees.
    pub trees: u64,
    /// Records in them, without those behind a frame that cannot be read.
    pub keys: u64,
    /// Frames and large values that were looked at, those on disk that are not in use any more included.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Everything that is wrong; empty for a sound database.
    pub problems: Vec<Problem>,
}

/// Told how many of how many blobs are done; breaks to give up.
pub type OnProgress<'p> = &'p mut dyn FnMut(u64, u64) -> ControlFlow<()>;
