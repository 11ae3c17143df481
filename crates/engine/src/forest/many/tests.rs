#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ops::ControlFlow;

use proptest::{collection::vec, prelude::*};

use super::GROUP;
use crate::{
    forest::tests::{Model, apply, key, planted, step},
    testing::cases,
};

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn many_keys_are_found_as_one_is(
        steps in vec(step(), 1..700),
        probes in vec(key(), 0..60),
        frame in prop_oneof![Just(2048usize), Just(4096)],
    ) {
        let (mut forest, mut model) = (planted(frame), Model::new());
        for (index, step) in steps.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, step);
        }
        let keys: Vec<&[u8]> = probes.iter().chain(model.keys()).map(Vec::as_slice).collect();
        for keys in keys.chunks(GROUP) {
            let mut found = Vec::new();
            let ended = forest.find_group(keys, &mut |_, stored| {
                found.push(stored.map(|stored| stored.version));
                Ok(ControlFlow::Continue(()))
            });
            prop_assert!(ended.unwrap().is_continue());
            let expected: Vec<_> = keys.iter().map(|key| model.get(*key).map(|entry| entry.0)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_longest_stored_prefix_is_found(
        steps in vec(step(), 1..700),
        probes in vec(key(), 0..60),
        frame in prop_oneof![Just(2048usize), Just(4096)],
    ) {
        let (mut forest, mut model) = (planted(frame), Model::new());
        for (index, step) in steps.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, step);
        }
        let longer = model.keys().flat_map(|key| [key.clone(), [key, &b"/0"[..]].concat(), [key, &b"\xFF"[..]].concat()]);
        for probe in probes.into_iter().chain(longer) {
            let expected = (0..=probe.len())
                .rev()
                .find_map(|len| Some((len, model.get(&probe[..len])?.0)));
            let found = forest.longest_prefix(&probe).unwrap();
            prop_assert_eq!(found.map(|(len, stored)| (len, stored.version)), expected, "{:?}", probe);
        }
    }
}

#[test]
fn a_group_that_breaks_is_told_no_more() {
    let forest = planted(2048);
    let mut told = 0;
    let ended = forest.find_group(&[b"a", b"b", b"c"], &mut |_, _| {
        told += 1;
        Ok(if told == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    });
    assert!(ended.unwrap().is_break());
    assert_eq!(told, 2);
}
