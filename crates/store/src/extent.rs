//! Pages and extents: how positions in the file `blobs` are named.
//!
//! A page is 4 KiB; an extent is a run of consecutive pages. An `Extent` cannot be empty and cannot reach beyond the
//! last page that a `u32` can number, so that arithmetic on one never overflows.

/// Bytes of one page: the unit of allocation and of every transfer to the file `blobs`.
pub const PAGE_BYTES: u32 = 4096;

/// Pages that the file `blobs` may have: 16 TiB less one page.
pub const MAX_PAGES: u32 = u32::MAX;

/// A run of consecutive pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Extent {
    start: u32,
    pages: u32,
}

impl Extent {
    /// The extent of `pages` pages from page `start` on. `None` when it is empty or reaches beyond [`MAX_PAGES`].
    pub const fn new(start: u32, pages: u32) -> Option<Self> {
        if pages == 0 || start.checked_add(pages).is_none() {
            return None;
        }
        Some(Self { start, pages })
    }

    /// Its first page.
    pub const fn start(self) -> u32 {
        self.start
    }

    /// How many pages it has; never 0.
    pub const fn pages(self) -> u32 {
        self.pages
    }

    /// The page behind its last.
    pub const fn end(self) -> u32 {
        self.start + self.pages
    }

    /// Where it starts in its file, bytes.
    pub const fn offset_bytes(self) -> u64 {
        self.start as u64 * PAGE_BYTES as u64
    }

    /// Its size in bytes.
    pub const fn len_bytes(self) -> u64 {
        self.pages as u64 * PAGE_BYTES as u64
    }
}

/// Pages that `bytes` bytes fill, the last one perhaps in part.
pub(crate) const fn pages_for(bytes: u32) -> u32 {
    bytes.div_ceil(PAGE_BYTES)
}
