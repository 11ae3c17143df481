//! What the operating system adds to the contract: folders, links, pipes, modes, identity.

use std::io::ErrorKind;

use crate::{Disk, FolderDisk};

#[test]
fn create_makes_the_folder_once() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("db");
    FolderDisk::create(&path).unwrap().create("a").unwrap();
    assert_eq!(FolderDisk::create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(FolderDisk::open(&path).unwrap().list().unwrap(), ["a"]);
}

#[test]
fn create_needs_the_parent() {
    let parent = tempfile::tempdir().unwrap();
    let error = FolderDisk::create(&parent.path().join("x/db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn open_tells_a_missing_folder_from_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let missing = FolderDisk::open(&parent.path().join("db")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let path = parent.path().join("file");
    std::fs::write(&path, "x").unwrap();
    assert_eq!(FolderDisk::open(&path).unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let error = disk.open("sub").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "sub is a folder, not a regular file");
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn identity_is_the_folders_not_the_paths() {
    let parent = tempfile::tempdir().unwrap();
    let disk = FolderDisk::create(&parent.path().join("a")).unwrap();
    let other = FolderDisk::create(&parent.path().join("b")).unwrap();
    let roundabout = FolderDisk::open(&parent.path().join("b/../a")).unwrap();
    assert_eq!(disk.identity().unwrap(), roundabout.identity().unwrap());
    assert_ne!(disk.identity().unwrap(), other.identity().unwrap());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};

    use super::*;

    #[test]
    fn folder_and_files_are_the_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("db");
        FolderDisk::create(&path).unwrap().create("a").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.clone()), 0o700);
        assert_eq!(mode(path.join("a")), 0o600);
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FolderDisk::open(folder.path()).unwrap();
        disk.create("real").unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let error = disk.open("link").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "link is a symbolic link, not a regular file");
        assert_eq!(disk.list().unwrap(), ["real"]);
    }

    #[test]
    fn opening_a_pipe_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let error = FolderDisk::open(folder.path()).unwrap().open("pipe").unwrap_err();
        assert_eq!(error.to_string(), "pipe is a pipe, not a regular file");
    }

    #[test]
    fn names_that_are_not_utf8_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        // Some file systems (macOS's) refuse the name: then there is nothing to leave out.
        let _ = std::fs::write(folder.path().join(name), "x");
        let disk = FolderDisk::open(folder.path()).unwrap();
        disk.create("a").unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);
    }

    #[test]
    fn files_stay_reachable_when_the_folder_moves() {
        let parent = tempfile::tempdir().unwrap();
        let disk = FolderDisk::create(&parent.path().join("before")).unwrap();
        std::fs::rename(parent.path().join("before"), parent.path().join("after")).unwrap();
        std::fs::create_dir(parent.path().join("before")).unwrap();
        disk.create("a").unwrap();
        assert!(parent.path().join("after/a").exists());
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    #[test]
    fn allocated_room_is_on_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let file = FolderDisk::open(folder.path()).unwrap().create("a").unwrap();
        file.allocate(1 << 20).unwrap();
        if file.map(1 << 20).unwrap().is_some() {
            let blocks = std::fs::metadata(folder.path().join("a")).unwrap().blocks();
            assert!(blocks >= (1 << 20) / 512, "{blocks}");
        }
    }

    #[test]
    fn a_disk_without_that_much_room_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FolderDisk::open(folder.path()).unwrap();
        let file = disk.create("a").unwrap();
        // 8 EiB, less a page: no disk, and no file system's largest file, has that.
        let error = file.allocate(i64::MAX as u64 - 4_095).unwrap_err();
        assert!(
            crate::is_no_space(&error)
                || error.kind() == ErrorKind::FileTooLarge
                || error.kind() == ErrorKind::InvalidInput,
            "{error}"
        );
    }

    #[test]
    fn file_systems_that_are_not_known_are_not_mapped() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(crate::mapped::map(&file, 8).unwrap().is_none());
    }
}

#[test]
fn folder_that_is_only_read_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    FolderDisk::open(folder.path())
        .unwrap()
        .create("there")
        .unwrap()
        .write_all_at(0, b"bytes")
        .unwrap();
    let disk = FolderDisk::open_read_only(folder.path()).unwrap();
    let refused = [
        disk.create("new").err(),
        disk.rename("there", "new").err(),
        disk.remove("there").err(),
    ];
    for error in refused {
        assert_eq!(error.unwrap().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    let file = disk.open("there").unwrap();
    assert!(file.write_all_at(0, b"other").is_err());
    assert!(file.set_len(0).is_err());
    file.sync_data().unwrap();
    disk.sync().unwrap();
    let mut bytes = [0; 5];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!((&bytes, disk.list().unwrap()), (b"bytes", vec!["there".to_owned()]));
}
