//! Writes whose caller waits for the disk later: in `'disk'` mode, too, they return as soon as they are visible.

use std::{ffi::CStr, marker::PhantomData};

use crate::raw::{Call, Operation, Reply, Stop};

/// `O`, without waiting for the disk.
pub(crate) struct Unsettled<O>(PhantomData<O>);

impl<O: Operation> Operation for Unsettled<O> {
    const NAME: &'static CStr = O::NAME;
    const ARGUMENTS: usize = O::ARGUMENTS;

    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop> {
        coppice_engine::unsettled(|| O::run(call))
    }
}
