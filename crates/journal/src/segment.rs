//! Segments as files: their names, and the reading of little-endian fields.

#[cfg(test)]
mod tests;

use coppice_disk::Disk;

use crate::Error;

const PREFIX: &str = "journal-";
const SUFFIX: &str = ".log";
const TEMPORARY_SUFFIX: &str = ".tmp";
const DIGITS: usize = 16;

pub(crate) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{SUFFIX}")
}

pub(crate) fn temporary_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{TEMPORARY_SUFFIX}")
}

/// The number in a name of ours with that suffix.
fn parse_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(suffix)?;
    let canonical = digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Whether this is the name of a segment, or of one in the making.
pub fn is_segment_name(name: &str) -> bool {
    [SUFFIX, TEMPORARY_SUFFIX]
        .iter()
        .any(|suffix| parse_name(name, suffix).is_some())
}

/// The numbers of all segments in the folder, ascending.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    let names = disk
        .list()
        .map_err(|error| Error::io(format!("listing {}", disk.label()), error))?;
    // Names come in byte order, which is that of the numbers.
    Ok(names.iter().filter_map(|name| parse_name(name, SUFFIX)).collect())
}

/// Removes what births of segments left behind that were cut off.
pub(crate) fn sweep(disk: &dyn Disk) -> Result<(), Error> {
    let names = disk
        .list()
        .map_err(|error| Error::io(format!("listing {}", disk.label()), error))?;
    for name in names.iter().filter(|name| parse_name(name, TEMPORARY_SUFFIX).is_some()) {
        disk.remove(name)
            .map_err(|error| Error::io(format!("removing {name}"), error))?;
    }
    Ok(())
}

pub(crate) fn corrupt(number: u64, offset: u64, sequence: Option<u64>, what: impl Into<String>) -> Error {
    Error::Corrupt {
        file: file_name(number),
        offset,
        sequence,
        what: what.into(),
    }
}

/// What is left of some bytes of which fields are taken from the front; `None` when they do not suffice.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
}
