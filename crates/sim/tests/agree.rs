//! All operations against ordered maps: 20 million calls, in frames of 4 KiB to 64 KiB, with reopens between.

use coppice_sim::{Agreed, agreement_suite, test_seeds};

fn agrees(seeds: std::ops::Range<u64>) -> Agreed {
    let calls = 20_000 * (seeds.end - seeds.start);
    let agreed = test_seeds(seeds, agreement_suite);
    assert_eq!(agreed.calls, calls);
    agreed
}

#[test]
fn agrees_with_ordered_maps_in_the_first_quarter_of_the_seeds() {
    assert!(agrees(0..250).reopens > 0);
}

#[test]
fn agrees_with_ordered_maps_in_the_second_quarter_of_the_seeds() {
    agrees(250..500);
}

#[test]
fn agrees_with_ordered_maps_in_the_third_quarter_of_the_seeds() {
    agrees(500..750);
}

#[test]
fn agrees_with_ordered_maps_in_the_last_quarter_of_the_seeds() {
    agrees(750..1000);
}
