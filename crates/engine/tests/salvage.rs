//! Damaged databases in folders: what a salvage may touch, where it may write, and who keeps it out.
#![allow(
    clippy::unwrap_used,
    reason = "the exemption of tests in clippy.toml does not reach the helpers of an integration test"
)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path};

use coppice_engine::{Condition, Database, Error, ErrorCode, Options, SalvageReport, salvage};

const KEYS: u32 = 600;

fn options(read_only: bool) -> Options {
    Options {
        read_only,
        frame_bytes: 4096,
        ..Options::default()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap_or_default())
    });
    read.collect()
}

fn filled(folder: &Path) -> Database {
    let database = Database::open(folder, &options(false)).unwrap();
    let tree = database.tree("t").unwrap();
    for number in 0..KEYS {
        let key = format!("dir{}/file{number:05}", number % 9);
        database
            .put(tree, key.as_bytes(), &[number as u8; 30], Condition::Always)
            .unwrap();
    }
    database
}

fn go_on(source: &Path, destination: &Path) -> Result<SalvageReport, Error> {
    salvage(source, destination, &mut |_, _| ControlFlow::Continue(()))
}

fn code<T>(result: Result<T, Error>) -> ErrorCode {
    result.err().unwrap().code()
}

/// A folder for several, with a database in `source` that has one damaged frame.
fn damaged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    filled(&source).close().unwrap();
    let mut blobs = fs::read(source.join("blobs")).unwrap();
    let damaged = blobs.last_chunk_mut::<100>().unwrap();
    damaged[0] ^= 1;
    fs::write(source.join("blobs"), blobs).unwrap();
    folder
}

#[test]
fn new_database_has_what_is_left_and_the_damaged_one_is_as_it_was() {
    for has_lock_file in [true, false] {
        let folder = damaged();
        let (source, destination) = (folder.path().join("source"), folder.path().join("destination"));
        if !has_lock_file {
            fs::remove_file(source.join("LOCK")).unwrap();
        }
        let before = files(&source);
        let report = go_on(&source, &destination).unwrap();
        assert!(files(&source) == before);
        assert_eq!(report.lost_frames, 1, "{:?}", report.problems);
        assert!(report.keys > 0 && report.keys < u64::from(KEYS));
        let database = Database::open(&destination, &options(false)).unwrap();
        let tree = database.tree("t").unwrap();
        assert_eq!(database.count(tree, b"").unwrap(), report.keys);
        let verified = database.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(verified.problems, []);
        database.put(tree, b"new", b"value", Condition::Always).unwrap();
        database.close().unwrap();
    }
}

#[test]
fn destination_must_be_empty_and_elsewhere() {
    let folder = damaged();
    let source = folder.path().join("source");
    let before = files(&source);
    assert_eq!(code(go_on(&source, &source)), ErrorCode::InvalidArgument);
    assert_eq!(code(go_on(&source, &source.join("inside"))), ErrorCode::InvalidArgument);
    let nowhere = folder.path().join("nowhere").join("inside");
    assert_eq!(code(go_on(&source, &nowhere)), ErrorCode::NotFound);
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), b"text").unwrap();
    assert_eq!(code(go_on(&source, &full)), ErrorCode::InvalidArgument);
    assert_eq!(files(&full).len(), 1);
    assert!(files(&source) == before);
}

#[test]
fn source_must_have_been_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("destination");
    assert_eq!(
        code(go_on(&folder.path().join("none"), &destination)),
        ErrorCode::NotFound
    );
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(code(go_on(&empty, &destination)), ErrorCode::NotFound);
    fs::write(empty.join("blobs"), b"no header").unwrap();
    assert_eq!(code(go_on(&empty, &destination)), ErrorCode::Corrupt);
    assert!(!destination.exists());
}

#[test]
fn writers_keep_it_out_and_readers_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (source, destination) = (folder.path().join("source"), folder.path().join("destination"));
    let database = filled(&source);
    assert_eq!(code(go_on(&source, &destination)), ErrorCode::Locked);
    assert!(!destination.exists());
    database.close().unwrap();
    let reader = Database::open(&source, &options(true)).unwrap();
    assert_eq!(go_on(&source, &destination).unwrap().keys, u64::from(KEYS));
    reader.close().unwrap();
}

#[test]
fn nothing_is_left_of_one_that_was_called_off() {
    let folder = damaged();
    let (source, destination) = (folder.path().join("source"), folder.path().join("destination"));
    let stop = |_, _| ControlFlow::Break(());
    assert_eq!(code(salvage(&source, &destination, &mut { stop })), ErrorCode::Aborted);
    assert!(!destination.exists());
    fs::create_dir(&destination).unwrap();
    assert_eq!(code(salvage(&source, &destination, &mut { stop })), ErrorCode::Aborted);
    assert!(files(&destination).is_empty());
}

#[cfg(unix)]
#[test]
fn files_that_are_something_else_are_lost_and_folders_that_take_no_writes_are_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for name in ["coppice.super", "LOCK", "blobs"] {
        for is_folder in [true, false] {
            let folder = damaged();
            let (source, destination) = (folder.path().join("source"), folder.path().join("destination"));
            fs::rename(source.join(name), folder.path().join("elsewhere")).unwrap();
            match is_folder {
                true => fs::create_dir(source.join(name)).unwrap(),
                false => symlink(folder.path().join("elsewhere"), source.join(name)).unwrap(),
            }
            fs::set_permissions(&source, fs::Permissions::from_mode(0o500)).unwrap();
            let report = go_on(&source, &destination).unwrap();
            fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).unwrap();
            assert_eq!(report.keys == 0, name == "blobs", "{name}: {:?}", report.problems);
        }
    }
}
