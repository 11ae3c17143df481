//! Databases and trees over frames, blob store and journal.
//!
//! Owns the blob table, the walk across frames, scans, listings and counts, checkpoints and recovery. Knows nothing of
//! Node. [`Database`] is the way in; it and all it gives out may be used from several threads.

mod background;
mod backup;
mod budget;
mod buffer;
mod checkpointer;
mod core;
mod database;
mod error;
mod events;
mod feed;
mod fetch;
mod forest;
mod operation;
mod options;
mod pool;
mod process;
mod registry;
mod request;
mod resident;
mod salvage;
mod scope;
#[cfg(feature = "simulation")]
mod simulation;
mod snapshot;
mod stats;
mod table;
#[cfg(test)]
mod testing;
mod thread;
mod unsettled;
mod verify;
mod watch;

pub use database::Database;
pub use error::{Error, ErrorCode};
pub use events::{Event, Listening, Recovery};
pub use fetch::{Arrival, Arrivals};
pub use operation::{MAX_BATCH_BYTES, OPERATION_BYTES, Operation, Outcome};
pub use options::{
    DEFAULT_FRAME_BYTES, Durability, IoUring, KEY_ROOM_BYTES, MAX_KEY_BYTES, MAX_TREE_NAME_BYTES, MAX_VALUE_BYTES,
    MAX_VERSION, Options, ReplayProgress,
};
pub use request::{After, Condition, ListItem, ListRequest, ListVisitor, Range, Record, SplitKey, TreeId};
pub use resident::resident;
#[cfg(feature = "simulation")]
pub use salvage::salvage_disk;
pub use salvage::{LostKeys, SalvageReport, salvage};
#[cfg(feature = "simulation")]
pub use simulation::World;
pub use snapshot::Snapshot;
pub use stats::{CheckpointReport, Stats};
pub use unsettled::unsettled;
pub use verify::{OnProgress, Problem, VerifyReport};
pub use watch::{Change, Taken, Watch};
