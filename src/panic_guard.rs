//! Does something where a panic passes by.

use std::mem;

/// Runs a closure when it is dropped, which only a panic makes happen: otherwise it is [disarmed](Self::disarm).
pub(crate) struct PanicGuard<F: Fn()>(F);

impl<F: Fn()> PanicGuard<F> {
    #[inline]
    pub(crate) const fn new(panicked: F) -> Self {
        Self(panicked)
    }

    /// Nothing has panicked.
    #[inline]
    pub(crate) fn disarm(self) {
        // what it holds are references, and so nothing is leaked
        mem::forget(self);
    }
}

impl<F: Fn()> Drop for PanicGuard<F> {
    // so that the guard stays in registers
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}
