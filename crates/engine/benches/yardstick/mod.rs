//! What times are held against, and how they are taken.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::{hint::black_box, ops::ControlFlow, time::Instant};

use coppice_engine::{After, Database, ListItem, ListRequest, TreeId};
use fastrand::Rng;

/// What one of `operations` takes of the time that `run` takes for all of them.
pub(crate) fn each_nanoseconds(operations: usize, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64 / operations as f64
}

/// Lists a folder, with what is in folders below it rolled up. How many items.
pub(crate) fn list_folder(database: &Database, tree: TreeId, prefix: &[u8], limit: usize) -> usize {
    let request = ListRequest {
        prefix,
        delimiter: b"/",
        after: None,
        resume: After::Start,
        limit,
    };
    let mut seen = 0;
    let listed = database.list(tree, &request, &mut |_: ListItem<'_>| {
        seen += 1;
        ControlFlow::Continue(())
    });
    listed.unwrap();
    seen
}

/// Keys one behind the other in the order in which they are asked for, so that fetching one costs no miss of its own.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for key in keys {
            bytes.extend_from_slice(key);
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Dependent loads over this many bytes, on huge pages where the system has them, as the frames are.
pub(crate) fn chase_nanoseconds(bytes: usize, random: &mut Rng) -> f64 {
    let slots = (bytes / 64).max(1024);
    let mut order: Vec<u32> = (0..slots as u32).collect();
    random.shuffle(&mut order);
    let mut memory = memmap2::MmapMut::map_anon(slots * 64 + (2 << 20)).unwrap();
    #[cfg(target_os = "linux")]
    memory.advise(memmap2::Advice::HugePage).unwrap();
    let skip = memory.as_ptr().align_offset(2 << 20);
    let (lines, _) = memory[skip..].as_chunks_mut::<64>();
    let mut put = |at: u32, to: u32| lines[at as usize][..4].copy_from_slice(&to.to_le_bytes());
    for pair in order.windows(2) {
        put(pair[0], pair[1]);
    }
    put(order[slots - 1], order[0]);
    let steps = 2_000_000;
    let started = Instant::now();
    let mut at = 0u32;
    for _ in 0..steps {
        at = u32::from_le_bytes(*lines[at as usize].first_chunk().unwrap());
    }
    black_box(at);
    started.elapsed().as_nanos() as f64 / f64::from(steps)
}
