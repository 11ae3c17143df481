//! Power cuts and kills at every I/O boundary of a run, and of the recovery after each: nothing that was promised is lost,
//! and what is found is a prefix of what was committed. In all, more than 100,000 images, and 20,000 in recoveries.

use coppice_sim::{crash_suite, test_seeds};

fn explore(seeds: std::ops::Range<u64>) {
    let explored = test_seeds(seeds, crash_suite);
    assert!(
        explored.images >= 25_000 && explored.nested_images >= 5_000,
        "{explored:?}"
    );
}

#[test]
fn loses_nothing_in_the_first_quarter_of_the_seeds() {
    explore(0..18);
}

#[test]
fn loses_nothing_in_the_second_quarter_of_the_seeds() {
    explore(18..36);
}

#[test]
fn loses_nothing_in_the_third_quarter_of_the_seeds() {
    explore(36..54);
}

#[test]
fn loses_nothing_in_the_last_quarter_of_the_seeds() {
    explore(54..72);
}

/// One seed decides everything: a failure that was printed can be had again.
#[test]
fn replays_a_seed_the_same_way() {
    let twice = [0, 1].map(|_| test_seeds(3..4, crash_suite));
    assert_eq!(twice[0], twice[1]);
    assert_ne!(twice[0].trace, test_seeds(2..3, crash_suite).trace);
}
