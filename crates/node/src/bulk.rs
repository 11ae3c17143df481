//! Many records in one call.

use std::{ffi::CStr, ops::ControlFlow};

use coppice_engine::TreeId;

use crate::raw::{Call, Number, Operation, Reply, Stop};

/// `getMany[database, tree, offset, count](text, bytes, words, slab)`: looks up `count` keys, which are the parts that the first
/// three arguments are. Writes for each a 32-bit word, the value's length or −1 where there is no record, over the key's,
/// and the values into the slab, the first at `offset` and each at a multiple of 8. Returns how many keys were answered: fewer
/// where the slab has no room for more, or the next is not in memory and may not be read in.
pub(crate) struct GetMany;

impl Operation for GetMany {
    const NAME: &'static CStr = c"getMany";
    const ARGUMENTS: usize = 4;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        const ABSENT: u32 = u32::MAX;
        const WORD_BYTES: usize = size_of::<u32>();
        let (mut offset, count) = (
            call.number(Number::Offset) as usize,
            call.number(Number::Count) as usize,
        );
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let keys = scratch.parts.read(call, 0, count, 1)?.copied_into(&mut scratch.page);
        let keys: Vec<&[u8]> = keys.collect();
        let (words, slab) = (call.target(2)?, call.target(3)?);
        let database = call.instance.reader(call.number(Number::Database))?;
        let (mut answered, mut lacking) = (0u32, None);
        let done = database.get_many(TreeId(call.number(Number::Tree)), &keys, &mut |record| {
            let length = match record {
                None => ABSENT,
                Some(record) if slab.write(offset, record.value) => {
                    offset = (offset + record.value.len()).next_multiple_of(8);
                    record.value.len() as u32
                }
                Some(record) => {
                    lacking = Some(record.value.len());
                    return ControlFlow::Break(());
                }
            };
            words.write(WORD_BYTES * answered as usize, &length.to_ne_bytes());
            answered += 1;
            ControlFlow::Continue(())
        });
        scratch.parts.release_large();
        match done {
            // What is in memory is an answer.
            Err(error) if error.is_not_in_memory() && answered > 0 => return Ok(Reply::Integer(answered)),
            other => other?,
        }
        match lacking {
            // Even an empty value may find no room: behind one that filled the slab to the last byte.
            Some(needed) if answered == 0 => Ok(Reply::TooSmall(needed)),
            _ => Ok(Reply::Integer(answered)),
        }
    }
}

/// `putMany[database, tree, count](text, bytes, words)`: puts the parts that the arguments are, `count` of them, a key and its
/// value in turns, in order; how many. Nothing is put where one of them is doubtful.
pub(crate) struct PutMany;

impl Operation for PutMany {
    const NAME: &'static CStr = c"putMany";
    const ARGUMENTS: usize = 3;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let count = call.number(Number::Count);
        let mut scratch = call.instance.scratch()?;
        let mut parts = scratch.parts.read(call, 0, count as usize, 2)?;
        let mut entries = std::iter::from_fn(|| Some((parts.next()?, parts.next()?)));
        let database = call.instance.borrow(call.number(Number::Database))?;
        let put = database.put_many(TreeId(call.number(Number::Tree)), &mut entries);
        scratch.parts.release_large();
        put?;
        Ok(Reply::Integer(count))
    }
}
