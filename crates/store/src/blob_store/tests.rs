//! What every blob store must do. Each test runs on each implementation.

use std::sync::Arc;

use coppice_disk::{Disk, FolderDisk, MemoryDisk};

use super::*;
use crate::{FileStore, MemoryStore, PAGE_BYTES};

const PAGE: usize = PAGE_BYTES as usize;

fn on_every_store(test: impl Fn(&dyn BlobStore)) {
    test(&MemoryStore::new());
    test(&FileStore::new(MemoryDisk::new().create("blobs").unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FolderDisk::open(folder.path()).unwrap());
    test(&FileStore::new(disk.create("blobs").unwrap()));
}

fn extent(start: u32, pages: u32) -> Extent {
    Extent::new(start, pages).unwrap()
}

fn image(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(7).wrapping_add(seed) | 1)
        .collect()
}

fn read(store: &dyn BlobStore, extent: Extent, len: usize) -> Vec<u8> {
    let mut into = vec![0xee; len];
    store.read(extent, &mut into).unwrap();
    into
}

#[test]
fn what_was_written_is_read() {
    on_every_store(|store| {
        let (a, b, c) = (image(1, 16 * PAGE), image(2, PAGE), image(3, 3 * PAGE));
        store
            .write_batch(&[(extent(20, 3), &c), (extent(1, 16), &a), (extent(17, 1), &b)])
            .unwrap();
        store.sync().unwrap();
        assert_eq!(read(store, extent(1, 16), a.len()), a);
        assert_eq!(read(store, extent(17, 1), b.len()), b);
        assert_eq!(read(store, extent(20, 3), c.len()), c);
        assert_eq!(store.len_pages().unwrap(), 23);
    });
}

#[test]
fn the_last_page_is_padded_with_zeros() {
    on_every_store(|store| {
        store.write_batch(&[(extent(0, 2), &image(1, 2 * PAGE))]).unwrap();
        let short = image(2, PAGE + 10);
        store.write_batch(&[(extent(0, 2), &short)]).unwrap();
        let whole = read(store, extent(0, 2), 2 * PAGE);
        assert_eq!(whole[..PAGE + 10], short);
        assert!(whole[PAGE + 10..].iter().all(|&byte| byte == 0));
        assert_eq!(store.len_pages().unwrap(), 2);
    });
}

#[test]
fn padded_neighbours_stay_apart() {
    on_every_store(|store| {
        let images: Vec<Vec<u8>> = (0..40).map(|i| image(i, 100 + 300 * usize::from(i))).collect();
        let mut position = 3;
        let mut batch = Vec::new();
        for image in &images {
            let pages = pages_for(image.len() as u32);
            batch.push((extent(position, pages), image.as_slice()));
            position += pages;
        }
        batch.reverse();
        store.write_batch(&batch).unwrap();
        for (extent, image) in batch {
            assert_eq!(read(store, extent, image.len()), image);
        }
    });
}

#[test]
fn a_gap_reads_as_zeros() {
    on_every_store(|store| {
        store.write_batch(&[(extent(5, 1), &image(1, PAGE))]).unwrap();
        assert_eq!(read(store, extent(2, 3), 3 * PAGE), vec![0; 3 * PAGE]);
    });
}

#[test]
fn a_read_beyond_the_end_fails() {
    on_every_store(|store| {
        store.write_batch(&[(extent(0, 2), &image(1, 2 * PAGE))]).unwrap();
        let error = store.read(extent(1, 2), &mut vec![0; 2 * PAGE]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn misfits_are_refused_before_anything_is_written() {
    on_every_store(|store| {
        let page = image(1, PAGE);
        for batch in [
            &[(extent(0, 2), page.as_slice())] as &[(Extent, &[u8])],
            &[(extent(0, 1), &[])],
            &[(extent(3, 1), &page), (extent(0, 2), &page)],
            &[(extent(3, 1), &page), (extent(3, 1), &page)],
        ] {
            let error = store.write_batch(batch).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(store.len_pages().unwrap(), 0);
        let error = store.read(extent(0, 1), &mut vec![0; PAGE + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn an_empty_batch_does_nothing() {
    on_every_store(|store| {
        store.write_batch(&[]).unwrap();
        assert_eq!(store.len_pages().unwrap(), 0);
    });
}

#[test]
fn pages_cut_off_come_back_as_zeros() {
    on_every_store(|store| {
        store.write_batch(&[(extent(0, 4), &image(1, 4 * PAGE))]).unwrap();
        store.set_len_pages(2).unwrap();
        assert_eq!(store.len_pages().unwrap(), 2);
        store.set_len_pages(4).unwrap();
        assert_eq!(read(store, extent(2, 2), 2 * PAGE), vec![0; 2 * PAGE]);
        assert_eq!(read(store, extent(0, 2), 2 * PAGE), image(1, 4 * PAGE)[..2 * PAGE]);
    });
}
