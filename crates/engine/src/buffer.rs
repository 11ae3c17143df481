//! Buffers that blobs live in: shared with whoever writes them out, copied by the first writer who finds them shared.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Acquire, fence},
};

use coppice_frame::{Frame, FrameMut, UNIT_BYTES};

use crate::{
    budget::Charge,
    pool::{Pool, Slot},
};

/// Where a buffer's words are.
enum Memory {
    /// A frame's, in its pool.
    Pooled(Slot),
    /// A value's, with its place in a pool's budget if it is counted there.
    Own(Box<[AtomicU64]>, Option<Charge>),
}

#[cfg(any(loom, shuttle))]
impl Drop for Memory {
    fn drop(&mut self) {
        let start = match self {
            Self::Pooled(slot) => slot.start().cast(),
            Self::Own(..) => std::ptr::from_ref(self).cast(),
        };
        coppice_sync::witness::given_back(start);
    }
}

impl Memory {
    fn words(&self) -> &[AtomicU64] {
        match self {
            Self::Pooled(slot) => slot.words(),
            Self::Own(words, _) => words,
        }
    }
}

/// Where a buffer's memory is, for as long as anybody holds it.
pub(crate) enum Address {
    /// The first word of a frame: a multiple of 128.
    Frame(*mut u8),
    /// To be given to [`Buffer::value_at`]: a multiple of 8.
    Value(*mut u8),
}

const _: () = assert!(align_of::<Memory>() >= 8);

/// What a value takes of the budget: its words, and what holds them.
fn value_bytes(len: usize) -> usize {
    len.next_multiple_of(UNIT_BYTES) + size_of::<Memory>()
}

fn zeroes(len: usize) -> Box<[AtomicU64]> {
    let words = std::iter::repeat_with(AtomicU64::default).take(len.div_ceil(UNIT_BYTES));
    words.collect()
}

/// The bytes of one blob, their length rounded up to whole words. Cloning shares them: what two hold, nobody changes.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<Memory>);

impl Buffer {
    /// Room for a frame. What it holds until somebody builds one there is left over from others.
    pub(crate) fn for_frame(pool: &Arc<Pool>) -> Self {
        Self(Arc::new(Memory::Pooled(pool.take())))
    }

    /// The same, if all that the pool's budget counts stays within `limit`.
    pub(crate) fn for_frame_within(pool: &Arc<Pool>, limit: usize) -> Option<Self> {
        Some(Self(Arc::new(Memory::Pooled(pool.take_within(limit)?))))
    }

    /// A value, counted in the pool's budget.
    pub(crate) fn of_value(pool: &Pool, bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [0; UNIT_BYTES];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            AtomicU64::new(u64::from_ne_bytes(word))
        };
        let charge = pool.budget().charge(value_bytes(bytes.len()));
        Self(Arc::new(Memory::Own(
            bytes.chunks(UNIT_BYTES).map(word).collect(),
            Some(charge),
        )))
    }

    /// Zeroed bytes for a value to be read into, at least `len` of them, if all that the pool's budget counts stays within
    /// `limit`.
    pub(crate) fn zeroed_within(pool: &Pool, len: usize, limit: usize) -> Option<Self> {
        let charge = pool.budget().charge_within(value_bytes(len), limit)?;
        Some(Self(Arc::new(Memory::Own(zeroes(len), Some(charge)))))
    }

    /// Zeroed bytes that no budget counts, at least `len` of them.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self(Arc::new(Memory::Own(zeroes(len), None)))
    }

    /// The frame that it holds.
    pub(crate) fn frame(&self) -> Frame<'_> {
        // SAFETY: whatever writes to the words does so through the `FrameMut` of `frame_mut`, which takes the buffer alone.
        #[allow(unsafe_code)]
        unsafe {
            Frame::new(self.0.words())
        }
    }

    pub(crate) fn address(&self) -> Address {
        match &*self.0 {
            Memory::Pooled(slot) => Address::Frame(slot.start().cast_mut().cast()),
            Memory::Own(..) => Address::Value(Arc::as_ptr(&self.0).cast_mut().cast()),
        }
    }

    /// Where a frame starts.
    pub(crate) fn frame_start(&self) -> Option<*const AtomicU64> {
        match &*self.0 {
            Memory::Pooled(slot) => Some(slot.start()),
            Memory::Own(..) => None,
        }
    }

    /// A value's bytes.
    ///
    /// # Safety
    /// `address` is what [`Address::Value`] had, of a buffer that somebody holds for as long as `'a`.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn value_at<'a>(address: *const u8) -> &'a [u8] {
        // SAFETY: as the caller says, this is the memory inside a live `Arc`; a value is never written to once it was
        // shared.
        unsafe {
            let words = (*address.cast::<Memory>()).words();
            std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(words))
        }
    }

    /// Whether the two share their bytes.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether somebody else holds it too. If not, all that others did with it has happened before.
    pub(crate) fn is_shared(&mut self) -> bool {
        let shared = Arc::strong_count(&self.0) > 1;
        // What `Arc::get_mut` does, but for locking out weak holds, of which there are none.
        fence(Acquire);
        shared
    }

    /// Another buffer with the same in it.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(match &*self.0 {
            Memory::Pooled(slot) => Memory::Pooled(slot.copy()),
            Memory::Own(words, charge) => {
                let words = words.iter().map(crate::pool::copy_of).collect();
                Memory::Own(words, charge.as_ref().map(Charge::another))
            }
        }))
    }

    /// The frame that it holds, to be changed; copied first where somebody else holds it too.
    pub(crate) fn frame_mut(&mut self) -> FrameMut<'_> {
        if self.is_shared() {
            *self = self.copy();
        }
        // SAFETY: the buffer is borrowed alone for as long as the result, and nobody else holds its memory.
        #[allow(unsafe_code)]
        unsafe {
            FrameMut::new(self.0.words())
        }
    }

    /// The bytes, of a value, or of a frame that somebody else holds too, so that its next writer copies it.
    pub(crate) fn bytes(&self) -> &[u8] {
        let words = self.0.words();
        // SAFETY: the words live as long as the buffer is borrowed; a value's are never written to once others can see
        // them, and a frame's are not while there is more than one hold on them.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(words))
        }
    }

    /// The bytes, to be filled by their only holder; none where there are others.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let Some(memory) = Arc::get_mut(&mut self.0) else {
            return &mut [];
        };
        let words = memory.words();
        // SAFETY: the buffer is borrowed alone, and is the only hold on its memory; atomics may be written to by any means
        // while nobody else can see them.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(words.as_ptr().cast::<u8>().cast_mut(), size_of_val(words))
        }
    }
}
