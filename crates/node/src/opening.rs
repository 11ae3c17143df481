//! Opening a database off the event loop, as a job that can be watched.

use std::{path::Path, sync::Arc};

use coppice_engine::{Database, Options, ReplayProgress};
use napi::{Either, Env, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::{
    control::{FailureData, OpenData, answer, engine_options},
    failure::{Failure, guard},
    instance::Instance,
};

/// What JavaScript holds of an opening while it runs.
#[napi]
#[derive(Default)]
pub struct OpenProgress {
    progress: Arc<ReplayProgress>,
}

#[napi]
impl OpenProgress {
    /// One that belongs to no opening yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of journal that were read.
    #[napi]
    pub fn done(&self) -> f64 {
        self.progress.done_bytes() as f64
    }

    /// Bytes that there are to read; 0 before that is known, and where there are none.
    #[napi]
    pub fn total(&self) -> f64 {
        self.progress.total_bytes() as f64
    }
}

/// Opens the database in a folder off the event loop; resolves with its handle.
#[napi(catch_unwind, ts_return_type = "Promise<number | FailureData>")]
pub fn open_async(folder: String, options: OpenData, progress: &OpenProgress) -> AsyncTask<Opening> {
    AsyncTask::new(Opening {
        folder,
        options,
        progress: Arc::clone(&progress.progress),
    })
}

/// A database that is being opened off the event loop.
pub struct Opening {
    folder: String,
    options: OpenData,
    progress: Arc<ReplayProgress>,
}

impl Task for Opening {
    type Output = Result<Database, Failure>;
    type JsValue = Either<u32, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(guard(|| {
            let options = Options {
                recovery: Arc::clone(&self.progress),
                ..engine_options(&self.options)?
            };
            Ok(Database::open(Path::new(&self.folder), &options)?)
        }))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(answer(|| Instance::of(&env)?.add(output?)))
    }
}
