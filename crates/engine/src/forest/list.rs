//! Delimiter listings with the semantics of S3's ListObjectsV2: keys under a prefix in byte order, those that hold the
//! delimiter behind the prefix rolled up to it, each group once, keys and groups counted alike against the limit.

use super::{
    Cursor, Forest, Span,
    cursor::{Event, Rollup, successor},
};
use crate::{
    error::Error,
    request::{After, ListRequest, ListVisitor},
};

/// How far a listing has come that had to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Items visited.
    visited: usize,
    /// The full key that it goes on from.
    from: Vec<u8>,
}

/// Lists a tree's keys; `tree` is the prefix of its full keys. True when there is more, be it that `visit` broke and left
/// an item. `progress` is for the same listing to go on with after a failure.
pub(crate) fn list(
    forest: &Forest<'_>,
    tree: &[u8],
    request: &ListRequest<'_>,
    progress: &mut Progress,
    visit: &mut impl ListVisitor,
) -> Result<bool, Error> {
    if request.limit == 0 {
        return Ok(false);
    }
    let full = |key: &[u8]| [tree, key].concat();
    let behind = |key: &[u8]| [tree, key, &[0]].concat();
    let mut from = full(request.prefix);
    let (prefix_len, to) = (from.len(), successor(&from));
    if let Some(after) = request.after {
        from = from.max(behind(after));
    }
    match request.resume {
        After::Start => {}
        After::Key(key) => from = from.max(behind(key)),
        After::Prefix(group) => match successor(&full(group)) {
            Some(above) => from = from.max(above),
            None => return Ok(false),
        },
    }
    // Kept: the walk may fail again before it has begun.
    from = from.max(progress.from.clone());
    let span = Span {
        from: &from,
        to: to.as_deref(),
        reverse: false,
    };
    let rollup = Rollup {
        prefix_len,
        delimiter: request.delimiter,
    };
    if request.delimiter.is_empty() {
        let left = request.limit.saturating_sub(progress.visited);
        let done = Cursor::new(forest, span, None)?.read_each(tree, left, |key, record| {
            progress.visited += 1;
            visit.key(key, record.into())
        });
        return match done {
            Ok(exhausted) => Ok(!exhausted),
            Err(stopped) => {
                progress.from = stopped.unread.or(stopped.ahead).unwrap_or(from);
                Err(stopped.error)
            }
        };
    }
    let mut cursor = Cursor::new(forest, span, Some(rollup))?;
    loop {
        let event = match cursor.next() {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(false),
            Err(error) => {
                progress.from = cursor.stopped().unwrap_or(&from).to_vec();
                return Err(error);
            }
        };
        if progress.visited >= request.limit {
            return Ok(true);
        }
        let group = match event {
            Event::Group(len) => Some(len),
            Event::Record(_) => cursor.group_len(),
        };
        let visited = match (group, event) {
            (None, Event::Record(stored)) => {
                let record = match forest.resolve_at(|| cursor.key().to_vec(), stored) {
                    Ok(Some(record)) => record,
                    Ok(None) => continue,
                    Err(error) => {
                        progress.from = cursor.key().to_vec();
                        return Err(error);
                    }
                };
                visit.key(cursor.split_key(tree.len()), record.into())
            }
            (len, _) => {
                let end = len.unwrap_or(usize::MAX);
                visit.prefix(cursor.key().get(tree.len()..end).unwrap_or(&[]))
            }
        };
        if visited.is_break() {
            return Ok(true);
        }
        progress.visited += 1;
        if let Some(len) = group {
            cursor.skip(len);
        }
    }
}
