//! The contract of [`Disk`] and [`DiskFile`], run over every implementation in this crate.

use std::{
    io::ErrorKind,
    sync::{Arc, atomic::Ordering},
};

use crate::{Disk, DiskFile, FolderDisk, MAX_NAME_BYTES, MappedFile, MemoryDisk};

/// Runs each check once over a folder of the operating system and once over a disk in memory.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {
        mod folder {
            $(#[test]
            fn $check() {
                let folder = tempfile::tempdir().unwrap();
                super::$check(&super::FolderDisk::open(folder.path()).unwrap());
            })*
        }
        mod memory {
            $(#[test]
            fn $check() {
                super::$check(&super::MemoryDisk::new());
            })*
        }
    };
}

conformance!(
    create_is_exclusive,
    open_finds_what_was_created,
    missing_files_are_not_found,
    names_that_could_leave_the_folder_are_refused,
    names_up_to_the_limit_are_taken,
    reads_are_short_only_at_the_end,
    read_exact_names_a_file_that_ends_early,
    writes_grow_the_file_and_leave_zeros_in_gaps,
    vectored_writes_join_their_parts,
    vectored_writes_take_more_parts_than_one_call_does,
    set_len_cuts_and_grows_with_zeros,
    ranges_beyond_any_file_are_refused,
    rename_replaces,
    rename_keeps_open_handles,
    removed_files_stay_usable_through_their_handle,
    list_is_sorted,
    two_handles_see_one_file,
    syncs_and_free_space_answer,
    allocated_files_are_zeros_and_never_shrink,
    what_is_mapped_is_what_the_file_holds,
    threads_store_side_by_side,
    ranges_beyond_a_mapping_are_refused,
    mappings_that_do_not_fit_the_file_are_refused,
);

fn create_is_exclusive(disk: &dyn Disk) {
    disk.create("a").unwrap().write_all_at(0, b"kept").unwrap();
    assert_eq!(disk.create("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open("a").unwrap().len().unwrap(), 4);
}

fn open_finds_what_was_created(disk: &dyn Disk) {
    disk.create("a").unwrap().write_all_at(0, b"hello").unwrap();
    let mut bytes = [0; 5];
    disk.open("a").unwrap().read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

fn missing_files_are_not_found(disk: &dyn Disk) {
    assert_eq!(disk.open("a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove("a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename("a", "b").unwrap_err().kind(), ErrorKind::NotFound);
}

fn names_that_could_leave_the_folder_are_refused(disk: &dyn Disk) {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for name in ["", ".", "..", "a/b", "a\\b", "c:", "a\0b", &long] {
        assert_eq!(
            disk.create(name).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
        assert_eq!(disk.open(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(
            disk.remove(name).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
        assert_eq!(
            disk.rename(name, "x").unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
        assert_eq!(
            disk.rename("x", name).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
    }
}

fn names_up_to_the_limit_are_taken(disk: &dyn Disk) {
    let name = "n".repeat(MAX_NAME_BYTES);
    disk.create(&name).unwrap();
    assert_eq!(disk.list().unwrap(), [name]);
}

fn reads_are_short_only_at_the_end(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_all_at(0, b"0123456789").unwrap();
    let mut bytes = [0; 8];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 8);
    assert_eq!(&bytes, b"01234567");
    assert_eq!(file.read_at(6, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes[..4], b"6789");
    assert_eq!(file.read_at(10, &mut bytes).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut bytes).unwrap(), 0);
}

fn read_exact_names_a_file_that_ends_early(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_all_at(0, b"012").unwrap();
    let error = file.read_exact_at(1, &mut [0; 3]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("offset 1"), "{error}");
}

fn writes_grow_the_file_and_leave_zeros_in_gaps(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_all_at(4, b"xy").unwrap();
    let mut bytes = [1; 6];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0\0\0xy");
    file.write_all_at(3, b"").unwrap();
    assert_eq!(file.len().unwrap(), 6);
}

fn vectored_writes_join_their_parts(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_vectored_at(2, &[b"ab", b"", b"cde", b"f"]).unwrap();
    let mut bytes = [1; 8];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0abcdef");
    file.write_vectored_at(0, &[]).unwrap();
    assert_eq!(file.len().unwrap(), 8);
}

fn vectored_writes_take_more_parts_than_one_call_does(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    let numbers: Vec<[u8; 4]> = (0..3000_u32).map(u32::to_le_bytes).collect();
    let parts: Vec<&[u8]> = numbers.iter().map(<[u8; 4]>::as_slice).collect();
    file.write_vectored_at(0, &parts).unwrap();
    let mut bytes = vec![0; 12_000];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, numbers.concat());
}

fn set_len_cuts_and_grows_with_zeros(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_all_at(0, b"0123456789").unwrap();
    file.set_len(3).unwrap();
    file.set_len(5).unwrap();
    let mut bytes = [1; 5];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"012\0\0");
    assert_eq!(file.len().unwrap(), 5);
}

fn ranges_beyond_any_file_are_refused(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    for offset in [u64::MAX, i64::MAX as u64] {
        assert_eq!(
            file.write_all_at(offset, b"x").unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            file.write_vectored_at(offset, &[b"x"]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            file.read_at(offset, &mut [0]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    assert_eq!(file.len().unwrap(), 0);
}

fn rename_replaces(disk: &dyn Disk) {
    disk.create("new").unwrap().write_all_at(0, b"new").unwrap();
    disk.create("old").unwrap().write_all_at(0, b"other").unwrap();
    disk.rename("new", "old").unwrap();
    assert_eq!(disk.list().unwrap(), ["old"]);
    assert_eq!(disk.open("old").unwrap().len().unwrap(), 3);
}

fn rename_keeps_open_handles(disk: &dyn Disk) {
    let file = disk.create("before").unwrap();
    disk.rename("before", "after").unwrap();
    file.write_all_at(0, b"late").unwrap();
    assert_eq!(disk.open("after").unwrap().len().unwrap(), 4);
}

fn removed_files_stay_usable_through_their_handle(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    disk.remove("a").unwrap();
    assert!(disk.list().unwrap().is_empty());
    file.write_all_at(0, b"still").unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 5);
}

fn list_is_sorted(disk: &dyn Disk) {
    for name in ["b", "a", "c", "B"] {
        disk.create(name).unwrap();
    }
    assert_eq!(disk.list().unwrap(), ["B", "a", "b", "c"]);
}

fn two_handles_see_one_file(disk: &dyn Disk) {
    let one = disk.create("a").unwrap();
    let other = disk.open("a").unwrap();
    one.write_all_at(0, b"seen").unwrap();
    let mut bytes = [0; 4];
    other.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"seen");
}

fn syncs_and_free_space_answer(disk: &dyn Disk) {
    disk.create("a").unwrap().sync_data().unwrap();
    disk.sync().unwrap();
    assert!(disk.free_bytes().unwrap() > 0);
    assert!(!disk.label().is_empty());
}

fn allocated_files_are_zeros_and_never_shrink(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.write_all_at(0, b"kept").unwrap();
    file.allocate(10_000).unwrap();
    file.allocate(100).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    let mut bytes = vec![1; 10_000];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes[..4], b"kept");
    assert!(bytes[4..].iter().all(|&byte| byte == 0));
}

/// A file of that many bytes and its mapping; on a file system where none are given there is nothing to check.
fn mapped(disk: &dyn Disk, bytes: u64) -> Option<(Arc<dyn DiskFile>, Arc<dyn MappedFile>)> {
    let file = disk.create("a").unwrap();
    file.write_all_at(8, b"before..").unwrap();
    file.allocate(bytes).unwrap();
    let mapping = file.map(bytes).unwrap()?;
    Some((file, mapping))
}

fn what_is_mapped_is_what_the_file_holds(disk: &dyn Disk) {
    let Some((file, mapping)) = mapped(disk, 9_000) else {
        return;
    };
    assert_eq!(mapping.words().len(), 9_000 / 8);
    assert_eq!(mapping.words()[1].load(Ordering::Relaxed).to_ne_bytes(), *b"before..");
    mapping.populate(0..9_000).unwrap();
    mapping.words()[600].store(u64::from_ne_bytes(*b"mapped!!"), Ordering::Relaxed);
    mapping.sync(4_800..4_808).unwrap();
    mapping.sync(0..0).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(4_799, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0mapped!!\0");
    assert_eq!(file.read_at(8_995, &mut bytes).unwrap(), 5);
    drop(mapping);
    file.set_len(4_808).unwrap();
    disk.open("a").unwrap().read_exact_at(4_798, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0mapped!!");
    file.write_all_at(4_800, b"positional").unwrap();
    assert_eq!(file.len().unwrap(), 4_810);
}

fn threads_store_side_by_side(disk: &dyn Disk) {
    let Some((file, mapping)) = mapped(disk, 8 * 4_000) else {
        return;
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mapping = &mapping;
            scope.spawn(move || {
                for (index, word) in mapping.words().iter().enumerate().skip(thread).step_by(4) {
                    word.store(index as u64, Ordering::Relaxed);
                }
                mapping.sync(0..8 * 4_000).unwrap();
            });
        }
    });
    let mut bytes = vec![0; 8 * 4_000];
    file.read_exact_at(0, &mut bytes).unwrap();
    let words = bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
    assert!(words.eq(0..4_000));
}

fn ranges_beyond_a_mapping_are_refused(disk: &dyn Disk) {
    let Some((_file, mapping)) = mapped(disk, 4_096) else {
        return;
    };
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for range in [0..4_097, 5_000..5_001, 8..0] {
        assert_eq!(mapping.sync(range.clone()).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(mapping.populate(range).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

fn mappings_that_do_not_fit_the_file_are_refused(disk: &dyn Disk) {
    let file = disk.create("a").unwrap();
    file.allocate(4_096).unwrap();
    for len in [0, 12, 8_192] {
        match file.map(len) {
            Ok(mapping) => assert!(mapping.is_none(), "{len}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{len}"),
        }
    }
}

#[test]
fn a_mapped_file_in_memory_is_not_written_otherwise() {
    let disk = MemoryDisk::new();
    let (file, mapping) = mapped(&disk, 4_096).unwrap();
    assert_eq!(file.write_all_at(0, b"x").unwrap_err().kind(), ErrorKind::ResourceBusy);
    assert_eq!(file.set_len(0).unwrap_err().kind(), ErrorKind::ResourceBusy);
    drop(mapping);
    file.set_len(0).unwrap();
}

#[test]
fn clones_of_a_memory_disk_share_files() {
    let disk = MemoryDisk::new();
    let clone = disk.clone();
    disk.create("a").unwrap().write_all_at(0, b"x").unwrap();
    drop(disk);
    assert_eq!(clone.open("a").unwrap().len().unwrap(), 1);
}
