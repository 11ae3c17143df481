//! Where a listing rolls keys up: behind the first delimiter that comes after its prefix.

/// What is rolled up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollup<'a> {
    /// Bytes of a key that the delimiter is looked for behind.
    pub(crate) prefix_len: usize,
    /// Empty: nothing is rolled up.
    pub(crate) delimiter: &'a [u8],
}

impl Rollup<'_> {
    /// Length of what a key rolls up to, if it does; the delimiter is known not to start in front of `from`.
    pub(super) fn group_len(&self, key: &[u8], from: usize) -> Option<usize> {
        let rest = key.get(from..)?;
        let at = match self.delimiter {
            [] => return None,
            [byte] => rest.iter().position(|b| b == byte)?,
            bytes => rest.windows(bytes.len()).position(|window| window == bytes)?,
        };
        Some(from + at + self.delimiter.len())
    }

    /// Where the delimiter may start in keys that begin with `path`, which was searched from `from` on.
    pub(super) fn searched(&self, path: &[u8], from: usize) -> usize {
        match self.group_len(path, from) {
            Some(_) => from,
            None => from.max((path.len() + 1).saturating_sub(self.delimiter.len())),
        }
    }
}
