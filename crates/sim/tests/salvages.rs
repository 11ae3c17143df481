//! Databases with several files damaged at once, rebuilt from what still checks: nothing wrong is in the trees, and nothing is
//! lost without a word. In all, more than 6,000 damaged images.

use coppice_sim::{salvage_suite, test_seeds};

#[test]
fn puts_nothing_wrong_into_trees() {
    let rebuilt = test_seeds(0..160, salvage_suite);
    assert!(rebuilt.images > 6_000, "{rebuilt:?}");
    assert!(
        rebuilt.whole >= 160 && rebuilt.placed > 0 && rebuilt.unplaced > 0,
        "{rebuilt:?}"
    );
}
