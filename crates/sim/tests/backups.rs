//! Backups with power cuts at every I/O boundary, and with every call of either disk failing in every way: the copy is the
//! whole database, or none. In all, more than 10,000 failures and 25,000 copies.

use coppice_sim::{backup_suite, test_seeds};

#[test]
fn leaves_a_whole_copy_or_none() {
    let done = test_seeds(0..30, backup_suite);
    assert!(done.faults > 10_000 && done.images > 25_000, "{done:?}");
}
