//! The copy of a whole database, as a job.

use std::path::PathBuf;

use coppice_engine::{Database, Error, OnProgress};
use napi::{Env, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::job::{self, JobControl, LongJob, Work};

/// A copy to be made.
pub struct Backup {
    destination: PathBuf,
}

/// Resolves with true when the copy is there.
#[napi(catch_unwind, ts_return_type = "Promise<boolean | FailureData>")]
pub fn backup(env: Env, database: u32, destination: String, control: &JobControl) -> AsyncTask<LongJob<Backup>> {
    let destination = PathBuf::from(destination);
    job::start(env, database, control, Backup { destination })
}

impl Work for Backup {
    type Answer = bool;

    fn run(self, database: &Database, on_progress: OnProgress<'_>) -> Result<bool, Error> {
        database.backup(&self.destination, on_progress).map(|()| true)
    }
}
