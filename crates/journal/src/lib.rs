//! The redo log: what was committed, in commit order, until a checkpoint covers it.
//!
//! Owns the files `journal-<number>.log` of a folder and nothing else. Promises that
//! - an [`Journal::append`] that returned has survived the death of the process, and a [`Journal::sync`] that returned
//!   has made everything appended before it survive a power cut;
//! - recovery ([`Journal::open`]) replays a prefix of what was appended, with no hole in it, that contains everything
//!   synced; where it cannot, it says where and changes nothing;
//! - a failed sync is never retried, and nothing is written any more after one. A full disk is survived.
//!
//! Knows no trees and applies nothing: it hands [`Op`]s to its caller. It must not decide what may be trimmed: the
//! caller's durable cut does.
//!
//! # Segments
//!
//! Number 1 is the first; each that is made after it has a higher number. The name is `journal-`, the number as 16
//! lower-case hexadecimal digits, and `.log`. A segment is made ahead of its use, as `journal-<number>.tmp`: room set
//! aside, header written, file synced, renamed, folder synced; so a half-written header never has a segment's name, a
//! full disk is found before anything is appended, and leftover temporary files are removed at open. All numbers are
//! little-endian. A digest is XXH3-64; `digest(bytes, seed)` is the seeded form.
//!
//! | offset | bytes | segment header |
//! |---|---|---|
//! | 0 | 8 | magic, `CPJOURN\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database id |
//! | 32 | 8 | segment number |
//! | 40 | 8 | salt: random, new for each segment |
//! | 48 | 72 | zero |
//! | 120 | 8 | header digest: `digest(bytes 0..120)`; also this segment's *key* |
//!
//! These 128 bytes keep their place in every format version, so that a damaged header is told from a newer one. The
//! opening is written when the segment is put to use, and tells where in the journal that is:
//!
//! | offset | bytes | opening |
//! |---|---|---|
//! | 128 | 8 | first sequence: the number that its first record has, or would have |
//! | 136 | 8 | predecessor: the number of the segment that this one follows; 0 for the first segment |
//! | 144 | 8 | predecessor's end: the offset at which that one's records end |
//! | 152 | 8 | predecessor's digest: that of its last record (its key, if it has none) |
//! | 160 | 8 | durable up to: the highest sequence known to be on disk when this was written |
//! | 168 | 16 | zero |
//! | 184 | 8 | `digest(bytes 128..184, key)` |
//! | 192 | | records, then zeros to the end of the file |
//!
//! # Records
//!
//! Each begins at a multiple of 8. The longest payload is [`MAX_PAYLOAD_BYTES`].
//!
//! | offset | bytes | record |
//! |---|---|---|
//! | 0 | 4 | payload length, bytes |
//! | 4 | 1 | kind, never 0 |
//! | 5 | 3 | zero |
//! | 8 | 8 | sequence: one more than the record's before |
//! | 16 | 4 | durable lag: sequence minus the highest sequence known to be on disk when this was written; 2^32 - 1 = not known |
//! | 20 | 4 | header check: the low half of the *mark*, `digest(bytes 0..20 ++ offset of the record in the file (8 bytes), key)` |
//! | 24 | 8 | digest: `digest(payload)` XOR the mark |
//! | 32 | | payload, then zeros to a multiple of 8 |
//!
//! The header is checked by itself before its length is used; check and digest depend on the key, and through it on
//! database, segment and salt, and on the place. So zeros, old contents, and a record that was moved are all invalid.
//!
//! Records are not chained by their digests, so that a payload's can be taken before its record has a place. It needs
//! no chain, because no place in a segment is ever written twice under one salt: what is sound at its place is what was
//! written there, each record begins where the one before ends, and numbers have no gap. (After a refused write, the
//! one case in which a place would be written again, the journal goes on in a new segment.) Segments are chained, by the
//! digest in the opening.
//!
//! | kind | payload |
//! |---|---|
//! | 1 put | tree (4), key length (4), key, value |
//! | 2 delete | tree (4), key |
//! | 3 create tree | tree (4), name |
//! | 5 batch | for each operation, in order: payload length (4), kind (1, not 5), payload |
//! | 6 move prefix, 9 clone prefix | tree (4), length of the first (4), prefix of the keys, prefix in its place |
//! | 7 delete prefix | tree (4), prefix |
//! | 8 drop tree | tree (4), name |
//!
//! A valid record of another kind is of a newer format ([`Error::Incompatible`]), not damage.
//!
//! # Where the journal ends
//!
//! A segment that has a successor ends where the successor's opening says; the bytes behind that mean nothing. Syncs go
//! in order, a segment's opening is on disk before its successor's is written, and what was not synced may reach the
//! disk in any part and any order. So at the first invalid record before that end, or in the last segment:
//! - when something behind it, a later record's durable lag or a later segment's opening, says that its sequence was on
//!   disk, that is corruption. Recovery then refuses, and truncates nothing.
//! - Otherwise the journal ends there, as a power cut left it: zeros, garbage, even whole records and whole segments
//!   behind a missing record were never synced, and go with it.
//!
//! Appends after recovery go to a new segment, whose opening is on disk before its first record. From then on what was
//! left out stays left out.
//!
//! # Which segments count
//!
//! From the one with the highest number that has a sound opening, back by predecessors to the last one whose first
//! sequence is not beyond the cut's successor. The numbers of others mean nothing: they are made ahead and never used,
//! left out by an earlier recovery, or covered by the cut. Trimming removes them once the active segment's opening is
//! on disk; removals reach the disk in any order.

mod ending;
mod error;
mod group;
mod header;
mod history;
mod journal;
mod keeper;
mod op;
mod progress;
mod reader;
mod record;
mod recovery;
mod salvage;
mod segment;
mod segment_file;
mod spare;
mod writer;

#[cfg(test)]
mod fixture;

use coppice_sync as sync;

pub use error::{Error, OpenError};
pub use history::History;
pub use journal::{Journal, JournalOptions, JournalStats, Room};
pub use op::{Batch, BatchOps, Op, OwnedOp};
pub use progress::ReplayProgress;
pub use record::MAX_PAYLOAD_BYTES;
pub use recovery::{Recovered, TornTail};
pub use salvage::{Salvaged, Standing, goes_on_behind, salvage};
pub use segment::is_segment_name;
