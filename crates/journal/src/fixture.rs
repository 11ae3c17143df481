//! What the tests share: a disk that fails and loses power on demand, and records that can be told apart.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    io::{self, ErrorKind},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use coppice_disk::{Disk, DiskFile, MappedFile};
use parking_lot::Mutex;

use crate::{Error, Journal, JournalOptions, Op, OpenError, Recovered, header::RECORDS_OFFSET};

pub(crate) const DATABASE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// What a power cut may leave of a block on its own.
const SECTOR_BYTES: usize = 512;

/// The calls that change a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Allocate,
    Write,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncFolder,
}

/// A disk in memory that knows what was synced. Clones share it. The default one gives no mappings.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    maps: bool,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// The calls to fail, one after the other: how many of its kind to let pass, the error, and how many bytes a write gets done first.
    faults: VecDeque<(Call, usize, ErrorKind, usize)>,
    /// Changing calls to let pass before every one fails, as if the process were dead.
    remaining: Option<usize>,
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct File {
    written: Vec<u8>,
    synced: Vec<u8>,
    mapped: Option<Arc<[AtomicU64]>>,
}

impl File {
    fn new(bytes: &[u8]) -> Self {
        Self {
            written: bytes.to_vec(),
            synced: bytes.to_vec(),
            mapped: None,
        }
    }

    /// What the operating system would read.
    fn current(&self) -> Vec<u8> {
        match &self.mapped {
            Some(words) => words
                .iter()
                .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
                .collect(),
            None => self.written.clone(),
        }
    }
}

impl Clone for File {
    fn clone(&self) -> Self {
        Self {
            written: self.current(),
            synced: self.synced.clone(),
            mapped: None,
        }
    }
}

impl State {
    /// Counts a call and decides whether it fails; `Err` carries how many bytes a write gets done.
    fn enter(&mut self, call: Call) -> Result<(), (io::Error, usize)> {
        if let Some(remaining) = &mut self.remaining {
            match remaining.checked_sub(1) {
                Some(less) => *remaining = less,
                None => return Err((io::Error::other("the process is dead"), 0)),
            }
        }
        self.calls.push(call);
        if let Some((at, pass, kind, partial)) = self.faults.front_mut()
            && *at == call
        {
            if *pass == 0 {
                let error = ((*kind).into(), *partial);
                self.faults.pop_front();
                return Err(error);
            }
            *pass -= 1;
        }
        Ok(())
    }
}

impl TestDisk {
    /// One that gives mappings.
    pub(crate) fn mapping() -> Self {
        let disk = Self::default();
        disk.0.lock().maps = true;
        disk
    }

    pub(crate) fn maps(&self) -> bool {
        self.0.lock().maps
    }

    /// Fails the call of that kind that comes after `pass` others. A failing write gets `partial` bytes done.
    pub(crate) fn fail(&self, call: Call, pass: usize, kind: ErrorKind, partial: usize) {
        self.0.lock().faults = [(call, pass, kind, partial)].into();
    }

    /// Fails another call, once the one before has failed.
    pub(crate) fn then_fail(&self, call: Call, pass: usize, kind: ErrorKind, partial: usize) {
        self.0.lock().faults.push_back((call, pass, kind, partial));
    }

    /// Lets `calls` changing calls pass and fails all after them.
    pub(crate) fn die_after(&self, calls: usize) {
        self.0.lock().remaining = Some(calls);
    }

    /// Takes the changing calls since the last time.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().calls)
    }

    /// The disk as another process finds it after this one died: everything written is there.
    pub(crate) fn after_kill(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            maps: state.maps,
            files: state.files.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            ..State::default()
        })))
    }

    /// The disk after a power cut: of what was not synced, names, lengths and sectors persist each as `coin` says.
    pub(crate) fn after_power_cut(&self, coin: &mut dyn FnMut() -> bool) -> Self {
        let state = self.0.lock();
        let mut survivor = State {
            maps: state.maps,
            ..State::default()
        };
        let all = state.names.keys().chain(state.synced_names.keys());
        let all: BTreeSet<&String> = all.collect();
        for name in all {
            let (now, before) = (state.names.get(name), state.synced_names.get(name));
            let id = if now == before || coin() { now } else { before };
            if let Some(&id) = id {
                let file = &state.files[id];
                let current = file.current();
                let longest = current.len().max(file.synced.len());
                let mut bytes = file.synced.clone();
                bytes.resize(longest, 0);
                for start in (0..current.len()).step_by(SECTOR_BYTES) {
                    let range = start..(start + SECTOR_BYTES).min(current.len());
                    if bytes[range.clone()] != current[range.clone()] && coin() {
                        bytes[range.clone()].copy_from_slice(&current[range]);
                    }
                }
                if coin() {
                    bytes.truncate(file.synced.len());
                }
                survivor.names.insert(name.clone(), survivor.files.len());
                survivor.files.push(File::new(&bytes));
            }
        }
        survivor.synced_names = survivor.names.clone();
        Self(Arc::new(Mutex::new(survivor)))
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock();
        state.files[state.names[name]].current()
    }

    /// Puts a file in place, synced.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.lock();
        let id = state.files.len();
        state.files.push(File::new(bytes));
        state.names.insert(name.to_owned(), id);
        state.synced_names.insert(name.to_owned(), id);
    }
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.enter(Call::Create).map_err(|(error, _)| error)?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), id);
        Ok(Arc::new(TestFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.0.lock().names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(TestFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(Call::Rename).map_err(|(error, _)| error)?;
        let id = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(Call::Remove).map_err(|(error, _)| error)?;
        state.names.remove(name).ok_or(ErrorKind::NotFound)?;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(Call::SyncFolder).map_err(|(error, _)| error)?;
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn label(&self) -> String {
        "(test)".to_owned()
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    id: usize,
}

impl DiskFile for TestFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.0.lock();
        let file = &state.files[self.id];
        let current;
        let bytes = match file.mapped {
            Some(_) => {
                current = file.current();
                &current
            }
            None => &file.written,
        };
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let (result, count) = match state.enter(Call::Write) {
            Ok(()) => (Ok(()), bytes.len()),
            Err((error, partial)) => (Err(error), partial.min(bytes.len())),
        };
        let file = &mut state.files[self.id];
        assert!(file.mapped.is_none(), "a mapped file is written through its mapping");
        let end = offset as usize + count;
        if file.written.len() < end {
            file.written.resize(end, 0);
        }
        file.written[offset as usize..end].copy_from_slice(&bytes[..count]);
        result
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write_all_at(offset, &parts.concat())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::Sync).map_err(|(error, _)| error)?;
        let file = &mut state.files[self.id];
        file.synced = file.current();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        let file = &state.files[self.id];
        Ok(file.mapped.as_ref().map_or(file.written.len(), |words| words.len() * 8) as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::SetLen).map_err(|(error, _)| error)?;
        let file = &mut state.files[self.id];
        file.written = file.current();
        if let Some(words) = file.mapped.take() {
            assert_eq!(Arc::strong_count(&words), 1, "a file that is mapped keeps its length");
        }
        file.written.resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::Allocate).map_err(|(error, _)| error)?;
        state.files[self.id].written.resize(len as usize, 0);
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn MappedFile>>> {
        let mut state = self.disk.0.lock();
        if !state.maps {
            return Ok(None);
        }
        let file = &mut state.files[self.id];
        assert_eq!(file.written.len() as u64, len);
        let words = file.written.as_chunks::<8>().0.iter();
        let words: Arc<[AtomicU64]> = words.map(|bytes| AtomicU64::new(u64::from_ne_bytes(*bytes))).collect();
        file.mapped = Some(Arc::clone(&words));
        Ok(Some(Arc::new(TestMapping {
            disk: self.disk.clone(),
            id: self.id,
            words,
        })))
    }
}

#[derive(Debug)]
struct TestMapping {
    disk: TestDisk,
    id: usize,
    words: Arc<[AtomicU64]>,
}

impl MappedFile for TestMapping {
    fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::Sync).map_err(|(error, _)| error)?;
        let file = &mut state.files[self.id];
        let current = file.current();
        file.synced[range.clone()].copy_from_slice(&current[range]);
        Ok(())
    }

    fn populate(&self, range: Range<usize>) -> io::Result<()> {
        assert!(range.end <= self.words.len() * 8);
        Ok(())
    }
}

/// Options under which every segment gets the same salt, so that two journals can be compared byte by byte.
pub(crate) fn same_salt_options() -> JournalOptions {
    let mut options = JournalOptions::new(|| 4);
    options.keeper = false;
    options
}

/// Options with small segments and salts that never repeat within a test run.
pub(crate) fn options(segment_bytes: u64) -> JournalOptions {
    static SALT: AtomicU64 = AtomicU64::new(1);
    let mut options = JournalOptions::new(|| SALT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    options.segment_bytes = segment_bytes;
    options.reserve_bytes = 0;
    options.keeper = false;
    options
}

/// Room for `count` records of `record_bytes` each in a segment.
pub(crate) fn room_for(count: u64, record_bytes: u64) -> u64 {
    RECORDS_OFFSET as u64 + count * record_bytes
}

/// Runs a check on a disk that gives mappings and on one that does not.
pub(crate) fn on_both(check: impl Fn(TestDisk)) {
    check(TestDisk::default());
    check(TestDisk::mapping());
}

pub(crate) fn create(disk: &TestDisk, segment_bytes: u64) -> Journal {
    Journal::create(Arc::new(disk.clone()), options(segment_bytes), DATABASE).unwrap()
}

/// A record's contents as a caller of `open` gets them: (sequence, key, value).
pub(crate) type Seen = Vec<(u64, Vec<u8>, Vec<u8>)>;

/// Opens the journal and collects what it applies. All test records are puts.
pub(crate) fn open(disk: &TestDisk, cut: u64) -> Result<(Journal, Recovered, Seen), Error> {
    let mut seen = Vec::new();
    let mut apply = |sequence, op: Op<'_>| -> Result<(), Infallible> {
        let Op::Put { tree: 1, key, value } = op else {
            panic!("{op:?} at {sequence}");
        };
        seen.push((sequence, key.to_vec(), value.to_vec()));
        Ok(())
    };
    match Journal::open(Arc::new(disk.clone()), options(4096), DATABASE, cut, &mut apply) {
        Ok((journal, recovered)) => Ok((journal, recovered, seen)),
        Err(OpenError::Journal(error)) => Err(error),
        Err(OpenError::Apply { error, .. }) => match error {},
    }
}

/// The sequence numbers of what was seen.
pub(crate) fn sequences(seen: &Seen) -> Vec<u64> {
    seen.iter().map(|(sequence, _, _)| *sequence).collect()
}

/// Appends one put per value, each an append of its own, from the journal's next number on.
pub(crate) fn append_each(journal: &Journal, values: &[&str]) {
    for value in values {
        let sequence = journal.appended_upto() + 1;
        let key = sequence.to_be_bytes();
        let put = Op::Put {
            tree: 1,
            key: &key,
            value: value.as_bytes(),
        };
        journal.append(sequence, &[put]).unwrap();
    }
}

pub(crate) fn is_corrupt(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. })
}
