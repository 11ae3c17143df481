//! How an engine comes to life: over a new folder, over what a folder holds, or over nothing.
//!
//! A new database is made journal first and superblock last, so that a half-made one counts as absent. An existing one is
//! its last durable slot map and, on top of that, the journal's records behind the map's cut.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64},
    },
    time::Instant,
};

use coppice_defect::{Defect, planted};
use coppice_disk::{Disk, FolderLock};
use coppice_journal::{Journal, JournalOptions, Op, OpenError, Recovered};
use coppice_store::{Store, StoreError};
use coppice_sync::AtomicBool;
use parking_lot::Mutex;

use super::{
    Dropped, Durable, Engine, Folder, Snapshots, State, checkpoint::store_error, write::journal_error,
    write::replay_error,
};
use crate::{
    budget::Budget,
    checkpointer::{Checkpointer, Files, Settings},
    error::{Error, ErrorCode},
    events::Recovery,
    feed::Feed,
    forest::{Forest, ROOT},
    options::Options,
    process::Origin,
    table::{BlobKind, Source, Table},
};

/// Journal segments are not made smaller than this, however small the journal is to be.
const SMALLEST_SEGMENT_BYTES: u64 = 64 << 10;

struct StoreSource(Arc<Store>);

impl Source for StoreSource {
    fn read(&self, blob: u32, into: &mut [u8]) -> Result<(), Error> {
        self.0.read(blob, into).map_err(store_error)
    }

    fn place(&self, blob: u32) -> String {
        format!("blobs (blob {blob})")
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorCode::Io, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// What a new database has of its own.
pub(crate) struct NewDatabase {
    pub(crate) journal_options: JournalOptions,
    pub(crate) database_id: u128,
}

impl NewDatabase {
    /// With all that differs from database to database.
    pub(crate) fn random() -> Result<Self, Error> {
        // Salts only have to differ: one from the system, counted up.
        let salts = Mutex::new(u64::from_le_bytes(random()?));
        let journal_options = JournalOptions::new(move || {
            let mut salt = salts.lock();
            *salt = salt.wrapping_add(0x9E37_79B9_7F4A_7C15);
            *salt
        });
        Ok(Self {
            journal_options,
            database_id: u128::from_le_bytes(random()?),
        })
    }
}

impl Folder {
    fn new(store: Arc<Store>, disk: Arc<dyn Disk>, lock: Option<FolderLock>) -> Self {
        Self {
            store,
            disk,
            lock: Mutex::new(lock),
        }
    }
}

impl Durable {
    /// What the checkpoint thread sets when it fails is the engine's too.
    fn new(folder: Folder, journal: Journal, options: &Options) -> (Self, Arc<OnceLock<Error>>) {
        let journal = Arc::new(journal);
        let poison = Arc::default();
        let files = Files {
            store: Arc::clone(&folder.store),
            journal: Some(Arc::clone(&journal)),
        };
        let settings = Settings {
            queue_depth: options.checkpoint_queue_depth.max(1),
            group_epochs: options.coalesce_epochs.max(1),
            window: options.coalesce_window,
        };
        let durable = Self {
            checkpointer: Checkpointer::new(Arc::new(files), settings, Arc::clone(&poison)),
            folder,
            journal,
        };
        (durable, poison)
    }
}

impl Engine {
    fn assemble(
        table: Table,
        sequence: u64,
        next_tree: u32,
        durable: Option<Durable>,
        poison: Arc<OnceLock<Error>>,
        options: &Options,
    ) -> Self {
        Self {
            table: Arc::new(table),
            sequence: AtomicU64::new(sequence),
            stalls: AtomicU64::new(0),
            next_tree: AtomicU32::new(next_tree),
            dropped: Dropped::default(),
            snapshots: Snapshots::default(),
            feed: Feed::default(),
            durable,
            read_only: None,
            options: options.clone(),
            signal: Arc::default(),
            closed: AtomicBool::new(false),
            origin: Origin::here(),
            poison,
            events: Arc::default(),
            recovery: Mutex::default(),
        }
    }

    /// An engine over nothing.
    pub(crate) fn in_memory(options: &Options) -> Result<Self, Error> {
        let table = Table::new(options.frame_bytes as usize, Budget::unbounded(), None);
        Forest::new(&table).plant()?;
        Ok(Self::assemble(table, 0, 1, None, Arc::default(), options))
    }

    /// An engine over a folder, whose lock is handed on.
    pub(crate) fn open(disk: Arc<dyn Disk>, lock: Option<FolderLock>, options: &Options) -> Result<Self, Error> {
        let NewDatabase {
            mut journal_options,
            database_id,
        } = NewDatabase::random()?;
        // Only whole segments are trimmed: a few of them make up what starts a checkpoint.
        let largest = journal_options.segment_bytes;
        journal_options.segment_bytes = (options.journal_bytes / 4).clamp(SMALLEST_SEGMENT_BYTES, largest);
        journal_options.progress = Arc::clone(&options.recovery);
        Self::open_with(disk, lock, options, journal_options, database_id)
    }

    /// The same, with all that [`Engine::open`] decides by itself; `database_id` is that of the database if it is new.
    pub(crate) fn open_with(
        disk: Arc<dyn Disk>,
        lock: Option<FolderLock>,
        options: &Options,
        journal_options: JournalOptions,
        database_id: u128,
    ) -> Result<Self, Error> {
        match Store::open(Arc::clone(&disk), options.io_uring) {
            Ok(store) => Self::recover(disk, lock, store, journal_options, options),
            Err(StoreError::NotADatabase { folder }) if !options.create => {
                Err(Error::new(ErrorCode::NotFound, format!("{folder} holds no database")))
            }
            Err(StoreError::NotADatabase { .. }) => Self::create(disk, lock, journal_options, database_id, options),
            Err(error) => Err(store_error(error)),
        }
    }

    fn create(
        disk: Arc<dyn Disk>,
        lock: Option<FolderLock>,
        journal_options: JournalOptions,
        database_id: u128,
        options: &Options,
    ) -> Result<Self, Error> {
        let budget = Budget::new(options.memory_bytes, options.frame_bytes as usize)?;
        let journal = Journal::create(Arc::clone(&disk), journal_options, database_id)
            .map_err(|error| journal_error(&error, ErrorCode::Io))?;
        let store = Store::create(Arc::clone(&disk), database_id, options.frame_bytes, options.io_uring)
            .map_err(store_error)?;
        let store = Arc::new(store);
        let source: Arc<dyn Source> = Arc::new(StoreSource(Arc::clone(&store)));
        let table = Table::new(options.frame_bytes as usize, budget, Some(source));
        Forest::new(&table).plant()?;
        let (durable, poison) = Durable::new(Folder::new(store, disk, lock), journal, options);
        Ok(Self::assemble(table, 0, 1, Some(durable), poison, options))
    }

    fn recover(
        disk: Arc<dyn Disk>,
        lock: Option<FolderLock>,
        store: Store,
        journal_options: JournalOptions,
        options: &Options,
    ) -> Result<Self, Error> {
        let store = Arc::new(store);
        let id = store.database_id();
        let budget = Budget::new(options.memory_bytes, store.frame_bytes() as usize)?;
        let replayed = replay(disk.as_ref(), &store, budget, |cut, apply| {
            Journal::open(Arc::clone(&disk), journal_options, id, cut, apply)
        })?;
        let (durable, poison) = Durable::new(Folder::new(store, disk, lock), replayed.journal, options);
        let engine = Self::assemble(
            replayed.table,
            replayed.sequence,
            replayed.next_tree,
            Some(durable),
            poison,
            options,
        );
        *engine.recovery.lock() = replayed.recovery;
        Ok(engine)
    }

    /// An engine that only reads a folder, whose lock, where there is one to be had, is handed on. The journal is replayed in
    /// memory, and no file is changed. The disk had better refuse that, too.
    pub(crate) fn open_read_only(
        disk: Arc<dyn Disk>,
        lock: Option<FolderLock>,
        options: &Options,
    ) -> Result<Self, Error> {
        let store = Store::open(Arc::clone(&disk), options.io_uring).map_err(|error| match error {
            StoreError::NotADatabase { folder } => {
                Error::new(ErrorCode::NotFound, format!("{folder} holds no database"))
            }
            other => store_error(other),
        })?;
        let store = Arc::new(store);
        let id = store.database_id();
        // What the journal adds has nowhere to go but memory.
        let budget = Budget::unbounded();
        let replayed = replay(disk.as_ref(), &store, Arc::clone(&budget), |cut, apply| {
            Journal::replay(disk.as_ref(), id, cut, &options.recovery, apply).map(|recovered| ((), recovered))
        })?;
        budget.bound_reads(options.memory_bytes, store.frame_bytes() as usize)?;
        let mut engine = Self::assemble(
            replayed.table,
            replayed.sequence,
            replayed.next_tree,
            None,
            Arc::default(),
            options,
        );
        *engine.recovery.lock() = replayed.recovery;
        engine.read_only = Some(Folder::new(store, disk, lock));
        Ok(engine)
    }
}

/// Does the syncs that the opening has put off.
pub(super) fn settle(disk: &dyn Disk) -> Result<(), Error> {
    if planted(Defect::ForgetsOpeningSyncs) {
        return Ok(());
    }
    disk.settle()
        .map_err(|error| Error::from_io(format!("syncing the files in {}", disk.label()), error))
}

/// A state as it was found on disk, and the journal that it was brought up to date from.
struct Replayed<J> {
    table: Table,
    sequence: u64,
    next_tree: u32,
    journal: J,
    recovery: Option<Recovery>,
}

type Apply<'a> = dyn FnMut(u64, Op<'_>) -> Result<(), Error> + 'a;

/// Enters what the store has, and applies what the journal has behind its cut.
fn replay<J>(
    disk: &dyn Disk,
    store: &Arc<Store>,
    budget: Arc<Budget>,
    read_journal: impl FnOnce(u64, &mut Apply<'_>) -> Result<(J, Recovered), OpenError<Error>>,
) -> Result<Replayed<J>, Error> {
    let source: Arc<dyn Source> = Arc::new(StoreSource(Arc::clone(store)));
    let frame_bytes = store.frame_bytes();
    if frame_bytes as usize > coppice_frame::MAX_FRAME_BYTES {
        let message = format!(
            "{}: frames of {frame_bytes} bytes are not known to this version",
            disk.label()
        );
        return Err(Error::new(ErrorCode::IncompatibleFormat, message));
    }
    let table = Table::new(frame_bytes as usize, budget, Some(source));
    table.enter_all(store.entries().into_iter().map(|(blob, info)| {
        let kind = BlobKind::from_byte(info.kind).ok_or_else(|| {
            Error::new(
                ErrorCode::IncompatibleFormat,
                format!("blob {blob} is of kind {}, which is not known", info.kind),
            )
        })?;
        if kind != BlobKind::Value && info.bytes != frame_bytes {
            let message = format!(
                "blob {blob} is a frame of {} bytes in a database of {frame_bytes}",
                info.bytes
            );
            return Err(Error::new(ErrorCode::Corrupt, message));
        }
        let known = (kind, info.bytes, (info.records, info.live));
        Ok((blob, known, info.further_references))
    }))?;
    let cut = store.cut();
    let fresh = table.is_free(ROOT);
    if fresh && cut > 0 {
        return Err(Error::new(
            ErrorCode::Corrupt,
            format!("{}: the topmost frame is missing", disk.label()),
        ));
    }
    let mut forest = Forest::new(&table);
    if fresh {
        forest.plant()?;
    }
    // Of the trees that the journal drops nobody has a handle yet.
    let nothing_dropped = Dropped::default();
    let mut state = State {
        forest,
        sequence: cut,
        next_tree: store.next_tree().max(1),
        dropped: &nothing_dropped,
    };
    let started = Instant::now();
    state.forest.table.must_succeed();
    let read = read_journal(cut, &mut |sequence, op| {
        settle(disk)?;
        state.make_way_in_recovery(store)?;
        state.replay(sequence, &op)
    });
    let (journal, recovered) = read.map_err(replay_error)?;
    // A close leaves an empty journal behind, and only what was synced is trimmed: then there is nothing to wait for.
    if recovered.bytes > 0 || recovered.torn_tail.is_some() {
        settle(disk)?;
    }
    if planted(Defect::ForgetsVersions) {
        state.sequence = cut;
    }
    let (sequence, next_tree) = (state.sequence, state.next_tree);
    drop(state);
    let recovery = (recovered.records > 0).then(|| Recovery {
        records: recovered.records,
        bytes: recovered.bytes,
        duration: started.elapsed(),
    });
    Ok(Replayed {
        table,
        sequence,
        next_tree,
        journal,
        recovery,
    })
}
