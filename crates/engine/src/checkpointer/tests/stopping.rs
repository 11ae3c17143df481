use super::*;

#[test]
fn a_stop_finishes_what_is_queued() {
    let rig = Rig::new(Settings {
        window: Duration::from_secs(60),
        group_epochs: 3,
        ..SETTINGS
    });
    rig.target.close_gate();
    let tickets: Vec<Ticket> = (1..=4).map(|version| rig.plan(version, &[(1, 1)], &[])).collect();
    rig.target.wait_for_commits(1);
    thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.checkpointer.stop());
        thread::sleep(Duration::from_millis(20));
        assert!(!stopping.is_finished(), "a stop waits for the disk");
        rig.target.open_gate();
        stopping.join().unwrap();
    });
    assert!(tickets.iter().all(|ticket| matches!(ticket.outcome(), Some(Ok(_)))));
    assert_eq!(
        rig.commits().len(),
        2,
        "without waiting for neighbours that cannot come"
    );
}

#[test]
fn nothing_is_planned_after_a_stop() {
    let rig = Rig::new(SETTINGS);
    rig.checkpointer.stop();
    rig.checkpointer.stop();
    let refused = rig.try_plan(WhenFull::Wait, || panic!("no cut is taken"));
    assert_eq!(refused.err().unwrap().code(), ErrorCode::Closed);
}

#[test]
fn a_planner_that_waits_for_room_is_let_go_by_a_stop() {
    let rig = Rig::new(Settings {
        queue_depth: 1,
        ..SETTINGS
    });
    rig.target.close_gate();
    let first = rig.plan(1, &[], &[]);
    rig.target.wait_for_commits(1);
    let second = rig.plan(2, &[], &[]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.try_plan(WhenFull::Wait, || epoch(3, &[], &[])).map(|_| ()));
        thread::sleep(Duration::from_millis(20));
        let stopping = scope.spawn(|| rig.checkpointer.stop());
        assert_eq!(waiting.join().unwrap().unwrap_err().code(), ErrorCode::Closed);
        rig.target.open_gate();
        stopping.join().unwrap();
    });
    assert_eq!(codes(&[first, second]), [None, None]);
}

#[test]
fn dropping_it_stops_it() {
    let rig = Rig::new(SETTINGS);
    let ticket = rig.plan(1, &[(1, 1)], &[]);
    drop(rig.checkpointer);
    assert!(ticket.outcome().is_some());
}
