//! Keys as programs have them, for benches: the same numbers give the same keys.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::ops::Range;

use fastrand::Rng;

/// What keys look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// 16 buckets of 64 folders; names of 43 bytes.
    ObjectStore,
    /// Directories in directories, names of some 60 bytes.
    FileSystem,
    /// 32 random bytes.
    Random,
    /// Folders of one file each, all of the same name.
    SharedTail,
    /// Every key but the longest ones begins others.
    Nested,
    /// All in one folder.
    OneFolder,
}

impl Shape {
    pub(crate) const ALL: [Self; 6] = [
        Self::ObjectStore,
        Self::FileSystem,
        Self::Random,
        Self::SharedTail,
        Self::Nested,
        Self::OneFolder,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ObjectStore => "object-store",
            Self::FileSystem => "file-system",
            Self::Random => "random",
            Self::SharedTail => "shared-tail",
            Self::Nested => "nested",
            Self::OneFolder => "one-folder",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    /// The key of a number; no two numbers below 2^32 have the same.
    pub(crate) fn key(self, number: u32) -> Vec<u8> {
        let mut random = Rng::with_seed(u64::from(number));
        match self {
            Self::ObjectStore => format!(
                "bucket-{:02}/folder-{:03}/part-{:012}.json",
                number % 16,
                number / 16 % 64,
                u64::from(number) * 7919
            )
            .into_bytes(),
            Self::FileSystem => file_system(number).into_bytes(),
            Self::Random => {
                let mut key = vec![0; 32];
                random.fill(&mut key);
                key
            }
            Self::SharedTail => {
                format!("tenant-{:03}/object-{:010}/meta.json", number % 1000, scattered(number)).into_bytes()
            }
            Self::Nested => nested(number),
            Self::OneFolder => format!("folder/entry-{:012}.json", scattered(number)).into_bytes(),
        }
    }

    /// The keys of these numbers.
    pub(crate) fn keys(self, numbers: Range<u32>) -> Vec<Vec<u8>> {
        numbers.map(|number| self.key(number)).collect()
    }
}

/// Another number for each, in no order: an odd factor makes it a permutation.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9E37_79B1)
}

/// A file of a package; each has 264, in up to 3 levels of folders.
fn file_system(number: u32) -> String {
    const ROOTS: [&str; 4] = ["usr/lib", "usr/share/doc", "usr/include", "opt/vendor/lib"];
    const FOLDERS: [&str; 8] = [
        "src", "test", "examples", "locale", "dist", "assets", "internal", "data",
    ];
    const ENDINGS: [&str; 4] = ["js", "d.ts", "json", "html"];
    let package = number / 264;
    let mut random = Rng::with_seed(u64::from(number));
    let root = ROOTS[package as usize % ROOTS.len()];
    let mut path = format!("{root}/package-{:05}/", package / ROOTS.len() as u32);
    for _ in 0..random.u32(0..4) {
        path += FOLDERS[random.usize(..FOLDERS.len())];
        path.push('/');
    }
    path + &format!(
        "module-{:08x}.{}",
        scattered(number),
        ENDINGS[random.usize(..ENDINGS.len())]
    )
}

/// The number's octal digits, the largest first, each a folder: so 12 is the folder that 120 to 127 are in.
fn nested(number: u32) -> Vec<u8> {
    const FOLDERS: [&str; 8] = [
        "alpha/", "beta/", "gamma/", "delta/", "epsilon/", "zeta/", "eta/", "theta/",
    ];
    format!("{number:o}")
        .bytes()
        .map(|digit| FOLDERS[usize::from(digit - b'0') % FOLDERS.len()])
        .collect::<String>()
        .into_bytes()
}
