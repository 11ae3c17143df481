use proptest::{collection::vec, prelude::*};

use super::*;

fn extent(start: u32, pages: u32) -> Extent {
    Extent::new(start, pages).unwrap()
}

fn empty() -> Allocator {
    Allocator::rebuild(1, 1, &mut []).unwrap()
}

#[test]
fn grows_at_the_end_when_nothing_is_free() {
    let mut allocator = empty();
    assert_eq!(allocator.reserve(16), Some(extent(1, 16)));
    assert_eq!(allocator.reserve(3), Some(extent(17, 3)));
    assert_eq!(allocator.end(), 20);
    assert_eq!(allocator.free_pages(), 0);
}

#[test]
fn takes_the_smallest_run_that_fits_and_the_lowest_of_equals() {
    let mut used = [extent(21, 1), extent(26, 1), extent(30, 1), extent(34, 1)];
    let mut allocator = Allocator::rebuild(1, 35, &mut used).unwrap();
    assert_eq!(allocator.reserve(3), Some(extent(27, 3)));
    assert_eq!(allocator.reserve(3), Some(extent(31, 3)));
    assert_eq!(allocator.reserve(3), Some(extent(22, 3)));
    assert_eq!(allocator.reserve(3), Some(extent(1, 3)));
}

#[test]
fn neighbours_coalesce() {
    let mut allocator = empty();
    let [a, b, c] = [4, 4, 4].map(|pages| allocator.reserve(pages).unwrap());
    allocator.release(a);
    allocator.release(c);
    allocator.release(b);
    assert_eq!(allocator.reserve(12), Some(extent(1, 12)));
    assert_eq!(allocator.end(), 13);
}

#[test]
fn a_free_tail_is_grown_rather_than_left_behind() {
    let mut allocator = empty();
    let a = allocator.reserve(4).unwrap();
    allocator.release(a);
    assert_eq!(allocator.reserve(10), Some(extent(1, 10)));
    assert_eq!((allocator.end(), allocator.free_pages()), (11, 0));
}

/// What was taken again counted as newly free, so that many small commits had all slack given back.
#[test]
fn pages_that_are_taken_again_are_not_newly_free() {
    let mut allocator = empty();
    let mut place = allocator.reserve(8).unwrap();
    for _ in 0..10 {
        let next = allocator.reserve(8).unwrap();
        allocator.release(place);
        place = next;
        assert_eq!(allocator.newly_free_pages(), 8);
    }
    allocator.release(place);
    assert_eq!(allocator.newly_free_pages(), 16);
    assert_eq!(allocator.take_unpunched(1000).len(), 1);
    assert_eq!(allocator.newly_free_pages(), 0);
}

#[test]
fn trim_drops_only_the_free_tail_and_not_below_the_floor() {
    let mut allocator = empty();
    let [_, b, c] = [4, 4, 4].map(|pages| allocator.reserve(pages).unwrap());
    allocator.release(c);
    assert_eq!(allocator.trim(11), 11);
    assert_eq!(allocator.free_pages(), 2);
    assert_eq!(allocator.trim(0), 9);
    allocator.release(b);
    assert_eq!(allocator.trim(0), 5);
    assert_eq!(allocator.trim(0), 5);
    assert_eq!(allocator.free_pages(), 0);
}

#[test]
fn refuses_to_number_pages_beyond_the_last() {
    let mut used = [extent(1, MAX_PAGES - 10)];
    let mut allocator = Allocator::rebuild(1, MAX_PAGES - 9, &mut used).unwrap();
    assert_eq!(allocator.reserve(10), None);
    assert_eq!(allocator.reserve(9), Some(extent(MAX_PAGES - 9, 9)));
    assert_eq!(allocator.reserve(1), None);
}

#[test]
fn nothing_is_asked_and_nothing_given() {
    assert_eq!(empty().reserve(0), None);
}

#[test]
fn rebuild_refuses_overlaps_and_what_lies_outside() {
    let rebuild = |used: &mut [Extent]| Allocator::rebuild(1, 20, used).map(|_| ());
    assert_eq!(rebuild(&mut [extent(0, 2)]), Err(ExtentFault::OutOfRange(extent(0, 2))));
    assert_eq!(
        rebuild(&mut [extent(19, 2)]),
        Err(ExtentFault::OutOfRange(extent(19, 2)))
    );
    assert_eq!(
        rebuild(&mut [extent(8, 4), extent(5, 4)]),
        Err(ExtentFault::Overlap(extent(8, 4)))
    );
    assert_eq!(
        rebuild(&mut [extent(5, 4), extent(5, 4)]),
        Err(ExtentFault::Overlap(extent(5, 4)))
    );
    assert_eq!(rebuild(&mut [extent(5, 4), extent(9, 11)]), Ok(()));
}

#[test]
#[should_panic(expected = "is free already")]
fn a_page_cannot_be_given_back_twice() {
    let mut allocator = empty();
    let a = allocator.reserve(4).unwrap();
    allocator.reserve(4).unwrap();
    allocator.release(a);
    allocator.release(extent(4, 2));
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u32),
    Release(usize),
    Trim(u32),
    Rebuild,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => prop_oneof![Just(16_u32), 1..40_u32].prop_map(Step::Reserve),
        4 => any::<usize>().prop_map(Step::Release),
        1 => (0..200_u32).prop_map(Step::Trim),
        1 => Just(Step::Rebuild),
    ];
    vec(step, 1..200)
}

proptest! {
    /// The model is a bit per page.
    #[test]
    fn never_overlaps_and_accounts_exactly(steps in steps()) {
        let mut allocator = empty();
        let mut held: Vec<Extent> = Vec::new();
        let mut pages: Vec<bool> = vec![true];
        for step in steps {
            match step {
                Step::Reserve(count) => {
                    let fits = pages.split(|&used| used).any(|run| run.len() >= count as usize);
                    let before = allocator.end();
                    let got = allocator.reserve(count).unwrap();
                    prop_assert_eq!(got.pages(), count);
                    prop_assert!(!fits || allocator.end() == before, "grew although a run was large enough");
                    if pages.len() < got.end() as usize {
                        pages.resize(got.end() as usize, false);
                    }
                    for page in &mut pages[got.start() as usize..got.end() as usize] {
                        prop_assert!(!*page, "page handed out twice");
                        *page = true;
                    }
                    held.push(got);
                }
                Step::Release(which) if !held.is_empty() => {
                    let extent = held.swap_remove(which % held.len());
                    allocator.release(extent);
                    pages[extent.start() as usize..extent.end() as usize].fill(false);
                }
                Step::Release(_) => {}
                Step::Trim(floor) => {
                    allocator.trim(floor);
                    while pages.len() > (floor as usize).max(1) && pages.last() == Some(&false) {
                        pages.pop();
                    }
                }
                Step::Rebuild => {
                    let free = (allocator.by_start.clone(), allocator.by_length.clone());
                    allocator = Allocator::rebuild(1, allocator.end(), &mut held.clone()).unwrap();
                    prop_assert_eq!(free, (allocator.by_start.clone(), allocator.by_length.clone()));
                }
            }
            prop_assert_eq!(allocator.end() as usize, pages.len());
            prop_assert_eq!(allocator.free_pages() as usize, pages.iter().filter(|&&used| !used).count());
        }
    }
}
