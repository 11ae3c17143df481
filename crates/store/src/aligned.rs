//! Memory that direct I/O takes: whole pages at page addresses.

use bytemuck::{Pod, Zeroable};

use crate::extent::PAGE_BYTES;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES as usize]);

const _: () = assert!(align_of::<Page>() == PAGE_BYTES as usize && size_of::<Page>() == PAGE_BYTES as usize);

static ZEROS: Page = Page([0; PAGE_BYTES as usize]);

/// Pages of memory. They stay where they are when the buffer itself is moved.
pub(crate) struct AlignedBuffer(Vec<Page>);

impl AlignedBuffer {
    /// Zeroed pages: as many as `bytes` fills.
    pub(crate) fn zeroed(bytes: usize) -> Self {
        Self(vec![Page::zeroed(); bytes.div_ceil(PAGE_BYTES as usize)])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pages", self.0.len())
    }
}

/// Whether direct I/O takes these bytes as they are.
pub(crate) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES as usize) && bytes.len().is_multiple_of(PAGE_BYTES as usize)
}

/// A page of zeros, at a page address.
pub(crate) fn zeros() -> &'static [u8] {
    &ZEROS.0
}
