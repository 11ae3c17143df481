//! A batch of images as the fewest transfers: neighbours joined, up to a limit of bytes.

#[cfg(test)]
mod tests;

use crate::{aligned::zeros, extent::Extent};

/// One transfer.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// Where in the file, bytes: a multiple of a page.
    pub(crate) offset: u64,
    /// What lies there, one behind the other, the padding of last pages included.
    pub(crate) parts: Vec<&'a [u8]>,
    /// Sum of their lengths: whole pages.
    pub(crate) len: usize,
}

impl Piece<'_> {
    /// Copies the parts to the start of `into`, which has room for them.
    pub(crate) fn copy_to(&self, into: &mut [u8]) {
        let mut rest = into;
        for part in &self.parts {
            let Some((room, behind)) = rest.split_at_mut_checked(part.len()) else {
                return;
            };
            room.copy_from_slice(part);
            rest = behind;
        }
    }
}

/// The pieces of a batch in order of position.
#[derive(Debug)]
pub(crate) struct Pieces<'b, 'a> {
    batch: &'b [(Extent, &'a [u8])],
    /// Bytes of the first extent that earlier pieces have taken: whole pages.
    taken: usize,
    limit: usize,
}

impl<'b, 'a> Pieces<'b, 'a> {
    /// Pieces of at most `limit` bytes (a multiple of a page). The batch is sorted by position and its images fill their
    /// extents up to the last page.
    pub(crate) fn new(batch: &'b [(Extent, &'a [u8])], limit: usize) -> Self {
        Self { batch, taken: 0, limit }
    }
}

impl<'a> Iterator for Pieces<'_, 'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let (first, _) = self.batch.first()?;
        let mut piece = Piece {
            offset: first.offset_bytes() + self.taken as u64,
            parts: Vec::new(),
            len: 0,
        };
        while let Some(((extent, image), rest)) = self.batch.split_first() {
            let position = extent.offset_bytes() + self.taken as u64;
            let take = (extent.len_bytes() as usize - self.taken).min(self.limit - piece.len);
            if take == 0 || position != piece.offset + piece.len as u64 {
                break;
            }
            let left = image.get(self.taken..).unwrap_or_default();
            let bytes = left.get(..take).unwrap_or(left);
            piece.parts.push(bytes);
            piece
                .parts
                .extend(zeros().get(..take - bytes.len()).filter(|zeros| !zeros.is_empty()));
            piece.len += take;
            self.taken += take;
            if self.taken as u64 == extent.len_bytes() {
                self.batch = rest;
                self.taken = 0;
            }
        }
        Some(piece)
    }
}
