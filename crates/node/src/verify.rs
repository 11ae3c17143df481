//! The check of a whole database, as a job off the event loop that can be watched and called off.

use std::{
    mem,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use coppice_engine::VerifyReport;
use napi::{Either, Env, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::{
    control::FailureData,
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
struct JobState {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl JobState {
    fn step(&self, done: u64, total: u64) -> ControlFlow<()> {
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

/// One thing that is wrong.
#[napi(object, object_from_js = false)]
pub struct ProblemData {
    /// The file's name.
    pub file: String,
    /// Where in it, bytes.
    pub offset: f64,
    /// What it is.
    pub what: String,
}

/// What was found; the field names are the contract's.
#[napi(object, object_from_js = false)]
pub struct VerifyData {
    /// The last commit that was looked at.
    pub version: f64,
    /// Named trees.
    pub trees: f64,
    /// Records in them.
    pub keys: f64,
    /// Blobs.
    pub blobs: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Everything that is wrong.
    pub problems: Vec<ProblemData>,
}

/// Resolves with what was found.
#[napi(catch_unwind, ts_return_type = "Promise<VerifyData | FailureData>")]
pub fn verify(env: Env, database: u32, control: &JobControl) -> AsyncTask<Verification> {
    let state = Arc::clone(&control.state);
    let database = Instance::of(&env).and_then(|instance| instance.database(database));
    AsyncTask::new(match database {
        Ok(database) => Verification::Started(database.start(), state),
        Err(failure) => Verification::Refused(failure),
    })
}

/// The job.
pub enum Verification {
    /// On an open database.
    #[allow(private_interfaces)] // nobody but the macro's code names this type
    Started(Job, Arc<JobState>),
    /// Could not start.
    Refused(Failure),
    /// Was done before.
    Done,
}

impl Task for Verification {
    type Output = Result<VerifyReport, Failure>;
    type JsValue = Either<VerifyData, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let job = mem::replace(self, Self::Done);
        Ok(guard(|| match job {
            Self::Started(database, state) => Ok(database.verify(&mut |done, total| state.step(done, total))?),
            Self::Refused(failure) => Err(failure),
            Self::Done => Err(Failure::internal("a job ran twice")),
        }))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(match output {
            Ok(report) => Either::A(report_data(report)),
            Err(failure) => Either::B(failure.into()),
        })
    }
}

fn report_data(report: VerifyReport) -> VerifyData {
    let problems = report.problems.into_iter().map(|problem| ProblemData {
        file: problem.file,
        offset: problem.offset as f64,
        what: problem.what,
    });
    VerifyData {
        version: report.version as f64,
        trees: report.trees as f64,
        keys: report.keys as f64,
        blobs: report.blobs as f64,
        bytes: report.bytes as f64,
        problems: problems.collect(),
    }
}
