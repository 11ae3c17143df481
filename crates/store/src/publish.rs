//! How a file comes into being: whole and durable under its name, or not at all.
//!
//! Written under a temporary name, synced, renamed, and the folder synced. So whatever has a final name was complete
//! before it got it, and a file of a final name that is not complete has been damaged since.

use std::{io, sync::Arc};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, DiskFile, is_no_space};

/// What temporary names end in.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Why a file was not published.
#[derive(Debug)]
pub(crate) struct PublishFailure {
    pub(crate) source: io::Error,
    /// The disk was full, and for certain there is no file of that name: nothing happened.
    pub(crate) survivable: bool,
}

/// Makes `contents` the durable file `name`, which must not exist, and returns it open.
pub(crate) fn publish(disk: &dyn Disk, name: &str, contents: &[u8]) -> Result<Arc<dyn DiskFile>, PublishFailure> {
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let fatal = |source| PublishFailure {
        source,
        survivable: false,
    };

    let file = write_temporary(disk, &temporary, contents).map_err(|source| {
        // What is left is swept up by the next open, if not now.
        let _ = disk.remove(&temporary);
        PublishFailure {
            survivable: is_no_space(&source),
            source,
        }
    })?;
    if !planted(Defect::PublishesUnsynced) {
        file.sync_data().map_err(|source| {
            let _ = disk.remove(&temporary);
            fatal(source)
        })?;
    }
    disk.rename(&temporary, name).map_err(|source| PublishFailure {
        survivable: is_no_space(&source) && is_gone_for_good(disk, name, &temporary),
        source,
    })?;
    if !planted(Defect::LeavesNameUnsynced) {
        disk.sync().map_err(fatal)?;
    }
    Ok(file)
}

fn write_temporary(disk: &dyn Disk, temporary: &str, contents: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    remove_if_there(disk, temporary)?;
    let file = disk.create(temporary)?;
    file.write_all_at(0, contents)?;
    Ok(file)
}

/// After a failed rename: whether neither name can come back.
fn is_gone_for_good(disk: &dyn Disk, name: &str, temporary: &str) -> bool {
    remove_if_there(disk, name)
        .and_then(|()| remove_if_there(disk, temporary))
        .and_then(|()| disk.sync())
        .is_ok()
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
