//! Giving file space back, as a job.

use coppice_engine::{Database, Error, OnProgress};
use napi::{Env, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::job::{self, JobControl, LongJob, Work};

/// The job.
pub struct Compaction;

/// Resolves with how many bytes were given back.
#[napi(catch_unwind, ts_return_type = "Promise<number | FailureData>")]
pub fn compact(env: Env, database: u32, control: &JobControl) -> AsyncTask<LongJob<Compaction>> {
    job::start(env, database, control, Compaction)
}

impl Work for Compaction {
    type Answer = f64;

    fn run(self, database: &Database, on_progress: OnProgress<'_>) -> Result<f64, Error> {
        database.compact(on_progress).map(|bytes| bytes as f64)
    }
}
