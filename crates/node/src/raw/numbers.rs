//! Numbers that JavaScript hands over beside a call's arguments.
//!
//! They are written to memory that both sides see, right before the call: to take a number from an argument costs two calls
//! of Node's, to take it from here one load.

use std::ptr;

use napi::{Env, JsValue, bindgen_prelude::Object, sys};

/// As many as the hot function that takes most of them needs.
const COUNT: usize = 4;

/// The numbers of one environment.
pub(crate) struct Numbers {
    /// Of as many doubles as there are numbers; JavaScript's memory.
    start: *const f64,
}

impl Numbers {
    /// Makes them, and the exports' property `numbers`: an `ArrayBuffer` of doubles.
    pub(crate) fn export(env: &Env, exports: &Object<'_>) -> napi::Result<Self> {
        let (mut start, mut buffer, mut reference) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is live for the length of module initialisation, and there are places for the results.
        let made = unsafe {
            sys::napi_create_arraybuffer(env.raw(), COUNT * size_of::<f64>(), &raw mut start, &raw mut buffer)
        };
        napi::check_status!(made)?;
        // SAFETY: as above; the reference is never deleted, so the buffer lives as long as the environment.
        napi::check_status!(unsafe { sys::napi_create_reference(env.raw(), buffer, 1, &raw mut reference) })?;
        // SAFETY: `exports` and `buffer` are live values of this environment, the name is NUL-terminated.
        let set = unsafe { sys::napi_set_named_property(env.raw(), exports.raw(), c"numbers".as_ptr(), buffer) };
        napi::check_status!(set)?;
        Ok(Self { start: start.cast() })
    }

    /// One of them, as it was written last.
    #[inline]
    pub(crate) fn get<const INDEX: usize>(&self) -> f64 {
        const { assert!(INDEX < COUNT) };
        // SAFETY: within the buffer's memory, which V8 aligns for any typed array. The buffer lives as long as the
        // environment and keeps its memory: src/native/binding.ts, which alone has it, transfers it to nobody. JavaScript
        // writes there on this thread alone, and not during a call.
        unsafe { self.start.add(INDEX).read() }
    }
}
