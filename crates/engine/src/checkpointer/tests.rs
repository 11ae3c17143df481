//! The checkpoint thread over a target that counts, waits and fails on demand; over real files, see `over_files`.

mod counting_disk;
mod deletes;
mod failures;
mod groups;
mod over_files;
mod stopping;

use std::{
    collections::{BTreeMap, VecDeque},
    thread,
};

use coppice_store::{CommitReport, Epoch as StoreEpoch};
use parking_lot::{Condvar, Mutex};

use super::*;
use crate::{
    budget::CutBytes,
    buffer::Buffer,
    table::{BlobKind, Changed},
};

/// What a target was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Call {
    /// The cut, the last byte of each image, and the deletes.
    Commit(u64, Vec<(u32, u8)>, Vec<u32>),
    /// References beside the first: of the images, where there are any, and of blobs that stay as they are.
    Recount(Vec<(u32, u32)>, Vec<(u32, u32)>),
    Free(u32),
    SettleFrees,
    TrimJournal(u64),
}

#[derive(Default)]
struct Script {
    calls: Vec<Call>,
    /// Of coming commits: how each fails, if it does.
    commits: VecDeque<Option<ErrorCode>>,
    dies: bool,
    /// Deletes that fail.
    stuck: Vec<u32>,
    /// Deletes with nothing to free.
    unknown: Vec<u32>,
    settling_fails: bool,
    trimming_fails: bool,
    /// Commits that may not begin yet.
    closed: bool,
    /// Commits that have begun.
    begun: usize,
}

#[derive(Default)]
struct FakeTarget {
    script: Mutex<Script>,
    changed: Condvar,
}

impl FakeTarget {
    fn calls(&self) -> Vec<Call> {
        self.script.lock().calls.clone()
    }

    /// Lets no commit pass until [`FakeTarget::open_gate`].
    fn close_gate(&self) {
        self.script.lock().closed = true;
    }

    fn open_gate(&self) {
        self.script.lock().closed = false;
        self.changed.notify_all();
    }

    /// Waits until so many commits have begun.
    fn wait_for_commits(&self, count: usize) {
        let mut script = self.script.lock();
        while script.begun < count {
            self.changed.wait(&mut script);
        }
    }
}

fn error(code: ErrorCode) -> Error {
    Error::new(code, format!("the disk says {code:?}"))
}

impl Target for FakeTarget {
    fn commit(&self, epoch: &StoreEpoch<'_>) -> Result<CommitReport, Error> {
        let mut script = self.script.lock();
        script.begun += 1;
        self.changed.notify_all();
        while script.closed {
            self.changed.wait(&mut script);
        }
        let writes = epoch.writes.iter().map(|write| (write.id, write.bytes[0]));
        let call = Call::Commit(epoch.cut, writes.collect(), epoch.deletes.clone());
        script.calls.push(call);
        let images = epoch.writes.iter().map(|write| (write.id, write.further_references));
        let images: Vec<_> = images.filter(|image| image.1 > 0).collect();
        let mut recounts = epoch.recounts.clone();
        recounts.sort_unstable();
        if !images.is_empty() || !recounts.is_empty() {
            script.calls.push(Call::Recount(images, recounts));
        }
        assert!(!script.dies, "the thread dies, as the test wants it to");
        match script.commits.pop_front().flatten() {
            Some(code) => Err(error(code)),
            None => Ok(CommitReport {
                flushed: epoch.writes.len() as u64,
                bytes_written: 4096 * epoch.writes.len() as u64,
                syncs: 2,
            }),
        }
    }

    fn free(&self, blob: u32) -> Result<bool, Error> {
        let mut script = self.script.lock();
        script.calls.push(Call::Free(blob));
        if script.stuck.contains(&blob) {
            return Err(error(ErrorCode::Io));
        }
        Ok(!script.unknown.contains(&blob))
    }

    fn settle_frees(&self) -> Result<u64, Error> {
        let mut script = self.script.lock();
        script.calls.push(Call::SettleFrees);
        if script.settling_fails {
            return Err(error(ErrorCode::Io));
        }
        Ok(1)
    }

    fn trim_journal(&self, cut: u64) -> Result<(), Error> {
        let mut script = self.script.lock();
        script.calls.push(Call::TrimJournal(cut));
        if script.trimming_fails {
            return Err(error(ErrorCode::Io));
        }
        Ok(())
    }
}

/// Blobs with the bytes that they are made of, and deletes.
type Parts<'a> = (&'a [(u32, u8)], &'a [u32]);

const SETTINGS: Settings = Settings {
    queue_depth: 16,
    group_epochs: 64,
    window: Duration::ZERO,
};

/// A checkpoint thread, its target, and what it gave back.
struct Rig {
    checkpointer: Checkpointer,
    target: Arc<FakeTarget>,
    poison: Arc<OnceLock<Error>>,
    returned: Mutex<Vec<Cut>>,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        let target = Arc::new(FakeTarget::default());
        let poison = Arc::default();
        let theirs: Arc<dyn Target> = Arc::clone(&target) as _;
        Self {
            checkpointer: Checkpointer::new(theirs, settings, Arc::clone(&poison)),
            target,
            poison,
            returned: Mutex::default(),
        }
    }

    fn try_plan(&self, when_full: WhenFull, epoch: impl Fn() -> Epoch) -> Result<Option<Ticket>, Error> {
        self.checkpointer.plan(when_full, |returned| {
            self.returned.lock().extend(returned);
            Ok(epoch())
        })
    }

    fn plan(&self, version: u64, writes: &[(u32, u8)], deletes: &[u32]) -> Ticket {
        let planned = self.try_plan(WhenFull::GiveUp, || epoch(version, writes, deletes));
        planned.unwrap().expect("room")
    }

    /// Queues epochs of writes and deletes that will be one group, behind one of version 1 that does nothing.
    fn plan_together(&self, epochs: &[Parts<'_>]) -> Vec<Ticket> {
        self.target.close_gate();
        let first = self.plan(1, &[], &[]);
        self.target.wait_for_commits(1);
        let tickets = (epochs.iter().zip(2..))
            .map(|((writes, deletes), version)| self.plan(version, writes, deletes))
            .collect();
        // Whatever the script says is for those that come.
        self.target.script.lock().commits.push_front(None);
        self.target.open_gate();
        first.wait().unwrap();
        tickets
    }

    /// What the next planner is given to restore: blobs whose images were not made durable, and deletes.
    fn take_returned(&self) -> (BTreeMap<u32, u8>, Vec<u32>) {
        self.plan(1000, &[], &[]);
        let (mut images, mut deletes) = (BTreeMap::new(), Vec::new());
        for cut in std::mem::take(&mut *self.returned.lock()) {
            images.extend(
                cut.changed
                    .iter()
                    .map(|changed| (changed.blob, changed.buffer.bytes()[0])),
            );
            deletes.extend(cut.freed);
        }
        (images, deletes)
    }

    fn commits(&self) -> Vec<Call> {
        let mut calls = self.target.calls();
        calls.retain(|call| matches!(call, Call::Commit(..)));
        calls
    }
}

fn epoch(version: u64, writes: &[(u32, u8)], deletes: &[u32]) -> Epoch {
    let changed = writes.iter().map(|&(blob, byte)| Changed {
        blob,
        kind: BlobKind::Value,
        bytes: 8,
        words: (0, 8),
        further_references: 0,
        buffer: {
            let mut buffer = Buffer::zeroed(8);
            buffer.bytes_mut().fill(byte);
            buffer
        },
    });
    Epoch {
        cut: Cut {
            changed: Arc::new(changed.collect()),
            recounted: Vec::new(),
            freed: deletes.to_vec(),
            _counted: CutBytes::default(),
        },
        version,
        next_tree: 1,
        started: Instant::now(),
    }
}

fn codes(tickets: &[Ticket]) -> Vec<Option<ErrorCode>> {
    let outcome = |ticket: &Ticket| ticket.wait().err().map(|error| error.code());
    tickets.iter().map(outcome).collect()
}
