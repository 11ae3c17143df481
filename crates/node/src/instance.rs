//! What one JavaScript environment (the main thread, a worker) holds: its open databases and snapshots, the buffers
//! that arguments are read into, and the last failure. Never shared between threads; the engines behind the databases
//! are.

use std::{
    cell::{Ref, RefCell, RefMut},
    rc::Rc,
    sync::Arc,
};

use coppice_engine::{Arrivals, Database, KEY_ROOM_BYTES, MAX_KEY_BYTES, Snapshot};
use napi::{Env, bindgen_prelude::Object};

use crate::{
    failure::Failure,
    handles::HandleTable,
    open_database::OpenDatabase,
    opened::{OpenSnapshot, Opened, Resident},
    parts::PartsBuffers,
    raw::{Numbers, Slab},
};

/// What a lookup uses in front of the key, room for the longest key, and for telling from what fits that nothing was cut off: a
/// conversion that ran out of room leaves at most 4 bytes (the longest character and the closing NUL) unused, so it fills more
/// than `MAX_KEY_BYTES`.
const KEY_BUFFER_BYTES: usize = KEY_ROOM_BYTES + MAX_KEY_BYTES + 8;

/// Where a key is read into, behind [`KEY_ROOM_BYTES`].
pub(crate) type KeyBuffer = Box<[u8; KEY_BUFFER_BYTES]>;

/// Buffers that calls read their arguments into and build pages in. Kept from call to call, so that none allocates.
pub(crate) struct Scratch {
    pub(crate) key: KeyBuffer,
    pub(crate) lower: KeyBuffer,
    pub(crate) upper: KeyBuffer,
    pub(crate) resume: KeyBuffer,
    pub(crate) value: Vec<u8>,
    pub(crate) parts: PartsBuffers,
    /// The keys of a page, end to end.
    pub(crate) page: Vec<u8>,
    /// What a page says of each of them.
    pub(crate) figures: Vec<[u8; 4]>,
}

impl Scratch {
    /// Gives a buffer back that one large value made grow.
    #[inline]
    pub(crate) fn release_large(&mut self) {
        const KEPT_BYTES: usize = 64 << 10;
        if self.value.capacity() > KEPT_BYTES {
            self.value = Vec::new();
        }
    }
}

/// The state of one environment.
pub(crate) struct Instance {
    opened: RefCell<HandleTable<Opened>>,
    scratch: RefCell<Scratch>,
    failure: RefCell<Option<Failure>>,
    pub(crate) numbers: Numbers,
    pub(crate) slab: Slab,
}

impl Instance {
    /// Makes the instance of `env`, and what JavaScript sees of it a property of the exports. The environment owns it: its
    /// databases are closed when the environment ends, after the last JavaScript in it has run.
    pub(crate) fn install(env: &Env, exports: &Object<'_>) -> napi::Result<Rc<Self>> {
        let instance = Rc::new(Self {
            opened: RefCell::new(HandleTable::new()),
            scratch: RefCell::new(Scratch {
                key: key_buffer(),
                lower: key_buffer(),
                upper: key_buffer(),
                resume: key_buffer(),
                value: Vec::new(),
                parts: PartsBuffers::default(),
                page: Vec::new(),
                figures: Vec::new(),
            }),
            failure: RefCell::new(None),
            numbers: Numbers::export(env, exports)?,
            slab: Slab::none(),
        });
        env.set_instance_data(Rc::clone(&instance), (), |context| context.value.close_all())?;
        Ok(instance)
    }

    /// The instance of `env`.
    pub(crate) fn of(env: &Env) -> Result<Rc<Self>, Failure> {
        env.get_instance_data::<Rc<Self>>()
            .ok()
            .flatten()
            .map(|instance| Rc::clone(instance))
            .ok_or_else(|| Failure::internal("the addon's instance data is gone"))
    }

    /// Gives a database its handle.
    pub(crate) fn add(&self, database: Database) -> Result<u32, Failure> {
        let opened = Opened::Database(Arc::new(OpenDatabase::new(database)));
        let inserted = self.opened.try_borrow_mut().map_err(|_| reentered())?.insert(opened);
        inserted.map_err(|opened| {
            let closed = match opened {
                Opened::Database(database) => database.close().err(),
                Opened::Snapshot(_) | Opened::Resident(_) => None,
            };
            let closed = closed.map(|error| format!("; closing it again: {error}"));
            too_many(&closed.unwrap_or_default())
        })
    }

    /// Gives a snapshot of the database of this handle a handle of its own.
    pub(crate) fn add_snapshot(&self, snapshot: Snapshot, database: u32) -> Result<u32, Failure> {
        let opened = Opened::Snapshot(Box::new(OpenSnapshot { snapshot, database }));
        let inserted = self.opened.try_borrow_mut().map_err(|_| reentered())?.insert(opened);
        inserted.map_err(|_| too_many(""))
    }

    /// Gives what is in memory of the database of this handle a handle of its own.
    pub(crate) fn add_resident(&self, database: u32, arrivals: Arc<Arrivals>) -> Result<u32, Failure> {
        let open = self.database(database)?;
        let opened = Opened::Resident(Box::new(Resident {
            open,
            database,
            arrivals,
        }));
        let inserted = self.opened.try_borrow_mut().map_err(|_| reentered())?.insert(opened);
        inserted.map_err(|_| too_many(""))
    }

    /// Releases a snapshot; its handle is closed from now on. Does nothing where it was already.
    pub(crate) fn remove_snapshot(&self, handle: u32) -> Result<(), Failure> {
        let mut opened = self.opened.try_borrow_mut().map_err(|_| reentered())?;
        if matches!(opened.get(handle), Some(Opened::Snapshot(_))) {
            drop(opened.remove(handle));
        }
        Ok(())
    }

    /// Takes a database out, ends its watches, and releases its snapshots and what reads it; their handles are closed from now on. `None`
    /// where it was already.
    pub(crate) fn remove(&self, handle: u32) -> Result<Option<Arc<OpenDatabase>>, Failure> {
        let mut opened = self.opened.try_borrow_mut().map_err(|_| reentered())?;
        let Some(Opened::Database(database)) = opened.get(handle) else {
            return Ok(None);
        };
        let database = Arc::clone(database);
        database.end_watches();
        drop(opened.remove(handle));
        opened.remove_where(|other| other.is_of(handle));
        Ok(Some(database))
    }

    /// The database behind a handle, to be kept beyond the call.
    pub(crate) fn database(&self, handle: u32) -> Result<Arc<OpenDatabase>, Failure> {
        Ok(Arc::clone(&*self.borrow(handle)?))
    }

    /// The database behind a handle, for the length of a call.
    #[inline]
    pub(crate) fn borrow(&self, handle: u32) -> Result<Ref<'_, Arc<OpenDatabase>>, Failure> {
        let opened = self.opened.try_borrow().map_err(|_| reentered())?;
        let database = Ref::filter_map(opened, |opened| match opened.get(handle) {
            Some(Opened::Database(database)) => Some(database),
            _ => None,
        });
        database.map_err(|opened| match opened.get(handle) {
            Some(Opened::Snapshot(_)) => Failure::read_only_snapshot(),
            Some(_) => Failure::internal("the handle is one for reads"),
            None => Failure::closed(),
        })
    }

    /// What is behind a handle, for the length of a call that only reads.
    #[inline]
    pub(crate) fn reader(&self, handle: u32) -> Result<Ref<'_, Opened>, Failure> {
        let opened = self.opened.try_borrow().map_err(|_| reentered())?;
        Ref::filter_map(opened, |opened| opened.get(handle)).map_err(|_| Failure::closed())
    }

    /// The buffers, for the length of a call.
    #[inline]
    pub(crate) fn scratch(&self) -> Result<RefMut<'_, Scratch>, Failure> {
        self.scratch.try_borrow_mut().map_err(|_| reentered())
    }

    /// Keeps a failure until JavaScript asks for it.
    pub(crate) fn keep_failure(&self, failure: Failure) {
        self.failure.replace(Some(failure));
    }

    /// The failure of the last hot call that reported one.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.failure.take()
    }

    /// Closes what is left open, without waiting for jobs, which may never run any more. There is nobody to tell of a
    /// failure, and what was acknowledged is in the journal whether this succeeds or not.
    fn close_all(&self) {
        let Ok(mut opened) = self.opened.try_borrow_mut() else {
            return;
        };
        for opened in opened.drain() {
            if let Opened::Database(database) = opened {
                let _ = crate::failure::guard(|| Ok(database.close()?));
            }
        }
    }
}

fn too_many(more: &str) -> Failure {
    Failure::invalid_argument(format!(
        "too many databases and snapshots are open in this thread{more}"
    ))
}

/// Nothing that a call asks of Node runs JavaScript, so this does not happen.
fn reentered() -> Failure {
    Failure::internal("the addon was entered again during a call")
}

fn key_buffer() -> KeyBuffer {
    Box::new([0; KEY_BUFFER_BYTES])
}
