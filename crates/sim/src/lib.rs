//! The simulated disk and the crash explorer that tests run the engine on. Nothing that is shipped depends on it.
//!
//! Owns the model of what a disk may do to a database: [`Medium`] is a disk at one moment, [`CutStyle`] a way for power to
//! fail, [`Fault`] and [`Lie`] what goes wrong in use, [`SimDisk`] all of it behind the engine's own traits. [`Session`]
//! runs a workload with a model of its contents beside it, and [`explore_seed`] tries every I/O boundary of that. [`agree`]
//! leaves the disk alone and compares every call with ordered maps.
//!
//! Promises that one seed fixes everything: what fails prints its seed, and comes again from it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test instrument says that it is broken"
)]

mod agree;
mod backups;
mod contents;
mod cut;
mod damage;
mod disk;
mod explore;
mod fault;
mod faults;
mod hunt;
#[cfg(target_os = "linux")]
mod loop_mount;
mod medium;
mod model;
mod put_off;
mod salvages;
mod session;
mod soak;
mod suites;
mod workload;

pub use agree::{Agreed, Choices, agree, agreement_suite};
pub use backups::{BackedUp, backup_matrix};
pub use contents::Contents;
pub use cut::CutStyle;
pub use damage::{Damaged, damage_matrix};
pub use disk::{Event, SimDisk};
pub use explore::{Effort, Explored, explore_seed, explore_session};
pub use fault::{Call, Class, Effect, Failure, Fault, Lie};
pub use faults::{Tried, fault_matrix};
pub use hunt::{Hunted, NO_DEFECT, defect_named, hunt, hunt_here};
#[cfg(target_os = "linux")]
pub use loop_mount::LoopMount;
pub use medium::{AfterFailedSync, Change, FileId, Medium};
pub use model::{Census, Commit, Edit, Mark, Model, OnRecord, Readable, Tree, Value};
pub use salvages::{Rebuilt, salvage_matrix};
pub use session::{Checked, Left, Legal, Session, Violation};
pub use soak::{Killed, Place, Soaked, Task, soak};
pub use suites::{
    Figures, backup_suite, crash_suite, damage_suite, failed_sync_suite, fault_suite, line, run_seeds, salvage_suite,
    test_seeds,
};
pub use workload::{Handles, Part, Profile, Step};
