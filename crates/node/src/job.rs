//! Long jobs off the event loop, which can be watched and called off.

use std::{
    mem,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use coppice_engine::{Database, Error, OnProgress};
use napi::{
    Either, Env, Task,
    bindgen_prelude::{AsyncTask, ToNapiValue, TypeName},
};
use napi_derive::napi;

use crate::{
    control::{FailureData, answer},
    failure::{Failure, guard},
    instance::Instance,
    open_database::Job,
};

/// What JavaScript holds of a job while it runs.
#[napi]
#[derive(Default)]
pub struct JobControl {
    state: Arc<JobState>,
}

#[derive(Default)]
pub(crate) struct JobState {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl JobState {
    /// Notes how far a job is; breaks where it was called off.
    pub(crate) fn step(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.total.store(total, Relaxed);
        self.done.store(done, Relaxed);
        if self.cancelled.load(Relaxed) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[napi]
impl JobControl {
    /// One that belongs to no job yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the job end with ERR_COPPICE_ABORTED at its next step.
    #[napi]
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Relaxed);
    }

    /// Steps done.
    #[napi]
    pub fn done(&self) -> f64 {
        self.state.done.load(Relaxed) as f64
    }

    /// Steps there are; 0 before the first.
    #[napi]
    pub fn total(&self) -> f64 {
        self.state.total.load(Relaxed) as f64
    }
}

impl JobControl {
    /// For a job that is started by hand.
    pub(crate) fn state(&self) -> Arc<JobState> {
        Arc::clone(&self.state)
    }
}

/// What a job does.
pub trait Work: Send + 'static {
    /// What it comes to, as JavaScript sees it.
    type Answer: Send + ToNapiValue + TypeName;

    /// Does it.
    ///
    /// # Errors
    /// What the promise is to resolve with as a failure.
    fn run(self, database: &Database, on_progress: OnProgress<'_>) -> Result<Self::Answer, Error>;
}

/// A job that was started on an open database, or could not be.
pub struct LongJob<W>(State<W>);

enum State<W> {
    Started(W, Job, Arc<JobState>),
    Refused(Failure),
    Done,
}

/// Starts a job on the database behind a handle.
pub(crate) fn start<W: Work>(env: Env, database: u32, control: &JobControl, work: W) -> AsyncTask<LongJob<W>> {
    let database = Instance::of(&env).and_then(|instance| instance.database(database));
    AsyncTask::new(LongJob(match database {
        Ok(database) => State::Started(work, database.start(), Arc::clone(&control.state)),
        Err(failure) => State::Refused(failure),
    }))
}

impl<W: Work> Task for LongJob<W> {
    type Output = Result<W::Answer, Failure>;
    type JsValue = Either<W::Answer, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let job = mem::replace(&mut self.0, State::Done);
        Ok(guard(|| match job {
            State::Started(work, database, state) => {
                Ok(work.run(&database, &mut |done, total| state.step(done, total))?)
            }
            State::Refused(failure) => Err(failure),
            State::Done => Err(Failure::internal("a job ran twice")),
        }))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(answer(|| output))
    }
}
