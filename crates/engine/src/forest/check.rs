//! Whether a forest's blobs fit together: what the simulated disk's tests ask of each image.

use std::collections::BTreeMap;

use coppice_frame::{Frame, Kind, Stored, Value, validate};

use super::{
    Cursor, Forest, ROOT,
    cursor::{Event, Span},
};
use crate::error::Error;

impl Forest<'_> {
    /// Every frame that can be reached is valid and not empty; to each, and to each large value, lead as many references as are
    /// counted; there are no other blobs; and every sum that is kept is right. Reads in all that is not in memory.
    ///
    /// # Errors
    /// `Corrupt`, with the first thing that is not so; `Io`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut led = BTreeMap::from([(ROOT, 1)]);
        let mut pending = vec![ROOT];
        let mut tries = Vec::new();
        while let Some(blob) = pending.pop() {
            tries.push(blob);
            let trie = self.table.trie(blob)?;
            self.check_frame(blob, trie.frame())?;
            if blob != ROOT && trie.is_empty() {
                return Err(self.lost(&format!("trie frame {blob} is empty")));
            }
            let records = trie.items();
            lead_to_values(&mut led, records.iter().map(|(_, stored)| *stored));
            for crossing in trie.crossings() {
                let child = crossing.child;
                if lead_to(&mut led, child) > 1 {
                    continue;
                }
                match crossing.kind {
                    Kind::Trie => pending.push(child),
                    Kind::Flat => {
                        let flat = self.table.flat(child)?;
                        self.check_frame(child, flat.frame())?;
                        if flat.records() == 0 {
                            return Err(self.lost(&format!("flat frame {child} is empty")));
                        }
                        lead_to_values(&mut led, flat.items().iter().map(|item| item.stored));
                    }
                }
            }
        }
        self.check_sums(tries)?;
        let everything = Span {
            from: &[],
            to: None,
            reverse: false,
        };
        let mut cursor = Cursor::new(self, everything, None)?;
        while let Some(event) = cursor.next()? {
            if let Event::Record(stored) = event {
                self.resolve(stored)?;
            }
        }
        for (blob, references) in &led {
            let further = self.table.further_references(*blob);
            if *references != further + 1 {
                let what = format!("{references} references lead to blob {blob}, not {further} beside the first");
                return Err(self.lost(&what));
            }
        }
        let leaked = (0..self.table.len() as u32).find(|blob| !self.table.is_free(*blob) && !led.contains_key(blob));
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

    /// Frames are summed behind all that they lead to.
    fn check_sums(&self, mut pending: Vec<u32>) -> Result<(), Error> {
        let mut sums = BTreeMap::new();
        while let Some(blob) = pending.last().copied() {
            let trie = self.table.trie(blob)?;
            let (mut keys, crossings) = trie.count_here(trie.root(), 0);
            let mut missing = Vec::new();
            for crossing in crossings {
                keys += match crossing.kind {
                    Kind::Flat => self.table.flat(crossing.child)?.records() as u64,
                    Kind::Trie => sums.get(&crossing.child).copied().unwrap_or_else(|| {
                        missing.push(crossing.child);
                        0
                    }),
                };
            }
            if !missing.is_empty() {
                pending.extend(missing);
                if pending.len() > self.table.len() * 256 {
                    return Err(self.lost("frames lead to one another in a ring"));
                }
                continue;
            }
            pending.pop();
            if self.table.subtree_keys(blob).is_some_and(|kept| kept != keys) {
                return Err(self.lost(&format!("the sum of frame {blob} is wrong")));
            }
            sums.insert(blob, keys);
        }
        Ok(())
    }
}

/// Notes a reference to a blob; how many there are.
fn lead_to(led: &mut BTreeMap<u32, u32>, blob: u32) -> u32 {
    let references = led.entry(blob).or_default();
    *references += 1;
    *references
}

fn lead_to_values<'r>(led: &mut BTreeMap<u32, u32>, records: impl Iterator<Item = Stored<'r>>) {
    for stored in records {
        if let Value::Extent { blob, .. } = stored.value {
            lead_to(led, blob);
        }
    }
}
