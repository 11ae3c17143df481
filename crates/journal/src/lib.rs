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
//! Number 1 is the first; each next one has the next number. The name is `journal-`, the number as 16 lower-case
//! hexadecimal digits, and `.log`. A segment is born as `journal-<number>.tmp`: header written, file synced, renamed,
//! folder synced; so a half-written header never has a segment's name, and leftover temporary files are removed at open.
//! All numbers are little-endian. A digest is XXH3-64; `digest(bytes, seed)` is the seeded form.
//!
//! | offset | bytes | segment header |
//! |---|---|---|
//! | 0 | 8 | magic, `CPJOURN\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database id |
//! | 32 | 8 | segment number |
//! | 40 | 8 | salt: random, new for each segment, also when a file is used again |
//! | 48 | 8 | first sequence: the number that its first record has, or would have |
//! | 56 | 8 | predecessor's end: the offset at which the records of segment number - 1 end; 0 for the first segment |
//! | 64 | 8 | predecessor's chain: the digest of its last record (its header's, if it has none); 0 for the first segment |
//! | 72 | 48 | zero |
//! | 120 | 8 | header digest: `digest(bytes 0..120)`; also this segment's *key* and the first link of its chain |
//! | 128 | | records |
//!
//! These 128 bytes keep their place in every format version, so that a damaged header is told from a newer one.
//!
//! # Records
//!
//! Each begins at a multiple of 8. The longest payload is [`MAX_PAYLOAD_BYTES`].
//!
//! | offset | bytes | record |
//! |---|---|---|
//! | 0 | 4 | payload length, bytes |
//! | 4 | 1 | kind, never 0 |
//! | 5 | 1 | zero |
//! | 6 | 2 | attempt: how many appends to this segment failed for want of room before this record was written |
//! | 8 | 8 | sequence: one more than the record's before |
//! | 16 | 4 | durable lag: sequence minus the highest sequence known to be on disk when this was written; 2^32 - 1 = not known |
//! | 20 | 4 | header check: the low half of `digest(bytes 0..20 ++ offset of the record in the file (8 bytes), key)` |
//! | 24 | 8 | digest: `digest(payload, digest(digest of the record before ++ bytes 0..20, key))` |
//! | 32 | | payload, then zeros to a multiple of 8 |
//!
//! The header is checked by itself before its length is used; check and digest depend on the key, and through it on
//! database, segment and salt, and on the place and on all that came before. So zeros, old contents of a recycled file,
//! and a record that was moved are all invalid. The attempt makes sure that what a refused append left behind the end
//! never links up with a record written over its beginning.
//!
//! | kind | payload |
//! |---|---|
//! | 1 put | tree (4), key length (4), key, value |
//! | 2 delete | tree (4), key |
//! | 3 create tree | tree (4), name |
//! | 4 rename | tree (4), length of the key it leaves (4), that key, the key it moves to |
//! | 5 batch | for each operation, in order: payload length (4), kind (1, not 5), payload |
//!
//! A valid record of another kind is of a newer format ([`Error::Incompatible`]), not damage.
//!
//! # Where the journal ends
//!
//! A segment that has a successor ends where the successor's header says: rotation syncs the old segment before the
//! new header is written, so all up to there is on disk, and whatever fails its check before that is corruption. Bytes
//! behind it mean nothing, and a torn tail that one recovery has passed stays passed for the next.
//!
//! The last segment ends at its first invalid record. What was not synced may reach the disk in any part and any order,
//! so zeros, garbage, and even whole records behind a missing one are what a power cut leaves. But when a record behind
//! the invalid one says (durable lag) that the invalid one's sequence was on disk, that is corruption. Recovery then
//! refuses, and truncates nothing. Appends after recovery go to a new segment.
//!
//! # Which segments count
//!
//! Recovery begins with the last segment whose first sequence is not beyond the cut's successor. From there on, numbers
//! and sequences must be without a gap. Older segments are covered by the cut whatever is in them; removals reach the
//! disk in any order, so some of them may be missing.

mod error;
mod header;
mod journal;
mod op;
mod reader;
mod record;
mod recovery;
mod segment;
mod writer;

#[cfg(test)]
mod fixture;

pub use error::{Error, OpenError};
pub use journal::{Journal, JournalOptions, JournalStats};
pub use op::{Batch, BatchOps, Op};
pub use record::MAX_PAYLOAD_BYTES;
pub use recovery::{Recovered, TornTail};
pub use segment::is_segment_name;
