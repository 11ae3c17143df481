//! An array that grows while others read it, and never moves what it holds.

use std::{array, sync::OnceLock};

/// As many buckets as 2^28 numbers of blobs take where the first has 64.
const BUCKETS: usize = 22;

/// The first `FIRST` elements, a power of two, are there from the beginning and are found at once; each further bucket doubles
/// what there is.
pub(super) struct Buckets<T, const FIRST: usize> {
    first: Box<[T]>,
    buckets: [OnceLock<Box<[T]>>; BUCKETS],
}

/// Bucket and place of an element that is not among the first: bucket n has those from `first << n` up to twice that.
#[inline(always)]
fn place(index: usize, first: usize) -> (usize, usize) {
    let high = (index | first).ilog2();
    ((high - first.ilog2()) as usize, index & !(1 << high))
}

impl<T: Default, const FIRST: usize> Buckets<T, FIRST> {
    pub(super) fn new() -> Self {
        const { assert!(FIRST.is_power_of_two()) };
        Self {
            first: elements(FIRST),
            buckets: array::from_fn(|_| OnceLock::new()),
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match self.first.get(index) {
            None => self.get_behind(index),
            found => found,
        }
    }

    #[inline]
    fn get_behind(&self, index: usize) -> Option<&T> {
        let (bucket, place) = place(index, FIRST);
        self.buckets.get(bucket)?.get()?.get(place)
    }

    /// The element, made with all of its bucket if it is not there yet; None behind the last bucket.
    pub(super) fn get_or_grow(&self, index: usize) -> Option<&T> {
        if index < FIRST {
            return self.first.get(index);
        }
        let (bucket, place) = place(index, FIRST);
        self.buckets
            .get(bucket)?
            .get_or_init(|| elements(FIRST << bucket))
            .get(place)
    }
}

fn elements<T: Default>(count: usize) -> Box<[T]> {
    std::iter::repeat_with(T::default).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 64..1 << 16 {
            assert_eq!(place(index, 64), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == 64 << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place((1 << 28) - 1, 64).0, BUCKETS - 1);
    }

    #[test]
    fn what_was_not_grown_is_not_there() {
        let buckets = Buckets::<u64, 64>::new();
        assert_eq!((buckets.get(63), buckets.get(64)), (Some(&0), None));
        assert_eq!(buckets.get_or_grow(70), Some(&0));
        assert_eq!(
            (buckets.get(64), buckets.get(127), buckets.get(128)),
            (Some(&0), Some(&0), None)
        );
        assert_eq!(buckets.get_or_grow(1 << 28), None);
    }
}
