use proptest::{collection::vec, prelude::*};

use super::*;
use crate::MAX_FURTHER_REFERENCES;

#[derive(Clone, Debug)]
enum Step {
    Commit(Change),
    Trim,
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    let len = prop_oneof![3 => Just(FRAME as usize), 3 => 1..9000_usize, 1 => 1..200_000_usize];
    let write = (0..24_u32, len, any::<u64>());
    let recounts = vec((0..30_u32, 0..=MAX_FURTHER_REFERENCES), 0..5);
    (vec(write, 0..8), recounts, vec(0..30_u32, 0..5)).prop_map(|(writes, recounts, deletes)| {
        let mut seen = std::collections::BTreeSet::new();
        let mut change = Change::default();
        for (id, len, seed) in writes {
            if seen.insert(id) {
                change = change.write(id, image(seed, len));
            }
        }
        for (id, further_references) in recounts {
            if seen.insert(id) {
                change = change.recount(id, further_references);
            }
        }
        for id in deletes {
            if seen.insert(id) {
                change = change.delete(id);
            }
        }
        change
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => change().prop_map(Step::Commit),
        1 => Just(Step::Trim),
        2 => Just(Step::Reopen),
    ];
    vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_store_is_a_map_of_blobs(steps in steps()) {
        let (disk, mut store) = new_store();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Commit(change) => {
                    commit(&store, &mut model, &change);
                }
                Step::Trim => {
                    store.trim().unwrap();
                }
                Step::Reopen => {
                    let before = store.stats();
                    drop(store);
                    store = Store::open(disk.handle(), IoUring::Auto).unwrap();
                    prop_assert_eq!(store.stats(), before);
                }
            }
            prop_assert_eq!(contents(&store), model.clone());
        }
    }
}
