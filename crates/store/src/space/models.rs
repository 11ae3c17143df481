//! Every schedule of readers and commits over the places of one blob, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p coppice-store --lib models`.
//!
//! The space is the real one; map, locks and pages are as the store has them (store.rs, store/commit.rs). A page is a lock
//! that must be free whenever it is tried: it is held by who reads or writes the page.

use loom::{
    model::Builder,
    sync::{Arc, Mutex, RwLock},
    thread,
};

use super::Space;
use crate::{allocator::Allocator, extent::Extent};

const BLOB: u32 = 0;
/// More switches of threads at places where they need not be find nothing more, and take for ever.
const PREEMPTIONS: usize = 3;
const PAGES: usize = 6;

struct Store {
    map: RwLock<Extent>,
    space: Mutex<Space>,
    pages: Vec<RwLock<()>>,
}

impl Store {
    /// One blob, of one page, in a file of two.
    fn new() -> Arc<Self> {
        let place = Extent::new(1, 1).unwrap();
        let space = Space::new(Allocator::rebuild(1, 2, &mut [place]).unwrap());
        Arc::new(Self {
            map: RwLock::new(place),
            space: Mutex::new(space),
            pages: (0..PAGES).map(|_| RwLock::new(())).collect(),
        })
    }

    fn page(&self, place: Extent) -> &RwLock<()> {
        &self.pages[place.start() as usize]
    }

    /// As `Store::read`.
    fn read(&self) {
        let (place, era) = {
            let map = self.map.read().unwrap();
            (*map, self.space.lock().unwrap().enter())
        };
        let reading = self.page(place).try_read().expect("a page is written under its reader");
        thread::yield_now();
        drop(reading);
        self.space.lock().unwrap().leave(era);
    }

    /// As `Store::commit`.
    fn commit(&self) {
        let reserved = self.space.lock().unwrap().reserve(std::iter::once(1)).unwrap();
        let [place] = reserved[..] else {
            unreachable!("one was asked for")
        };
        assert_ne!(place, *self.map.read().unwrap(), "the only copy is written over");
        drop(
            self.page(place)
                .try_write()
                .expect("a page is written under its reader"),
        );
        let mut map = self.map.write().unwrap();
        let old = std::mem::replace(&mut *map, place);
        self.space.lock().unwrap().retire(vec![(BLOB, old)]);
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

#[test]
fn models_of_places_that_are_reused_beside_a_reader() {
    explore(|| {
        let store = Store::new();
        let committer = {
            let store = Arc::clone(&store);
            thread::spawn(move || (0..3).for_each(|_| store.commit()))
        };
        store.read();
        store.read();
        committer.join().unwrap();
        let mut space = store.space.lock().unwrap();
        space.reclaim();
        assert_eq!(
            space.retired_pages(),
            0,
            "nobody reads, and something waits for readers"
        );
    });
}

#[test]
fn models_of_places_that_are_reused_beside_two_readers() {
    explore(|| {
        let store = Store::new();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let store = Arc::clone(&store);
                thread::spawn(move || store.read())
            })
            .collect();
        (0..2).for_each(|_| store.commit());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let mut space = store.space.lock().unwrap();
        space.reclaim();
        assert_eq!(
            space.retired_pages(),
            0,
            "nobody reads, and something waits for readers"
        );
    });
}
