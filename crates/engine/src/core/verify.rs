//! The check of everything: what lies on disk, and how the frames of the state as of now hang together.
//!
//! What is looked at is fixed in one moment, with the structure held alone: an image of the store, which keeps every blob
//! of the last commit where it is, and a hold on every frame in memory that the store does not have as it is. Then no lock is held, and whoever writes to a frame
//! that was not looked at yet copies it first. Nothing is changed; blobs are read past the table, one at a time.
//!
//! The journal's records are read again, all that were there in one moment. Every blob of the store is read from disk and
//! checked against its digest and, if it is a frame, by [`coppice_frame::validate`] and against the slot map's figures. The
//! frames as of now are then walked from the topmost down: what the table holds, or else what was read. One that several
//! lead to is looked into once, behind all of these; how many there are must be what is counted.

#[cfg(test)]
mod tests;
mod trees;
mod visit;

use std::collections::BTreeMap;

use coppice_frame::{FlatRef, Kind, Met, Stored, TrieRef, Value};
use coppice_store::{BlobId, Image, MAX_FURTHER_REFERENCES, Store, StoreError};

use self::{
    trees::Trees,
    visit::{Below, Leads, Visit, Way},
};
use super::{CATALOG, Engine, TREE_BYTES};
use crate::{
    budget::HeldBytes,
    buffer::Buffer,
    error::{Error, ErrorCode},
    forest::{FIRST_GRAVE, Forest, ROOT},
    table::{BlobKind, FrameFault, Held, Table, check_frame, words_of},
    verify::{OnProgress, Problem, VerifyReport},
};

/// What a problem's place is called that is in no file.
const MEMORY: &str = "memory";

/// Where a frame was found.
#[derive(Clone, Copy)]
enum Place {
    Disk,
    Memory,
}

struct Check<'e, 'p> {
    table: &'e Table,
    image: Option<Image>,
    now: Vec<Option<Held>>,
    /// What lends frames that are not held and not changed since.
    count: u64,
    /// Counts what is held.
    _counted: HeldBytes,
    /// How many references were found to lead to each blob.
    reached: Vec<u32>,
    /// Frames to which more references should lead than were found so far.
    waiting: BTreeMap<BlobId, Visit>,
    /// Blobs that were read from disk.
    read: Vec<bool>,
    pending: Vec<Below>,
    trees: Trees,
    /// Whether part of the forest cannot be seen.
    hidden: bool,
    report: VerifyReport,
    done: u64,
    total: u64,
    on_progress: OnProgress<'p>,
}

impl Engine {
    /// Checks everything and changes nothing.
    pub(crate) fn verify(&self, on_progress: OnProgress<'_>) -> Result<VerifyReport, Error> {
        self.check_open()?;
        let mut problems = Vec::new();
        if let Some(store) = self.store() {
            problems.extend(store.check_files().iter().map(Problem::of_store));
        }
        if let Some(durable) = &self.durable {
            durable
                .journal
                .check(&mut |error| problems.push(Problem::of_journal(&error)));
        }
        let (image, now, count, version, next_tree) = {
            let state = self.exclusive_to_hold();
            // In this order: what is not held is in the store by now, and so in the image.
            let (now, count) = self.table.hold();
            let image = self.store().map(Store::image);
            (image, now, count, state.sequence, state.next_tree)
        };
        let ids = image
            .iter()
            .flat_map(Image::blobs)
            .map(|(blob, _)| blob as usize + 1)
            .max();
        let len = ids.unwrap_or(0).max(now.len());
        let mut check = Check {
            table: &self.table,
            reached: vec![0; len],
            waiting: BTreeMap::new(),
            read: vec![false; len],
            pending: Vec::new(),
            trees: Trees::new(next_tree),
            hidden: false,
            report: VerifyReport {
                version,
                problems,
                ..VerifyReport::default()
            },
            done: 0,
            total: 0,
            on_progress,
            image,
            count,
            _counted: self
                .table
                .budget()
                .hold(now.iter().flatten().map(Held::held_bytes).sum()),
            now,
        };
        check.total = (0..len as u32).filter(|blob| check.exists(*blob)).count() as u64;
        check.forest()?;
        check.rest()?;
        check.references();
        check.trees();
        Ok(check.report)
    }
}

fn in_memory(blob: BlobId, at: usize, what: &str) -> Problem {
    Problem {
        file: MEMORY.to_owned(),
        offset: at as u64,
        what: format!("blob {blob}: {what}"),
    }
}

impl Check<'_, '_> {
    fn exists(&self, blob: BlobId) -> bool {
        self.held(blob).is_some() || self.image.as_ref().is_some_and(|image| image.info(blob).is_some())
    }

    fn held(&self, blob: BlobId) -> Option<&Held> {
        self.now.get(blob as usize)?.as_ref()
    }

    /// Notes what is wrong with a blob, at a byte of it.
    fn problem(&mut self, blob: BlobId, at: usize, what: &str) {
        let place = self.image.as_ref().and_then(|image| image.place(blob));
        self.report.problems.push(match place {
            Some((file, start)) => Problem {
                file: file.to_owned(),
                offset: start + at as u64,
                what: format!("blob {blob}: {what}"),
            },
            None => in_memory(blob, at, what),
        });
    }

    fn count_done(&mut self) -> Result<(), Error> {
        self.done += 1;
        if (self.on_progress)(self.done, self.total).is_break() {
            return Err(Error::new(ErrorCode::Aborted, "the verification was aborted"));
        }
        Ok(())
    }

    /// Reads a blob from disk and checks it by itself. Its bytes if they are sound; None where they are not, or where it is
    /// not on disk.
    fn read_from_disk(&mut self, blob: BlobId) -> Option<Buffer> {
        if let Some(read) = self.read.get_mut(blob as usize) {
            *read = true;
        }
        let (found, info) = {
            let image = self.image.as_ref()?;
            let info = image.info(blob)?;
            let len = info.bytes as usize;
            let mut buffer = if len == self.table.frame_bytes() {
                self.table.frame_buffer()
            } else {
                Buffer::zeroed(len)
            };
            let room = buffer.bytes_mut().get_mut(..len).unwrap_or_default();
            let found = image.read(blob, room).map(|()| buffer);
            (found, info)
        };
        let buffer = match found {
            Ok(buffer) => buffer,
            Err(error @ StoreError::Corrupt { .. }) => {
                self.report.problems.push(Problem::of_store(&error));
                return None;
            }
            Err(error) => {
                self.problem(blob, 0, &error.to_string());
                return None;
            }
        };
        let Some(kind) = BlobKind::from_byte(info.kind) else {
            self.problem(blob, 0, "it is of a kind that is not known");
            return None;
        };
        if kind != BlobKind::Value {
            if info.bytes as usize != self.table.frame_bytes() {
                self.problem(blob, 0, "it is a frame of the wrong length");
                return None;
            }
            if !self.check_frame(blob, kind, Place::Disk, &buffer) {
                return None;
            }
        }
        if (info.records, info.live) != words_of(kind, buffer.frame(), info.bytes) {
            self.problem(blob, 0, "the slot map's figures are not the frame's");
        }
        Some(buffer)
    }

    /// Whether what was found `inside` memory or the disk is a frame of this kind.
    fn check_frame(&mut self, blob: BlobId, kind: BlobKind, inside: Place, buffer: &Buffer) -> bool {
        let (at, what) = match check_frame(kind, buffer.frame()) {
            Ok(()) => return true,
            Err(FrameFault::OtherKind) => (0, "it holds a frame of another kind"),
            Err(FrameFault::Invalid(invalid)) => (invalid.offset, invalid.what),
        };
        match inside {
            Place::Disk => self.problem(blob, at, what),
            Place::Memory => self.report.problems.push(in_memory(blob, at, what)),
        }
        false
    }

    /// Walks all frames from the topmost down.
    fn forest(&mut self) -> Result<(), Error> {
        self.pending.push(Below {
            blob: ROOT,
            kind: Kind::Trie,
            ways: vec![Way {
                start: Vec::new(),
                base: 0,
                paths: 1,
            }],
            leads: vec![Vec::new()],
            from: ROOT,
        });
        loop {
            while let Some(below) = self.pending.pop() {
                if self.may_enter(&below)
                    && let Some(visit) = self.gather(below)
                {
                    self.visit(&visit)?;
                }
            }
            // Fewer lead there than should, or what leads there lies below one of which that is so.
            match self.waiting.pop_first() {
                Some((_, visit)) => self.visit(&visit)?,
                None => return Ok(()),
            }
        }
    }

    /// Adds one reference to those that lead to a frame: the frame, once all of them are known.
    fn gather(&mut self, below: Below) -> Option<Visit> {
        let blob = below.blob;
        let further = self.held(blob).map_or(0, |held| held.further_references);
        let reached = self.reached.get(blob as usize).copied().unwrap_or_default();
        let visit = match self.waiting.remove(&blob) {
            Some(mut visit) => {
                visit.add(below);
                visit
            }
            // The frame was looked into before all that leads there was known.
            None if reached > 1 => return None,
            None => Visit::of(below),
        };
        if reached > further {
            return Some(visit);
        }
        self.waiting.insert(blob, visit);
        None
    }

    fn visit(&mut self, visit: &Visit) -> Result<(), Error> {
        match self.frame_now(visit.blob)? {
            Some(buffer) => self.frame(visit, &buffer),
            None => self.hidden = true,
        }
        Ok(())
    }

    /// Whether a frame is what leads to it says, and no more references lead there than are counted.
    fn may_enter(&mut self, below: &Below) -> bool {
        let kind = self.held(below.blob).map(|held| held.kind);
        let Some(kind) = kind else {
            let what = format!("it leads to blob {}, which does not exist", below.blob);
            self.problem(below.from, 0, &what);
            self.hidden = true;
            return false;
        };
        if kind != BlobKind::from(below.kind) {
            let what = format!("it leads to blob {}, which is of another kind", below.blob);
            self.problem(below.from, 0, &what);
            self.hidden = true;
            return false;
        }
        self.reach(below.blob, below.from)
    }

    /// Notes a reference to a blob; false where there are more than are counted.
    fn reach(&mut self, blob: BlobId, from: BlobId) -> bool {
        let Some(reached) = self.reached.get_mut(blob as usize) else {
            return false;
        };
        *reached = reached.saturating_add(1);
        let reached = *reached;
        let further = self.held(blob).map_or(0, |held| held.further_references);
        if reached > further.saturating_add(1) && further < MAX_FURTHER_REFERENCES {
            let what = match further {
                0 => format!("it leads to blob {blob}, which something else leads to as well"),
                _ => format!("it leads to blob {blob}, and more references do than the {further} beside the first"),
            };
            self.problem(from, 0, &what);
            return false;
        }
        true
    }

    /// Compares how many references lead to each blob with how many are counted, where fewer do.
    fn references(&mut self) {
        if self.hidden {
            return;
        }
        for blob in 0..self.reached.len() as u32 {
            let reached = self.reached.get(blob as usize).copied().unwrap_or_default();
            let further = self.held(blob).map_or(0, |held| held.further_references);
            if (1..=further).contains(&reached) && further < MAX_FURTHER_REFERENCES {
                let what = format!("references that lead to it: {reached}, and {further} are counted beside the first");
                self.problem(blob, 0, &what);
            }
        }
    }

    /// A frame as it is now, its image on disk checked on the way.
    fn frame_now(&mut self, blob: BlobId) -> Result<Option<Buffer>, Error> {
        let on_disk = self.read_from_disk(blob);
        let held = self.now.get_mut(blob as usize).and_then(Option::as_mut);
        let (kind, in_memory) = match held {
            Some(held) => {
                self.report.blobs += 1;
                self.report.bytes += u64::from(held.bytes);
                (held.kind, held.frame.take())
            }
            None => return Ok(None),
        };
        let on_no_disk = self.image.as_ref().is_none_or(|image| image.info(blob).is_none());
        if in_memory.is_none() && on_no_disk {
            self.problem(blob, 0, "it is neither on disk nor in memory");
        }
        let found = match in_memory {
            Some(buffer) => self.check_frame(blob, kind, Place::Memory, &buffer).then_some(buffer),
            // Where the disk has lost it, memory may have it still.
            None => on_disk.or_else(|| self.table.share(blob, self.count)),
        };
        self.count_done()?;
        Ok(found)
    }

    fn frame(&mut self, visit: &Visit, buffer: &Buffer) {
        match visit.kind {
            Kind::Flat => {
                for item in FlatRef::new(buffer.frame()).items() {
                    self.record(visit, item.key, &item.stored);
                }
            }
            Kind::Trie => {
                let trie = TrieRef::new(buffer.frame());
                trie.survey(&mut |met| match met {
                    Met::Record { key, stored } => self.record(visit, key, &stored),
                    Met::Below {
                        child,
                        kind,
                        base,
                        leads,
                    } => {
                        for lead in leads {
                            self.check_lead(visit, &[base, lead].concat());
                        }
                        let on = |way: &Way| Way {
                            start: way.start_with(base),
                            base: way.base + base.len(),
                            paths: way.paths,
                        };
                        self.pending.push(Below {
                            blob: child,
                            kind,
                            ways: visit.ways.iter().map(on).collect(),
                            leads: leads.to_vec(),
                            from: visit.blob,
                        });
                    }
                });
            }
        }
    }

    /// Whether a key in a frame, or the beginning of one, is what the entries that lead there stand for.
    fn check_lead(&mut self, visit: &Visit, key: &[u8]) {
        let is_led = |leads: &Leads| {
            let behind = leads.partition_point(|lead| lead.as_slice() <= key);
            let lead = behind.checked_sub(1).and_then(|at| leads.get(at));
            lead.is_some_and(|lead| key.starts_with(lead))
        };
        if !visit.leads.iter().all(is_led) {
            self.problem(visit.blob, 0, "it has keys that no entry above leads to");
        }
    }

    fn record(&mut self, visit: &Visit, key: &[u8], stored: &Stored<'_>) {
        let blob = visit.blob;
        self.check_lead(visit, key);
        let base = visit.ways.iter().map(|way| way.base).max().unwrap_or(0);
        if base + key.len() > Forest::new(self.table).max_full_key_bytes() {
            self.problem(blob, 0, "a key over the limit");
        }
        if stored.version == 0 || stored.version > self.report.version {
            let what = format!("a record of version {}, which was not committed", stored.version);
            self.problem(blob, 0, &what);
        }
        if let Value::Extent { blob: value, len } = stored.value {
            match self.held(value).map(|held| (held.kind, held.bytes)) {
                Some((BlobKind::Value, bytes)) if bytes == len => {
                    self.reach(value, blob);
                }
                Some((BlobKind::Value, _)) => {
                    let what = format!("the value in blob {value} has another length than its record says");
                    self.problem(blob, 0, &what);
                    self.reach(value, blob);
                }
                _ => {
                    let what = format!("a record's value should be blob {value}, which is no value");
                    self.problem(blob, 0, &what);
                }
            }
        }
        for way in &visit.ways {
            match way.start_with(key).first_chunk::<TREE_BYTES>() {
                Some(start) => self.record_of(u32::from_be_bytes(*start), blob, stored, way.paths),
                None => self.problem(blob, 0, "a key that is of no tree"),
            }
        }
    }

    /// Counts a record of a tree, which so many paths lead to. The catalog's are the names of the others.
    fn record_of(&mut self, tree: u32, blob: BlobId, stored: &Stored<'_>, paths: u64) {
        if tree >= FIRST_GRAVE {
            return;
        }
        if tree != CATALOG {
            self.report.keys = self.report.keys.saturating_add(paths);
            self.trees.note_keys(tree, blob);
            return;
        }
        self.report.trees += 1;
        if let Err(what) = self.trees.note_name(stored.value) {
            self.problem(blob, 0, &what);
        }
    }

    /// Reads what was not read on the way, and finds what nothing leads to.
    fn rest(&mut self) -> Result<(), Error> {
        for blob in 0..self.reached.len() as u32 {
            let was_read = self.read.get(blob as usize).copied().unwrap_or(false);
            if was_read || !self.exists(blob) {
                continue;
            }
            let in_use = self.held(blob).map(|held| held.bytes);
            let on_disk = self.image.as_ref().and_then(|image| image.info(blob));
            if let Some(bytes) = in_use.or(on_disk.map(|info| info.bytes)) {
                self.report.blobs += 1;
                self.report.bytes += u64::from(bytes);
            }
            self.read_from_disk(blob);
            let reached = self.reached.get(blob as usize).is_some_and(|reached| *reached > 0);
            // Behind a frame that cannot be read anything may lie.
            if in_use.is_some() && !reached && !self.hidden {
                self.problem(blob, 0, "nothing leads to it");
            }
            self.count_done()?;
        }
        Ok(())
    }

    /// Looks for trees that have keys and no name.
    fn trees(&mut self) {
        if self.hidden {
            return;
        }
        for (tree, blob) in std::mem::take(&mut self.trees).nameless() {
            self.problem(blob, 0, &format!("keys of tree {tree}, which has no name"));
        }
    }
}
