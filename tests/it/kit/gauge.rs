//! What is still held, and what was woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};

/// Knows how many of its clones are still held: give a clone to whatever has to be dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<()>);

impl Gauge {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The clones beside this one.
    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

// so that a gauge can be the owner of bytes
impl AsRef<[u8]> for Gauge {
    fn as_ref(&self) -> &[u8] {
        b"gauge"
    }
}

/// Counts how often its waker was woken.
#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Counts from zero again.
    pub(crate) fn forget(&self) {
        self.0.store(0, SeqCst);
    }

    pub(crate) fn times(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
