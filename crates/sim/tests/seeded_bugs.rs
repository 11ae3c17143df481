//! The harness must be able to fail: each defect that can be planted in the storage core must be caught by one of the suites,
//! and so must a disk that lies, which has the effect of a defect.

use std::{panic::catch_unwind, path::Path};

use coppice_defect::Defect;
use coppice_engine::Durability;
use coppice_sim::{Class, Effort, Hunted, Lie, Profile, Session, explore_session, hunt};

/// Hunts every fourth defect, from the `first` on.
fn assert_defects_caught(first: usize) {
    let program = Path::new(env!("CARGO_BIN_EXE_coppice-sim"));
    let mut missed = Vec::new();
    for defect in Defect::ALL.iter().skip(first).step_by(4) {
        match hunt(program, Some(*defect)) {
            Ok(Hunted::Caught { suite, seed, .. }) => println!("{defect:?}: {suite}, seed {seed}"),
            other => missed.push((defect, other)),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn catches_the_first_quarter_of_planted_defects() {
    assert_defects_caught(0);
}

#[test]
fn catches_the_second_quarter_of_planted_defects() {
    assert_defects_caught(1);
}

#[test]
fn catches_the_third_quarter_of_planted_defects() {
    assert_defects_caught(2);
}

#[test]
fn catches_the_last_quarter_of_planted_defects() {
    assert_defects_caught(3);
}

/// What is caught is the defect: without one the same suites find nothing.
#[test]
fn finds_nothing_where_nothing_is_planted() {
    let program = Path::new(env!("CARGO_BIN_EXE_coppice-sim"));
    assert_eq!(hunt(program, None).unwrap(), Hunted::Missed);
}

/// Whether one of the first seeds brings the lie to light.
fn is_caught(lie: Lie) -> bool {
    let effort = Effort {
        continued_percent: 30,
        ..Effort::usual()
    };
    (0..40).any(|seed| {
        let durability = if seed % 2 == 0 {
            Durability::Process
        } else {
            Durability::Disk
        };
        let caught = catch_unwind(|| {
            let session = Session::run(Profile::small(durability), seed, Some(lie))?;
            explore_session(&session, &effort, seed)
        });
        !matches!(caught, Ok(Ok(_)))
    })
}

fn assert_caught(lies: &[Lie]) {
    let missed: Vec<&Lie> = lies.iter().filter(|lie| !is_caught(**lie)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn catches_syncs_that_are_left_out() {
    assert_caught(&[
        Lie::SkipsSync(Class::Blobs),
        Lie::SkipsSync(Class::Map),
        Lie::SkipsSync(Class::Journal),
        Lie::SkipsSync(Class::Super),
        Lie::SkipsSyncOfTemporary,
        Lie::SkipsFolderSync,
        Lie::SkipsEverySync,
    ]);
}

#[test]
fn catches_failed_syncs_that_are_ignored() {
    assert_caught(&[
        Lie::HidesFailedSync(Class::Blobs),
        Lie::HidesFailedSync(Class::Map),
        Lie::HidesFailedSync(Class::Journal),
    ]);
}

#[test]
fn catches_writes_that_are_short_lost_or_astray() {
    for class in [Class::Blobs, Class::Map, Class::Journal] {
        assert_caught(&[Lie::ShortWrites(class), Lie::LosesWrites(class), Lie::Misdirects(class)]);
    }
}

#[test]
fn catches_reads_of_what_was_not_written() {
    assert_caught(&[
        Lie::FlipsBits(Class::Blobs),
        Lie::FlipsBits(Class::Map),
        Lie::FlipsBits(Class::Journal),
    ]);
}
