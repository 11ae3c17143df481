//! A walk over records in key order, or against it, from frame to frame.
//!
//! A cursor walks a span of full keys. It carries the span's ends down the tree: as long as the path to a node is the
//! beginning of an end, the node's entries are cut off there; whatever leaves that path lies inside the span as a whole,
//! and is not compared any more.

mod ahead;
mod read;
mod rollup;
mod visits;

use std::ops::ControlFlow;

use coppice_frame::{Crossing, FlatRest, Kind, NodePosition, Step, Stored, TrieRef};

use self::{
    ahead::Ahead,
    visits::{Entries, Visits},
};
pub(crate) use self::{read::Stopped, rollup::Rollup};
use super::{Forest, ROOT};
use crate::{error::Error, request::SplitKey};

/// What a cursor comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A record; its key is [`Cursor::key`].
    Record(Stored<'a>),
    /// Keys that all start with the first so many bytes of [`Cursor::key`]: there is at least one that was not visited. The
    /// walk goes on among them unless it is told to skip.
    Group(usize),
}

/// Which keys a cursor walks, and which way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    /// The least full key.
    pub(crate) from: &'a [u8],
    /// What all full keys are below; none: there is no such end.
    pub(crate) to: Option<&'a [u8]>,
    pub(crate) reverse: bool,
}

/// The smallest byte string above all that start with `prefix`; none where there is no such.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut above = prefix.to_vec();
    succeed(&mut above).then_some(above)
}

/// Makes of a prefix its successor; false where there is none.
fn succeed(prefix: &mut Vec<u8>) -> bool {
    while let Some(last) = prefix.last_mut() {
        if *last < 0xFF {
            *last += 1;
            return true;
        }
        prefix.pop();
    }
    false
}

/// A node on the way.
struct Level<'a> {
    trie: TrieRef<'a>,
    node: NodePosition,
    /// The bytes of entries that are left: `low..high`.
    low: usize,
    high: usize,
    /// Whether the node's own record is left.
    value: bool,
    /// Whether the path here is the beginning of an end of the span, which goes on behind it.
    on_from: bool,
    on_to: bool,
    /// Bytes of a key, relative to the frame, that lead to the node, prefix included.
    depth: usize,
    /// Bytes of the full key that do.
    path_len: usize,
    /// Where a delimiter may start in the keys below.
    searched: usize,
}

/// Walks the records of a span.
pub(crate) struct Cursor<'a> {
    forest: &'a Forest<'a>,
    span: Span<'a>,
    rollup: Option<Rollup<'a>>,
    levels: Vec<Level<'a>>,
    /// Below the last level, where the walk is in a flat frame.
    visits: Visits<'a>,
    /// The full key of the last event is these two, one behind the other: what leads to the frame, and what the frame holds.
    key: Vec<u8>,
    tail: &'a [u8],
    /// A frame could not be entered, to whose keys `key` leads.
    stopped: bool,
    ahead: Ahead,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first record of the span. With `rollup`, whole groups are reported where the tree shows that
    /// there is one; other keys of a group are reported as records.
    pub(crate) fn new(forest: &'a Forest<'a>, span: Span<'a>, rollup: Option<Rollup<'a>>) -> Result<Self, Error> {
        let trie = forest.table.trie(ROOT)?;
        let mut cursor = Self {
            forest,
            span,
            rollup,
            levels: Vec::with_capacity(16),
            visits: Visits::default(),
            key: Vec::with_capacity(128),
            tail: &[],
            stopped: false,
            ahead: Ahead::default(),
        };
        let searched = rollup.map_or(0, |rollup| rollup.prefix_len);
        cursor.enter_node(trie, trie.root(), 0, (true, span.to.is_some()), searched)?;
        Ok(cursor)
    }

    /// After a failure to go on: what the next keys start with, if that was in the way that leads to them. Those before them
    /// were visited.
    pub(crate) fn stopped(&self) -> Option<&[u8]> {
        self.stopped.then_some(self.key.as_slice())
    }

    /// The full key of the last event.
    pub(crate) fn key(&mut self) -> &[u8] {
        self.key.extend_from_slice(std::mem::take(&mut self.tail));
        &self.key
    }

    /// The same behind its first `skipped` bytes, as it lies.
    pub(crate) fn split_key(&self, skipped: usize) -> SplitKey<'_> {
        split(&self.key, self.tail, skipped)
    }

    /// Length of what the last record rolls up to, if it does.
    pub(crate) fn group_len(&mut self) -> Option<usize> {
        let rollup = self.rollup?;
        let from = self.levels.last().map_or(rollup.prefix_len, |level| level.searched);
        rollup.group_len(self.key(), from)
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.levels.len() > 4 * self.forest.max_full_key_bytes() {
            return Err(self.forest.lost("a key has no end"));
        }
        Ok(())
    }

    /// Enters a node whose path but for its prefix is in `key`, where some of its keys may lie in the span. `ends` says
    /// whether that path is the beginning of the span's ends.
    fn enter_node(
        &mut self,
        trie: TrieRef<'a>,
        node: NodePosition,
        depth: usize,
        ends: (bool, bool),
        searched: usize,
    ) -> Result<(), Error> {
        let prefix = trie.prefix(node);
        let at = self.key.len();
        let mut level = Level {
            trie,
            node,
            low: 0,
            high: 256,
            value: true,
            on_from: false,
            on_to: false,
            depth: depth + prefix.len(),
            path_len: at + prefix.len(),
            searched,
        };
        if ends.0 {
            let rest = self.span.from.get(at..).unwrap_or(&[]);
            if let Some((&byte, _)) = rest.strip_prefix(prefix).and_then(<[u8]>::split_first) {
                (level.on_from, level.value, level.low) = (true, false, usize::from(byte));
            } else if prefix < rest {
                return Ok(());
            }
        }
        if ends.1 {
            let rest = self.span.to.and_then(|to| to.get(at..)).unwrap_or(&[]);
            if let Some((&byte, _)) = rest.strip_prefix(prefix).and_then(<[u8]>::split_first) {
                (level.on_to, level.high) = (true, usize::from(byte) + 1);
            } else if prefix >= rest {
                return Ok(());
            }
        }
        // A node whose keys are all gone may lie deeper than any key, where what is above it has moved.
        if level.path_len > self.forest.max_full_key_bytes() {
            return Ok(());
        }
        self.key.extend_from_slice(prefix);
        self.levels.push(level);
        self.check_size()
    }

    /// Enters the frame that the last level's entry for `byte` leads to, by all entries next to that one which lead there.
    fn enter_frame(&mut self, crossing: Crossing, byte: u8) -> Result<(), Error> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        let (mut first, mut last) = (byte, byte);
        if self.span.reverse {
            while let Some((other, step)) = level.trie.last_child(level.node, usize::from(first), level.depth)
                && usize::from(other) >= level.low
                && step == Step::Cross(crossing)
            {
                first = other;
            }
            level.high = usize::from(first);
        } else {
            while let Some((other, step)) = level.trie.next_child(level.node, usize::from(last) + 1, level.depth)
                && usize::from(other) < level.high
                && step == Step::Cross(crossing)
            {
                last = other;
            }
            level.low = usize::from(last) + 1;
        }
        let path_len = level.path_len;
        let (on_from, on_to, searched) = (level.on_from, level.on_to, level.searched);
        match crossing.kind {
            Kind::Trie => {
                let trie = self.forest.table.trie(crossing.child)?;
                self.levels.push(Level {
                    trie,
                    node: trie.root(),
                    low: usize::from(first),
                    high: usize::from(last) + 1,
                    value: false,
                    on_from,
                    on_to,
                    depth: 0,
                    path_len,
                    searched,
                });
                self.check_size()?;
            }
            Kind::Flat => {
                let base_len = path_len
                    .checked_sub(crossing.up)
                    .ok_or_else(|| self.forest.lost("a base above all keys"))?;
                if !self.visits.goes_on_in(crossing.child, base_len) {
                    self.look_ahead(crossing.child);
                }
                let entries = Entries {
                    crossing,
                    first,
                    last,
                    on_from,
                    on_to,
                };
                let recall = self.rollup.is_some();
                self.visits
                    .enter(self.forest, self.span, &mut self.key, (entries, base_len), recall)?;
            }
        }
        Ok(())
    }

    /// The next record or group.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Event<'a>>, Error> {
        if let Some((tail, stored)) = self.visits.next(self.span.reverse, &mut self.key) {
            self.tail = tail;
            return Ok(Some(Event::Record(stored)));
        }
        self.next_above()
    }

    /// The next record or group that is not in the flat frame at hand.
    fn next_above(&mut self) -> Result<Option<Event<'a>>, Error> {
        let reverse = self.span.reverse;
        self.visits.leave(reverse, &mut self.key);
        self.tail = &[];
        while let Some(level) = self.levels.last_mut() {
            self.key.truncate(level.path_len);
            if !reverse
                && std::mem::take(&mut level.value)
                && let Some(stored) = level.trie.value(level.node)
            {
                return Ok(Some(Event::Record(stored)));
            }
            let entry = if reverse {
                let last = level.trie.last_child(level.node, level.high, level.depth);
                last.filter(|(byte, _)| usize::from(*byte) >= level.low)
            } else {
                let next = level.trie.next_child(level.node, level.low, level.depth);
                next.filter(|(byte, _)| usize::from(*byte) < level.high)
            };
            let Some((byte, step)) = entry else {
                // Against the order of keys, a node's own record comes behind those below it.
                let stored = level.value.then(|| level.trie.value(level.node)).flatten();
                self.levels.pop();
                let path_len = self.levels.last().map_or(0, |level| level.path_len);
                self.visits.forget_below(path_len);
                match stored {
                    Some(stored) => return Ok(Some(Event::Record(stored))),
                    None => continue,
                }
            };
            if reverse {
                level.high = usize::from(byte);
            } else {
                level.low = usize::from(byte) + 1;
            }
            let from = self.span.from.get(level.path_len..).filter(|_| level.on_from);
            let from = from.filter(|rest| rest.first() == Some(&byte));
            let to = self
                .span
                .to
                .and_then(|to| to.get(level.path_len..))
                .filter(|_| level.on_to);
            let to = to.filter(|rest| rest.first() == Some(&byte));
            match step {
                Step::Record { suffix, stored } => {
                    let behind = |rest: &'a [u8]| rest.get(1..).unwrap_or(&[]);
                    if from.is_none_or(|from| suffix >= behind(from)) && to.is_none_or(|to| suffix < behind(to)) {
                        self.key.push(byte);
                        self.key.extend_from_slice(suffix);
                        return Ok(Some(Event::Record(stored)));
                    }
                }
                Step::Node(node) => {
                    let (trie, depth, mut searched) = (level.trie, level.depth + 1, level.searched);
                    self.key.push(byte);
                    if let Some(rollup) = &self.rollup {
                        let path_len = self.key.len();
                        let prefix = trie.prefix(node);
                        self.key.extend_from_slice(prefix);
                        if from.is_none()
                            && to.is_none()
                            && let Some(len) = rollup.group_len(&self.key, searched)
                        {
                            match self.forest.occurs(trie, node, &self.key) {
                                Ok(true) => return Ok(Some(Event::Group(len))),
                                Ok(false) => {
                                    // A flat frame that was left may get keys there by now.
                                    self.visits.forget_left();
                                    continue;
                                }
                                Err(error) => {
                                    self.stopped = true;
                                    return Err(error);
                                }
                            }
                        }
                        searched = rollup.searched(&self.key, searched);
                        self.key.truncate(path_len);
                    }
                    self.enter_node(trie, node, depth, (from.is_some(), to.is_some()), searched)?;
                }
                Step::Cross(crossing) => {
                    if let Err(error) = self.enter_frame(crossing, byte) {
                        self.key.push(byte);
                        self.stopped = true;
                        return Err(error);
                    }
                    if let Some((tail, stored)) = self.visits.next(reverse, &mut self.key) {
                        self.tail = tail;
                        return Ok(Some(Event::Record(stored)));
                    }
                    self.visits.leave(reverse, &mut self.key);
                }
            }
        }
        Ok(None)
    }

    /// Visits what is left of the span until `visit` breaks, with each record's key behind its first `skipped` bytes. True
    /// when nothing is left; where `visit` breaks, the cursor has done its work.
    #[inline(always)]
    pub(crate) fn for_each(
        &mut self,
        skipped: usize,
        mut visit: impl FnMut(SplitKey<'_>, Stored<'a>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        // Most records lie in flat frames: those of one are visited without looking up from it. There is one call of
        // `visit`, so that it becomes part of the loop.
        let mut rest = FlatRest::none();
        // Of the path to the frame's base, what is not skipped; and how much of the rest is skipped as well.
        let (mut head, mut cut) = (&[][..], 0);
        loop {
            let (tail, stored) = match rest.next() {
                Some(found) => found,
                None => {
                    head = &[];
                    let stored = match self.next()? {
                        Some(Event::Record(stored)) => stored,
                        Some(Event::Group(_)) => continue,
                        None => return Ok(true),
                    };
                    self.visits.take_rest(self.span.reverse, &mut rest);
                    head = self.key.get(skipped..).unwrap_or_default();
                    cut = skipped.saturating_sub(self.key.len());
                    (self.tail, stored)
                }
            };
            // A key that lacks what is skipped is not of the span.
            let Some(tail) = tail.get(cut..) else { continue };
            if visit(SplitKey { head, tail }, stored).is_break() {
                return Ok(false);
            }
        }
    }

    /// Passes over every key that starts with the first `len` bytes of the last event's key. The walk goes forwards.
    pub(crate) fn skip(&mut self, len: usize) {
        self.key();
        if self.visits.skip(self.forest, &self.key, len) {
            return;
        }
        self.ahead.begin_again();
        while self.levels.last().is_some_and(|level| level.path_len >= len) {
            self.levels.pop();
        }
    }
}

fn split<'k>(head: &'k [u8], tail: &'k [u8], skipped: usize) -> SplitKey<'k> {
    match head.get(skipped..) {
        Some(head) => SplitKey { head, tail },
        None => SplitKey {
            head: &[],
            tail: tail.get(skipped - head.len()..).unwrap_or(&[]),
        },
    }
}

#[cfg(test)]
mod tests;
