//! Every file of a database cut off, zeroed, with each bit flipped in turn, with pages astray, missing, older or another
//! database's: it is refused, or answers what is right. In all, more than 100,000 damaged images.

use coppice_sim::{damage_suite, test_seeds};

#[test]
fn gives_no_wrong_answer_in_the_first_half_of_the_seeds() {
    let damaged = test_seeds(0..24, damage_suite);
    assert!(damaged.images > 50_000, "{damaged:?}");
}

#[test]
fn gives_no_wrong_answer_in_the_last_half_of_the_seeds() {
    let damaged = test_seeds(24..48, damage_suite);
    assert!(damaged.images > 50_000, "{damaged:?}");
}
