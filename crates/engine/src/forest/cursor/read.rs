//! A walk over records together with their values, which may lie outside their frames.

use std::ops::ControlFlow;

use coppice_frame::{Stored, Value};

use super::Cursor;
use crate::{
    error::Error,
    forest::{Forest, Resolved},
    request::SplitKey,
};

/// A walk that failed, and how it can go on.
pub(crate) struct Stopped {
    pub(crate) error: Error,
    /// The full key of the record whose value could not be read, if it was that.
    pub(crate) unread: Option<Vec<u8>>,
    /// What the next keys start with, if it was the way to them.
    pub(crate) ahead: Option<Vec<u8>>,
}

impl<'a> Cursor<'a> {
    /// [`Cursor::for_each`] with the records' values, for at most so many records of a tree, whose full keys begin with `tree`.
    /// True when nothing is left.
    #[inline(always)]
    pub(crate) fn read_each(
        &mut self,
        tree: &[u8],
        most: usize,
        mut visit: impl FnMut(SplitKey<'_>, Resolved<'a>) -> ControlFlow<()>,
    ) -> Result<bool, Stopped> {
        let forest = self.forest;
        let (mut left, mut failed) = (most, None);
        let done = self.for_each(tree.len(), |key, stored| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            let found = match stored.value {
                Value::Inline(value) => Resolved {
                    version: stored.version,
                    value,
                },
                Value::Extent { blob, len } => {
                    match forest.resolve_listed(tree, (key.head, key.tail), (stored.version, blob, len), &mut failed) {
                        ControlFlow::Continue(Some(found)) => found,
                        ControlFlow::Continue(None) => return ControlFlow::Continue(()),
                        ControlFlow::Break(()) => return ControlFlow::Break(()),
                    }
                }
            };
            left -= 1;
            visit(key, found)
        });
        let (error, unread) = match (done, failed) {
            (Ok(exhausted), None) => return Ok(exhausted),
            (Ok(_), Some((error, full))) => (error, Some(full)),
            (Err(error), _) => (error, None),
        };
        Err(Stopped {
            error,
            unread,
            ahead: self.stopped().map(<[u8]>::to_vec),
        })
    }
}

impl Forest<'_> {
    /// The value of a record that a walk over a tree came to, which is not in its frame; none where the record is gone by now.
    /// Breaks where it cannot be read, and leaves why, and the record's full key. Takes everything in pieces, so that a walk's
    /// loop keeps them in registers.
    #[cold]
    fn resolve_listed<'a>(
        &'a self,
        tree: &[u8],
        (head, tail): (&[u8], &[u8]),
        (version, blob, len): (u64, u32, u32),
        failed: &mut Option<(Error, Vec<u8>)>,
    ) -> ControlFlow<(), Option<Resolved<'a>>> {
        let full = [tree, head, tail].concat();
        let value = Value::Extent { blob, len };
        let stored = Stored { version, value };
        match self.resolve_extent_at(&full, stored) {
            Ok(found) => ControlFlow::Continue(found),
            Err(error) => {
                *failed = Some((error, full));
                ControlFlow::Break(())
            }
        }
    }
}
