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

mod bytes;
mod numbers;
mod slab;
mod target;

use std::{
    ffi::{CStr, c_void},
    marker::PhantomData,
    ptr,
    rc::Rc,
};

use napi::{
    Env, JsValue,
    bindgen_prelude::Object,
    sys::{self, Status},
};

use crate::{
    failure::{Failure, guard},
    instance::Instance,
};

pub(crate) use numbers::{Number, Numbers};
pub(crate) use slab::Slab;
pub(crate) use target::Target;

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
