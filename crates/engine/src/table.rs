//! The blob table: one entry for each frame and each large value, by number.
//!
//! Owns which numbers are in use, what is in memory, and what has changed since the last cut (`cut.rs`). Where a blob lies on
//! disk is the store's to know. A blob is read from the store when it is asked for and not in memory (`pinned/load.rs`), and
//! stays until memory is short (`evict.rs`).
//!
//! A blob has two sides. Its *word*, in an array that readers walk without any lock, says where its memory is. Its
//! *entry*, behind a latch, owns that memory and knows the rest. Whoever changes what a word leads to holds the latch;
//! memory that a word led to is given back only when no reader can be left in it, which is what pinning is for: see
//! [`Pinned`].

mod awaited;
mod buckets;
mod cut;
mod evict;
mod figures;
mod frozen;
mod latched;
#[cfg(all(test, loom))]
mod models;
mod moves;
mod pinned;
mod references;
mod word;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use coppice_frame::{Frame, Invalid, Kind, Skips, TailOrder, validate};
use coppice_sync::{MutexGuard, RwLock};
use parking_lot::Mutex;

use self::{
    buckets::Buckets,
    figures::{EXTENTS_BIT, NodeCounts, STALE, STALE_LENGTH},
    moves::Moves,
    word::Word,
};
use crate::{
    budget::Budget,
    buffer::Buffer,
    error::{Error, ErrorCode},
    fetch::Fetcher,
    pool::Pool,
};

pub(crate) use cut::{Changed, Cut, Held};
pub(crate) use figures::{RECORDS_MASK, words_of};
pub(crate) use frozen::{Hold, Info};
pub(crate) use latched::Latched;
pub(crate) use pinned::Pinned;

/// So many blobs' words are found by one step. They take 32 KiB.
const FIRST_WORDS: usize = 4096;
const FIRST_SLOTS: usize = 64;

/// Where blobs come from that are not in memory.
pub(crate) trait Source: Send + Sync {
    /// Fills `into` with the blob's bytes and checks them against their digest.
    fn read(&self, blob: u32, into: &mut [u8]) -> Result<(), Error>;
    /// Says where a blob lies, for messages.
    fn place(&self, blob: u32) -> String;
    /// What is known of a blob without reading it. For frozen tables, which are not told of their blobs beforehand.
    fn info(&self, _blob: u32) -> Option<Info> {
        None
    }
    /// A hold on the blob, where it is in memory already.
    fn share(&self, _blob: u32) -> Option<Buffer> {
        None
    }
}

/// What a blob is; the value is stored in the slot map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlobKind {
    Trie = 1,
    Flat = 2,
    Value = 3,
}

impl BlobKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Trie),
            2 => Some(Self::Flat),
            3 => Some(Self::Value),
            _ => None,
        }
    }
}

impl From<Kind> for BlobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Trie => Self::Trie,
            Kind::Flat => Self::Flat,
        }
    }
}

/// What is known of a blob beside where its memory is.
struct Entry {
    kind: BlobKind,
    /// Length in bytes.
    bytes: u32,
    /// As of the last cut, as [`Entry::words`] gives them. Memory, where it is, knows better.
    stored_words: (u32, u32),
    memory: Option<Buffer>,
    /// Since the last cut.
    changed: bool,
    /// Whether since the last cut other references lead here.
    recounted: bool,
    /// How many freezes there had been when it last became so.
    changed_after: u64,
    /// Whether a frozen table holds the memory, which may be nowhere else.
    held: bool,
    /// Whether the frame was built here, or was found valid: if it is read again and its digest is right, it is.
    valid: bool,
}

/// Why bytes are not what a blob of their kind must be.
pub(crate) enum FrameFault {
    /// A frame, of another kind.
    OtherKind,
    /// No frame.
    Invalid(Invalid),
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind => f.write_str("holds a frame of another kind"),
            Self::Invalid(invalid) => write!(f, "frame invalid near byte {}: {}", invalid.offset, invalid.what),
        }
    }
}

/// Checks what was read of a blob of this kind; a value may be anything.
pub(crate) fn check_frame(kind: BlobKind, frame: Frame<'_>) -> Result<(), FrameFault> {
    if kind == BlobKind::Value {
        return Ok(());
    }
    match validate(frame) {
        Ok(found) if BlobKind::from(found) == kind => Ok(()),
        Ok(_) => Err(FrameFault::OtherKind),
        Err(invalid) => Err(FrameFault::Invalid(invalid)),
    }
}

impl Entry {
    fn known((kind, bytes, stored_words): Info, memory: Option<Buffer>) -> Self {
        Self {
            kind,
            bytes,
            stored_words,
            held: memory.is_some(),
            memory,
            changed: false,
            recounted: false,
            changed_after: 0,
            valid: false,
        }
    }

    /// What the slot map keeps of the blob for the engine.
    fn words(&self) -> (u32, u32) {
        match &self.memory {
            Some(buffer) => words_of(self.kind, buffer.frame(), self.bytes),
            None => self.stored_words,
        }
    }

    fn live_bytes(&self) -> u32 {
        self.words().1 & !EXTENTS_BIT
    }
}

struct Slot {
    entry: coppice_sync::Mutex<Option<Entry>>,
    /// Keys below a trie frame, or in a flat one; or [`STALE`], or the mark of a count that is being made.
    subtree_keys: AtomicU64,
    /// No key below a trie frame, relative to its base, is longer; or [`STALE_LENGTH`].
    subtree_longest: AtomicU32,
    /// The counts at nodes of a trie frame that were made since the last change below it; none is of any other mark than this,
    /// which is [`STALE`] after a change.
    nodes_mark: AtomicU64,
    node_counts: Mutex<Option<Box<NodeCounts>>>,
    /// Of a flat frame, as walks found it, for others to use. Dropped before the blob gets other memory, and when it leaves it.
    tail_order: Mutex<Option<Arc<TailOrder>>>,
    skips: Mutex<Skips>,
    /// References that lead here beside the first.
    further_references: AtomicU32,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            entry: coppice_sync::Mutex::new(None),
            subtree_keys: AtomicU64::new(STALE),
            subtree_longest: AtomicU32::new(STALE_LENGTH),
            nodes_mark: AtomicU64::new(STALE),
            node_counts: Mutex::default(),
            tail_order: Mutex::default(),
            skips: Mutex::default(),
            further_references: AtomicU32::new(0),
        }
    }
}

impl Slot {
    /// Drops what walks found of a frame's memory.
    fn forget_walks(&self) {
        *self.tail_order.lock() = None;
        *self.skips.lock() = Skips::default();
    }
}

/// Which numbers are what. Taken after latches, never before.
#[derive(Default)]
struct Numbers {
    /// The first number that was never used.
    end: u32,
    free: Vec<u32>,
    /// Numbers of changed blobs; some may have been freed since.
    changed: Vec<u32>,
    /// The same, of blobs that other references lead to.
    recounted: Vec<u32>,
    /// Numbers freed since the last cut, that the store may still know.
    freed: Vec<u32>,
    /// Cuts whose images may not be durable yet, oldest first.
    cuts: Vec<Weak<Vec<Changed>>>,
}

pub(crate) struct Table {
    frame_bytes: usize,
    pool: Arc<Pool>,
    budget: Arc<Budget>,
    /// Held shared by whoever needs frames to stay where they are, alone by who moves them.
    structure: RwLock<()>,
    words: Buckets<Word, FIRST_WORDS>,
    slots: Buckets<Slot, FIRST_SLOTS>,
    numbers: Mutex<Numbers>,
    source: Option<Arc<dyn Source>>,
    /// Reads in for those who do not wait.
    fetcher: Arc<Fetcher>,
    /// Odd while frames are changed together, so that a reader may find a key in none of them: see [`Pinned::begin_move`].
    moves: Moves,
    /// Marks of counts that are being made, so that no two are the same.
    counts: AtomicU64,
    /// How often the table was frozen.
    freezes: AtomicU64,
    /// Of a table as of a freeze, whose entries are made when they are asked for: the table that was frozen.
    live: Option<Arc<Table>>,
    /// Of all others: those that were made of it.
    views: Mutex<Vec<Weak<Table>>>,
    /// Blobs that are not in memory.
    absent: AtomicUsize,
    /// Blobs that more than one reference leads to.
    shared: AtomicUsize,
    /// The blob that eviction looked at last.
    hand: Mutex<usize>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// What [`Table::census`] finds.
#[derive(Default)]
pub(crate) struct Census {
    pub(crate) blobs: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) changed_bytes: u64,
}

impl Table {
    pub(crate) fn new(frame_bytes: usize, budget: Arc<Budget>, source: Option<Arc<dyn Source>>) -> Self {
        Self::with_pool(frame_bytes, Pool::new(frame_bytes, budget), source)
    }

    fn with_pool(frame_bytes: usize, pool: Arc<Pool>, source: Option<Arc<dyn Source>>) -> Self {
        Self {
            frame_bytes,
            budget: Arc::clone(pool.budget()),
            pool,
            structure: RwLock::new(()),
            words: Buckets::new(),
            slots: Buckets::new(),
            numbers: Mutex::default(),
            source,
            fetcher: Arc::default(),
            moves: Moves::new(),
            counts: AtomicU64::new(0),
            freezes: AtomicU64::new(0),
            live: None,
            views: Mutex::default(),
            absent: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            hand: Mutex::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// Who reads in for those who do not wait.
    pub(crate) fn fetcher(&self) -> &Arc<Fetcher> {
        &self.fetcher
    }

    /// What blobs may take of memory.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Where a blob's entry goes, with a word for its memory.
    fn place_for(&self, blob: u32) -> Result<&Slot, Error> {
        let slot = self.slots.get_or_grow(blob as usize);
        slot.filter(|_| self.words.get_or_grow(blob as usize).is_some())
            .ok_or_else(|| Error::new(ErrorCode::Internal, "the database has used up its numbers of blobs"))
    }

    /// Enters a blob that is in no memory. Frames have the size of all frames.
    pub(crate) fn enter(&self, blob: u32, (kind, bytes, words): Info, further_references: u32) -> Result<(), Error> {
        let slot = self.place_for(blob)?;
        *slot.entry.lock() = Some(Entry::known((kind, bytes, words), None));
        slot.subtree_keys.store(STALE, Relaxed);
        slot.subtree_longest.store(STALE_LENGTH, Relaxed);
        slot.nodes_mark.store(STALE, Relaxed);
        self.set_further_references(blob, further_references);
        self.absent.fetch_add(1, Relaxed);
        let mut numbers = self.numbers.lock();
        numbers.end = numbers.end.max(blob + 1);
        Ok(())
    }

    /// Enters all that the store holds into a table that is empty, by ascending number, each with the references that lead to
    /// it beside the first.
    pub(crate) fn enter_all(&self, blobs: impl Iterator<Item = Result<(u32, Info, u32), Error>>) -> Result<(), Error> {
        let (mut end, mut free, mut entered) = (0, Vec::new(), 0);
        for blob in blobs {
            let (blob, info, further_references) = blob?;
            *self.place_for(blob)?.entry.lock() = Some(Entry::known(info, None));
            if further_references > 0 {
                self.set_further_references(blob, further_references);
            }
            entered += 1;
            free.extend(end..blob);
            end = blob + 1;
        }
        free.reverse();
        self.absent.fetch_add(entered, Relaxed);
        let mut numbers = self.numbers.lock();
        (numbers.end, numbers.free) = (end, free);
        Ok(())
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Numbers in use or free.
    pub(crate) fn len(&self) -> usize {
        self.numbers.lock().end as usize
    }

    fn latch(&self, blob: u32) -> Option<MutexGuard<'_, Option<Entry>>> {
        if self.live.is_some() {
            return self.latch_frozen(blob);
        }
        Some(self.slots.get(blob as usize)?.entry.lock())
    }

    /// What the entry of a blob answers; None where there is no such blob.
    fn ask<R>(&self, blob: u32, question: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.latch(blob)?.as_ref().map(question)
    }

    pub(crate) fn kind(&self, blob: u32) -> Option<BlobKind> {
        self.ask(blob, |entry| entry.kind)
    }

    /// Whether the blob is in memory.
    pub(crate) fn is_resident(&self, blob: u32) -> bool {
        self.words.get(blob as usize).is_some_and(Word::is_set)
    }

    /// Frames that are not in memory, of which something is kept that walks found.
    #[cfg(test)]
    pub(crate) fn walks_kept_of_absent_frames(&self) -> usize {
        let is_kept = |blob: &u32| {
            let slot = self.slots.get(*blob as usize);
            slot.is_some_and(|slot| slot.tail_order.lock().is_some())
        };
        let end = self.numbers.lock().end;
        (0..end).filter(|blob| !self.is_resident(*blob)).filter(is_kept).count()
    }

    /// Whether every blob is.
    pub(crate) fn is_all_resident(&self) -> bool {
        self.absent.load(Relaxed) == 0
    }

    /// Whether no blob has this number.
    pub(crate) fn is_free(&self, blob: u32) -> bool {
        self.kind(blob).is_none()
    }

    fn corrupt(&self, blob: u32, what: &str) -> Error {
        let place = self
            .source
            .as_ref()
            .map_or_else(|| format!("blob {blob}"), |source| source.place(blob));
        Error::new(ErrorCode::Corrupt, format!("{place}: {what}"))
    }

    /// Room for a frame to be built in.
    pub(crate) fn frame_buffer(&self) -> Buffer {
        Buffer::for_frame(&self.pool)
    }

    /// A value in memory.
    pub(crate) fn value_buffer(&self, value: &[u8]) -> Buffer {
        Buffer::of_value(&self.pool, value)
    }

    /// Since the open: uses of blobs in memory that were noted, blobs read in, and blobs evicted.
    pub(crate) fn traffic(&self) -> [u64; 3] {
        [&self.hits, &self.misses, &self.evictions].map(|counter| counter.load(Relaxed))
    }

    /// Every blob: its number, kind, length in bytes, live bytes and whether it is in memory.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        for blob in 0..self.len() as u32 {
            let Some(latch) = self.latch(blob) else { continue };
            let Some(entry) = latch.as_ref() else { continue };
            let bytes = u64::from(entry.bytes);
            census.blobs += 1;
            census.resident_bytes += if entry.memory.is_some() { bytes } else { 0 };
            census.changed_bytes += if entry.changed { bytes } else { 0 };
            if entry.kind != BlobKind::Value {
                census.frame_bytes += bytes;
                census.live_bytes += u64::from(entry.live_bytes());
            }
        }
        census
    }
}
