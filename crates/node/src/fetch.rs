//! Reads that do not wait for the disk. A handle of its own stands for what is in memory of a database; a hot function that
//! is called with it and finds something lacking says so. `fetch`, called next, has that read in by one of the engine's
//! threads, and one call of a function tells of all that has come in by then, whereupon JavaScript asks again.
#![allow(clippy::needless_pass_by_value)] // #[napi] hands arguments over as owned values

use napi::{
    Either, Env, Status,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue},
};
use napi_derive::napi;

use crate::{
    control::{FailureData, answer},
    failure::Failure,
    instance::Instance,
    opened::{Opened, Resident},
};

/// Called when there is something to take. Does not keep the event loop alive: who waits does.
type Callback = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false, true>;

/// A read that was waited for.
#[napi(object, object_from_js = false)]
pub struct ArrivalData {
    /// The number that it was asked for under.
    pub ticket: u32,
    /// Why it failed, where it did.
    pub failure: Option<FailureData>,
}

/// A handle, for the hot functions that read, on what is in memory of a database. `arrived` is called when reads that were
/// waited for have come in.
#[napi(catch_unwind, ts_args_type = "database: number, arrived: () => void")]
pub fn resident(env: Env, database: u32, arrived: Callback) -> Either<u32, FailureData> {
    answer(|| {
        let instance = Instance::of(&env)?;
        let arrivals = instance.database(database)?.arrivals(move || {
            arrived.call((), ThreadsafeFunctionCallMode::NonBlocking);
        })?;
        instance.add_resident(database, arrivals)
    })
}

/// Has what the last hot call lacked read in; true. To be called right after that, with its handle. `again`: for a number that
/// was waited for before.
#[napi(catch_unwind)]
pub fn fetch(env: Env, resident: u32, ticket: u32, again: bool) -> Either<bool, FailureData> {
    answer(|| {
        with_resident(&env, resident, |resident| {
            Ok(resident.open.fetch(&resident.arrivals, ticket, again)?)
        })?;
        Ok(true)
    })
}

/// What has come in.
#[napi(catch_unwind)]
pub fn take_arrivals(env: Env, resident: u32) -> Either<Vec<ArrivalData>, FailureData> {
    answer(|| {
        let arrived = with_resident(&env, resident, |resident| Ok(resident.arrivals.take()))?;
        let told = arrived.into_iter().map(|arrival| ArrivalData {
            ticket: arrival.ticket,
            failure: arrival.outcome.err().map(|error| Failure::from(error).into()),
        });
        Ok(told.collect())
    })
}

fn with_resident<T>(env: &Env, handle: u32, ask: impl FnOnce(&Resident) -> Result<T, Failure>) -> Result<T, Failure> {
    let instance = Instance::of(env)?;
    let opened = instance.reader(handle)?;
    match &*opened {
        Opened::Resident(resident) => ask(resident),
        _ => Err(Failure::internal("the handle is not one for reads alone")),
    }
}
