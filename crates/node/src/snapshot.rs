//! Taking and releasing snapshots. They are read by the hot functions, which take a snapshot's handle for a database's.

use napi::{Either, Env};
use napi_derive::napi;

use crate::{
    control::{FailureData, answer},
    instance::Instance,
};

/// A snapshot that was taken.
#[napi(object, object_from_js = false)]
pub struct SnapshotData {
    /// Its handle.
    pub handle: u32,
    /// The last commit that it shows.
    pub version: f64,
}

/// Takes a snapshot of a database.
#[napi(catch_unwind)]
pub fn snapshot(env: Env, database: u32) -> Either<SnapshotData, FailureData> {
    answer(|| {
        let instance = Instance::of(&env)?;
        let snapshot = instance.database(database)?.snapshot()?;
        let version = snapshot.version() as f64;
        let handle = instance.add_snapshot(snapshot, database)?;
        Ok(SnapshotData { handle, version })
    })
}

/// Releases a snapshot; true, also where it was released before.
#[napi(catch_unwind)]
pub fn close_snapshot(env: Env, snapshot: u32) -> Either<bool, FailureData> {
    answer(|| Instance::of(&env)?.remove_snapshot(snapshot).map(|()| true))
}
