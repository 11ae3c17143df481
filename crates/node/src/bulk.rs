//! Many records in one call.

use std::{ffi::CStr, ops::ControlFlow};

use coppice_engine::TreeId;

use crate::raw::{Call, Operation, Reply, Stop};

/// `getMany(database, tree, keys, start, count, lengths, slab, offset)`: looks up `keys[start]` and the `count` − 1 behind
/// it. Writes for each a 32-bit word, the value's length or −1 where there is no record, into `lengths`, and the values
/// into the slab, the first at `offset` and each at a multiple of 8. Returns how many keys were answered: fewer where the
/// slab, or `lengths`, has no room for more, or the next is not in memory and may not be read in.
pub(crate) struct GetMany;

impl Operation for GetMany {
    const NAME: &'static CStr = c"getMany";
    const ARGUMENTS: usize = 8;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        const ABSENT: u32 = u32::MAX;
        const WORD_BYTES: usize = size_of::<u32>();
        let (start, count) = (call.integer(3)?, call.integer(4)?);
        let elements = call.elements(2, start..start.saturating_add(count))?;
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let bytes = &mut scratch.page;
        bytes.clear();
        let mut lengths = Vec::with_capacity(count as usize);
        for element in &elements {
            lengths.push(call.add_key(element, &mut scratch.key, bytes)?);
        }
        let mut rest = bytes.as_slice();
        let keys: Vec<&[u8]> = lengths
            .iter()
            .filter_map(|&length| {
                let (key, behind) = rest.split_at_checked(length)?;
                rest = behind;
                Some(key)
            })
            .collect();
        let database = call.instance.reader(call.integer(0)?)?;
        let (words, slab, mut offset) = (call.target(5)?, call.target(6)?, call.integer(7)? as usize);
        let (mut answered, mut lacking) = (0u32, None);
        let done = database.get_many(TreeId(call.integer(1)?), &keys, &mut |record| {
            let at = WORD_BYTES * answered as usize;
            if words.len() < at + WORD_BYTES {
                return ControlFlow::Break(());
            }
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
            words.write(at, &length.to_ne_bytes());
            answered += 1;
            ControlFlow::Continue(())
        });
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

/// `putMany(database, tree, keys, values, count)`: puts `keys[i]` = `values[i]` in order; how many. Nothing is put
/// where one of them is doubtful.
pub(crate) struct PutMany;

impl Operation for PutMany {
    const NAME: &'static CStr = c"putMany";
    const ARGUMENTS: usize = 5;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let count = call.integer(4)?;
        let (keys, values) = (call.elements(2, 0..count)?, call.elements(3, 0..count)?);
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let mut bytes = Vec::new();
        let mut lengths = Vec::with_capacity(count as usize);
        for (key, value) in keys.iter().zip(&values) {
            let key = call.add_key(key, &mut scratch.key, &mut bytes)?;
            let value = call.add_value(value, &mut scratch.value, &mut bytes)?;
            lengths.push((key, value));
        }
        scratch.release_large();
        let mut rest = bytes.as_slice();
        let mut entries = lengths.iter().filter_map(|&(key, value)| {
            let (entry, behind) = rest.split_at_checked(key + value)?;
            rest = behind;
            entry.split_at_checked(key)
        });
        let database = call.instance.borrow(call.integer(0)?)?;
        database.put_many(TreeId(call.integer(1)?), &mut entries)?;
        Ok(Reply::Integer(count))
    }
}
