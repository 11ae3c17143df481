//! Numbers that go between JavaScript and a call beside its arguments and its result.
//!
//! They are written to memory that both sides see, right before the call: to take a number from an argument costs two calls
//! of Node's, to take it from here one load. `src/native/numbers.ts` is the other side.

use std::ptr;

use napi::{Env, JsValue, bindgen_prelude::Object, sys};

/// Which number is which: words of 32 bits, in this order.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Number {
    Database,
    Tree,
    /// Where in the slab a value goes.
    Offset,
    /// How long the slab is at this moment, which is nothing once its memory was transferred away.
    SlabBytes,
    /// 1 where keys go as bytes, else 0.
    KeysAsBytes,
    /// When a write takes effect; 2: at the version.
    Condition,
    /// Of parts.
    Count,
}

/// The word of the answer, for functions that answer here.
const ANSWER: usize = 7;
/// The word from which on the version is, a double.
const VERSION: usize = 8;
const WORDS: usize = 10;

const _: () = assert!((Number::Count as usize) < ANSWER && VERSION.is_multiple_of(2));

/// The numbers of one environment.
pub(crate) struct Numbers {
    /// Of as many words; JavaScript's memory.
    start: *mut u32,
}

impl Numbers {
    /// Makes them, and the exports' property `numbers`: their `ArrayBuffer`.
    pub(crate) fn export(env: &Env, exports: &Object<'_>) -> napi::Result<Self> {
        let (mut start, mut buffer, mut reference) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is live for the length of module initialisation, and there are places for the results.
        let made = unsafe {
            sys::napi_create_arraybuffer(env.raw(), WORDS * size_of::<u32>(), &raw mut start, &raw mut buffer)
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
    #[inline(always)]
    pub(crate) fn get(&self, number: Number) -> u32 {
        // SAFETY: within the buffer's memory, which V8 aligns for any typed array. The buffer lives as long as the
        // environment and keeps its memory: src/native/numbers.ts, which alone has it, transfers it to nobody. JavaScript
        // writes there on this thread alone, and not during a call.
        unsafe { self.start.add(number as usize).read() }
    }

    /// The version, a whole number of at most 53 bits, as it was written last.
    #[inline(always)]
    pub(crate) fn version(&self) -> u64 {
        // SAFETY: as in `get`, at a multiple of 8 bytes.
        unsafe { self.start.add(VERSION).cast::<f64>().read() as u64 }
    }

    /// Answers the call that is going on.
    #[inline(always)]
    pub(crate) fn answer(&self, answer: i32) {
        // SAFETY: as in `get`; JavaScript reads it when the call is over.
        unsafe { self.start.add(ANSWER).cast::<i32>().write(answer) }
    }
}
