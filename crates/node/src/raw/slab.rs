//! The slab: JavaScript's memory that values are written into, which is shown to the addon once and not at each call.

use std::{cell::Cell, ptr};

use napi::sys::{self, Status};

use super::Target;

/// The slab of one environment.
pub(crate) struct Slab {
    start: Cell<*mut u8>,
    length: Cell<usize>,
    /// Keeps the `ArrayBuffer`.
    kept: Cell<sys::napi_ref>,
}

impl Slab {
    /// No slab: nothing fits in.
    pub(crate) fn none() -> Self {
        Self {
            start: Cell::new(ptr::null_mut()),
            length: Cell::new(0),
            kept: Cell::new(ptr::null_mut()),
        }
    }

    /// Makes the `ArrayBuffer` that `target` was made of the slab. False where Node does not let it be kept: there is none then.
    pub(super) fn become_target(&self, env: sys::napi_env, buffer: sys::napi_value, target: &Target<'_>) -> bool {
        self.length.set(0);
        let mut kept = ptr::null_mut();
        // SAFETY: a live environment and value, and a place for the result.
        let status = unsafe { sys::napi_create_reference(env, buffer, 1, &raw mut kept) };
        if status != Status::napi_ok {
            return false;
        }
        self.start.set(target.data);
        self.length.set(target.length);
        let before = self.kept.replace(kept);
        if !before.is_null() {
            // SAFETY: a live environment, and a reference that was made in it and is not used again.
            unsafe { sys::napi_delete_reference(env, before) };
        }
        true
    }

    /// The slab's memory, of which JavaScript says in this call how long it is.
    #[inline(always)]
    pub(super) fn target<'call>(&self, length: usize) -> Target<'call> {
        Target {
            data: self.start.get(),
            length: self.length.get().min(length),
            scope: std::marker::PhantomData,
        }
    }
}
