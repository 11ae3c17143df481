//! Keys and values as arguments: strings are copied, bytes are looked at where they lie.

use std::{ptr, slice};

use coppice_engine::{KEY_ROOM_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use napi::sys::{self, Status, TypedarrayType};

use super::{Call, Stop};
use crate::instance::KeyBuffer;

impl Call<'_> {
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

    /// An argument that is bytes of this package's own, as they lie.
    pub(crate) fn bytes(&self, index: usize) -> Result<&[u8], Stop> {
        let (bytes, _) = self.look(self.argument(index)?)?;
        Ok(bytes)
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

    /// The bytes of a caller's `Uint8Array` (a `Buffer` is one) as they lie in JavaScript's memory. Doubtful where it is none, or
    /// its memory is shared with another thread; and where there are none, unless there never were: memory that is detached, or
    /// too small by now, looks the same.
    #[inline]
    fn view(&self, value: sys::napi_value) -> Result<&[u8], Stop> {
        match self.look(value)? {
            ([], memory) if !self.never_had_bytes(memory) => Err(Stop::Doubtful),
            (bytes, _) => Ok(bytes),
        }
    }

    /// Whether an `ArrayBuffer` was made without a byte, and cannot have any.
    #[cold]
    fn never_had_bytes(&self, memory: sys::napi_value) -> bool {
        let (mut data, mut length, mut detached) = (ptr::null_mut(), 0, true);
        // SAFETY: a live environment, an `ArrayBuffer`, and places for the results.
        let status = unsafe { sys::napi_get_arraybuffer_info(self.env, memory, &raw mut data, &raw mut length) };
        // One that can be resized has its place from the start.
        if status != Status::napi_ok || length > 0 || !data.is_null() {
            return false;
        }
        // SAFETY: a live environment, an `ArrayBuffer`, and a place for the result.
        let status = unsafe { sys::napi_is_detached_arraybuffer(self.env, memory, &raw mut detached) };
        status == Status::napi_ok && !detached
    }

    /// The bytes of a `Uint8Array` as they lie, and its `ArrayBuffer`. Doubtful where it is none, or its memory is shared with
    /// another thread.
    #[inline]
    fn look(&self, value: sys::napi_value) -> Result<(&[u8], sys::napi_value), Stop> {
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
            return Ok((&[], memory));
        }
        // SAFETY: Node names `length` bytes at `data` of an `ArrayBuffer` that no other thread can reach (it is not
        // shared). It stays as it is while no JavaScript runs, and none runs while the view lives: rule 1.
        let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>().cast_const(), length) };
        Ok((bytes, memory))
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
