//! What the journal's operations do to the state: the same when they are made and when they are replayed.

use coppice_defect::{Defect, planted};
use coppice_journal::Op;

use super::{CATALOG, State, TREE_BYTES, read::FullKey};
use crate::{
    error::{Error, ErrorCode},
    forest::{Known, Place},
    options::MAX_VALUE_BYTES,
    request::TreeId,
};

impl State<'_> {
    pub(super) fn put(&mut self, full: &[u8], value: &[u8], known: Option<Known>) -> Result<u64, Error> {
        self.sequence += 1;
        self.forest
            .put(full, self.sequence, value, known.and_then(|known| known.extent))?;
        Ok(self.sequence)
    }

    pub(super) fn look_up_and_put(&mut self, full: &[u8], value: &[u8]) -> Result<u64, Error> {
        self.forest.table.repin();
        // As a rule one walk does.
        if self.forest.is_inline(value.len())
            && let Some(place) = self.forest.latch_place(full)?
            && Self::put_in_place(place, self.sequence + 1, value)?
        {
            self.sequence += 1;
            return Ok(self.sequence);
        }
        self.put_anywhere(full, value)
    }

    /// Puts up to [`GROUP`] entries in order.
    pub(super) fn put_group(&mut self, tree: TreeId, entries: &[(&[u8], &[u8])]) -> Result<(), Error> {
        // Neighbours mostly go where the one before went: there is nothing to wait for.
        if entries.is_sorted_by(|(key, _), (next, _)| key < next) {
            for (key, value) in entries {
                self.look_up_and_put(FullKey::new(tree.0, key).bytes(), value)?;
            }
            return Ok(());
        }
        let keys: Vec<FullKey> = entries.iter().map(|(key, _)| FullKey::new(tree.0, key)).collect();
        let mut left = keys.iter().zip(entries);
        // Again behind each put that changes more than its flat frame.
        while left.len() > 0 {
            self.forest.table.repin();
            let ways = self.forest.ways(left.clone().map(|(full, _)| full.bytes()))?;
            for ((full, (_, value)), way) in left.by_ref().zip(ways) {
                if let Some(way) = way
                    && self.forest.is_inline(value.len())
                    && Self::put_in_place(self.forest.latch(way)?, self.sequence + 1, value)?
                {
                    self.sequence += 1;
                } else {
                    self.put_anywhere(full.bytes(), value)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether the place has room for the value, which is put there then.
    fn put_in_place(mut place: Place<'_, '_>, version: u64, value: &[u8]) -> Result<bool, Error> {
        let (spot, known) = place.probe();
        let Some(reserved) = place.reserve(spot, value)? else {
            return Ok(false);
        };
        place.put(reserved, version, value, known.and_then(|known| known.extent))?;
        Ok(true)
    }

    /// Puts where more than a flat frame may change.
    fn put_anywhere(&mut self, full: &[u8], value: &[u8]) -> Result<u64, Error> {
        let known = self.forest.look_up(full)?;
        self.put(full, value, known)
    }

    pub(super) fn remove(&mut self, full: &[u8], known: Known) -> Result<(), Error> {
        self.sequence += 1;
        self.forest.remove(full, known.extent)
    }

    pub(super) fn create_tree(&mut self, tree: u32, name: &[u8]) -> Result<(), Error> {
        let full = FullKey::new(CATALOG, name);
        self.look_up_and_put(full.bytes(), &tree.to_le_bytes())?;
        self.next_tree = self.next_tree.max(tree + 1);
        Ok(())
    }

    /// Applies a record of the journal, whose sequence number is the next.
    pub(super) fn replay(&mut self, sequence: u64, op: &Op<'_>) -> Result<(), Error> {
        let wrong = |what: &str| Error::new(ErrorCode::Corrupt, format!("journal record {sequence}: {what}"));
        if sequence != self.sequence + 1 {
            return Err(wrong("is not the next"));
        }
        let fits = |key: &[u8]| key.len() + TREE_BYTES <= self.forest.max_full_key_bytes();
        match *op {
            Op::Put { tree, key, value } => {
                if !fits(key) || value.len() > MAX_VALUE_BYTES || tree == CATALOG || tree >= self.next_tree {
                    return Err(wrong("a put that was never made"));
                }
                self.look_up_and_put(FullKey::new(tree, key).bytes(), value).map(|_| ())
            }
            Op::Delete { tree, key } => {
                if tree == CATALOG || tree >= self.next_tree {
                    return Err(wrong("a delete that was never made"));
                }
                let full = FullKey::new(tree, key);
                let known = self
                    .forest
                    .look_up(full.bytes())?
                    .ok_or_else(|| wrong("a delete of a key that is not there"))?;
                self.remove(full.bytes(), known)
            }
            Op::CreateTree { tree, name } => {
                if tree != self.next_tree || !fits(name) {
                    return Err(wrong("a tree that was never created"));
                }
                self.create_tree(tree, name)
            }
            Op::DropTree { tree, name } => {
                if !self.replay_drop_tree(tree, name)? {
                    return Err(wrong("a tree that was never dropped"));
                }
                Ok(())
            }
            Op::MovePrefix { .. } | Op::DeletePrefix { .. } => {
                self.replay_together(sequence, std::iter::once(*op))?;
                self.sequence = sequence;
                Ok(())
            }
            Op::ClonePrefix { tree, from, to } => self.replay_clone(sequence, tree, from, to),
            Op::Batch(batch) => {
                if planted(Defect::ReplaysBatchTwice) {
                    self.replay_together(sequence, batch.ops())?;
                }
                match planted(Defect::ReplaysHalfBatch) {
                    true => self.replay_together(sequence, batch.ops().take(batch.ops().count() / 2))?,
                    false => self.replay_together(sequence, batch.ops())?,
                }
                self.sequence = sequence;
                Ok(())
            }
        }
    }
}
