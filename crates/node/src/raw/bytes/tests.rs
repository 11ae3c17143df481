use super::*;

#[test]
fn replacement_character_is_noticed() {
    assert!(may_hide_lone_surrogate("a\u{FFFD}".as_bytes()));
    assert!(!may_hide_lone_surrogate("a\u{FFFC}\u{FFFE}".as_bytes()));
    assert!(!may_hide_lone_surrogate(&[0xEF, 0xBF]));
}
