//! An array that grows while others read it, and never moves what it holds.

use std::{array, sync::OnceLock};

/// Elements of the first bucket; each further one doubles what there is.
const FIRST: usize = 64;
/// As many buckets as 2^28 numbers of blobs take.
const BUCKETS: usize = 23;

pub(super) struct Buckets<T> {
    buckets: [OnceLock<Box<[T]>>; BUCKETS],
}

/// Bucket and place of an element: bucket 0 has the first 64, bucket n > 0 those from 32 << n up to twice that.
#[inline(always)]
fn place(index: usize) -> (usize, usize) {
    let high = (index | (FIRST - 1)).ilog2();
    let bucket = high + 1 - FIRST.ilog2();
    let start = if bucket == 0 { 0 } else { 1 << high };
    (bucket as usize, index - start)
}

fn len_of(bucket: usize) -> usize {
    if bucket == 0 { FIRST } else { FIRST << (bucket - 1) }
}

impl<T> Buckets<T> {
    pub(super) fn new() -> Self {
        Self {
            buckets: array::from_fn(|_| OnceLock::new()),
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (bucket, place) = place(index);
        self.buckets.get(bucket)?.get()?.get(place)
    }
}

impl<T: Default> Buckets<T> {
    /// The element, made with all of its bucket if it is not there yet; None behind the last bucket.
    pub(super) fn get_or_grow(&self, index: usize) -> Option<&T> {
        let (bucket, place) = place(index);
        self.buckets
            .get(bucket)?
            .get_or_init(|| std::iter::repeat_with(T::default).take(len_of(bucket)).collect())
            .get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..1 << 16 {
            assert_eq!(place(index), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == len_of(expected.0) {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place((1 << 28) - 1).0, BUCKETS - 1);
    }

    #[test]
    fn what_was_not_grown_is_not_there() {
        let buckets = Buckets::<u64>::new();
        assert_eq!(buckets.get(0), None);
        assert_eq!(buckets.get_or_grow(70), Some(&0));
        assert_eq!(
            (buckets.get(64), buckets.get(127), buckets.get(128)),
            (Some(&0), Some(&0), None)
        );
        assert_eq!(buckets.get_or_grow(1 << 28), None);
    }
}
