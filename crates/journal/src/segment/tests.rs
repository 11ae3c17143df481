//! Names of segments, and what is tidied away.

use crate::fixture::TestDisk;

use super::*;

#[test]
fn names_carry_the_number_in_hexadecimal() {
    assert_eq!(file_name(0xab), "journal-00000000000000ab.log");
    assert_eq!(parse_name("journal-00000000000000ab.log", SUFFIX), Some(0xab));
}

#[test]
fn only_canonical_names_are_ours() {
    for name in [
        "journal-00000000000000AB.log",
        "journal-ab.log",
        "journal-+0000000000000ab.log",
        "journal-00000000000000ab.tmp",
        "journal-00000000000000ab.log.bak",
        "xjournal-00000000000000ab.log",
        "LOCK",
        "",
    ] {
        assert_eq!(parse_name(name, SUFFIX), None, "{name}");
    }
}

#[test]
fn sweeping_removes_leftovers_and_nothing_else() {
    let disk = TestDisk::default();
    for name in [
        "LOCK",
        "journal-0000000000000002.tmp",
        "journal-000000000000000a.log",
        "journal-0000000000000009.log",
    ] {
        disk.put(name, b"x");
    }
    assert_eq!(list(&disk).unwrap(), [9, 10]);
    assert_eq!(disk.list().unwrap().len(), 4, "listing changes nothing");
    sweep(&disk).unwrap();
    let kept = ["LOCK", "journal-0000000000000009.log", "journal-000000000000000a.log"];
    assert_eq!(disk.list().unwrap(), kept);
}
