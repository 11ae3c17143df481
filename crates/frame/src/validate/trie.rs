//! The check of a trie frame.

use super::{Checked, Invalid, Units, check_record, ensure};
use crate::{
    Crossing, Kind, UNIT_BYTES,
    bytes::{Frame, u16_at},
    max_key_bytes,
    node::{Entries, NodeRef, Ref},
    record::RecordRef,
    trie::{GARBAGE_AT, HEADER_UNITS, RECORDS_AT, ROOT_AT, TrieRef},
};

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
        passed: Vec::new(),
        crossings: Vec::new(),
        runs: Runs::default(),
    };
    let root = trie.node(trie.root_ref()).ok_or(Invalid {
        what: "a trie frame without a root",
        offset: ROOT_AT,
    })?;
    ensure(root.prefix_len() == 0, "a root with a prefix", ROOT_AT)?;
    walk.enter(trie.root_ref(), root)?;
    walk.all_below()?;
    ensure(
        walk.records == usize::from(u16_at(frame, RECORDS_AT)),
        "a wrong count of records",
        RECORDS_AT,
    )?;
    ensure(
        walk.runs.are_whole(),
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

/// A node on the way to what is looked at.
struct Passing<'a> {
    /// What it leads to that was not looked at yet.
    entries: Entries<'a>,
    /// Bytes that lead to it, its prefix included.
    depth: usize,
    /// How many crossings the nodes above have.
    crossings: usize,
    /// Where the last of its entries led, if across.
    across: Ref,
}

/// A walk over all that the root leads to, depth first, in key order.
struct Walk<'a> {
    frame: Frame<'a>,
    trie: TrieRef<'a>,
    units: Units,
    records: usize,
    /// The bytes that lead to what is looked at.
    path: Vec<u8>,
    passed: Vec<Passing<'a>>,
    /// The crossings of the nodes that are passed, each node's once.
    crossings: Vec<Ref>,
    runs: Runs,
}

impl<'a> Walk<'a> {
    /// Checks a node and its own value; what its entries lead to comes next.
    fn enter(&mut self, reference: Ref, node: NodeRef<'a>) -> Checked {
        let at = reference.offset();
        let nodes = HEADER_UNITS..self.trie.head();
        self.units.claim(at / UNIT_BYTES, node.units(), nodes)?;
        ensure(node.is_well_formed(), "a node with entries out of order", at)?;
        self.path.extend_from_slice(node.prefix());
        let depth = self.path.len();
        ensure(depth <= max_key_bytes(self.frame.len()), "a path over the limit", at)?;
        if !node.value().is_none() {
            self.record(node.value(), true)?;
        }
        self.passed.push(Passing {
            entries: node.entries(),
            depth,
            crossings: self.crossings.len(),
            across: Ref::NONE,
        });
        Ok(())
    }

    fn all_below(&mut self) -> Checked {
        while let Some(passing) = self.passed.last_mut() {
            let Some((byte, reference)) = passing.entries.next() else {
                self.crossings.truncate(passing.crossings);
                self.passed.pop();
                continue;
            };
            let depth = passing.depth;
            if reference.is_crossing() {
                // Most lead where the one before does.
                if passing.across != reference {
                    passing.across = reference;
                    let own = passing.crossings;
                    self.cross(reference, depth, own)?;
                }
                continue;
            }
            passing.across = Ref::NONE;
            self.path.truncate(depth);
            self.path.push(byte);
            match self.trie.node(reference) {
                Some(node) => self.enter(reference, node)?,
                None => self.record(reference, false)?,
            }
        }
        Ok(())
    }

    /// Checks a crossing of a node to which `depth` bytes lead, and whose crossings are those from `own` on.
    fn cross(&mut self, reference: Ref, depth: usize, own: usize) -> Checked {
        let at = reference.offset();
        let crossing = self.trie.crossing(reference).ok_or_else(|| unknown(reference))?;
        if !self.crossings.get(own..).unwrap_or_default().contains(&reference) {
            self.crossings.push(reference);
            self.units.claim(at / UNIT_BYTES, 1, HEADER_UNITS..self.trie.head())?;
            let bounded = crossing.up == 0 || (crossing.up <= depth && crossing.kind == Kind::Flat);
            let zero = u16_at(self.frame, at + 6) == 0;
            ensure(bounded && zero, "a crossing of the wrong shape", at)?;
        }
        let base = self.path.get(..depth.saturating_sub(crossing.up));
        self.runs.go_on(crossing, base.unwrap_or_default());
        Ok(())
    }

    /// Checks the record that the path leads to; a node's value has no more of a key than the path.
    fn record(&mut self, reference: Ref, is_value: bool) -> Checked {
        let record: RecordRef<'a> = self.trie.record(reference).ok_or_else(|| unknown(reference))?;
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

fn unknown(reference: Ref) -> Invalid {
    Invalid {
        what: "a reference to nothing known",
        offset: reference.offset(),
    }
}

/// Whether the slots of each flat frame are neighbours, but for records between them, and agree on its base.
#[derive(Default)]
struct Runs {
    /// A flat frame for each run of slots that lead to one.
    flats: Vec<u32>,
    /// The base of the last slot that leads across, where it leads to the last of them.
    base: Vec<u8>,
    is_flat: bool,
}

impl Runs {
    /// Takes in the next slot that leads across.
    fn go_on(&mut self, crossing: Crossing, base: &[u8]) {
        if crossing.kind != Kind::Flat {
            self.is_flat = false;
        } else if !(self.is_flat && self.flats.last() == Some(&crossing.child) && self.base == base) {
            self.flats.push(crossing.child);
            self.base.clear();
            self.base.extend_from_slice(base);
            self.is_flat = true;
        }
    }

    fn are_whole(mut self) -> bool {
        self.flats.sort_unstable();
        self.flats.is_sorted_by(|a, b| a < b)
    }
}
