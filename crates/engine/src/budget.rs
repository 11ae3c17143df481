//! How much memory blobs take, and how much of it they may.
//!
//! Owns the count of all buffers: of blobs in memory, of cuts that are being written, and of what was replaced or evicted
//! and may still have readers. Reads may fill it up to a part that is kept for writes; what writes have changed and no
//! checkpoint has written yet may take up another part, so that there is always something to evict.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use coppice_sync::{Condvar, Mutex};

use crate::error::{Error, ErrorCode};

/// Fewer frames than this do not let a change, a checkpoint and readers get on with one another.
const LEAST_FRAMES: usize = 64;
/// The part that is kept for writes, in frames at least and at most.
const LEAST_RESERVE_FRAMES: usize = 24;
const MOST_RESERVE_FRAMES: usize = 256;
/// What a full part of all memory is divided by.
const RESERVE_PARTS: usize = 16;
/// Evicted ahead of need, in frames at least and at most.
const LEAST_STOCK_FRAMES: usize = 8;
const MOST_STOCK_FRAMES: usize = 128;
const STOCK_PARTS: usize = 32;
/// What is left beside what is nowhere but in memory, so that there is something to evict, in frames at least.
const LEAST_CLEAN_FRAMES: usize = 8;
const CLEAN_PARTS: usize = 8;
/// Snapshots and verifications may hold this part of what reads may fill.
const HELD_PARTS: usize = 4;
/// Memory is full enough for checkpoints but for this part of what writers may use of it.
const FULL_PARTS: usize = 16;
/// No value may take more than this part of all memory.
const VALUE_PARTS: usize = 4;

/// Bytes, each limit from the option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of everything.
    pub(crate) total: usize,
    /// Up to where reads fill memory.
    pub(crate) reads: usize,
    /// Above this, clean blobs are evicted.
    pub(crate) evict_above: usize,
    /// What must be free for a change to start.
    pub(crate) reserve: usize,
    /// Changed bytes that start a checkpoint once memory is full. Before, a checkpoint would only have frames written
    /// that are soon changed again.
    pub(crate) checkpoint: usize,
    /// Bytes in use that are full memory.
    pub(crate) full: usize,
    /// Bytes that are changed, being written, or held, at which writers wait.
    pub(crate) unsettled: usize,
    /// What snapshots and verifications may hold of what is nowhere but in memory.
    pub(crate) held: usize,
    /// The longest value.
    pub(crate) value: usize,
}

impl Limits {
    const NONE: Self = Self {
        total: usize::MAX,
        reads: usize::MAX,
        evict_above: usize::MAX,
        reserve: 0,
        checkpoint: usize::MAX,
        full: usize::MAX,
        unsettled: usize::MAX,
        held: usize::MAX,
        value: usize::MAX,
    };

    fn of(total: usize, frame_bytes: usize) -> Self {
        let frames = |part: usize, least: usize, most: usize| part.clamp(least * frame_bytes, most * frame_bytes);
        let reserve = frames(total / RESERVE_PARTS, LEAST_RESERVE_FRAMES, MOST_RESERVE_FRAMES);
        let stock = frames(total / STOCK_PARTS, LEAST_STOCK_FRAMES, MOST_STOCK_FRAMES);
        let reads = total - reserve;
        let evict_above = reads - stock;
        let clean = frames(evict_above / CLEAN_PARTS, LEAST_CLEAN_FRAMES, usize::MAX / frame_bytes);
        let unsettled = evict_above - clean;
        Self {
            total,
            reads,
            evict_above,
            reserve,
            checkpoint: unsettled / 2,
            full: unsettled - unsettled / FULL_PARTS,
            unsettled,
            held: evict_above / HELD_PARTS,
            value: total / VALUE_PARTS,
        }
    }

    /// Of what is only read, and what has changed stays for good: bounded is what reads fill memory with beside that.
    fn of_reads(total: usize, changed: usize, frame_bytes: usize) -> Self {
        let limits = Self::of(total, frame_bytes);
        Self {
            total: total.saturating_add(changed),
            reads: limits.reads.saturating_add(changed),
            evict_above: limits.evict_above.saturating_add(changed),
            value: limits.value,
            ..Self::NONE
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    /// In their place since [`Budget::bound_reads`].
    reading: OnceLock<Limits>,
    /// Bytes of all buffers.
    used: AtomicUsize,
    /// Of blobs changed since the last cut.
    changed: AtomicUsize,
    /// Of buffers that cuts hold which are not durable yet.
    cut: AtomicUsize,
    /// Of evicted buffers that may still have readers.
    evicted: AtomicUsize,
    /// Of buffers that snapshots and verifications hold.
    held: AtomicUsize,
    turn: Mutex<()>,
    settled: Condvar,
    /// The most that was ever used.
    #[cfg(test)]
    peak: AtomicUsize,
}

impl Budget {
    /// No bound.
    pub(crate) fn unbounded() -> Arc<Self> {
        Self::with(Limits::NONE)
    }

    /// So many bytes for blobs, where frames have this size.
    ///
    /// # Errors
    /// `InvalidArgument` where that is too little to work, with what would do.
    pub(crate) fn new(total: u64, frame_bytes: usize) -> Result<Arc<Self>, Error> {
        Ok(Self::with(Limits::of(enough(total, frame_bytes)?, frame_bytes)))
    }

    /// Bounds from now on what is read to so many bytes, beside what has changed until now and nothing will change or write:
    /// of a budget that has no bound yet.
    ///
    /// # Errors
    /// As [`Budget::new`].
    pub(crate) fn bound_reads(&self, total: u64, frame_bytes: usize) -> Result<(), Error> {
        let total = enough(total, frame_bytes)?;
        self.reading
            .get_or_init(|| Limits::of_reads(total, self.changed(), frame_bytes));
        Ok(())
    }

    fn with(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            reading: OnceLock::new(),
            used: AtomicUsize::new(0),
            changed: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            evicted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            turn: Mutex::new(()),
            settled: Condvar::new(),
            #[cfg(test)]
            peak: AtomicUsize::new(0),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.reading.get().unwrap_or(&self.limits)
    }

    /// The bound; none where there is none.
    pub(crate) fn total(&self) -> Option<usize> {
        Some(self.limits().total).filter(|total| *total < usize::MAX)
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// What would be used if evicted buffers had no readers.
    pub(crate) fn in_use(&self) -> usize {
        self.used().saturating_sub(self.evicted.load(Relaxed))
    }

    /// Counts a buffer that must be.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.used.fetch_add(bytes, Relaxed);
        self.charged(bytes)
    }

    /// Counts a buffer if all together stay within `limit`.
    pub(crate) fn charge_within(self: &Arc<Self>, bytes: usize, limit: usize) -> Option<Charge> {
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used.fetch_update(AcqRel, Relaxed, within).ok()?;
        Some(self.charged(bytes))
    }

    fn charged(self: &Arc<Self>, bytes: usize) -> Charge {
        #[cfg(test)]
        self.peak.fetch_max(self.used(), Relaxed);
        Charge {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// The most that was ever used.
    #[cfg(test)]
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// Whether a change may start that puts so much into memory beside frames.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let needed = self.limits.reserve.saturating_add(more);
        self.used().saturating_add(needed) <= self.limits.total
    }

    /// What is free.
    pub(crate) fn room(&self) -> usize {
        self.limits.total.saturating_sub(self.used())
    }

    pub(crate) fn note_changed(&self, bytes: u32) {
        self.changed.fetch_add(bytes as usize, Relaxed);
    }

    pub(crate) fn note_unchanged(&self, bytes: u32) {
        self.changed.fetch_sub(bytes as usize, Relaxed);
    }

    /// Bytes of blobs changed since the last cut.
    pub(crate) fn changed(&self) -> usize {
        self.changed.load(Relaxed)
    }

    /// Bytes of cuts that are not durable yet.
    fn cut(&self) -> usize {
        self.cut.load(Relaxed)
    }

    /// Bytes that are nowhere but in memory.
    pub(crate) fn unsettled(&self) -> usize {
        self.changed() + self.cut()
    }

    /// Whether there is so much of that or held, with so much more to come, that writers must wait.
    pub(crate) fn is_clogged(&self, more: usize) -> bool {
        let kept = self.unsettled() + self.held.load(Relaxed);
        kept.saturating_add(more) >= self.limits.unsettled
    }

    /// Whether so much is nowhere but in memory, or held, that more of it, which no checkpoint can write, would leave reads
    /// nothing to evict.
    pub(crate) fn leaves_too_little_to_evict(&self) -> bool {
        let kept = self.unsettled() + self.held.load(Relaxed);
        kept >= usize::midpoint(self.limits.unsettled, self.limits.evict_above)
    }

    /// Whether a change may start that puts so much into memory beside frames, and need not wait.
    pub(crate) fn admits(&self, more: usize) -> bool {
        !self.is_clogged(more) && self.has_room(more)
    }

    /// Whether there is so much changed that a checkpoint should start.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.changed() >= self.limits.checkpoint && (self.used() >= self.limits.full || self.is_clogged(0))
    }

    /// Whether there is a checkpoint to wait for, or will be once it is asked for.
    pub(crate) fn is_settling(&self) -> bool {
        self.cut() > 0 || self.wants_checkpoint()
    }

    /// Waits until writers need not wait any more. False where that took too long.
    pub(crate) fn wait_until_settled(&self, more: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut turn = self.turn.lock();
        while self.is_clogged(more) {
            if self.settled.wait_until(&mut turn, deadline).timed_out() {
                return !self.is_clogged(more);
            }
        }
        true
    }

    /// Counts what a cut holds, for as long as it does.
    pub(crate) fn hold_cut(self: &Arc<Self>, bytes: usize) -> CutBytes {
        self.cut.fetch_add(bytes, Relaxed);
        CutBytes(Some((Arc::clone(self), bytes)))
    }

    /// Whether snapshots and verifications hold as much as they may, or would if another one held so much more.
    pub(crate) fn is_held_enough(&self, more: usize) -> bool {
        self.held.load(Relaxed).saturating_add(more) > self.limits.held
    }

    /// Counts what a snapshot or a verification holds, for as long as it does.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> HeldBytes {
        self.held.fetch_add(bytes, Relaxed);
        HeldBytes(Arc::clone(self), bytes)
    }

    /// Counts evicted buffers, for as long as they may have readers.
    pub(crate) fn hold_evicted(self: &Arc<Self>, bytes: usize) -> EvictedBytes {
        self.evicted.fetch_add(bytes, Relaxed);
        EvictedBytes(Arc::clone(self), bytes)
    }
}

/// A bound in bytes with which everything works, where frames have this size.
fn enough(total: u64, frame_bytes: usize) -> Result<usize, Error> {
    let least = LEAST_FRAMES * frame_bytes;
    match usize::try_from(total).unwrap_or(usize::MAX) {
        total if total >= least => Ok(total),
        _ => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("memory of {total} bytes is too little for frames of {frame_bytes}: the minimum is {least} bytes"),
        )),
    }
}

/// A buffer's place in the count.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// One more of the same size.
    pub(crate) fn another(&self) -> Self {
        self.budget.charge(self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// What a cut holds.
#[derive(Debug, Default)]
pub(crate) struct CutBytes(Option<(Arc<Budget>, usize)>);

impl Drop for CutBytes {
    fn drop(&mut self) {
        if let Some((budget, bytes)) = &self.0 {
            budget.cut.fetch_sub(*bytes, Relaxed);
            let _turn = budget.turn.lock();
            budget.settled.notify_all();
        }
    }
}

/// What a snapshot or a verification holds.
#[derive(Debug)]
pub(crate) struct HeldBytes(Arc<Budget>, usize);

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.0.held.fetch_sub(self.1, Relaxed);
    }
}

/// Evicted buffers.
#[derive(Debug)]
pub(crate) struct EvictedBytes(Arc<Budget>, usize);

impl Drop for EvictedBytes {
    fn drop(&mut self) {
        self.0.evicted.fetch_sub(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
