//! Locking against a second handle, with a stale text, and with the file replaced.

use std::{cell::Cell, fs, process};

use crate::{FolderDisk, FolderLock, LOCK_FILE_NAME, LockError};

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let _lock = FolderLock::acquire(&disk).unwrap();
    let error = FolderLock::acquire(&disk).unwrap_err();
    let message = error.to_string();
    let LockError::Held { holder, .. } = error else {
        panic!("{message}");
    };
    assert!(message.contains(&folder.path().display().to_string()), "{message}");
    if let Some(holder) = holder {
        assert_eq!(holder.pid, process::id());
        assert!(
            message.ends_with(&format!("is in use by process {} on {}", holder.pid, holder.host)),
            "{message}"
        );
    } else {
        assert_eq!(std::env::consts::FAMILY, "windows", "{message}");
    }
}

#[test]
fn a_dropped_lock_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    drop(FolderLock::acquire(&disk).unwrap());
    FolderLock::acquire(&disk).unwrap();
}

#[test]
fn a_lock_given_up_within_the_wait_is_got() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let lock = Cell::new(Some(FolderLock::acquire(&disk).unwrap()));
    let tries = Cell::new(0);
    let open = || disk.open_lock_file(LOCK_FILE_NAME);
    let taken = FolderLock::take(&disk, open, |file| {
        let locked = file.try_lock();
        // Behind the first try the holder goes.
        drop(lock.take());
        tries.set(tries.get() + 1);
        locked
    });
    taken.unwrap();
    assert_eq!(tries.get(), 2);
}

#[test]
fn what_a_dead_process_wrote_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join(LOCK_FILE_NAME),
        "1 elsewhere, with a much longer text than ours\n".repeat(9),
    )
    .unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let _lock = FolderLock::acquire(&disk).unwrap();
    let error = FolderLock::acquire(&disk).unwrap_err();
    assert!(!error.to_string().contains("elsewhere"), "{error}");
}

#[test]
fn a_folder_in_place_of_the_lock_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(LOCK_FILE_NAME)).unwrap();
    let error = FolderLock::acquire(&FolderDisk::open(folder.path()).unwrap()).unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
    assert!(error.to_string().contains("LOCK is a folder"), "{error}");
}

#[cfg(unix)]
#[test]
fn text_that_is_not_ours_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let _lock = FolderLock::acquire(&disk).unwrap();
    for text in ["", "nonsense", "-1 host", "12 \u{1b}[31mhost", "12 "] {
        fs::write(folder.path().join(LOCK_FILE_NAME), text).unwrap();
        let error = FolderLock::acquire(&disk).unwrap_err();
        assert!(
            matches!(error, LockError::Held { holder: None, .. }),
            "{text:?}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_replaced_lock_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let file = disk.open_lock_file(LOCK_FILE_NAME).unwrap();
    assert!(disk.is_still_named(&file, LOCK_FILE_NAME).unwrap());
    fs::remove_file(folder.path().join(LOCK_FILE_NAME)).unwrap();
    assert!(!disk.is_still_named(&file, LOCK_FILE_NAME).unwrap());
    fs::write(folder.path().join(LOCK_FILE_NAME), "").unwrap();
    assert!(!disk.is_still_named(&file, LOCK_FILE_NAME).unwrap());
}

#[test]
fn readers_share_a_lock_and_keep_writers_out() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let readers = [(); 2].map(|()| FolderLock::acquire_shared(&disk).unwrap().unwrap());
    let error = FolderLock::acquire(&disk).unwrap_err();
    assert!(matches!(error, LockError::Read { .. }), "{error}");
    drop(readers);
    let writer = FolderLock::acquire(&disk).unwrap();
    let error = FolderLock::acquire_shared(&disk).unwrap_err();
    assert!(matches!(error, LockError::Held { .. }), "{error}");
    drop(writer);
    FolderLock::acquire_shared(&disk).unwrap().unwrap();
}
