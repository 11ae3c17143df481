use super::*;

#[test]
fn handle_finds_its_value_until_removed() {
    let mut table = HandleTable::new();
    let first = table.insert("first").unwrap();
    let second = table.insert("second").unwrap();
    assert_eq!(table.get(first), Some(&"first"));
    assert_eq!(table.remove(first), Some("first"));
    assert_eq!(table.get(first), None);
    assert_eq!(table.remove(first), None);
    assert_eq!(table.get(second), Some(&"second"));
}

#[test]
fn reused_slot_does_not_answer_to_its_old_handle() {
    let mut table = HandleTable::new();
    let old = table.insert(1).unwrap();
    table.remove(old);
    let new = table.insert(2).unwrap();
    assert_ne!(old, new);
    assert_eq!(table.get(old), None);
    assert_eq!(table.get(new), Some(&2));
}

#[test]
fn slot_out_of_generations_is_retired() {
    let mut table = HandleTable::new();
    let mut last = table.insert(0).unwrap();
    for round in 0..LAST_GENERATION {
        table.remove(last);
        last = table.insert(round).unwrap();
    }
    assert_eq!(generation_of(last), LAST_GENERATION);
    table.remove(last);
    assert_eq!(index_of(table.insert(7).unwrap()), 1);
    assert_eq!(table.get(last), None);
}

#[test]
fn full_table_gives_the_value_back() {
    let mut table = HandleTable::new();
    for value in 0..MAX_SLOTS {
        table.insert(value).unwrap();
    }
    assert_eq!(table.insert(9), Err(9));
}

#[test]
fn unknown_handles_find_nothing() {
    let table = HandleTable::<u8>::new();
    assert_eq!(table.get(0), None);
    assert_eq!(table.get(u32::MAX), None);
}

#[test]
fn draining_empties_the_table() {
    let mut table = HandleTable::new();
    let kept = table.insert(1).unwrap();
    let gone = table.insert(2).unwrap();
    table.remove(gone);
    assert_eq!(table.drain(), vec![1]);
    assert_eq!(table.get(kept), None);
}

#[test]
fn values_are_taken_out_by_what_they_are() {
    let mut table = HandleTable::new();
    let handles: Vec<u32> = (0..6).map(|value| table.insert(value).unwrap()).collect();
    table.remove(handles[1]);
    table.remove_where(|value| value % 2 == 1);
    let left: Vec<_> = handles.iter().map(|handle| table.get(*handle).copied()).collect();
    assert_eq!(left, [Some(0), None, Some(2), None, Some(4), None]);
    assert_eq!(table.insert(9).map(|handle| table.get(handle).copied()), Ok(Some(9)));
}
