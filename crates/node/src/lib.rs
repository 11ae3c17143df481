//! The addon: Coppice's engine behind Node-API.
//!
//! Owns the crossing between JavaScript and the engine and nothing else: which databases this JavaScript environment
//! has open, how arguments are read and how answers, pages and failures are handed back. Holds no storage logic, and
//! decides nothing about options, defaults or error classes: those are TypeScript's (`src/`), for which alone the
//! functions here are made.
//!
//! Two planes. The *control plane* (`control`, `verify`, `watch`: open, close, flush, stats, …) uses `#[napi]` and may
//! allocate, lock and make promises. The *hot plane* (`point`, `page`, `bulk`, `batch`, `subtree`) is a few plain
//! functions over raw Node-API (`raw`) with integer handles: one call per operation, no object made, nothing allocated
//! on the way of a get.
//!
//! What every entry keeps:
//! - A failure is data: a stable code and a message. JavaScript makes the error.
//! - No panic leaves Rust: it becomes `ERR_COPPICE_INTERNAL`.
//! - Bytes are copied in before a call returns and copied out; no engine memory is ever visible to JavaScript.

pub mod backup;
mod batch;
mod bulk;
pub mod compact;
pub mod control;
pub mod events;
mod failure;
pub mod fetch;
mod handles;
mod instance;
pub mod job;
mod open_database;
mod opened;
pub mod opening;
mod page;
mod parts;
mod point;
mod raw;
pub mod salvage;
pub mod snapshot;
mod subtree;
mod unsettled;
pub mod verify;
pub mod watch;

use std::rc::Rc;

use napi::{
    Env,
    bindgen_prelude::{JsObjectValue, Object},
};
use napi_derive::napi;

use instance::Instance;
use unsettled::Unsettled;

/// Gives each JavaScript environment (the main thread, each worker) its own instance and the hot functions bound to it.
#[napi(module_exports)]
pub fn initialize(exports: Object<'_>, env: Env) -> napi::Result<()> {
    let instance = Instance::install(&env, &exports)?;
    raw::export::<point::Get>(&env, &exports, &instance)?;
    raw::export::<point::GetInto>(&env, &exports, &instance)?;
    raw::export::<point::UseSlab>(&env, &exports, &instance)?;
    raw::export::<point::Record>(&env, &exports, &instance)?;
    raw::export::<point::LongestPrefix>(&env, &exports, &instance)?;
    raw::export::<point::Has>(&env, &exports, &instance)?;
    raw::export::<point::Put>(&env, &exports, &instance)?;
    raw::export::<point::Delete>(&env, &exports, &instance)?;
    raw::export::<point::Rename>(&env, &exports, &instance)?;
    raw::export::<point::Count>(&env, &exports, &instance)?;
    raw::export::<point::IsEmpty>(&env, &exports, &instance)?;
    raw::export::<bulk::GetMany>(&env, &exports, &instance)?;
    raw::export::<bulk::PutMany>(&env, &exports, &instance)?;
    raw::export::<batch::Commit>(&env, &exports, &instance)?;
    raw::export::<subtree::MovePrefix>(&env, &exports, &instance)?;
    raw::export::<subtree::ClonePrefix>(&env, &exports, &instance)?;
    raw::export::<subtree::DeletePrefix>(&env, &exports, &instance)?;
    raw::export::<page::Scan>(&env, &exports, &instance)?;
    raw::export::<page::List>(&env, &exports, &instance)?;
    export_unsettled(&env, exports, &instance)
}

/// The writes once more, as `unsettled`: these do not wait for the disk, which `persist` does for many of them at once.
fn export_unsettled(env: &Env, mut exports: Object<'_>, instance: &Rc<Instance>) -> napi::Result<()> {
    let writes = Object::new(env)?;
    raw::export::<Unsettled<point::Put>>(env, &writes, instance)?;
    raw::export::<Unsettled<point::Delete>>(env, &writes, instance)?;
    raw::export::<Unsettled<point::Rename>>(env, &writes, instance)?;
    raw::export::<Unsettled<bulk::PutMany>>(env, &writes, instance)?;
    raw::export::<Unsettled<batch::Commit>>(env, &writes, instance)?;
    raw::export::<Unsettled<subtree::MovePrefix>>(env, &writes, instance)?;
    raw::export::<Unsettled<subtree::ClonePrefix>>(env, &writes, instance)?;
    raw::export::<Unsettled<subtree::DeletePrefix>>(env, &writes, instance)?;
    exports.set_named_property("unsettled", writes)
}
