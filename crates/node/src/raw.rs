//! The hot plane's crossing: the one module that speaks raw Node-API, and the only one with `unsafe`.
//!
//! Everything above it is safe code over [`Call`]: it asks for the arguments of the call it is in and answers with a
//! [`Reply`]. Two rules carry the soundness of the whole:
//!
//! 1. Nothing of JavaScript's memory is held as a reference over anything that can run JavaScript or write there.
//!    A view of a caller's bytes ([`Call::view`]) lives while the call is only reading; what native code writes goes
//!    through the raw pointer of a [`Target`], bounds-checked, never as a `&mut`.
//! 2. Arguments are never trusted to be of a type: each is asked for, and a refusal is an answer, not an exception.
#![allow(unsafe_code)]

mod numbers;
mod slab;

use std::{
    ffi::{CStr, c_void},
    marker::PhantomData,
    ptr,
    rc::Rc,
    slice,
};

use coppice_engine::{KEY_ROOM_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use napi::{
    Env, JsValue,
    bindgen_prelude::Object,
    sys::{self, Status, TypedarrayType},
};

use crate::{
    failure::{Failure, guard},
    instance::{Instance, KeyBuffer},
};

pub(crate) use numbers::{Number, Numbers};
pub(crate) use slab::Slab;

/// The most arguments that an operation takes.
const MAX_ARGUMENTS: usize = 12;

/// What hot functions answer where no length, count or version is to be told. Mirrored in `src/native/binding.ts`.
mod code {
    /// No record, or the condition did not hold.
    pub(super) const ABSENT: i32 = -1;
    /// It failed; `takeFailure` says how.
    pub(super) const FAILED: i32 = -2;
    /// A key or value needs a closer look in TypeScript: wrong type, too long, shared or detached memory, or a string
    /// that may hold a lone surrogate.
    pub(super) const DOUBTFUL: i32 = -3;
    /// It would have to be read from disk first, by one of the engine's threads.
    pub(super) const NOT_IN_MEMORY: i32 = -4;
    /// `-16 - n`: the value needs n bytes and the room given has fewer; of a batch, operation n's condition did not hold.
    pub(super) const TOO_SMALL: f64 = -16.0;
}

/// One hot function.
pub(crate) trait Operation {
    /// Its name in JavaScript.
    const NAME: &'static CStr;
    /// How many arguments it reads; at most [`MAX_ARGUMENTS`].
    const ARGUMENTS: usize;
    /// Whether it answers beside its result, which costs less. Then it answers no text, and no number of 2^31 or more.
    const ANSWERS_BESIDE: bool = false;
    /// Runs it.
    fn run<'call>(call: &Call<'call>) -> Result<Reply<'call>, Stop>;
}

/// What an operation answers.
pub(crate) enum Reply<'call> {
    /// A length, a truth value.
    Integer(u32),
    /// A version, a count; below 2^53.
    Number(u64),
    /// No record, or the condition did not hold.
    Absent,
    /// A value of so many bytes does not fit the room given.
    TooSmall(usize),
    /// The condition of this operation of a batch did not hold.
    Refused(usize),
    /// A string.
    Text(Text<'call>),
}

/// A JavaScript string made in this call.
pub(crate) struct Text<'call> {
    value: sys::napi_value,
    scope: PhantomData<&'call ()>,
}

/// Why an operation did not run to its end.
pub(crate) enum Stop {
    /// TypeScript has to look at the arguments.
    Doubtful,
    /// It failed.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes `O` a function of the addon's exports, bound to `instance`.
pub(crate) fn export<O: Operation>(env: &Env, exports: &Object<'_>, instance: &Rc<Instance>) -> napi::Result<()> {
    const { assert!(O::ARGUMENTS <= MAX_ARGUMENTS) };
    let data = Rc::as_ptr(instance).cast_mut().cast::<c_void>();
    let length = O::NAME.count_bytes().cast_signed();
    let mut function = ptr::null_mut();
    // SAFETY: `env` is live for the length of module initialisation; the name is NUL-terminated and of the length
    // given; `enter::<O>` reads `data` as the `Instance` that it is, and the environment's instance data keeps that
    // alive until no JavaScript can run in the environment any more.
    let created = unsafe {
        sys::napi_create_function(
            env.raw(),
            O::NAME.as_ptr(),
            length,
            Some(enter::<O>),
            data,
            &raw mut function,
        )
    };
    napi::check_status!(created)?;
    // SAFETY: `exports` and `function` are live values of this environment, the name is NUL-terminated.
    napi::check_status!(unsafe { sys::napi_set_named_property(env.raw(), exports.raw(), O::NAME.as_ptr(), function) })
}

/// The C function that Node calls for `O`.
///
/// # Safety
/// For Node to call only, as the function that `export` made: with a live environment, and the call that is going on.
unsafe extern "C" fn enter<O: Operation>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut arguments = [ptr::null_mut(); MAX_ARGUMENTS];
    let mut count = O::ARGUMENTS;
    let mut data = ptr::null_mut();
    // SAFETY: Node calls this with a live environment and call; `count` is at most the array's length (`export` asserts
    // it), and Node fills exactly `count` slots, with `undefined` where the caller gave fewer.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        )
    };
    if status != Status::napi_ok {
        return ptr::null_mut();
    }
    // SAFETY: `export` bound this function to an `Instance` that outlives all JavaScript of its environment, and it is
    // only ever used through shared references on this thread.
    let Some(instance) = (unsafe { data.cast::<Instance>().as_ref() }) else {
        return ptr::null_mut();
    };
    let call = Call {
        env,
        arguments: arguments.get(..O::ARGUMENTS).unwrap_or_default(),
        instance,
    };
    // The two ways to stop travel together through the guard, which only knows failures.
    let outcome = guard(|| Ok(O::run(&call))).unwrap_or_else(|failure| Err(Stop::Failed(failure)));
    if O::ANSWERS_BESIDE {
        instance.numbers.answer(call.small(outcome));
        return ptr::null_mut();
    }
    match outcome {
        Ok(Reply::Integer(value)) => call.unsigned(value),
        Ok(Reply::Number(value)) => call.double(value as f64),
        Ok(Reply::Absent) => call.signed(code::ABSENT),
        Ok(Reply::TooSmall(number) | Reply::Refused(number)) => call.double(code::TOO_SMALL - number as f64),
        Ok(Reply::Text(text)) => text.value,
        Err(stop) => call.signed(call.stopped(stop)),
    }
}

/// A call that is going on: its arguments, and the instance that it belongs to.
pub(crate) struct Call<'call> {
    env: sys::napi_env,
    arguments: &'call [sys::napi_value],
    pub(crate) instance: &'call Instance,
}

impl<'call> Call<'call> {
    /// An argument that is a whole number below 2^32.
    #[inline]
    pub(crate) fn integer(&self, index: usize) -> Result<u32, Failure> {
        let mut number = 0;
        // SAFETY: a live environment and value, and a place for the result.
        let status = unsafe { sys::napi_get_value_uint32(self.env, self.argument(index)?, &raw mut number) };
        if status == Status::napi_ok {
            Ok(number)
        } else {
            Err(self.mistyped(index))
        }
    }

    /// A number from beside the arguments.
    #[inline(always)]
    pub(crate) fn number(&self, number: Number) -> u32 {
        self.instance.numbers.get(number)
    }

    /// An argument that is a key, read into `buffer`.
    #[inline]
    pub(crate) fn key<'k>(&self, index: usize, buffer: &'k mut KeyBuffer) -> Result<&'k [u8], Stop> {
        let roomed = self.roomed_key(index, buffer)?;
        Ok(roomed.get(KEY_ROOM_BYTES..).unwrap_or_default())
    }

    /// The same, with the room in front of it.
    #[inline]
    pub(crate) fn roomed_key<'k>(&self, index: usize, buffer: &'k mut KeyBuffer) -> Result<&'k mut [u8], Stop> {
        self.read_key(self.argument(index)?, buffer)
    }

    /// An argument that is a value, read into `buffer` where it is a string and as it lies where it is bytes.
    #[inline]
    pub(crate) fn value<'v>(&'v self, index: usize, buffer: &'v mut Vec<u8>) -> Result<&'v [u8], Stop> {
        self.read_value(self.argument(index)?, buffer)
    }

    /// An argument that is bytes, as they lie.
    pub(crate) fn bytes(&self, index: usize) -> Result<&[u8], Stop> {
        self.view(self.argument(index)?)
    }

    /// An argument that is a string of so many UTF-16 units, read into `buffer`, which only grows.
    pub(crate) fn utf16<'u>(&self, index: usize, units: usize, buffer: &'u mut Vec<u16>) -> Result<&'u [u16], Failure> {
        if buffer.len() <= units {
            buffer.resize(units + 1, 0);
        }
        let mut length = 0;
        // SAFETY: a live environment and value, a buffer of the size given, and a place for the result. Node writes at
        // most that many units, the closing NUL included, and refuses what is no string.
        let status = unsafe {
            sys::napi_get_value_string_utf16(
                self.env,
                self.argument(index)?,
                buffer.as_mut_ptr(),
                units + 1,
                &raw mut length,
            )
        };
        let text = buffer
            .get(..units)
            .filter(|_| status == Status::napi_ok && length == units);
        text.ok_or_else(|| self.mistyped(index))
    }

    /// An argument that is an `ArrayBuffer` to write into.
    #[inline]
    pub(crate) fn target(&self, index: usize) -> Result<Target<'call>, Failure> {
        let mut data = ptr::null_mut();
        let mut length = 0;
        // SAFETY: a live environment and value, and places for the results. Node refuses what is no `ArrayBuffer`, and
        // says zero bytes of one that was detached.
        let status =
            unsafe { sys::napi_get_arraybuffer_info(self.env, self.argument(index)?, &raw mut data, &raw mut length) };
        if status != Status::napi_ok {
            return Err(self.mistyped(index));
        }
        Ok(Target {
            data: data.cast(),
            length: if data.is_null() { 0 } else { length },
            scope: PhantomData,
        })
    }

    /// Makes an argument that is an `ArrayBuffer` the slab.
    pub(crate) fn use_slab(&self, index: usize) -> Result<(), Failure> {
        let target = self.target(index)?;
        let kept = self
            .instance
            .slab
            .become_target(self.env, self.argument(index)?, &target);
        kept.then_some(())
            .ok_or_else(|| Failure::internal("Node keeps no reference to the slab"))
    }

    /// The slab, to write into.
    #[inline(always)]
    pub(crate) fn slab(&self) -> Target<'call> {
        self.instance.slab.target(self.number(Number::SlabBytes) as usize)
    }

    /// A string of bytes that are ASCII.
    pub(crate) fn ascii(&self, text: &[u8]) -> Result<Text<'call>, Failure> {
        let mut value = ptr::null_mut();
        // SAFETY: a live environment, `text` of the length given, and a place for the result. Any byte is a Latin-1
        // character, so nothing is assumed of the bytes.
        let status = unsafe {
            sys::napi_create_string_latin1(self.env, text.as_ptr().cast(), text.len().cast_signed(), &raw mut value)
        };
        self.made_text(status, value)
    }

    /// A string of UTF-8.
    pub(crate) fn utf8(&self, text: &[u8]) -> Result<Text<'call>, Failure> {
        let mut value = ptr::null_mut();
        // SAFETY: a live environment, `text` of the length given, and a place for the result. V8 checks the bytes.
        let status = unsafe {
            sys::napi_create_string_utf8(self.env, text.as_ptr().cast(), text.len().cast_signed(), &raw mut value)
        };
        self.made_text(status, value)
    }

    fn made_text(&self, status: sys::napi_status, value: sys::napi_value) -> Result<Text<'call>, Failure> {
        if status == Status::napi_ok {
            Ok(Text {
                value,
                scope: PhantomData,
            })
        } else {
            Err(Failure::internal(format!(
                "Node made no string of a page: status {status}"
            )))
        }
    }

    #[inline]
    fn argument(&self, index: usize) -> Result<sys::napi_value, Failure> {
        self.arguments.get(index).copied().ok_or_else(|| self.mistyped(index))
    }

    #[inline]
    fn read_key<'k>(&self, value: sys::napi_value, roomed: &'k mut KeyBuffer) -> Result<&'k mut [u8], Stop> {
        let mut length = 0;
        let (_, buffer) = roomed.split_at_mut(KEY_ROOM_BYTES);
        // SAFETY: a live environment and value, a buffer of the size given, and a place for the result. Node writes at
        // most that many bytes, the closing NUL included, and refuses what is no string.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                value,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut length,
            )
        };
        if status == Status::napi_ok {
            // What was cut off for lack of room is longer than a key may be: see `KEY_BUFFER_BYTES`.
            let key = buffer
                .get(..length)
                .filter(|key| key.len() <= MAX_KEY_BYTES)
                .ok_or(Stop::Doubtful)?;
            if may_hide_lone_surrogate(key) {
                return Err(Stop::Doubtful);
            }
            return roomed.get_mut(..KEY_ROOM_BYTES + length).ok_or(Stop::Doubtful);
        }
        let bytes = self.view(value)?;
        let key = buffer
            .get_mut(..bytes.len())
            .filter(|key| key.len() <= MAX_KEY_BYTES)
            .ok_or(Stop::Doubtful)?;
        key.copy_from_slice(bytes);
        let length = key.len();
        roomed.get_mut(..KEY_ROOM_BYTES + length).ok_or(Stop::Doubtful)
    }

    #[inline]
    fn read_value<'v>(&'v self, value: sys::napi_value, buffer: &'v mut Vec<u8>) -> Result<&'v [u8], Stop> {
        if let Some(text) = self.read_text(value, buffer)? {
            return Ok(text);
        }
        let bytes = self.view(value)?;
        if bytes.len() > MAX_VALUE_BYTES {
            Err(Stop::Doubtful)
        } else {
            Ok(bytes)
        }
    }

    /// Reads a string into `buffer`, which only grows; the string's bytes. `None` where the value is none.
    #[inline]
    fn read_text<'v>(&self, value: sys::napi_value, buffer: &'v mut Vec<u8>) -> Result<Option<&'v [u8]>, Stop> {
        /// Longer strings are measured before they are read.
        const AT_ONCE_BYTES: usize = 4096;
        if buffer.len() < AT_ONCE_BYTES {
            buffer.resize(AT_ONCE_BYTES, 0);
        }
        let Some(mut length) = self.copy_text(value, Some(buffer)) else {
            return Ok(None);
        };
        // A string that was cut off leaves at most 4 bytes unused.
        if length + 4 >= buffer.len() {
            let whole = self.copy_text(value, None).ok_or(Stop::Doubtful)?;
            if whole > MAX_VALUE_BYTES {
                return Err(Stop::Doubtful);
            }
            buffer.resize(buffer.len().max(whole + 1), 0);
            length = self.copy_text(value, Some(buffer)).ok_or(Stop::Doubtful)?;
        }
        let text = buffer
            .get(..length)
            .filter(|text| text.len() <= MAX_VALUE_BYTES)
            .ok_or(Stop::Doubtful)?;
        if may_hide_lone_surrogate(text) {
            Err(Stop::Doubtful)
        } else {
            Ok(Some(text))
        }
    }

    /// Copies a string and a NUL into `buffer` as far as they fit, or only measures it; its length. `None` for what is
    /// no string.
    #[inline]
    fn copy_text(&self, value: sys::napi_value, buffer: Option<&mut Vec<u8>>) -> Option<usize> {
        let (start, size) = buffer.map_or((ptr::null_mut(), 0), |buffer| (buffer.as_mut_ptr(), buffer.len()));
        let mut length = 0;
        // SAFETY: a live environment and value, a buffer of the size given or none, and a place for the result. Node
        // writes at most that many bytes, the closing NUL included.
        let status = unsafe { sys::napi_get_value_string_utf8(self.env, value, start.cast(), size, &raw mut length) };
        (status == Status::napi_ok).then_some(length)
    }

    /// The bytes of a `Uint8Array` (a `Buffer` is one) as they lie in JavaScript's memory. Doubtful where it is none,
    /// or its memory is detached or shared with another thread.
    #[inline]
    fn view(&self, value: sys::napi_value) -> Result<&[u8], Stop> {
        let (mut kind, mut length, mut data, mut memory) = (0, 0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: a live environment and value, and places for the results. Node refuses what is no typed array.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                value,
                &raw mut kind,
                &raw mut length,
                &raw mut data,
                &raw mut memory,
                ptr::null_mut(),
            )
        };
        if status != Status::napi_ok || kind != TypedarrayType::uint8_array {
            return Err(Stop::Doubtful);
        }
        let mut owned = false;
        // SAFETY: a live environment, the array's memory as Node named it, and a place for the result.
        let status = unsafe { sys::napi_is_arraybuffer(self.env, memory, &raw mut owned) };
        if status != Status::napi_ok || !owned {
            return Err(Stop::Doubtful);
        }
        if length == 0 {
            let mut detached = true;
            // SAFETY: a live environment, an `ArrayBuffer`, and a place for the result.
            let status = unsafe { sys::napi_is_detached_arraybuffer(self.env, memory, &raw mut detached) };
            return if status == Status::napi_ok && !detached {
                Ok(&[])
            } else {
                Err(Stop::Doubtful)
            };
        }
        // SAFETY: Node names `length` bytes at `data` of an `ArrayBuffer` that no other thread can reach (it is not
        // shared). It stays as it is while no JavaScript runs, and none runs while the view lives: rule 1.
        Ok(unsafe { slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    fn mistyped(&self, index: usize) -> Failure {
        Failure::internal(format!(
            "argument {index} of {} is not of the type it must be",
            self.arguments.len()
        ))
    }

    /// The code for why an operation did not run to its end.
    fn stopped(&self, stop: Stop) -> i32 {
        match stop {
            Stop::Doubtful => code::DOUBTFUL,
            Stop::Failed(failure) if failure.is_not_in_memory => code::NOT_IN_MEMORY,
            Stop::Failed(failure) => {
                self.instance.keep_failure(failure);
                code::FAILED
            }
        }
    }

    /// What is answered, of an operation whose answers are small.
    #[inline(always)]
    fn small(&self, outcome: Result<Reply<'call>, Stop>) -> i32 {
        match outcome {
            Ok(Reply::Integer(value)) => value.cast_signed(),
            Ok(Reply::Absent) => code::ABSENT,
            Ok(Reply::TooSmall(number) | Reply::Refused(number)) => code::TOO_SMALL as i32 - number as i32,
            Ok(Reply::Number(_) | Reply::Text(_)) => self.stopped(Failure::internal("an answer is not small").into()),
            Err(stop) => self.stopped(stop),
        }
    }

    #[inline]
    fn unsigned(&self, number: u32) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: a live environment, and a place for the result. Node cannot fail here; if it did, the null pointer
        // would be `undefined` to JavaScript.
        unsafe { sys::napi_create_uint32(self.env, number, &raw mut value) };
        value
    }

    #[inline]
    fn signed(&self, number: i32) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `unsigned`.
        unsafe { sys::napi_create_int32(self.env, number, &raw mut value) };
        value
    }

    #[inline]
    fn double(&self, number: f64) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `unsigned`.
        unsafe { sys::napi_create_double(self.env, number, &raw mut value) };
        value
    }
}

/// JavaScript's memory to read words from and to write into. Only a pointer, so that it may overlap anything else of JavaScript's.
pub(crate) struct Target<'call> {
    data: *mut u8,
    length: usize,
    scope: PhantomData<&'call ()>,
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

/// Whether text that Node converted holds U+FFFD, which it also puts in place of a lone surrogate.
#[inline]
fn may_hide_lone_surrogate(text: &[u8]) -> bool {
    // Most text is ASCII, which is told many bytes at a time.
    !text.is_ascii() && text.windows(3).any(|bytes| bytes == [0xEF, 0xBF, 0xBD])
}

#[cfg(test)]
mod tests;
