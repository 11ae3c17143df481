//! Which folders are open in this process, so that opening one again shares its engine.
//!
//! A folder is known by device and inode, whatever path leads to it. One that is being opened or closed is *busy*: who wants
//! it waits until it is open, or gone, so that an open never meets an engine half closed. The registry's own lock is held over
//! neither, so nobody waits for another folder's recovery.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path, sync::Arc, sync::LazyLock};

use coppice_disk::{FolderDisk, FolderIdentity, FolderLock, LOCK_FILE_NAME, LockError};
use coppice_journal::is_segment_name;
use coppice_store::{IoUring, SUPERBLOCK_NAME, check_io_uring, is_leftover};
use parking_lot::{Condvar, Mutex};

use crate::{
    background::Background,
    core::Engine,
    error::{Error, ErrorCode},
    options::Options,
};

/// An engine that handles share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    handles: usize,
    /// Of a database that is written to.
    background: Option<Background>,
}

enum Slot {
    /// Somebody opens or closes it.
    Busy,
    Open(Shared),
}

static FOLDERS: LazyLock<Mutex<HashMap<FolderIdentity, Slot>>> = LazyLock::new(Mutex::default);
/// A folder is not busy any more.
static SETTLED: Condvar = Condvar::new();

/// A folder that is busy with who has this; gone from the registry once this is dropped.
struct Claim {
    folder: FolderIdentity,
}

impl Claim {
    /// The folder is open now, and nobody's in particular.
    fn open(self, shared: Shared) {
        FOLDERS.lock().insert(self.folder.clone(), Slot::Open(shared));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut folders = FOLDERS.lock();
        if matches!(folders.get(&self.folder), Some(Slot::Busy)) {
            folders.remove(&self.folder);
        }
        drop(folders);
        SETTLED.notify_all();
    }
}

/// What whoever opens a folder comes to.
enum Turn {
    Shared(Arc<Engine>),
    Claimed(Claim),
    /// It is only read, and is to be written to, or the other way round.
    OtherMode,
}

/// Shares the engine of a folder that is open; else it is busy with the caller from now on. Waits while it is with others.
fn share_or_claim(folder: &FolderIdentity, read_only: bool) -> Turn {
    let mut folders = FOLDERS.lock();
    loop {
        match folders.get_mut(folder) {
            Some(Slot::Open(shared)) if shared.engine.is_read_only() != read_only => return Turn::OtherMode,
            Some(Slot::Open(shared)) => {
                shared.handles += 1;
                return Turn::Shared(Arc::clone(&shared.engine));
            }
            Some(Slot::Busy) => SETTLED.wait(&mut folders),
            None => {
                folders.insert(folder.clone(), Slot::Busy);
                return Turn::Claimed(Claim { folder: folder.clone() });
            }
        }
    }
}

/// A place in the registry, given back by [`release`].
pub(crate) type Place = FolderIdentity;

pub(crate) fn folder_error(path: &Path, error: std::io::Error) -> Error {
    let name = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorCode::NotFound, format!("there is no database at {name}")),
        std::io::ErrorKind::NotADirectory => Error::new(
            ErrorCode::InvalidArgument,
            format!("{name} is not a folder, and a database is one"),
        ),
        std::io::ErrorKind::InvalidInput => Error::new(ErrorCode::InvalidArgument, format!("{name}: {error}")),
        _ => Error::from_io(name.to_string(), error),
    }
}

pub(crate) fn lock_error(error: LockError) -> Error {
    match error {
        LockError::Held { .. } | LockError::Read { .. } => Error::new(ErrorCode::Locked, error.to_string()),
        LockError::Io { folder, source } => Error::from_io(format!("{folder}: cannot lock"), source),
    }
}

fn open_folder(path: &Path, options: &Options) -> Result<FolderDisk, Error> {
    let opened = match options.read_only {
        true => FolderDisk::open_read_only(path),
        false => FolderDisk::open(path),
    };
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && options.creates() => FolderDisk::create(path)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::new(
                    ErrorCode::NotFound,
                    format!("{}: its parent folder does not exist", path.display()),
                ),
                _ => folder_error(path, error),
            }),
        other => other.map_err(|error| folder_error(path, error)),
    }
}

/// Opens a folder's database, or shares it if it is open already.
pub(crate) fn acquire(path: &Path, options: &Options) -> Result<(Arc<Engine>, Place), Error> {
    if options.io_uring == IoUring::Always {
        check_io_uring().map_err(|error| {
            Error::with_source(ErrorCode::Unsupported, format!("io_uring: {error}"), Some(error.into()))
        })?;
    }
    let disk = open_folder(path, options)?;
    let folder = disk.identity().map_err(|error| folder_error(path, error))?;
    let claim = match share_or_claim(&folder, options.read_only) {
        Turn::Shared(engine) => return engine.check_process().map(|()| (engine, folder)),
        Turn::Claimed(claim) => claim,
        Turn::OtherMode => {
            let (is, to) = match options.read_only {
                true => ("written to", "reading only"),
                false => ("only read", "writing"),
            };
            let message = format!(
                "{} is {is} by this process, and cannot be opened for {to} beside that",
                path.display()
            );
            return Err(Error::new(ErrorCode::Locked, message));
        }
    };
    refuse_foreign(&disk, options)?;
    let (engine, background) = if options.read_only {
        let lock = FolderLock::acquire_shared(&disk).map_err(lock_error)?;
        let engine = Engine::open_read_only(Arc::new(disk), lock, options)?;
        (Arc::new(engine), None)
    } else {
        let lock = FolderLock::acquire(&disk).map_err(lock_error)?;
        disk.put_off_syncs();
        let engine = Arc::new(Engine::open(Arc::new(disk), Some(lock), options)?);
        let background = Background::start(&engine)?;
        (engine, Some(background))
    };
    engine.attend_to_fetches();
    claim.open(Shared {
        engine: Arc::clone(&engine),
        handles: 1,
        background,
    });
    Ok((engine, folder))
}

/// A folder that holds other things must not be littered with a database, nor anything in it be taken for ours.
fn refuse_foreign(disk: &FolderDisk, options: &Options) -> Result<(), Error> {
    let path = disk.path();
    let failed = |error| folder_error(path, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name == SUPERBLOCK_NAME {
            return Ok(());
        }
        names.push(name.into_string().unwrap_or_default());
    }
    let name = path.display();
    if !options.creates() {
        return Err(Error::new(
            ErrorCode::NotFound,
            format!("there is no database at {name}"),
        ));
    }
    let is_ours =
        |name: &String| name == LOCK_FILE_NAME || is_segment_name(name) || is_leftover(disk, name).unwrap_or(false);
    if !names.iter().all(is_ours) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{name} holds other files and no database"),
        ));
    }
    Ok(())
}

/// Gives a handle back. The engine where it was the last one, with its folder busy until it has ended.
fn take_last(place: &Place) -> Option<(Shared, Claim)> {
    let mut folders = FOLDERS.lock();
    let Some(Slot::Open(shared)) = folders.get_mut(place) else {
        return None;
    };
    shared.handles -= 1;
    if shared.handles > 0 {
        return None;
    }
    let Some(Slot::Open(shared)) = folders.insert(place.clone(), Slot::Busy) else {
        return None;
    };
    Some((shared, Claim { folder: place.clone() }))
}

/// Gives a handle back. The last one ends the engine: with `shut_down`, everything is made durable first, and an error says
/// what could not be; without, only what is durable already is kept.
pub(crate) fn release(place: &Place, shut_down: bool) -> Result<(), Error> {
    let Some((mut shared, _claim)) = take_last(place) else {
        return Ok(());
    };
    drop(shared.background.take());
    if shut_down {
        return shared.engine.shut_down();
    }
    shared.engine.abandon();
    Ok(())
}
