//! Reads: each under the state's lock shared, each seeing all commits before it. A snapshot answers the same questions.

use std::{
    cell::Cell,
    ops::{Bound, ControlFlow},
};

use super::{CATALOG, Engine, State, TREE_BYTES};
use crate::{
    error::{Error, ErrorCode},
    forest::{Cursor, GROUP, Progress, Resolved, Span, Stopped, list, successor},
    options::MAX_KEY_BYTES,
    request::{ListRequest, ListVisitor, Range, Record, SplitKey, TreeId},
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

#[inline]
pub(super) fn check_tree(state: &State<'_>, tree: TreeId) -> Result<(), Error> {
    if tree.0 == CATALOG || (tree.0 >= state.next_tree && tree != TreeId::ABSENT) {
        return Err(no_tree(tree));
    }
    state.dropped.check(tree)
}

#[cold]
fn no_tree(tree: TreeId) -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        format!("there is no tree of number {}", tree.0),
    )
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

/// A visitor, and how many items it was told of.
struct Told<'t, V> {
    told: &'t Cell<u64>,
    visit: &'t mut V,
}

impl<V: ListVisitor> ListVisitor for Told<'_, V> {
    #[inline(always)]
    fn key(&mut self, key: SplitKey<'_>, record: Record<'_>) -> ControlFlow<()> {
        self.told.set(self.told.get() + 1);
        self.visit.key(key, record)
    }

    #[inline(always)]
    fn prefix(&mut self, prefix: &[u8]) -> ControlFlow<()> {
        self.told.set(self.told.get() + 1);
        self.visit.prefix(prefix)
    }
}

/// A read that begins again tells its caller of one end alone.
fn told_already() -> Error {
    Error::new(ErrorCode::Internal, "a read had two ends")
}

impl Engine {
    pub(crate) fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        self.get_full(tree, FullKey::new(tree.0, key).bytes(), read)
    }

    /// [`Engine::get`] of a key behind room for the tree's number.
    #[inline(always)]
    pub(crate) fn get_roomed<R>(
        &self,
        tree: TreeId,
        roomed: &mut [u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        match roomed.first_chunk_mut() {
            Some(room) => *room = tree.0.to_be_bytes(),
            None => return self.get(tree, &[], read),
        }
        self.get_full(tree, roomed, read)
    }

    #[inline(always)]
    fn get_full<R>(&self, tree: TreeId, full: &[u8], read: impl FnOnce(Option<Record<'_>>) -> R) -> Result<R, Error> {
        self.check_open()?;
        let state = self.state();
        check_tree(&state, tree)?;
        for _ in 0..ATTEMPTS {
            if let Some(found) = state.forest.get_unlocked(full) {
                let found = match found {
                    Ok(found) => found,
                    Err(error) => {
                        drop(state);
                        return self.get_after(error, tree, full, read);
                    }
                };
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
        self.get_still(tree, full.get(TREE_BYTES..).unwrap_or_default(), read)
    }

    /// A get that could not read a frame in, maybe for want of room alone.
    #[cold]
    fn get_after<R>(
        &self,
        error: Error,
        tree: TreeId,
        full: &[u8],
        read: impl FnOnce(Option<Record<'_>>) -> R,
    ) -> Result<R, Error> {
        if !error.is_crowded() {
            return Err(error);
        }
        self.wait_for_reads(0)?;
        self.get_still(tree, full.get(TREE_BYTES..).unwrap_or_default(), read)
    }
}

/// Who shows a state: the one as of now, under the lock that keeps frames where they are, or a snapshot's.
pub(crate) trait Reads {
    /// Asks the state a question; the same one again while there is no room in memory for what it must read in. Nothing of
    /// the state is held in between.
    fn ask<R>(&self, question: &mut dyn FnMut(&mut State<'_>) -> Result<R, Error>) -> Result<R, Error>;

    /// The same for a question that goes on where it stopped, for as long as that gets it any further: `told` is what it has
    /// told its caller of.
    fn ask_on<R>(
        &self,
        told: &Cell<u64>,
        question: &mut dyn FnMut(&mut State<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        loop {
            let before = told.get();
            match self.ask(question) {
                Err(error) if error.is_crowded() && told.get() > before => {}
                other => return other,
            }
        }
    }

    /// A key's record, where nobody moves frames.
    fn get_still<R>(&self, tree: TreeId, key: &[u8], read: impl FnOnce(Option<Record<'_>>) -> R) -> Result<R, Error> {
        let full = FullKey::new(tree.0, key);
        let mut read = Some(read);
        self.ask(&mut |state| {
            check_tree(state, tree)?;
            let found = state.forest.get(full.bytes())?;
            Ok(read.take().map(|read| read(found.map(Record::from))))
        })?
        .ok_or_else(told_already)
    }

    fn get_many(
        &self,
        tree: TreeId,
        keys: &[&[u8]],
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let told = Cell::new(0);
        // Where there is no room for what a group needs at once, each key waits for room by itself.
        let mut together = GROUP;
        self.ask_on(&told, &mut |state| {
            let keys = keys.get(told.get() as usize..).unwrap_or_default();
            let done = state.get_groups(tree, keys.chunks(together), &mut |found| {
                told.set(told.get() + 1);
                read(found)
            });
            if done.is_err() {
                together = 1;
            }
            done
        })
    }

    fn longest_prefix<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        read: impl FnOnce(Option<(usize, Record<'_>)>) -> R,
    ) -> Result<R, Error> {
        let full = FullKey::new(tree.0, key);
        let mut read = Some(read);
        self.ask(&mut |state| {
            check_tree(state, tree)?;
            // A record that goes while it is looked at leaves the next shorter prefix.
            while let Some((len, stored)) = state.forest.longest_prefix(full.bytes())? {
                let found = full.bytes().get(..len).unwrap_or(full.bytes());
                if let Some(record) = state.forest.resolve_at(|| found.to_vec(), stored)? {
                    let found = Some((len.saturating_sub(TREE_BYTES), record.into()));
                    return Ok(read.take().map(|read| read(found)));
                }
            }
            Ok(read.take().map(|read| read(None)))
        })?
        .ok_or_else(told_already)
    }

    fn scan(
        &self,
        tree: TreeId,
        range: &Range<'_>,
        visit: &mut (impl FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()> + ?Sized),
    ) -> Result<bool, Error> {
        let (mut from, mut to) = ends(tree, range);
        let told = Cell::new(0);
        self.ask_on(&told, &mut |state| {
            check_tree(state, tree)?;
            let span = Span {
                from: &from,
                to: to.as_deref(),
                reverse: range.reverse,
            };
            let mut cursor = Cursor::new(&state.forest, span, None)?;
            let done = cursor.read_each(&tree.0.to_be_bytes(), usize::MAX, |key, found| {
                told.set(told.get() + 1);
                visit(key, found.into())
            });
            done.map_err(|stopped| {
                // Where the walk goes on, if it does: at a record, or at all that start with this.
                let Stopped { error, unread, ahead } = stopped;
                if range.reverse {
                    let behind = match unread {
                        Some(key) => Some([key.as_slice(), &[0]].concat()),
                        None => ahead.as_deref().and_then(successor),
                    };
                    to = behind.into_iter().chain(to.take()).min();
                } else {
                    let at = unread.or(ahead);
                    from = at.into_iter().fold(std::mem::take(&mut from), Ord::max);
                }
                error
            })
        })
    }

    fn list(&self, tree: TreeId, request: &ListRequest<'_>, visit: &mut impl ListVisitor) -> Result<bool, Error> {
        let mut progress = Progress::default();
        let told = Cell::new(0);
        self.ask_on(&told, &mut |state| {
            check_tree(state, tree)?;
            let visit = &mut Told { told: &told, visit };
            list(&state.forest, &tree.0.to_be_bytes(), request, &mut progress, visit)
        })
    }

    fn count(&self, tree: TreeId, prefix: &[u8]) -> Result<u64, Error> {
        let full = FullKey::new(tree.0, clamp(prefix));
        self.ask(&mut |state| {
            check_tree(state, tree)?;
            state.forest.count(full.bytes())
        })
    }

    fn is_empty(&self, tree: TreeId, prefix: &[u8]) -> Result<bool, Error> {
        let full = FullKey::new(tree.0, clamp(prefix));
        self.ask(&mut |state| {
            check_tree(state, tree)?;
            state.forest.is_empty(full.bytes())
        })
    }

    /// The number of the tree of this name.
    fn tree_named(&self, name: &str) -> Result<Option<TreeId>, Error> {
        self.ask(&mut |state| state.tree_named(name))
    }

    /// The names of all trees, in byte order.
    fn trees(&self) -> Result<Vec<String>, Error> {
        let prefix = CATALOG.to_be_bytes();
        let to = successor(&prefix);
        let span = Span {
            from: &prefix,
            to: to.as_deref(),
            reverse: false,
        };
        self.ask(&mut |state| {
            let mut names = Vec::new();
            Cursor::new(&state.forest, span, None)?.for_each(TREE_BYTES, |name, _| {
                names.push(String::from_utf8_lossy(&name.to_vec()).into_owned());
                ControlFlow::Continue(())
            })?;
            Ok(names)
        })
    }
}

impl Reads for Engine {
    fn ask<R>(&self, question: &mut dyn FnMut(&mut State<'_>) -> Result<R, Error>) -> Result<R, Error> {
        self.uncrowded(|| {
            self.check_open()?;
            question(&mut self.shared())
        })
    }
}

impl State<'_> {
    /// Tells of the keys of each group, in their order.
    fn get_groups<'k>(
        &self,
        tree: TreeId,
        groups: impl Iterator<Item = &'k [&'k [u8]]>,
        read: &mut dyn FnMut(Option<Record<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        check_tree(self, tree)?;
        let mut bytes = Vec::with_capacity(GROUP * SHORT_BYTES);
        for keys in groups {
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

    /// The number of the tree of this name.
    pub(crate) fn tree_named(&self, name: &str) -> Result<Option<TreeId>, Error> {
        let full = FullKey::new(CATALOG, name.as_bytes());
        let found = self.forest.get(full.bytes())?;
        Ok(found.and_then(|found| tree_number(found.value)).map(TreeId))
    }
}
