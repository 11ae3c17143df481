//! Segment headers: every field kept, every flip noticed, every stranger refused.

use super::*;

const HEADER: Header = Header {
    database_id: 0x1111_2222_3333_4444_5555_6666_7777_8888,
    number: 9,
    salt: 0xdead_beef_0bad_cafe,
};

const OPENING: Opening = Opening {
    first_sequence: 1234,
    predecessor: 7,
    predecessor_end: 4096,
    predecessor_digest: 0x1234_5678_9abc_def0,
    durable_upto: 1200,
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
    assert_eq!(bytes[120..], key.0.to_le_bytes());
    let opening = OPENING.encode(key);
    assert_eq!(opening[..8], OPENING.first_sequence.to_le_bytes());
    assert_eq!(opening[8..16], OPENING.predecessor.to_le_bytes());
    assert_eq!(opening[16..24], OPENING.predecessor_end.to_le_bytes());
    assert_eq!(opening[24..32], OPENING.predecessor_digest.to_le_bytes());
    assert_eq!(opening[32..40], OPENING.durable_upto.to_le_bytes());
    assert_eq!(opening[56..], xxh3_64_with_seed(&opening[..56], key.0).to_le_bytes());
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
    for at in [8, 12, 48, 119] {
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
    for number in [0, u64::MAX] {
        let bytes = resealed(|bytes| bytes[32..40].copy_from_slice(&number.to_le_bytes()));
        let decoded = Header::decode(&bytes, number, HEADER.database_id);
        assert!(matches!(decoded, Err(Error::Corrupt { .. })), "{number}");
    }
    let key = SegmentKey(5);
    for first_sequence in [0, u64::MAX] {
        let opening = Opening {
            first_sequence,
            durable_upto: 0,
            ..OPENING
        };
        assert_eq!(Opening::decode(&opening.encode(key), key, 9), None, "{first_sequence}");
    }
}

#[test]
fn an_opening_comes_back_as_it_was_in_its_own_segment_only() {
    let bytes = OPENING.encode(SegmentKey(5));
    assert_eq!(Opening::decode(&bytes, SegmentKey(5), 9), Some(OPENING));
    assert_eq!(Opening::decode(&bytes, SegmentKey(6), 9), None);
    assert_eq!(
        Opening::decode(&bytes, SegmentKey(5), 7),
        None,
        "a segment before the one it follows"
    );
    assert_eq!(Opening::decode(&[0; OPENING_BYTES], SegmentKey(5), 9), None);
}

#[test]
fn every_flipped_bit_of_an_opening_is_noticed() {
    let bytes = OPENING.encode(SegmentKey(5));
    for bit in 0..OPENING_BYTES * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Opening::decode(&flipped, SegmentKey(5), 9), None, "bit {bit}");
    }
}

#[test]
fn an_opening_that_claims_what_comes_after_it_is_none() {
    let opening = Opening {
        durable_upto: OPENING.first_sequence,
        ..OPENING
    };
    assert_eq!(Opening::decode(&opening.encode(SegmentKey(5)), SegmentKey(5), 9), None);
}
