//! What is found of stores whose files are damaged.

use super::*;
use crate::{digest::seeded, slot_log::log_name, superblock::SUPERBLOCK_NAME};

/// Blobs 0 to 5 of one commit each, and of the first three a second image in a last commit, which deletes the fifth.
fn filled() -> (TestDisk, Model) {
    let (disk, store) = new_store();
    let mut model = Model::default();
    for blob in 0..6_u32 {
        let change = Change::default().write(blob, image(u64::from(blob), 5000 + blob as usize));
        commit(&store, &mut model, &change);
    }
    let mut last = Change::default().delete(4);
    for blob in 0..3_u32 {
        last = last.write(blob, image(100 + u64::from(blob), 4000));
    }
    commit(&store, &mut model, &last);
    (disk, model)
}

fn find(disk: &TestDisk) -> (Remains, usize) {
    find_where(disk, &|_, _| false)
}

fn find_where(disk: &TestDisk, is_last: &dyn Fn(u128, u64) -> bool) -> (Remains, usize) {
    let handle = disk.handle();
    let (remains, problems) = Remains::find(handle.as_ref(), is_last).unwrap();
    assert_eq!(remains.database_id(), DATABASE);
    (remains, problems.len())
}

/// The blobs whose bytes are sound; none of them is anything but one of its images.
fn readable(remains: &Remains) -> Vec<BlobId> {
    let blobs = remains.blobs().filter(|(blob, info)| {
        let mut bytes = vec![0; info.bytes as usize];
        let sound = remains.read(*blob, &mut bytes).is_ok();
        let images = [
            image(u64::from(*blob), 5000 + *blob as usize),
            image(100 + u64::from(*blob), 4000),
        ];
        assert!(!sound || images.contains(&bytes));
        sound
    });
    blobs.map(|(blob, _)| blob).collect()
}

fn records(disk: &TestDisk) -> Vec<usize> {
    let log = disk.bytes(&log_name_of(disk));
    (64..log.len())
        .step_by(8)
        .filter(|at| log[*at..].starts_with(b"CopR"))
        .collect()
}

fn change(disk: &TestDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes(name);
    change(&mut bytes);
    disk.set_bytes(name, &bytes);
}

#[test]
fn sound_store_is_found_whole() {
    let (disk, model) = filled();
    let (remains, problems) = find(&disk);
    assert_eq!((problems, remains.cut()), (0, model.cut));
    assert_eq!(readable(&remains), [0, 1, 2, 3, 5]);
    assert!((0..6).all(|blob| !remains.is_in_doubt(blob)));
}

#[test]
fn store_of_another_format_version_is_incompatible() {
    let (disk, _) = filled();
    for name in [SUPERBLOCK_NAME.to_owned(), BLOBS_NAME.to_owned(), log_name_of(&disk)] {
        change(&disk, &name, |bytes| {
            bytes[8] += 1;
            let magic = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let digest = seeded(&bytes[..56], magic);
            bytes[56..64].copy_from_slice(&digest.to_le_bytes());
        });
    }
    let error = Remains::find(disk.handle().as_ref(), &|_, _| false).unwrap_err();
    assert!(matches!(error, StoreError::Incompatible { .. }), "{error:?}");
    // What is damaged besides makes no difference.
    change(&disk, SUPERBLOCK_NAME, |bytes| bytes[0] ^= 1);
    let error = Remains::find(disk.handle().as_ref(), &|_, _| false).unwrap_err();
    assert!(matches!(error, StoreError::Incompatible { .. }), "{error:?}");
}

#[test]
fn entries_of_a_damaged_record_are_proved_by_their_blobs() {
    let (disk, model) = filled();
    let last = *records(&disk).last().unwrap();
    // In the first of its three entries: the digest.
    change(&disk, &log_name_of(&disk), |log| log[last + 64 + 24] ^= 1);
    let (remains, problems) = find(&disk);
    assert_eq!((problems, remains.cut()), (1, model.cut));
    // Their second images; of the first one only the older is known, if nothing has taken its place.
    for blob in [1, 2] {
        let mut bytes = vec![0; 4000];
        remains.read(blob, &mut bytes).unwrap();
        assert_eq!(bytes, image(100 + u64::from(blob), 4000));
        assert!(!remains.is_in_doubt(blob));
    }
    // What the record said of these is not known.
    assert!([0, 3, 4, 5].iter().all(|blob| remains.is_in_doubt(*blob)));
    assert!(!remains.is_cut_lost());
    change(&disk, &log_name_of(&disk), |log| log[last + 16] ^= 1);
    assert!(find(&disk).0.is_cut_lost());
}

#[test]
fn records_behind_a_damaged_one_count() {
    let (disk, model) = filled();
    let records = records(&disk);
    // The fourth commit's: its header.
    change(&disk, &log_name_of(&disk), |log| log[records[4] + 16] ^= 1);
    let (remains, problems) = find(&disk);
    assert_eq!((problems, remains.cut()), (1, model.cut));
    assert_eq!(readable(&remains), [0, 1, 2, 3, 5]);
    for blob in [0, 1, 2, 3, 5] {
        assert!(!remains.is_in_doubt(blob), "{blob}");
    }
}

#[test]
fn what_is_found_among_several_damaged_records_is_in_doubt() {
    let (disk, _) = filled();
    let records = records(&disk);
    // The headers of the last two, and with them the sign that they are two.
    for record in &records[5..] {
        change(&disk, &log_name_of(&disk), |log| log[*record..record + 48].fill(0));
    }
    let (remains, problems) = find(&disk);
    assert_eq!(problems, 1);
    assert!((0..6).all(|blob| remains.is_in_doubt(blob)));
}

#[test]
fn damaged_end_is_a_power_cut_where_the_journal_goes_on() {
    let (disk, model) = filled();
    let last = *records(&disk).last().unwrap();
    change(&disk, &log_name_of(&disk), |log| log[last + 16] ^= 1);
    let (remains, problems) = find_where(&disk, &|id, cut| id == DATABASE && cut == model.cut - 10);
    assert_eq!((problems, remains.cut()), (0, model.cut - 10));
    assert!((0..6).all(|blob| !remains.is_in_doubt(blob)));
    assert_eq!(remains.len(), 6);
}

#[test]
fn what_is_lost_of_one_file_is_known_from_others() {
    for name in [SUPERBLOCK_NAME, BLOBS_NAME] {
        let (disk, model) = filled();
        change(&disk, name, |bytes| bytes[..64].fill(0));
        let (remains, problems) = find(&disk);
        assert_eq!((problems, remains.cut()), (1, model.cut), "{name}");
        assert_eq!(readable(&remains), [0, 1, 2, 3, 5], "{name}");
        change(&disk, &log_name_of(&disk), |bytes| bytes[..64].fill(0));
        let (remains, problems) = find(&disk);
        assert_eq!((problems, readable(&remains).len()), (2, 5), "{name}");
    }
}

#[test]
fn nothing_is_found_without_a_map() {
    let (disk, _) = filled();
    disk.handle().remove(&log_name_of(&disk)).unwrap();
    let (remains, problems) = find(&disk);
    assert_eq!((problems, remains.len(), remains.cut()), (1, 0, 0));
}

#[test]
fn all_of_an_older_log_is_in_doubt() {
    let (disk, _) = filled();
    disk.set_bytes(&log_name(9), &[0; 500]);
    let (remains, problems) = find(&disk);
    assert!(problems > 0);
    assert_eq!(readable(&remains), [0, 1, 2, 3, 5]);
    assert!(remains.is_in_doubt(3));
}

#[test]
fn log_that_claims_too_much_is_given_up() {
    for (claims, is_found) in [(0, true), (10_000, false)] {
        let (disk, _) = filled();
        let last = *records(&disk).last().unwrap();
        change(&disk, &log_name_of(&disk), |log| {
            let entry = log[last + 64..last + 96].to_vec();
            log[last..last + 96].fill(0);
            let mut wrong = entry.clone();
            wrong[24] ^= 1;
            for _ in 0..claims {
                log.extend_from_slice(&wrong);
            }
            log.extend_from_slice(&entry);
        });
        let (remains, _) = find(&disk);
        assert_eq!(remains.info(0).unwrap().bytes == 4000, is_found, "{claims}");
    }
}

#[test]
fn folder_says_whether_it_ever_was_a_database() {
    let disk = TestDisk::new();
    let find = |disk: &TestDisk| Remains::find(disk.handle().as_ref(), &|_, _| false);
    assert!(matches!(find(&disk), Err(StoreError::NotADatabase { .. })));
    disk.set_bytes(BLOBS_NAME, &[0; 4096]);
    assert!(matches!(find(&disk), Err(StoreError::Corrupt { .. })));
}
