use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use super::*;
use crate::{Condition, Database, Options};

fn open(folder: &std::path::Path, journal_bytes: u64) -> Database {
    let options = Options {
        journal_bytes,
        ..Options::default()
    };
    Database::open(&folder.join("db"), &options).unwrap()
}

/// What was heard, in words.
fn listen(database: &Database) -> (Listening, mpsc::Receiver<String>) {
    let (sender, heard) = mpsc::channel();
    let listening = database.listen(move |event| {
        let said = match event {
            Event::Checkpoint(report) => format!("checkpoint {}", report.version),
            Event::Backpressure(waited) => format!("waited {}", waited > Duration::ZERO),
            Event::Failure(error) => error.to_string(),
        };
        sender.send(said).unwrap();
    });
    (listening.unwrap(), heard)
}

#[test]
fn checkpoints_are_told_until_the_listener_goes() {
    let parent = tempfile::tempdir().unwrap();
    let database = open(parent.path(), 1 << 20);
    let tree = database.tree("t").unwrap();
    let (listening, heard) = listen(&database);
    let version = database.put(tree, b"k", b"v", Condition::Always).unwrap().unwrap();
    database.checkpoint().unwrap();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [format!("checkpoint {version}")]);
    let other = listen(&database);
    drop(listening);
    database.checkpoint().unwrap();
    assert!(heard.recv().is_err(), "it was told after it had gone");
    assert_eq!(other.1.try_iter().count(), 1);
}

#[test]
fn writes_that_wait_and_the_checkpoints_that_they_wait_for_are_told() {
    let parent = tempfile::tempdir().unwrap();
    let database = open(parent.path(), 64 << 10);
    let tree = database.tree("t").unwrap();
    let (_listening, heard) = listen(&database);
    for number in 0..500_u32 {
        database
            .put(tree, &number.to_be_bytes(), &[7; 4000], Condition::Always)
            .unwrap();
    }
    let heard: Vec<String> = heard.try_iter().collect();
    let stalls = database.stats().unwrap().journal_stalls;
    assert!(stalls > 0);
    assert_eq!(
        heard.iter().filter(|said| *said == "waited true").count() as u64,
        stalls
    );
    assert!(heard.iter().any(|said| said.starts_with("checkpoint ")), "{heard:?}");
}

#[test]
fn the_first_failure_that_ends_writing_is_told_once() {
    let engine = Arc::new(crate::core::Engine::in_memory(&Options::default()).unwrap());
    let (sender, heard) = mpsc::channel();
    let _listening = engine.events.listen(Box::new(move |event| {
        let Event::Failure(error) = event else { return };
        sender.send(error.to_string()).unwrap();
    }));
    let failure = |what: &str| Error::new(crate::ErrorCode::Io, what.to_owned());
    engine.poison(&failure("first"));
    engine.poison(&failure("second"));
    let heard: Vec<String> = heard.try_iter().collect();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains("first"), "{heard:?}");
}

#[test]
fn recovery_is_told_once_and_only_where_there_was_something_to_recover() {
    let parent = tempfile::tempdir().unwrap();
    let database = open(parent.path(), 1 << 20);
    let tree = database.tree("t").unwrap();
    for number in 0..10_u32 {
        database
            .put(tree, &number.to_be_bytes(), b"v", Condition::Always)
            .unwrap();
    }
    assert_eq!(database.take_recovery().unwrap(), None);
    // Without a close, as a crash leaves it.
    drop(database);
    let database = open(parent.path(), 1 << 20);
    let recovery = database.take_recovery().unwrap().unwrap();
    // The tree's making is one.
    assert_eq!(recovery.records, 11);
    assert!(recovery.bytes > 0 && recovery.duration > Duration::ZERO);
    assert_eq!(database.take_recovery().unwrap(), None);
    database.close().unwrap();
    assert_eq!(open(parent.path(), 1 << 20).take_recovery().unwrap(), None);
}
