//! Writes that several threads make at once: each to a record of a flat frame, which it has latched. What needs more than
//! that takes the structure alone, in `write.rs`.
//!
//! The order of commits is that of the journal. A writer joins it while it has its frame latched, so that changes to one
//! key are replayed in the order in which they were made.

use coppice_journal::Op;

use super::{Engine, read::FullKey, read::check_tree, write::check_lengths};
use crate::{
    error::Error,
    request::{Condition, TreeId},
};

impl Engine {
    /// A put to a flat frame with room. None: nothing was done, and more is needed.
    pub(super) fn put_in_place(
        &self,
        tree: TreeId,
        key: &[u8],
        value: &[u8],
        condition: Condition,
    ) -> Result<Option<Option<u64>>, Error> {
        let full = FullKey::new(tree.0, key);
        let shared = self.shared();
        self.check_writable()?;
        check_tree(&shared, tree)?;
        check_lengths(&shared, key, value)?;
        if !shared.forest.is_inline(value.len()) {
            return Ok(None);
        }
        let Some(mut place) = shared.forest.latch_place(full.bytes())? else {
            return Ok(None);
        };
        let (spot, known) = place.probe();
        if !condition.holds(known.map(|known| known.version)) {
            return Ok(Some(None));
        }
        let Some(reserved) = place.reserve(spot, value)? else {
            return Ok(None);
        };
        let put = Op::Put {
            tree: tree.0,
            key,
            value,
        };
        let version = self.append_in_order(&put)?;
        let applied = self.applied(place.put(reserved, version, value, known.and_then(|known| known.extent)));
        self.feed().publish(version, &put);
        applied.map(|()| Some(Some(version)))
    }

    /// A delete from a flat frame that stays filled. None: nothing was done, and more is needed.
    pub(super) fn delete_in_place(
        &self,
        tree: TreeId,
        key: &[u8],
        condition: Condition,
    ) -> Result<Option<bool>, Error> {
        let full = FullKey::new(tree.0, key);
        let shared = self.shared();
        self.check_writable()?;
        check_tree(&shared, tree)?;
        let Some(mut place) = shared.forest.latch_place(full.bytes())? else {
            return Ok(None);
        };
        let (_, Some(known)) = place.probe() else {
            return Ok(Some(false));
        };
        if !condition.holds(Some(known.version)) {
            return Ok(Some(false));
        }
        if !place.stays_filled() {
            return Ok(None);
        }
        let delete = Op::Delete { tree: tree.0, key };
        let version = self.append_in_order(&delete)?;
        let applied = self.applied(place.remove(known));
        self.feed().publish(version, &delete);
        applied.map(|()| Some(true))
    }
}
