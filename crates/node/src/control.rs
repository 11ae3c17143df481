//! The control plane: what is called a few times in a database's life. Each function answers with its result or with a
//! failure as a plain object `{ code, message, cause? }`, which `src/errors.ts` turns into a `CoppiceError`; none throws for a
//! failure of the engine.
#![allow(clippy::needless_pass_by_value)] // #[napi] hands arguments over as owned values

use std::{mem, path::Path, sync::Arc, time::Duration};

use coppice_engine::{CheckpointReport, Database, Durability, IoUring, Options, Stats};
use napi::{Either, Env, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::{
    failure::{Failure, guard},
    instance::Instance,
    open_database::{Job, OpenDatabase},
};

/// A failure as JavaScript sees it.
#[napi(object, object_from_js = false)]
pub struct FailureData {
    /// One of the `ERR_COPPICE_*` codes.
    pub code: String,
    /// For people.
    pub message: String,
    /// What the operating system said, where it did.
    pub cause: Option<String>,
}

impl From<Failure> for FailureData {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code.to_owned(),
            message: failure.message,
            cause: failure.cause,
        }
    }
}

/// How to open a database: all options, defaults already put in.
#[napi(object, object_to_js = false)]
pub struct OpenData {
    /// Create it where there is none.
    pub create: bool,
    /// Change nothing.
    pub read_only: bool,
    /// `none`, `process` or `disk`.
    pub durability: String,
    /// Milliseconds between background syncs.
    pub sync_interval: f64,
    /// Bytes that frames and values may take in memory.
    pub memory_bytes: f64,
    /// Journal bytes that start a checkpoint.
    pub journal_bytes: f64,
    /// Cuts that may wait for the checkpoint thread.
    pub queue_depth: u32,
    /// Cuts that one write may serve.
    pub coalesce_epochs: u32,
    /// Microseconds for which the first of them waits for a neighbour.
    pub coalesce_window_micros: u32,
    /// `auto`, `always` or `never`.
    pub io_uring: String,
}

/// One checkpoint's figures; the field names are the contract's.
#[napi(object, object_from_js = false)]
pub struct CheckpointData {
    /// The cut.
    pub version: f64,
    /// Blobs that were dirty.
    pub dirty_blobs: f64,
    /// Blobs that were written.
    pub flushed_blobs: f64,
    /// Deletes that were waiting.
    pub pending_deletes: f64,
    /// Deletes that were done.
    pub applied_deletes: f64,
    /// Bytes written.
    pub bytes_written: f64,
    /// Syncs issued.
    pub syncs: f64,
    /// Epochs that the round served.
    pub epochs_coalesced: f64,
    /// How long it took.
    pub duration_ms: f64,
}

/// Counters and sizes, flat; `src/database.ts` gives them the contract's shape.
#[napi(object, object_from_js = false)]
pub struct StatsData {
    /// Records in all trees.
    pub keys: f64,
    /// Trees.
    pub trees: f64,
    /// Frames and extents.
    pub blobs: f64,
    /// Frames on the longest way from a root.
    pub depth_max: f64,
    /// Frames on the mean way from a root.
    pub depth_mean: f64,
    /// Live bytes over all bytes of frames.
    pub fill: f64,
    /// Bytes that blobs may take in memory; 0 where there is no bound.
    pub memory_budget: f64,
    /// Bytes that they take.
    pub memory_used: f64,
    /// Bytes of blobs in memory.
    pub memory_resident: f64,
    /// Of those, changed since the last checkpoint.
    pub memory_dirty: f64,
    /// Uses of blobs in memory that were noted.
    pub memory_hits: f64,
    /// Blobs read from disk.
    pub memory_misses: f64,
    /// Of the blobs read, those for promises.
    pub memory_fetches: f64,
    /// Of the blobs read, those ahead of need.
    pub memory_read_aheads: f64,
    /// Blobs evicted.
    pub memory_evictions: f64,
    /// Bytes of journal that a recovery would read.
    pub journal_bytes: f64,
    /// Bytes ever appended since the database was opened.
    pub journal_appended: f64,
    /// Syncs of the journal.
    pub journal_syncs: f64,
    /// Records appended for each sync.
    pub journal_group_size: f64,
    /// How often a writer waited for a checkpoint.
    pub journal_stalls: f64,
    /// Checkpoints done.
    pub checkpoint_rounds: f64,
    /// Checkpoints that failed.
    pub checkpoint_failures: f64,
    /// Bytes that checkpoints wrote.
    pub checkpoint_bytes_written: f64,
    /// Checkpoints that wait or are being written.
    pub checkpoint_queue_depth: f64,
    /// Whether io_uring writes the blobs.
    pub checkpoint_io_uring: bool,
    /// Why the last one failed.
    pub checkpoint_last_error: Option<String>,
    /// Snapshots that are open.
    pub snapshots_open: f64,
    /// The version of the oldest.
    pub snapshots_oldest_version: Option<f64>,
    /// Blobs that are kept for snapshots alone.
    pub snapshots_pinned_blobs: f64,
    /// Bytes of the database's files.
    pub disk_bytes: f64,
    /// Bytes of them that are free for use.
    pub disk_free: f64,
}

/// Opens the database in a folder; its handle.
#[napi(catch_unwind)]
pub fn open(env: Env, folder: String, options: OpenData) -> Either<u32, FailureData> {
    answer(|| {
        let options = engine_options(&options)?;
        Instance::of(&env)?.add(Database::open(Path::new(&folder), &options)?)
    })
}

/// A volatile database; its handle.
#[napi(catch_unwind)]
pub fn open_in_memory(env: Env) -> Either<u32, FailureData> {
    answer(|| Instance::of(&env)?.add(Database::in_memory()?))
}

/// Opens a tree of a database, creating it when absent, or of a snapshot; its number.
#[napi(catch_unwind)]
pub fn tree(env: Env, database: u32, name: String) -> Either<u32, FailureData> {
    answer(|| Ok(Instance::of(&env)?.reader(database)?.tree(&name)?.0))
}

/// Removes a tree with all its keys; false where there is none of that name.
#[napi(catch_unwind)]
pub fn drop_tree(env: Env, database: u32, name: String) -> Either<bool, FailureData> {
    answer(|| Ok(Instance::of(&env)?.database(database)?.drop_tree(&name)?))
}

/// The names of all trees, in byte order.
#[napi(catch_unwind)]
pub fn trees(env: Env, database: u32) -> Either<Vec<String>, FailureData> {
    answer(|| Ok(Instance::of(&env)?.database(database)?.trees()?))
}

/// Counters and sizes.
#[napi(catch_unwind)]
pub fn stats(env: Env, database: u32) -> Either<StatsData, FailureData> {
    answer(|| Ok(stats_data(Instance::of(&env)?.database(database)?.stats()?)))
}

/// Closes a database; true, also where it was closed before.
#[napi(catch_unwind)]
pub fn close(env: Env, database: u32) -> Either<bool, FailureData> {
    answer(|| {
        if let Some(database) = Instance::of(&env)?.remove(database)? {
            database.close_when_idle()?;
        }
        Ok(true)
    })
}

/// The failure that the last hot call reported.
#[napi(catch_unwind)]
pub fn take_failure(env: Env) -> Option<FailureData> {
    match Instance::of(&env) {
        Ok(instance) => instance.take_failure().map(FailureData::from),
        Err(failure) => Some(failure.into()),
    }
}

/// Resolves with true when all that was written before the call is on disk.
#[napi(catch_unwind, ts_return_type = "Promise<boolean | FailureData>")]
pub fn flush(env: Env, database: u32) -> AsyncTask<Work> {
    Work::start(&env, database, Work::Flush)
}

/// Resolves with true when what was written before the call is on disk; where the database's durability is `none`, at once.
#[napi(catch_unwind, ts_return_type = "Promise<boolean | FailureData>")]
pub fn persist(env: Env, database: u32) -> AsyncTask<Work> {
    Work::start(&env, database, Work::Persist)
}

/// Resolves with the round's figures when all that was written before the call is in the blob store.
#[napi(catch_unwind, ts_return_type = "Promise<CheckpointData | FailureData>")]
pub fn checkpoint(env: Env, database: u32) -> AsyncTask<Work> {
    Work::start(&env, database, Work::Checkpoint)
}

/// Closes a database off the event loop: its handle at once, the rest before it resolves with true.
#[napi(catch_unwind, ts_return_type = "Promise<boolean | FailureData>")]
pub fn close_async(env: Env, database: u32) -> AsyncTask<Work> {
    let removed = Instance::of(&env).and_then(|instance| instance.remove(database));
    AsyncTask::new(match removed {
        Ok(Some(database)) => Work::Close(Closing(database)),
        Ok(None) => Work::Done,
        Err(failure) => Work::Refused(failure),
    })
}

/// What runs off the event loop.
pub enum Work {
    /// Syncs the journal.
    Flush(Started),
    /// Syncs the journal for a write that was made already.
    Persist(Started),
    /// Makes a checkpoint.
    Checkpoint(Started),
    /// Closes a database whose handle is gone already.
    Close(Closing),
    /// Was done before.
    Done,
    /// Could not start.
    Refused(Failure),
}

/// A job on an open database.
pub struct Started(Job);

/// A database to close.
pub struct Closing(Arc<OpenDatabase>);

impl Work {
    fn start(env: &Env, database: u32, kind: fn(Started) -> Self) -> AsyncTask<Self> {
        let database = Instance::of(env).and_then(|instance| instance.database(database));
        AsyncTask::new(database.map_or_else(Self::Refused, |database| kind(Started(database.start()))))
    }

    /// Consumes the job, so that it has ended when this returns.
    fn run(self) -> Result<Option<CheckpointReport>, Failure> {
        match self {
            Self::Flush(Started(database)) => Ok(database.flush().map(|()| None)?),
            Self::Persist(Started(database)) => Ok(database.persist().map(|()| None)?),
            Self::Checkpoint(Started(database)) => Ok(database.checkpoint().map(Some)?),
            Self::Close(Closing(database)) => Ok(database.close_when_idle().map(|()| None)?),
            Self::Done => Ok(None),
            Self::Refused(failure) => Err(failure),
        }
    }
}

impl Task for Work {
    type Output = Result<Option<CheckpointReport>, Failure>;
    type JsValue = Either<Either<bool, CheckpointData>, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let work = mem::replace(self, Self::Done);
        Ok(guard(|| work.run()))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(answer(|| {
            Ok(match output? {
                None => Either::A(true),
                Some(report) => Either::B(checkpoint_data(report)),
            })
        }))
    }
}

pub(crate) fn answer<T>(operation: impl FnOnce() -> Result<T, Failure>) -> Either<T, FailureData> {
    match guard(operation) {
        Ok(result) => Either::A(result),
        Err(failure) => Either::B(failure.into()),
    }
}

pub(crate) fn engine_options(data: &OpenData) -> Result<Options, Failure> {
    Ok(Options {
        create: data.create,
        read_only: data.read_only,
        durability: match data.durability.as_str() {
            "none" => Durability::None,
            "process" => Durability::Process,
            "disk" => Durability::Disk,
            other => return Err(Failure::internal(format!("durability '{other}' passed validation"))),
        },
        sync_interval: Duration::try_from_secs_f64(data.sync_interval / 1000.0)
            .map_err(|error| Failure::internal(format!("syncInterval passed validation: {error}")))?,
        memory_bytes: data.memory_bytes as u64,
        journal_bytes: data.journal_bytes as u64,
        checkpoint_queue_depth: data.queue_depth as usize,
        coalesce_epochs: data.coalesce_epochs as usize,
        coalesce_window: Duration::from_micros(data.coalesce_window_micros.into()),
        io_uring: match data.io_uring.as_str() {
            "auto" => IoUring::Auto,
            "always" => IoUring::Always,
            "never" => IoUring::Never,
            other => return Err(Failure::internal(format!("ioUring '{other}' passed validation"))),
        },
        ..Options::default()
    })
}

pub(crate) fn checkpoint_data(report: CheckpointReport) -> CheckpointData {
    CheckpointData {
        version: report.version as f64,
        dirty_blobs: report.dirty_blobs as f64,
        flushed_blobs: report.flushed_blobs as f64,
        pending_deletes: report.pending_deletes as f64,
        applied_deletes: report.applied_deletes as f64,
        bytes_written: report.bytes_written as f64,
        syncs: report.syncs as f64,
        epochs_coalesced: report.epochs_coalesced as f64,
        duration_ms: report.duration_micros as f64 / 1000.0,
    }
}

fn stats_data(stats: Stats) -> StatsData {
    StatsData {
        keys: stats.keys as f64,
        trees: stats.trees as f64,
        blobs: stats.blobs as f64,
        depth_max: stats.depth_max.into(),
        depth_mean: stats.depth_mean,
        fill: stats.fill,
        memory_budget: stats.memory_budget_bytes as f64,
        memory_used: stats.memory_used_bytes as f64,
        memory_resident: stats.memory_resident_bytes as f64,
        memory_dirty: stats.memory_dirty_bytes as f64,
        memory_hits: stats.memory_hits as f64,
        memory_misses: stats.memory_misses as f64,
        memory_fetches: stats.memory_fetches as f64,
        memory_read_aheads: stats.memory_read_aheads as f64,
        memory_evictions: stats.memory_evictions as f64,
        journal_bytes: stats.journal_bytes as f64,
        journal_appended: stats.journal_appended_bytes as f64,
        journal_syncs: stats.journal_syncs as f64,
        journal_group_size: stats.journal_appended_records as f64 / stats.journal_syncs.max(1) as f64,
        journal_stalls: stats.journal_stalls as f64,
        checkpoint_rounds: stats.checkpoint_rounds as f64,
        checkpoint_failures: stats.checkpoint_failures as f64,
        checkpoint_bytes_written: stats.checkpoint_bytes_written as f64,
        checkpoint_queue_depth: stats.checkpoint_queue_depth as f64,
        checkpoint_io_uring: stats.checkpoint_io_uring,
        checkpoint_last_error: stats.checkpoint_last_error,
        snapshots_open: stats.snapshots_open as f64,
        snapshots_oldest_version: stats.snapshots_oldest_version.map(|version| version as f64),
        snapshots_pinned_blobs: stats.snapshots_pinned_blobs as f64,
        disk_bytes: stats.disk_bytes as f64,
        disk_free: stats.disk_free_bytes as f64,
    }
}
