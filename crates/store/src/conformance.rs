//! What every blob store must do: one suite for all implementations, those of other crates included.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a suite of tests: it may fail in any way"
)]

use std::io;

use crate::{
    PAGE_BYTES,
    blob_store::{BlobRead, BlobStore},
    extent::{Extent, pages_for},
};

/// A check, which panics where a store is wrong.
pub type Check = fn(&dyn BlobStore);

/// Every check by its name. Each is to be run on an empty store of its own.
pub const CHECKS: &[(&str, Check)] = &[
    ("what_was_written_is_read", what_was_written_is_read),
    (
        "images_of_any_length_and_place_are_taken",
        images_of_any_length_and_place_are_taken,
    ),
    ("the_last_page_is_padded_with_zeros", the_last_page_is_padded_with_zeros),
    ("padded_neighbours_stay_apart", padded_neighbours_stay_apart),
    ("a_gap_reads_as_zeros", a_gap_reads_as_zeros),
    ("a_read_beyond_the_end_fails", a_read_beyond_the_end_fails),
    (
        "misfits_are_refused_before_anything_is_written",
        misfits_are_refused_before_anything_is_written,
    ),
    ("an_empty_batch_does_nothing", an_empty_batch_does_nothing),
    ("pages_cut_off_come_back_as_zeros", pages_cut_off_come_back_as_zeros),
    (
        "many_reads_at_once_are_as_one_by_one",
        many_reads_at_once_are_as_one_by_one,
    ),
    ("each_of_many_reads_fails_by_itself", each_of_many_reads_fails_by_itself),
    (
        "more_than_any_buffer_holds_is_written_at_once",
        more_than_any_buffer_holds_is_written_at_once,
    ),
    (
        "writes_and_reads_go_on_side_by_side",
        writes_and_reads_go_on_side_by_side,
    ),
];

const PAGE: usize = PAGE_BYTES as usize;

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

fn what_was_written_is_read(store: &dyn BlobStore) {
    let (a, b, c) = (image(1, 16 * PAGE), image(2, PAGE), image(3, 3 * PAGE));
    store
        .write_batch(&[(extent(20, 3), &c), (extent(1, 16), &a), (extent(17, 1), &b)])
        .unwrap();
    store.sync().unwrap();
    assert_eq!(read(store, extent(1, 16), a.len()), a);
    assert_eq!(read(store, extent(17, 1), b.len()), b);
    assert_eq!(read(store, extent(20, 3), c.len()), c);
    assert_eq!(store.len_pages().unwrap(), 23);
}

fn the_last_page_is_padded_with_zeros(store: &dyn BlobStore) {
    store.write_batch(&[(extent(0, 2), &image(1, 2 * PAGE))]).unwrap();
    let short = image(2, PAGE + 10);
    store.write_batch(&[(extent(0, 2), &short)]).unwrap();
    let whole = read(store, extent(0, 2), 2 * PAGE);
    assert_eq!(whole[..PAGE + 10], short);
    assert!(whole[PAGE + 10..].iter().all(|&byte| byte == 0));
    assert_eq!(store.len_pages().unwrap(), 2);
}

fn padded_neighbours_stay_apart(store: &dyn BlobStore) {
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
}

fn a_gap_reads_as_zeros(store: &dyn BlobStore) {
    store.write_batch(&[(extent(5, 1), &image(1, PAGE))]).unwrap();
    assert_eq!(read(store, extent(2, 3), 3 * PAGE), vec![0; 3 * PAGE]);
}

fn a_read_beyond_the_end_fails(store: &dyn BlobStore) {
    store.write_batch(&[(extent(0, 2), &image(1, 2 * PAGE))]).unwrap();
    let error = store.read(extent(1, 2), &mut vec![0; 2 * PAGE]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

fn misfits_are_refused_before_anything_is_written(store: &dyn BlobStore) {
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
}

fn an_empty_batch_does_nothing(store: &dyn BlobStore) {
    store.write_batch(&[]).unwrap();
    assert_eq!(store.len_pages().unwrap(), 0);
}

fn pages_cut_off_come_back_as_zeros(store: &dyn BlobStore) {
    store.write_batch(&[(extent(0, 4), &image(1, 4 * PAGE))]).unwrap();
    store.set_len_pages(2).unwrap();
    assert_eq!(store.len_pages().unwrap(), 2);
    store.set_len_pages(4).unwrap();
    assert_eq!(read(store, extent(2, 2), 2 * PAGE), vec![0; 2 * PAGE]);
    assert_eq!(read(store, extent(0, 2), 2 * PAGE), image(1, 4 * PAGE)[..2 * PAGE]);
}

fn images_of_any_length_and_place_are_taken(store: &dyn BlobStore) {
    let memory = image(1, 40 * PAGE);
    for (shift, len) in [
        (0, PAGE),
        (1, PAGE),
        (64, 3 * PAGE),
        (512, PAGE + 1),
        (4095, 17 * PAGE),
        (7, 1),
    ] {
        let bytes = &memory[shift..shift + len];
        let place = extent(9, pages_for(len as u32));
        store.write_batch(&[(place, bytes)]).unwrap();
        let mut into = vec![0; shift + len];
        store.read(place, &mut into[shift..]).unwrap();
        assert!(&into[shift..] == bytes, "{len} bytes at address + {shift}");
    }
}

/// So many blobs of `pages` pages, less a byte each, behind one another.
fn written(store: &dyn BlobStore, blobs: u8, pages: u32) -> Vec<(Extent, Vec<u8>)> {
    let blobs: Vec<(Extent, Vec<u8>)> = (0..blobs)
        .map(|blob| {
            let place = extent(3 + u32::from(blob) * pages, pages);
            (place, image(blob, pages as usize * PAGE - 1))
        })
        .collect();
    let batch: Vec<_> = blobs.iter().map(|(place, bytes)| (*place, bytes.as_slice())).collect();
    store.write_batch(&batch).unwrap();
    store.sync().unwrap();
    blobs
}

fn many_reads_at_once_are_as_one_by_one(store: &dyn BlobStore) {
    for (count, pages) in [(0, 1), (1, 1), (100, 1), (50, 16), (3, 300)] {
        let blobs = written(store, count, pages);
        let mut into: Vec<Vec<u8>> = blobs.iter().map(|(_, bytes)| vec![0; bytes.len()]).collect();
        let mut reads: Vec<BlobRead<'_>> = (blobs.iter().zip(&mut into))
            .rev()
            .map(|((extent, _), into)| BlobRead { extent: *extent, into })
            .collect();
        let results = store.read_batch(&mut reads);
        assert_eq!(results.len(), blobs.len());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for ((_, bytes), into) in blobs.iter().zip(&into) {
            assert!(bytes == into, "{count} blobs of {pages} pages");
        }
    }
}

fn each_of_many_reads_fails_by_itself(store: &dyn BlobStore) {
    let blobs = written(store, 4, 2);
    let mut into = vec![vec![0; 2 * PAGE]; 5];
    let mut reads: Vec<BlobRead<'_>> = into
        .iter_mut()
        .enumerate()
        .map(|(index, into)| BlobRead {
            // Goes beyond the end; is longer than its extent; the others are whole.
            extent: match index {
                1 => extent(10, 2),
                3 => extent(3, 1),
                _ => blobs[index.min(3)].0,
            },
            into,
        })
        .collect();
    let results = store.read_batch(&mut reads);
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(io::Error::kind))
        .collect();
    let (eof, misfit) = (Some(io::ErrorKind::UnexpectedEof), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kinds, [None, eof, None, misfit, None]);
    for (index, blob) in [(0, 0), (2, 2), (4, 3)] {
        assert_eq!(into[index][..2 * PAGE - 1], blobs[blob].1);
    }
}

fn more_than_any_buffer_holds_is_written_at_once(store: &dyn BlobStore) {
    let large = image(1, 16 << 20);
    let frames: Vec<Vec<u8>> = (0..100).map(|seed| image(seed, 16 * PAGE)).collect();
    let mut batch = vec![(extent(5000, 4096), large.as_slice())];
    // Every second frame has a gap behind it.
    for (index, frame) in frames.iter().enumerate() {
        batch.push((extent((index * 16 + index / 2) as u32, 16), frame));
    }
    store.write_batch(&batch).unwrap();
    store.sync().unwrap();
    for (place, bytes) in batch {
        assert!(read(store, place, bytes.len()) == bytes, "{place:?}");
    }
}

fn writes_and_reads_go_on_side_by_side(store: &dyn BlobStore) {
    let blobs = written(store, 40, 16);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let blobs = &blobs;
            scope.spawn(move || {
                for round in 0..10 {
                    let mut into: Vec<Vec<u8>> = blobs.iter().map(|(_, bytes)| vec![0; bytes.len()]).collect();
                    let mut reads: Vec<BlobRead<'_>> = (blobs.iter().zip(&mut into))
                        .map(|((extent, _), into)| BlobRead { extent: *extent, into })
                        .collect();
                    for result in store.read_batch(&mut reads) {
                        result.unwrap();
                    }
                    for ((_, bytes), into) in blobs.iter().zip(&into) {
                        assert!(bytes == into, "reader {reader}, round {round}");
                    }
                }
            });
        }
        for round in 0..10 {
            let bytes = image(round, 16 * PAGE);
            let batch: Vec<_> = (0..40)
                .map(|blob| (extent(1000 + blob * 17, 16), bytes.as_slice()))
                .collect();
            store.write_batch(&batch).unwrap();
            store.sync().unwrap();
        }
    });
}
