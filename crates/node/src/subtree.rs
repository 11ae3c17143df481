//! Operations on all keys that start with a prefix.

use std::ffi::CStr;

use coppice_engine::TreeId;

use crate::raw::{Call, Operation, Reply, Stop};

/// `movePrefix(database, tree, from, to)`: how many keys moved.
pub(crate) struct MovePrefix;

impl Operation for MovePrefix {
    const NAME: &'static CStr = c"movePrefix";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let from = call.key(2, &mut scratch.key)?;
        let to = call.key(3, &mut scratch.lower)?;
        let database = call.instance.borrow(call.integer(0)?)?;
        Ok(Reply::Number(database.move_prefix(
            TreeId(call.integer(1)?),
            from,
            to,
        )?))
    }
}

/// `clonePrefix(database, tree, from, to)`: how many keys there are twice now.
pub(crate) struct ClonePrefix;

impl Operation for ClonePrefix {
    const NAME: &'static CStr = c"clonePrefix";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let from = call.key(2, &mut scratch.key)?;
        let to = call.key(3, &mut scratch.lower)?;
        let database = call.instance.borrow(call.integer(0)?)?;
        Ok(Reply::Number(database.clone_prefix(
            TreeId(call.integer(1)?),
            from,
            to,
        )?))
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
