//! How a service says that it reads the record of the attempts: by a word of the thread, in the midst of
//! `poll_ready`, through all services between.

use std::cell::Cell;

thread_local!(static ANNOUNCED: Cell<bool> = const { Cell::new(false) });

/// This service takes the record out of its requests.
pub(super) fn announce() {
    // without its thread there is nobody to tell
    let _ = ANNOUNCED.try_with(|announced| announced.set(true));
}

/// Runs a `poll_ready` and tells whether a service in it announced itself.
#[inline]
pub(super) fn listen<T>(poll_ready: impl FnOnce() -> T) -> (T, bool) {
    // who listens outside of this has heard what it has heard
    let heard = ANNOUNCED.try_with(|announced| announced.replace(false)).unwrap_or(false);
    let polled = poll_ready();
    let inside = ANNOUNCED.try_with(|announced| announced.replace(heard)).unwrap_or(false);
    (polled, inside)
}
