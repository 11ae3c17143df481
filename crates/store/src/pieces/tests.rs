use super::*;
use crate::extent::PAGE_BYTES;

const PAGE: usize = PAGE_BYTES as usize;

fn extent(start: u32, pages: u32) -> Extent {
    Extent::new(start, pages).unwrap()
}

/// Offset in pages, length in bytes and number of parts of each piece.
fn shapes(batch: &[(Extent, &[u8])], limit: usize) -> Vec<(u64, usize, usize)> {
    Pieces::new(batch, limit)
        .map(|piece| (piece.offset / PAGE as u64, piece.len, piece.parts.len()))
        .collect()
}

#[test]
fn neighbours_are_joined_and_gaps_are_not() {
    let page = [1; PAGE];
    let batch = [
        (extent(1, 1), page.as_slice()),
        (extent(2, 1), &page),
        (extent(4, 1), &page),
    ];
    assert_eq!(shapes(&batch, usize::MAX), [(1, 2 * PAGE, 2), (4, PAGE, 1)]);
}

#[test]
fn the_limit_parts_neighbours_and_images() {
    let image = [1; 3 * PAGE];
    let batch = [(extent(1, 3), image.as_slice()), (extent(4, 3), &image)];
    assert_eq!(
        shapes(&batch, 2 * PAGE),
        [(1, 2 * PAGE, 1), (3, 2 * PAGE, 2), (5, 2 * PAGE, 1)]
    );
}

#[test]
fn every_last_page_is_filled_with_zeros() {
    let image = [7; PAGE + 5];
    let batch = [(extent(0, 2), image.as_slice()), (extent(2, 2), &image)];
    let mut expected = image.to_vec();
    expected.resize(2 * PAGE, 0);
    let expected = [expected.clone(), expected].concat();
    for limit in [PAGE, 3 * PAGE, usize::MAX] {
        let mut written = Vec::new();
        for piece in Pieces::new(&batch, limit) {
            assert_eq!(piece.offset, written.len() as u64);
            let mut copy = vec![0xee; piece.len];
            piece.copy_to(&mut copy);
            written.extend(copy);
        }
        assert!(written == expected, "limit {limit}");
    }
}
