//! What the tests share that write from several threads: how long they run, and records that tell who wrote them.

use std::time::Duration;

use coppice_engine::Range;

/// Every so many writes of a key one is of a value too long for a frame.
const LARGE_EVERY: u64 = 50;

/// As `COPPICE_STRESS_SECONDS` says, or a second and a half.
pub(crate) fn stress_time() -> Duration {
    let seconds = std::env::var("COPPICE_STRESS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    seconds.map_or(Duration::from_millis(1500), Duration::from_secs)
}

pub(crate) fn all_under(prefix: &[u8]) -> Range<'_> {
    Range { prefix, ..Range::ALL }
}

/// Path-shaped, with folders that differ in size.
pub(crate) fn key(owner: u64, number: u64) -> Vec<u8> {
    format!("{}/owner-{owner}/{}/{number:05}.json", number % 3, number % 17).into_bytes()
}

/// What a key's value of this serial number is: recognisable, and now and then too long for a frame.
pub(crate) fn value(serial: u64) -> Vec<u8> {
    let length = if serial.is_multiple_of(LARGE_EVERY) {
        3000
    } else {
        20 + serial % 60
    };
    let mut bytes = serial.to_le_bytes().to_vec();
    bytes.resize(length as usize, serial as u8);
    bytes
}

/// The serial number of a value, which must be all of what [`value`] made.
pub(crate) fn serial(bytes: &[u8]) -> u64 {
    let serial = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    assert!(
        bytes == value(serial),
        "a value that nobody wrote: {} bytes of serial {serial}",
        bytes.len()
    );
    serial
}
