//! Reads: each under the state's lock shared, each seeing all commits before it. A snapshot answers the same questions.

use std::ops::{Bound, ControlFlow};

use super::{CATALOG, Engine, State, TREE_BYTES};
use crate::{
    error::{Error, ErrorCode},
    forest::{Cursor, GROUP, Listed, Resolved, Span, list, successor},
    options::MAX_KEY_BYTES,
    request::{ListItem, ListRequest, Range, Record, SplitKey, TreeId},
};

/// Full keys up to this long are put together on the stack: most are.
const SHORT_BYTES: usize = 128;
/// How often a get looks again that met frames being moved.
const ATTEMPTS: usize = 64;

impl<'a> From<Resolved<'a>> for Record<'a> {
    fn from(found: Resolved<'a>) -> Self {
        Self {
            value: found.value,
            version: found.version,
        }
    }
}

/// A tree's number in front of a key, on the stack where it fits.
pub(crate) struct FullKey {
    short: [u8; SHORT_BYTES],
    long: Vec<u8>,
    len: usize,
}

impl FullKey {
    pub(crate) fn new(tree: u32, key: &[u8]) -> Self {
        let len = TREE_BYTES + key.len();
        let mut full = Self {
            short: [0; SHORT_BYTES],
            long: Vec::new(),
            len,
        };
        let prefix = tree.to_be_bytes();
        match full.short.get_mut(..len) {
            Some(room) => {
                let (head, tail) = room.split_at_mut(TREE_BYTES);
                head.copy_from_slice(&prefix);
                tail.copy_from_slice(key);
            }
            None => full.long = [&prefix, key].concat(),
        }
        full
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.short.get(..self.len).unwrap_or(&self.long)
    }
}

/// What the catalog has under a tree's name: its number.
pub(super) fn tree_number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn check_tree(state: &State<'_>, tree: TreeId) -> Result<(), Error> {
    if tree.0 == CATALOG || (tree.0 >= state.next_tree && tree != TreeId::ABSENT) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("there is no tree of number {}", tree.0),
        ));
    }
    state.dropped.check(tree)
}

/// Keys and prefixes that readers give may be too long to exist; what is asked then has an answer all the same.
fn clamp(key: &[u8]) -> &[u8] {
    key.get(..MAX_KEY_BYTES + 1).unwrap_or(key)
}

/// The full keys of a range: from the first, up to but without the second.
fn ends(tree: TreeId, range: &Range<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let full = |key: &[u8], behind: &[u8]| [&tree.0.to_be_bytes(), clamp(key), behind].concat();
    // What comes right behind a key is the key and a zero.
    let (at, behind) = (&[][..], &[0][..]);
    let mut from = full(range.prefix, at);
    let mut to = successor(&from);
    let lower = match range.lower {
        Bound::Included(key) => Some(full(key, at)),
        Bound::Excluded(key) => Some(full(key, behind)),
        Bound::Unbounded => None,
    };
    let upper = match range.upper {
        Bound::Included(key) => Some(full(key, behind)),
        Bound::Excluded(key) => Some(full(key, at)),
        Bound::Unbounded => None,
    };
    from = lower.into_iter().fold(from, Ord::max);
    to = upper.into_iter().chain(to).min();
    (from, to)
}

impl Engine {
    pub(crate) fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        self.check_open()?;
        let full = FullKey::new(tree.0, key);
        let state = self.state();
        check_tree(&state, tree)?;
        for _ in 0..ATTEMPTS {
            if let Some(found) = state.forest.get_unlocked(full.bytes()) {
                let found = found?;
                if found.is_none() {
                    // It may be gone because its tree is.
                    state.dropped.check(tree)?;
                }
                return Ok(read(found.map(Record::from)));
            }
            std::hint::spin_loop();
        }
        drop(state);
        // Frames are being moved for longer than it is worth to watch.
        self.shared().get(tree, key, read)
    }

    pub(crate) fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.read(|state| state.get_many(tree, keys, read))
    }

    pub(crate) fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        self.read(|state| state.longest_prefix(tree, key, read))
    }

    pub(crate) fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut dyn FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        self.read(|state| state.scan(tree, range, visit))
    }

    pub(crate) fn list(
        &self,
        tree: TreeId,
        request: &ListRequest<'_>,
        visit: &mut dyn FnMut(ListItem<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        self.read(|state| state.list(tree, request, visit))
    }

    pub(crate) fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.read(|state| state.count(tree, prefix))
    }

    pub(crate) fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        self.read(|state| state.is_empty(tree, prefix))
    }

    /// The names of all trees, in byte order.
    pub(crate) fn trees(&self) -> Result<Vec<String>, Error> {
        self.read(|state| state.trees())
    }

    fn read<R>(&self, question: impl FnOnce(&State<'_>) -> Result<R, Error>) -> Result<R, Error> {
        self.check_open()?;
        question(&self.shared())
    }
}

/// What can be asked of any state: the one as of now, under the lock that keeps frames where they are, or a snapshot's.
impl State<'_> {
    pub(crate) fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        check_tree(self, tree)?;
        let mut bytes = Vec::with_capacity(GROUP * SHORT_BYTES);
        for keys in keys.chunks(GROUP) {
            bytes.clear();
            let mut ends = [0; GROUP];
            for (end, key) in ends.iter_mut().zip(keys) {
                bytes.extend_from_slice(&tree.0.to_be_bytes());
                bytes.extend_from_slice(key);
                *end = bytes.len();
            }
            let mut full: [&[u8]; GROUP] = [&[]; GROUP];
            let mut start = 0;
            for (full, end) in full.iter_mut().zip(ends).take(keys.len()) {
                *full = bytes.get(start..end).unwrap_or_default();
                start = end;
            }
            let full = full.get(..keys.len()).unwrap_or_default();
            let ended = self.forest.find_group(full, &mut |key, stored| {
                let found = match stored {
                    Some(stored) => self.forest.resolve_at(|| key.to_vec(), stored)?,
                    None => None,
                };
                Ok(read(found.map(Record::from)))
            })?;
            if ended.is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        let full = FullKey::new(tree.0, key);
        check_tree(self, tree)?;
        // A record that goes while it is looked at leaves the next shorter prefix.
        while let Some((len, stored)) = self.forest.longest_prefix(full.bytes())? {
            let found = full.bytes().get(..len).unwrap_or(full.bytes());
            if let Some(record) = self.forest.resolve_at(|| found.to_vec(), stored)? {
                return Ok(read(Some((len.saturating_sub(TREE_BYTES), record.into()))));
            }
        }
        Ok(read(None))
    }

    pub(crate) fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut dyn FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        let (from, to) = ends(tree, range);
        check_tree(self, tree)?;
        let span = Span {
            from: &from,
            to: to.as_deref(),
            reverse: range.reverse,
        };
        let mut cursor = Cursor::new(&self.forest, span, None)?;
        cursor.for_each(TREE_BYTES, &mut |key, stored| {
            let full = || [&tree.0.to_be_bytes(), key.head, key.tail].concat();
            match self.forest.resolve_at(full, stored)? {
                Some(found) => Ok(visit(key, found.into())),
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }

    pub(crate) fn list(
        &self,
        tree: TreeId,
        request: &ListRequest<'_>,
        visit: &mut dyn FnMut(ListItem<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        check_tree(self, tree)?;
        list(
            &self.forest,
            &tree.0.to_be_bytes(),
            request,
            &mut |listed| match listed {
                Listed::Key(key, found) => visit(ListItem::Key(key, found.into())),
                Listed::Prefix(prefix) => visit(ListItem::Prefix(prefix)),
            },
        )
    }

    pub(crate) fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        let full = FullKey::new(tree.0, clamp(prefix));
        check_tree(self, tree)?;
        self.forest.count(full.bytes())
    }

    pub(crate) fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        let full = FullKey::new(tree.0, clamp(prefix));
        check_tree(self, tree)?;
        self.forest.is_empty(full.bytes())
    }

    /// The number of the tree of this name.
    pub(crate) fn tree_named(&self, name: &str) -> Result<Option<TreeId>, Error> {
        let full = FullKey::new(CATALOG, name.as_bytes());
        let found = self.forest.get(full.bytes())?;
        Ok(found.and_then(|found| tree_number(found.value)).map(TreeId))
    }

    /// A key's record, where nobody moves frames.
    pub(crate) fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        check_tree(self, tree)?;
        let found = self.forest.get(FullKey::new(tree.0, key).bytes())?;
        Ok(read(found.map(Record::from)))
    }

    /// The names of all trees, in byte order.
    pub(crate) fn trees(&self) -> Result<Vec<String>, Error> {
        let prefix = CATALOG.to_be_bytes();
        let to = successor(&prefix);
        let span = Span {
            from: &prefix,
            to: to.as_deref(),
            reverse: false,
        };
        let mut names = Vec::new();
        Cursor::new(&self.forest, span, None)?.for_each(TREE_BYTES, &mut |name, _| {
            names.push(String::from_utf8_lossy(&name.to_vec()).into_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }
}
