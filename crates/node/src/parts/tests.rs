use super::*;

fn encoded(parts: &[&[u16]]) -> Option<(Vec<u32>, Vec<u8>)> {
    let mut words: Vec<u32> = parts.iter().map(|part| part.len() as u32).collect();
    let mut text = vec![1, 2, 3];
    encode(&parts.concat(), &mut words, &mut text).ok()?;
    Some((words, text))
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

#[test]
fn text_is_told_in_bytes() {
    let (ascii, wide, high) = (units("a/b\0"), units("é日"), units("\u{1F333}"));
    assert_eq!(
        encoded(&[&ascii, &[], &ascii]),
        Some((vec![4, 0, 4], b"a/b\0a/b\0".to_vec()))
    );
    let text = "a/b\0é日\u{1F333}".as_bytes().to_vec();
    assert_eq!(encoded(&[&ascii, &wide, &[], &high]), Some((vec![4, 5, 0, 4], text)));
}

#[test]
fn bytes_are_passed_over() {
    let mut words = [3 | BYTES_BIT, 1, BYTES_BIT];
    let mut text = Vec::new();
    assert!(encode(&units("é"), &mut words, &mut text).is_ok());
    assert_eq!(words, [3 | BYTES_BIT, 2, BYTES_BIT]);
    let parts = Parts {
        text: &text,
        bytes: b"xyz",
        words: words.iter(),
    };
    assert_eq!(parts.collect::<Vec<_>>(), [b"xyz", "é".as_bytes(), b""]);
}

/// The halves of a pair in two keys beside one another make no character.
#[test]
fn surrogate_of_each_part_alone_is_doubtful() {
    assert_eq!(encoded(&[&[0xD83C], &[0xDF33]]), None);
    assert_eq!(encoded(&[&units("a"), &[0xDC00]]), None);
    assert!(encoded(&[&[0xD83C, 0xDF33]]).is_some());
}
