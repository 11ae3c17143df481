//! Watching, as the engine sees it: who begins to watch, and what the journal still has for them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use coppice_journal::{Error as JournalError, History, Op};

use super::{Engine, read::check_tree, write::journal_error};
use crate::{
    error::{Error, ErrorCode},
    feed::{Feed, Interest, Watcher},
    request::TreeId,
    watch::Watch,
};

impl Engine {
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Begins to watch, from now on or from behind a version. So many bytes of commits may wait in memory for the watcher.
    pub(crate) fn watch(
        self: &Arc<Self>,
        tree: TreeId,
        prefix: &[u8],
        after: Option<u64>,
        queue_bytes: usize,
    ) -> Result<Watch, Error> {
        let state = self.exclusive();
        self.check_open()?;
        check_tree(&state, tree)?;
        let last = state.sequence;
        let missed = after.filter(|&after| after != last);
        if let Some(after) = missed {
            self.check_held(after, last)?;
        }
        let interest = Interest {
            tree,
            prefix: prefix.into(),
        };
        let watcher = Arc::new(Watcher::new(interest, missed.map(|after| (after, last)), queue_bytes));
        self.feed.join(&watcher, last);
        Ok(Watch::new(Arc::downgrade(self), watcher))
    }

    fn check_held(&self, after: u64, last: u64) -> Result<(), Error> {
        let oldest = match self.journal() {
            _ if after > last => {
                let message = format!("after {after} is behind the last commit, {last}");
                return Err(Error::new(ErrorCode::InvalidArgument, message));
            }
            // Of a database that is not journaled nothing is held.
            None => last + 1,
            Some(journal) => journal.oldest_held().min(last + 1),
        };
        if after + 1 < oldest {
            let message = format!(
                "after {after} is too long ago: the journal holds what came after {}",
                oldest - 1
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        Ok(())
    }

    /// The journal from behind a commit on.
    pub(crate) fn history(&self, after: u64) -> Result<History, Error> {
        match self.journal() {
            Some(journal) => Ok(journal.history(after)),
            None => Err(fell_behind(after + 1, "there is no journal that holds it")),
        }
    }

    /// Reads on in it.
    pub(crate) fn read_on(
        &self,
        history: &mut History,
        upto: u64,
        bytes: u64,
        visit: &mut dyn FnMut(u64, Op<'_>),
    ) -> Result<(), Error> {
        self.check_open()?;
        let Some(journal) = self.journal() else { return Ok(()) };
        journal
            .read_on(history, upto, bytes, visit)
            .map_err(|error| match error {
                JournalError::NotHeld { wanted, oldest } => fell_behind(
                    wanted,
                    &format!("the journal holds what came after {}", oldest.saturating_sub(1)),
                ),
                other => journal_error(&other, ErrorCode::Io),
            })
    }
}

fn fell_behind(wanted: u64, why: &str) -> Error {
    let message = format!("the watcher fell behind: commit {wanted} was not told yet and is gone; {why}");
    Error::new(ErrorCode::FellBehind, message)
}
