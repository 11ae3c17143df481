//! What both ways of writing promise.

use coppice_disk::{Disk, FolderDisk, MemoryDisk};

use super::*;

/// A file of a hundred words, written by position and, where the disk gives one, through a mapping.
fn both(disk: &dyn Disk) -> Vec<(SegmentFile, Arc<dyn DiskFile>)> {
    let files = ["positional", "mapped"].map(|name| {
        let file = disk.create(name).unwrap();
        file.allocate(800).unwrap();
        file
    });
    let [positional, mapped] = files;
    vec![
        (SegmentFile::Positional(Arc::clone(&positional)), positional),
        (SegmentFile::new(Arc::clone(&mapped), 800), mapped),
    ]
}

fn check(disk: &dyn Disk) {
    for (segment, file) in both(disk) {
        segment.write(16, b"eight by").unwrap();
        segment.write(792, b"the last").unwrap();
        segment.populate(0..800).unwrap();
        segment.sync(10..24).unwrap();
        segment.sync(24..800).unwrap();
        let mut bytes = [0; 800];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes[8..32], b"\0\0\0\0\0\0\0\0eight by\0\0\0\0\0\0\0\0");
        assert_eq!(&bytes[792..], b"the last");
    }
}

#[test]
fn a_folder_takes_both() {
    let folder = tempfile::tempdir().unwrap();
    check(&FolderDisk::open(folder.path()).unwrap());
}

#[test]
fn memory_takes_both() {
    check(&MemoryDisk::new());
}

#[test]
fn what_does_not_fit_a_mapping_is_refused_whole() {
    let [_, (segment, file)] = both(&MemoryDisk::new()).try_into().unwrap();
    assert!(matches!(segment, SegmentFile::Mapped(_)));
    for (offset, len) in [(800, 8), (784, 24), (0, 7)] {
        let error = segment.write(offset, &vec![1; len]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{offset} {len}");
    }
    let mut bytes = [1; 800];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 800]);
}
