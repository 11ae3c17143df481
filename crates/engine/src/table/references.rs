//! How many references lead to a blob: entries of trie frames to a frame, each frame that leads there counted once, and
//! records to a value.
//!
//! A clone leads to the frames and values of what it was made of. Who is to write to such a frame makes one of its own
//! first; who lets go of one counts down, and frees it only where nobody else leads there. What is kept is how many there are
//! beside the first: none, as a rule. A count that has come to the most that the slot map can state stays there, and its blob
//! is never freed.
//!
//! Counts go up only while one writer has the structure alone, and what holds it shared finds them as they are but for values'
//! counts, which writers in place take down.

use std::sync::atomic::Ordering::Relaxed;

use coppice_defect::{Defect, planted};
use coppice_store::MAX_FURTHER_REFERENCES;

use super::{Entry, Table};

impl Table {
    /// Whether more than one thing leads to a blob.
    #[inline]
    pub(crate) fn is_shared(&self, blob: u32) -> bool {
        self.shared.load(Relaxed) > 0 && self.further_references(blob) > 0
    }

    /// Whether this is so of any blob.
    pub(crate) fn shares_any(&self) -> bool {
        self.shared.load(Relaxed) > 0
    }

    /// How many references lead to a blob beside the first.
    pub(crate) fn further_references(&self, blob: u32) -> u32 {
        let slot = self.slots.get(blob as usize);
        slot.map_or(0, |slot| slot.further_references.load(Relaxed))
    }

    /// Notes that one reference more leads to a blob. The caller keeps all writers out.
    pub(crate) fn refer(&self, blob: u32) {
        self.recount(blob, |count| Some((count + 1).min(MAX_FURTHER_REFERENCES)));
    }

    /// Notes that one reference fewer leads to a blob. False, with nothing noted, where it was the only one: the blob is to be
    /// freed.
    pub(super) fn stop_referring(&self, blob: u32) -> bool {
        self.recount(blob, |count| match count {
            MAX_FURTHER_REFERENCES => Some(count),
            _ => count.checked_sub(1),
        })
    }

    fn recount(&self, blob: u32, change: impl FnOnce(u32) -> Option<u32>) -> bool {
        let Some(mut latch) = self.latch(blob) else {
            return false;
        };
        let (Some(entry), Some(slot)) = (latch.as_mut(), self.slots.get(blob as usize)) else {
            return false;
        };
        let before = slot.further_references.load(Relaxed);
        let Some(count) = change(before) else {
            return false;
        };
        self.set_further_references(blob, count);
        if count != before {
            self.note_recount(blob, entry);
        }
        true
    }

    /// Sets the count of a blob whose entry is latched, or that nobody knows yet.
    pub(super) fn set_further_references(&self, blob: u32, count: u32) {
        let Some(slot) = self.slots.get(blob as usize) else {
            return;
        };
        match (slot.further_references.swap(count, Relaxed), count) {
            (0, 0) => {}
            (0, _) => {
                self.shared.fetch_add(1, Relaxed);
            }
            (_, 0) => {
                self.shared.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
    }

    /// Has the next cut state the count of a blob whose entry is latched.
    pub(super) fn note_recount(&self, blob: u32, entry: &mut Entry) {
        if !std::mem::replace(&mut entry.recounted, true) && !planted(Defect::ForgetsReferences) {
            self.numbers.lock().recounted.push(blob);
        }
    }
}
