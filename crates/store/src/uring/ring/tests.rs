use std::os::unix::fs::FileExt;

use super::*;

/// A ring of two slots on a file of its own; none where the kernel has none for this process.
fn ring() -> Option<(tempfile::TempDir, Ring)> {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("f")).unwrap();
    match Ring::new(&file, 2, 4096) {
        Ok(ring) => Some((folder, ring)),
        Err(error) => {
            println!("skipped: no io_uring here: {error}");
            None
        }
    }
}

const WRITE: Command = Command::Write {
    offset: 0,
    start: 0,
    len: 4096,
};

#[test]
fn commands_reach_the_file() {
    let Some((folder, mut ring)) = ring() else { return };
    ring.buffer(1).fill(7);
    ring.prepare(1, WRITE).unwrap();
    ring.submit_and_wait(1).unwrap();
    assert_eq!(ring.completion(), Some((1, 4096)));
    ring.prepare(0, Command::Sync).unwrap();
    ring.submit_and_wait(1).unwrap();
    assert_eq!(ring.completion(), Some((0, 0)));
    let mut bytes = [0; 4096];
    let file = File::open(folder.path().join("f")).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [7; 4096]);
}

#[test]
fn a_buffer_is_the_kernels_until_its_command_has_completed() {
    let Some((_folder, mut ring)) = ring() else { return };
    ring.prepare(0, WRITE).unwrap();
    assert!(ring.buffer(0).is_empty());
    assert_eq!(ring.buffer(1).len(), 4096);
    ring.submit_and_wait(1).unwrap();
    assert!(ring.buffer(0).is_empty());
    ring.completion().unwrap();
    assert_eq!(ring.buffer(0).len(), 4096);
}

#[test]
fn a_transfer_beyond_its_buffer_is_refused_and_ends_the_ring() {
    let Some((_folder, mut ring)) = ring() else { return };
    let command = Command::Read {
        offset: 0,
        start: 512,
        len: 4096,
    };
    assert!(ring.prepare(0, command).is_err());
    assert!(ring.prepare(0, WRITE).is_err());
    assert!(ring.submit_and_wait(1).is_err());
}

#[test]
fn a_slot_takes_one_command_at_a_time() {
    let Some((_folder, mut ring)) = ring() else { return };
    ring.prepare(0, WRITE).unwrap();
    assert!(ring.prepare(0, WRITE).is_err());
}

#[test]
fn a_failed_transfer_is_told_by_its_error_number() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), b"x").unwrap();
    let file = File::open(folder.path().join("f")).unwrap();
    let Ok(mut ring) = Ring::new(&file, 2, 4096) else {
        println!("skipped: no io_uring here");
        return;
    };
    ring.prepare(1, WRITE).unwrap();
    ring.submit_and_wait(1).unwrap();
    assert_eq!(ring.completion(), Some((1, -libc::EBADF)));
}
