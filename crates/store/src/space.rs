//! The life of an extent: free, reserved, in use, (of a deleted blob: set aside,) retired, free again.
//!
//! **An extent is never reused under a reader.** Time is cut into eras, a new one with every commit. A reader enters the
//! current era while it looks up the extent, under the slot map's lock, and leaves it when it is done with the bytes.
//! A commit takes the map's lock exclusively to replace entries; the extents it replaced are retired in the era that is
//! then current, and the next era begins. So whoever can know such an extent is in that era or an earlier one, and once
//! all of these are empty the extent is free. No lock is held while bytes are read.
//!
//! **Nor under an image.** An image (store/image.rs) lives long, so it does not stay in an era, which would hold back all
//! that is retired meanwhile. It has its own copy of the map, and an extent that is retired is first looked for there: one
//! that an image names is kept for that image, and when this goes, for another that names it, or retired again.
//!
//! Retired extents are not written down: after a reopen nobody reads them, and what the map does not name is free.

#[cfg(all(test, loom))]
mod models;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use coppice_defect::{Defect, planted};

use crate::{BlobId, allocator::Allocator, extent::Extent, slot_map::SlotMap};

/// Free pages at the file's end that are never given back by themselves: 16 MiB.
pub(crate) const MIN_SLACK_PAGES: u32 = 4096;

/// An era that a reader is in. Entered by [`Space::enter`], left by [`Space::leave`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Era(u64);

/// An image's part in the space. Taken by [`Space::add_image`], given back by [`Space::drop_image`].
#[derive(Debug)]
#[must_use]
pub(crate) struct ImageId(u64);

#[derive(Debug)]
struct ImageHold {
    id: u64,
    map: SlotMap,
    /// Extents that were retired, and that the image names.
    kept: Vec<(BlobId, Extent)>,
}

impl ImageHold {
    fn names(&self, blob: BlobId, extent: Extent) -> bool {
        self.map.get(blob).is_some_and(|entry| entry.extent() == extent)
    }
}

fn pages_of(extents: &[(BlobId, Extent)]) -> u64 {
    extents.iter().map(|(_, extent)| u64::from(extent.pages())).sum()
}

/// The pages of the file `blobs` and who may still be reading them.
#[derive(Debug)]
pub(crate) struct Space {
    allocator: Allocator,
    /// Readers in each era, from the oldest that has any to the current one; never empty.
    readers: VecDeque<u64>,
    /// The number of the first of them.
    oldest: u64,
    /// Extents by the era they were retired in, oldest first.
    retired: VecDeque<(u64, Vec<Extent>)>,
    /// Extents of deleted blobs, whose deletes have not been applied yet.
    set_aside: Vec<(BlobId, Extent)>,
    /// Oldest first.
    images: Vec<ImageHold>,
    next_image: u64,
    /// Pages of what is retired, set aside, or kept for images.
    retired_pages: u64,
}

impl Space {
    /// A space without readers.
    pub(crate) fn new(allocator: Allocator) -> Self {
        Self {
            allocator,
            readers: VecDeque::from([0]),
            oldest: 0,
            retired: VecDeque::new(),
            set_aside: Vec::new(),
            images: Vec::new(),
            next_image: 0,
            retired_pages: 0,
        }
    }

    /// From here on no extent that this map names is used again. The caller holds the slot map's lock, shared.
    pub(crate) fn add_image(&mut self, map: SlotMap) -> ImageId {
        let id = self.next_image;
        self.next_image += 1;
        self.images.push(ImageHold {
            id,
            map,
            kept: Vec::new(),
        });
        ImageId(id)
    }

    /// An image goes. What was kept for it alone is free once the readers have left that may be in it.
    #[expect(clippy::needless_pass_by_value, reason = "an image that was added is dropped once")]
    pub(crate) fn drop_image(&mut self, image: ImageId) {
        if let Some(at) = self.images.iter().position(|hold| hold.id == image.0) {
            let kept = self.images.remove(at).kept;
            self.retired_pages -= pages_of(&kept);
            self.retire(kept);
        }
    }

    /// How many extents are kept for images alone.
    pub(crate) fn kept_extents(&self) -> usize {
        self.images.iter().map(|image| image.kept.len()).sum()
    }

    /// A reader comes. The caller holds the slot map's lock, shared.
    pub(crate) fn enter(&mut self) -> Era {
        if let Some(current) = self.readers.back_mut() {
            *current += 1;
        }
        Era(self.current())
    }

    /// A reader goes.
    #[expect(clippy::needless_pass_by_value, reason = "an era that was entered is left once")]
    pub(crate) fn leave(&mut self, era: Era) {
        let index = era.0.saturating_sub(self.oldest) as usize;
        if let Some(readers) = self.readers.get_mut(index) {
            *readers = readers.saturating_sub(1);
        }
        self.forget_empty_eras();
    }

    /// Takes an extent for each count of pages: all or none.
    pub(crate) fn reserve(&mut self, counts: impl Iterator<Item = u32>) -> Option<Vec<Extent>> {
        self.reclaim();
        let end = self.allocator.end();
        let mut reserved = Vec::with_capacity(counts.size_hint().0);
        for pages in counts {
            match self.allocator.reserve(pages) {
                Some(extent) => reserved.push(extent),
                None => {
                    self.give_back(&reserved, end);
                    return None;
                }
            }
        }
        Some(reserved)
    }

    /// Takes an extent as long as this one that lies below it.
    pub(crate) fn reserve_below(&mut self, extent: Extent) -> Option<Extent> {
        self.allocator.reserve_below(extent.pages(), extent.start())
    }

    /// Undoes a reservation that nothing came to refer to, made when the file had `end` pages.
    pub(crate) fn give_back(&mut self, reserved: &[Extent], end: u32) {
        for &extent in reserved {
            self.allocator.release(extent);
        }
        self.allocator.trim(end);
    }

    /// Retires extents that no durable map names any more, and begins a new era. The caller holds the slot map's lock,
    /// exclusively, and has removed them from it.
    pub(crate) fn retire(&mut self, extents: Vec<(BlobId, Extent)>) {
        self.retired_pages += pages_of(&extents);
        let mut unnamed = Vec::with_capacity(extents.len());
        for (blob, extent) in extents {
            match self
                .images
                .iter_mut()
                .rfind(|image| image.names(blob, extent) && !planted(Defect::ReusesExtentsOfSnapshots))
            {
                Some(image) => image.kept.push((blob, extent)),
                None => unnamed.push(extent),
            }
        }
        if unnamed.is_empty() {
            return;
        }
        self.retired.push_back((self.current(), unnamed));
        self.readers.push_back(0);
        self.forget_empty_eras();
        self.reclaim();
    }

    /// Keeps the extents of deleted blobs, which no durable map names any more, until their deletes are applied. The caller
    /// holds the slot map's lock, exclusively, and has removed them from it.
    pub(crate) fn set_aside(&mut self, dropped: Vec<(BlobId, Extent)>) {
        self.retired_pages += pages_of(&dropped);
        self.set_aside.extend(dropped);
    }

    /// Retires what was set aside of a blob. False where nothing was.
    pub(crate) fn free(&mut self, blob: BlobId) -> bool {
        let extents: Vec<_> = self.set_aside.extract_if(.., |(of, _)| *of == blob).collect();
        self.retired_pages -= pages_of(&extents);
        let some = !extents.is_empty();
        self.retire(extents);
        some
    }

    /// Makes free what no reader can be in any more.
    pub(crate) fn reclaim(&mut self) {
        while self.retired.front().is_some_and(|(era, _)| *era < self.oldest) {
            let (_, extents) = self.retired.pop_front().unwrap_or_default();
            for extent in extents {
                self.retired_pages -= u64::from(extent.pages());
                self.allocator.release(extent);
            }
        }
    }

    /// Drops free pages from the end of the file and returns its new end.
    pub(crate) fn trim(&mut self) -> u32 {
        self.reclaim();
        self.allocator.trim(0)
    }

    /// Drops free pages from the end of the file where they are many, so that it does not shrink and grow with each
    /// commit. Returns the new end.
    pub(crate) fn trim_to_slack(&mut self) -> u32 {
        self.reclaim();
        let end = self.allocator.end();
        let free = self.allocator.tail_pages();
        let slack = MIN_SLACK_PAGES.max((end - free) / 4);
        if free > slack {
            return self.allocator.trim(end - free + slack / 2);
        }
        end
    }

    /// The next free pages whose room the disk may have back, where at least `least_pages` became free: about `most` of them,
    /// which are taken for given back. Empty where there are none.
    pub(crate) fn take_unpunched(&mut self, most: u32, least_pages: u32) -> Vec<Extent> {
        self.reclaim();
        if self.allocator.newly_free_pages() < least_pages {
            return Vec::new();
        }
        self.allocator.take_unpunched(most)
    }

    /// Pages of the file.
    pub(crate) fn end(&self) -> u32 {
        self.allocator.end()
    }

    /// Pages that a commit may use.
    pub(crate) fn free_pages(&self) -> u64 {
        u64::from(self.allocator.free_pages())
    }

    /// Pages that wait for readers, for their deletes, or for images to go.
    pub(crate) fn retired_pages(&self) -> u64 {
        self.retired_pages
    }

    fn current(&self) -> u64 {
        self.oldest + self.readers.len() as u64 - 1
    }

    fn forget_empty_eras(&mut self) {
        while self.readers.len() > 1 && self.readers.front() == Some(&0) {
            self.readers.pop_front();
            self.oldest += 1;
        }
    }
}
