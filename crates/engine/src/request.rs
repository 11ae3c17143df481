//! What readers and writers ask for, and what they get.

use std::ops::{Bound, ControlFlow};

/// A named tree: a number that is never used again in its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeId(pub u32);

impl TreeId {
    /// A tree that does not exist, and that nobody can create where it is asked of: it reads as an empty one. No tree gets
    /// this number.
    pub const ABSENT: Self = Self(0xFEFF_FFFF);
}

/// A record as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The value's bytes.
    pub value: &'a [u8],
    /// The sequence number of the commit that wrote it; below 2^48.
    pub version: u64,
}

/// When a put or a delete takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// Where there is no record.
    IfAbsent,
    /// Where there is a record.
    IfPresent,
    /// Where the record has exactly this version.
    IfVersion(u64),
}

impl Condition {
    pub(crate) fn holds(self, version: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::IfAbsent => version.is_none(),
            Self::IfPresent => version.is_some(),
            Self::IfVersion(wanted) => version == Some(wanted),
        }
    }
}

/// A key in the two pieces in which the tree holds it: a scan puts none together that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitKey<'a> {
    /// The first piece; what neighbouring keys share, as a rule.
    pub head: &'a [u8],
    /// The rest.
    pub tail: &'a [u8],
}

impl SplitKey<'_> {
    /// Its length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether it is the empty key.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts it together behind what is there.
    #[inline]
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.head);
        bytes.extend_from_slice(self.tail);
    }

    /// Puts it together.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [self.head, self.tail].concat()
    }
}

/// Which keys a scan visits: all bounds given must hold.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// Keys start with this.
    pub prefix: &'a [u8],
    /// Keys are above this.
    pub lower: Bound<&'a [u8]>,
    /// Keys are below this.
    pub upper: Bound<&'a [u8]>,
    /// From the last key to the first.
    pub reverse: bool,
}

impl Range<'_> {
    /// Every key, from the first to the last.
    pub const ALL: Self = Self {
        prefix: &[],
        lower: Bound::Unbounded,
        upper: Bound::Unbounded,
        reverse: false,
    };
}

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'a> {
    /// At its start.
    Start,
    /// Behind this key.
    Key(&'a [u8]),
    /// Behind every key that starts with this.
    Prefix(&'a [u8]),
}

/// One page of a listing. Semantics are S3's ListObjectsV2.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// Keys start with this.
    pub prefix: &'a [u8],
    /// Keys that hold this behind the prefix are rolled up to its end. Empty: nothing is rolled up.
    pub delimiter: &'a [u8],
    /// The caller's start-after: only keys greater than this.
    pub after: Option<&'a [u8]>,
    /// Where the previous page ended.
    pub resume: After<'a>,
    /// Keys and prefixes together.
    pub limit: usize,
}

/// Who is told of the items of a listing, in key order. A break leaves the item at hand, and ends the listing.
pub trait ListVisitor {
    /// A key that was not rolled up.
    fn key(&mut self, key: SplitKey<'_>, record: Record<'_>) -> ControlFlow<()>;
    /// A rolled-up prefix, delimiter included.
    fn prefix(&mut self, prefix: &[u8]) -> ControlFlow<()>;
}

impl<F: FnMut(ListItem<'_>) -> ControlFlow<()>> ListVisitor for F {
    #[inline]
    fn key(&mut self, key: SplitKey<'_>, record: Record<'_>) -> ControlFlow<()> {
        self(ListItem::Key(key, record))
    }

    #[inline]
    fn prefix(&mut self, prefix: &[u8]) -> ControlFlow<()> {
        self(ListItem::Prefix(prefix))
    }
}

/// One item of a listing, in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListItem<'a> {
    /// A key that was not rolled up.
    Key(SplitKey<'a>, Record<'a>),
    /// A rolled-up prefix, delimiter included.
    Prefix(&'a [u8]),
}
