//! The 64 bytes that each file of the store begins with.
//!
//! ```text
//! offset  size  field
//!      0     8  magic: "CopSuper", "CopBlobs" or "CopMapLg"
//!      8     4  format version, 1
//!     12     4  frame size, bytes
//!     16    16  database id
//!     32     8  generation: of the map log; 0 in the other files
//!     40     4  page size, 4096
//!     44    12  zero
//!     56     8  digest: xxh3 of bytes 0..56, seeded by the magic read as a little-endian u64
//! ```
//!
//! Every version of the format keeps magic, version and digest where they are, so that a newer file is told from a
//! damaged one.

#[cfg(test)]
mod tests;

use bytemuck::{Pod, Zeroable};

use crate::{digest::seeded, error::StoreError, extent::PAGE_BYTES};

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 64;

/// Version of all formats of this crate.
pub(crate) const FORMAT_VERSION: u32 = 1;

const DIGESTED_BYTES: usize = 56;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    Superblock,
    Blobs,
    MapLog,
}

impl FileKind {
    pub(crate) const fn magic(self) -> [u8; 8] {
        match self {
            Self::Superblock => *b"CopSuper",
            Self::Blobs => *b"CopBlobs",
            Self::MapLog => *b"CopMapLg",
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) database_id: u128,
    pub(crate) frame_bytes: u32,
    pub(crate) generation: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct HeaderLayout {
    magic: [u8; 8],
    version: u32,
    frame_bytes: u32,
    database_id: [u8; 16],
    generation: u64,
    page_bytes: u32,
    zero: [u8; 12],
    digest: u64,
}

const _: () = {
    assert!(size_of::<HeaderLayout>() == HEADER_BYTES);
    assert!(std::mem::offset_of!(HeaderLayout, version) == 8);
    assert!(std::mem::offset_of!(HeaderLayout, frame_bytes) == 12);
    assert!(std::mem::offset_of!(HeaderLayout, database_id) == 16);
    assert!(std::mem::offset_of!(HeaderLayout, generation) == 32);
    assert!(std::mem::offset_of!(HeaderLayout, page_bytes) == 40);
    assert!(std::mem::offset_of!(HeaderLayout, digest) == DIGESTED_BYTES);
};

fn digest(bytes: &[u8], magic: [u8; 8]) -> u64 {
    seeded(
        bytes.get(..DIGESTED_BYTES).unwrap_or_default(),
        u64::from_le_bytes(magic),
    )
}

impl Header {
    /// The header's bytes at the start of a file of that kind.
    pub(crate) fn encode(&self, kind: FileKind) -> [u8; HEADER_BYTES] {
        let mut layout = HeaderLayout {
            magic: kind.magic(),
            version: FORMAT_VERSION,
            frame_bytes: self.frame_bytes,
            database_id: self.database_id.to_le_bytes(),
            generation: self.generation,
            page_bytes: PAGE_BYTES,
            zero: [0; 12],
            digest: 0,
        };
        layout.digest = digest(bytemuck::bytes_of(&layout), layout.magic);
        bytemuck::cast(layout)
    }

    /// The digest in an encoded header: what the first record of a map log is chained to.
    pub(crate) fn digest_of(encoded: &[u8; HEADER_BYTES]) -> u64 {
        bytemuck::cast::<_, HeaderLayout>(*encoded).digest
    }

    /// Reads a header; `file` is the file's name, for the error.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], kind: FileKind, file: &str) -> Result<Self, StoreError> {
        let layout: HeaderLayout = bytemuck::cast(*bytes);
        if layout.magic != kind.magic() {
            return Err(StoreError::corrupt(
                file,
                0,
                "it does not begin as a file of a Coppice database does",
            ));
        }
        if layout.digest != digest(bytes, layout.magic) {
            return Err(StoreError::corrupt(file, 0, "its header fails its digest"));
        }
        let incompatible = |what: String| StoreError::Incompatible {
            file: file.to_owned(),
            what,
        };
        if layout.version != FORMAT_VERSION {
            return Err(incompatible(format!(
                "format version {} is not the one this version reads, {FORMAT_VERSION}",
                layout.version
            )));
        }
        if layout.page_bytes != PAGE_BYTES || layout.zero != [0; 12] {
            return Err(incompatible(
                "its header has values that this version does not know".to_owned(),
            ));
        }
        Ok(Self {
            database_id: u128::from_le_bytes(layout.database_id),
            frame_bytes: layout.frame_bytes,
            generation: layout.generation,
        })
    }
}
