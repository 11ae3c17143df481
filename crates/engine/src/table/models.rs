//! Every schedule of readers without locks, a writer and eviction, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p coppice-engine --lib models`.
//!
//! Table, words, latches, count of moves and the walks over them are the real ones, and so are the frames that they lead to.
//! What loom does not see is what happens inside a frame: who changes a frame in place has all of it seen by everybody at once
//! here. Epochs are as crossbeam-epoch promises them (coppice_sync::epoch).
//!
//! Each model has twins that leave one step or order out, and must fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use coppice_sync::{Step, epoch, leave_out};
use loom::{model::Builder, thread};

use super::*;
use crate::forest::Forest;

const FRAME_BYTES: usize = 2048;
/// More switches of threads at places where they need not be find nothing more, and take for ever.
const PREEMPTIONS: usize = 3;
const KEY: &[u8] = b"key";
const OTHER: &[u8] = b"other";
/// Too long for a frame.
const LONG: usize = 1500;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn without(step: Step, model: impl Fn() + Send + Sync + 'static) {
    leave_out(step);
    explore(model);
}

/// What checkpoints have made durable.
#[derive(Default)]
struct Images(Mutex<BTreeMap<u32, Vec<u8>>>);

impl Source for Images {
    fn read(&self, blob: u32, into: &mut [u8]) -> Result<(), Error> {
        let images = self.0.lock().unwrap();
        let image = images.get(&blob).expect("a blob is read that was never made durable");
        into.copy_from_slice(&image[..into.len()]);
        Ok(())
    }

    fn place(&self, blob: u32) -> String {
        format!("blob {blob}")
    }
}

struct World {
    table: Table,
    images: Arc<Images>,
}

impl World {
    /// A forest with a record of this value, all of it durable.
    fn new(value: &[u8]) -> Arc<Self> {
        let images = Arc::<Images>::default();
        let budget = Budget::new((64 * FRAME_BYTES) as u64, FRAME_BYTES).unwrap();
        let world = Self {
            table: Table::new(FRAME_BYTES, budget, Some(Arc::<Images>::clone(&images))),
            images,
        };
        let mut forest = Forest::new(&world.table);
        forest.plant().unwrap();
        forest.look_up_and_put(KEY, 1, value);
        drop(forest);
        world.commit(world.table.cut());
        Arc::new(world)
    }

    /// As the checkpoint thread does.
    fn commit(&self, cut: Cut) {
        for changed in cut.changed.iter() {
            let image = changed.buffer.bytes().to_vec();
            self.images.0.lock().unwrap().insert(changed.blob, image);
        }
    }

    /// As `Engine::put` does for what needs the structure alone.
    fn put(&self, key: &[u8], version: u64, value: &[u8]) {
        let _alone = self.table.have_alone();
        Forest::new(&self.table).look_up_and_put(key, version, value);
    }

    /// As a planner does.
    fn cut(&self) -> Cut {
        let _alone = self.table.have_alone();
        self.table.cut()
    }

    /// As `Engine::get` does, up to where it would take a lock.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        for _ in 0..2 {
            let forest = Forest::new(&self.table);
            if let Some(found) = forest.get_unlocked(key) {
                return found.unwrap().map(|found| found.value.to_vec());
            }
        }
        let _still = self.table.keep_still();
        let forest = Forest::new(&self.table);
        forest.get(key).unwrap().map(|found| found.value.to_vec())
    }

    /// Evicts all that may be.
    fn evict(&self) {
        let guard = epoch::pin();
        self.table.evict_for(usize::MAX, &guard);
    }
}

fn in_thread(world: &Arc<World>, act: impl Fn(&World) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

/// A reader comes while the frame that it needs is evicted, and read again.
fn read_beside_eviction() {
    let world = World::new(b"1");
    let evicting = in_thread(&world, World::evict);
    assert_eq!(world.get(KEY).as_deref(), Some(&b"1"[..]));
    assert_eq!(world.get(KEY).as_deref(), Some(&b"1"[..]));
    evicting.join().unwrap();
}

#[test]
fn models_of_a_read_beside_eviction() {
    explore(read_beside_eviction);
}

#[test]
fn models_of_two_reads_beside_eviction() {
    explore(|| {
        let world = World::new(b"1");
        let evicting = in_thread(&world, World::evict);
        let reading = in_thread(&world, |world| assert!(world.get(KEY).is_some()));
        assert_eq!(world.get(KEY).as_deref(), Some(&b"1"[..]));
        evicting.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn models_see_memory_given_back_under_its_reader() {
    without(Step::AwaitReaders, read_beside_eviction);
}

#[test]
#[should_panic(expected = "given back")]
fn models_see_a_word_that_leads_to_evicted_memory() {
    without(Step::ClearWord, read_beside_eviction);
}

#[test]
#[should_panic(expected = "given back")]
fn models_see_a_use_noted_of_evicted_memory() {
    without(Step::CompareUse, read_beside_eviction);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn models_see_memory_published_too_early() {
    without(Step::PublishMemory, read_beside_eviction_twice);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn models_see_memory_found_too_early() {
    without(Step::FindMemory, read_beside_eviction_twice);
}

/// One reads in again what another finds.
fn read_beside_eviction_twice() {
    let world = World::new(b"1");
    world.evict();
    let reading = in_thread(&world, |world| assert!(world.get(KEY).is_some()));
    assert_eq!(world.get(KEY).as_deref(), Some(&b"1"[..]));
    reading.join().unwrap();
}

#[test]
fn models_of_memory_that_one_reads_in_and_another_finds() {
    explore(read_beside_eviction_twice);
}

/// A write copies what a checkpoint holds, which is made durable meanwhile, and all of it may be evicted.
fn read_beside_write_and_checkpoint() {
    let world = World::new(b"1");
    world.put(KEY, 2, b"2");
    let cut = world.cut();
    let writing = in_thread(&world, |world| {
        world.put(KEY, 3, b"3");
        world.evict();
    });
    let found = world.get(KEY).unwrap();
    assert!(found == b"2" || found == b"3", "{found:?}");
    world.commit(cut);
    writing.join().unwrap();
    world.evict();
    assert_eq!(world.get(KEY).as_deref(), Some(&b"3"[..]));
    world.commit(world.cut());
    world.evict();
    assert_eq!(world.get(KEY).as_deref(), Some(&b"3"[..]));
}

#[test]
fn models_of_a_read_beside_a_write_and_a_checkpoint() {
    explore(read_beside_write_and_checkpoint);
}

/// What a checkpoint has yet to write is evicted by somebody.
fn evict_beside_checkpoint() {
    let world = World::new(b"1");
    world.put(KEY, 2, b"2");
    let cut = world.cut();
    let evicting = in_thread(&world, World::evict);
    assert_eq!(world.get(KEY).as_deref(), Some(&b"2"[..]));
    world.commit(cut);
    evicting.join().unwrap();
    assert_eq!(world.get(KEY).as_deref(), Some(&b"2"[..]));
}

#[test]
fn models_of_eviction_beside_a_checkpoint() {
    explore(evict_beside_checkpoint);
}

#[test]
#[should_panic(expected = "assertion")]
fn models_see_what_a_checkpoint_holds_evicted() {
    without(Step::LeaveHeld, evict_beside_checkpoint);
}

/// A checkpoint writes out what a writer changes.
fn write_beside_checkpoint() {
    let world = World::new(b"1");
    world.put(KEY, 2, b"2");
    let cut = world.cut();
    let root = cut.changed.iter().find(|changed| changed.blob == 0).unwrap();
    let before = root.buffer.bytes().to_vec();
    let writing = in_thread(&world, |world| world.put(OTHER, 3, b"3"));
    assert!(world.get(KEY).is_some());
    writing.join().unwrap();
    assert!(root.buffer.bytes() == before, "what a cut holds was changed");
    drop(cut);
}

#[test]
fn models_of_a_write_beside_a_checkpoint() {
    explore(write_beside_checkpoint);
}

#[test]
#[should_panic(expected = "what a cut holds was changed")]
fn models_see_what_a_checkpoint_holds_changed() {
    without(Step::CopyHeld, write_beside_checkpoint);
}

/// The number of a large value's blob becomes another value's while somebody follows it.
fn read_beside_reuse_of_number() {
    let (mine, others) = (vec![1; LONG], vec![2; LONG]);
    let world = World::new(&mine);
    let writing = in_thread(&world, move |world| {
        world.put(KEY, 2, b"2");
        world.put(OTHER, 3, &others);
    });
    let found = world.get(KEY).unwrap();
    assert!(found == b"2" || found == mine, "another's value");
    writing.join().unwrap();
}

#[test]
fn models_of_a_read_beside_the_reuse_of_a_number() {
    explore(read_beside_reuse_of_number);
}

#[test]
#[should_panic(expected = "another's value")]
fn models_see_another_value_under_the_same_number() {
    without(Step::LookAgain, read_beside_reuse_of_number);
}

/// A record goes from one frame to another and back, as loom sees frames.
fn read_beside_moves() {
    use coppice_sync::{
        AtomicU64,
        Ordering::{Acquire, Release},
    };
    struct Frames {
        moves: moves::Moves,
        places: [AtomicU64; 2],
    }
    impl Frames {
        fn carry(&self, from: usize, to: usize) {
            self.moves.begin();
            self.places[from].store(0, Release);
            self.places[to].store(1, Release);
            self.moves.end();
        }
    }
    let frames = Arc::new(Frames {
        moves: moves::Moves::new(),
        places: [AtomicU64::new(1), AtomicU64::new(0)],
    });
    let moving = {
        let frames = Arc::clone(&frames);
        thread::spawn(move || {
            frames.carry(0, 1);
            frames.carry(1, 0);
        })
    };
    for _ in 0..2 {
        if let Some(noted) = frames.moves.note() {
            let found = [0, 1].map(|place: usize| frames.places[place].load(Acquire));
            if frames.moves.is_still(noted) {
                assert_eq!(found.iter().sum::<u64>(), 1, "a record is missed or met twice");
            }
        }
    }
    moving.join().unwrap();
}

#[test]
fn models_of_a_read_beside_moves() {
    explore(read_beside_moves);
}

#[test]
#[should_panic(expected = "a record is missed")]
fn models_see_a_move_that_was_not_counted() {
    without(Step::BeginMove, read_beside_moves);
}

#[test]
#[should_panic(expected = "a record is missed")]
fn models_see_a_move_that_ended_too_early() {
    without(Step::EndMove, read_beside_moves);
}

#[test]
#[should_panic(expected = "a record is missed")]
fn models_see_a_walk_without_a_second_look() {
    without(Step::LookAgain, read_beside_moves);
}
