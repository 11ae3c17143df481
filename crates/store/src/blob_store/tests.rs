use coppice_disk::{Disk, FolderDisk, MemoryDisk};

use super::*;
use crate::{MemoryStore, conformance::CHECKS};

fn run_each(make: impl Fn(&FolderDisk) -> Box<dyn BlobStore>) {
    for (name, check) in CHECKS {
        let folder = tempfile::tempdir().unwrap();
        let store = make(&FolderDisk::open(folder.path()).unwrap());
        println!("{name}");
        check(store.as_ref());
    }
}

#[test]
fn the_memory_store_conforms() {
    run_each(|_| Box::new(MemoryStore::new()));
}

#[test]
fn the_file_store_conforms_on_a_disk_without_direct_io() {
    run_each(|_| {
        let store = FileStore::new(MemoryDisk::new().create("blobs").unwrap());
        assert!(!store.is_direct());
        Box::new(store)
    });
}

#[test]
fn the_file_store_conforms_in_a_folder() {
    run_each(|folder| Box::new(FileStore::new(folder.create("blobs").unwrap())));
}

/// Where there is no io_uring, a store that does not use it.
#[test]
fn what_is_chosen_by_itself_conforms() {
    run_each(|folder| in_file(folder.create("blobs").unwrap(), IoUring::Auto).unwrap());
}

#[test]
fn io_uring_is_not_used_where_it_must_not_be() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::open(folder.path()).unwrap();
    let store = in_file(disk.create("blobs").unwrap(), IoUring::Never).unwrap();
    assert!(!store.uses_io_uring());
}

#[test]
fn io_uring_on_a_file_that_is_none_of_the_systems_is_refused_when_asked_for() {
    let file = || MemoryDisk::new().create("blobs").unwrap();
    let error = in_file(file(), IoUring::Always).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(!in_file(file(), IoUring::Auto).unwrap().uses_io_uring());
}
