//! What the walk of a verification knows of a frame before it looks into it: everything that leads there.

use coppice_frame::Kind;
use coppice_store::BlobId;

use crate::core::TREE_BYTES;

/// The first bytes of a path from the forest's root: which tree it leads into.
pub(super) type Start = Vec<u8>;

/// What keys of a frame may begin with, ascending; none is the beginning of another.
pub(super) type Leads = Vec<Vec<u8>>;

/// A frame that something leads to.
pub(super) struct Below {
    pub(super) blob: BlobId,
    pub(super) kind: Kind,
    pub(super) ways: Vec<Way>,
    pub(super) leads: Leads,
    /// The frame that leads to it.
    pub(super) from: BlobId,
}

/// Paths to a frame that begin alike.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) start: Start,
    /// Length of the longest, up to the frame's base.
    pub(super) base: usize,
    /// How many they are.
    pub(super) paths: u64,
}

/// A frame, and all that leads to it: once it is looked into, everything above it has been.
pub(super) struct Visit {
    pub(super) blob: BlobId,
    pub(super) kind: Kind,
    pub(super) ways: Vec<Way>,
    /// As many as differ.
    pub(super) leads: Vec<Leads>,
}

impl Way {
    /// How these paths begin if they go on with `path` behind the frame's base.
    pub(super) fn start_with(&self, path: &[u8]) -> Start {
        let more = TREE_BYTES - self.start.len().min(TREE_BYTES);
        let mut start = self.start.clone();
        start.extend(path.iter().take(more));
        start
    }
}

impl Visit {
    pub(super) fn of(below: Below) -> Self {
        Self {
            blob: below.blob,
            kind: below.kind,
            ways: below.ways,
            leads: vec![below.leads],
        }
    }

    pub(super) fn add(&mut self, below: Below) {
        for way in below.ways {
            match self.ways.iter_mut().find(|known| known.start == way.start) {
                Some(known) => {
                    known.base = known.base.max(way.base);
                    known.paths = known.paths.saturating_add(way.paths);
                }
                None => self.ways.push(way),
            }
        }
        if !self.leads.contains(&below.leads) {
            self.leads.push(below.leads);
        }
    }
}
