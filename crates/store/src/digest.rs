//! Digests: what makes damage visible.
//!
//! All are 64-bit xxh3 with a seed that says whose bytes these are, so that intact bytes in the wrong place fail too:
//!
//! - a blob's digest is seeded by (database id, blob id) and kept in the slot map, away from the bytes: a lost or stale
//!   write, a swap of two blobs and a misdirected write all fail it;
//! - a record of the map log is seeded by (database id, generation, its offset): a record from elsewhere fails it;
//! - a file header is seeded by its magic.
//!
//! Seeds are the xxh3 (seed 0) of their parts in the order given, little-endian: 16 + 4 bytes for a blob, 16 + 8 + 8
//! for a record. xxh3 is no defence against somebody who forges files on purpose.

#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// The digest of a blob's bytes, without the padding of its last page.
pub(crate) fn blob_digest(database_id: u128, blob: u32, bytes: &[u8]) -> u64 {
    let mut who = [0; 20];
    let (database, id) = who.split_at_mut(16);
    database.copy_from_slice(&database_id.to_le_bytes());
    id.copy_from_slice(&blob.to_le_bytes());
    xxh3_64_with_seed(bytes, xxh3_64(&who))
}

/// The seed of the digests of the record at `offset` of a map log.
pub(crate) fn record_seed(database_id: u128, generation: u64, offset: u64) -> u64 {
    let mut who = [0; 32];
    let (database, place) = who.split_at_mut(16);
    let (generation_bytes, offset_bytes) = place.split_at_mut(8);
    database.copy_from_slice(&database_id.to_le_bytes());
    generation_bytes.copy_from_slice(&generation.to_le_bytes());
    offset_bytes.copy_from_slice(&offset.to_le_bytes());
    xxh3_64(&who)
}

/// The digest of `bytes` under `seed`.
pub(crate) fn seeded(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// A digest of bytes that come in pieces; equal to [`seeded`] of the whole.
pub(crate) struct Digester(Box<Xxh3>);

impl Digester {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Box::new(Xxh3::with_seed(seed)))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}
