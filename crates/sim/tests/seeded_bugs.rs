//! The harness must be able to fail: a disk that lies has the effect of a defect of the engine, and each lie must be caught.

use std::panic::catch_unwind;

use coppice_engine::Durability;
use coppice_sim::{Class, Effort, Lie, Profile, Session, explore_session};

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
