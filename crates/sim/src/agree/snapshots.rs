//! Snapshots: each goes on showing what the maps said when it was taken.

use coppice_engine::{Snapshot, TreeId};

use super::{
    Run, TREES,
    calls::{failed, of_record, same},
    handles_of,
    maps::Maps,
    reads::all_of,
};
use crate::session::Checked;

/// So many are held at once.
const MOST: usize = 3;

/// A snapshot, and what it must show.
pub(super) struct Kept {
    snapshot: Snapshot,
    handles: [TreeId; TREES],
    maps: Maps,
}

impl Kept {
    /// Compares all of it.
    fn check(&self) -> Checked<()> {
        for tree in 0..TREES {
            let found = all_of(|range, visit| {
                self.snapshot
                    .scan(self.handles[tree], range, &mut |key, record| visit(key, record))
            })
            .map_err(failed("a scan of a snapshot"))?;
            same!(found, self.maps.all_of(tree), "a snapshot's tree {tree}");
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Takes one, or looks into one, or lets one go.
    pub(super) fn snapshot(&mut self) -> Checked<()> {
        let index = self.choices.below(MOST);
        if index >= self.kept.len() {
            let snapshot = self.database.snapshot().map_err(failed("snapshot"))?;
            self.kept.push(Kept {
                handles: handles_of(|name| snapshot.tree(name))?,
                snapshot,
                maps: self.maps.clone(),
            });
            return Ok(());
        }
        if self.choices.one_in(8) {
            let kept = self.kept.swap_remove(index);
            kept.check()?;
            kept.snapshot.close();
            return Ok(());
        }
        let tree = self.any_tree();
        let (key, prefix) = (self.any_key(tree), self.any_prefix(tree));
        let Kept {
            snapshot,
            handles,
            maps,
        } = &self.kept[index];
        let found = snapshot.get(handles[tree], &key, |record| record.map(of_record));
        let found = found.map_err(failed("get in a snapshot"))?;
        same!(
            found.as_ref(),
            maps.get(tree, &key),
            "get of {key:?} in a snapshot's tree {tree}"
        );
        let found = snapshot
            .count(handles[tree], &prefix)
            .map_err(failed("count in a snapshot"))?;
        let expected = maps.under(tree, &prefix).count() as u64;
        same!(found, expected, "count of {prefix:?} in a snapshot's tree {tree}");
        Ok(())
    }

    /// Compares all that are held.
    pub(super) fn check_snapshots(&self) -> Checked<()> {
        self.kept.iter().try_for_each(Kept::check)
    }
}
