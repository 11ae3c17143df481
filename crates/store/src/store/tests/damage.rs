use super::*;

/// A database of three commits, and what it held after the last two.
fn three_commits() -> (TestDisk, Model, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 5000)).write(1, image(2, 100)),
    );
    commit(
        &store,
        &mut model,
        &Change::default().write(2, image(3, 5000)).write(1, image(4, 100)),
    );
    let before = model.clone();
    commit(&store, &mut model, &Change::default().write(3, image(5, 40)).delete(0));
    (disk, before, model)
}

fn opened(disk: &TestDisk) -> Result<Model, StoreError> {
    try_contents(&Store::open(disk.handle(), IoUring::Auto)?)
}

fn corrupt(disk: &TestDisk) -> (String, u64, Option<BlobId>) {
    match opened(disk) {
        Err(StoreError::Corrupt { file, offset, blob, .. }) => (file, offset, blob),
        other => panic!("{other:?}"),
    }
}

/// Where the records of a log of one snapshot and these deltas begin, and the end.
fn record_offsets(log: &[u8]) -> Vec<usize> {
    let mut offsets = vec![64];
    while let Some(&last) = offsets.last().filter(|&&last| last < log.len()) {
        let payload = u64::from_le_bytes(log[last + 8..last + 16].try_into().unwrap());
        offsets.push(last + 48 + payload as usize);
    }
    offsets
}

#[test]
fn a_log_torn_anywhere_in_its_last_record_yields_the_state_before() {
    let (disk, before, after) = three_commits();
    let name = log_name_of(&disk);
    let log = disk.bytes(&name);
    let last = record_offsets(&log).iter().rev().nth(1).copied().unwrap();
    for len in last..log.len() {
        let zeroed = [&log[..len], &vec![0; log.len() - len]].concat();
        let garbage = [&log[..len], &image(len as u64, log.len() - len + 50)].concat();
        for torn in [&log[..len], &zeroed, &garbage] {
            let disk = disk.fork();
            disk.set_bytes(&name, torn);
            // The last bytes of a record may be zeros anyway.
            if torn == log {
                continue;
            }
            let store = Store::open(disk.handle(), IoUring::Auto).unwrap();
            assert_eq!(contents(&store), before, "torn at {len}");
            assert_eq!(disk.bytes(&name), torn, "an open changes nothing");
            let mut model = before.clone();
            commit(&store, &mut model, &Change::default().write(9, image(6, 10)));
            drop(store);
            let repaired = disk.bytes(&name);
            assert_eq!(
                record_offsets(&repaired).last(),
                Some(&repaired.len()),
                "the torn tail is cut off"
            );
            assert_eq!(opened(&disk).unwrap(), model);
        }
    }
    assert_eq!(opened(&disk).unwrap(), after);
}

#[test]
fn no_flipped_bit_of_the_log_gives_wrong_data() {
    let (disk, before, after) = three_commits();
    let name = log_name_of(&disk);
    let log = disk.bytes(&name);
    let last = record_offsets(&log).iter().rev().nth(1).copied().unwrap();
    for byte in 0..log.len() {
        for bit in [0, 7] {
            let mut damaged = log.clone();
            damaged[byte] ^= 1 << bit;
            let disk = disk.fork();
            disk.set_bytes(&name, &damaged);
            match opened(&disk) {
                Err(StoreError::Corrupt { file, offset, .. }) => {
                    assert!(byte < last, "byte {byte}");
                    assert_eq!(file, name);
                    assert!(offset <= byte as u64, "byte {byte} reported at {offset}");
                }
                Ok(model) => {
                    assert!(byte >= last, "byte {byte} went unseen");
                    assert_eq!(model, before);
                }
                Err(other) => panic!("byte {byte}: {other}"),
            }
        }
    }
    assert_eq!(opened(&disk).unwrap(), after);
}

#[test]
fn a_damaged_record_with_an_intact_one_behind_it_is_named() {
    let (disk, ..) = three_commits();
    let name = log_name_of(&disk);
    let log = disk.bytes(&name);
    let second = record_offsets(&log)[1];
    for at in [second, second + 9, second + 60] {
        let mut damaged = log.clone();
        damaged[at] ^= 1;
        disk.set_bytes(&name, &damaged);
        assert_eq!(corrupt(&disk), (name.clone(), second as u64, None));
        assert_eq!(disk.bytes(&name), damaged, "nothing is cut off");
    }
}

/// So what is behind the hole is garbage, as after a power cut, and the state is the one before the hole.
#[test]
fn a_record_moved_to_another_place_is_none() {
    let (disk, ..) = three_commits();
    let name = log_name_of(&disk);
    let log = disk.bytes(&name);
    let offsets = record_offsets(&log);
    disk.set_bytes(&name, &[&log[..offsets[1]], &log[offsets[2]..]].concat());
    assert_eq!(opened(&disk).unwrap(), Model::default());
}

#[test]
fn no_flipped_bit_of_the_other_headers_goes_unseen() {
    let (disk, ..) = three_commits();
    for name in ["coppice.super", "blobs"] {
        let good = disk.bytes(name);
        for bit in 0..64 * 8 {
            let mut damaged = good.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            disk.set_bytes(name, &damaged);
            assert_eq!(corrupt(&disk), (name.to_owned(), 0, None), "bit {bit}");
        }
        disk.set_bytes(name, &good);
    }
}

#[test]
fn a_truncated_file_is_damaged() {
    let (disk, ..) = three_commits();
    for (name, lens) in [
        ("coppice.super".to_owned(), vec![0, 1, 63]),
        (log_name_of(&disk), vec![0, 63, 64, 100, 127]),
        ("blobs".to_owned(), vec![0, 100, 4096, 8192]),
    ] {
        let good = disk.bytes(&name);
        for len in lens {
            disk.set_bytes(&name, &good[..len]);
            assert_eq!(corrupt(&disk).0, name, "{len} bytes");
        }
        disk.set_bytes(&name, &good);
    }
}

#[test]
fn a_missing_file_is_damage() {
    let (disk, ..) = three_commits();
    for name in ["blobs".to_owned(), log_name_of(&disk)] {
        let disk = disk.fork();
        disk.handle().remove(&name).unwrap();
        assert_eq!(corrupt(&disk).0, name);
    }
}

#[test]
fn files_of_another_database_are_refused() {
    let (disk, ..) = three_commits();
    let other = TestDisk::new();
    drop(Store::create(other.handle(), DATABASE + 1, FRAME, IoUring::Auto).unwrap());
    let log = log_name_of(&disk);
    for name in ["blobs", &log] {
        let disk = disk.fork();
        disk.set_bytes(name, &other.bytes(name));
        assert_eq!(corrupt(&disk).0, name);
    }
}

#[test]
fn a_newest_generation_that_is_no_good_is_not_passed_over() {
    let (disk, ..) = three_commits();
    let newer = "map-0000000000000002.log";
    disk.set_bytes(newer, &disk.bytes(&log_name_of(&disk)));
    assert_eq!(corrupt(&disk), (newer.to_owned(), 32, None));
    disk.set_bytes(newer, b"");
    assert_eq!(corrupt(&disk), (newer.to_owned(), 0, None));
    assert_eq!(disk.names().len(), 4);
}

#[test]
fn blobs_that_are_not_the_ones_written_are_damage() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 4096)).write(1, image(2, 4096)),
    );
    let stale = disk.bytes("blobs");
    commit(&store, &mut model, &Change::default().write(2, image(3, 4096)));
    commit(&store, &mut model, &Change::default().delete(2));
    commit(
        &store,
        &mut model,
        &Change::default().write(2, image(4, 4096)).write(3, image(4, 4096)),
    );
    let good = disk.bytes("blobs");
    let page = |bytes: &[u8], number: usize| bytes[number * 4096..(number + 1) * 4096].to_vec();
    let damaged = |number: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[number * 4096..number * 4096 + with.len()].copy_from_slice(with);
        disk.set_bytes("blobs", &bytes);
    };
    let fails =
        |blob: BlobId| matches!(read(&store, blob), Err(StoreError::Corrupt { blob: Some(id), .. }) if id == blob);
    let flipped = good[2 * 4096 + 77] ^ 1;

    damaged(1, &page(&good, 2));
    assert!(fails(0) && read(&store, 1).is_ok(), "a misdirected write");
    damaged(1, &[page(&good, 2), page(&good, 1)].concat());
    assert!(fails(0) && fails(1), "a swap");
    damaged(3, &image(3, 4096));
    assert!(fails(2) && read(&store, 3).is_ok(), "a stale image of the same blob");
    damaged(3, &[0; 4096]);
    assert!(fails(2), "a lost write");
    damaged(2, &[&page(&good, 2)[..77], &[flipped]].concat());
    assert!(fails(1) && read(&store, 0).is_ok(), "a flipped bit");
    disk.set_bytes("blobs", &stale);
    assert!(
        fails(2) && fails(3) && read(&store, 0).is_ok(),
        "an older file in its place"
    );
    disk.set_bytes("blobs", &good);
    assert_eq!(contents(&store), model);
}

#[test]
fn equal_bytes_of_two_blobs_have_digests_of_their_own() {
    let (disk, store) = new_store();
    let mut model = Model::default();
    commit(
        &store,
        &mut model,
        &Change::default().write(0, image(1, 64)).write(1, image(1, 64)),
    );
    let log = disk.bytes(&log_name_of(&disk));
    let record = record_offsets(&log)[1];
    let digest = |entry: usize| log[record + 64 + entry * 32 + 24..record + 64 + entry * 32 + 32].to_vec();
    assert_ne!(digest(0), digest(1));
}
