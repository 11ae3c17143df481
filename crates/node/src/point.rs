//! Operations on one key: get, record, longestPrefix, has, put, delete, rename; and the counts over a prefix.
//!
//! These are the ones that cost little beside what it costs to call them. So all but `rename` take their numbers from beside the
//! arguments ([`Number`]): `record[database, tree, offset](key, slab)` is one that takes three numbers and two arguments.

use std::ffi::CStr;

use coppice_engine::{Condition, TreeId};

use crate::{
    page::not_text,
    raw::{Call, Number, Operation, Reply, Stop, Target},
    subtree::between,
};

/// `get[database, tree, offset, slabBytes](key)`: writes the value at `offset` of the slab that is in use; answers beside its
/// result with the value's length.
pub(crate) struct Get;

impl Operation for Get {
    const NAME: &'static CStr = c"get";
    const ARGUMENTS: usize = 1;
    const ANSWERS_BESIDE: bool = true;

    #[inline]
    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        get_into(call, &call.slab())
    }
}

/// `getInto[database, tree, offset](key, slab)`: the same with a slab of its own; its result is the length.
pub(crate) struct GetInto;

impl Operation for GetInto {
    const NAME: &'static CStr = c"getInto";
    const ARGUMENTS: usize = 2;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        get_into(call, &call.target(1)?)
    }
}

#[inline(always)]
fn get_into<'call>(call: &Call<'call>, slab: &Target<'call>) -> Result<Reply<'call>, Stop> {
    let mut scratch = call.instance.scratch()?;
    let key = call.roomed_key(0, &mut scratch.key)?;
    let offset = call.number(Number::Offset) as usize;
    let database = call.instance.reader(call.number(Number::Database))?;
    let reply = database.get_roomed(tree(call), key, |record| match record {
        None => Reply::Absent,
        Some(record) if slab.write(offset, record.value) => {
            // Where the next value goes.
            slab.prefetch(offset + record.value.len());
            Reply::Integer(record.value.len() as u32)
        }
        Some(record) => Reply::TooSmall(record.value.len()),
    })?;
    Ok(reply)
}

/// `useSlab(slab)`: from now on `get` writes into this one. 1.
pub(crate) struct UseSlab;

impl Operation for UseSlab {
    const NAME: &'static CStr = c"useSlab";
    const ARGUMENTS: usize = 1;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        call.use_slab(0)?;
        Ok(Reply::Integer(1))
    }
}

/// `record[database, tree, offset](key, slab)`: as `get`, with the version (a double) in front of the value. The length
/// is the value's.
pub(crate) struct Record;

impl Operation for Record {
    const NAME: &'static CStr = c"record";
    const ARGUMENTS: usize = 2;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        const VERSION_BYTES: usize = size_of::<f64>();
        let mut scratch = call.instance.scratch()?;
        let key = call.key(0, &mut scratch.key)?;
        let (slab, offset) = (call.target(1)?, call.number(Number::Offset) as usize);
        let (database, tree) = (call.instance.reader(call.number(Number::Database))?, tree(call));
        let reply = database.get(tree, key, |record| {
            let Some(record) = record else {
                return Reply::Absent;
            };
            let version = (record.version as f64).to_le_bytes();
            if slab.write(offset, &version) && slab.write(offset + VERSION_BYTES, record.value) {
                Reply::Integer(record.value.len() as u32)
            } else {
                Reply::TooSmall(record.value.len() + VERSION_BYTES)
            }
        })?;
        Ok(reply)
    }
}

/// `longestPrefix[database, tree, offset, keysAsBytes](key, slab)`: writes the version and the length of the key found
/// (doubles), the value, and the key's bytes, of the record whose key is the longest stored prefix of `key`. The length is
/// the value's. Fails for a key that is no text, unless keys go as bytes (1, else 0).
pub(crate) struct LongestPrefix;

impl Operation for LongestPrefix {
    const NAME: &'static CStr = c"longestPrefix";
    const ARGUMENTS: usize = 2;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        const HEADER_BYTES: usize = 2 * size_of::<f64>();
        let mut scratch = call.instance.scratch()?;
        let key = call.key(0, &mut scratch.key)?;
        let (slab, offset) = (call.target(1)?, call.number(Number::Offset) as usize);
        let as_bytes = call.number(Number::KeysAsBytes) == 1;
        let (database, tree) = (call.instance.reader(call.number(Number::Database))?, tree(call));
        database.longest_prefix(tree, key, |found| {
            let Some((len, record)) = found else {
                return Ok(Reply::Absent);
            };
            let found = key.get(..len).unwrap_or(key);
            if !as_bytes && std::str::from_utf8(found).is_err() {
                return Err(Stop::Failed(not_text(found)));
            }
            let value = record.value.len();
            let needed = HEADER_BYTES + value + found.len();
            if slab.len().saturating_sub(offset) < needed {
                return Ok(Reply::TooSmall(needed));
            }
            slab.write(offset, &(record.version as f64).to_le_bytes());
            slab.write(offset + size_of::<f64>(), &(found.len() as f64).to_le_bytes());
            slab.write(offset + HEADER_BYTES, record.value);
            slab.write(offset + HEADER_BYTES + value, found);
            Ok(Reply::Integer(value as u32))
        })?
    }
}

/// `has[database, tree](key)`: answers beside its result with 1 or 0.
pub(crate) struct Has;

impl Operation for Has {
    const NAME: &'static CStr = c"has";
    const ARGUMENTS: usize = 1;
    const ANSWERS_BESIDE: bool = true;

    #[inline]
    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let key = call.roomed_key(0, &mut scratch.key)?;
        let database = call.instance.reader(call.number(Number::Database))?;
        let found = database.get_roomed(tree(call), key, |record| record.is_some())?;
        Ok(Reply::Integer(found.into()))
    }
}

/// `put[database, tree, condition, version](key, value)`: the new version. `condition` is one of [`condition`]'s.
pub(crate) struct Put;

impl Operation for Put {
    const NAME: &'static CStr = c"put";
    const ARGUMENTS: usize = 2;

    #[inline]
    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let key = call.key(0, &mut scratch.key)?;
        let value = call.value(1, &mut scratch.value)?;
        let database = call.instance.borrow(call.number(Number::Database))?;
        let version = database.put(tree(call), key, value, condition(call))?;
        scratch.release_large();
        Ok(version.map_or(Reply::Absent, Reply::Number))
    }
}

/// `delete[database, tree, condition, version](key)`: 1 where a record was removed, else 0.
pub(crate) struct Delete;

impl Operation for Delete {
    const NAME: &'static CStr = c"delete";
    const ARGUMENTS: usize = 1;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let key = call.key(0, &mut scratch.key)?;
        let database = call.instance.borrow(call.number(Number::Database))?;
        let removed = database.delete(tree(call), key, condition(call))?;
        Ok(Reply::Integer(removed.into()))
    }
}

/// `rename(database, tree, from, to, overwrite)`: 1 where a record was moved, else 0.
pub(crate) struct Rename;

impl Operation for Rename {
    const NAME: &'static CStr = c"rename";
    const ARGUMENTS: usize = 5;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let overwrite = call.integer(4)? != 0;
        let moved = between(call, |database, tree, from, to| {
            database.rename(tree, from, to, overwrite)
        })?;
        Ok(Reply::Integer(moved.into()))
    }
}

/// `count[database, tree](prefix)`: how many keys start with the prefix.
pub(crate) struct Count;

impl Operation for Count {
    const NAME: &'static CStr = c"count";
    const ARGUMENTS: usize = 1;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let prefix = call.key(0, &mut scratch.key)?;
        let database = call.instance.reader(call.number(Number::Database))?;
        Ok(Reply::Number(database.count(tree(call), prefix)?))
    }
}

/// `isEmpty[database, tree](prefix)`: 1 where no key starts with the prefix, else 0.
pub(crate) struct IsEmpty;

impl Operation for IsEmpty {
    const NAME: &'static CStr = c"isEmpty";
    const ARGUMENTS: usize = 1;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let prefix = call.key(0, &mut scratch.key)?;
        let database = call.instance.reader(call.number(Number::Database))?;
        let empty = database.is_empty(tree(call), prefix)?;
        Ok(Reply::Integer(empty.into()))
    }
}

#[inline(always)]
fn tree(call: &Call<'_>) -> TreeId {
    TreeId(call.number(Number::Tree))
}

/// The condition: 0: none, 1: absent, 2: the version.
#[inline]
fn condition(call: &Call<'_>) -> Condition {
    match call.number(Number::Condition) {
        0 => Condition::Always,
        1 => Condition::IfAbsent,
        _ => Condition::IfVersion(call.instance.numbers.version()),
    }
}
