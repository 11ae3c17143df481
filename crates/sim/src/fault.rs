//! What goes wrong on a simulated disk while it is in use: calls that fail, and a disk that lies.

use crate::medium::AfterFailedSync;

/// The calls of `Disk` and `DiskFile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A file is created.
    Create,
    /// A file is opened.
    Open,
    /// A file gets another name.
    Rename,
    /// A name is removed.
    Remove,
    /// The folder is listed.
    List,
    /// The folder is synced.
    SyncFolder,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// A file is asked for its length.
    Len,
    /// A file is grown.
    Grow,
    /// A file is cut off, or left as long as it is: no full disk stands in the way of that.
    Shrink,
    /// A file is mapped.
    Map,
    /// Pages of a mapped file are made ready.
    Populate,
}

/// How much of a failing call happens all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Of a write, the first half.
    Half,
    /// Everything: only the answer is wrong.
    All,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device gave an error.
    Device(Effect),
    /// The disk was full.
    NoSpace(Effect),
    /// A sync failed, and this is what became of the pages.
    Sync(AfterFailedSync),
    /// A sync says that all is well, and the next one reports the failure, with the pages of its own lost.
    LateSync,
}

impl Failure {
    /// The ways in which a call can fail.
    pub fn of(call: Call) -> &'static [Self] {
        use AfterFailedSync::{NewInCache, Reverted, Written};
        match call {
            Call::Write => &[
                Self::Device(Effect::None),
                Self::Device(Effect::Half),
                Self::Device(Effect::All),
                Self::NoSpace(Effect::None),
                Self::NoSpace(Effect::Half),
                Self::NoSpace(Effect::All),
            ],
            Call::Create | Call::Rename | Call::Grow => &[
                Self::Device(Effect::None),
                Self::Device(Effect::All),
                Self::NoSpace(Effect::None),
            ],
            Call::Remove | Call::Shrink => &[Self::Device(Effect::None), Self::Device(Effect::All)],
            Call::Sync | Call::SyncFolder => &[
                Self::Sync(NewInCache),
                Self::Sync(Reverted),
                Self::Sync(Written),
                Self::LateSync,
            ],
            Call::Open | Call::List | Call::Read | Call::Len | Call::Map | Call::Populate => {
                &[Self::Device(Effect::None)]
            }
        }
    }

    /// Whether it is the disk's being full.
    pub fn is_no_space(self) -> bool {
        matches!(self, Self::NoSpace(_))
    }
}

/// A failure at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which call, counted from 0 over all of them.
    pub at: u64,
    /// How it fails.
    pub failure: Failure,
    /// Whether every later call that can fail in that way does.
    pub lasting: bool,
}

/// The files of a database, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Frames and large values.
    Blobs,
    /// The slot map's log.
    Map,
    /// The redo log.
    Journal,
    /// The superblock.
    Super,
}

impl Class {
    /// The class of a file of this name.
    pub fn of(name: &str) -> Self {
        match name {
            "blobs" => Self::Blobs,
            _ if name.starts_with("map-") => Self::Map,
            _ if name.starts_with("journal-") => Self::Journal,
            _ => Self::Super,
        }
    }
}

/// A disk that lies: each stands for a defect of the engine that would have the same effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of these files do nothing, as if they were not called.
    SkipsSync(Class),
    /// Syncs of files that are not published yet do nothing.
    SkipsSyncOfTemporary,
    /// Syncs of the folder do nothing.
    SkipsFolderSync,
    /// Every sync does nothing.
    SkipsEverySync,
    /// A failed sync is not reported.
    HidesFailedSync(Class),
    /// Every third write does only half, and says that it did all.
    ShortWrites(Class),
    /// Every fifth write does nothing.
    LosesWrites(Class),
    /// Every fifth write goes to the page behind its own.
    Misdirects(Class),
    /// Files are not cut off.
    IgnoresTruncation,
    /// Names are removed, durably, before anything else that waits for its sync.
    RemovesAtOnce,
    /// A rename is durable at once, whatever the file's contents are.
    RenamesAtOnce,
    /// Removals do nothing.
    IgnoresRemoval,
    /// Every seventh read has a flipped bit.
    FlipsBits(Class),
}
