//! Whether a key under a prefix is longer than some length, at a cost that does not grow with the number of keys.
//!
//! A flat frame keeps the length of the longest key written to it since it was built, and so does the slot map, for frames
//! that are not in memory. A trie frame's bound over all below it is kept in the table until something below changes.
//! These bounds are never too small; where one is too large to decide, the frames that it stands for are looked into.

use std::collections::HashMap;

use coppice_frame::{Crossing, Kind, TrieRef, Under};

use super::{Forest, MAX_FRAMES_ON_PATH, ROOT};
use crate::error::Error;

/// A frame, and how long its keys may be.
struct Doubt {
    crossing: Crossing,
    most: usize,
}

impl Forest<'_> {
    /// Whether a key that starts with `prefix` goes on for more than `bytes` behind it.
    pub(crate) fn has_longer(&mut self, prefix: &[u8], bytes: usize) -> Result<bool, Error> {
        let (mut blob, mut rest) = (ROOT, prefix);
        for _ in 0..MAX_FRAMES_ON_PATH {
            let trie = self.table.trie(blob)?;
            match trie.under(rest) {
                Under::Nothing => return Ok(false),
                Under::Record { suffix, .. } => return Ok(suffix.len() > bytes),
                Under::Node { node, lead } => {
                    let path = [rest, lead].concat();
                    let (here, mut crossings) = trie.longest_here(node, path.len());
                    let most = rest.len() + bytes;
                    let mut longer = here > most;
                    // What is shared with keys outside has keys that do not count.
                    for (base, crossing) in crossings.extract_if(.., |(base, _)| *base < path.len()) {
                        let items = self.table.flat(crossing.child)?.items();
                        let (under, _) = super::carve::records_under(&items, path.get(base..).unwrap_or(&[]));
                        longer |= under.iter().any(|item| base + item.key.len() > most);
                    }
                    return Ok(longer || self.any_longer(doubts(crossings, most))?);
                }
                Under::Below { crossing, depth } => {
                    rest = rest.get(depth..).unwrap_or(&[]);
                    if crossing.kind == Kind::Flat {
                        let items = self.table.flat(crossing.child)?.items();
                        let (under, _) = super::carve::records_under(&items, rest);
                        return Ok(under.iter().any(|item| item.key.len() > rest.len() + bytes));
                    }
                    blob = crossing.child;
                }
            }
        }
        Err(self.lost("a path has no end"))
    }

    fn any_longer(&mut self, mut pending: Vec<Doubt>) -> Result<bool, Error> {
        // How short the keys of a frame were found to be: several may lead there, and from other depths.
        let mut short = HashMap::new();
        while let Some(Doubt { crossing, most }) = pending.pop() {
            let child = crossing.child;
            if short.get(&child).is_some_and(|known| *known <= most) {
                continue;
            }
            short.insert(child, most);
            self.table.relieve()?;
            match crossing.kind {
                Kind::Flat if self.table.flat_longest(child)? <= most => {}
                Kind::Flat => {
                    let items = self.table.flat(child)?.items();
                    if items.iter().any(|item| item.key.len() > most) {
                        return Ok(true);
                    }
                }
                Kind::Trie if self.bound_below(child)? <= most => {}
                Kind::Trie => {
                    let trie = self.table.trie(child)?;
                    let (here, crossings) = trie.longest_here(trie.root(), 0);
                    if here > most {
                        return Ok(true);
                    }
                    pending.extend(doubts(crossings, most));
                }
            }
        }
        Ok(false)
    }

    /// A bound on the keys below a trie frame. Frames whose bounds are stale are visited deepest first.
    fn bound_below(&mut self, blob: u32) -> Result<usize, Error> {
        let mut pending = vec![blob];
        while let Some(&blob) = pending.last() {
            if pending.len() > self.table.len() * 256 {
                return Err(self.lost("frames lead to one another in a ring"));
            }
            if self.table.subtree_longest(blob).is_some() {
                pending.pop();
                continue;
            }
            self.table.relieve()?;
            let waiting = pending.len();
            let longest = self.longest_of(self.table.trie(blob)?, &mut pending)?;
            if pending.len() == waiting {
                self.table.set_subtree_longest(blob, longest);
                pending.pop();
            }
        }
        self.table
            .subtree_longest(blob)
            .ok_or_else(|| self.lost("a bound went stale while it was made"))
    }

    /// The same for one frame; those below whose bounds it needs first are left in `pending`.
    fn longest_of(&self, trie: TrieRef<'_>, pending: &mut Vec<u32>) -> Result<usize, Error> {
        let (mut longest, crossings) = trie.longest_here(trie.root(), 0);
        for (depth, crossing) in crossings {
            let below = match crossing.kind {
                Kind::Flat => Some(self.table.flat_longest(crossing.child)?),
                Kind::Trie => self.table.subtree_longest(crossing.child),
            };
            match below {
                Some(below) => longest = longest.max(depth + below),
                None => pending.push(crossing.child),
            }
        }
        Ok(longest)
    }
}

/// A frame that is `depth` bytes further down has that much less for its keys. One that is further down than all a key
/// may have holds some key, which is too long.
fn doubts(crossings: Vec<(usize, Crossing)>, most: usize) -> Vec<Doubt> {
    let below = |(depth, crossing)| Doubt {
        crossing,
        most: most.saturating_sub(depth),
    };
    crossings.into_iter().map(below).collect()
}
