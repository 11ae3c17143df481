//! What the tests share: a disk that fails and loses power on demand, and records that can be told apart.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use coppice_disk::{Disk, DiskFile};
use parking_lot::Mutex;

use crate::{Error, Journal, JournalOptions, Op, OpenError, Recovered};

pub(crate) const DATABASE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// What a power cut may leave of a block on its own.
const SECTOR_BYTES: usize = 512;

/// The calls that change a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Write,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncFolder,
}

/// A disk in memory that knows what was synced. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// The calls to fail, one after the other: how many of its kind to let pass, the error, and how many bytes a write gets done first.
    faults: VecDeque<(Call, usize, ErrorKind, usize)>,
    /// Changing calls to let pass before every one fails, as if the process were dead.
    remaining: Option<usize>,
    calls: Vec<Call>,
}

#[derive(Clone, Debug, Default)]
struct File {
    current: Vec<u8>,
    synced: Vec<u8>,
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
            files: state.files.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            ..State::default()
        })))
    }

    /// The disk after a power cut: of what was not synced, names, lengths and sectors persist each as `coin` says.
    pub(crate) fn after_power_cut(&self, coin: &mut dyn FnMut() -> bool) -> Self {
        let state = self.0.lock();
        let mut survivor = State::default();
        let all = state.names.keys().chain(state.synced_names.keys());
        let all: BTreeSet<&String> = all.collect();
        for name in all {
            let (now, before) = (state.names.get(name), state.synced_names.get(name));
            let id = if now == before || coin() { now } else { before };
            if let Some(&id) = id {
                let file = &state.files[id];
                let longest = file.current.len().max(file.synced.len());
                let mut bytes = file.synced.clone();
                bytes.resize(longest, 0);
                for start in (0..file.current.len()).step_by(SECTOR_BYTES) {
                    let range = start..(start + SECTOR_BYTES).min(file.current.len());
                    if coin() {
                        bytes[range.clone()].copy_from_slice(&file.current[range]);
                    }
                }
                if coin() {
                    bytes.truncate(file.synced.len());
                }
                survivor.names.insert(name.clone(), survivor.files.len());
                survivor.files.push(File {
                    synced: bytes.clone(),
                    current: bytes,
                });
            }
        }
        survivor.synced_names = survivor.names.clone();
        Self(Arc::new(Mutex::new(survivor)))
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock();
        state.files[state.names[name]].current.clone()
    }

    /// Puts a file in place, synced.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.lock();
        let id = state.files.len();
        state.files.push(File {
            current: bytes.to_vec(),
            synced: bytes.to_vec(),
        });
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
        let rest = state.files[self.id].current.get(offset as usize..).unwrap_or_default();
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
        let current = &mut state.files[self.id].current;
        let end = offset as usize + count;
        if current.len() < end {
            current.resize(end, 0);
        }
        current[offset as usize..end].copy_from_slice(&bytes[..count]);
        result
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write_all_at(offset, &parts.concat())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::Sync).map_err(|(error, _)| error)?;
        let file = &mut state.files[self.id];
        file.synced = file.current.clone();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[self.id].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.enter(Call::SetLen).map_err(|(error, _)| error)?;
        state.files[self.id].current.resize(len as usize, 0);
        Ok(())
    }
}

/// Options under which every segment gets the same salt, so that two journals can be compared byte by byte.
pub(crate) fn same_salt_options() -> JournalOptions {
    JournalOptions::new(|| 4)
}

/// Options with small segments and salts that never repeat within a test run.
pub(crate) fn options(segment_bytes: u64) -> JournalOptions {
    static SALT: AtomicU64 = AtomicU64::new(1);
    let mut options = JournalOptions::new(|| SALT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    options.segment_bytes = segment_bytes;
    options
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
    match Journal::open(Arc::new(disk.clone()), options(1 << 20), DATABASE, cut, &mut apply) {
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
