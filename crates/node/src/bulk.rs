//! Many records in one call.

use std::ffi::CStr;

use coppice_engine::TreeId;

use crate::raw::{Call, Operation, Reply, Stop};

/// `putMany(database, tree, keys, values, count)`: puts `keys[i]` = `values[i]` in order; how many. Nothing is put
/// where one of them is doubtful.
pub(crate) struct PutMany;

impl Operation for PutMany {
    const NAME: &'static CStr = c"putMany";
    const ARGUMENTS: usize = 5;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        let mut scratch = call.instance.scratch()?;
        let scratch = &mut *scratch;
        let count = call.integer(4)?;
        // Copied together, because reading the next element may run JavaScript, which may change the bytes of the last.
        let mut bytes = Vec::new();
        let mut lengths = Vec::with_capacity(count as usize);
        for position in 0..count {
            let key = call.key_of_array(2, position, &mut scratch.key, &mut bytes)?;
            let value = call.value_of_array(3, position, &mut scratch.value, &mut bytes)?;
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
