//! Room in a full frame: rebuilt without its garbage, evened out with its neighbours, relieved of a part, or split into the
//! frame above.
//!
//! Every step leaves the tree whole; the insert that asked walks down again afterwards. A frame is rebuilt only if that
//! frees a worthwhile part of it, and at most once for one insert; else it becomes smaller, so the asking ends.

mod disentangle;
mod flat;
mod relay;
mod trie;

use coppice_frame::UNIT_BYTES;

pub(super) use relay::{Dealt, Demand, Hand, Relaid, Sides};

use super::{Forest, Level};
use crate::{
    error::{Error, ErrorCode},
    table::BlobKind,
};

/// What was done for one insert already, and is not done for it again: each could make room only to have it taken back.
#[derive(Default)]
pub(super) struct Tried {
    /// The frames that were rebuilt.
    compacted: Vec<u32>,
    /// Whether a full frame was evened out with a neighbour.
    evened: bool,
}

pub(super) fn stuck(what: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("no room could be made in a frame: {what}"))
}

impl Forest<'_> {
    /// Makes room in the last frame of `path`, or in one above it that has to take something up. `tried` is
    /// this insert's.
    pub(super) fn make_room(
        &mut self,
        key: &[u8],
        path: &[Level],
        units: usize,
        tried: &mut Tried,
    ) -> Result<(), Error> {
        let mut path = path;
        let mut need = units.saturating_mul(UNIT_BYTES);
        // Each turn goes one frame up, or ends.
        while let Some((level, above)) = path.split_last() {
            let full = match self.table.kind(level.blob) {
                Some(BlobKind::Flat) => self.relieve_flat(key, *level, above, need, tried)?,
                _ => self.relieve_trie(key, *level, above, need, tried)?,
            };
            match full {
                None => return Ok(()),
                Some(units) => need = units.saturating_mul(UNIT_BYTES),
            }
            path = above;
        }
        Err(stuck("the topmost frame is full"))
    }
}
