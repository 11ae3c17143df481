//! Segment headers: every field kept, every flip noticed, every stranger refused.

use super::*;

const HEADER: Header = Header {
    database_id: 0x1111_2222_3333_4444_5555_6666_7777_8888,
    number: 9,
    salt: 0xdead_beef_0bad_cafe,
    first_sequence: 1234,
    predecessor_end: 4096,
    predecessor_chain: 0x1234_5678_9abc_def0,
};

fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Header, SegmentKey), Error> {
    Header::decode(bytes, HEADER.number, HEADER.database_id)
}

fn resealed(change: impl FnOnce(&mut [u8; HEADER_BYTES])) -> [u8; HEADER_BYTES] {
    let (mut bytes, _) = HEADER.encode();
    change(&mut bytes);
    let digest = xxh3_64(&bytes[..DIGEST_OFFSET]);
    bytes[DIGEST_OFFSET..].copy_from_slice(&digest.to_le_bytes());
    bytes
}

#[test]
fn a_header_comes_back_as_it_was() {
    let (bytes, key) = HEADER.encode();
    assert_eq!(decode(&bytes).unwrap(), (HEADER, key));
}

#[test]
fn fields_stand_where_the_documentation_says() {
    let (bytes, key) = HEADER.encode();
    assert_eq!(&bytes[..8], b"CPJOURN\n");
    assert_eq!(bytes[8..12], 1_u32.to_le_bytes());
    assert_eq!(bytes[16..32], HEADER.database_id.to_le_bytes());
    assert_eq!(bytes[32..40], HEADER.number.to_le_bytes());
    assert_eq!(bytes[40..48], HEADER.salt.to_le_bytes());
    assert_eq!(bytes[48..56], HEADER.first_sequence.to_le_bytes());
    assert_eq!(bytes[56..64], HEADER.predecessor_end.to_le_bytes());
    assert_eq!(bytes[64..72], HEADER.predecessor_chain.to_le_bytes());
    assert_eq!(bytes[120..], key.0.to_le_bytes());
}

#[test]
fn every_flipped_bit_is_corruption() {
    let (bytes, _) = HEADER.encode();
    for bit in 0..HEADER_BYTES * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(decode(&flipped), Err(Error::Corrupt { .. })), "bit {bit}");
    }
}

#[test]
fn a_newer_version_is_not_corruption() {
    for at in [8, 12, 72, 119] {
        let error = decode(&resealed(|bytes| bytes[at] = 2)).unwrap_err();
        assert!(matches!(error, Error::Incompatible { .. }), "{at}: {error}");
    }
}

#[test]
fn strangers_are_named() {
    let (bytes, _) = HEADER.encode();
    let foreign = Header::decode(&bytes, HEADER.number, 1).unwrap_err();
    assert!(
        foreign.to_string().contains("journal-0000000000000009.log"),
        "{foreign}"
    );
    assert!(foreign.to_string().contains("another database"), "{foreign}");
    let swapped = Header::decode(&bytes, 10, HEADER.database_id).unwrap_err();
    assert!(swapped.to_string().contains("segment 9"), "{swapped}");
    let other = Header::decode(&[0; HEADER_BYTES], 9, HEADER.database_id).unwrap_err();
    assert!(other.to_string().contains("no journal segment"), "{other}");
}

#[test]
fn numbers_that_could_overflow_are_refused() {
    for first_sequence in [0, u64::MAX] {
        let bytes = resealed(|bytes| bytes[48..56].copy_from_slice(&first_sequence.to_le_bytes()));
        assert!(matches!(decode(&bytes), Err(Error::Corrupt { .. })), "{first_sequence}");
    }
}
