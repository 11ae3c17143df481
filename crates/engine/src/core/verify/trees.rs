//! What a verification has seen of trees: their names in the catalog, and their keys.

use std::collections::{BTreeMap, BTreeSet};

use coppice_frame::Value;
use coppice_store::BlobId;

use crate::core::{CATALOG, read::tree_number};

#[derive(Default)]
pub(super) struct Trees {
    /// The first number that was never used.
    next: u32,
    named: BTreeSet<u32>,
    /// Those that have keys, each with a frame where one is.
    with_keys: BTreeMap<u32, BlobId>,
}

impl Trees {
    pub(super) fn new(next: u32) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    pub(super) fn note_keys(&mut self, tree: u32, blob: BlobId) {
        self.with_keys.entry(tree).or_insert(blob);
    }

    /// Takes in what the catalog has under a name. What is wrong with it.
    pub(super) fn note_name(&mut self, value: Value<'_>) -> Result<(), String> {
        let number = match value {
            Value::Inline(bytes) => tree_number(bytes),
            Value::Extent { .. } => None,
        };
        let tree = number
            .filter(|tree| *tree != CATALOG && *tree < self.next)
            .ok_or("the catalog has a tree without a number")?;
        match self.named.insert(tree) {
            true => Ok(()),
            false => Err(format!("the catalog has tree {tree} under two names")),
        }
    }

    /// Trees that have keys and no name, each with a frame where one is.
    pub(super) fn nameless(self) -> impl Iterator<Item = (u32, BlobId)> {
        let Self { named, with_keys, .. } = self;
        with_keys.into_iter().filter(move |(tree, _)| !named.contains(tree))
    }
}
