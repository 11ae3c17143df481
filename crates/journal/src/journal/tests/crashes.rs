//! Random histories with process deaths and power cuts in them, against a model of what was promised.

use std::{collections::BTreeMap, io::ErrorKind};

use proptest::prelude::*;

use crate::{
    Error, Journal, Op,
    fixture::{self, Call, TestDisk, on_both, open, room_for},
};

#[derive(Clone, Debug)]
enum Action {
    /// Appends that many records with values of that length.
    Append(usize, usize),
    /// As `Append`, on a disk that has room for that many bytes of it.
    Refused(usize, usize),
    Sync,
    /// Moves the durable cut that far towards the last record, in eighths, and trims.
    Trim(u64),
    /// The process dies: everything written is found.
    Kill,
    /// The power goes: what was not synced is found in part.
    PowerCut(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1_usize..6, 0_usize..900).prop_map(|(count, len)| Action::Append(count, len)),
        1 => (1_usize..6, 0_usize..2000).prop_map(|(count, room)| Action::Refused(count, room)),
        3 => Just(Action::Sync),
        2 => (0_u64..=8).prop_map(Action::Trim),
        1 => Just(Action::Kill),
        2 => any::<u64>().prop_map(Action::PowerCut),
    ]
}

/// A coin that is fair, or lands nearly always on one side: some power cuts lose little, some nearly all.
fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed | 1;
    let threshold = [8, 128, 248][(seed % 3) as usize];
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) & 255 < threshold
    }
}

struct Model {
    disk: TestDisk,
    journal: Journal,
    /// What each sequence number holds in the history that survived.
    values: BTreeMap<u64, Vec<u8>>,
    cut: u64,
    written: u64,
}

impl Model {
    fn append(&mut self, count: usize, len: usize) {
        let first = self.journal.appended_upto() + 1;
        let values: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                self.written += 1;
                let mut value = self.written.to_le_bytes().to_vec();
                value.resize(8 + len, self.written as u8);
                value
            })
            .collect();
        let ops: Vec<Op<'_>> = values
            .iter()
            .map(|value| Op::Put {
                tree: 1,
                key: b"k",
                value,
            })
            .collect();
        self.journal.append(first, &ops).unwrap();
        self.values.extend((first..).zip(values));
    }

    fn refused(&mut self, count: usize, room: usize) {
        // The first write is the header's where a new segment is due, the append's otherwise.
        self.disk.fail(Call::Write, 0, ErrorKind::StorageFull, room);
        let put = Op::Put {
            tree: 1,
            key: b"k",
            value: &[0xee; 300],
        };
        let result = self.journal.append(self.journal.appended_upto() + 1, &vec![put; count]);
        assert!(matches!(result, Err(Error::NoSpace { .. })), "{result:?}");
    }

    fn trim(&mut self, eighths: u64) {
        self.cut += (self.journal.appended_upto() - self.cut) * eighths / 8;
        self.journal.trim(self.cut).unwrap();
    }

    /// Opens what a crash left and holds it against what was promised.
    fn reopen(&mut self, disk: TestDisk, at_least: u64) {
        let (journal, recovered, seen) = open(&disk, self.cut).unwrap();
        let last = recovered.last_sequence;
        assert!(last >= at_least.max(self.cut), "{last} < {at_least}");
        assert_eq!(seen.len() as u64, last - self.cut);
        for ((sequence, _, value), expected) in seen.iter().zip(self.cut + 1..) {
            assert_eq!(*sequence, expected);
            assert_eq!(Some(value), self.values.get(sequence), "record {sequence}");
        }
        self.values.split_off(&(last + 1));
        (self.disk, self.journal) = (disk, journal);
    }
}

fn run(disk: TestDisk, actions: &[Action]) {
    let journal = fixture::create(&disk, 4096);
    let mut model = Model {
        disk,
        journal,
        values: BTreeMap::new(),
        cut: 0,
        written: 0,
    };
    for action in actions {
        match *action {
            Action::Append(count, len) => model.append(count, len),
            // A mapping refuses nothing: its room was set aside.
            Action::Refused(count, room) if !model.disk.maps() => model.refused(count, room),
            Action::Refused(..) => {}
            Action::Sync => model.journal.sync().unwrap(),
            Action::Trim(eighths) => model.trim(eighths),
            Action::Kill => model.reopen(model.disk.after_kill(), model.journal.appended_upto()),
            Action::PowerCut(seed) => {
                let survivor = model.disk.after_power_cut(&mut coin(seed));
                model.reopen(survivor, model.journal.synced_upto());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn recovery_finds_a_prefix_with_all_that_was_promised(actions in prop::collection::vec(action(), 1..60)) {
        on_both(|disk| run(disk, &actions));
    }
}

#[test]
fn a_process_that_dies_at_any_call_loses_no_append_that_returned() {
    for calls in 0.. {
        let disk = TestDisk::default();
        let journal = fixture::create(&disk, room_for(3, 56));
        disk.take_calls();
        disk.die_after(calls);
        let mut returned = 0;
        for sequence in 1..=12_u64 {
            let put = Op::Put {
                tree: 1,
                key: b"k",
                value: b"12345678",
            };
            if journal.append(sequence, &[put]).is_err() {
                break;
            }
            returned = sequence;
        }
        let (_, recovered, seen) = open(&disk.after_kill(), 0).unwrap();
        assert_eq!(recovered.last_sequence, returned, "{calls} calls");
        assert_eq!(seen.len() as u64, returned);
        if returned == 12 {
            break;
        }
    }
}

#[test]
fn a_crash_at_any_call_of_a_creation_leaves_a_journal_or_none() {
    for calls in 0.. {
        let disk = TestDisk::default();
        disk.die_after(calls);
        let done = Journal::create(
            std::sync::Arc::new(disk.clone()),
            fixture::options(room_for(3, 56)),
            fixture::DATABASE,
        )
        .is_ok();
        for side in [false, true] {
            let mut coin = || side;
            for survivor in [disk.after_kill(), disk.after_power_cut(&mut coin)] {
                if !done && open(&survivor, 0).is_err() {
                    drop(fixture::create(&survivor, room_for(3, 56)));
                }
                assert_eq!(open(&survivor, 0).unwrap().1.last_sequence, 0, "{calls} calls");
            }
        }
        if done {
            break;
        }
    }
}
