//! Databases in a simulated world: over any disk, with chosen randomness and no thread of their own, so that one seed
//! decides all that happens.

use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::AtomicBool},
};

use coppice_disk::Disk;
use coppice_journal::JournalOptions;
use parking_lot::Mutex;

use crate::{
    core::{Engine, NewDatabase},
    database::Database,
    error::{Error, ErrorCode},
    options::Options,
    verify::OnProgress,
};

/// What a database reaches the world by.
#[derive(Clone)]
pub struct World {
    /// The folder. Nothing is locked.
    pub disk: Arc<dyn Disk>,
    /// Numbers that never repeat: the database's id and the salts of its journal.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The size of the journal's segments, bytes.
    pub segment_bytes: u64,
    /// The map's log is written anew when it has grown by so many bytes, and by twice what it began with.
    pub map_log_bytes: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

impl World {
    /// What a database that is made in it has of its own.
    fn new_database(&self) -> NewDatabase {
        let random = Arc::clone(&self.random);
        let mut journal_options = JournalOptions::new(move || random());
        journal_options.segment_bytes = self.segment_bytes;
        journal_options.keeper = false;
        NewDatabase {
            journal_options,
            database_id: u128::from((self.random)()) << 64 | u128::from((self.random)()),
        }
    }
}

impl Database {
    /// Opens a database in a simulated world. It is shared with nobody, and nothing happens in it but what is asked for: no
    /// sync at intervals, no checkpoint by itself. Dropped without being closed, it leaves what a crash would leave.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_in(world: &World, options: &Options) -> Result<Self, Error> {
        let NewDatabase {
            journal_options,
            database_id,
        } = world.new_database();
        let engine = Engine::open_with(Arc::clone(&world.disk), None, options, journal_options, database_id)?;
        if let Some(durable) = engine.durable() {
            durable.folder.store.rewrite_log_after(world.map_log_bytes);
        }
        Ok(Self {
            engine: Arc::new(engine),
            place: None,
            background: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Copies the state as of now to another world's disk, which is empty. What is there after an error is no database.
    ///
    /// # Errors
    /// As [`Database::backup`].
    pub fn backup_in(&self, world: &World) -> Result<(), Error> {
        let on_progress: OnProgress<'_> = &mut |_, _| ControlFlow::Continue(());
        self.engine()?.backup_to(&world.disk, world.new_database(), on_progress)
    }

    /// Does some of what the engine's thread does by itself in a real world: frees what deletions left behind. Whether there
    /// is more.
    ///
    /// # Errors
    /// As [`Database::delete_prefix`].
    pub fn tidy(&self) -> Result<bool, Error> {
        self.engine()?.bury()
    }

    /// Whether everything fits together: frames and large values are valid and reached once, there are no others, sums are
    /// right, and every page of the file of blobs is a blob's, free, or waiting for its readers.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn check(&self) -> Result<(), Error> {
        let engine = self.engine()?;
        engine.check()?;
        let Some(durable) = engine.durable() else { return Ok(()) };
        let stats = durable.folder.store.stats();
        let page = |bytes: u64| bytes.next_multiple_of(PAGE_BYTES);
        let blobs: u64 = (durable.folder.store.entries().iter())
            .map(|(_, info)| page(u64::from(info.bytes)))
            .sum();
        let accounted = PAGE_BYTES + blobs + stats.free_bytes + stats.retired_bytes;
        if accounted != stats.file_bytes {
            let message = format!(
                "blobs, free and retired pages make {accounted} bytes of a file of {}",
                stats.file_bytes
            );
            return Err(Error::new(ErrorCode::Corrupt, message));
        }
        Ok(())
    }
}

/// Blobs take whole pages of this size, and the file has one before the first.
const PAGE_BYTES: u64 = 4096;
