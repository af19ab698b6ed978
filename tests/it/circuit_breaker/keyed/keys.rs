//! Keys that do more than keys do.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tower_failover::circuit_breaker::KeyedHandle;

/// A key that counts how often it is looked at.
#[derive(Clone, Debug)]
pub(super) struct Counted(pub(super) u64, pub(super) Arc<AtomicU64>);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.fetch_add(1, SeqCst);
        self.0.hash(state);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.1.fetch_add(1, SeqCst);
        self.0 == other.0
    }
}

impl Eq for Counted {}

/// A key that panics when it is hashed, compared or copied for the n-th time.
#[derive(Debug)]
pub(super) struct Moody(pub(super) u64, pub(super) Arc<AtomicI64>);

impl Moody {
    pub(super) fn touch(&self) {
        assert!(self.1.fetch_sub(1, SeqCst) != 1, "a key panics");
    }
}

impl Hash for Moody {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.touch();
        self.0.hash(state);
    }
}

impl PartialEq for Moody {
    fn eq(&self, other: &Self) -> bool {
        self.touch();
        self.0 == other.0
    }
}

impl Eq for Moody {}

impl Clone for Moody {
    fn clone(&self) -> Self {
        self.touch();
        Self(self.0, self.1.clone())
    }
}

pub(super) type Late<T> = Arc<Mutex<Option<T>>>;

/// A key that asks the handle when it is dropped.
#[derive(Clone)]
pub(super) struct Asking(pub(super) u64, pub(super) Late<KeyedHandle<Asking>>);

impl PartialEq for Asking {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Asking {}

impl Hash for Asking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let handle = self.1.lock().unwrap().clone();
        if let Some(handle) = handle {
            let _ = handle.len();
        }
    }
}
