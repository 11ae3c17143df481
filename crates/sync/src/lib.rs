//! What the order of threads goes through: locks, atomics, threads, and the epochs that memory is given back by.
//!
//! They are parking_lot's, the standard library's and crossbeam's, under their own names and at no cost. With `--cfg loom` or
//! `--cfg shuttle` they are those of loom or shuttle, which run the models of the crates above under schedules of their own:
//! so what is explored is the code that is shipped. What only one thread at a time can come to, and what is never held over
//! one of these, need not be from here.
//!
//! A model must be able to fail. So at the places that an order of threads rests on the code asks [`is_left_out`], or what
//! [`order`] is wanted: a model may leave one [`Step`] out, to see that it is missed. Without a model both answer by a
//! constant.

#[cfg(any(loom, shuttle))]
mod model;
#[cfg(not(any(loom, shuttle)))]
mod real;

#[cfg(any(loom, shuttle))]
pub use model::*;
#[cfg(not(any(loom, shuttle)))]
pub use real::*;

/// What a model may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To count a move before frames are changed.
    BeginMove,
    /// To let those who see that a move is over see what it did.
    EndMove,
    /// To look again at the count of moves behind a walk.
    LookAgain,
    /// To let those who find memory see what is in it.
    PublishMemory,
    /// To see what is in the memory that was found.
    FindMemory,
    /// To wait for readers before memory is given back.
    AwaitReaders,
    /// To say that evicted memory is not there any more.
    ClearWord,
    /// To note a use only of the memory that was used.
    CompareUse,
    /// To leave in memory what others hold.
    LeaveHeld,
    /// To copy what others hold before it is changed.
    CopyHeld,
    /// To keep writers out while somebody begins to watch.
    WatchAlone,
    /// To keep frames where they are for a change to one of them.
    KeepStill,
    /// To decide on a condition by what is latched.
    DecideLatched,
    /// To look whether a tree was dropped.
    LookForDrop,
    /// To make a checkpoint durable before the journal is trimmed.
    CommitBeforeTrim,
}
