//! Buffers that blobs live in: shared with whoever writes them out, copied by the first writer who finds them shared.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

/// One cache line; what a buffer is aligned to.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The bytes of one blob, their length rounded up to whole cache lines. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<[Line]>);

impl Buffer {
    /// Zeroed bytes, at least `len` of them.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self(std::iter::repeat_n(Line::zeroed(), len.div_ceil(size_of::<Line>())).collect())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    /// The bytes, to be changed; copied first where somebody else holds them.
    pub(crate) fn make_mut(&mut self) -> &mut [u8] {
        if Arc::get_mut(&mut self.0).is_none() {
            self.0 = Arc::from(&*self.0);
        }
        Arc::get_mut(&mut self.0)
            .map(bytemuck::cast_slice_mut)
            .unwrap_or_default()
    }
}
