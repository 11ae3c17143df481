//! The open journal: what each call promises, one file per promise.

mod appending;
mod crashes;
mod failures;
#[cfg(shuttle)]
mod models;
mod syncing;
#[cfg(not(shuttle))]
mod trimming;
