use super::*;

#[test]
fn without_deletes_there_is_no_second_sync() {
    let rig = Rig::new(SETTINGS);
    assert_eq!(rig.plan(1, &[(1, 1)], &[]).wait().unwrap().syncs, 2);
    assert!(!rig.target.calls().contains(&Call::SettleFrees));
}

#[test]
fn deletes_that_found_nothing_to_free_need_no_second_sync() {
    let rig = Rig::new(SETTINGS);
    rig.target.script.lock().unknown = vec![5, 6];
    let report = rig.plan(1, &[], &[5, 6]).wait().unwrap();
    assert_eq!(
        (report.pending_deletes, report.applied_deletes, report.syncs),
        (2, 0, 2)
    );
    assert!(!rig.target.calls().contains(&Call::SettleFrees));
}

#[test]
fn a_failed_delete_is_restored_alone_and_fails_its_epoch_only() {
    let rig = Rig::new(SETTINGS);
    rig.target.script.lock().stuck = vec![6];
    let tickets = rig.plan_together(&[(&[(1, 1)], &[5]), (&[(2, 2)], &[6, 7]), (&[(3, 3)], &[8])]);
    assert_eq!(codes(&tickets), [None, Some(ErrorCode::Io), None]);
    assert_eq!(rig.take_returned(), (BTreeMap::new(), vec![6]));
    assert!(rig.target.calls().contains(&Call::Free(8)), "the others go on");
    assert!(rig.target.calls().contains(&Call::SettleFrees));
    assert!(rig.poison.get().is_none());
    let rounds = rig.checkpointer.rounds();
    assert_eq!(rounds.failed, 1);
    assert_eq!(rounds.last_error.as_deref(), Some("the disk says Io"));
}

#[test]
fn a_failed_second_sync_restores_the_deletes_and_ends_the_writes() {
    let rig = Rig::new(SETTINGS);
    rig.target.script.lock().settling_fails = true;
    let tickets = rig.plan_together(&[(&[(1, 1)], &[]), (&[(2, 2)], &[6, 7])]);
    assert_eq!(codes(&tickets), [None, Some(ErrorCode::Io)]);
    assert_eq!(rig.poison.get().unwrap().code(), ErrorCode::Io);
    assert_eq!(rig.take_returned(), (BTreeMap::new(), vec![6, 7]));
}

#[test]
fn a_journal_that_cannot_be_trimmed_is_told_and_nothing_is_restored() {
    let rig = Rig::new(SETTINGS);
    rig.target.script.lock().trimming_fails = true;
    assert_eq!(codes(&[rig.plan(1, &[(1, 1)], &[5])]), [Some(ErrorCode::Io)]);
    assert_eq!(rig.take_returned(), (BTreeMap::new(), vec![]));
}
