//! Checkpoints, as those see them who ask for one: a cut is taken and queued here; the checkpoint thread does the rest.
//!
//! The cut is taken under the state's lock: it notes the last commit and takes hold of every changed blob's buffer. From
//! then on writers copy a buffer before they change it, so the blobs stay as of the cut while they are written out.

use std::time::Instant;

use coppice_defect::{Defect, planted};
use coppice_store::StoreError;

use super::{Durable, Engine, Ordering, open::settle};
use crate::{
    checkpointer::{Epoch, Outcome, Ticket, WhenFull},
    error::{Error, ErrorCode},
    events::Event,
    options::Durability,
    stats::CheckpointReport,
};

pub(crate) fn store_error(error: StoreError) -> Error {
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
        let ticket = match &self.durable {
            Some(durable) => self.plan(durable, WhenFull::Wait)?,
            None => None,
        };
        match ticket {
            Some(ticket) => {
                let outcome = ticket.wait();
                self.tell_of_checkpoint(&outcome);
                outcome
            }
            None => Ok(CheckpointReport {
                version: self.last_commit(),
                ..CheckpointReport::default()
            }),
        }
    }

    /// Tells those who listen how a checkpoint ended.
    pub(crate) fn tell_of_checkpoint(&self, outcome: &Outcome) {
        self.events.tell(match outcome {
            Ok(report) => Event::Checkpoint(report),
            Err(error) => Event::Failure(error),
        });
    }

    /// Starts a checkpoint and waits for nothing. `None` where the queue is full, or nothing is kept on disk.
    pub(crate) fn start_checkpoint(&self) -> Result<Option<Ticket>, Error> {
        self.check_writable()?;
        match &self.durable {
            Some(durable) => self.plan(durable, WhenFull::GiveUp),
            None => Ok(None),
        }
    }

    /// The last commit.
    pub(crate) fn last_commit(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Does the syncs that the opening has put off, before anything is vouched for.
    pub(crate) fn settle_opening(&self) -> Result<(), Error> {
        let Some(durable) = &self.durable else { return Ok(()) };
        settle(durable.folder.disk.as_ref()).inspect_err(|failure| self.poison(failure))
    }

    fn plan(&self, durable: &Durable, when_full: WhenFull) -> Result<Option<Ticket>, Error> {
        self.settle_opening()?;
        durable.checkpointer.plan(when_full, |returned| {
            let started = Instant::now();
            let state = self.exclusive();
            for cut in &returned {
                if !planted(Defect::ForgetsFailedCuts) {
                    self.table.restore(cut);
                }
            }
            // A change half applied must not be made durable: only the journal knows what it should have been.
            if let Some(cause) = self.failure() {
                return Err(cause.with_code(ErrorCode::ReadOnly));
            }
            Ok(Epoch {
                cut: self.table.cut(),
                version: state.sequence + u64::from(planted(Defect::CutsOneTooHigh))
                    - u64::from(planted(Defect::CutsOneTooLow) && state.sequence > 0),
                next_tree: state.next_tree,
                started,
            })
        })
    }

    /// Returns when all that was written before the call is on disk.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.check_writable()?;
        match &self.durable {
            Some(_) if planted(Defect::FlushesNothing) => Ok(()),
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
        self.end();
        result
    }

    fn settle_everything(&self) -> Result<(), Error> {
        let Some(durable) = &self.durable else { return Ok(()) };
        if let Some(cause) = self.failure() {
            return Err(Error::new(
                ErrorCode::Io,
                format!(
                    "closed without a checkpoint, since an earlier failure: {}",
                    cause.message()
                ),
            ));
        }
        if planted(Defect::ClosesWithoutCheckpoint) {
            return Ok(());
        }
        match self.checkpoint_even_if_closed() {
            Ok(_) => {
                self.give_room_back_at_close();
                Ok(())
            }
            Err(error) if self.options.durability == Durability::None => Err(error),
            // A full disk: what the journal holds is made durable there.
            Err(error) if error.code() == ErrorCode::NoSpace => self.sync_journal(durable),
            Err(error) => {
                // The same where the checkpoint was not even begun, as where there is no thread for it.
                if self.failure().is_none() {
                    self.sync_journal(durable)?;
                }
                Err(error)
            }
        }
    }
}
