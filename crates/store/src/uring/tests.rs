use coppice_disk::{Disk, FolderDisk};

use super::*;

/// A file whose syncs were put off, and fail.
#[derive(Debug)]
struct Unsettled(Arc<dyn DiskFile>);

impl DiskFile for Unsettled {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, into)
    }

    fn write_all_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        self.settle()
    }

    fn write_vectored_at(&self, _offset: u64, _parts: &[&[u8]]) -> io::Result<()> {
        self.settle()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.settle()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn os_file(&self) -> Option<&File> {
        self.0.os_file()
    }

    fn settle(&self) -> io::Result<()> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[test]
fn what_was_put_off_is_settled_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = FolderDisk::open(folder.path()).unwrap().create("blobs").unwrap();
    let store = match UringStore::new(Arc::new(Unsettled(Arc::clone(&file)))) {
        Ok(store) => store,
        Err(error) => return println!("skipped: no io_uring here: {error}"),
    };
    let extent = Extent::new(0, 1).unwrap();
    let error = store.write_batch(&[(extent, &[7; 4096])]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn reads_of_several_blobs_go_past_the_page_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = FolderDisk::open(folder.path()).unwrap().create("blobs").unwrap();
    file.write_all_at(0, &[7; 2 * 4096]).unwrap();
    let store = match UringStore::new(file) {
        Ok(store) => store,
        Err(error) => return println!("skipped: no io_uring here: {error}"),
    };
    let [first, second] = [0, 1].map(|start| Extent::new(start, 1).unwrap());
    let mut into = [[0; 4096]; 2];
    if !store.read_early(first, &mut into[0]) {
        return println!("skipped: no direct I/O that is known to work here");
    }
    let [one, other] = into.each_mut();
    let mut reads = [(first, one), (second, other)].map(|(extent, into)| BlobRead { extent, into });
    assert!(store.read_batch(&mut reads).iter().all(Result::is_ok));
    assert_eq!(into, [[7; 4096]; 2]);
    assert!(!store.read_early(first, &mut into[0]));
}
