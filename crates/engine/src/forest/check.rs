//! Whether a forest's blobs fit together: what tests ask after each change, and the simulated disk's of each image.

use std::collections::BTreeMap;

use coppice_frame::{Frame, Kind, Met, Seek, Stored, Value, validate};

use super::{
    Cursor, Forest, ROOT,
    cursor::{Event, Span},
};
use crate::error::Error;

/// How many references lead to each blob.
type Led = BTreeMap<u32, u32>;

impl Forest<'_> {
    /// Every frame that can be reached is valid and not empty, and its keys are what the entries that lead there stand for; to
    /// each, and to each large value, lead as many references as are counted, of one trie frame from one place; there are no other
    /// blobs; and what is kept of the keys below is right. Reads in all that is not in memory.
    ///
    /// # Errors
    /// `Corrupt`, with the first thing that is not so; `Io`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (tries, led) = self.reachable()?;
        for blob in &tries {
            self.check_entries(*blob)?;
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
        self.check_references(&led)
    }

    /// The trie frames that can be reached, and what leads to every blob.
    fn reachable(&self) -> Result<(Vec<u32>, Led), Error> {
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
        Ok((tries, led))
    }

    fn check_frame(&self, blob: u32, frame: Frame<'_>) -> Result<(), Error> {
        validate(frame).map(|_| ()).map_err(|invalid| {
            self.lost(&format!(
                "frame {blob} is invalid near byte {}: {}",
                invalid.offset, invalid.what
            ))
        })
    }

    /// A trie frame leads to each frame from one place, and to all keys of its flat frames.
    fn check_entries(&self, blob: u32) -> Result<(), Error> {
        let trie = self.table.trie(blob)?;
        let mut below = Vec::new();
        trie.survey(&mut |met| {
            if let Met::Below { child, .. } = met {
                below.push(child);
            }
        });
        below.sort_unstable();
        if !below.is_sorted_by(|a, b| a < b) {
            return Err(self.lost(&format!("frame {blob} leads to one from two places")));
        }
        for (child, base) in trie.flat_frames() {
            for item in self.table.flat(child)?.items() {
                let key = [&base, item.key].concat();
                match trie.seek(&key) {
                    Seek::Below { crossing, depth } if crossing.child == child && depth == base.len() => {}
                    _ => return Err(self.lost(&format!("nothing leads to {key:?} in frame {child}"))),
                }
            }
        }
        Ok(())
    }

    /// As many references lead to each blob as are counted, and there are no others.
    fn check_references(&self, led: &Led) -> Result<(), Error> {
        for (blob, references) in led {
            if self.table.is_free(*blob) {
                return Err(self.lost(&format!(
                    "{references} references lead to blob {blob}, which does not exist"
                )));
            }
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

    /// Every sum that is kept is right, and no bound of keys' lengths too small: found out of each frame behind all that it leads
    /// to.
    fn check_sums(&self, mut pending: Vec<u32>) -> Result<(), Error> {
        let mut sums = BTreeMap::<u32, (u64, usize)>::new();
        while let Some(blob) = pending.last().copied() {
            let trie = self.table.trie(blob)?;
            let (mut keys, crossings) = trie.count_here(trie.root(), 0);
            let mut missing = Vec::new();
            for crossing in crossings {
                keys += match (crossing.kind, sums.get(&crossing.child)) {
                    (Kind::Flat, _) => self.check_flat_records(crossing.child)?,
                    (Kind::Trie, Some((below, _))) => *below,
                    (Kind::Trie, None) => {
                        missing.push(crossing.child);
                        0
                    }
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
            let (mut longest, crossings) = trie.longest_here(trie.root(), 0);
            for (depth, crossing) in crossings {
                let below = match crossing.kind {
                    Kind::Flat => {
                        let items = self.table.flat(crossing.child)?.items();
                        items.iter().map(|item| item.key.len()).max().unwrap_or(0)
                    }
                    Kind::Trie => sums.get(&crossing.child).map_or(0, |(_, longest)| *longest),
                };
                longest = longest.max(depth + below);
            }
            if self.table.subtree_longest(blob).is_some_and(|kept| kept < longest) {
                return Err(self.lost(&format!("frame {blob} has longer keys than was kept")));
            }
            sums.insert(blob, (keys, longest));
        }
        Ok(())
    }

    /// The records of a flat frame, which the table has to know.
    fn check_flat_records(&self, blob: u32) -> Result<u64, Error> {
        let records = self.table.flat(blob)?.records() as u64;
        if self.table.flat_records(blob)? != records {
            return Err(self.lost(&format!("the records of frame {blob} are counted wrong")));
        }
        Ok(records)
    }
}

/// Notes a reference to a blob; how many there are.
fn lead_to(led: &mut Led, blob: u32) -> u32 {
    let references = led.entry(blob).or_default();
    *references += 1;
    *references
}

fn lead_to_values<'r>(led: &mut Led, records: impl Iterator<Item = Stored<'r>>) {
    for stored in records {
        if let Value::Extent { blob, .. } = stored.value {
            lead_to(led, blob);
        }
    }
}
