//! A walk over records in key order, from frame to frame.

use coppice_frame::{Crossing, FlatCursor, FlatRef, Kind, NodePosition, Step, Stored, TrieRef};

use super::{Forest, ROOT};
use crate::error::Error;

/// What a cursor comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A record; its key is [`Cursor::key`].
    Record(Stored<'a>),
    /// Keys that all start with the first so many bytes of [`Cursor::key`]: there is at least one, and none was visited.
    Group(usize),
}

/// What is rolled up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollup<'a> {
    /// Bytes of a key that the delimiter is looked for behind.
    pub(crate) prefix_len: usize,
    pub(crate) delimiter: &'a [u8],
}

impl Rollup<'_> {
    /// Length of what a key rolls up to, if it does.
    pub(crate) fn group_len(&self, key: &[u8]) -> Option<usize> {
        let rest = key.get(self.prefix_len..)?;
        let at = match self.delimiter {
            [] => return None,
            [byte] => rest.iter().position(|b| b == byte)?,
            bytes => rest.windows(bytes.len()).position(|window| window == bytes)?,
        };
        Some(self.prefix_len + at + self.delimiter.len())
    }
}

enum Level<'a> {
    Node {
        trie: TrieRef<'a>,
        node: NodePosition,
        /// The next byte to look at, and the first one not to.
        next: usize,
        stop: usize,
        value: bool,
        /// Bytes of a key, relative to the frame, that lead to the node, prefix included.
        depth: usize,
        /// Bytes of the full key that do.
        path_len: usize,
    },
    Flat {
        flat: FlatRef<'a>,
        cursor: FlatCursor,
        /// The first byte at which the frame's keys belong elsewhere in the order.
        stop: usize,
        path_len: usize,
    },
}

/// Walks the records at and after a key, in order.
pub(crate) struct Cursor<'a> {
    forest: &'a Forest<'a>,
    levels: Vec<Level<'a>>,
    key: Vec<u8>,
    /// While the walk is still on the path to the start: the start.
    from: &'a [u8],
    rollup: Option<Rollup<'a>>,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first record whose full key is at or after `from`. With `rollup`, whole groups are reported
    /// where the tree shows that there is one; other keys of a group are reported as records.
    pub(crate) fn seek(forest: &'a Forest<'a>, from: &'a [u8], rollup: Option<Rollup<'a>>) -> Result<Self, Error> {
        let trie = forest.table.trie(ROOT)?;
        let mut cursor = Self {
            forest,
            levels: Vec::with_capacity(16),
            key: Vec::with_capacity(128),
            from,
            rollup,
        };
        // Down the path to `from`; each level is left pointing behind it.
        let mut next = cursor.push_node(trie, trie.root(), 0, true)?;
        while let Some((trie, step, byte, depth)) = next.take() {
            next = cursor.push_step(trie, step, byte, depth, true)?;
        }
        Ok(cursor)
    }

    /// The full key of the last event.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.key.len() > self.forest.max_full_key_bytes() || self.levels.len() > 4 * self.forest.max_full_key_bytes()
        {
            return Err(self.forest.lost("a key has no end"));
        }
        Ok(())
    }

    /// Enters a node whose path but for its prefix is in `key`. On the way to the start, returns the step that leads on.
    #[allow(clippy::type_complexity)]
    fn push_node(
        &mut self,
        trie: TrieRef<'a>,
        node: NodePosition,
        depth: usize,
        seeking: bool,
    ) -> Result<Option<(TrieRef<'a>, Step<'a>, u8, usize)>, Error> {
        let prefix = trie.prefix(node);
        let wanted = if seeking {
            self.from.get(self.key.len()..).unwrap_or(&[])
        } else {
            &[]
        };
        self.key.extend_from_slice(prefix);
        self.check_size()?;
        let depth = depth + prefix.len();
        let path_len = self.key.len();
        let mut level = Level::Node {
            trie,
            node,
            next: 0,
            stop: 256,
            value: true,
            depth,
            path_len,
        };
        let mut step = None;
        if !prefix.starts_with(wanted) {
            if !wanted.starts_with(prefix) {
                if prefix < wanted {
                    return Ok(None);
                }
            } else if let (Some(&byte), Level::Node { next, value, .. }) = (wanted.get(prefix.len()), &mut level) {
                *value = false;
                *next = usize::from(byte);
                if let Some(child) = trie.child(node, byte, depth) {
                    *next += 1;
                    step = Some((trie, child, byte, depth));
                }
            }
        }
        self.levels.push(level);
        Ok(step)
    }

    /// Enters what an entry leads to. A record ends the walk to the start: it is left to be found again by `next`.
    #[allow(clippy::type_complexity)]
    fn push_step(
        &mut self,
        trie: TrieRef<'a>,
        step: Step<'a>,
        byte: u8,
        depth: usize,
        seeking: bool,
    ) -> Result<Option<(TrieRef<'a>, Step<'a>, u8, usize)>, Error> {
        match step {
            Step::Node(node) => {
                self.key.push(byte);
                self.push_node(trie, node, depth + 1, seeking)
            }
            Step::Record { suffix, .. } => {
                let rest = self.from.get(self.key.len() + 1..).unwrap_or(&[]);
                if suffix >= rest
                    && let Some(Level::Node { next, .. }) = self.levels.last_mut()
                {
                    *next = usize::from(byte);
                }
                Ok(None)
            }
            Step::Cross(crossing) => {
                self.push_crossing(crossing, byte, seeking)?;
                Ok(match (seeking, self.levels.last_mut()) {
                    (true, Some(Level::Node { trie, node, next, .. })) => {
                        let found = trie.child(*node, byte, 0).map(|child| (*trie, child, byte, 0));
                        *next += usize::from(found.is_some());
                        found
                    }
                    _ => None,
                })
            }
        }
    }

    /// Enters the frame that the entries from `byte` on lead to, as far as they lead to the same one.
    fn push_crossing(&mut self, crossing: Crossing, byte: u8, seeking: bool) -> Result<(), Error> {
        let path_len = self.key.len();
        let mut run_end = 256;
        if let Some(Level::Node {
            trie,
            node,
            next,
            stop,
            depth,
            ..
        }) = self.levels.last_mut()
        {
            run_end = *stop;
            *next = usize::from(byte) + 1;
            while let Some((other, step)) = trie.next_child(*node, *next, *depth) {
                if step != Step::Cross(crossing) {
                    run_end = run_end.min(usize::from(other));
                    break;
                }
                *next = usize::from(other) + 1;
            }
        }
        self.check_size()?;
        let level = match crossing.kind {
            Kind::Trie => {
                let trie = self.forest.table.trie(crossing.child)?;
                let (next, node) = (usize::from(byte), trie.root());
                Level::Node {
                    trie,
                    node,
                    next,
                    stop: run_end,
                    value: false,
                    depth: 0,
                    path_len,
                }
            }
            Kind::Flat => {
                let flat = self.forest.table.flat(crossing.child)?;
                let first = [byte];
                let from = if seeking {
                    self.from.get(path_len..).unwrap_or(&first)
                } else {
                    &first
                };
                Level::Flat {
                    flat,
                    cursor: FlatCursor::seek(flat, from),
                    stop: run_end,
                    path_len,
                }
            }
        };
        self.levels.push(level);
        Ok(())
    }

    /// The next record or group.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'a>>, Error> {
        while let Some(level) = self.levels.last_mut() {
            match level {
                Level::Flat {
                    flat,
                    cursor,
                    stop,
                    path_len,
                } => {
                    self.key.truncate(*path_len);
                    match cursor.next(*flat) {
                        Some((key, stored)) if key.first().is_some_and(|byte| usize::from(*byte) < *stop) => {
                            self.key.extend_from_slice(key);
                            return Ok(Some(Event::Record(stored)));
                        }
                        _ => {
                            self.levels.pop();
                        }
                    }
                }
                Level::Node {
                    trie,
                    node,
                    next,
                    stop,
                    value,
                    depth,
                    path_len,
                } => {
                    self.key.truncate(*path_len);
                    if std::mem::take(value)
                        && let Some(stored) = trie.value(*node)
                    {
                        return Ok(Some(Event::Record(stored)));
                    }
                    let (trie, depth) = (*trie, *depth);
                    let Some((byte, step)) = trie
                        .next_child(*node, *next, depth)
                        .filter(|(b, _)| usize::from(*b) < *stop)
                    else {
                        self.levels.pop();
                        continue;
                    };
                    *next = usize::from(byte) + 1;
                    if let Step::Record { suffix, stored } = step {
                        self.key.push(byte);
                        self.key.extend_from_slice(suffix);
                        return Ok(Some(Event::Record(stored)));
                    }
                    self.push_step(trie, step, byte, depth, false)?;
                    if let (Step::Node(_), Some(rollup)) = (step, &self.rollup)
                        && let Some(len) = rollup.group_len(&self.key)
                    {
                        self.skip(len);
                        return Ok(Some(Event::Group(len)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Passes over every key that starts with the first `len` bytes of the last event's key.
    pub(crate) fn skip(&mut self, len: usize) {
        while let Some(level) = self.levels.last_mut() {
            match level {
                Level::Node { path_len, .. } | Level::Flat { path_len, .. } if *path_len >= len => {
                    self.levels.pop();
                }
                Level::Flat {
                    flat, cursor, path_len, ..
                } => {
                    let prefix = self.key.get(*path_len..len).unwrap_or(&[]);
                    cursor.skip_prefix(*flat, prefix);
                    return;
                }
                Level::Node { .. } => return,
            }
        }
    }
}
