//! A disk for tests that fails on demand, and that knows what a power cut would leave.
//!
//! It takes the two extremes of a power cut: everything written survives, or nothing that was not synced.

use std::{collections::BTreeMap, io, sync::Arc};

use coppice_disk::{Disk, DiskFile};
use parking_lot::Mutex;

/// How much of a failing call takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    None,
    /// Of a write, the first half.
    Half,
    All,
}

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Which call, counted from now.
    pub(crate) after: u64,
    pub(crate) kind: io::ErrorKind,
    pub(crate) effect: Effect,
    /// Every later call fails too, without effect.
    pub(crate) lasting: bool,
}

/// What a power cut leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Survives {
    Synced,
    Everything,
}

#[derive(Clone, Default, Debug)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Default, Debug)]
struct Shared {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    calls: u64,
    fault: Option<Fault>,
    fired: bool,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct TestDisk(Arc<Mutex<Shared>>);

impl TestDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// A copy that shares nothing, without faults.
    pub(crate) fn fork(&self) -> Self {
        let shared = self.0.lock().clone();
        Self(Arc::new(Mutex::new(Shared {
            fault: None,
            fired: false,
            ..shared
        })))
    }

    pub(crate) fn inject(&self, fault: Fault) {
        let mut shared = self.0.lock();
        shared.fault = Some(fault);
        shared.fired = false;
        shared.calls = 0;
    }

    /// From now on nothing fails.
    pub(crate) fn disarm(&self) {
        self.0.lock().fault = None;
    }

    /// Whether the fault came to pass.
    pub(crate) fn fired(&self) -> bool {
        self.0.lock().fired
    }

    pub(crate) fn after_power_cut(&self, survives: Survives) -> Self {
        let copy = self.fork();
        {
            let mut shared = copy.0.lock();
            if survives == Survives::Synced {
                shared.names = shared.synced_names.clone();
                for file in &mut shared.files {
                    file.now = file.synced.clone();
                }
            }
        }
        copy
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let shared = self.0.lock();
        shared.files[shared.names[name]].now.clone()
    }

    pub(crate) fn set_bytes(&self, name: &str, bytes: &[u8]) {
        let mut shared = self.0.lock();
        let index = match shared.names.get(name) {
            Some(&index) => index,
            None => {
                shared.files.push(Contents::default());
                let index = shared.files.len() - 1;
                shared.names.insert(name.to_owned(), index);
                index
            }
        };
        shared.files[index].now = bytes.to_vec();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// Runs a call on the disk's insides: in full, or as the fault will have it.
    fn call<T>(&self, run: impl FnOnce(&mut Shared, Effect) -> io::Result<T>) -> io::Result<T> {
        let mut shared = self.0.lock();
        let call = shared.calls;
        shared.calls += 1;
        if let Some(fault) = shared.fault
            && (call == fault.after || fault.lasting && call > fault.after)
        {
            shared.fired = true;
            if call == fault.after && fault.effect != Effect::None {
                run(&mut shared, fault.effect)?;
            }
            return Err(fault.kind.into());
        }
        run(&mut shared, Effect::All)
    }

    fn open_index(&self, index: usize) -> Arc<dyn DiskFile> {
        Arc::new(TestFile {
            disk: self.clone(),
            index,
        })
    }
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let index = self.call(|shared, _| {
            if shared.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            shared.files.push(Contents::default());
            shared.names.insert(name.to_owned(), shared.files.len() - 1);
            Ok(shared.files.len() - 1)
        })?;
        Ok(self.open_index(index))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let index = self.call(|shared, _| shared.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into()))?;
        Ok(self.open_index(index))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(|shared, _| {
            let index = shared.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            shared.names.insert(to.to_owned(), index);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(|shared, _| {
            shared.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(|shared, _| Ok(shared.names.keys().cloned().collect()))
    }

    fn sync(&self) -> io::Result<()> {
        self.call(|shared, _| {
            shared.synced_names = shared.names.clone();
            Ok(())
        })
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
    index: usize,
}

impl DiskFile for TestFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.disk.call(|shared, _| {
            let bytes = &shared.files[self.index].now;
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.write_all_at(offset, &vec![0; len as usize])
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.call(|shared, effect| {
            let bytes = match effect {
                Effect::Half => &bytes[..bytes.len() / 2],
                _ => bytes,
            };
            let file = &mut shared.files[self.index].now;
            let end = offset as usize + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_vectored_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write_all_at(offset, &parts.concat())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.call(|shared, _| {
            let file = &mut shared.files[self.index];
            file.synced = file.now.clone();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk
            .call(|shared, _| Ok(shared.files[self.index].now.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.call(|shared, _| {
            shared.files[self.index].now.resize(len as usize, 0);
            Ok(())
        })
    }
}
