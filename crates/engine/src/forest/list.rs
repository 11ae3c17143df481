//! Delimiter listings with the semantics of S3's ListObjectsV2: keys under a prefix in byte order, those that hold the
//! delimiter behind the prefix rolled up to it, each group once, keys and groups counted alike against the limit.

use super::{
    Cursor, Forest,
    cursor::{Event, Rollup},
};
use crate::{
    error::Error,
    request::{After, ListRequest},
};

/// What a listing comes to; the key or prefix is without the tree's number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listed<'a, 'k> {
    Key(&'k [u8], super::Resolved<'a>),
    Prefix(&'k [u8]),
}

/// The smallest byte string above all that start with `prefix`; none where there is no such.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xFF)?;
    let mut above = prefix.get(..=last)?.to_vec();
    if let Some(byte) = above.last_mut() {
        *byte += 1;
    }
    Some(above)
}

/// Lists a tree's keys; `tree` is the prefix of its full keys. True when there is more.
pub(crate) fn list(
    forest: &Forest<'_>,
    tree: &[u8],
    request: &ListRequest<'_>,
    visit: &mut dyn FnMut(Listed<'_, '_>),
) -> Result<bool, Error> {
    if request.limit == 0 {
        return Ok(false);
    }
    let full = |key: &[u8]| [tree, key].concat();
    let prefix = full(request.prefix);
    // Keys at or after `from`, but not `but`.
    let mut from = prefix.clone();
    let mut but = None;
    let mut start_behind = |key: Vec<u8>| {
        if key >= from {
            from.clone_from(&key);
            but = Some(key);
        }
    };
    if let Some(after) = request.after {
        start_behind(full(after));
    }
    match request.resume {
        After::Start => {}
        After::Key(key) => start_behind(full(key)),
        After::Prefix(group) => match successor(&full(group)) {
            Some(above) if above > from => {
                from = above;
                but = None;
            }
            Some(_) => {}
            None => return Ok(false),
        },
    }
    let rollup = Rollup {
        prefix_len: prefix.len(),
        delimiter: request.delimiter,
    };
    let mut cursor = Cursor::seek(forest, &from, Some(rollup))?;
    let mut left = request.limit;
    while let Some(event) = cursor.next()? {
        if !cursor.key().starts_with(&prefix) {
            break;
        }
        let group = match event {
            Event::Group(len) => Some(len),
            Event::Record(_) if but.as_deref() == Some(cursor.key()) => continue,
            Event::Record(_) => rollup.group_len(cursor.key()),
        };
        if left == 0 {
            return Ok(true);
        }
        left -= 1;
        match (group, event) {
            (Some(len), _) => {
                visit(Listed::Prefix(cursor.key().get(tree.len()..len).unwrap_or(&[])));
                if matches!(event, Event::Record(_)) {
                    cursor.skip(len);
                }
            }
            (None, Event::Record(stored)) => {
                let record = forest.resolve(stored)?;
                visit(Listed::Key(cursor.key().get(tree.len()..).unwrap_or(&[]), record));
            }
            (None, Event::Group(_)) => {}
        }
    }
    Ok(false)
}
