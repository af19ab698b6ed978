//! What every call writes, spread over cache lines so that threads don't wait for one another's.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) const STRIPES: usize = 8;

/// Keeps what it holds away from its neighbours: two lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// A sum that threads add to side by side.
#[derive(Debug, Default)]
pub(crate) struct Striped([Apart<AtomicU64>; STRIPES]);

impl Striped {
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
pub(crate) struct Spread<T>(Arc<Values<T>>);

struct Values<T> {
    /// To look at without holding on to it.
    own: T,
    held: [Held<T>; STRIPES],
}

/// A value that is held on to.
pub(crate) struct Held<T>(Arc<Apart<T>>);

impl<T: Clone> Spread<T> {
    /// The value is cloned for each stripe.
    pub(crate) fn new(value: T) -> Self {
        let held = std::array::from_fn(|_| Held(Arc::new(Apart(value.clone()))));
        Self(Arc::new(Values { own: value, held }))
    }
}

impl<T> Spread<T> {
    #[inline]
    pub(crate) fn hold(&self) -> Held<T> {
        Held(self.0.held[stripe() % STRIPES].0.clone())
    }
}

impl<T> Clone for Spread<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Spread<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.own
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Spread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value that is replaced as a whole. Every stripe has its own place to find it in, so that threads
/// which do don't write to the same place; the lock there is held to copy or swap a pointer, and for
/// nothing else.
pub(crate) struct Swap<T>([Apart<RwLock<Found<T>>>; STRIPES]);

/// A value that was found in its place.
pub(crate) struct Found<T>(Arc<Apart<Arc<T>>>);

impl<T> Swap<T> {
    pub(crate) fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(std::array::from_fn(|_| Apart(RwLock::new(Found::new(&value)))))
    }

    #[inline]
    pub(crate) fn find(&self) -> Found<T> {
        let place = self.0[stripe()].0.read().unwrap_or_else(PoisonError::into_inner);
        Found(place.0.clone())
    }

    /// One thread at a time.
    pub(crate) fn replace(&self, value: T) {
        let value = Arc::new(value);
        for place in &self.0 {
            let mut place = place.0.write().unwrap_or_else(PoisonError::into_inner);
            let old = std::mem::replace(&mut *place, Found::new(&value));
            drop(place);
            drop(old);
        }
    }
}

impl<T> Found<T> {
    fn new(value: &Arc<T>) -> Self {
        Self(Arc::new(Apart(value.clone())))
    }
}

impl<T> Deref for Found<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

/// The stripe of this thread, below [`STRIPES`].
#[inline]
pub(crate) fn stripe() -> usize {
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
        let counter = Striped::default();
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
        let spread = Spread::new(probe.clone());
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
