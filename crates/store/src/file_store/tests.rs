use coppice_disk::{Disk, FolderDisk};

use super::*;

const PAGE: usize = PAGE_BYTES as usize;

fn extent(start: u32, pages: u32) -> Extent {
    Extent::new(start, pages).unwrap()
}

/// A file of so many pages, each full of its number, as one that was opened anew; None where direct I/O is not known to
/// work, so that no read is early.
fn reopened(folder: &FolderDisk, pages: u8) -> Option<FileStore> {
    let file = folder.create("blobs").unwrap();
    let bytes: Vec<u8> = (0..pages).flat_map(|page| [page; PAGE]).collect();
    file.write_all_at(0, &bytes).unwrap();
    let store = FileStore::new(folder.open("blobs").unwrap());
    if store.direct.get().is_some() {
        println!("skipped: no direct I/O that is known to work here");
        return None;
    }
    Some(store)
}

#[test]
fn a_file_is_read_early_until_it_is_read_otherwise_or_written_to() {
    let access: [fn(&FileStore); 2] = [
        |store| store.read(extent(1, 1), &mut [0; PAGE]).unwrap(),
        |store| store.write_batch(&[(extent(9, 1), &[9; PAGE])]).unwrap(),
    ];
    for access in access {
        let folder = tempfile::tempdir().unwrap();
        let Some(store) = reopened(&FolderDisk::open(folder.path()).unwrap(), 4) else {
            return;
        };
        let mut into = [0; PAGE];
        assert!(store.read_early(extent(2, 1), &mut into));
        assert_eq!(into, [2; PAGE]);
        access(&store);
        assert!(store.direct.get().is_some());
        assert!(!store.read_early(extent(2, 1), &mut into));
        store.read(extent(3, 1), &mut into).unwrap();
        assert_eq!(into, [3; PAGE]);
    }
}

#[test]
fn only_so_much_is_read_early() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = reopened(&FolderDisk::open(folder.path()).unwrap(), 16) else {
        return;
    };
    let mut into = [0; 16 * PAGE];
    let times = EARLY_BYTES / into.len();
    for _ in 0..times {
        assert!(store.read_early(extent(0, 16), &mut into));
    }
    assert!(!store.read_early(extent(0, 1), &mut into[..PAGE]));
}

#[test]
fn nothing_is_read_early_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = reopened(&FolderDisk::open(folder.path()).unwrap(), 2) else {
        return;
    };
    let mut into = [0; 2 * PAGE];
    assert!(!store.read_early(extent(1, 1), &mut into), "more than the extent has");
    assert!(!store.read_early(extent(1, 2), &mut into), "beyond the file's end");
}
