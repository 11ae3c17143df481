//! Every schedule of writers beside one who begins to watch, and who leaves, explored by loom. Feed and watcher are the real ones;
//! the structure's lock is held around them as the engine does.

use std::sync::Arc;

use coppice_journal::Op;
use coppice_sync::{AtomicU64, Ordering::Relaxed, RwLock, Step, is_left_out, leave_out};
use loom::{model::Builder, thread};

use super::*;
use crate::TreeId;

const WRITES: u64 = 2;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

struct Engine {
    structure: RwLock<()>,
    sequence: AtomicU64,
    feed: Feed,
}

impl Engine {
    /// As `Engine::put_in_place`.
    fn put(&self) {
        let _still = self.structure.read();
        let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
        let key = sequence.to_le_bytes();
        let put = Op::Put {
            tree: 1,
            key: &key,
            value: b"",
        };
        self.feed.publish(sequence, &put);
    }

    /// As `Engine::watch`. The last commit before.
    fn watch(&self, watcher: &Arc<Watcher>) -> u64 {
        let _alone = (!is_left_out(Step::WatchAlone)).then(|| self.structure.write());
        let last = self.sequence.load(Relaxed);
        self.feed.join(watcher, last);
        last
    }
}

fn watcher() -> Arc<Watcher> {
    let interest = Interest {
        tree: TreeId(1),
        prefix: Box::default(),
    };
    Arc::new(Watcher::new(interest, None, 1 << 20))
}

fn told(watcher: &Watcher) -> Vec<u64> {
    match watcher.next(usize::MAX) {
        Next::Commits(commits) => commits.into_iter().map(|(sequence, _)| sequence).collect(),
        _ => Vec::new(),
    }
}

/// Who begins to watch beside two writers is told every commit from then on.
fn watch_beside_writes() {
    let engine = Arc::new(Engine {
        structure: RwLock::new(()),
        sequence: AtomicU64::new(0),
        feed: Feed::default(),
    });
    let writers: Vec<_> = (0..WRITES)
        .map(|_| {
            let engine = Arc::clone(&engine);
            thread::spawn(move || engine.put())
        })
        .collect();
    let watcher = watcher();
    let last = engine.watch(&watcher);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let expected: Vec<u64> = (last + 1..=WRITES).collect();
    assert_eq!(told(&watcher), expected, "commits were missed");
    engine.feed.leave(&watcher);
    assert!(!engine.feed.is_watched());
}

#[test]
fn models_of_a_watch_that_begins_beside_writes() {
    explore(watch_beside_writes);
}

#[test]
#[should_panic(expected = "commits were missed")]
fn models_see_a_watch_that_begins_too_early() {
    leave_out(Step::WatchAlone);
    explore(watch_beside_writes);
}
