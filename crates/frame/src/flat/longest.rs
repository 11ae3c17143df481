//! The longest stored prefix of a key, in a flat frame.

use super::FlatRef;
use crate::{Stored, bytes::common_prefix};

impl<'a> FlatRef<'a> {
    /// The record whose key is the longest stored prefix of `key`, itself included, with the length of its key.
    ///
    /// What stands last at or before `key` in the sorted array either is a prefix of it or shares with it all that any
    /// stored prefix can have, so that each search leaves less of the key; mostly there are one or two. The tail, in no
    /// order, is looked through.
    pub fn longest_prefix(self, key: &[u8]) -> Option<(usize, Stored<'a>)> {
        let order = self.order();
        let mut best = None;
        let (mut end, mut wanted) = (usize::from(order.sorted_len), key);
        while end > 0 && !wanted.is_empty() {
            let behind = self.sorted_behind(order, end, wanted);
            let Some(place) = behind.checked_sub(1) else { break };
            let unit = self.sorted_at(order, place);
            let found = self.record(unit).flat_key();
            let shared = common_prefix(found, wanted);
            let mut left = shared;
            if shared == found.len() {
                if let Some(newest) = self.newest(unit) {
                    best = Some((shared, newest));
                    break;
                }
                left = shared.saturating_sub(1);
            }
            wanted = wanted.get(..left).unwrap_or(&[]);
            end = place;
        }
        for index in 0..usize::from(order.tail_len) {
            let unit = self.tail_at(order, index);
            let found = self.record(unit).flat_key();
            if best.is_none_or(|(len, _)| found.len() > len)
                && key.starts_with(found)
                && let Some(newest) = self.newest(unit)
            {
                best = Some((found.len(), newest));
            }
        }
        best.map(|(len, unit)| (len, self.record(unit).flat_stored()))
    }
}
