use super::*;

fn space() -> Space {
    Space::new(Allocator::rebuild(1, 1, &mut []).unwrap())
}

fn reserve(space: &mut Space, pages: u32) -> Extent {
    space.reserve([pages].into_iter()).unwrap()[0]
}

#[test]
fn without_readers_a_retired_extent_is_free_at_once() {
    let mut space = space();
    let extent = reserve(&mut space, 4);
    space.retire(vec![(0, extent)]);
    assert_eq!((space.free_pages(), space.retired_pages()), (4, 0));
    assert_eq!(reserve(&mut space, 4), extent);
}

#[test]
fn an_extent_waits_for_the_readers_that_may_know_it() {
    let mut space = space();
    let extent = reserve(&mut space, 4);
    let reader = space.enter();
    space.retire(vec![(0, extent)]);
    let later = space.enter();
    assert_eq!((space.free_pages(), space.retired_pages()), (0, 4));
    assert_ne!(reserve(&mut space, 4), extent);
    space.leave(reader);
    assert_eq!(reserve(&mut space, 4), extent);
    space.leave(later);
}

#[test]
fn a_reader_holds_back_everything_retired_since() {
    let mut space = space();
    let [a, b] = [reserve(&mut space, 1), reserve(&mut space, 1)];
    let reader = space.enter();
    space.retire(vec![(0, a)]);
    let second = space.enter();
    space.retire(vec![(0, b)]);
    space.leave(second);
    assert_eq!(space.retired_pages(), 2);
    space.leave(reader);
    assert_eq!((space.trim(), space.retired_pages()), (1, 0));
}

#[test]
fn a_reader_of_a_later_era_holds_nothing_older() {
    let mut space = space();
    let [a, b] = [reserve(&mut space, 1), reserve(&mut space, 1)];
    let first = space.enter();
    space.retire(vec![(0, a)]);
    let second = space.enter();
    space.retire(vec![(0, b)]);
    space.leave(first);
    assert_eq!(reserve(&mut space, 1), a);
    assert_eq!(space.retired_pages(), 1);
    space.leave(second);
}

#[test]
fn a_reservation_given_back_leaves_no_trace() {
    let mut space = space();
    let kept = reserve(&mut space, 4);
    let hole = reserve(&mut space, 4);
    let last = reserve(&mut space, 4);
    space.retire(vec![(0, hole)]);
    let end = space.end();
    let reserved = space.reserve([2, 16, 2, 3].into_iter()).unwrap();
    assert!(space.end() > end);
    space.give_back(&reserved, end);
    assert_eq!((space.end(), space.free_pages()), (13, 4));
    assert_eq!(reserve(&mut space, 4), hole);
    space.retire(vec![(0, kept), (0, last)]);
}

#[test]
fn a_reservation_that_does_not_fit_takes_nothing() {
    let mut space = space();
    assert!(space.reserve([5, u32::MAX - 3].into_iter()).is_none());
    assert_eq!((space.end(), space.free_pages()), (1, 0));
}

#[test]
fn trim_spares_what_readers_are_in() {
    let mut space = space();
    let extent = reserve(&mut space, 4);
    let reader = space.enter();
    space.retire(vec![(0, extent)]);
    assert_eq!(space.trim(), 5);
    space.leave(reader);
    assert_eq!(space.trim(), 1);
}

fn map_of(blobs: &[(BlobId, Extent)]) -> SlotMap {
    let mut map = SlotMap::default();
    for (blob, extent) in blobs {
        let info = crate::BlobInfo {
            bytes: extent.pages() * crate::PAGE_BYTES,
            kind: 0,
            records: 0,
            live: 0,
            further_references: 0,
        };
        map.insert(*blob, crate::slot_map::MapEntry::new(extent.start(), info, 0).unwrap());
    }
    map
}

#[test]
fn image_keeps_what_it_names_and_nothing_else() {
    let mut space = space();
    let [a, b, later] = [4, 4, 4].map(|pages| reserve(&mut space, pages));
    let image = space.add_image(map_of(&[(1, a), (2, b)]));
    space.retire(vec![(1, a), (3, later)]);
    assert_eq!(
        (space.free_pages(), space.retired_pages(), space.kept_extents()),
        (4, 4, 1)
    );
    assert_eq!(reserve(&mut space, 4), later);
    space.drop_image(image);
    assert_eq!(
        (space.free_pages(), space.retired_pages(), space.kept_extents()),
        (4, 0, 0)
    );
    assert_eq!(reserve(&mut space, 4), a);
}

#[test]
fn extent_that_two_images_name_stays_for_the_one_that_is_left() {
    for first_to_go in [0, 1] {
        let mut space = space();
        let extent = reserve(&mut space, 4);
        let mut images = vec![
            space.add_image(map_of(&[(1, extent)])),
            space.add_image(map_of(&[(1, extent)])),
        ];
        space.retire(vec![(1, extent)]);
        space.drop_image(images.remove(first_to_go));
        assert_eq!((space.free_pages(), space.retired_pages()), (0, 4));
        space.drop_image(images.remove(0));
        assert_eq!((space.free_pages(), space.retired_pages()), (4, 0));
    }
}

#[test]
fn extent_of_an_image_that_went_waits_for_readers_too() {
    let mut space = space();
    let extent = reserve(&mut space, 4);
    let reader = space.enter();
    let image = space.add_image(map_of(&[(1, extent)]));
    space.retire(vec![(1, extent)]);
    space.drop_image(image);
    assert_eq!((space.free_pages(), space.retired_pages()), (0, 4));
    space.leave(reader);
    assert_eq!(space.trim(), 1);
}
