//! A flat frame as the one writer sees it that has latched it.

use coppice_frame::{FlatMut, FlatRef, Frame};
use coppice_sync::MutexGuard;

use super::{
    BlobKind, Entry,
    pinned::{Pinned, vanished},
};
use crate::{buffer::Buffer, error::Error};

impl Pinned<'_> {
    /// A flat frame, to be changed in place by one of several writers.
    pub(crate) fn latch_flat(&self, blob: u32) -> Result<Latched<'_>, Error> {
        loop {
            self.place(blob, BlobKind::Flat)?;
            let latch = self.latch(blob).ok_or_else(|| vanished(blob))?;
            match latch.as_ref() {
                Some(entry) if entry.kind != BlobKind::Flat => return Err(vanished(blob)),
                Some(entry) if entry.memory.is_some() => {
                    return Ok(Latched {
                        pinned: self,
                        blob,
                        latch,
                    });
                }
                // Evicted in between.
                Some(_) => {}
                None => return Err(vanished(blob)),
            }
        }
    }
}

/// A flat frame that one writer has to itself; readers go on.
pub(crate) struct Latched<'p> {
    pinned: &'p Pinned<'p>,
    blob: u32,
    latch: MutexGuard<'p, Option<Entry>>,
}

impl Latched<'_> {
    /// The frame.
    pub(crate) fn flat(&self) -> FlatRef<'_> {
        let buffer = self.latch.as_ref().and_then(|entry| entry.memory.as_ref());
        FlatRef::new(buffer.map_or(Frame::EMPTY, Buffer::frame))
    }

    /// Puts a rebuilt frame in place of this one.
    pub(crate) fn replace(&mut self, buffer: Buffer) -> Result<(), Error> {
        let entry = self.latch.as_mut().ok_or_else(|| vanished(self.blob))?;
        self.pinned.put_in(self.blob, entry, buffer);
        Ok(())
    }

    /// After a record came or went.
    pub(crate) fn mark_count_stale(&self) {
        self.pinned.mark_count_stale(self.blob);
    }

    /// The frame, to be changed.
    pub(crate) fn flat_mut(&mut self) -> Result<FlatMut<'_>, Error> {
        let entry = self.latch.as_mut().ok_or_else(|| vanished(self.blob))?;
        self.pinned.writable(self.blob, entry)?;
        let buffer = entry.memory.as_mut().ok_or_else(|| vanished(self.blob))?;
        Ok(FlatMut::new(buffer.frame_mut()))
    }
}
