//! Watching a tree: what a caller sees of the engine's feed.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use coppice_journal::{History, Op, OwnedOp};
use parking_lot::Mutex;

use crate::{
    core::Engine,
    error::{Error, ErrorCode},
    feed::{Next, Part, Watcher, part_of},
};

/// Bytes of the journal that are read at a time.
const READ_BYTES: u64 = 1 << 20;

/// One change to a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A record was put, or came to this key by a rename.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// A record was deleted, or left this key by a rename.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Every key that started with one prefix has another in its place. Either may lie outside of what is watched, or
    /// contain it.
    MovePrefix {
        /// What the keys started with.
        from: &'a [u8],
        /// What they start with now.
        to: &'a [u8],
    },
    /// Every key that starts with one prefix has a second record, as it is, whose key has another in its place: that is where
    /// keys came to be. It may lie outside of what is watched, or contain it; so may the first.
    ClonePrefix {
        /// What the keys start with.
        from: &'a [u8],
        /// What those of the second records start with.
        to: &'a [u8],
    },
    /// Every key that started with a prefix was deleted. It may contain what is watched.
    DeletePrefix {
        /// The prefix.
        prefix: &'a [u8],
    },
}

/// How a [`Watch::take`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There may be more.
    More,
    /// There is nothing more so far: [`Watch::wake_with`] tells when there is.
    Nothing,
    /// What comes next must be read from the disk: [`Watch::read_journal`] does.
    Journal,
    /// The database was closed, and all before that was taken.
    Closed,
}

/// The changes to a tree under a prefix, in commit order. Ends when it is dropped. It keeps no database open.
pub struct Watch {
    engine: Weak<Engine>,
    watcher: Arc<Watcher>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    history: Option<History>,
    /// Commits from the journal that were not taken yet.
    read: VecDeque<(u64, Arc<OwnedOp>)>,
    /// Why there is nothing more to come.
    failure: Option<Error>,
}

impl Watch {
    pub(crate) fn new(engine: Weak<Engine>, watcher: Arc<Watcher>) -> Self {
        Self {
            engine,
            watcher,
            inner: Mutex::default(),
        }
    }

    /// Visits changes with their versions, whole commits, about `most_bytes` of them, and takes them. Waits for nothing.
    ///
    /// # Errors
    /// `TreeDropped` behind the last change before that. What [`Watch::read_journal`] failed with, again.
    pub fn take(&self, most_bytes: usize, visit: &mut dyn FnMut(u64, Change<'_>)) -> Result<Taken, Error> {
        let mut inner = self.inner.lock();
        if let Some(failure) = &inner.failure {
            return Err(failure.clone());
        }
        let mut commits = VecDeque::new();
        let mut bytes = 0;
        while bytes < most_bytes
            && let Some((sequence, commit)) = inner.read.pop_front()
        {
            bytes += commit.bytes();
            commits.push_back((sequence, commit));
        }
        let taken = if commits.is_empty() {
            match self.watcher.next(most_bytes) {
                Next::Commits(queued) => {
                    commits = queued;
                    Taken::More
                }
                Next::Journal(..) => Taken::Journal,
                Next::Nothing => Taken::Nothing,
                Next::Closed => Taken::Closed,
            }
        } else {
            Taken::More
        };
        let mut any = false;
        for (sequence, commit) in &commits {
            let Some(op) = commit.op() else { continue };
            let mut dropped = None;
            let mut look = |op: &Op<'_>| match part_of(&self.watcher.interest, op) {
                Some(Part::Change(change)) => {
                    any = true;
                    visit(*sequence, change);
                }
                Some(Part::Dropped(name)) => dropped = Some(String::from_utf8_lossy(name).into_owned()),
                None => {}
            };
            match op {
                Op::Batch(batch) => batch.ops().for_each(|op| look(&op)),
                single => look(&single),
            }
            if let Some(name) = dropped {
                let failure = Error::new(ErrorCode::TreeDropped, format!("the tree '{name}' was dropped"));
                inner.failure = Some(failure.clone());
                return if any { Ok(Taken::More) } else { Err(failure) };
            }
        }
        Ok(taken)
    }

    /// Reads from the journal what [`Watch::take`] said comes next, a piece of it. Waits for the disk, so not to be called
    /// where that is not allowed.
    ///
    /// # Errors
    /// `FellBehind` where the journal does not hold that any more; `Closed`; `Corrupt`, `Io`. There is nothing to come then.
    pub fn read_journal(&self) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        let read = self.read_piece(&mut inner);
        if let Err(error) = &read {
            inner.failure = Some(error.clone());
        }
        read
    }

    fn read_piece(&self, inner: &mut Inner) -> Result<(), Error> {
        let Next::Journal(after, upto) = self.watcher.next(0) else {
            return Ok(());
        };
        let engine = self.engine.upgrade().filter(|_| !self.watcher.is_closed());
        let engine = engine.ok_or_else(|| Error::new(ErrorCode::Closed, "the database is closed"))?;
        let upto = upto.unwrap_or_else(|| engine.feed().rejoin(&self.watcher));
        let mut history = match inner.history.take() {
            Some(history) if history.position() == after => history,
            _ => engine.history(after)?,
        };
        engine.read_on(&mut history, upto, READ_BYTES, &mut |sequence, op| {
            if self.watcher.interest.includes(&op) {
                inner.read.push_back((sequence, Arc::new(OwnedOp::from(&op))));
            }
        })?;
        self.watcher.read_upto(history.position());
        inner.history = Some(history);
        Ok(())
    }

    /// Calls `waker` once, from any thread, when there is something to take, which may be now. A later call replaces it.
    pub fn wake_with(&self, waker: impl FnOnce() + Send + 'static) {
        self.watcher.wake_with(Box::new(waker));
    }

    /// Ends it behind what waits in memory, as a close of the database does.
    pub fn close(&self) {
        if let Some(waker) = self.watcher.close() {
            waker();
        }
    }

    /// Forgets the waker that was given last.
    pub fn forget_waker(&self) {
        self.watcher.forget_waker();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.feed().leave(&self.watcher);
        }
    }
}
