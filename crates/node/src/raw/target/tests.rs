use super::*;

#[test]
fn target_refuses_what_does_not_fit() {
    let mut memory = [0_u8; 8];
    let target = Target {
        data: memory.as_mut_ptr(),
        length: memory.len(),
        scope: PhantomData,
    };
    assert!(target.write(6, b"ab"));
    assert!(!target.write(7, b"ab"));
    assert!(!target.write(9, b""));
    assert!(!target.write(usize::MAX, b"a"));
    assert!(target.write(8, b""));
    assert_eq!(&memory, b"\0\0\0\0\0\0ab");
}
