//! The page allocator: which pages of the file `blobs` are free.
//!
//! Owns no file and writes nothing down: on open it is rebuilt from the slot map, whose extents are in use and outside
//! of which everything is free. Best fit over coalesced free runs, the lowest of equals, so that equal-sized frames
//! fill the holes that frames left and the file stays short. Grows at the end when no run fits.
//!
//! It may not decide when an extent becomes free: see `readers.rs` and `store.rs`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::extent::{Extent, MAX_PAGES};

/// Why a set of extents cannot all be in use in one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExtentFault {
    /// It reaches outside of the pages that the file has for blobs.
    OutOfRange(Extent),
    /// Two claim the same page; the second by position is named.
    Overlap(Extent),
}

/// To give a run's room back takes as long as for so many pages, whatever it has.
const RUN_PAGES: u32 = 64;

/// Free pages of one file, between its first page for blobs and its end.
#[derive(Debug)]
pub(crate) struct Allocator {
    /// Free runs, start to length. No two touch.
    by_start: BTreeMap<u32, u32>,
    /// The same runs as (length, start).
    by_length: BTreeSet<(u32, u32)>,
    first: u32,
    end: u32,
    free_pages: u32,
    /// Free pages from here on may take room on the disk; those before it were told not to.
    unpunched: u32,
    /// The fewest pages that were free since there was nothing behind that.
    least_free: u32,
}

impl Allocator {
    /// An allocator of a file that has pages up to `end`, of which those from `first` on that `used` does not cover are
    /// free. Sorts `used`.
    pub(crate) fn rebuild(first: u32, end: u32, used: &mut [Extent]) -> Result<Self, ExtentFault> {
        used.sort_unstable();
        let mut allocator = Self {
            by_start: BTreeMap::new(),
            by_length: BTreeSet::new(),
            first,
            end: end.max(first),
            free_pages: 0,
            // What was free when the file was closed was told so then.
            unpunched: u32::MAX,
            least_free: 0,
        };
        let mut position = first;
        for &extent in used.iter() {
            if extent.start() < first || extent.end() > allocator.end {
                return Err(ExtentFault::OutOfRange(extent));
            }
            if extent.start() < position {
                return Err(ExtentFault::Overlap(extent));
            }
            allocator.insert_run(position, extent.start() - position);
            position = extent.end();
        }
        allocator.insert_run(position, allocator.end - position);
        allocator.least_free = allocator.free_pages;
        Ok(allocator)
    }

    /// Takes `pages` consecutive free pages. `None` when the file cannot grow that far, or for 0 pages.
    pub(crate) fn reserve(&mut self, pages: u32) -> Option<Extent> {
        if let Some(&(length, start)) = self.by_length.range((pages, 0)..).next() {
            let extent = Extent::new(start, pages)?;
            self.take_from_run(start, length, extent);
            return Some(extent);
        }
        let tail = self.tail_run();
        let start = tail.map_or(self.end, |(start, _)| start);
        let extent = Extent::new(start, pages)?;
        if let Some((start, length)) = tail {
            self.take_from_run(start, length, extent);
        }
        self.end = extent.end();
        Some(extent)
    }

    /// Takes the lowest `pages` consecutive free pages that all lie below page `limit`.
    pub(crate) fn reserve_below(&mut self, pages: u32, limit: u32) -> Option<Extent> {
        // Most often there is no run long enough anywhere, which is quickly said.
        self.by_length.range((pages, 0)..).next()?;
        let fits = |(start, length): (&u32, &u32)| {
            let length = (*length).min(limit.saturating_sub(*start));
            (length >= pages).then_some(*start)
        };
        let start = self.by_start.range(..limit).find_map(fits)?;
        let extent = Extent::new(start, pages)?;
        let length = *self.by_start.get(&start)?;
        self.take_from_run(start, length, extent);
        Some(extent)
    }

    /// Gives pages back.
    ///
    /// # Panics
    /// When any of them is free already or outside of the file: going on would hand one page to two blobs.
    pub(crate) fn release(&mut self, extent: Extent) {
        assert!(
            extent.start() >= self.first && extent.end() <= self.end,
            "{extent:?} is outside of the file"
        );
        let before = self
            .by_start
            .range(..extent.end())
            .next_back()
            .map(|(&start, &length)| (start, length));
        self.unpunched = self.unpunched.min(extent.start());
        let mut start = extent.start();
        let mut end = extent.end();
        if let Some((run_start, run_length)) = before {
            let run_end = run_start + run_length;
            assert!(run_end <= extent.start(), "{extent:?} is free already");
            if run_end == extent.start() {
                self.remove_run(run_start, run_length);
                start = run_start;
            }
        }
        if let Some(&length) = self.by_start.get(&extent.end()) {
            self.remove_run(extent.end(), length);
            end += length;
        }
        self.insert_run(start, end - start);
    }

    /// The next free pages that may take room on the disk, which do not from now on: `most` of them, where a run counts as
    /// [`RUN_PAGES`] more than it has. Empty where there are none.
    pub(crate) fn take_unpunched(&mut self, most: u32) -> Vec<Extent> {
        let mut taken = Vec::new();
        let mut left = most;
        let from = self.unpunched;
        let astride = self.by_start.range(..from).next_back();
        for (&run, &length) in astride.into_iter().chain(self.by_start.range(from..)) {
            let start = run.max(from);
            let wanted = (run + length).saturating_sub(start);
            let pages = wanted.min(left.saturating_sub(RUN_PAGES));
            taken.extend(Extent::new(start, pages));
            if pages < wanted {
                self.unpunched = start + pages;
                return taken;
            }
            left -= if wanted > 0 { wanted + RUN_PAGES } else { 0 };
        }
        self.unpunched = u32::MAX;
        self.least_free = self.free_pages;
        taken
    }

    /// Pages that became free, and were not taken again, since there were none that may take room on the disk.
    pub(crate) fn newly_free_pages(&self) -> u32 {
        self.free_pages - self.least_free
    }

    /// Drops free pages from the end of the file, but none below page `floor`. Returns the file's new end.
    pub(crate) fn trim(&mut self, floor: u32) -> u32 {
        if let Some((start, length)) = self.tail_run() {
            let end = start.max(floor).min(self.end);
            self.remove_run(start, length);
            self.insert_run(start, end.saturating_sub(start));
            self.end = end;
            self.least_free = self.least_free.min(self.free_pages);
        }
        self.end
    }

    /// Pages of the file, in use or not.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    /// Pages that are free.
    pub(crate) fn free_pages(&self) -> u32 {
        self.free_pages
    }

    /// Free pages at the end of the file.
    pub(crate) fn tail_pages(&self) -> u32 {
        self.tail_run().map_or(0, |(_, length)| length)
    }

    fn tail_run(&self) -> Option<(u32, u32)> {
        let (&start, &length) = self.by_start.last_key_value()?;
        (start + length == self.end).then_some((start, length))
    }

    /// Takes an extent from the beginning of a free run; it may reach beyond the run at the end of the file.
    fn take_from_run(&mut self, start: u32, length: u32, extent: Extent) {
        self.remove_run(start, length);
        self.insert_run(extent.end(), length.saturating_sub(extent.pages()));
        self.least_free = self.least_free.min(self.free_pages);
    }

    fn insert_run(&mut self, start: u32, length: u32) {
        if length == 0 {
            return;
        }
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
        self.free_pages += length;
    }

    fn remove_run(&mut self, start: u32, length: u32) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
        self.free_pages -= length;
    }
}

const _: () = assert!(MAX_PAGES == u32::MAX, "runs and sums of runs are counted in u32");
