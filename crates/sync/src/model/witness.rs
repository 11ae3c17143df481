//! Who filled memory, who found it, and whether it was given back meanwhile. Loom sees every access that nothing orders; shuttle
//! those that come too late.

use std::{cell::RefCell, collections::BTreeMap};

#[cfg(loom)]
type Seen = std::rc::Rc<loom::cell::UnsafeCell<()>>;
#[cfg(shuttle)]
type Seen = ();

thread_local! {
    /// By address. A model and all of its threads run on one thread of the system.
    static LIVE: RefCell<BTreeMap<usize, Seen>> = const { RefCell::new(BTreeMap::new()) };
}

fn write(seen: &Seen) {
    #[cfg(loom)]
    seen.with_mut(|_| ());
    #[cfg(shuttle)]
    let () = *seen;
}

fn live(address: *const u8) -> Option<Seen> {
    LIVE.with_borrow(|live| live.get(&address.addr()).cloned())
}

/// This memory was filled, and is about to be made known.
pub fn published(address: *const u8) {
    if live(address).is_none() {
        let seen = Seen::default();
        write(&seen);
        LIVE.with_borrow_mut(|live| live.insert(address.addr(), seen));
    }
}

/// This memory was found by a reader.
///
/// # Panics
/// It is nobody's any more.
#[expect(clippy::panic, reason = "so a model fails")]
pub fn found(address: *const u8) {
    match live(address) {
        #[cfg(loom)]
        Some(seen) => seen.with(|_| ()),
        #[cfg(shuttle)]
        Some(()) => {}
        None => panic!("memory is read that was given back"),
    }
}

/// This memory, if it was ever made known, is nobody's any more.
pub fn given_back(address: *const u8) {
    let seen = LIVE.with_borrow_mut(|live| live.remove(&address.addr()));
    if let Some(seen) = seen
        && !std::thread::panicking()
    {
        write(&seen);
    }
}
