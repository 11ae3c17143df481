use super::*;

const FRAME: usize = 4096;

#[test]
fn too_little_is_refused_with_the_minimum() {
    let least = (64 * FRAME) as u64;
    assert!(Budget::new(least, FRAME).is_ok());
    let refused = Budget::new(least - 1, FRAME).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    assert!(refused.message().contains(&least.to_string()), "{}", refused.message());
    assert!(refused.message().contains("memory"), "{}", refused.message());
}

#[test]
fn limits_leave_room_for_one_another() {
    for total in [64 * FRAME, 100 * FRAME, 1000 * FRAME, 1 << 30, 64 << 30] {
        let limits = Limits::of(total, FRAME);
        assert!(limits.reserve >= 24 * FRAME);
        assert!(limits.reads + limits.reserve <= limits.total);
        assert!(limits.evict_above + 8 * FRAME <= limits.reads);
        // What cannot be evicted leaves reads some frames, and the longest value has its turn.
        assert!(limits.unsettled + 8 * FRAME <= limits.evict_above);
        assert!(limits.value < limits.unsettled);
        assert!(limits.checkpoint < limits.full && limits.full < limits.unsettled);
        // Writers go on beside as much as may be held.
        assert!(limits.held + limits.checkpoint < limits.unsettled);
    }
}

#[test]
fn what_does_not_fit_is_not_counted() {
    let budget = Budget::new(64 * FRAME as u64, FRAME).unwrap();
    let held = budget.charge_within(10, 20).unwrap();
    assert!(budget.charge_within(11, 20).is_none());
    let more = held.another();
    assert_eq!(budget.used(), 20);
    drop((held, more));
    assert_eq!(budget.used(), 0);
}

#[test]
fn who_waits_goes_on_when_a_cut_lets_go() {
    let budget = Budget::new(64 * FRAME as u64, FRAME).unwrap();
    let held = budget.hold_cut(budget.limits().unsettled);
    assert!(!budget.wait_until_settled(0, Duration::from_millis(1)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| budget.wait_until_settled(0, Duration::from_secs(60)));
        drop(held);
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn without_a_bound_nothing_waits() {
    let budget = Budget::unbounded();
    let _held = (budget.charge(1 << 40), budget.hold_cut(1 << 40));
    budget.note_changed(u32::MAX);
    assert!(budget.has_room(1 << 40) && !budget.is_clogged(0) && !budget.wants_checkpoint());
    assert_eq!(budget.total(), None);
}
