//! The frames of a damaged database: which of them are sound, what leads to what, and where their records go.

use std::{collections::BTreeSet, rc::Rc};

use coppice_frame::{FlatRef, Met, Stored, TrieRef, Value};
use coppice_store::{BlobId, Remains};

use super::{
    LostKeys,
    target::{Shelf, Target},
};
use crate::{
    buffer::Buffer,
    core::{CATALOG, TREE_BYTES},
    error::{Error, ErrorCode},
    forest::{FIRST_GRAVE, MAX_FRAMES_ON_PATH, ROOT},
    options::MAX_KEY_BYTES,
    table::{BlobKind, RECORDS_MASK, check_frame},
    verify::{OnProgress, Problem},
};

/// A frame to be read, and what leads to it.
struct Below {
    blob: BlobId,
    kind: BlobKind,
    /// The path to its base; where the frame is an orphan's, from that orphan on.
    path: Vec<u8>,
    /// How the first and the last keys that it may have begin.
    first: Vec<u8>,
    last: Vec<u8>,
    standing: Standing,
    /// Whether others lead to it as well, or to one above.
    is_shared: bool,
    /// The frames that led here.
    trail: Option<Rc<Trail>>,
}

/// The frames on a way, from the last one up.
struct Trail {
    blob: BlobId,
    /// How many they are.
    frames: usize,
    above: Option<Rc<Trail>>,
}

/// What is known of a frame's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is where it was, and as it was.
    Sure,
    /// What the map says of it, or of one above, may be out of date.
    Old,
    /// What led to it, or to this one above it, is lost.
    Orphan(BlobId),
}

pub(super) struct Frames<'s, 'p> {
    remains: &'s Remains,
    target: Target<'s>,
    /// Blobs that were asked for.
    seen: BTreeSet<BlobId>,
    newest_version: u64,
    done: u64,
    on_progress: OnProgress<'p>,
}

impl<'s, 'p> Frames<'s, 'p> {
    pub(super) fn new(remains: &'s Remains, target: Target<'s>, on_progress: OnProgress<'p>) -> Self {
        Self {
            remains,
            target,
            seen: BTreeSet::new(),
            newest_version: 0,
            done: 0,
            on_progress,
        }
    }

    /// The version of the newest record that was found.
    pub(super) fn newest_version(&self) -> u64 {
        self.newest_version
    }

    pub(super) fn into_target(self) -> Target<'s> {
        self.target
    }

    /// Puts every record that is sound where it belongs.
    pub(super) fn put_all(&mut self) -> Result<(), Error> {
        if self.remains.is_empty() {
            return Ok(());
        }
        self.learn_names()?;
        let top = Below {
            blob: ROOT,
            kind: BlobKind::Trie,
            path: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
            standing: Standing::Sure,
            is_shared: false,
            trail: None,
        };
        self.put_below(top)?;
        for orphan in self.topmost_orphans()? {
            self.put_below(orphan)?;
        }
        // What is left leads to itself.
        for (blob, kind) in self.unseen_frames() {
            if !self.seen.contains(&blob) {
                self.put_below(Below::orphan(blob, kind))?;
            }
        }
        self.put_values()
    }

    /// Reads what is sure of the catalog, so that every record finds its tree. Its frames are read again later.
    fn learn_names(&mut self) -> Result<(), Error> {
        let catalog = CATALOG.to_be_bytes();
        let mut visited = BTreeSet::new();
        let mut pending = vec![(ROOT, BlobKind::Trie, Vec::new())];
        while let Some((blob, kind, path)) = pending.pop() {
            // One that is in doubt may hold what has nothing to do with the catalog.
            if self.remains.is_in_doubt(blob) || !visited.insert(blob) {
                continue;
            }
            self.step(false)?;
            let Ok(buffer) = self.load(blob, kind) else { continue };
            let target = &mut self.target;
            let mut learn = |key: &[u8], stored: Stored<'_>| {
                if let Value::Inline(value) = stored.value {
                    target.learn_from_catalog(&[&path, key].concat(), value);
                }
            };
            match kind {
                BlobKind::Flat => {
                    let items = FlatRef::new(buffer.frame()).items();
                    items.iter().for_each(|item| learn(item.key, item.stored));
                }
                BlobKind::Trie => TrieRef::new(buffer.frame()).survey(&mut |met| match met {
                    Met::Record { key, stored } => learn(key, stored),
                    Met::Below {
                        child,
                        kind,
                        base,
                        leads,
                    } => {
                        let base = [&path, base].concat();
                        let leads_there = |lead: &Vec<u8>| base.iter().chain(lead).zip(&catalog).all(|(a, b)| a == b);
                        if base.len() <= TREE_BYTES + MAX_KEY_BYTES && leads.iter().any(leads_there) {
                            pending.push((child, BlobKind::from(kind), base));
                        }
                    }
                }),
                BlobKind::Value => {}
            }
        }
        Ok(())
    }

    /// Puts the records of a frame and of all below it.
    fn put_below(&mut self, top: Below) -> Result<(), Error> {
        let mut pending = vec![top];
        while let Some(mut below) = pending.pop() {
            if below.standing == Standing::Sure && self.remains.is_in_doubt(below.blob) {
                below.standing = Standing::Old;
            }
            below.is_shared |= self.is_shared(below.blob);
            let Some(buffer) = self.frame(&below)? else { continue };
            let trail = Rc::new(Trail {
                blob: below.blob,
                frames: below.frames_above() + 1,
                above: below.trail.clone(),
            });
            let mut done = Ok(());
            match below.kind {
                BlobKind::Flat => {
                    for item in FlatRef::new(buffer.frame()).items() {
                        self.put(&below, item.key, &item.stored)?;
                    }
                }
                BlobKind::Trie => TrieRef::new(buffer.frame()).survey(&mut |met| match met {
                    Met::Record { key, stored } => {
                        if done.is_ok() {
                            done = self.put(&below, key, &stored);
                        }
                    }
                    Met::Below {
                        child,
                        kind,
                        base,
                        leads,
                    } => pending.push(below.lead_to((child, BlobKind::from(kind)), base, leads, &trail)),
                }),
                BlobKind::Value => {}
            }
            done?;
        }
        Ok(())
    }

    /// Frames that nothing was found to lead to, and that are still there.
    fn unseen_frames(&self) -> Vec<(BlobId, BlobKind)> {
        self.remains
            .blobs()
            .filter_map(|(blob, info)| Some((blob, BlobKind::from_byte(info.kind)?)))
            .filter(|(blob, kind)| *kind != BlobKind::Value && !self.seen.contains(blob))
            .collect()
    }

    /// Of those the ones that no other of them leads to.
    fn topmost_orphans(&mut self) -> Result<Vec<Below>, Error> {
        let unseen = self.unseen_frames();
        let mut led_to = BTreeSet::new();
        for (blob, kind) in unseen.iter().filter(|(_, kind)| *kind == BlobKind::Trie) {
            self.step(false)?;
            if let Ok(buffer) = self.load(*blob, *kind) {
                TrieRef::new(buffer.frame()).survey(&mut |met| {
                    if let Met::Below { child, .. } = met {
                        led_to.insert(child);
                    }
                });
            }
        }
        let topmost = unseen.into_iter().filter(|(blob, _)| !led_to.contains(blob));
        Ok(topmost.map(|(blob, kind)| Below::orphan(blob, kind)).collect())
    }

    /// Values whose records are lost.
    fn put_values(&mut self) -> Result<(), Error> {
        let is_value = |kind: u8| BlobKind::from_byte(kind) == Some(BlobKind::Value);
        let values = self.remains.blobs().filter(|(_, info)| is_value(info.kind));
        let unseen: Vec<BlobId> = values
            .map(|(blob, _)| blob)
            .filter(|blob| !self.seen.contains(blob))
            .collect();
        for blob in unseen {
            if let Some(value) = self.value(blob, false)? {
                self.target.put(Shelf::Value(blob), b"", &value)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, below: &Below, rest: &[u8], stored: &Stored<'_>) -> Result<(), Error> {
        self.newest_version = self.newest_version.max(stored.version);
        let path = [&below.path, rest].concat();
        let mut standing = below.standing;
        let large;
        let value = match stored.value {
            Value::Inline(value) => value,
            Value::Extent { blob, len } => {
                if standing == Standing::Sure && self.remains.is_in_doubt(blob) {
                    standing = Standing::Old;
                }
                let found = self
                    .value(blob, below.is_shared)?
                    .filter(|value| value.len() == len as usize);
                let Some(found) = found else {
                    self.lose_keys(standing, &path, &path, 1);
                    return Ok(());
                };
                large = found;
                &large
            }
        };
        let (shelf, key) = match standing {
            Standing::Orphan(blob) => (Shelf::Frame(blob), &path[..]),
            Standing::Sure | Standing::Old => {
                let Some((number, key)) = path.split_first_chunk::<TREE_BYTES>() else {
                    return Ok(());
                };
                match u32::from_be_bytes(*number) {
                    CATALOG if standing == Standing::Sure => {
                        if let Some(number) = self.target.learn_from_catalog(&path, value) {
                            self.target.tree(number)?;
                        }
                        return Ok(());
                    }
                    CATALOG | FIRST_GRAVE.. => return Ok(()),
                    number if standing == Standing::Sure => (Shelf::Tree(number), key),
                    number => (Shelf::Old(number), key),
                }
            }
        };
        self.target.put(shelf, key, value)
    }

    /// Whether the map says that more than one thing leads to a blob.
    fn is_shared(&self, blob: BlobId) -> bool {
        self.remains.info(blob).is_some_and(|info| info.further_references > 0)
    }

    /// A large value, if it is sound, and was not met before or is shared, itself or with its record.
    fn value(&mut self, blob: BlobId, is_shared: bool) -> Result<Option<Vec<u8>>, Error> {
        self.step(true)?;
        let is_new = self.seen.insert(blob);
        let is_shared = is_shared || self.is_shared(blob);
        let loaded = match is_new || is_shared {
            true => self.load(blob, BlobKind::Value),
            false => Err(self.problem(blob, "two things lead to it")),
        };
        match loaded {
            Ok(buffer) => {
                let len = self.remains.info(blob).map_or(0, |info| info.bytes as usize);
                Ok(Some(buffer.bytes().get(..len).unwrap_or_default().to_vec()))
            }
            Err(problem) => {
                if is_new || !is_shared {
                    self.target.findings.lost_values += 1;
                    self.target.findings.problem(problem);
                }
                Ok(None)
            }
        }
    }

    /// A frame, if it is sound, and was not met before or is shared; what it had is lost otherwise.
    fn frame(&mut self, below: &Below) -> Result<Option<Buffer>, Error> {
        self.step(true)?;
        let is_new = self.seen.insert(below.blob);
        let loaded = if !is_new && !below.is_shared {
            Err(self.problem(below.blob, "two things lead to it"))
        } else if below.is_above_itself() {
            Err(self.problem(below.blob, "it leads to itself"))
        } else if below.frames_above() >= MAX_FRAMES_ON_PATH {
            Err(self.problem(below.blob, "the path to it leads through more frames than there can be"))
        } else if below.path.len() > TREE_BYTES + MAX_KEY_BYTES {
            Err(self.problem(below.blob, "the path to it is longer than a key"))
        } else {
            self.load(below.blob, below.kind)
        };
        match loaded {
            Ok(buffer) => Ok(Some(buffer)),
            Err(problem) => {
                let records = self
                    .remains
                    .info(below.blob)
                    .map_or(0, |info| info.records & RECORDS_MASK);
                if is_new || !below.is_shared {
                    self.target.findings.lost_frames += 1;
                    self.target.findings.problem(problem);
                }
                self.lose_keys(below.standing, &below.first, &below.last, u64::from(records));
                Ok(None)
            }
        }
    }

    /// A blob's bytes, if they are sound.
    fn load(&self, blob: BlobId, kind: BlobKind) -> Result<Buffer, Problem> {
        let info = self.remains.info(blob);
        let info = info.ok_or_else(|| self.problem(blob, "something leads to it, and it is not known where it is"))?;
        if BlobKind::from_byte(info.kind) != Some(kind) {
            return Err(self.problem(blob, "it is not of the kind that leads to it"));
        }
        if kind != BlobKind::Value && info.bytes != self.remains.frame_bytes() {
            return Err(self.problem(blob, "it is a frame of the wrong length"));
        }
        let mut buffer = Buffer::zeroed(info.bytes as usize);
        let room = buffer.bytes_mut().get_mut(..info.bytes as usize).unwrap_or_default();
        self.remains
            .read(blob, room)
            .map_err(|error| Problem::of_store(&error))?;
        check_frame(kind, buffer.frame()).map_err(|fault| self.problem(blob, &fault.to_string()))?;
        Ok(buffer)
    }

    fn problem(&self, blob: BlobId, what: &str) -> Problem {
        let (file, offset) = self.remains.place(blob).unwrap_or_default();
        Problem {
            file: file.to_owned(),
            offset,
            what: format!("blob {blob}: {what}"),
        }
    }

    /// Notes that keys with these full beginnings are lost; those of deleted ones are no loss.
    fn lose_keys(&mut self, standing: Standing, first: &[u8], last: &[u8], records: u64) {
        let nowhere = LostKeys::somewhere(records);
        let parted = first.split_first_chunk::<TREE_BYTES>().zip(last.split_first_chunk());
        let keys = match parted {
            Some(((number, first), (last_number, last)))
                if number == last_number && !matches!(standing, Standing::Orphan(_)) =>
            {
                match u32::from_be_bytes(*number) {
                    FIRST_GRAVE.. => return,
                    CATALOG => nowhere,
                    number => LostKeys {
                        tree: Some(self.target.name(number)),
                        first: first.to_vec(),
                        last: last.to_vec(),
                        records,
                    },
                }
            }
            _ => nowhere,
        };
        self.target.findings.lose(keys);
    }

    /// Lets the caller give up; counts a blob where it is read for good.
    fn step(&mut self, counts: bool) -> Result<(), Error> {
        let total = self.remains.len() as u64;
        self.done = (self.done + u64::from(counts)).min(total);
        match (self.on_progress)(self.done, total).is_break() {
            true => Err(Error::new(ErrorCode::Aborted, "the salvage was aborted")),
            false => Ok(()),
        }
    }
}

impl Below {
    fn orphan(blob: BlobId, kind: BlobKind) -> Self {
        Self {
            blob,
            kind,
            path: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
            standing: Standing::Orphan(blob),
            is_shared: false,
            trail: None,
        }
    }

    fn frames_above(&self) -> usize {
        self.trail.as_ref().map_or(0, |trail| trail.frames)
    }

    /// Whether it is one of the frames that led to it.
    fn is_above_itself(&self) -> bool {
        let mut above = self.trail.as_deref();
        while let Some(trail) = above {
            if trail.blob == self.blob {
                return true;
            }
            above = trail.above.as_deref();
        }
        false
    }

    /// A frame that this one leads to.
    fn lead_to(&self, (blob, kind): (BlobId, BlobKind), base: &[u8], leads: &[Vec<u8>], trail: &Rc<Trail>) -> Self {
        let path = [&self.path, base].concat();
        let begins = |lead: Option<&Vec<u8>>| [&path[..], lead.map_or(&[], Vec::as_slice)].concat();
        Self {
            blob,
            kind,
            first: begins(leads.first()),
            last: begins(leads.last()),
            standing: self.standing,
            is_shared: self.is_shared,
            trail: Some(Rc::clone(trail)),
            path,
        }
    }
}
