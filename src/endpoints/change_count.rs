//! The number of the changes that a set has seen.

use crate::sync::{AtomicU64, Ordering::SeqCst};

/// Counts the changes of what endpoints can be chosen.
///
/// `SeqCst`, as the words that are changed before it: whoever reads the new count and then looks finds the
/// change, and so it is noted after the change is made, and read before the look.
#[derive(Debug, Default)]
pub(crate) struct ChangeCount(AtomicU64);

impl ChangeCount {
    /// The number of the changes so far.
    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// Other endpoints can be chosen than before.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}
