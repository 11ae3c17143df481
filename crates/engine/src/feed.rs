//! The feed of commits to those who watch: in commit order, without a gap, to each what it asked for.
//!
//! Owns who watches, and which commits were handed out. Writers hand over each commit after it was applied; several of them
//! may do so out of order, and what comes early waits for its turn. Each watcher has a bounded queue. One whose queue
//! overflows loses what was in it and is told where that began: it reads on in the journal, up to what the feed had handed out
//! when it joins again. So nothing is missed and nothing comes twice, and no writer ever waits for a watcher.
//!
//! Where nobody watches, a write costs one load here.
//!
//! Locks: the feed's, then a watcher's. Both are leaves: nothing else is taken under them, and no waker is called under the
//! watcher's.

#[cfg(all(test, loom))]
mod models;
mod watcher;

use std::{collections::BTreeMap, sync::Arc};

use coppice_journal::{Op, OwnedOp};
use coppice_sync::{AtomicBool, Mutex, Ordering};

pub(crate) use watcher::{Interest, Next, Part, Waker, Watcher, part_of};

/// One commit on its way to the watchers; nothing where it is nobody's concern.
type Commit = Option<Arc<OwnedOp>>;

/// Who watches an engine.
#[derive(Default)]
pub(crate) struct Feed {
    watched: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    watchers: Vec<Arc<Watcher>>,
    /// The last commit that was handed out, with all before it.
    released: u64,
    /// Commits behind that.
    staged: BTreeMap<u64, Commit>,
    closed: bool,
}

impl Feed {
    /// Whether anybody watches. Known for certain to who holds the structure, because watchers begin with it held alone.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Begins to hand commits out, those behind `sequence`. The caller holds the structure alone, and `sequence` is the last
    /// commit.
    pub(crate) fn join(&self, watcher: &Arc<Watcher>, sequence: u64) {
        let mut inner = self.inner.lock();
        if inner.watchers.is_empty() {
            inner.released = sequence;
            inner.staged.clear();
        }
        if inner.closed {
            watcher.close();
        }
        inner.watchers.push(Arc::clone(watcher));
        self.watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, watcher: &Arc<Watcher>) {
        let mut inner = self.inner.lock();
        inner.watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        if inner.watchers.is_empty() {
            self.watched.store(false, Ordering::Relaxed);
            inner.staged.clear();
        }
    }

    /// Lets a watcher that lost commits have those that come from now on; which was the last one before these.
    pub(crate) fn rejoin(&self, watcher: &Watcher) -> u64 {
        let inner = self.inner.lock();
        watcher.rejoin(inner.released);
        inner.released
    }

    /// Takes commits, the first of which has the number `first`. They are handed out by [`Feed::release`].
    #[inline]
    pub(crate) fn stage(&self, first: u64, ops: &[Op<'_>]) {
        if self.is_watched() {
            self.inner.lock().stage(first, ops);
        }
    }

    /// Hands out what was staged and has no gap before it.
    #[inline]
    pub(crate) fn release(&self) {
        if self.is_watched() {
            let woken = self.inner.lock().release();
            wake(woken);
        }
    }

    /// Takes a commit that was applied, and hands it out when its turn has come.
    #[inline]
    pub(crate) fn publish(&self, sequence: u64, op: &Op<'_>) {
        if self.is_watched() {
            self.publish_watched(sequence, op);
        }
    }

    #[cold]
    fn publish_watched(&self, sequence: u64, op: &Op<'_>) {
        let woken = {
            let mut inner = self.inner.lock();
            inner.stage(sequence, std::slice::from_ref(op));
            inner.release()
        };
        wake(woken);
    }

    /// Ends all watching, behind what was handed out.
    pub(crate) fn close(&self) {
        let woken = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            let watchers = inner.watchers.iter();
            watchers.filter_map(|watcher| watcher.close()).collect()
        };
        wake(woken);
    }
}

impl Inner {
    fn stage(&mut self, first: u64, ops: &[Op<'_>]) {
        for (sequence, op) in (first..).zip(ops) {
            let concerns = self.watchers.iter().any(|watcher| watcher.interest.includes(op));
            let commit = concerns.then(|| Arc::new(OwnedOp::from(op)));
            self.staged.insert(sequence, commit);
        }
    }

    /// Those who are to be woken.
    fn release(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(entry) = self.staged.first_entry()
            && *entry.key() == self.released + 1
        {
            let (sequence, commit) = entry.remove_entry();
            self.released = sequence;
            let Some(commit) = commit else { continue };
            let Some(op) = commit.op() else { continue };
            for watcher in &self.watchers {
                if watcher.interest.includes(&op) {
                    woken.extend(watcher.push(sequence, &commit));
                }
            }
        }
        woken
    }
}

fn wake(woken: Vec<Waker>) {
    for waker in woken {
        waker();
    }
}
