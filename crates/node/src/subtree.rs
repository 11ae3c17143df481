//! Operations on all keys that start with a prefix.

use std::ffi::CStr;

use coppice_engine::{Error, TreeId};

use crate::{
    open_database::OpenDatabase,
    raw::{Call, Operation, Reply, Stop},
};

/// Has a change made from one key or prefix, which is argument 2, to another one, which is argument 3, of a database and a tree of
/// it, which are the first two.
pub(crate) fn between<T>(
    call: &Call<'_>,
    change: impl FnOnce(&OpenDatabase, TreeId, &[u8], &[u8]) -> Result<T, Error>,
) -> Result<T, Stop> {
    let mut scratch = call.instance.scratch()?;
    let scratch = &mut *scratch;
    let from = call.key(2, &mut scratch.key)?;
    let to = call.key(3, &mut scratch.lower)?;
    let database = call.instance.borrow(call.integer(0)?)?;
    Ok(change(&database, TreeId(call.integer(1)?), from, to)?)
}

/// `movePrefix(database, tree, from, to)`: how many keys moved.
pub(crate) struct MovePrefix;

impl Operation for MovePrefix {
    const NAME: &'static CStr = c"movePrefix";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let keys = between(call, |database, tree, from, to| database.move_prefix(tree, from, to))?;
        Ok(Reply::Number(keys))
    }
}

/// `clonePrefix(database, tree, from, to)`: how many keys there are twice now.
pub(crate) struct ClonePrefix;

impl Operation for ClonePrefix {
    const NAME: &'static CStr = c"clonePrefix";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let keys = between(call, |database, tree, from, to| database.clone_prefix(tree, from, to))?;
        Ok(Reply::Number(keys))
    }
}

/// `deletePrefix(database, tree, prefix)`: how many keys went.
pub(crate) struct DeletePrefix;

impl Operation for DeletePrefix {
    const NAME: &'static CStr = c"deletePrefix";
    const ARGUMENTS: usize = 3;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let prefix = call.key(2, &mut scratch.key)?;
        let database = call.instance.borrow(call.integer(0)?)?;
        Ok(Reply::Number(database.delete_prefix(TreeId(call.integer(1)?), prefix)?))
    }
}
