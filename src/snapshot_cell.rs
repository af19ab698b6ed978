//! A value that is read by every call and replaced now and then.

use crate::padded::CachePadded;
use crate::striped::{STRIPES, stripe};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that is replaced as a whole. Every stripe has its own place to find it in, so that threads
/// which do don't write to the same place; the lock there is held to copy or swap a pointer, and for
/// nothing else.
pub(crate) struct SnapshotCell<T>([CachePadded<RwLock<Guard<T>>>; STRIPES]);

/// A value that was found in its place.
pub(crate) struct Guard<T>(Arc<CachePadded<Arc<T>>>);

impl<T> SnapshotCell<T> {
    pub(crate) fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(std::array::from_fn(|_| CachePadded(RwLock::new(Guard::new(&value)))))
    }

    #[inline]
    pub(crate) fn find(&self) -> Guard<T> {
        let place = self.0[stripe()].0.read().unwrap_or_else(PoisonError::into_inner);
        Guard(place.0.clone())
    }

    /// One thread at a time.
    pub(crate) fn replace(&self, value: T) {
        let value = Arc::new(value);
        for place in &self.0 {
            let mut place = place.0.write().unwrap_or_else(PoisonError::into_inner);
            let old = std::mem::replace(&mut *place, Guard::new(&value));
            drop(place);
            drop(old);
        }
    }
}

impl<T> Guard<T> {
    fn new(value: &Arc<T>) -> Self {
        Self(Arc::new(CachePadded(value.clone())))
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}
