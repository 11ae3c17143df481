#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ops::ControlFlow;

use proptest::{collection::vec, prelude::*};

use super::{Cursor, Event, Span, successor};
use crate::{
    forest::tests::{Model, apply, key, planted, step},
    testing::cases,
};

/// The keys of a span as stepping tells them, and as visiting does.
fn walks(forest: &crate::forest::Forest<'_>, span: Span<'_>) -> [Vec<(Vec<u8>, u64)>; 2] {
    let (mut stepped, mut visited) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::new(forest, span, None).unwrap();
    while let Some(event) = cursor.next().unwrap() {
        let Event::Record(stored) = event else {
            panic!("a group without a rollup")
        };
        stepped.push((cursor.key().to_vec(), stored.version));
    }
    assert!(cursor.next().unwrap().is_none(), "a walk goes on behind its end");
    let mut cursor = Cursor::new(forest, span, None).unwrap();
    let exhausted = cursor.for_each(0, |key, stored| {
        visited.push((key.to_vec(), stored.version));
        ControlFlow::Continue(())
    });
    assert!(exhausted.unwrap());
    [stepped, visited]
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn spans_are_walked_both_ways(
        steps in vec(step(), 1..700),
        ends in vec((key(), prop::option::of(key())), 1..40),
        frame in prop_oneof![Just(2048usize), Just(4096)],
    ) {
        let (mut forest, mut model) = (planted(frame), Model::new());
        for (index, step) in steps.into_iter().enumerate() {
            apply(&mut forest, &mut model, index as u64 + 1, step);
        }
        let stored: Vec<Vec<u8>> = model.keys().cloned().collect();
        let at_keys = stored.iter().step_by(7).map(|key| (key.clone(), successor(&key[..key.len() / 2])));
        let up_to_keys = stored.iter().step_by(5).map(|key| (Vec::new(), Some(key.clone())));
        let whole = [(Vec::new(), None), (vec![b'x'; 100], Some(vec![b'x'; 150]))];
        for (from, to) in ends.into_iter().chain(at_keys).chain(up_to_keys).chain(whole) {
            let mut expected: Vec<(Vec<u8>, u64)> = model
                .range(from.clone()..)
                .take_while(|(key, _)| to.as_ref().is_none_or(|to| *key < to))
                .map(|(key, (version, _))| (key.clone(), *version))
                .collect();
            for reverse in [false, true] {
                let span = Span { from: &from, to: to.as_deref(), reverse };
                for found in walks(&forest, span) {
                    prop_assert_eq!(&found, &expected, "{:?}", span);
                }
                expected.reverse();
            }
        }
    }
}

#[test]
fn a_visit_that_breaks_ends_with_the_record_it_broke_at() {
    let (mut forest, mut model) = (planted(2048), Model::new());
    for number in 0..200u64 {
        let key = format!("dir/{number:03}").into_bytes();
        apply(
            &mut forest,
            &mut model,
            number + 1,
            crate::forest::tests::Step::Put(key, 20),
        );
    }
    let span = Span {
        from: b"dir/050",
        to: Some(b"dir/150"),
        reverse: true,
    };
    let expected: Vec<String> = (50..150).rev().map(|number| format!("{number:03}")).collect();
    for most in [1, 7, 99, 100, 101] {
        let mut seen = Vec::new();
        let exhausted = Cursor::new(&forest, span, None).unwrap().for_each(4, |key, _| {
            seen.push(String::from_utf8(key.to_vec()).unwrap());
            if seen.len() == most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(exhausted.unwrap(), most > expected.len());
        assert_eq!(seen, expected[..most.min(expected.len())]);
    }
}

#[test]
fn a_successor_is_above_all_that_start_with_the_prefix() {
    assert_eq!(successor(b"a"), Some(b"b".to_vec()));
    assert_eq!(successor(b"a\xFF\xFF"), Some(b"b".to_vec()));
    assert_eq!(successor(b"\xFF"), None);
    assert_eq!(successor(b""), None);
}
