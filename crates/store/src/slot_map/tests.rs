use super::*;

const INFO: BlobInfo = BlobInfo {
    bytes: MAX_BLOB_BYTES,
    kind: 0xab,
    records: 7,
    live: 9,
    further_references: 0x03_02_01,
};

fn entry(start: u32, bytes: u32) -> MapEntry {
    MapEntry::new(start, BlobInfo { bytes, ..INFO }, 42).unwrap()
}

#[test]
fn an_entry_keeps_what_it_was_given() {
    let entry = MapEntry::new(5, INFO, 42).unwrap();
    assert_eq!(entry.info(), INFO);
    assert_eq!(entry.extent(), Extent::new(5, 4096).unwrap());
    assert_eq!(entry.digest(), 42);
}

#[test]
fn the_layout_is_what_the_module_says() {
    let bytes = MapEntry::new(5, INFO, 42).unwrap().encode(3);
    assert_eq!(bytes[0..4], 3_u32.to_le_bytes());
    assert_eq!(bytes[4..8], 5_u32.to_le_bytes());
    assert_eq!(bytes[8..12], MAX_BLOB_BYTES.to_le_bytes());
    assert_eq!(bytes[12..16], 7_u32.to_le_bytes());
    assert_eq!(bytes[16..20], 9_u32.to_le_bytes());
    assert_eq!(bytes[20..24], [0xab, 1, 2, 3]);
    assert_eq!(bytes[24..32], 42_u64.to_le_bytes());
    assert_eq!(MapEntry::decode(bytes), Some((3, MapEntry::new(5, INFO, 42).unwrap())));
}

#[test]
fn what_is_no_entry_is_refused() {
    assert_eq!(MapEntry::new(0, INFO, 0), None);
    assert_eq!(MapEntry::new(1, BlobInfo { bytes: 0, ..INFO }, 0), None);
    assert_eq!(
        MapEntry::new(
            1,
            BlobInfo {
                bytes: MAX_BLOB_BYTES + 1,
                ..INFO
            },
            0
        ),
        None
    );
    assert_eq!(MapEntry::new(u32::MAX - 10, INFO, 0), None);
    let good = entry(1, 1).encode(1);
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = good;
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        MapEntry::decode(damaged)
    };
    assert_eq!(with(0, &MAX_BLOBS.to_le_bytes()), None);
    assert_eq!(with(4, &[0; 4]), None);
    assert_eq!(with(8, &[0; 4]), None);
}

#[test]
fn entries_come_and_go_by_id() {
    let mut map = SlotMap::default();
    let ids = [0, 1, 1023, 1024, 5000, MAX_BLOBS - 1];
    for &id in &ids {
        assert_eq!(map.insert(id, entry(id + 1, 10)), None);
    }
    assert_eq!(map.insert(1024, entry(3, 20)), Some(entry(1025, 10)));
    assert_eq!((map.blobs(), map.blob_bytes()), (6, 70));
    assert_eq!(map.get(1024), Some(entry(3, 20)));
    assert_eq!(map.get(2), None);
    assert_eq!(map.get(u32::MAX), None);
    assert_eq!(map.iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
    assert_eq!(map.remove(1024), Some(entry(3, 20)));
    assert_eq!(map.remove(1024), None);
    assert_eq!(map.remove(u32::MAX), None);
    assert_eq!((map.blobs(), map.blob_bytes()), (5, 50));
}
