//! Watching a tree: changes cross a page at a time, and one call of a function tells that there is a page.
//!
//! A page has the changes one behind the other, each as
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | kind: 0 put, 1 delete, 2 move prefix, 3 delete prefix |
//! | 4 | 4 | length of the key, or of the prefix that is left |
//! | 8 | 4 | length of the value, or of the prefix that is moved to |
//! | 12 | 8 | version, a double |
//! | 20 | | the first, the second |
//!
//! all little-endian. `src/watch.ts` reads it.
#![allow(clippy::needless_pass_by_value)] // #[napi] hands arguments over as owned values

use std::{cell::RefCell, sync::Arc};

use coppice_engine::{Change, Taken, TreeId, Watch as EngineWatch};
use napi::{
    Either, Env, Status, Task,
    bindgen_prelude::{AsyncTask, BufferSlice, Either3, Uint8Array},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue},
};
use napi_derive::napi;

use crate::{
    control::{FailureData, answer},
    failure::{Failure, guard},
    instance::Instance,
    page::not_text,
};

/// Bytes of a page, about; a commit is never divided.
const PAGE_BYTES: usize = 256 << 10;

/// What [`Watch::take`] says where it has no page. Mirrored in `src/native/binding.ts`.
mod code {
    pub(super) const NOTHING: u32 = 0;
    pub(super) const JOURNAL: u32 = 1;
    pub(super) const CLOSED: u32 = 2;
}

/// What JavaScript holds of a watch.
#[napi]
pub struct Watch {
    watch: RefCell<Option<Arc<EngineWatch>>>,
    keys_as_bytes: bool,
    /// What comes behind the page that was handed out last.
    failure: RefCell<Option<Failure>>,
}

/// Called when there is something to take. The event loop goes on for as long as it is kept.
type Callback = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false>;

/// Begins to watch the keys of a tree under a prefix, from now on or from behind a version. A key that is no text is a
/// failure, unless keys are bytes.
#[napi(catch_unwind)]
pub fn watch(
    env: Env,
    database: u32,
    tree: u32,
    keys_as_bytes: bool,
    prefix: Uint8Array,
    after: Option<f64>,
) -> Either<Watch, FailureData> {
    answer(|| {
        let database = Instance::of(&env)?.database(database)?;
        let watch = database.watch_until_close(TreeId(tree), &prefix, after.map(|after| after as u64))?;
        Ok(Watch {
            watch: RefCell::new(Some(watch)),
            keys_as_bytes,
            failure: RefCell::new(None),
        })
    })
}

#[napi]
impl Watch {
    /// A page of what comes next; or why there is none.
    #[napi(catch_unwind, ts_return_type = "Uint8Array | number | FailureData")]
    pub fn take<'env>(&self, env: &'env Env) -> napi::Result<Either3<BufferSlice<'env>, u32, FailureData>> {
        let mut page = Vec::new();
        Ok(match guard(|| self.fill(&mut page)) {
            Ok(None) => Either3::A(BufferSlice::copy_from(env, &page)?),
            Ok(Some(code)) => Either3::B(code),
            Err(failure) => Either3::C(failure.into()),
        })
    }

    /// Makes the page; a code where there is nothing to put on it.
    fn fill(&self, page: &mut Vec<u8>) -> Result<Option<u32>, Failure> {
        if let Some(failure) = self.failure.borrow_mut().take() {
            return Err(failure);
        }
        let Some(watch) = self.watch.borrow().clone() else {
            return Ok(Some(code::CLOSED));
        };
        let mut failure = None;
        let taken = watch.take(PAGE_BYTES, &mut |version, change| {
            if failure.is_none()
                && let Err(error) = add(page, version, change, self.keys_as_bytes)
            {
                failure = Some(error);
            }
        })?;
        if let Some(failure) = failure {
            if page.is_empty() {
                return Err(failure);
            }
            self.failure.replace(Some(failure));
        }
        Ok(match taken {
            Taken::More => None,
            Taken::Nothing => Some(code::NOTHING),
            Taken::Journal => Some(code::JOURNAL),
            Taken::Closed => Some(code::CLOSED),
        })
    }

    /// Reads what comes next from the journal; resolves with true.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean | FailureData>")]
    pub fn read_journal(&self) -> AsyncTask<Reading> {
        AsyncTask::new(Reading(self.watch.borrow().clone()))
    }

    /// Calls `callback` once, when there is something to take.
    #[napi(catch_unwind, ts_args_type = "callback: () => void")]
    pub fn wake(&self, callback: Callback) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.wake_with(move || {
                callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
            });
        }
    }

    /// Ends it; the callback that waits is not called any more.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some(watch) = self.watch.borrow_mut().take() {
            watch.forget_waker();
        }
    }
}

fn add(page: &mut Vec<u8>, version: u64, change: Change<'_>, keys_as_bytes: bool) -> Result<(), Failure> {
    let (kind, first, second) = match change {
        Change::Put { key, value } => (0_u32, key, value),
        Change::Delete { key } => (1, key, &[][..]),
        Change::MovePrefix { from, to } => (2, from, to),
        Change::DeletePrefix { prefix } => (3, prefix, &[][..]),
        Change::ClonePrefix { from, to } => (4, from, to),
    };
    let keys = [first, if kind == 0 { &[] } else { second }];
    for key in keys.into_iter().filter(|_| !keys_as_bytes) {
        if std::str::from_utf8(key).is_err() {
            return Err(not_text(key));
        }
    }
    page.extend_from_slice(&kind.to_le_bytes());
    page.extend_from_slice(&(first.len() as u32).to_le_bytes());
    page.extend_from_slice(&(second.len() as u32).to_le_bytes());
    page.extend_from_slice(&(version as f64).to_le_bytes());
    page.extend_from_slice(first);
    page.extend_from_slice(second);
    Ok(())
}

/// A piece of the journal that is being read.
pub struct Reading(#[allow(private_interfaces)] Option<Arc<EngineWatch>>);

impl Task for Reading {
    type Output = Result<(), Failure>;
    type JsValue = Either<bool, FailureData>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let watch = self.0.take();
        Ok(guard(|| match watch {
            Some(watch) => Ok(watch.read_journal()?),
            None => Ok(()),
        }))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(answer(|| output.map(|()| true)))
    }
}
