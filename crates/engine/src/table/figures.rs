//! What the table knows of frames without a look at them: a flat frame's records and longest key, as the slot map keeps them,
//! and of what lies below a trie frame the count and the longest key, for as long as nothing changes there. These are kept in
//! memory alone.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use coppice_defect::{Defect, planted};
use coppice_frame::{FlatRef, Frame, NodePosition, TrieRef};

use super::{BlobKind, Entry, Table};
use crate::error::Error;

/// A subtree's count that must be made again.
pub(super) const STALE: u64 = u64::MAX;
/// Set in what stands for a count while it is made.
const COUNTING: u64 = 1 << 63;
/// The length of a subtree's longest key, where that must be found again.
pub(super) const STALE_LENGTH: u32 = u32::MAX;

/// Counts that are kept for the nodes of one frame.
const MAX_NODE_COUNTS: usize = 256;

/// Keys below nodes of a trie frame.
pub(super) struct NodeCounts {
    /// When these were made: see [`Table::begin_node_count`].
    mark: u64,
    counts: Vec<(NodePosition, u64)>,
}

/// What the slot map keeps of a flat frame in its two words for the engine: records in the lower half of the first, the
/// longest key in the upper; live bytes in the second, and in its highest bit whether there may be extents.
const LONGEST_SHIFT: u32 = 16;
pub(crate) const RECORDS_MASK: u32 = (1 << LONGEST_SHIFT) - 1;
pub(super) const EXTENTS_BIT: u32 = 1 << 31;

/// What the slot map keeps of a blob for the engine: of a trie frame its own records and its live bytes; of a flat frame
/// these and what is packed beside them; of a value, which has no frame to look at, its length.
pub(crate) fn words_of(kind: BlobKind, frame: Frame<'_>, bytes: u32) -> (u32, u32) {
    match kind {
        BlobKind::Trie => {
            let trie = TrieRef::new(frame);
            (trie.records() as u32, trie.live_bytes() as u32)
        }
        BlobKind::Flat => {
            let flat = FlatRef::new(frame);
            let extents = if flat.may_have_extents() { EXTENTS_BIT } else { 0 };
            (
                flat.records() as u32 | (flat.longest_key() as u32) << LONGEST_SHIFT,
                flat.live_bytes() as u32 | extents,
            )
        }
        BlobKind::Value => (0, bytes),
    }
}

impl Table {
    /// What is known of a flat frame without reading it.
    fn ask_flat<R>(&self, blob: u32, question: impl FnOnce((u32, u32)) -> R) -> Result<R, Error> {
        let known = match self.ask_source(blob) {
            Some((kind, _, words)) => Some((kind, words)),
            None => self.ask(blob, |entry| (entry.kind, entry.words())),
        };
        known
            .filter(|(kind, _)| *kind == BlobKind::Flat)
            .map(|(_, words)| question(words))
            .ok_or_else(|| self.corrupt(blob, "is referred to but is no flat frame"))
    }

    /// Records of a flat frame, without reading it, and without a look at its header where none came or went since the last
    /// time: a count asks hundreds of frames, whose headers would be a cache miss each.
    pub(crate) fn flat_records(&self, blob: u32) -> Result<u64, Error> {
        if let Some(records) = self.subtree_keys(blob) {
            return Ok(records);
        }
        let mark = self.begin_count(blob);
        let records = self.ask_flat(blob, |(word, _)| u64::from(word & RECORDS_MASK))?;
        self.end_count(blob, mark, records);
        Ok(records)
    }

    /// No key of a flat frame, relative to its base, is longer: without reading it.
    pub(crate) fn flat_longest(&self, blob: u32) -> Result<usize, Error> {
        self.ask_flat(blob, |(word, _)| (word >> LONGEST_SHIFT) as usize)
    }

    /// Whether records of a flat frame may have values in extents: without reading it.
    pub(crate) fn flat_may_have_extents(&self, blob: u32) -> Result<bool, Error> {
        self.ask_flat(blob, |(_, word)| word & EXTENTS_BIT != 0)
    }

    /// Live bytes of a frame, without reading it.
    pub(crate) fn live_bytes(&self, blob: u32) -> usize {
        self.ask(blob, Entry::live_bytes).unwrap_or_default() as usize
    }

    /// Keys below a trie frame, or in a flat one, if they were counted since the last change there.
    pub(crate) fn subtree_keys(&self, blob: u32) -> Option<u64> {
        let keys = self.slots.get(blob as usize)?.subtree_keys.load(Relaxed);
        (keys & COUNTING == 0).then_some(keys)
    }

    /// The keys below or in a frame are about to be counted: to be given to [`Table::end_count`].
    pub(crate) fn begin_count(&self, blob: u32) -> u64 {
        let mark = COUNTING | self.counts.fetch_add(1, Relaxed) & !COUNTING;
        if let Some(slot) = self.slots.get(blob as usize) {
            slot.subtree_keys
                .store(if mark == STALE { COUNTING } else { mark }, SeqCst);
        }
        mark
    }

    /// Keeps a count, unless something below changed since it was begun.
    pub(crate) fn end_count(&self, blob: u32, mark: u64, keys: u64) {
        if let Some(slot) = self.slots.get(blob as usize) {
            let _ = slot.subtree_keys.compare_exchange(mark, keys, Relaxed, Relaxed);
        }
    }

    /// Keys below a node of a trie frame, if they were counted since the last change below that.
    pub(crate) fn node_keys(&self, blob: u32, node: NodePosition) -> Option<u64> {
        let slot = self.slots.get(blob as usize)?;
        let kept = slot.node_counts.try_lock()?;
        let kept = kept
            .as_ref()
            .filter(|kept| kept.mark == slot.nodes_mark.load(Relaxed))?;
        let found = kept.counts.iter().find(|known| known.0 == node)?;
        Some(found.1)
    }

    /// The keys below a node of a trie frame are about to be counted: to be given to [`Table::end_node_count`].
    pub(crate) fn begin_node_count(&self, blob: u32) -> u64 {
        let mark = self.counts.fetch_add(1, Relaxed) & !COUNTING;
        let Some(slot) = self.slots.get(blob as usize) else {
            return mark;
        };
        // What was counted before stays, where nothing changed.
        match slot.nodes_mark.compare_exchange(STALE, mark, SeqCst, SeqCst) {
            Ok(_) => mark,
            Err(mark) => mark,
        }
    }

    /// Keeps a count, which means nothing once something below has changed since it was begun.
    pub(crate) fn end_node_count(&self, blob: u32, mark: u64, node: NodePosition, keys: u64) {
        let Some(slot) = self.slots.get(blob as usize) else {
            return;
        };
        let Some(mut kept) = slot.node_counts.try_lock() else {
            return;
        };
        if mark != slot.nodes_mark.load(Relaxed) {
            return;
        }
        let kept = kept.get_or_insert_with(|| {
            Box::new(NodeCounts {
                mark,
                counts: Vec::new(),
            })
        });
        if kept.mark != mark || kept.counts.len() >= MAX_NODE_COUNTS {
            kept.counts.clear();
            kept.mark = mark;
        }
        kept.counts.push((node, keys));
    }

    /// After a change below a trie frame.
    pub(crate) fn mark_count_stale(&self, blob: u32) {
        if planted(Defect::KeepsOldCounts) {
            return;
        }
        let Some(slot) = self.slots.get(blob as usize) else {
            return;
        };
        if slot.subtree_keys.load(SeqCst) != STALE {
            slot.subtree_keys.store(STALE, Relaxed);
        }
        if slot.nodes_mark.load(SeqCst) != STALE {
            slot.nodes_mark.store(STALE, Relaxed);
        }
        if slot.subtree_longest.load(Relaxed) != STALE_LENGTH {
            slot.subtree_longest.store(STALE_LENGTH, Relaxed);
        }
    }

    /// No key below a trie frame, relative to its base, is longer; if that was found since the last change below it.
    pub(crate) fn subtree_longest(&self, blob: u32) -> Option<usize> {
        let length = self.slots.get(blob as usize)?.subtree_longest.load(Relaxed);
        (length != STALE_LENGTH).then_some(length as usize)
    }

    /// Keeps that bound. The caller keeps all writers out.
    pub(crate) fn set_subtree_longest(&self, blob: u32, length: usize) {
        if let Some(slot) = self.slots.get(blob as usize) {
            slot.subtree_longest.store(length as u32, Relaxed);
        }
    }
}
