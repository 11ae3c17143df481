//! JavaScript's memory that a call writes into.

use std::{marker::PhantomData, ptr};

/// JavaScript's memory to read words from and to write into. Only a pointer, so that it may overlap anything else of JavaScript's.
pub(crate) struct Target<'call> {
    pub(super) data: *mut u8,
    pub(super) length: usize,
    pub(super) scope: PhantomData<&'call ()>,
}

impl Target<'_> {
    /// Bytes that it holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The 32-bit word at `offset`, in the byte order of the machine.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> Option<u32> {
        let last = self.length.checked_sub(size_of::<u32>())?;
        // SAFETY: `data` points at `length` readable bytes for as long as the call runs no JavaScript (rule 1), and the
        // word lies within them.
        (offset <= last).then(|| unsafe { self.data.add(offset).cast::<u32>().read_unaligned() })
    }

    /// Copies `bytes`, which are never JavaScript's, to `offset`; false, and nothing written, where they do not fit.
    #[inline]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if offset > self.length || bytes.len() > self.length - offset {
            return false;
        }
        // SAFETY: `data` points at `length` writable bytes for as long as the call runs no JavaScript (rule 1), and the
        // range written lies within them. `bytes` is engine memory or this addon's own, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.data.add(offset), bytes.len()) };
        true
    }

    /// Asks for three cache lines from `offset` on, without waiting: they are written next. Of more the processor fetches
    /// what follows by itself.
    #[inline]
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "stable Rust has no prefetch there")
    )]
    pub(crate) fn prefetch(&self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in [offset, offset + 64, offset + 128] {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing and cannot fault, whatever the address; it is made without arithmetic that
            // would have to stay inside the memory.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.data.wrapping_add(line).cast::<i8>()) }
        }
    }
}

#[cfg(test)]
mod tests;
