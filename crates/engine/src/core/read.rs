//! Reads: each under the state's lock shared, each seeing all commits before it.

use std::{borrow::Cow, ops::Bound, ops::ControlFlow};

use super::{CATALOG, Engine, State, TREE_BYTES};
use crate::{
    error::{Error, ErrorCode},
    forest::{Cursor, Event, Listed, Resolved, list},
    options::MAX_KEY_BYTES,
    request::{ListItem, ListRequest, Range, Record, TreeId},
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

pub(super) fn check_tree(state: &State<'_>, tree: TreeId) -> Result<(), Error> {
    if tree.0 == CATALOG || tree.0 >= state.next_tree {
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
        let state = self.shared();
        state.dropped.check(tree)?;
        let found = state.forest.get(full.bytes())?;
        Ok(read(found.map(Record::from)))
    }

    pub(crate) fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut dyn FnMut(&[u8], Record<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        self.check_open()?;
        let prefix = FullKey::new(tree.0, clamp(range.prefix));
        let prefix = prefix.bytes();
        let bound = |bound: Bound<&[u8]>| bound.map(|key| FullKey::new(tree.0, clamp(key)));
        let (lower, upper) = (bound(range.lower), bound(range.upper));
        let from = match &lower {
            Bound::Included(key) | Bound::Excluded(key) => key.bytes().max(prefix),
            Bound::Unbounded => prefix,
        };
        let state = self.shared();
        check_tree(&state, tree)?;
        let mut cursor = Cursor::seek(&state.forest, from, None)?;
        while let Some(event) = cursor.next()? {
            let Event::Record(stored) = event else { continue };
            let key = cursor.key();
            let below = match &upper {
                Bound::Included(upper) => key <= upper.bytes(),
                Bound::Excluded(upper) => key < upper.bytes(),
                Bound::Unbounded => true,
            };
            if !key.starts_with(prefix) || !below {
                return Ok(true);
            }
            if let Bound::Excluded(lower) = &lower
                && key == lower.bytes()
            {
                continue;
            }
            let found = state.forest.resolve(stored)?;
            let record = Record {
                value: found.value,
                version: found.version,
            };
            if visit(key.get(TREE_BYTES..).unwrap_or(&[]), record).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn list(
        &self,
        tree: TreeId,
        request: &ListRequest<'_>,
        visit: &mut dyn FnMut(ListItem<'_>),
    ) -> Result<bool, Error> {
        self.check_open()?;
        let state = self.shared();
        check_tree(&state, tree)?;
        list(
            &state.forest,
            &tree.0.to_be_bytes(),
            request,
            &mut |listed| match listed {
                Listed::Key(key, found) => {
                    visit(ListItem::Key(
                        key,
                        Record {
                            value: found.value,
                            version: found.version,
                        },
                    ));
                }
                Listed::Prefix(prefix) => visit(ListItem::Prefix(prefix)),
            },
        )
    }

    pub(crate) fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        self.check_open()?;
        let full = FullKey::new(tree.0, clamp(prefix));
        let state = self.shared();
        check_tree(&state, tree)?;
        state.forest.count(full.bytes())
    }

    pub(crate) fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        self.check_open()?;
        let full = FullKey::new(tree.0, clamp(prefix));
        let state = self.shared();
        check_tree(&state, tree)?;
        state.forest.is_empty(full.bytes())
    }

    /// The names of all trees, in byte order.
    pub(crate) fn trees(&self) -> Result<Vec<String>, Error> {
        self.check_open()?;
        let state = self.shared();
        let prefix = CATALOG.to_be_bytes();
        let mut cursor = Cursor::seek(&state.forest, &prefix, None)?;
        let mut names = Vec::new();
        while cursor.next()?.is_some() && cursor.key().starts_with(&prefix) {
            let name = cursor
                .key()
                .get(TREE_BYTES..)
                .map(String::from_utf8_lossy)
                .map(Cow::into_owned);
            names.extend(name);
        }
        Ok(names)
    }
}
