//! Which trees were dropped while the engine was open: handles of them may still be about.

use std::collections::BTreeMap;

use coppice_sync::{AtomicBool, Ordering, RwLock, Step, is_left_out};

use crate::{
    error::{Error, ErrorCode},
    request::TreeId,
};

/// Numbers of dropped trees, with the names that they had. A number that is in here stays.
#[derive(Default)]
pub(super) struct Dropped {
    any: AtomicBool,
    names: RwLock<BTreeMap<u32, Box<str>>>,
}

impl Dropped {
    pub(super) fn note(&self, tree: u32, name: &str) {
        self.names.write().insert(tree, name.into());
        self.any.store(true, Ordering::Release);
    }

    /// Fails for a tree that was dropped. Costs one load where none was.
    #[inline]
    pub(super) fn check(&self, tree: TreeId) -> Result<(), Error> {
        if self.any.load(Ordering::Acquire) && !is_left_out(Step::LookForDrop) {
            self.look_up(tree)?;
        }
        Ok(())
    }

    fn look_up(&self, tree: TreeId) -> Result<(), Error> {
        match self.names.read().get(&tree.0) {
            Some(name) => Err(Error::new(
                ErrorCode::TreeDropped,
                format!("the tree '{name}' was dropped"),
            )),
            None => Ok(()),
        }
    }
}
