//! The simulated disk in use: a [`Medium`] behind the engine's own traits, which records what is done to it, fails on
//! demand, and lies if it is told to.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use coppice_disk::{Disk, DiskFile, MappedFile};
use parking_lot::Mutex;

use crate::{
    fault::{Call, Class, Effect, Failure, Fault, Lie},
    medium::{AfterFailedSync, Change, FileId, Medium},
};

/// A file in memory. What is stored to it is not a call, and cannot fail: it is looked for at every call.
struct Mapping {
    file: FileId,
    words: Weak<[AtomicU64]>,
    /// As they were the last time.
    seen: Vec<u64>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What a recorded run consists of.
#[derive(Clone, Debug)]
pub enum Event<N> {
    /// A change to the disk.
    Io(Change),
    /// Something that the run's owner noted in between.
    Note(N),
}

/// A simulated disk. Clones share it. `N` is what its owner notes in the record.
#[derive(Debug)]
pub struct SimDisk<N>(Arc<Mutex<Inner<N>>>);

impl<N> Clone for SimDisk<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<N> {
    medium: Medium,
    record: Option<Vec<Event<N>>>,
    calls: Vec<Call>,
    count: u64,
    fault: Option<Fault>,
    fired: bool,
    /// A sync that succeeds as yet will be followed by one that does not.
    late: bool,
    capacity: Option<u64>,
    lie: Option<Lie>,
    /// Calls that the lie could have struck.
    lie_chances: u64,
    mappings: Vec<Mapping>,
    /// Whether files can be mapped.
    maps: bool,
}

fn device_error() -> io::Error {
    io::Error::other("simulated failure of the device")
}

const WORD_BYTES: usize = 8;

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl<N> Inner<N> {
    fn change(&mut self, change: Change) {
        self.medium.apply(&change);
        if let Some(record) = &mut self.record {
            record.push(Event::Io(change));
        }
    }

    /// Notices what was stored to mapped files since the last time: each run of changed words is a write.
    fn look_at_mappings(&mut self) {
        if self.mappings.is_empty() {
            return;
        }
        let mut mappings = std::mem::take(&mut self.mappings);
        for mapping in &mut mappings {
            let Some(words) = mapping.words.upgrade() else { continue };
            let mut at = 0;
            while at < words.len() {
                let start = at;
                while let Some((word, seen)) = words.get(at).zip(mapping.seen.get_mut(at)) {
                    let now = word.load(Ordering::Acquire);
                    if now == *seen {
                        break;
                    }
                    *seen = now;
                    at += 1;
                }
                if at > start {
                    let bytes = mapping.seen[start..at]
                        .iter()
                        .flat_map(|word| word.to_ne_bytes())
                        .collect();
                    self.change(Change::Write(mapping.file, (start * WORD_BYTES) as u64, bytes));
                }
                at += 1;
            }
        }
        self.mappings = mappings;
        self.mappings.retain(|mapping| mapping.words.strong_count() > 0);
    }

    /// Counts a call, and says how it fails if it does.
    fn enter(&mut self, call: Call) -> Option<Failure> {
        self.look_at_mappings();
        let at = self.count;
        self.count += 1;
        self.calls.push(call);
        let fault = self.fault?;
        let due = at == fault.at || (fault.lasting && self.fired);
        if !due || !Failure::of(call).contains(&fault.failure) {
            return None;
        }
        self.fired = true;
        Some(fault.failure)
    }

    /// A call that happens or does not. It may also happen and then, with the error inside, say that it did not.
    fn plain(&mut self, call: Call) -> io::Result<Option<io::Error>> {
        match self.enter(call) {
            None => Ok(None),
            Some(Failure::Device(Effect::All)) => Ok(Some(device_error())),
            Some(Failure::NoSpace(_)) => Err(full()),
            Some(_) => Err(device_error()),
        }
    }

    /// Whether this is the lie that is told, and this call, of each `every` that it could strike at, the one that it does.
    fn lies(&mut self, lie: Lie, every: u64) -> bool {
        if self.lie != Some(lie) {
            return false;
        }
        self.lie_chances += 1;
        self.lie_chances.is_multiple_of(every)
    }

    fn write(&mut self, file: FileId, class: Class, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let failure = self.enter(Call::Write);
        let (mut count, mut result) = match failure {
            None => (bytes.len(), Ok(())),
            Some(failure) => {
                let (effect, error) = match failure {
                    Failure::NoSpace(effect) => (effect, full()),
                    Failure::Device(effect) => (effect, device_error()),
                    _ => (Effect::None, device_error()),
                };
                let count = match effect {
                    Effect::None => 0,
                    Effect::Half => bytes.len() / 2,
                    Effect::All => bytes.len(),
                };
                (count, Err(error))
            }
        };
        if let Some(capacity) = self.capacity {
            let room = capacity.saturating_sub(self.medium.used_bytes());
            let before = self.medium.contents(file).len();
            let grows = (offset + count as u64).saturating_sub(before.next_multiple_of(4096));
            if grows > room {
                count = count.saturating_sub((grows - room) as usize);
                result = Err(full());
            }
        }
        let mut to = offset;
        if self.lies(Lie::ShortWrites(class), 3) {
            count /= 2;
        }
        if self.lies(Lie::LosesWrites(class), 5) {
            count = 0;
        }
        if self.lies(Lie::Misdirects(class), 5) {
            to += 4096;
        }
        if count > 0 {
            self.change(Change::Write(file, to, bytes[..count].into()));
        }
        result
    }

    /// Syncs a file, or a range of it.
    fn sync(&mut self, file: FileId, class: Class, temporary: bool, range: Option<Range<u64>>) -> io::Result<()> {
        let failure = self.enter(Call::Sync);
        match self.lie {
            Some(Lie::SkipsSync(of)) if of == class => return Ok(()),
            Some(Lie::SkipsSyncOfTemporary) if temporary => return Ok(()),
            Some(Lie::SkipsEverySync) => return Ok(()),
            _ => {}
        }
        if self.lies(Lie::HidesFailedSync(class), 3) {
            self.change(Change::FailedSync(file, AfterFailedSync::NewInCache));
            return Ok(());
        }
        if std::mem::take(&mut self.late) {
            self.change(Change::FailedSync(file, AfterFailedSync::NewInCache));
            return Err(device_error());
        }
        match failure {
            Some(Failure::Sync(after)) => {
                self.change(Change::FailedSync(file, after));
                Err(device_error())
            }
            other => {
                self.late = other == Some(Failure::LateSync);
                self.change(match range {
                    Some(range) => Change::SyncRange(file, range),
                    None => Change::Sync(file),
                });
                Ok(())
            }
        }
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let failure = self.enter(Call::SyncFolder);
        if matches!(self.lie, Some(Lie::SkipsFolderSync | Lie::SkipsEverySync)) {
            return Ok(());
        }
        if std::mem::take(&mut self.late) {
            return Err(device_error());
        }
        match failure {
            Some(Failure::Sync(after)) => {
                if after == AfterFailedSync::Written {
                    self.change(Change::SyncFolder);
                }
                Err(device_error())
            }
            other => {
                self.late = other == Some(Failure::LateSync);
                self.change(Change::SyncFolder);
                Ok(())
            }
        }
    }
}

impl<N> SimDisk<N> {
    /// A disk with these contents.
    pub fn over(medium: Medium) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            medium,
            record: None,
            calls: Vec::new(),
            count: 0,
            fault: None,
            fired: false,
            late: false,
            capacity: None,
            lie: None,
            lie_chances: 0,
            mappings: Vec::new(),
            maps: true,
        })))
    }

    /// Records everything from now on.
    pub fn start_record(&self) {
        self.0.lock().record = Some(Vec::new());
    }

    /// The record so far.
    pub fn take_record(&self) -> Vec<Event<N>> {
        let mut inner = self.0.lock();
        inner.look_at_mappings();
        inner.record.take().unwrap_or_default()
    }

    /// Adds a note to the record, if there is one.
    pub fn note(&self, note: N) {
        self.0.lock().look_at_mappings();
        if let Some(record) = &mut self.0.lock().record {
            record.push(Event::Note(note));
        }
    }

    /// Changes all notes in the record.
    pub fn amend_notes(&self, mut amend: impl FnMut(&mut N)) {
        for event in self.0.lock().record.iter_mut().flatten() {
            if let Event::Note(note) = event {
                amend(note);
            }
        }
    }

    /// Makes a call fail. Calls are counted from the disk's beginning.
    pub fn inject(&self, fault: Fault) {
        let mut inner = self.0.lock();
        inner.fault = Some(fault);
        inner.fired = false;
    }

    /// Does something that nothing fails in.
    pub fn without_fault<R>(&self, harmless: impl FnOnce() -> R) -> R {
        let fault = self.0.lock().fault.take();
        let done = harmless();
        self.0.lock().fault = fault;
        done
    }

    /// From now on nothing fails. Whether anything did.
    pub fn disarm(&self) -> bool {
        let mut inner = self.0.lock();
        inner.fault = None;
        inner.late = false;
        inner.fired
    }

    /// Whether a call has failed since the last [`SimDisk::inject`].
    pub fn has_failed(&self) -> bool {
        self.0.lock().fired
    }

    /// The calls made so far.
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().calls.clone()
    }

    /// Lies from now on.
    pub fn set_lie(&self, lie: Option<Lie>) {
        self.0.lock().lie = lie;
    }

    /// Whether files can be mapped from now on; they can before this is said.
    pub fn set_maps(&self, maps: bool) {
        self.0.lock().maps = maps;
    }

    /// Bounds what fits, bytes of whole pages.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// The disk as it is: as another process finds it after this one was killed.
    pub fn medium(&self) -> Medium {
        let mut inner = self.0.lock();
        inner.look_at_mappings();
        inner.medium.clone()
    }
}

impl<N: Send + std::fmt::Debug + 'static> Disk for SimDisk<N> {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        let failure = inner.plain(Call::Create)?;
        if inner.medium.find(name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.medium.files.len();
        inner.change(Change::Create(name.to_owned()));
        failure.map_or_else(|| Ok(self.file(id, name)), Err)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.plain(Call::Open)?;
        let id = inner.medium.find(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(id, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.0.lock();
        let failure = inner.plain(Call::Rename)?;
        inner.medium.find(from).ok_or(io::ErrorKind::NotFound)?;
        inner.change(Change::Rename(from.to_owned(), to.to_owned()));
        if inner.lie == Some(Lie::RenamesAtOnce) {
            inner.change(Change::SyncFolder);
        }
        failure.map_or(Ok(()), Err)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.0.lock();
        let failure = inner.plain(Call::Remove)?;
        inner.medium.find(name).ok_or(io::ErrorKind::NotFound)?;
        if inner.lie == Some(Lie::IgnoresRemoval) {
            return Ok(());
        }
        inner.change(Change::Remove(name.to_owned()));
        if inner.lie == Some(Lie::RemovesAtOnce) {
            inner.change(Change::SyncFolder);
        }
        failure.map_or(Ok(()), Err)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut inner = self.0.lock();
        inner.plain(Call::List)?;
        Ok(inner.medium.names().map(|(name, _)| name.clone()).collect())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().sync_folder()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = self.0.lock();
        let used = inner.medium.used_bytes();
        Ok(inner
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(used)))
    }

    fn label(&self) -> String {
        "(simulated)".to_owned()
    }
}

impl<N: Send + std::fmt::Debug + 'static> SimDisk<N> {
    fn file(&self, id: FileId, name: &str) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            id,
            class: Class::of(name),
            temporary: name.ends_with(".tmp"),
        })
    }
}

#[derive(Debug)]
struct SimFile<N> {
    disk: SimDisk<N>,
    id: FileId,
    class: Class,
    /// Created under a name that is not its last.
    temporary: bool,
}

impl<N: Send + std::fmt::Debug + 'static> DiskFile for SimFile<N> {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.disk.0.lock();
        inner.plain(Call::Read)?;
        let count = inner.medium.files[self.id].cache.read(offset, into);
        if count > 0 && inner.lies(Lie::FlipsBits(self.class), 7) {
            into[count / 2] ^= 0x10;
        }
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.0.lock().write(self.id, self.class, offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write_all_at(offset, &parts.concat())
    }

    /// A write of zeros, as far as the file goes.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = (offset + len).min(self.len()?);
        let zeros = vec![0; end.saturating_sub(offset) as usize];
        self.disk.0.lock().write(self.id, self.class, offset, &zeros)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.0.lock().sync(self.id, self.class, self.temporary, None)
    }

    fn len(&self) -> io::Result<u64> {
        let mut inner = self.disk.0.lock();
        inner.plain(Call::Len)?;
        Ok(inner.medium.contents(self.id).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        let call = if len > inner.medium.contents(self.id).len() {
            Call::Grow
        } else {
            Call::Shrink
        };
        let failure = inner.plain(call)?;
        if inner.lie == Some(Lie::IgnoresTruncation) && len < inner.medium.contents(self.id).len() {
            return Ok(());
        }
        inner.change(Change::SetLen(self.id, len));
        failure.map_or(Ok(()), Err)
    }

    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        let mut inner = self.disk.0.lock();
        if let Some(error) = inner.plain(Call::Map)? {
            return Err(error);
        }
        if !inner.maps {
            return Ok(None);
        }
        let contents = inner.medium.contents(self.id);
        if len == 0 || !len.is_multiple_of(WORD_BYTES as u64) || len != contents.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bytes = contents.to_vec();
        let words: Arc<[AtomicU64]> = (bytes.as_chunks::<WORD_BYTES>().0.iter())
            .map(|word| AtomicU64::new(u64::from_ne_bytes(*word)))
            .collect();
        inner.mappings.push(Mapping {
            file: self.id,
            words: Arc::downgrade(&words),
            seen: words.iter().map(|word| word.load(Ordering::Acquire)).collect(),
        });
        Ok(Some(Arc::new(SimMapped {
            disk: self.disk.clone(),
            id: self.id,
            class: self.class,
            temporary: self.temporary,
            words,
        })))
    }
}

struct SimMapped<N> {
    disk: SimDisk<N>,
    id: FileId,
    class: Class,
    temporary: bool,
    words: Arc<[AtomicU64]>,
}

impl<N> std::fmt::Debug for SimMapped<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimMapped")
            .field("file", &self.id)
            .finish_non_exhaustive()
    }
}

impl<N> Drop for SimMapped<N> {
    /// What was stored stays written.
    fn drop(&mut self) {
        self.disk.0.lock().look_at_mappings();
    }
}

impl<N: Send + std::fmt::Debug + 'static> MappedFile for SimMapped<N> {
    fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let range = range.start as u64..range.end as u64;
        let mut inner = self.disk.0.lock();
        inner.sync(self.id, self.class, self.temporary, Some(range))
    }

    fn populate(&self, _range: Range<usize>) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        inner.plain(Call::Populate)?.map_or(Ok(()), Err)
    }
}
