//! What recovery makes of every state that a crash, a fault or a stranger can leave.

mod damage;
mod segments;
mod tails;

use crate::fixture::{self, TestDisk, append_each};

/// Size of a record with a value of eight bytes: header, tree, key length, key, value.
const RECORD: usize = 32 + 24;

const FIRST: &str = "journal-0000000000000001.log";
const SECOND: &str = "journal-0000000000000002.log";
const THIRD: &str = "journal-0000000000000003.log";

/// A journal of one segment with the records 1..=count, each of `RECORD` bytes.
fn journal_of(count: usize) -> TestDisk {
    let disk = TestDisk::default();
    let journal = fixture::create(&disk, 1 << 20);
    append_each(&journal, &vec!["12345678"; count]);
    disk
}
