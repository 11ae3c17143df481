//! How readers without locks know that frames were changed together while they walked, so that a key may have been in none of
//! those they saw: a count, as in a seqlock (N. Koch and others, "Linux seqlocks"; H.-J. Boehm, "Can seqlocks get along with
//! programming language memory models?", 2012).

use coppice_sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
    Step, fence, is_left_out, order,
};

/// Odd while frames are changed together. One changes them at a time.
pub(super) struct Moves(AtomicU64);

impl Moves {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Before frames are changed together.
    pub(super) fn begin(&self) {
        if !is_left_out(Step::BeginMove) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    /// Behind that.
    pub(super) fn end(&self) {
        let added = if is_left_out(Step::BeginMove) { 2 } else { 1 };
        self.0.fetch_add(added, order(AcqRel, Step::EndMove));
    }

    /// What a reader notes before it walks; None while frames are changed together.
    #[inline(always)]
    pub(super) fn note(&self) -> Option<u64> {
        Some(self.0.load(Acquire)).filter(|moves| moves.is_multiple_of(2))
    }

    /// Whether no frames were changed together since [`Moves::note`] said this. What a reader finds of frames it loads with
    /// acquire, so that who sees any of a change sees here that it was begun.
    #[inline(always)]
    pub(super) fn is_still(&self, moves: u64) -> bool {
        fence(Acquire);
        self.0.load(Relaxed) == moves || is_left_out(Step::LookAgain)
    }
}
