use super::*;

#[test]
fn a_byte_is_found_in_its_lowest_lane_only() {
    let word = u64::from_le_bytes([0, 1, 0xFF, 0x80, 0x7F, 1, 0, 0]);
    assert_eq!(find_byte(word, 0), 0);
    assert_eq!(find_byte(word, 1), 1);
    assert_eq!(find_byte(word, 0xFF), 2);
    assert_eq!(find_byte(word, 0x80), 3);
    assert_eq!(find_byte(word, 2), 8);
}

#[test]
fn sixteen_bytes_are_searched_alike_with_and_without_vectors() {
    let mut random = crate::testing::Random(7);
    for _ in 0..20_000 {
        // Few different bytes, so that most are found, some more than once.
        let mut bytes = [0; 16];
        bytes.fill_with(|| [0, 0xFF, 0x80, 0x7F, 1, b'/'][random.below(6)]);
        let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        for byte in [0, 0xFF, 0x80, 0x7F, 1, b'/', 2] {
            let expected = bytes.iter().position(|other| *other == byte);
            let found = |lane: usize| (lane < 16).then_some(lane);
            assert_eq!(found(find_among_16(word(0), word(8), byte)), expected);
            assert_eq!(found(find_among_16_portably(word(0), word(8), byte)), expected);
        }
    }
}
