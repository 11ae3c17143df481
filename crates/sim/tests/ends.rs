//! Real ends of a real process: SIGKILL, and power cuts of an ext4 file system where the tests run as root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests")]

use std::path::Path;

use coppice_engine::Durability;
use coppice_sim::{Killed, soak};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_coppice-sim"))
}

fn kill(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let soaked = soak(program(), &mut Killed(folder.path().to_owned()), durability, 1, 100);
    match soaked {
        Ok(soaked) => assert!(soaked.ends == 100 && soaked.acknowledged > 1000, "{soaked:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn keeps_what_a_killed_process_was_promised() {
    kill(Durability::Process);
}

#[test]
fn keeps_what_a_killed_process_was_promised_at_disk() {
    kill(Durability::Disk);
}

#[cfg(target_os = "linux")]
#[test]
fn keeps_what_was_promised_when_the_power_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut mount = match coppice_sim::LoopMount::make(folder.path()) {
        Ok(mount) => mount,
        Err(error) => {
            eprintln!("SKIPPED: no file system to cut the power of: {error}");
            return;
        }
    };
    for durability in [Durability::Disk, Durability::Process] {
        let soaked = soak(program(), &mut mount, durability, 2, 10);
        if let Err(violation) = soaked {
            panic!("{violation}");
        }
        std::fs::remove_dir_all(coppice_sim::Place::folder(&mount)).unwrap();
    }
}
