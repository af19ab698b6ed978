//! What every call writes, spread over cache lines so that threads don't wait for one another's.

use crate::padded::CachePadded;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub(crate) const STRIPES: usize = 8;

/// A sum that threads add to side by side. Relaxed: each part is added and taken once in one word, and nothing
/// else is read because of it.
#[derive(Debug, Default)]
pub(crate) struct StripedSum([CachePadded<AtomicU64>; STRIPES]);

impl StripedSum {
    pub(crate) fn add(&self, amount: u64) {
        self.0[stripe() % STRIPES].0.fetch_add(amount, Relaxed);
    }

    /// Takes out all that was added; nothing is lost or taken twice when several threads take.
    pub(crate) fn take(&self) -> u64 {
        self.0.iter().fold(0, |sum, line| match line.0.load(Relaxed) {
            0 => sum,
            _ => sum.saturating_add(line.0.swap(0, Relaxed)),
        })
    }
}

/// A value that calls hold on to, with a count of its holders for each stripe: threads that hold and
/// release it at every call don't write to the same place.
pub(crate) struct Striped<T>(Arc<Values<T>>);

struct Values<T> {
    /// To look at without holding on to it.
    own: T,
    held: [StripedRef<T>; STRIPES],
}

/// A value that is held on to.
pub(crate) struct StripedRef<T>(Arc<CachePadded<T>>);

impl<T: Clone> Striped<T> {
    /// The value is cloned for each stripe.
    pub(crate) fn new(value: T) -> Self {
        let held = std::array::from_fn(|_| StripedRef(Arc::new(CachePadded(value.clone()))));
        Self(Arc::new(Values { own: value, held }))
    }
}

impl<T> Striped<T> {
    #[inline]
    pub(crate) fn hold(&self) -> StripedRef<T> {
        StripedRef(self.0.held[stripe() % STRIPES].0.clone())
    }
}

impl<T> Clone for Striped<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Striped<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.own
    }
}

impl<T> Deref for StripedRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Striped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for StripedRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The stripe of this thread, below [`STRIPES`].
#[inline]
pub(crate) fn stripe() -> usize {
    // Relaxed: threads that get the same stripe are slower, and nothing else
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    // none at first; without a destructor, so that it is there to the very end of the thread
    thread_local!(static STRIPE: Cell<usize> = const { Cell::new(STRIPES) });
    #[cold]
    fn choose() -> usize {
        let stripe = THREADS.fetch_add(1, Relaxed) % STRIPES;
        STRIPE.with(|own| own.set(stripe));
        stripe
    }
    match STRIPE.with(Cell::get) {
        stripe if stripe < STRIPES => stripe,
        _ => choose() % STRIPES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_many_threads_add_is_taken_exactly_once() {
        let counter = StripedSum::default();
        let taken = thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add(3)));
            }
            let takers: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| (0..1_000).map(|_| counter.take()).sum::<u64>()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<u64>()
        });
        assert_eq!(taken + counter.take(), 16 * 10_000 * 3);
    }

    /// A17
    #[test]
    fn a_spread_value_lives_as_long_as_anybody_holds_it() {
        let probe = Arc::new(());
        let spread = Striped::new(probe.clone());
        let held = thread::scope(|scope| {
            let holders: Vec<_> = (0..16).map(|_| scope.spawn(|| spread.hold())).collect();
            holders.into_iter().map(|holder| holder.join().unwrap()).collect::<Vec<_>>()
        });
        drop(spread);
        assert!(Arc::strong_count(&probe) > 1);
        drop(held);
        assert_eq!(Arc::strong_count(&probe), 1);
    }
}
