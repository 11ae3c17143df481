//! What checkpoints are made durable in: blob store and journal, behind a trait, so that tests can count and fail.

use std::sync::Arc;

use coppice_journal::Journal;
use coppice_store::{CommitReport, Epoch, Store};

use crate::{
    core::{journal_error, store_error},
    error::{Error, ErrorCode},
};

/// The steps of a round, in the order in which they are taken.
pub(crate) trait Target: Send + Sync {
    /// One batched write, one data sync, then one slot-map record and its sync: all of the epoch is durable, or nothing.
    ///
    /// # Errors
    /// `NoSpace`, after which all is as before; any other leaves it open what is on disk.
    fn commit(&self, epoch: &Epoch<'_>) -> Result<CommitReport, Error>;

    /// Applies one delete of a committed epoch. False where there was nothing to free.
    fn free(&self, blob: u32) -> Result<bool, Error>;

    /// Makes applied deletes durable, where that takes anything; returns the number of syncs.
    fn settle_frees(&self) -> Result<u64, Error>;

    /// Drops from the journal what the cut covers.
    fn trim_journal(&self, cut: u64) -> Result<(), Error>;
}

/// A database's files.
pub(crate) struct Files {
    pub(crate) store: Arc<Store>,
    /// None while it is being replayed.
    pub(crate) journal: Option<Arc<Journal>>,
}

impl Target for Files {
    fn commit(&self, epoch: &Epoch<'_>) -> Result<CommitReport, Error> {
        self.store.commit(epoch).map_err(store_error)
    }

    fn free(&self, blob: u32) -> Result<bool, Error> {
        self.store.free(blob).map_err(store_error)
    }

    fn settle_frees(&self) -> Result<u64, Error> {
        self.store.settle_frees().map_err(store_error)
    }

    fn trim_journal(&self, cut: u64) -> Result<(), Error> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal
            .trim(cut)
            .map_err(|error| match journal_error(&error, ErrorCode::Io) {
                // It was this very trim that failed, or a sync beside it.
                poisoned if poisoned.code() == ErrorCode::ReadOnly => poisoned.with_code(ErrorCode::Io),
                other => other,
            })
    }
}
