//! A folder in which a database is being made that must not be taken for one before it is whole.
//!
//! Whoever makes it finds the superblock under its name; in the folder it has the name of one in the making, until
//! [`Unfinished::finish`]. So what a crash leaves is what one leaves of a database that was never made.

use std::{io, sync::Arc};

use coppice_disk::{Disk, DiskFile};
use coppice_store::{SUPERBLOCK_IN_THE_MAKING, SUPERBLOCK_NAME};

use crate::error::Error;

#[derive(Debug)]
pub(super) struct Unfinished {
    disk: Arc<dyn Disk>,
}

fn hidden(name: &str) -> &str {
    match name {
        SUPERBLOCK_NAME => SUPERBLOCK_IN_THE_MAKING,
        other => other,
    }
}

impl Unfinished {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// Makes a database of the folder. Durable on return.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.disk
            .rename(SUPERBLOCK_IN_THE_MAKING, SUPERBLOCK_NAME)
            .and_then(|()| self.disk.sync())
            .map_err(|error| Error::from_io(format!("{}: creating {SUPERBLOCK_NAME}", self.disk.label()), error))
    }
}

impl Disk for Unfinished {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(hidden(name))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(hidden(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match hidden(to) {
            same if same == from => Ok(()),
            to => self.disk.rename(hidden(from), to),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(hidden(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        for name in names.iter_mut().filter(|name| *name == SUPERBLOCK_IN_THE_MAKING) {
            SUPERBLOCK_NAME.clone_into(name);
        }
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn label(&self) -> String {
        self.disk.label()
    }
}
