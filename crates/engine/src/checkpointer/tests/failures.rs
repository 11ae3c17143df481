use super::*;

#[test]
fn a_failed_group_is_restored_whole_and_every_epoch_is_told() {
    let rig = Rig::new(SETTINGS);
    rig.target.script.lock().commits.push_back(Some(ErrorCode::NoSpace));
    let tickets = rig.plan_together(&[(&[(1, 1), (2, 1)], &[5]), (&[(1, 2)], &[6]), (&[], &[])]);
    assert_eq!(codes(&tickets), [Some(ErrorCode::NoSpace); 3]);
    let messages: Vec<String> = tickets
        .iter()
        .map(|ticket| ticket.wait().unwrap_err().to_string())
        .collect();
    assert_eq!(messages[0], "the disk says NoSpace");
    for message in &messages[1..] {
        assert_eq!(
            message,
            "not made durable, since an earlier checkpoint failed: the disk says NoSpace"
        );
    }
    assert_eq!(rig.take_returned(), (BTreeMap::from([(1, 2), (2, 1)]), vec![5, 6]));
    let calls = rig.target.calls();
    assert!(
        !calls.contains(&Call::Free(5)) && !calls.contains(&Call::SettleFrees),
        "{calls:?}"
    );
    let rounds = rig.checkpointer.rounds();
    assert_eq!(
        (rounds.failed, rounds.last_error.as_deref()),
        (1, Some("the disk says NoSpace"))
    );
}

/// They have only what changed since the group's cut.
#[test]
fn epochs_behind_a_failed_group_fail_with_it() {
    let rig = Rig::new(Settings {
        group_epochs: 1,
        ..SETTINGS
    });
    rig.target.script.lock().commits.push_back(Some(ErrorCode::NoSpace));
    let tickets = rig.plan_together(&[(&[(1, 1)], &[]), (&[(2, 2)], &[7]), (&[(3, 3)], &[])]);
    assert_eq!(codes(&tickets), [Some(ErrorCode::NoSpace); 3]);
    assert_eq!(rig.commits().len(), 2, "nothing is written on top of a hole");
    assert_eq!(rig.take_returned(), (BTreeMap::from([(1, 1), (2, 2), (3, 3)]), vec![7]));
}

/// A planner that was at work while a group failed.
#[test]
fn an_epoch_cut_before_a_failure_is_not_queued_behind_it() {
    let rig = Rig::new(SETTINGS);
    rig.target.close_gate();
    rig.target.script.lock().commits.push_back(Some(ErrorCode::NoSpace));
    let failing = rig.plan(1, &[(1, 1)], &[]);
    rig.target.wait_for_commits(1);
    let cuts = Mutex::new(0);
    let ticket = rig.try_plan(WhenFull::Wait, || {
        let mut cuts = cuts.lock();
        *cuts += 1;
        if *cuts == 1 {
            rig.target.open_gate();
            assert!(failing.wait().is_err());
            return epoch(2, &[(2, 2)], &[]);
        }
        epoch(3, &[(3, 3)], &[])
    });
    assert_eq!(ticket.unwrap().unwrap().wait().unwrap().version, 3);
    assert_eq!(*cuts.lock(), 2);
    let restored: Vec<u32> = rig
        .returned
        .lock()
        .iter()
        .flat_map(|cut| cut.changed.iter())
        .map(|changed| changed.blob)
        .collect();
    assert_eq!(restored, [1, 2], "both were given to the second cut");
}

#[test]
fn a_full_disk_is_survived_and_anything_else_is_not() {
    for (code, poisons) in [
        (ErrorCode::NoSpace, false),
        (ErrorCode::Io, true),
        (ErrorCode::Internal, true),
    ] {
        let rig = Rig::new(SETTINGS);
        rig.target.script.lock().commits.push_back(Some(code));
        assert_eq!(codes(&[rig.plan(1, &[(1, 1)], &[])]), [Some(code)]);
        assert_eq!(rig.poison.get().map(Error::code), poisons.then_some(code));
        assert_eq!(codes(&[rig.plan(2, &[(1, 2)], &[])]), [None], "the thread goes on");
    }
}

#[test]
fn a_planner_that_gives_up_leaves_the_queue_as_it_was() {
    let rig = Rig::new(SETTINGS);
    let refused = rig
        .checkpointer
        .plan(WhenFull::Wait, |_| Err(error(ErrorCode::ReadOnly)));
    assert_eq!(refused.err().unwrap().code(), ErrorCode::ReadOnly);
    assert_eq!(rig.checkpointer.depth(), 0);
    rig.plan(1, &[], &[]).wait().unwrap();
}

#[test]
fn a_thread_that_dies_gives_back_all_that_it_had_not_reported() {
    let rig = Rig::new(Settings {
        group_epochs: 2,
        ..SETTINGS
    });
    rig.target.close_gate();
    rig.target.script.lock().dies = true;
    let mut tickets = vec![rig.plan(1, &[(1, 1)], &[5])];
    rig.target.wait_for_commits(1);
    tickets.extend([rig.plan(2, &[(2, 2)], &[]), rig.plan(3, &[(1, 3)], &[6])]);
    rig.target.open_gate();
    assert_eq!(codes(&tickets), [Some(ErrorCode::Internal); 3]);
    assert_eq!(rig.poison.get().unwrap().code(), ErrorCode::Internal);
    rig.checkpointer.stop();
    let refused = rig.try_plan(WhenFull::Wait, || panic!("there is nobody to write it"));
    assert_eq!(refused.err().unwrap().code(), ErrorCode::Internal);
    let (images, deletes) = rig.checkpointer.queue.returned_for_tests();
    assert_eq!((images, deletes), (vec![1, 2, 1], vec![5, 6]));
}
