//! Writes: checked, journaled, and then applied, which is `apply.rs`, one at a time.

#[cfg(test)]
mod tests;

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use coppice_defect::{Defect, planted};
use coppice_journal::{Error as JournalError, Journal, Op, OpenError, Room};
use coppice_sync::{Step, is_left_out};

use super::{Durable, Engine, Ordering, State, TREE_BYTES, read::FullKey, read::Reads, read::check_tree};
use crate::{
    error::{Error, ErrorCode},
    events::Event,
    forest::GROUP,
    options::{Durability, MAX_KEY_BYTES, MAX_TREE_NAME_BYTES, MAX_VALUE_BYTES, MAX_VERSION},
    request::{Condition, TreeId},
    unsettled::is_unsettled,
};

/// `put_many` appends to the journal each time this many entries, or bytes of them, have come together.
const CHUNK_ENTRIES: usize = 1024;
const CHUNK_BYTES: usize = 4 << 20;
/// What one of several puts may need of memory, in frames: those on its path, copied or parted.
const FRAMES_OF_PUT: usize = 4;
/// How long a writer waits for somebody else's checkpoint before it makes one itself.
pub(super) const STALL: Duration = Duration::from_millis(200);
/// More threads than will ever write at once.
const MAX_WRITERS: usize = 1 << 20;

/// What a failure to replay the journal means.
pub(crate) fn replay_error(error: OpenError<Error>) -> Error {
    match error {
        OpenError::Journal(error) => journal_error(&error, ErrorCode::Io),
        OpenError::Apply { error, .. } => error,
    }
}

/// What a failure of the journal means; `io` is what one of the operating system does, to this caller.
pub(crate) fn journal_error(error: &JournalError, io: ErrorCode) -> Error {
    let code = match error {
        JournalError::Io { .. } => io,
        JournalError::NoSpace { .. } => ErrorCode::NoSpace,
        JournalError::Unwritten { source, .. } => match source.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => ErrorCode::ReadOnly,
            _ => ErrorCode::Io,
        },
        JournalError::Poisoned { .. } => ErrorCode::ReadOnly,
        JournalError::TooLarge { .. } => ErrorCode::BatchTooLarge,
        JournalError::Corrupt { .. } => ErrorCode::Corrupt,
        JournalError::Incompatible { .. } => ErrorCode::IncompatibleFormat,
        _ => ErrorCode::Internal,
    };
    let source = match error {
        JournalError::Io { source, .. }
        | JournalError::NoSpace { source, .. }
        | JournalError::Unwritten { source, .. }
        | JournalError::Poisoned { source, .. } => Some(source.clone()),
        _ => None,
    };
    Error::with_source(code, error.to_string(), source)
}

pub(super) fn check_lengths(state: &State<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let limit = MAX_KEY_BYTES.min(state.forest.max_full_key_bytes() - TREE_BYTES);
    if key.len() > limit {
        let message = format!("a key of {} bytes is over the limit of {limit}", key.len());
        return Err(Error::new(ErrorCode::KeyTooLarge, message));
    }
    if !state.forest.is_inline(value.len()) {
        return check_long_value(state, value);
    }
    Ok(())
}

#[cold]
fn check_long_value(state: &State<'_>, value: &[u8]) -> Result<(), Error> {
    let in_memory = state.forest.table.longest_value();
    if value.len() > MAX_VALUE_BYTES.min(in_memory) {
        let limit = if in_memory < MAX_VALUE_BYTES {
            format!("a quarter of memory, {in_memory}")
        } else {
            format!("the limit of {MAX_VALUE_BYTES}")
        };
        let message = format!("a value of {} bytes is over {limit}", value.len());
        return Err(Error::new(ErrorCode::ValueTooLarge, message));
    }
    Ok(())
}

impl Engine {
    /// The journal, where writes go to it.
    pub(super) fn journal(&self) -> Option<&Journal> {
        match &self.durable {
            Some(durable) if self.options.durability != Durability::None => Some(&durable.journal),
            _ => None,
        }
    }

    /// Before a write takes any lock: waits while the journal is past its limit, so that it does not grow without bound.
    /// The background thread starts a checkpoint at half of that. A writer for whom none comes makes one itself, and is
    /// told why it could not. One whose caller waits for it later waits here only past twice that. The same for memory, into
    /// which the write puts so many bytes beside frames.
    pub(super) fn make_way(&self, more: usize) -> Result<(), Error> {
        self.make_way_in_memory(more)?;
        let limit = self.journal_limit();
        self.wait_below(if is_unsettled() { limit.saturating_mul(2) } else { limit })
    }

    fn journal_limit(&self) -> u64 {
        self.options.journal_bytes.saturating_mul(2)
    }

    fn wait_below(&self, limit: u64) -> Result<(), Error> {
        let Some(journal) = self.journal() else { return Ok(()) };
        if journal.bytes() < limit {
            return Ok(());
        }
        self.stall(|| match journal.wait_for_room(limit, STALL) {
            // The failure is remembered: the write that follows is refused with it.
            Ok(Room::Free | Room::Waited) | Err(_) => Ok(()),
            Ok(Room::Full) => self.checkpoint().map(|_| ()),
        })
    }

    /// Has a writer wait, and counts and tells of it.
    pub(super) fn stall(&self, wait: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let result = wait();
        self.events.tell(Event::Backpressure(started.elapsed()));
        result
    }

    /// The same for what only removes, which does not wait for a full disk while reads have room beside it: the journal has
    /// some kept for it.
    pub(super) fn make_way_to_remove(&self) -> Result<(), Error> {
        let crowds = || self.table.budget().leaves_too_little_to_evict();
        match self.journal() {
            Some(journal) if journal.is_out_of_space() && !crowds() => {}
            _ => match self.make_way(0) {
                Err(error) if error.code() == ErrorCode::NoSpace && !crowds() => {}
                other => other?,
            },
        }
        self.table.wait_for_change(0)
    }

    fn check_versions(first: u64, count: usize) -> Result<(), Error> {
        if first.saturating_add(count as u64) > MAX_VERSION + 1 {
            return Err(Error::new(ErrorCode::Internal, "the database has used up its versions"));
        }
        Ok(())
    }

    fn append_failed(&self, error: &JournalError) -> Error {
        let failure = journal_error(error, ErrorCode::OutcomeUnknown);
        // Of any other failure it is known that nothing was written.
        if matches!(error, JournalError::Io { .. } | JournalError::Poisoned { .. }) {
            self.poison(&failure);
        }
        failure
    }

    /// Appends one operation that the caller is about to apply to what it has latched, and then hands to the feed; its
    /// sequence number. The journal gives it, so that several writers do this at once.
    pub(super) fn append_in_order(&self, op: &Op<'_>) -> Result<u64, Error> {
        // Others may be taking numbers too, but not half of all there are.
        Self::check_versions(self.sequence.load(Ordering::Acquire), MAX_WRITERS)?;
        let Some(journal) = self.journal() else {
            return Ok(self.sequence.fetch_add(1, Ordering::AcqRel) + 1);
        };
        let appended = journal.append_next(std::slice::from_ref(op));
        let sequence = appended.map_err(|error| self.append_failed(&error))?;
        self.sequence.fetch_max(sequence, Ordering::AcqRel);
        Ok(sequence)
    }

    /// Appends operations to the journal, as the commits from `first` on, which must be the next: the caller has the
    /// structure alone. Those who watch are told when it is given back.
    pub(super) fn append(&self, first: u64, ops: &[Op<'_>]) -> Result<(), Error> {
        Self::check_versions(first, ops.len())?;
        if let Some(journal) = self.journal() {
            journal.append(first, ops).map_err(|error| self.append_failed(&error))?;
        }
        self.feed.stage(first, ops);
        Ok(())
    }

    /// A change that the journal holds and memory could not take: only a reopen can bring the two together.
    pub(super) fn applied<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.poison(error))
    }

    /// In `'disk'` mode, waits until all that was appended is on disk, unless the caller said that it will.
    pub(super) fn settle(&self) -> Result<(), Error> {
        match self.options.durability {
            Durability::Disk if planted(Defect::ReturnsBeforeSync) => Ok(()),
            Durability::Disk if !is_unsettled() => self.settle_journal(),
            Durability::Disk | Durability::Process | Durability::None => Ok(()),
        }
    }

    /// Waits until all that was written before the call is on disk, in every mode but `'none'`; and then, for all whose writes
    /// did not, while the journal is past its limit.
    pub(crate) fn persist(&self) -> Result<(), Error> {
        self.settle_journal()?;
        // The writes are on disk: what a checkpoint fails for is told to those that come next.
        let _ = self.wait_below(self.journal_limit());
        Ok(())
    }

    fn settle_journal(&self) -> Result<(), Error> {
        match &self.durable {
            Some(durable) if planted(Defect::ReportsUnknownAsDone) => {
                let _ = durable.journal.sync();
                Ok(())
            }
            Some(durable) if self.options.durability != Durability::None => {
                self.sync_journal(durable).map_err(|error| {
                    Error::new(
                        ErrorCode::OutcomeUnknown,
                        format!("a write may or may not be on disk: {}", error.message()),
                    )
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sync_journal(&self, durable: &Durable) -> Result<(), Error> {
        self.settle_opening()?;
        durable.journal.sync().map_err(|error| {
            let failure = journal_error(&error, ErrorCode::Io);
            self.poison(&failure);
            failure
        })
    }

    /// Opens a tree, creating it when absent; where nothing may be written, [`TreeId::ABSENT`] instead.
    pub(crate) fn tree(&self, name: &str) -> Result<TreeId, Error> {
        self.check_open()?;
        if name.len() > MAX_TREE_NAME_BYTES {
            let message = format!(
                "a tree's name of {} bytes is over the limit of {MAX_TREE_NAME_BYTES}",
                name.len()
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        if let Some(tree) = self.tree_named(name)? {
            return Ok(tree);
        }
        if self.is_read_only() {
            return Ok(TreeId::ABSENT);
        }
        let mut state = self.exclusive_with_room(0)?;
        self.check_writable()?;
        if let Some(tree) = state.tree_named(name)? {
            return Ok(tree);
        }
        let tree = state.next_tree;
        if tree >= TreeId::ABSENT.0 {
            return Err(Error::new(
                ErrorCode::Internal,
                "the database has used up its tree numbers",
            ));
        }
        if name.len() > state.forest.max_full_key_bytes() - TREE_BYTES {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "a tree's name is too long for frames of this size",
            ));
        }
        self.append(
            state.sequence + 1,
            &[Op::CreateTree {
                tree,
                name: name.as_bytes(),
            }],
        )?;
        self.applied(state.create_tree(tree, name.as_bytes()))?;
        drop(state);
        self.settle()?;
        Ok(TreeId(tree))
    }

    pub(crate) fn put(
        &self,
        tree: TreeId,
        key: &[u8],
        value: &[u8],
        condition: Condition,
    ) -> Result<Option<u64>, Error> {
        let condition = match is_left_out(Step::DecideLatched) {
            true if !condition.holds(self.get(tree, key, |found| found.map(|found| found.version))?) => {
                return Ok(None);
            }
            true => Condition::Always,
            false => condition,
        };
        self.make_way(0)?;
        if let Some(put) = self.uncrowded(|| self.put_in_place(tree, key, value, condition))? {
            if put.is_some() {
                self.settle()?;
            }
            return Ok(put);
        }
        let full = FullKey::new(tree.0, key);
        let mut state = self.exclusive_with_room(value.len())?;
        self.check_writable()?;
        check_tree(&state, tree)?;
        check_lengths(&state, key, value)?;
        // Reads in the frames on the path too, so that applying does not have to wait for the disk.
        let known = state.forest.look_up(full.bytes())?;
        if !condition.holds(known.map(|known| known.version)) {
            return Ok(None);
        }
        self.append(
            state.sequence + 1,
            &[Op::Put {
                tree: tree.0,
                key,
                value,
            }],
        )?;
        let version = self.applied(state.put(full.bytes(), value, known))?;
        drop(state);
        self.settle()?;
        Ok(Some(version))
    }

    pub(crate) fn put_many<'a>(
        &self,
        tree: TreeId,
        entries: &mut dyn Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, Error> {
        let mut total = 0;
        let mut chunk: Vec<(&[u8], &[u8])> = Vec::new();
        let mut bytes = 0;
        loop {
            let entry = entries.next();
            if let Some((key, value)) = entry {
                bytes += key.len() + value.len();
                chunk.push((key, value));
            }
            if chunk.len() >= CHUNK_ENTRIES || bytes >= CHUNK_BYTES || (entry.is_none() && !chunk.is_empty()) {
                self.put_chunk(tree, &chunk)?;
                total += chunk.len() as u64;
                chunk.clear();
                bytes = 0;
            }
            if entry.is_none() {
                self.check_open()?;
                if total > 0 {
                    self.settle()?;
                }
                return Ok(total);
            }
        }
    }

    /// Journals and applies entries in order; what comes before one that is refused is kept.
    fn put_chunk(&self, tree: TreeId, chunk: &[(&[u8], &[u8])]) -> Result<(), Error> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let done = self.put_some(tree, rest)?;
            rest = rest.get(done..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// The same, for as many of them as there is room for in memory. How many.
    fn put_some(&self, tree: TreeId, chunk: &[(&[u8], &[u8])]) -> Result<usize, Error> {
        let first = chunk.first().map_or(0, |(_, value)| value.len());
        let mut state = self.exclusive_with_room(first)?;
        self.check_writable()?;
        check_tree(&state, tree)?;
        let room = state.forest.table.budget().room();
        let frame_bytes = state.forest.frame_bytes();
        let mut taken = 0_usize;
        let fitting = chunk.iter().take_while(|(_, value)| {
            taken = taken.saturating_add(FRAMES_OF_PUT * frame_bytes + value.len());
            taken <= room
        });
        let chunk = chunk.get(..fitting.count().max(1)).unwrap_or(chunk);
        let refused = chunk
            .iter()
            .enumerate()
            .find_map(|(index, (key, value))| check_lengths(&state, key, value).err().map(|error| (index, error)));
        let accepted = chunk
            .get(..refused.as_ref().map_or(chunk.len(), |refused| refused.0))
            .unwrap_or(chunk);
        let ops: Vec<Op<'_>> = accepted
            .iter()
            .map(|(key, value)| Op::Put {
                tree: tree.0,
                key,
                value,
            })
            .collect();
        // As a single put does: what the journal has, memory must be able to take.
        if !state.forest.table.is_all_resident() {
            for (key, _) in accepted {
                state.forest.look_up(FullKey::new(tree.0, key).bytes())?;
            }
        }
        if !ops.is_empty() {
            self.append(state.sequence + 1, &ops)?;
        }
        for group in accepted.chunks(GROUP) {
            self.applied(state.put_group(tree, group))?;
        }
        match refused {
            Some((_, error)) => Err(error),
            None => Ok(chunk.len()),
        }
    }

    pub(crate) fn delete(&self, tree: TreeId, key: &[u8], condition: Condition) -> Result<bool, Error> {
        self.make_way_to_remove()?;
        if let Some(deleted) = self.uncrowded(|| self.delete_in_place(tree, key, condition))? {
            if deleted {
                self.settle()?;
            }
            return Ok(deleted);
        }
        let full = FullKey::new(tree.0, key);
        let mut state = self.exclusive_to_remove()?;
        self.check_writable()?;
        check_tree(&state, tree)?;
        let Some(known) = state.forest.look_up(full.bytes())? else {
            return Ok(false);
        };
        if !condition.holds(Some(known.version)) {
            return Ok(false);
        }
        self.append(state.sequence + 1, &[Op::Delete { tree: tree.0, key }])?;
        self.applied(state.remove(full.bytes(), known))?;
        drop(state);
        self.settle()?;
        Ok(true)
    }
}
