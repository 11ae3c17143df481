//! Databases that pass every digest and were made by nobody: what only somebody who forges files can make.

use coppice_journal::Journal;
use coppice_store::{BlobWrite, Builder};
use proptest::prelude::*;

use super::*;
use crate::core::NewDatabase;

/// The blobs of a database, under other numbers, with digests that fit.
fn shuffled(original: &Original, numbers: &[u32]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let to: Arc<dyn Disk> = Arc::new(disk.clone());
    let new = NewDatabase::random().unwrap();
    Journal::create(Arc::clone(&to), new.journal_options, new.database_id)
        .unwrap()
        .close();
    let remains = find(&original.disk, &mut Findings::default()).unwrap();
    let mut builder = Builder::begin(to, new.database_id, remains.frame_bytes()).unwrap();
    for ((blob, info), number) in remains.blobs().zip(numbers) {
        let mut bytes = vec![0; info.bytes as usize];
        remains.read(blob, &mut bytes).unwrap();
        let write = BlobWrite {
            id: *number,
            kind: info.kind,
            records: info.records,
            live: info.live,
            further_references: info.further_references,
            bytes: &bytes,
        };
        builder.add(&[write]).unwrap();
    }
    builder.finish(remains.cut(), 9).unwrap();
    disk
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn frames_that_lead_in_circles_end(seed in any::<u64>()) {
        let original = closed();
        let blobs = places(&original.disk);
        let mut numbers: Vec<u32> = blobs.iter().map(|(blob, ..)| *blob).collect();
        // A few change places, so that most of the rest is still led to.
        let mut state = seed | 1;
        for _ in 0..1 + seed % 6 {
            state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (state >> 29);
            let (one, other) = (state as usize % numbers.len(), (state >> 32) as usize % numbers.len());
            numbers.swap(one, other);
        }
        let disk = shuffled(original, &numbers);
        let (report, found) = try_salvage(&disk).unwrap();
        prop_assert!(keys(&found) <= 3 * keys(original.history.last_key_value().unwrap().1));
        prop_assert!(report.problems.len() <= 3 * blobs.len());
    }
}
