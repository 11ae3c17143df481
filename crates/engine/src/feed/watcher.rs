//! One watcher: what it asked for, and what waits for it.

use std::{collections::VecDeque, mem, sync::Arc};

use coppice_journal::{Op, OwnedOp};
use parking_lot::Mutex;

use crate::request::TreeId;

/// What a commit takes up besides its bytes.
const COMMIT_BYTES: usize = 64;

/// Called once, when there is something for a watcher.
pub(crate) type Waker = Box<dyn FnOnce() + Send>;

/// A tree's keys that begin with a prefix.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) tree: TreeId,
    pub(crate) prefix: Box<[u8]>,
}

/// One change of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// One that the watcher is told.
    Change(crate::watch::Change<'a>),
    /// The tree of this name is gone.
    Dropped(&'a [u8]),
}

/// What comes next for a watcher.
#[derive(Debug)]
pub(crate) enum Next {
    /// These commits.
    Commits(VecDeque<(u64, Arc<OwnedOp>)>),
    /// What is in the journal behind the first of these commits, up to the second. `None` for the second: what the feed has
    /// handed out by the time that the watcher joins it again.
    Journal(u64, Option<u64>),
    /// Nothing, so far.
    Nothing,
    /// Nothing any more: the database was closed.
    Closed,
}

pub(crate) struct Watcher {
    pub(crate) interest: Interest,
    /// Bytes of commits that may wait; one commit always may.
    queue_bytes: usize,
    state: Mutex<State>,
}

struct State {
    /// Commits in the journal that come before those in the queue: those behind the first, up to the second.
    missed: Option<(u64, Option<u64>)>,
    queue: VecDeque<(u64, Arc<OwnedOp>)>,
    bytes: usize,
    waker: Option<Waker>,
    closed: bool,
}

impl Interest {
    fn has(&self, tree: u32, key: &[u8]) -> bool {
        self.tree.0 == tree && key.starts_with(&self.prefix)
    }

    /// Whether a key that begins with `prefix` can be of interest.
    fn meets(&self, tree: u32, prefix: &[u8]) -> bool {
        self.tree.0 == tree && (prefix.starts_with(&self.prefix) || self.prefix.starts_with(prefix))
    }

    /// Whether an operation changes anything of interest.
    pub(crate) fn includes(&self, op: &Op<'_>) -> bool {
        match op {
            Op::Batch(batch) => batch.ops().any(|op| part_of(self, &op).is_some()),
            single => part_of(self, single).is_some(),
        }
    }
}

/// What an operation, which is no batch, changes of what is of interest.
pub(crate) fn part_of<'a>(interest: &Interest, op: &Op<'a>) -> Option<Part<'a>> {
    use crate::watch::Change;
    let change = match *op {
        Op::Put { tree, key, value } if interest.has(tree, key) => Change::Put { key, value },
        Op::Delete { tree, key } if interest.has(tree, key) => Change::Delete { key },
        Op::MovePrefix { tree, from, to } if interest.meets(tree, from) || interest.meets(tree, to) => {
            Change::MovePrefix { from, to }
        }
        Op::ClonePrefix { tree, from, to } if interest.meets(tree, to) => Change::ClonePrefix { from, to },
        Op::DeletePrefix { tree, prefix } if interest.meets(tree, prefix) => Change::DeletePrefix { prefix },
        Op::DropTree { tree, name } if tree == interest.tree.0 => return Some(Part::Dropped(name)),
        _ => return None,
    };
    Some(Part::Change(change))
}

impl Watcher {
    /// One that is told what comes from now on, and before that what the journal has of `missed`: the commits behind the
    /// first, up to the second.
    pub(crate) fn new(interest: Interest, missed: Option<(u64, u64)>, queue_bytes: usize) -> Self {
        Self {
            interest,
            queue_bytes,
            state: Mutex::new(State {
                missed: missed.map(|(after, upto)| (after, Some(upto))),
                queue: VecDeque::new(),
                bytes: 0,
                waker: None,
                closed: false,
            }),
        }
    }

    /// Adds a commit. Who is to be woken for that.
    pub(super) fn push(&self, sequence: u64, commit: &Arc<OwnedOp>) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.closed || matches!(state.missed, Some((_, None))) {
            return None;
        }
        let bytes = commit.bytes() + COMMIT_BYTES;
        if state.bytes + bytes > self.queue_bytes
            && let Some((first, _)) = state.queue.front()
        {
            let after = state.missed.map_or(first - 1, |(after, _)| after);
            state.missed = Some((after, None));
            state.queue = VecDeque::new();
            state.bytes = 0;
        } else {
            state.bytes += bytes;
            state.queue.push_back((sequence, Arc::clone(commit)));
        }
        state.waker.take()
    }

    /// What comes next; commits are taken out, about so many bytes of them.
    pub(crate) fn next(&self, most_bytes: usize) -> Next {
        let mut state = self.state.lock();
        if let Some((after, upto)) = state.missed {
            return Next::Journal(after, upto);
        }
        let (mut count, mut bytes) = (0, 0);
        for (_, commit) in &state.queue {
            if bytes >= most_bytes {
                break;
            }
            bytes += commit.bytes() + COMMIT_BYTES;
            count += 1;
        }
        if count > 0 {
            let rest = state.queue.split_off(count);
            state.bytes -= bytes;
            return Next::Commits(mem::replace(&mut state.queue, rest));
        }
        match state.closed {
            true => Next::Closed,
            false => Next::Nothing,
        }
    }

    /// Calls `waker` when there is something to come next, which may be now.
    pub(crate) fn wake_with(&self, waker: Waker) {
        let now = {
            let mut state = self.state.lock();
            match state.missed.is_none() && state.queue.is_empty() && !state.closed {
                // Who waited before has given up.
                true => {
                    state.waker = Some(waker);
                    None
                }
                false => Some(waker),
            }
        };
        if let Some(waker) = now {
            waker();
        }
    }

    /// Wakes nobody any more.
    pub(crate) fn forget_waker(&self) {
        let _forgotten = self.state.lock().waker.take();
    }

    /// The commits up to this one come from the journal, and later ones are pushed again.
    pub(super) fn rejoin(&self, released: u64) {
        let mut state = self.state.lock();
        if let Some((_, upto @ None)) = &mut state.missed {
            *upto = Some(released);
        }
    }

    /// All that the journal has up to `position` was told.
    pub(crate) fn read_upto(&self, position: u64) {
        let mut state = self.state.lock();
        if let Some((after, upto)) = &mut state.missed {
            *after = position;
            if *upto == Some(position) {
                state.missed = None;
            }
        }
    }

    /// Whether nothing more will be pushed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Nothing more will be pushed. Who is to be woken for that.
    pub(crate) fn close(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.closed = true;
        state.waker.take()
    }
}
