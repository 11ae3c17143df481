//! A file's bytes, in pages that copies share until they are written to: images of a disk are taken by the thousand.

use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// Bytes that read as zeros where nothing was written.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pages: Vec<Option<Arc<Page>>>,
    len: u64,
}

impl Contents {
    /// The length, bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the pages written to take up on a disk.
    pub fn allocated_bytes(&self) -> u64 {
        (self.pages.iter().flatten().count() * PAGE_BYTES) as u64
    }

    /// Reads from `offset` and returns how many bytes: fewer than asked for only at the end.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(into.len() as u64) as usize;
        for_each_piece(offset, count, |page, within, range| {
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(page) => into[range.clone()].copy_from_slice(&page[within..within + range.len()]),
                None => into[range].fill(0),
            }
        });
        count
    }

    /// All of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// Writes at `offset`; a gap before it reads as zeros.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
        self.pages.resize((self.len as usize).div_ceil(PAGE_BYTES), None);
        for_each_piece(offset, bytes.len(), |page, within, range| {
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + range.len()].copy_from_slice(&bytes[range]);
        });
    }

    /// Cuts off, or grows with zeros.
    pub fn set_len(&mut self, len: u64) {
        self.pages.resize((len as usize).div_ceil(PAGE_BYTES), None);
        if len < self.len
            && let Some(Some(last)) = self.pages.last_mut()
        {
            let kept = (len as usize) % PAGE_BYTES;
            if kept > 0 {
                Arc::make_mut(last)[kept..].fill(0);
            }
        }
        self.len = len;
    }
}

impl From<&[u8]> for Contents {
    fn from(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        contents.write(0, bytes);
        contents
    }
}

/// Calls `visit` with each page's number, the offset in it, and the range of the bytes that lie there.
fn for_each_piece(offset: u64, count: usize, mut visit: impl FnMut(usize, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < count {
        let at = offset as usize + done;
        let within = at % PAGE_BYTES;
        let piece = (PAGE_BYTES - within).min(count - done);
        visit(at / PAGE_BYTES, within, done..done + piece);
        done += piece;
    }
}
