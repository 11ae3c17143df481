//! Checkpoints: the changed blobs of one cut made durable, and the journal trimmed to it.
//!
//! The cut is taken under the state's lock: it notes the last commit and takes hold of every changed blob's buffer. From
//! then on writers copy a buffer before they change it, so the blobs stay as of the cut while they are written out.

use std::time::Instant;

use coppice_store::{BlobWrite, Epoch, StoreError};

use super::{Durable, Engine, write::journal_error};
use crate::{
    error::{Error, ErrorCode},
    options::Durability,
    stats::CheckpointReport,
};

pub(super) fn store_error(error: StoreError) -> Error {
    let message = error.to_string();
    match error {
        StoreError::NotADatabase { .. } => Error::new(ErrorCode::NotFound, message),
        StoreError::AlreadyADatabase { .. } => Error::new(ErrorCode::InvalidArgument, message),
        StoreError::Io { source, .. } => Error::with_source(ErrorCode::Io, message, Some(source.into())),
        StoreError::NoSpace { source, .. } => Error::with_source(ErrorCode::NoSpace, message, Some(source.into())),
        StoreError::Corrupt { .. } | StoreError::Absent { .. } => Error::new(ErrorCode::Corrupt, message),
        StoreError::Incompatible { .. } => Error::new(ErrorCode::IncompatibleFormat, message),
        StoreError::Poisoned { .. } => Error::new(ErrorCode::ReadOnly, message),
        StoreError::Unsupported { source, .. } => {
            Error::with_source(ErrorCode::Unsupported, message, Some(source.into()))
        }
        _ => Error::new(ErrorCode::Internal, message),
    }
}

impl Engine {
    /// Makes all that was written before the call part of the blob store, and trims the journal.
    pub(crate) fn checkpoint(&self) -> Result<CheckpointReport, Error> {
        self.check_writable()?;
        self.checkpoint_even_if_closed()
    }

    pub(crate) fn checkpoint_even_if_closed(&self) -> Result<CheckpointReport, Error> {
        let _one_at_a_time = self.checkpointing.lock();
        let Some(durable) = &self.durable else {
            return Ok(CheckpointReport {
                version: self.sequence.load(super::Ordering::Acquire),
                ..CheckpointReport::default()
            });
        };
        let result = self.run_checkpoint(durable);
        let mut rounds = self.rounds.lock();
        match &result {
            Ok(report) => {
                rounds.done += 1;
                rounds.bytes_written += report.bytes_written;
            }
            Err(error) => {
                rounds.failed += 1;
                rounds.last_error = Some(error.to_string());
            }
        }
        result
    }

    fn run_checkpoint(&self, durable: &Durable) -> Result<CheckpointReport, Error> {
        let started = Instant::now();
        let (cut, sequence, next_tree) = {
            let state = self.exclusive();
            // A change half applied must not be made durable: only the journal knows what it should have been.
            if let Some(cause) = self.poison.get() {
                return Err(cause.with_code(ErrorCode::ReadOnly));
            }
            (state.forest.table.cut(), state.sequence, state.next_tree)
        };
        let writes = cut
            .changed
            .iter()
            .map(|changed| BlobWrite {
                id: changed.blob,
                kind: changed.kind as u8,
                records: changed.records,
                live: changed.live_bytes,
                bytes: changed.buffer.bytes().get(..changed.bytes as usize).unwrap_or_default(),
            })
            .collect();
        let epoch = Epoch {
            cut: sequence,
            next_tree,
            writes,
            deletes: cut.freed.clone(),
        };
        let committed = match durable.store.commit(&epoch) {
            Ok(committed) => committed,
            Err(error) => {
                drop(epoch);
                self.table.restore(&cut);
                let failure = store_error(error);
                if failure.code() != ErrorCode::NoSpace {
                    self.poison(&failure);
                }
                return Err(failure);
            }
        };
        let mut applied_deletes = 0;
        for blob in &cut.freed {
            applied_deletes += u64::from(durable.store.free(*blob).map_err(store_error)?);
        }
        let mut syncs = committed.syncs;
        if applied_deletes > 0 {
            syncs += durable.store.settle_frees().map_err(store_error)?;
        }
        // What could not be removed is covered all the same, and a later round tries again.
        durable
            .journal
            .trim(sequence)
            .map_err(|error| journal_error(&error, ErrorCode::Io))?;
        Ok(CheckpointReport {
            version: sequence,
            dirty_blobs: cut.changed.len() as u64,
            flushed_blobs: committed.flushed,
            pending_deletes: cut.freed.len() as u64,
            applied_deletes,
            bytes_written: committed.bytes_written,
            syncs,
            epochs_coalesced: 1,
            duration_micros: started.elapsed().as_micros() as u64,
        })
    }

    /// Returns when all that was written before the call is on disk.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.check_writable()?;
        match &self.durable {
            None => Ok(()),
            Some(_) if self.options.durability == Durability::None => self.checkpoint().map(|_| ()),
            Some(durable) => self.sync_journal(durable),
        }
    }

    /// Syncs the journal if there is anything to sync.
    pub(crate) fn sync_in_background(&self) -> Result<(), Error> {
        self.check_writable()?;
        match &self.durable {
            Some(durable) if durable.journal.synced_upto() < durable.journal.appended_upto() => {
                self.sync_journal(durable)
            }
            _ => Ok(()),
        }
    }

    /// The last round of an engine that nobody uses any more: what was written is made durable, or the error says why not.
    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        self.mark_closed();
        let result = self.settle_everything();
        self.unlock();
        result
    }

    fn settle_everything(&self) -> Result<(), Error> {
        let Some(durable) = &self.durable else { return Ok(()) };
        if let Some(cause) = self.poison.get() {
            return Err(Error::new(
                ErrorCode::Io,
                format!(
                    "closed without a checkpoint, since an earlier failure: {}",
                    cause.message()
                ),
            ));
        }
        match self.checkpoint_even_if_closed() {
            // A full disk: what the journal holds is made durable there.
            Err(error) if error.code() == ErrorCode::NoSpace && self.options.durability != Durability::None => {
                self.sync_journal(durable)
            }
            other => other.map(|_| ()),
        }
    }
}
