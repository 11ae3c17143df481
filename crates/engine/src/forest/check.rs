//! Whether a forest's blobs fit together: what the simulated disk's tests ask of each image.

use std::collections::{BTreeMap, BTreeSet};

use coppice_frame::{Frame, Kind, Value, validate};

use super::{
    Cursor, Forest, ROOT,
    cursor::{Event, Span},
};
use crate::error::Error;

impl Forest<'_> {
    /// Every frame that can be reached is valid, not empty, and reached once; so is every large value; there are no other
    /// blobs; and every sum that is kept is right. Reads in all that is not in memory.
    ///
    /// # Errors
    /// `Corrupt`, with the first thing that is not so; `Io`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::from([ROOT]);
        let mut pending = vec![ROOT];
        let mut tries = Vec::new();
        while let Some(blob) = pending.pop() {
            tries.push(blob);
            let trie = self.table.trie(blob)?;
            self.check_frame(blob, trie.frame())?;
            if blob != ROOT && trie.is_empty() {
                return Err(self.lost(&format!("trie frame {blob} is empty")));
            }
            for crossing in trie.crossings() {
                let child = crossing.child;
                if !seen.insert(child) {
                    return Err(self.lost(&format!("frame {child} is reached twice")));
                }
                match crossing.kind {
                    Kind::Trie => pending.push(child),
                    Kind::Flat => {
                        let flat = self.table.flat(child)?;
                        self.check_frame(child, flat.frame())?;
                        if flat.records() == 0 {
                            return Err(self.lost(&format!("flat frame {child} is empty")));
                        }
                    }
                }
            }
        }
        self.check_sums(&tries)?;
        let everything = Span {
            from: &[],
            to: None,
            reverse: false,
        };
        let mut cursor = Cursor::new(self, everything, None)?;
        while let Some(event) = cursor.next()? {
            if let Event::Record(stored) = event
                && let Value::Extent { blob, .. } = stored.value
            {
                self.resolve(stored)?;
                if !seen.insert(blob) {
                    return Err(self.lost(&format!("blob {blob} is referred to twice")));
                }
            }
        }
        let leaked = (0..self.table.len() as u32).find(|blob| !self.table.is_free(*blob) && !seen.contains(blob));
        match leaked {
            Some(blob) => Err(self.lost(&format!("nothing leads to blob {blob}"))),
            None => Ok(()),
        }
    }

    fn check_frame(&self, blob: u32, frame: Frame<'_>) -> Result<(), Error> {
        validate(frame).map(|_| ()).map_err(|invalid| {
            self.lost(&format!(
                "frame {blob} is invalid near byte {}: {}",
                invalid.offset, invalid.what
            ))
        })
    }

    /// `tries` has each frame behind the one that leads to it, so sums are made from the back.
    fn check_sums(&self, tries: &[u32]) -> Result<(), Error> {
        let mut sums = BTreeMap::new();
        for blob in tries.iter().rev() {
            let trie = self.table.trie(*blob)?;
            let (mut keys, crossings) = trie.count_here(trie.root(), 0);
            for crossing in crossings {
                keys += match crossing.kind {
                    Kind::Flat => self.table.flat(crossing.child)?.records() as u64,
                    Kind::Trie => sums.get(&crossing.child).copied().unwrap_or_default(),
                };
            }
            if self.table.subtree_keys(*blob).is_some_and(|kept| kept != keys) {
                return Err(self.lost(&format!("the sum of frame {blob} is wrong")));
            }
            sums.insert(*blob, keys);
        }
        Ok(())
    }
}
