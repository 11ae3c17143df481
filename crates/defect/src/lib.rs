//! Defects that can be planted in the storage core, so that the reliability suites can show that they would find them.
//!
//! Owns the list, and which one is active. The crates of the core ask [`planted`] at the places that a defect is about.
//! Promises that without the feature `planted`, which only the simulator turns on, the answer is a constant `false`: then the
//! compiler leaves out whatever depends on it, and no defect is in what is shipped.

macro_rules! defects {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A mistake that somebody could have made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $($(#[doc = $what])+ $name,)+
        }

        impl Defect {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is wrong, in words.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($what,)+),)+
                }
            }
        }
    };
}

defects! {
    // The journal.
    /// A sync takes the newest segment alone, not those before it that are not on disk yet.
    SyncsNewestSegmentOnly,
    /// A sync takes half of what was appended.
    SyncsHalf,
    /// A sync does not wait for the last record.
    SyncsAllButLast,
    /// A failed sync of the journal counts as done.
    IgnoresFailedSync,
    /// The first failure is not remembered: appends and syncs go on behind it.
    ForgetsFailure,
    /// A segment is left for the next before its opening is on disk.
    RotatesBeforeOpening,
    /// Segments are removed before the opening of the one that stays is on disk.
    TrimsBeforeOpening,
    /// A segment gets its name before its header is on disk.
    NamesSegmentUnsynced,
    /// A new segment's name is not synced.
    LeavesSegmentNameUnsynced,
    /// What a refused append has written stays in the segment.
    KeepsRefusedAppend,
    /// After a torn tail the journal goes on in the same segment.
    AppendsBehindTornTail,
    /// Recovery decides from what only the cache may hold.
    RecoversFromCache,
    /// Recovery leaves out the first record behind the cut.
    ReplaySkipsFirst,
    /// Recovery leaves out the last record.
    ReplayStopsEarly,
    /// Recovery applies a batch twice.
    ReplaysBatchTwice,
    /// Recovery applies the first half of a batch.
    ReplaysHalfBatch,
    /// Recovery believes a record whose digest is wrong.
    BelievesJournalRecords,
    /// Recovery takes damage for a torn tail, whatever stands behind it.
    TakesDamageForTornTail,

    // The store.
    /// The map names images that are not on disk.
    CommitsBeforeData,
    /// A commit returns before the map's record is on disk.
    ReturnsBeforeMap,
    /// The place of an image is reused by the very commit that replaces it.
    ReusesPlacesEarly,
    /// What a failed commit reserved is never given back.
    LeaksReservations,
    /// A record that a full disk refused stays in the map's log.
    KeepsRefusedMapRecord,
    /// A torn tail of the map's log counts as a record.
    BelievesMapRecords,
    /// The map's log is replaced before the new one is on disk.
    RemovesOldMapFirst,
    /// A published file's contents are not synced.
    PublishesUnsynced,
    /// A published file's name is not synced.
    LeavesNameUnsynced,
    /// A blob's bytes are not held against its digest.
    BelievesBlobs,
    /// Deletions in the map's log are not read back.
    ForgetsDeletes,
    /// The first tree number never used is not read back.
    ForgetsTreeNumbers,
    /// Extents that a snapshot names are reused.
    ReusesExtentsOfSnapshots,
    /// A backup's superblock is written before its blobs are on disk.
    BacksUpBeforeData,
    /// The file of blobs is cut off a page too low.
    CutsFileTooLow,
    /// With the room of a free run, that of the page behind it is given back.
    PunchesTooFar,

    // Engine and checkpoint thread.
    /// The journal is trimmed before the checkpoint is on disk.
    TrimsBeforeCommit,
    /// A checkpoint covers a commit more than it holds.
    CutsOneTooHigh,
    /// A checkpoint covers a commit less than it holds.
    CutsOneTooLow,
    /// What a failed checkpoint was to write is not part of the next.
    ForgetsFailedCuts,
    /// A new frame is not part of the next checkpoint.
    ForgetsNewFrames,
    /// A frame changed in place is not part of the next checkpoint.
    ForgetsChangedFrames,
    /// Freed blobs stay in the store.
    ForgetsFreedBlobs,
    /// Frames that a snapshot or a checkpoint holds are changed in place.
    WritesIntoHeldFrames,
    /// The version counter is not brought up to what was replayed.
    ForgetsVersions,
    /// At 'disk' a write returns before it is there.
    ReturnsBeforeSync,
    /// A write whose sync failed is reported as done.
    ReportsUnknownAsDone,
    /// What an opening has put off to sync is left at that.
    ForgetsOpeningSyncs,
    /// A flush does nothing.
    FlushesNothing,
    /// At 'none' a close makes no checkpoint.
    ClosesWithoutCheckpoint,
    /// A batch that is refused keeps its first change.
    KeepsRefusedBatch,
    /// A renamed record's value is freed with the old record.
    FreesRenamedValues,
    /// A deleted subtree finds no grave.
    DigsNoGrave,
    /// A move does not look whether there are keys in its way.
    MovesOntoKeys,
    /// A change is made in a frame that a clone shares.
    WritesIntoSharedFrames,
    /// A frame that was shared gets a copy, and what both lead to is not counted once more.
    ForgetsBelowShared,
    /// What a deletion leaves behind is freed although a clone shares it.
    FreesSharedFrames,
    /// Changed counts of references are not part of the next checkpoint.
    ForgetsReferences,
    /// A kept count of keys survives a change.
    KeepsOldCounts,
    /// A backup's journal begins behind a commit that the backup does not hold.
    BacksUpOneTooHigh,
}

/// Whether this defect is active.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_: Defect) -> bool {
    false
}

#[cfg(feature = "planted")]
mod active {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Defect;

    /// The text is what a build with this feature can be told by.
    struct Active {
        _mark: [u8; 32],
        /// The defect's place among all, counted from 1; 0 for none.
        number: AtomicU8,
    }

    #[used]
    static ACTIVE: Active = Active {
        _mark: *b"coppice: defects can be planted.",
        number: AtomicU8::new(0),
    };

    /// Whether this defect is active.
    #[inline]
    pub fn planted(defect: Defect) -> bool {
        ACTIVE.number.load(Ordering::Relaxed) == defect as u8 + 1
    }

    /// Makes this defect, or none, the active one: in the whole process.
    pub fn plant(defect: Option<Defect>) {
        let number = defect.map_or(0, |defect| defect as u8 + 1);
        ACTIVE.number.store(number, Ordering::Relaxed);
    }
}

#[cfg(feature = "planted")]
pub use active::{plant, planted};
