//! The check of a trie frame.

use super::{Checked, Invalid, Units, check_record, ensure};
use crate::{
    UNIT_BYTES,
    bytes::{Frame, u16_at},
    max_key_bytes,
    node::{NodeRef, Ref, Tag},
    record::RecordRef,
    trie::{GARBAGE_AT, HEADER_UNITS, RECORDS_AT, ROOT_AT, TrieRef},
};

/// What a reference is that was not looked at yet, and what leads to it.
struct Pending {
    reference: Ref,
    /// Bytes that lead to the node which has the reference, its prefix included.
    depth: usize,
    /// The byte of the node's entry; None for the node's own value.
    byte: Option<u8>,
}

pub(super) fn validate(frame: Frame<'_>) -> Checked {
    let trie = TrieRef::new(frame);
    let end = frame.len() / UNIT_BYTES;
    let (head, tail) = (trie.head(), trie.tail());
    ensure(
        HEADER_UNITS <= head && head <= tail && tail <= end,
        "areas of a trie frame that overlap",
        4,
    )?;
    let mut walk = Walk {
        frame,
        trie,
        units: Units::new(frame),
        records: 0,
        path: Vec::new(),
        pending: Vec::new(),
    };
    let root = trie.node(trie.root_ref()).ok_or(Invalid {
        what: "a trie frame without a root",
        offset: ROOT_AT,
    })?;
    ensure(root.prefix_len() == 0, "a root with a prefix", ROOT_AT)?;
    walk.node(trie.root_ref(), root)?;
    while let Some(Pending { reference, depth, byte }) = walk.pending.pop() {
        walk.path.truncate(depth);
        walk.path.extend(byte);
        if let Some(node) = trie.node(reference).filter(|_| byte.is_some()) {
            walk.node(reference, node)?;
        } else if let Some(record) = trie.record(reference) {
            walk.record(reference, record, byte.is_none())?;
        } else {
            return Err(Invalid {
                what: "a reference to nothing known",
                offset: reference.offset(),
            });
        }
    }
    ensure(
        walk.records == usize::from(u16_at(frame, RECORDS_AT)),
        "a wrong count of records",
        RECORDS_AT,
    )?;
    ensure(
        trie.flat_frames_hold_runs(),
        "a flat frame whose keys are no run of neighbours",
        ROOT_AT,
    )?;
    let live = HEADER_UNITS + walk.units.claimed;
    ensure(
        live + usize::from(u16_at(frame, GARBAGE_AT)) + (tail - head) == end,
        "a wrong count of garbage",
        GARBAGE_AT,
    )
}

/// A walk over all that the root leads to, depth first.
struct Walk<'a> {
    frame: Frame<'a>,
    trie: TrieRef<'a>,
    units: Units,
    records: usize,
    /// The bytes that lead to what is looked at.
    path: Vec<u8>,
    pending: Vec<Pending>,
}

impl<'a> Walk<'a> {
    /// Checks a node and its crossings, and notes what else it leads to.
    fn node(&mut self, reference: Ref, node: NodeRef<'a>) -> Checked {
        let at = reference.offset();
        let nodes = HEADER_UNITS..self.trie.head();
        self.units.claim(at / UNIT_BYTES, node.units(), nodes.clone())?;
        ensure(node.is_well_formed(), "a node with entries out of order", at)?;
        self.path.extend_from_slice(node.prefix());
        let depth = self.path.len();
        ensure(depth <= max_key_bytes(self.frame.len()), "a path over the limit", at)?;
        if !node.value().is_none() {
            self.pending.push(Pending {
                reference: node.value(),
                depth,
                byte: None,
            });
        }
        let mut crossings: Vec<Ref> = Vec::new();
        for (byte, entry) in node.entries() {
            if !entry.is_crossing() {
                self.pending.push(Pending {
                    reference: entry,
                    depth,
                    byte: Some(byte),
                });
            } else if !crossings.contains(&entry) {
                crossings.push(entry);
                self.units.claim(entry.offset() / UNIT_BYTES, 1, nodes.clone())?;
                let up = usize::from(u16_at(self.frame, entry.offset() + 4));
                let bounded = up == 0 || (up <= depth && entry.tag() == Some(Tag::Flat));
                let zero = u16_at(self.frame, entry.offset() + 6) == 0;
                ensure(bounded && zero, "a crossing of the wrong shape", entry.offset())?;
            }
        }
        Ok(())
    }

    /// Checks the record that the path leads to; a node's value has no more of a key than the path.
    fn record(&mut self, reference: Ref, record: RecordRef<'a>, is_value: bool) -> Checked {
        let at = reference.offset();
        let stored = usize::from(record.link());
        check_record(self.frame, record, stored, at)?;
        let end = self.frame.len() / UNIT_BYTES;
        self.units
            .claim(at / UNIT_BYTES, record.trie_units(), self.trie.tail()..end)?;
        let rest = record.key_len().checked_sub(self.path.len());
        let repeated = rest.and_then(|rest| stored.checked_sub(rest)).ok_or(Invalid {
            what: "a record that stores too little of its key",
            offset: at,
        })?;
        ensure(!is_value || rest == Some(0), "a value with a key of its own", at)?;
        let agrees = record
            .suffix(stored)
            .get(..repeated)
            .is_some_and(|bytes| self.path.ends_with(bytes));
        ensure(agrees, "a record that belongs elsewhere", at)?;
        self.records += 1;
        Ok(())
    }
}
