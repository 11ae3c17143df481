//! What one JavaScript environment (the main thread, a worker) holds: its open databases, the buffers that arguments
//! are read into, and the last failure. Never shared between threads; the engines behind the databases are.

use std::{
    cell::{Ref, RefCell, RefMut},
    rc::Rc,
    sync::Arc,
};

use coppice_engine::{Database, MAX_KEY_BYTES};
use napi::Env;

use crate::{failure::Failure, handles::HandleTable, open_database::OpenDatabase};

/// Room for the longest key, and for telling from what fits that nothing was cut off: a conversion that ran out of room
/// leaves at most 4 bytes (the longest character and the closing NUL) unused, so it fills more than `MAX_KEY_BYTES`.
pub(crate) const KEY_BUFFER_BYTES: usize = MAX_KEY_BYTES + 8;

/// Where a key is read into.
pub(crate) type KeyBuffer = Box<[u8; KEY_BUFFER_BYTES]>;

/// Buffers that calls read their arguments into and build pages in. Kept from call to call, so that none allocates.
pub(crate) struct Scratch {
    pub(crate) key: KeyBuffer,
    pub(crate) lower: KeyBuffer,
    pub(crate) upper: KeyBuffer,
    pub(crate) resume: KeyBuffer,
    pub(crate) value: Vec<u8>,
    /// The keys of a page, end to end.
    pub(crate) page: Vec<u8>,
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
    databases: RefCell<HandleTable<Arc<OpenDatabase>>>,
    scratch: RefCell<Scratch>,
    failure: RefCell<Option<Failure>>,
}

impl Instance {
    /// Makes the instance of `env`. The environment owns it: its databases are closed when the environment ends, after
    /// the last JavaScript in it has run.
    pub(crate) fn install(env: &Env) -> napi::Result<Rc<Self>> {
        let instance = Rc::new(Self {
            databases: RefCell::new(HandleTable::new()),
            scratch: RefCell::new(Scratch {
                key: key_buffer(),
                lower: key_buffer(),
                upper: key_buffer(),
                resume: key_buffer(),
                value: Vec::new(),
                page: Vec::new(),
            }),
            failure: RefCell::new(None),
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
        let inserted = self
            .databases
            .try_borrow_mut()
            .map_err(|_| reentered())?
            .insert(Arc::new(OpenDatabase::new(database)));
        inserted.map_err(|database| {
            let closed = database
                .close()
                .err()
                .map(|error| format!("; closing it again: {error}"));
            Failure::invalid_argument(format!(
                "too many databases are open in this thread{}",
                closed.unwrap_or_default()
            ))
        })
    }

    /// Takes a database out; its handle is closed from now on. `None` where it was already.
    pub(crate) fn remove(&self, handle: u32) -> Result<Option<Arc<OpenDatabase>>, Failure> {
        Ok(self.databases.try_borrow_mut().map_err(|_| reentered())?.remove(handle))
    }

    /// The database behind a handle, to be kept beyond the call.
    pub(crate) fn database(&self, handle: u32) -> Result<Arc<OpenDatabase>, Failure> {
        Ok(Arc::clone(&*self.borrow(handle)?))
    }

    /// The database behind a handle, for the length of a call.
    #[inline]
    pub(crate) fn borrow(&self, handle: u32) -> Result<Ref<'_, Arc<OpenDatabase>>, Failure> {
        let databases = self.databases.try_borrow().map_err(|_| reentered())?;
        Ref::filter_map(databases, |databases| databases.get(handle)).map_err(|_| Failure::closed())
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
        let Ok(mut databases) = self.databases.try_borrow_mut() else {
            return;
        };
        for database in databases.drain() {
            let _ = crate::failure::guard(|| Ok(database.close()?));
        }
    }
}

/// Only reading an element of a caller's array can run JavaScript, and TypeScript never passes such an array.
fn reentered() -> Failure {
    Failure::internal("the addon was entered again during a call")
}

fn key_buffer() -> KeyBuffer {
    Box::new([0; KEY_BUFFER_BYTES])
}
