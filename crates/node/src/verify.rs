//! The check of a whole database, as a job.

use coppice_engine::{Database, Error, OnProgress, Problem, VerifyReport};
use napi::{Env, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::job::{self, JobControl, LongJob, Work};

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

/// The check.
pub struct Verification;

/// Resolves with what was found.
#[napi(catch_unwind, ts_return_type = "Promise<VerifyData | FailureData>")]
pub fn verify(env: Env, database: u32, control: &JobControl) -> AsyncTask<LongJob<Verification>> {
    job::start(env, database, control, Verification)
}

impl Work for Verification {
    type Answer = VerifyData;

    fn run(self, database: &Database, on_progress: OnProgress<'_>) -> Result<VerifyData, Error> {
        database.verify(on_progress).map(report_data)
    }
}

pub(crate) fn problem_data(problem: Problem) -> ProblemData {
    ProblemData {
        file: problem.file,
        offset: problem.offset as f64,
        what: problem.what,
    }
}

fn report_data(report: VerifyReport) -> VerifyData {
    VerifyData {
        version: report.version as f64,
        trees: report.trees as f64,
        keys: report.keys as f64,
        blobs: report.blobs as f64,
        bytes: report.bytes as f64,
        problems: report.problems.into_iter().map(problem_data).collect(),
    }
}
