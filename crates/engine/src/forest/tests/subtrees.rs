//! Subtrees moved, cloned and deleted, against an ordered map: prefixes that end in nodes, in keys, in frames and between them.

use super::*;
use crate::forest::GRAVE_BYTE;

/// Clones double what there is.
const MOST_KEYS: usize = 2000;

/// Where a prefix comes from.
#[derive(Clone, Debug)]
enum Pick {
    /// A part of some key: so many bytes of it, modulo its length and one.
    Cut(usize, usize),
    /// A part of some key, and then these bytes.
    Beside(usize, usize, Vec<u8>),
    /// These bytes.
    Any(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Change {
    Key(Step),
    Move(Pick, Pick),
    Clone(Pick, Pick),
    /// To below itself.
    CloneInto(Pick, Vec<u8>),
    Delete(Pick),
    /// Taken out and hung in again at the same place.
    Undo(Pick),
    Bury(usize),
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        5 => any::<(usize, usize)>().prop_map(|(nth, len)| Pick::Cut(nth, len)),
        2 => (any::<(usize, usize)>(), vec(any::<u8>(), 1..4)).prop_map(|((nth, len), more)| Pick::Beside(nth, len, more)),
        3 => key().prop_map(Pick::Any),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        40 => step().prop_map(Change::Key),
        4 => (pick(), pick()).prop_map(|(from, to)| Change::Move(from, to)),
        4 => (pick(), pick()).prop_map(|(from, to)| Change::Clone(from, to)),
        1 => (pick(), key()).prop_map(|(from, to)| Change::CloneInto(from, to)),
        1 => pick().prop_map(Change::Delete),
        2 => pick().prop_map(Change::Undo),
        1 => (0usize..4).prop_map(Change::Bury),
    ]
}

/// Keys have a tree's number in front, as all have; so prefixes have too.
fn in_tree(key: &[u8]) -> Vec<u8> {
    [b"\0\0\0\x01", key].concat()
}

fn resolve(model: &Model, pick: &Pick) -> Vec<u8> {
    let cut = |nth: usize, len: usize| {
        let key = model.keys().nth(nth % model.len().max(1));
        key.map_or(Vec::new(), |key| key[4..][..len % (key.len() - 3)].to_vec())
    };
    in_tree(&match pick {
        Pick::Cut(nth, len) => cut(*nth, *len),
        Pick::Beside(nth, len, more) => [cut(*nth, *len), more.clone()].concat(),
        Pick::Any(key) => key.clone(),
    })
}

fn take(model: &mut Model, prefix: &[u8]) -> Model {
    let keys: Vec<Vec<u8>> = (model.range(prefix.to_vec()..))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, _)| key.clone())
        .collect();
    let taken = keys.into_iter().map(|key| {
        let record = model.remove(&key).unwrap();
        (key[prefix.len()..].to_vec(), record)
    });
    taken.collect()
}

/// What a move checks before it is made, and the move.
fn move_prefix(forest: &mut Forest<'_>, model: &mut Model, from: &[u8], to: &[u8]) {
    assert_eq!(forest.is_empty(to).unwrap(), count_of(model, to) == 0, "{to:?}");
    if from.starts_with(to) || to.starts_with(from) || count_of(model, to) > 0 {
        return;
    }
    let longest = (model.range(from.to_vec()..))
        .take_while(|(key, _)| key.starts_with(from))
        .map(|(key, _)| key.len() - from.len())
        .max();
    let most = forest.max_full_key_bytes() - to.len();
    for bytes in [most, longest.unwrap_or(0), longest.unwrap_or(0).saturating_sub(1)] {
        let longer = longest.is_some_and(|longest| longest > bytes);
        assert_eq!(
            forest.has_longer(from, bytes).unwrap(),
            longer,
            "more than {bytes} behind {from:?}"
        );
    }
    if longest.is_some_and(|longest| longest > most) {
        return;
    }
    let subtree = forest.detach(from).unwrap();
    assert_eq!(subtree.is_some(), longest.is_some(), "{from:?}");
    if let Some(subtree) = subtree {
        forest.attach(to, &subtree).unwrap();
    }
    for (suffix, record) in take(model, from) {
        model.insert([to, &suffix[..]].concat(), record);
    }
}

/// What a clone checks before it is made, and the clone; not of so many keys that the test takes long.
fn clone_prefix(forest: &mut Forest<'_>, model: &mut Model, from: &[u8], to: &[u8]) {
    let longest = (model.range(from.to_vec()..))
        .take_while(|(key, _)| key.starts_with(from))
        .map(|(key, _)| key.len() - from.len())
        .max();
    let fits = longest.is_none_or(|longest| to.len() + longest <= forest.max_full_key_bytes());
    if count_of(model, to) > 0 || !fits || model.len() + count_of(model, from) as usize > MOST_KEYS {
        return;
    }
    forest.clone_subtree(from, to).unwrap();
    let keys: Vec<Vec<u8>> = (model.range(from.to_vec()..))
        .take_while(|(key, _)| key.starts_with(from))
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        let record = model[&key].clone();
        model.insert([to, &key[from.len()..]].concat(), record);
    }
}

fn delete_prefix(forest: &mut Forest<'_>, model: &mut Model, prefix: &[u8]) {
    let subtree = forest.detach(prefix).unwrap();
    assert_eq!(subtree.is_some(), !take(model, prefix).is_empty());
    if let Some(subtree) = subtree {
        forest.inter(&subtree, 7).unwrap();
    }
}

fn bury_all(forest: &mut Forest<'_>) {
    while forest.has_graves().unwrap() {
        assert!(forest.bury().unwrap());
    }
    assert!(!forest.bury().unwrap());
}

/// As [`assert_same`], with whatever waits in graves set aside.
fn assert_living_same(forest: &mut Forest<'_>, model: &Model) {
    forest.assert_valid();
    let buried = forest.count(&[GRAVE_BYTE]).unwrap();
    assert_eq!(forest.count(&[]).unwrap() - buried, model.len() as u64);
    assert_counts(forest, model);
    let mut cursor = Cursor::new(forest, all_from(&[]), None).unwrap();
    for (key, (version, value)) in model {
        let Some(Event::Record(stored)) = cursor.next().unwrap() else {
            panic!("{key:?} is missing from the walk")
        };
        assert_eq!((cursor.key(), stored.version), (&key[..], *version));
        let found = forest.get(key).unwrap().unwrap_or_else(|| panic!("{key:?} is lost"));
        assert_eq!((found.version, found.value), (*version, &value[..]), "{key:?}");
    }
    let next = cursor.next().unwrap().map(|_| cursor.key()[0]);
    assert_eq!(next, (buried > 0).then_some(GRAVE_BYTE), "a key too many");
}

fn run(frame_bytes: usize, changes: Vec<Change>) {
    let (mut forest, mut model) = (planted(frame_bytes), Model::new());
    for (index, change) in changes.into_iter().enumerate() {
        let version = index as u64 + 1;
        let checked = !matches!(change, Change::Key(_));
        match change {
            Change::Key(Step::Put(key, len)) => {
                apply(&mut forest, &mut model, version, Step::Put(in_tree(&key), len));
            }
            Change::Key(Step::Remove(key)) => apply(&mut forest, &mut model, version, Step::Remove(in_tree(&key))),
            Change::Key(step) => apply(&mut forest, &mut model, version, step),
            Change::Move(from, to) => {
                let (from, to) = (resolve(&model, &from), resolve(&model, &to));
                move_prefix(&mut forest, &mut model, &from, &to);
            }
            Change::Clone(from, to) => {
                let (from, to) = (resolve(&model, &from), resolve(&model, &to));
                clone_prefix(&mut forest, &mut model, &from, &to);
            }
            Change::CloneInto(from, to) => {
                let from = resolve(&model, &from);
                let to = [&from, &to[..]].concat();
                clone_prefix(&mut forest, &mut model, &from, &to);
            }
            Change::Delete(prefix) => {
                let prefix = resolve(&model, &prefix);
                delete_prefix(&mut forest, &mut model, &prefix);
            }
            Change::Undo(prefix) => {
                let prefix = resolve(&model, &prefix);
                if let Some(subtree) = forest.detach(&prefix).unwrap() {
                    assert!(forest.is_empty(&prefix).unwrap());
                    forest.attach(&prefix, &subtree).unwrap();
                }
            }
            Change::Bury(steps) => {
                for _ in 0..steps {
                    let more = forest.has_graves().unwrap();
                    assert_eq!(forest.bury().unwrap(), more);
                }
            }
        }
        if checked {
            assert_living_same(&mut forest, &model);
        }
    }
    bury_all(&mut forest);
    assert_same(&mut forest, &model);
    delete_prefix(&mut forest, &mut model, &in_tree(b""));
    bury_all(&mut forest);
    assert_eq!(forest.table.census().blobs, 1, "frames or values are left over");
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn moves_clones_and_deletes_agree_with_an_ordered_map(
        changes in vec(change(), 1..600),
        frame in prop_oneof![3 => Just(2048usize), 1 => Just(4096)],
    ) {
        run(frame, changes);
    }
}
