//! A disk at one moment: what is on the platter, what only the page cache has, and what a power cut may make of it.
//!
//! Passive: a sequence of [`Change`]s leads from one state to the next, so that a recorded run can be played back to any
//! of its I/O boundaries without running the database again.
//!
//! The model is harsher than any file system. Syncing a file says nothing of its name; names, lengths and sectors persist
//! independently of each other and of the order of the calls; what was never synced may come back as zeros, as garbage, or
//! as old contents of another file.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use fastrand::Rng;

use crate::{contents::Contents, cut::CutStyle};

/// A file's number: files are counted in the order of their creation.
pub type FileId = usize;

/// What a call did to the disk.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file came into being, as the next number.
    Create(String),
    /// A name was given to another file, or to another name's.
    Rename(String, String),
    /// A name was removed.
    Remove(String),
    /// Bytes were written.
    Write(FileId, u64, Arc<[u8]>),
    /// A file was cut off or grown.
    SetLen(FileId, u64),
    /// A file was synced.
    Sync(FileId),
    /// These bytes of a file were synced, and its length.
    SyncRange(FileId, Range<u64>),
    /// The folder was synced.
    SyncFolder,
    /// A sync of a file failed: what was waiting is not waited for any more.
    FailedSync(FileId, AfterFailedSync),
}

/// What a file system makes of pages that it could not write. (The first two after Rebello et al., "Can applications
/// recover from fsync failures?", USENIX ATC 2020.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailedSync {
    /// The cache shows the new bytes and calls them clean; the platter has the old ones.
    NewInCache,
    /// The cache goes back to the old bytes.
    Reverted,
    /// All was written, and the failure is an earlier one's.
    Written,
}

/// A write or a change of length that was not synced.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Its place among all changes to the disk.
    pub(crate) at: u64,
    pub(crate) what: Unsynced,
}

#[derive(Clone, Debug)]
pub(crate) enum Unsynced {
    Write(u64, Arc<[u8]>),
    SetLen(u64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) durable: Contents,
    pub(crate) cache: Contents,
    pub(crate) pending: Vec<Pending>,
}

impl File {
    fn synced(contents: Contents) -> Self {
        Self {
            cache: contents.clone(),
            durable: contents,
            pending: Vec::new(),
        }
    }

    fn sync(&mut self) {
        for pending in self.pending.drain(..) {
            match pending.what {
                Unsynced::Write(offset, bytes) => self.durable.write(offset, &bytes),
                Unsynced::SetLen(len) => self.durable.set_len(len),
            }
        }
    }

    /// Syncs lengths, and of what was written only this range.
    fn sync_range(&mut self, range: &Range<u64>) {
        for pending in std::mem::take(&mut self.pending) {
            let (offset, bytes) = match pending.what {
                Unsynced::SetLen(len) => {
                    self.durable.set_len(len);
                    continue;
                }
                Unsynced::Write(offset, bytes) => (offset, bytes),
            };
            let end = offset + bytes.len() as u64;
            let (from, to) = (range.start.clamp(offset, end), range.end.clamp(offset, end));
            for (from, to, inside) in [(offset, from, false), (from, to, true), (to, end, false)] {
                let piece = &bytes[(from - offset) as usize..(to - offset).max(from - offset) as usize];
                if inside {
                    self.durable.write(from, piece);
                } else if !piece.is_empty() {
                    let what = Unsynced::Write(from, piece.into());
                    self.pending.push(Pending { at: pending.at, what });
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, FileId),
    Rename(String, String, FileId),
    Remove(String, FileId),
}

type Names = BTreeMap<String, FileId>;

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Rename(from, to, id) => {
                if names.get(from) == Some(id) {
                    names.remove(from);
                }
                names.insert(to.clone(), *id);
            }
            Self::Remove(name, id) => {
                if names.get(name) == Some(id) {
                    names.remove(name);
                }
            }
        }
    }
}

/// One folder on a simulated disk.
#[derive(Clone, Debug, Default)]
pub struct Medium {
    pub(crate) files: Vec<File>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<(u64, NameChange)>,
    changes: u64,
}

impl Medium {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A folder with these files, all on the platter.
    pub fn of(files: impl IntoIterator<Item = (String, Contents)>) -> Self {
        let mut medium = Self::default();
        for (name, contents) in files {
            medium.names.insert(name, medium.files.len());
            medium.files.push(File::synced(contents));
        }
        medium.durable_names = medium.names.clone();
        medium
    }

    /// The names, in byte order, each with its file's number.
    pub fn names(&self) -> impl Iterator<Item = (&String, FileId)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// The file of a name.
    pub fn find(&self, name: &str) -> Option<FileId> {
        self.names.get(name).copied()
    }

    /// What the page cache shows of a file.
    pub fn contents(&self, file: FileId) -> &Contents {
        &self.files[file].cache
    }

    /// The bytes of all files that have a name.
    pub fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|id| self.files[*id].cache.allocated_bytes())
            .sum()
    }

    /// Whether a power cut could take anything away.
    pub fn has_unsynced(&self) -> bool {
        !self.pending_names.is_empty() || self.files.iter().any(|file| !file.pending.is_empty())
    }

    /// Goes to the next state.
    pub fn apply(&mut self, change: &Change) {
        self.changes += 1;
        let at = self.changes;
        match change {
            Change::Create(name) => {
                let id = self.files.len();
                self.files.push(File::default());
                self.change_name(at, NameChange::Create(name.clone(), id));
            }
            Change::Rename(from, to) => {
                if let Some(id) = self.find(from) {
                    self.change_name(at, NameChange::Rename(from.clone(), to.clone(), id));
                }
            }
            Change::Remove(name) => {
                if let Some(id) = self.find(name) {
                    self.change_name(at, NameChange::Remove(name.clone(), id));
                }
            }
            Change::Write(id, offset, bytes) => {
                let file = &mut self.files[*id];
                file.cache.write(*offset, bytes);
                let what = Unsynced::Write(*offset, Arc::clone(bytes));
                file.pending.push(Pending { at, what });
            }
            Change::SetLen(id, len) => {
                let file = &mut self.files[*id];
                file.cache.set_len(*len);
                let what = Unsynced::SetLen(*len);
                file.pending.push(Pending { at, what });
            }
            Change::Sync(id) | Change::FailedSync(id, AfterFailedSync::Written) => self.files[*id].sync(),
            Change::SyncRange(id, range) => self.files[*id].sync_range(range),
            Change::FailedSync(id, AfterFailedSync::NewInCache) => self.files[*id].pending.clear(),
            Change::FailedSync(id, AfterFailedSync::Reverted) => {
                let file = &mut self.files[*id];
                file.pending.clear();
                file.cache = file.durable.clone();
            }
            Change::SyncFolder => {
                self.durable_names = self.names.clone();
                self.pending_names.clear();
            }
        }
    }

    fn change_name(&mut self, at: u64, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push((at, change));
    }

    /// A folder as a power cut may leave it, and as `style` and `rng` will have it.
    pub fn power_cut(&self, style: &CutStyle, rng: &mut Rng) -> Self {
        let mut names = self.durable_names.clone();
        for (at, change) in &self.pending_names {
            if style.keeps_name(*at, rng) {
                change.apply(&mut names);
            }
        }
        let mut left = Self::default();
        for (name, id) in names {
            let contents = style.cut_file(&self.files, id, rng);
            left.names.insert(name, left.files.len());
            left.files.push(File::synced(contents));
        }
        left.durable_names = left.names.clone();
        left
    }

    /// Changes made so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }
}
