//! Where a backup goes: a folder that is new or empty, locked while it is filled, and cleared again when that fails.

use std::{fs, io, path::Path, path::PathBuf, sync::Arc};

use coppice_disk::{Disk, FolderDisk, FolderLock, LOCK_FILE_NAME};
use coppice_journal::is_segment_name;
use coppice_store::{SUPERBLOCK_NAME, is_leftover};

use crate::{
    core::{Engine, NewDatabase},
    error::{Error, ErrorCode},
    registry::{Place, folder_error, lock_error},
    verify::OnProgress,
};

/// A folder to be filled.
pub(crate) struct Destination {
    path: PathBuf,
    disk: Arc<FolderDisk>,
    lock: FolderLock,
    /// Whether there was no folder before.
    is_new: bool,
}

/// Copies the engine's state as of now into a folder. `source` is where the engine's own files are.
pub(crate) fn back_up(
    engine: &Engine,
    source: Option<&Place>,
    path: &Path,
    on_progress: OnProgress<'_>,
) -> Result<(), Error> {
    let destination = Destination::prepare(source, path)?;
    let disk = destination.disk();
    let copied = NewDatabase::random().and_then(|new| engine.backup_to(&disk, new, on_progress));
    drop(disk);
    if copied.is_err() {
        destination.clear();
    }
    copied
}

fn refused(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        format!("the destination {} {what}", path.display()),
    )
}

impl Destination {
    /// `source` is the folder of the database that it is filled from.
    pub(crate) fn prepare(source: Option<&Place>, path: &Path) -> Result<Self, Error> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = fs::canonicalize(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(
                ErrorCode::NotFound,
                format!("{}: its parent folder does not exist", path.display()),
            ),
            _ => folder_error(path, error),
        })?;
        let is_source = |folder: &Path| {
            // A folder above that may not be looked into is not the database, which is open.
            let identity = FolderDisk::open(folder).and_then(|disk| disk.identity());
            identity.is_ok_and(|identity| Some(&identity) == source)
        };
        if source.is_some() && parent.ancestors().any(is_source) {
            return Err(refused(path, "lies inside the database"));
        }
        let (disk, is_new) = match FolderDisk::create(path) {
            Ok(disk) => (disk, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let disk = FolderDisk::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotADirectory => refused(path, "is not a folder"),
                    io::ErrorKind::NotFound => refused(path, "is a link that leads to nothing"),
                    _ => folder_error(path, error),
                })?;
                (disk, false)
            }
            Err(error) => return Err(folder_error(path, error)),
        };
        let mut entries = fs::read_dir(path).map_err(|error| folder_error(path, error))?;
        if entries.next().is_some() {
            return Err(refused(path, "is not empty"));
        }
        let lock = FolderLock::acquire(&disk).map_err(lock_error)?;
        Ok(Self {
            path: path.to_owned(),
            disk: Arc::new(disk),
            lock,
            is_new,
        })
    }

    /// The folder.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::<FolderDisk>::clone(&self.disk)
    }

    /// Removes what was written. What cannot be removed now is no database at any rate: its superblock goes first.
    pub(crate) fn clear(self) {
        let disk = self.disk.as_ref();
        let _ = disk.remove(SUPERBLOCK_NAME);
        for name in disk.list().unwrap_or_default() {
            if is_segment_name(&name) || is_leftover(disk, &name).unwrap_or(false) {
                let _ = disk.remove(&name);
            }
        }
        // Some systems remove no file that is held.
        drop(self.lock);
        let _ = disk.remove(LOCK_FILE_NAME);
        let _ = disk.sync();
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}
