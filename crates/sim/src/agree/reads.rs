//! Calls that read.

use std::ops::{Bound, ControlFlow, RangeBounds};

use coppice_engine::{After, Error, ListItem, ListRequest, Range, Record, SplitKey};

use super::{
    Run,
    calls::{failed, of_record, same},
    maps::{Held, Records},
};
use crate::session::{Checked, violation};

/// What a scan is given for each record.
type Visit<'v> = &'v mut dyn FnMut(SplitKey<'_>, Record<'_>) -> ControlFlow<()>;

/// Every record of a tree, by a scan of it.
pub(super) fn all_of(scan: impl FnOnce(&Range<'_>, Visit<'_>) -> Result<bool, Error>) -> Result<Records, Error> {
    let mut found = Records::new();
    let range = Range::ALL;
    let visit = &mut |key: SplitKey<'_>, record: Record<'_>| {
        found.push((key.to_vec(), of_record(record)));
        ControlFlow::Continue(())
    };
    scan(&range, visit)?;
    Ok(found)
}

fn bound(kind: usize, key: &[u8]) -> Bound<&[u8]> {
    match kind {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

impl Run<'_> {
    pub(super) fn get(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let key = self.any_key(tree);
        let found = self
            .database
            .get(self.handles[tree], &key, |record| record.map(of_record));
        let found = found.map_err(failed("get"))?;
        same!(
            found.as_ref(),
            self.maps.get(tree, &key),
            "get of {key:?} in tree {tree}"
        );
        Ok(())
    }

    pub(super) fn get_many(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let keys: Vec<Vec<u8>> = (0..self.choices.below(40)).map(|_| self.any_key(tree)).collect();
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut found = Vec::new();
        self.database
            .get_many(self.handles[tree], &asked, &mut |record| {
                found.push(record.map(of_record));
                ControlFlow::Continue(())
            })
            .map_err(failed("getMany"))?;
        let expected: Vec<Option<Held>> = keys.iter().map(|key| self.maps.get(tree, key).cloned()).collect();
        same!(found, expected, "getMany of {keys:?} in tree {tree}");
        Ok(())
    }

    pub(super) fn longest_prefix(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let mut key = self.any_key(tree);
        if self.choices.one_in(2) {
            key.extend_from_slice(&self.choices.key(self.maps.longest_key()));
            key.truncate(self.maps.longest_key());
        }
        let read = |found: Option<(usize, Record<'_>)>| found.map(|(len, record)| (len, of_record(record)));
        let found = self.database.longest_prefix(self.handles[tree], &key, read);
        let expected = (0..=key.len())
            .rev()
            .find_map(|len| Some((len, self.maps.get(tree, &key[..len])?.clone())));
        same!(
            found.map_err(failed("longestPrefix"))?,
            expected,
            "longestPrefix of {key:?} in tree {tree}"
        );
        Ok(())
    }

    pub(super) fn count(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let prefix = self.any_prefix(tree);
        let expected = self.maps.under(tree, &prefix).count() as u64;
        let found = self
            .database
            .count(self.handles[tree], &prefix)
            .map_err(failed("count"))?;
        same!(found, expected, "count of {prefix:?} in tree {tree}");
        let empty = self
            .database
            .is_empty(self.handles[tree], &prefix)
            .map_err(failed("isEmpty"))?;
        same!(empty, expected == 0, "isEmpty of {prefix:?} in tree {tree}");
        Ok(())
    }

    pub(super) fn scan(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let prefix = if self.choices.one_in(2) {
            self.any_prefix(tree)
        } else {
            Vec::new()
        };
        let (low, high) = (self.any_key(tree), self.any_key(tree));
        let range = Range {
            prefix: &prefix,
            lower: bound(self.choices.below(4), &low),
            upper: bound(self.choices.below(4), &high),
            reverse: self.choices.one_in(2),
        };
        let limit = self.choices.below(60);
        let mut found = Records::new();
        let visit = &mut |key: SplitKey<'_>, record: Record<'_>| {
            if found.len() == limit {
                return ControlFlow::Break(());
            }
            found.push((key.to_vec(), of_record(record)));
            ControlFlow::Continue(())
        };
        let whole = self
            .database
            .scan(self.handles[tree], &range, visit)
            .map_err(failed("scan"))?;
        let bounds = (range.lower, range.upper);
        let inside = self
            .maps
            .tree(tree)
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && bounds.contains(key.as_slice()));
        let mut expected: Records = inside.map(|(key, held)| (key.clone(), held.clone())).collect();
        if range.reverse {
            expected.reverse();
        }
        same!(
            whole,
            expected.len() <= limit,
            "whether a scan of {range:?} in tree {tree} came to its end"
        );
        expected.truncate(limit);
        same!(found, expected, "scan of {range:?} in tree {tree}, at most {limit}");
        Ok(())
    }

    /// Lists to the end, a page after the other.
    pub(super) fn list(&mut self) -> Checked<()> {
        let tree = self.any_tree();
        let prefix = if self.choices.one_in(2) {
            self.any_prefix(tree)
        } else {
            Vec::new()
        };
        let delimiter = self
            .choices
            .pick(&[&b"/"[..], b"/", b"", b"a", b"\0", b"\xFF", b"b/", b"aa"]);
        let after = self.choices.one_in(3).then(|| self.any_key(tree));
        let limit = 1 + self.choices.below(30);
        let mut expected: Vec<(bool, Vec<u8>)> = Vec::new();
        for key in self.maps.under(tree, &prefix) {
            let rest = &key[prefix.len()..];
            let cut = rest
                .windows(delimiter.len().max(1))
                .position(|window| !delimiter.is_empty() && window == delimiter);
            let item = match cut {
                Some(at) => (true, key[..prefix.len() + at + delimiter.len()].to_vec()),
                None => (false, key.clone()),
            };
            let behind = after.as_ref().is_none_or(|after| key > after);
            if behind && expected.last() != Some(&item) {
                expected.push(item);
            }
        }
        let mut found: Vec<(bool, Vec<u8>)> = Vec::new();
        loop {
            let last = found.last().cloned();
            let resume = match &last {
                None => After::Start,
                Some((true, prefix)) => After::Prefix(prefix),
                Some((false, key)) => After::Key(key),
            };
            let request = ListRequest {
                prefix: &prefix,
                delimiter,
                after: after.as_deref(),
                resume,
                limit,
            };
            let mut page = 0;
            let visit = &mut |item: ListItem<'_>| {
                page += 1;
                found.push(match item {
                    ListItem::Key(key, _) => (false, key.to_vec()),
                    ListItem::Prefix(prefix) => (true, prefix.to_vec()),
                });
                ControlFlow::Continue(())
            };
            let more = self
                .database
                .list(self.handles[tree], &request, visit)
                .map_err(failed("list"))?;
            if page > limit {
                return violation!("{page} items on a page of {limit}");
            }
            if !more {
                break;
            }
        }
        same!(
            found,
            expected,
            "listing of {prefix:?} in tree {tree} by {delimiter:?} after {after:?}, pages of {limit}"
        );
        Ok(())
    }
}
