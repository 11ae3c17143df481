//! What recovery makes of every state that a crash, a fault or a stranger can leave.

mod damage;
mod segments;
mod tails;

use crate::{
    fixture::{self, TestDisk, append_each, room_for},
    header::RECORDS_OFFSET,
};

/// Size of a record with a value of eight bytes: header, tree, key length, key, value.
const RECORD: usize = 32 + 24;

const FIRST: &str = "journal-0000000000000001.log";
const SECOND: &str = "journal-0000000000000002.log";
const THIRD: &str = "journal-0000000000000003.log";

/// A journal of one segment of 4096 bytes with the records 1..=count, each of `RECORD` bytes.
fn journal_of(count: usize) -> TestDisk {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, 4096);
    append_each(&journal, &vec!["12345678"; count]);
    disk
}

/// Segments of one record each. Of the last two, nothing says that they are on disk.
fn segments_of_one(count: usize) -> TestDisk {
    let disk = TestDisk::mapping();
    let journal = fixture::create(&disk, room_for(1, RECORD as u64));
    append_each(&journal, &vec!["12345678"; count]);
    disk
}
