use super::*;

const HEADER: Header = Header {
    database_id: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
    frame_bytes: 65536,
    generation: 9,
};

#[test]
fn a_header_comes_back() {
    let bytes = HEADER.encode(FileKind::MapLog);
    assert_eq!(Header::decode(&bytes, FileKind::MapLog, "m").unwrap(), HEADER);
}

#[test]
fn the_layout_is_what_the_module_says() {
    let bytes = HEADER.encode(FileKind::Blobs);
    assert_eq!(&bytes[0..8], b"CopBlobs");
    assert_eq!(bytes[8..12], 1_u32.to_le_bytes());
    assert_eq!(bytes[12..16], 65536_u32.to_le_bytes());
    assert_eq!(bytes[16..32], HEADER.database_id.to_le_bytes());
    assert_eq!(bytes[32..40], 9_u64.to_le_bytes());
    assert_eq!(bytes[40..44], 4096_u32.to_le_bytes());
    assert_eq!(bytes[44..56], [0; 12]);
    assert_eq!(bytes[56..64], Header::digest_of(&bytes).to_le_bytes());
}

#[test]
fn every_flipped_bit_is_seen() {
    let bytes = HEADER.encode(FileKind::Superblock);
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = Header::decode(&damaged, FileKind::Superblock, "s").unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let bytes = HEADER.encode(FileKind::Superblock);
    assert!(matches!(
        Header::decode(&bytes, FileKind::Blobs, "b"),
        Err(StoreError::Corrupt { .. })
    ));
}

#[test]
fn a_newer_format_is_incompatible_and_not_damaged() {
    let mut bytes = HEADER.encode(FileKind::Superblock);
    bytes[8] = 2;
    let digest = digest(&bytes, *b"CopSuper");
    bytes[56..64].copy_from_slice(&digest.to_le_bytes());
    assert!(matches!(
        Header::decode(&bytes, FileKind::Superblock, "s"),
        Err(StoreError::Incompatible { .. })
    ));
}
