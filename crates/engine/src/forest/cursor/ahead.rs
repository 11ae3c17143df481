//! Reading ahead: a walk that has come from one flat frame to the next has those behind it read in before it gets there,
//! where they are not in memory. More of them each time, so that a walk that ends soon has few read in vain.

use coppice_frame::{Kind, Step};

use super::Cursor;

/// How many frames a walk looks ahead at first.
const FIRST_AHEAD: usize = 2;
/// Entries that are looked at for each frame that is wanted.
const ENTRIES_PER_FRAME: usize = 4;

/// How far a walk has looked ahead.
#[derive(Default)]
pub(super) struct Ahead {
    /// Whether it has been in a flat frame since it last skipped any.
    under_way: bool,
    /// How many frames it looked ahead the last time, and how many of these are left.
    looked: usize,
    left: usize,
}

impl Ahead {
    /// After frames were passed over: those that were looked at may have been.
    pub(super) fn begin_again(&mut self) {
        *self = Self::default();
    }
}

impl Cursor<'_> {
    /// Before a flat frame is entered, by entries that the last level has passed.
    pub(super) fn look_ahead(&mut self, entered: u32) {
        let most = self.forest.table.most_ahead();
        if most == 0 || !std::mem::replace(&mut self.ahead.under_way, true) {
            return;
        }
        self.ahead.left = self.ahead.left.saturating_sub(1);
        if 2 * self.ahead.left > self.ahead.looked {
            return;
        }
        let wanted = (2 * self.ahead.looked).max(FIRST_AHEAD).min(most);
        let next = self.frames_ahead(wanted);
        (self.ahead.looked, self.ahead.left) = (wanted, next.len());
        self.forest.table.read_ahead(entered, &next);
    }

    /// The next so many frames of the walk, or fewer. Frames below other trie frames are not looked for.
    fn frames_ahead(&self, wanted: usize) -> Vec<u32> {
        let mut frames: Vec<u32> = Vec::with_capacity(wanted);
        let mut entries = wanted * ENTRIES_PER_FRAME;
        let levels = self.levels.iter();
        // Nodes that the walk is in, and is to come to: what is left of each, and whether it ends where the span does.
        let mut pending: Vec<_> = levels
            .map(|level| {
                let ends = if self.span.reverse { level.on_from } else { level.on_to };
                (level.trie, level.node, level.low, level.high, level.depth, ends)
            })
            .collect();
        while let Some((trie, node, low, high, depth, ends)) = pending.last_mut() {
            entries = entries.saturating_sub(1);
            if frames.len() == wanted || entries == 0 {
                break;
            }
            let next = if self.span.reverse {
                trie.last_child(*node, *high, *depth)
                    .filter(|(byte, _)| usize::from(*byte) >= *low)
            } else {
                trie.next_child(*node, *low, *depth)
                    .filter(|(byte, _)| usize::from(*byte) < *high)
            };
            let Some((byte, step)) = next else {
                pending.pop();
                continue;
            };
            let byte = usize::from(byte);
            let is_last = *ends
                && if self.span.reverse {
                    byte == *low
                } else {
                    byte + 1 == *high
                };
            if self.span.reverse {
                *high = byte;
            } else {
                *low = byte + 1;
            }
            match step {
                Step::Record { .. } => {}
                // How much of it lies in the span is not known.
                Step::Node(_) if is_last => break,
                Step::Node(below) => {
                    let below = (*trie, below, 0, 256, *depth + 1 + trie.prefix(below).len(), false);
                    pending.push(below);
                }
                Step::Cross(crossing) => {
                    if frames.last() != Some(&crossing.child) {
                        frames.push(crossing.child);
                    }
                    if crossing.kind == Kind::Trie {
                        break;
                    }
                }
            }
        }
        frames
    }
}
