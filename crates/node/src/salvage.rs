//! The rebuilding of a damaged database, as a job that needs no open one.

use std::{path::PathBuf, sync::Arc};

use coppice_engine::{SalvageReport, salvage as rebuild};
use napi::{
    Either, Env, Task,
    bindgen_prelude::{AsyncTask, Buffer},
};
use napi_derive::napi;

use crate::{
    control::{FailureData, answer},
    failure::{Failure, guard},
    job::{JobControl, JobState},
    verify::{ProblemData, problem_data},
};

/// Keys that were lost.
#[napi(object, object_from_js = false)]
pub struct LostKeysData {
    /// Of one tree; absent where it is not known which, or of several.
    pub tree: Option<String>,
    /// What the first of them begin with.
    pub first: Buffer,
    /// What the last of them begin with.
    pub last: Buffer,
    /// How many they were.
    pub records: f64,
}

/// What was kept and lost; the field names are the public ones.
#[napi(object, object_from_js = false)]
pub struct SalvageData {
    /// The last commit that the trees show, where that is known.
    pub version: Option<f64>,
    /// Trees.
    pub trees: f64,
    /// Records in them.
    pub keys: f64,
    /// The tree of what has no place.
    pub lost_and_found: Option<String>,
    /// Records in it.
    pub unplaced: f64,
    /// Frames that could not be read.
    pub lost_frames: f64,
    /// Large values that could not be read.
    pub lost_values: f64,
    /// What was in them.
    pub lost: Vec<LostKeysData>,
    /// Everything that is wrong.
    pub problems: Vec<ProblemData>,
}

/// A database to be rebuilt.
pub struct Salvage {
    source: PathBuf,
    destination: PathBuf,
    state: Arc<JobState>,
}

/// Resolves with what was kept and lost, when the new database is there.
#[napi(catch_unwind, ts_return_type = "Promise<SalvageData | FailureData>")]
pub fn salvage(source: String, destination: String, control: &JobControl) -> AsyncTask<Salvage> {
    AsyncTask::new(Salvage {
        source: PathBuf::from(source),
        destination: PathBuf::from(destination),
        state: control.state(),
    })
}

impl Task for Salvage {
    type Output = Result<SalvageReport, Failure>;
    type JsValue = Either<SalvageData, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(guard(|| {
            let step = &mut |done, total| self.state.step(done, total);
            Ok(rebuild(&self.source, &self.destination, step)?)
        }))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(answer(|| output.map(report_data)))
    }
}

fn report_data(report: SalvageReport) -> SalvageData {
    let lost = report.lost.into_iter().map(|keys| LostKeysData {
        tree: keys.tree,
        first: keys.first.into(),
        last: keys.last.into(),
        records: keys.records as f64,
    });
    SalvageData {
        version: report.version.map(|version| version as f64),
        trees: report.trees as f64,
        keys: report.keys as f64,
        lost_and_found: report.lost_and_found,
        unplaced: report.unplaced as f64,
        lost_frames: report.lost_frames as f64,
        lost_values: report.lost_values as f64,
        lost: lost.collect(),
        problems: report.problems.into_iter().map(problem_data).collect(),
    }
}
