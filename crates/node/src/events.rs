//! Events of a database on their way to JavaScript, for as long as somebody there listens.
//!
//! They happen on threads of the engine's and are queued for the event loop, which they do not keep alive. What does not
//! fit into the queue, because the event loop is held up, is dropped: nobody may wait for a listener.
#![allow(clippy::needless_pass_by_value)] // #[napi] hands arguments over as owned values

use coppice_engine::{Event, Recovery};
use napi::{
    Either, Env, Status,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue},
};
use napi_derive::napi;

use crate::{
    control::{CheckpointData, FailureData, answer, checkpoint_data},
    failure::Failure,
    instance::Instance,
};

/// Events that wait for the event loop at most.
const QUEUED_EVENTS: usize = 1024;

/// One event: exactly one of these is there.
#[napi(object, object_from_js = false)]
pub struct EventData {
    /// What a checkpoint did.
    pub checkpoint: Option<CheckpointData>,
    /// Milliseconds that a write waited.
    pub waited_ms: Option<f64>,
    /// What failed.
    pub failure: Option<FailureData>,
}

/// What recovery did.
#[napi(object, object_from_js = false)]
pub struct RecoveryData {
    /// Records that were applied.
    pub records: f64,
    /// Bytes of journal that were read.
    pub bytes: f64,
    /// How long that took.
    pub duration_ms: f64,
}

type Listener = ThreadsafeFunction<EventData, UnknownReturnValue, EventData, Status, false, true, QUEUED_EVENTS>;

/// Calls `listener` with each event until `unlisten`, or until the database is closed; instead of the one before.
#[napi(
    catch_unwind,
    ts_args_type = "database: number, listener: (event: EventData) => void"
)]
pub fn listen(env: Env, database: u32, listener: Listener) -> Either<bool, FailureData> {
    answer(|| {
        Instance::of(&env)?
            .database(database)?
            .listen_until_close(move |event| {
                listener.call(event_data(event), ThreadsafeFunctionCallMode::NonBlocking);
            })?;
        Ok(true)
    })
}

/// Calls the listener no more.
#[napi(catch_unwind)]
pub fn unlisten(env: Env, database: u32) -> Either<bool, FailureData> {
    answer(|| {
        Instance::of(&env)?.database(database)?.end_listening();
        Ok(true)
    })
}

/// What recovery did at the opening, once; null where there was nothing to do.
#[napi(catch_unwind)]
pub fn take_recovery(env: Env, database: u32) -> Either<Option<RecoveryData>, FailureData> {
    answer(|| {
        let recovery = Instance::of(&env)?.database(database)?.take_recovery()?;
        Ok(recovery.map(recovery_data))
    })
}

fn event_data(event: Event<'_>) -> EventData {
    let nothing = EventData {
        checkpoint: None,
        waited_ms: None,
        failure: None,
    };
    match event {
        Event::Checkpoint(report) => EventData {
            checkpoint: Some(checkpoint_data(*report)),
            ..nothing
        },
        Event::Backpressure(waited) => EventData {
            waited_ms: Some(waited.as_secs_f64() * 1000.0),
            ..nothing
        },
        Event::Failure(error) => EventData {
            failure: Some(Failure::from(error.clone()).into()),
            ..nothing
        },
    }
}

fn recovery_data(recovery: Recovery) -> RecoveryData {
    RecoveryData {
        records: recovery.records as f64,
        bytes: recovery.bytes as f64,
        duration_ms: recovery.duration.as_secs_f64() * 1000.0,
    }
}
