use super::*;

#[test]
fn a_round_goes_in_order_and_says_what_it_did() {
    let rig = Rig::new(SETTINGS);
    let report = rig.plan(7, &[(1, 10), (2, 20)], &[5, 6]).wait().unwrap();
    assert_eq!(
        rig.target.calls(),
        [
            Call::Commit(7, vec![(1, 10), (2, 20)], vec![5, 6]),
            Call::Free(5),
            Call::Free(6),
            Call::SettleFrees,
            Call::TrimJournal(7),
        ]
    );
    let expected = CheckpointReport {
        version: 7,
        dirty_blobs: 2,
        flushed_blobs: 2,
        pending_deletes: 2,
        applied_deletes: 2,
        bytes_written: 8192,
        syncs: 3,
        epochs_coalesced: 1,
        duration_micros: report.duration_micros,
    };
    assert_eq!(report, expected);
    let rounds = rig.checkpointer.rounds();
    assert_eq!((rounds.done, rounds.failed, rounds.bytes_written), (1, 0, 8192));
    assert_eq!(rig.checkpointer.depth(), 0);
}

#[test]
fn a_planner_does_not_wait_for_the_disk() {
    let rig = Rig::new(SETTINGS);
    rig.target.close_gate();
    let first = rig.plan(1, &[(1, 1)], &[]);
    rig.target.wait_for_commits(1);
    let second = rig.plan(2, &[(2, 2)], &[]);
    assert!(first.outcome().is_none() && second.outcome().is_none());
    assert_eq!(rig.checkpointer.depth(), 2);
    rig.target.open_gate();
    assert_eq!(codes(&[first, second]), [None, None]);
}

#[test]
fn what_waits_is_written_at_once() {
    let rig = Rig::new(SETTINGS);
    let tickets = rig.plan_together(&[(&[(1, 1)], &[]), (&[(2, 2)], &[]), (&[(3, 3)], &[])]);
    for (ticket, version) in tickets.iter().zip(2..) {
        let report = ticket.wait().unwrap();
        assert_eq!((report.version, report.epochs_coalesced, report.syncs), (version, 3, 2));
        assert_eq!(
            (report.dirty_blobs, report.flushed_blobs, report.bytes_written),
            (1, 1, 3 * 4096)
        );
    }
    assert_eq!(
        rig.commits()[1..],
        [Call::Commit(4, vec![(1, 1), (2, 2), (3, 3)], vec![])]
    );
    assert_eq!(rig.checkpointer.rounds().done, 2);
}

#[test]
fn a_group_has_no_more_epochs_than_the_limit() {
    let rig = Rig::new(Settings {
        group_epochs: 2,
        ..SETTINGS
    });
    let tickets = rig.plan_together(&[(&[(1, 1)], &[]), (&[(2, 2)], &[]), (&[(3, 3)], &[])]);
    let coalesced: Vec<u64> = tickets
        .iter()
        .map(|ticket| ticket.wait().unwrap().epochs_coalesced)
        .collect();
    assert_eq!(coalesced, [2, 2, 1]);
    assert_eq!(
        rig.commits()[1..],
        [
            Call::Commit(3, vec![(1, 1), (2, 2)], vec![]),
            Call::Commit(4, vec![(3, 3)], vec![])
        ]
    );
}

#[test]
fn the_first_waits_for_a_neighbour() {
    let rig = Rig::new(Settings {
        group_epochs: 2,
        window: Duration::from_secs(60),
        ..SETTINGS
    });
    let first = rig.plan(1, &[(1, 1)], &[]);
    thread::sleep(Duration::from_millis(20));
    assert!(rig.commits().is_empty());
    let second = rig.plan(2, &[(2, 2)], &[]);
    assert_eq!(codes(&[first, second]), [None, None]);
    assert_eq!(rig.commits(), [Call::Commit(2, vec![(1, 1), (2, 2)], vec![])]);
}

#[test]
fn a_neighbour_that_does_not_come_is_not_waited_for_any_longer() {
    let window = Duration::from_millis(20);
    let rig = Rig::new(Settings { window, ..SETTINGS });
    let start = Instant::now();
    rig.plan(1, &[], &[]).wait().unwrap();
    assert!(start.elapsed() >= window);
}

#[test]
fn of_a_blob_that_occurs_twice_the_last_image_wins() {
    let rig = Rig::new(SETTINGS);
    let tickets = rig.plan_together(&[(&[(1, 1), (2, 1)], &[]), (&[(3, 2), (1, 2)], &[]), (&[(1, 3)], &[])]);
    let counts = |ticket: &Ticket| {
        let report = ticket.wait().unwrap();
        (report.dirty_blobs, report.flushed_blobs)
    };
    assert_eq!(tickets.iter().map(counts).collect::<Vec<_>>(), [(2, 1), (2, 1), (1, 1)]);
    assert_eq!(
        rig.commits()[1..],
        [Call::Commit(4, vec![(2, 1), (3, 2), (1, 3)], vec![])]
    );
}

#[test]
fn of_a_blob_that_is_written_and_deleted_the_last_word_wins() {
    let rig = Rig::new(SETTINGS);
    let tickets = rig.plan_together(&[(&[(1, 1)], &[2]), (&[(2, 2)], &[1])]);
    let counts = |ticket: &Ticket| {
        let report = ticket.wait().unwrap();
        (report.flushed_blobs, report.pending_deletes, report.applied_deletes)
    };
    assert_eq!(tickets.iter().map(counts).collect::<Vec<_>>(), [(0, 1, 0), (1, 1, 1)]);
    assert_eq!(rig.commits()[1..], [Call::Commit(3, vec![(2, 2)], vec![1])]);
    assert!(!rig.target.calls().contains(&Call::Free(2)));
}

#[test]
fn reports_come_first_in_first_out() {
    let rig = Rig::new(Settings {
        group_epochs: 3,
        ..SETTINGS
    });
    rig.target.script.lock().commits = VecDeque::from([None, None, Some(ErrorCode::NoSpace)]);
    let tickets: Vec<Ticket> = (1..=16)
        .filter_map(|version| {
            let planned = rig.try_plan(WhenFull::Wait, || epoch(version, &[(1, 1)], &[]));
            planned.unwrap()
        })
        .collect();
    assert_eq!(tickets.len(), 16);
    for (last, ticket) in tickets.iter().enumerate().rev().step_by(3) {
        let _ = ticket.wait();
        assert!(tickets[..last].iter().all(|before| before.outcome().is_some()));
    }
}

#[test]
fn the_queue_is_bounded() {
    let rig = Rig::new(Settings {
        queue_depth: 2,
        ..SETTINGS
    });
    rig.target.close_gate();
    let mut tickets = vec![rig.plan(1, &[], &[])];
    rig.target.wait_for_commits(1);
    tickets.extend((2..4).map(|version| rig.plan(version, &[], &[])));
    assert_eq!(rig.checkpointer.depth(), 3);
    let refused = rig.try_plan(WhenFull::GiveUp, || panic!("no cut is taken without room"));
    assert!(refused.unwrap().is_none());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.try_plan(WhenFull::Wait, || epoch(4, &[], &[])));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        rig.target.open_gate();
        tickets.extend(waiting.join().unwrap().unwrap());
    });
    assert_eq!(codes(&tickets), [None; 4]);
}

#[test]
fn of_counts_the_last_is_stated_with_the_image_or_without() {
    let rig = Rig::new(SETTINGS);
    rig.target.close_gate();
    let first = rig.plan(1, &[], &[]);
    rig.target.wait_for_commits(1);
    let plan = |version, writes: &[(u32, u8)], counts: &[(u32, u32)], deletes: &[u32]| {
        let planned = rig.try_plan(WhenFull::GiveUp, || {
            let mut epoch = epoch(version, writes, deletes);
            epoch.cut.recounted = counts.to_vec();
            epoch
        });
        planned.unwrap().expect("room")
    };
    let tickets = [
        plan(2, &[(1, 1), (2, 2)], &[(3, 1), (4, 1), (5, 1)], &[]),
        plan(3, &[(5, 5)], &[(1, 7), (3, 2)], &[4]),
    ];
    rig.target.open_gate();
    first.wait().unwrap();
    assert_eq!(codes(&tickets), [None, None]);
    let recounts: Vec<Call> = (rig.target.calls().into_iter())
        .filter(|call| matches!(call, Call::Recount(..)))
        .collect();
    assert_eq!(recounts, [Call::Recount(vec![(1, 7)], vec![(3, 2)])]);
}
