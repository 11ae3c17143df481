//! Keys and values that are handed over many at a time.
//!
//! `src/parts.ts` lays them down as three arguments: all that is text one behind the other in one string; all that is bytes
//! in one `Uint8Array`; and of each, in order, a 32-bit word in an `ArrayBuffer`: how many UTF-16 units it has or, with the
//! highest bit set, how many bytes. The bytes may be followed by others.

use coppice_engine::MAX_KEY_BYTES;

use crate::{
    failure::Failure,
    raw::{Call, Stop, Target},
};

/// Marks a part that is bytes.
const BYTES_BIT: u32 = 1 << 31;
const WORD_BYTES: usize = size_of::<u32>();

/// What parts are read into. Kept from call to call.
#[derive(Default)]
pub(crate) struct PartsBuffers {
    units: Vec<u16>,
    /// The text of all parts, in UTF-8.
    text: Vec<u8>,
    /// Of each part, how many bytes it has, and [`BYTES_BIT`].
    words: Vec<u32>,
}

impl PartsBuffers {
    /// Gives buffers back that much text made grow.
    pub(crate) fn release_large(&mut self) {
        const KEPT_UNITS: usize = 512 << 10;
        if self.units.len() > KEPT_UNITS {
            *self = Self::default();
        }
    }

    /// Reads `count` parts: the text is argument `first`, bytes and words are the ones behind it. Of every `stride` parts the
    /// first is a key. Doubtful where text holds a lone surrogate, or a key is too long.
    pub(crate) fn read<'p>(
        &'p mut self,
        call: &'p Call<'_>,
        first: usize,
        count: usize,
        stride: usize,
    ) -> Result<Parts<'p>, Stop> {
        let malformed = || Failure::internal("parts are not of the form they must be");
        let (units, bytes) = self.read_words(&call.target(first + 2)?, count).ok_or_else(malformed)?;
        let units = call.utf16(first, units, &mut self.units)?;
        encode(units, &mut self.words, &mut self.text)?;
        let mut keys = self.words.iter().step_by(stride);
        if keys.any(|word| (word & !BYTES_BIT) as usize > MAX_KEY_BYTES) {
            return Err(Stop::Doubtful);
        }
        // To ask for bytes costs as much as a few keys.
        let bytes = match bytes {
            0 => &[][..],
            _ => call.bytes(first + 1)?.get(..bytes).ok_or_else(malformed)?,
        };
        Ok(Parts {
            text: &self.text,
            bytes,
            words: self.words.iter(),
        })
    }

    /// Reads the words; how many units and bytes they say there are in all.
    fn read_words(&mut self, words: &Target<'_>, count: usize) -> Option<(usize, usize)> {
        self.words.clear();
        let (mut units, mut bytes) = (0_usize, 0_usize);
        if words.len() < count.checked_mul(WORD_BYTES)? {
            return None;
        }
        for index in 0..count {
            let word = words.word(index * WORD_BYTES)?;
            let sum = if word & BYTES_BIT == 0 { &mut units } else { &mut bytes };
            *sum = sum.checked_add((word & !BYTES_BIT) as usize)?;
            self.words.push(word);
        }
        Some((units, bytes))
    }
}

/// Puts the UTF-8 of all text into `text`, and in place of each length in units the one in bytes.
fn encode(units: &[u16], words: &mut [u32], text: &mut Vec<u8>) -> Result<(), Stop> {
    text.clear();
    // Most text is ASCII, which is told many units at a time.
    if units.iter().fold(0, |all, unit| all | unit) < 0x80 {
        text.extend(units.iter().map(|unit| *unit as u8));
        return Ok(());
    }
    let mut rest = units;
    for word in words.iter_mut().filter(|word| **word & BYTES_BIT == 0) {
        let (part, behind) = rest.split_at_checked(*word as usize).ok_or(Stop::Doubtful)?;
        rest = behind;
        let start = text.len();
        for character in char::decode_utf16(part.iter().copied()) {
            let character = character.map_err(|_| Stop::Doubtful)?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        *word = (text.len() - start) as u32;
    }
    Ok(())
}

/// The parts, in order.
pub(crate) struct Parts<'p> {
    text: &'p [u8],
    bytes: &'p [u8],
    words: std::slice::Iter<'p, u32>,
}

impl<'p> Parts<'p> {
    /// The same with its bytes in `buffer`: for who writes to JavaScript's memory meanwhile.
    pub(crate) fn copied_into(self, buffer: &'p mut Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(self.bytes);
        Self { bytes: buffer, ..self }
    }
}

impl<'p> Iterator for Parts<'p> {
    type Item = &'p [u8];

    #[inline]
    fn next(&mut self) -> Option<&'p [u8]> {
        let word = *self.words.next()?;
        let from = if word & BYTES_BIT == 0 {
            &mut self.text
        } else {
            &mut self.bytes
        };
        let (part, behind) = from.split_at_checked((word & !BYTES_BIT) as usize)?;
        *from = behind;
        Some(part)
    }
}

#[cfg(test)]
mod tests;
