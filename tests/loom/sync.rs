//! The model of `src/sync.rs`, with the bugs that can be planted in it.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
pub(crate) use std::sync::atomic::Ordering;

/// How the model takes what the sources tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) loads: Loads,
    pub(crate) plant: Option<Plant>,
}

/// What a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loads {
    /// It may be stale.
    AsLoads,
    /// It is a read-modify-write that changes nothing, which is tried in every order. So are stores,
    /// since loom would not know an order between a store and such a load.
    AsUpdates,
}

/// A bug, which a model must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Every read-modify-write is a load and then a store.
    Torn,
    /// All orderings are relaxed.
    Relaxed,
    /// Who locks works on a copy that is written back at the end.
    NoLock,
    /// A trial that is dropped keeps its permit (planted in `calls`).
    KeptPermit,
    /// A call ends with the admission that others get at that time (planted in `calls`).
    Renewed,
    /// Two steps of a protocol are in the wrong order (planted in the model of it).
    Swapped,
    /// What another one may have changed is not looked at again (planted in the model of it).
    LooksOnce,
}

thread_local! {
    // all threads of a model are coroutines of one thread of the system
    static TERMS: Cell<Terms> = const { Cell::new(Terms { loads: Loads::AsLoads, plant: None }) };
}

pub(crate) fn set(terms: Terms) {
    TERMS.set(terms);
}

pub(crate) fn is_planted(plant: Plant) -> bool {
    TERMS.get().plant == Some(plant)
}

fn ordering(told: Ordering) -> Ordering {
    if is_planted(Plant::Relaxed) { Ordering::Relaxed } else { told }
}

#[derive(Debug, Default)]
pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        match TERMS.get().loads {
            Loads::AsLoads => self.0.load(ordering(order)),
            Loads::AsUpdates => self.0.fetch_add(0, ordering(Ordering::AcqRel)),
        }
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        match TERMS.get().loads {
            Loads::AsLoads => self.0.store(value, ordering(order)),
            Loads::AsUpdates => _ = self.0.swap(value, ordering(order)),
        }
    }

    pub(crate) fn fetch_add(&self, amount: u64, order: Ordering) -> u64 {
        self.change(
            order,
            |word, order| word.fetch_add(amount, order),
            |old| old.wrapping_add(amount),
        )
    }

    pub(crate) fn fetch_sub(&self, amount: u64, order: Ordering) -> u64 {
        self.change(
            order,
            |word, order| word.fetch_sub(amount, order),
            |old| old.wrapping_sub(amount),
        )
    }

    pub(crate) fn fetch_or(&self, flags: u64, order: Ordering) -> u64 {
        self.change(order, |word, order| word.fetch_or(flags, order), |old| old | flags)
    }

    pub(crate) fn fetch_and(&self, flags: u64, order: Ordering) -> u64 {
        self.change(order, |word, order| word.fetch_and(flags, order), |old| old & flags)
    }

    pub(crate) fn fetch_max(&self, other: u64, order: Ordering) -> u64 {
        self.change(order, |word, order| word.fetch_max(other, order), |old| old.max(other))
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.change(order, |word, order| word.swap(value, order), |_| value)
    }

    /// Does the whole of it at once, unless updates are torn.
    fn change(
        &self,
        order: Ordering,
        whole: impl FnOnce(&loom::sync::atomic::AtomicU64, Ordering) -> u64,
        torn: impl FnOnce(u64) -> u64,
    ) -> u64 {
        if !is_planted(Plant::Torn) {
            return whole(&self.0, ordering(order));
        }
        let found = self.load(Ordering::Acquire);
        self.store(torn(found), Ordering::Release);
        found
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if !is_planted(Plant::Torn) {
            return self.0.compare_exchange(current, new, ordering(success), ordering(failure));
        }
        let found = self.load(failure);
        if found != current {
            return Err(found);
        }
        self.store(new, success);
        Ok(found)
    }

    pub(crate) fn fetch_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        let mut found = self.load(fetch);
        while let Some(new) = change(found) {
            match self.compare_exchange(found, new, set, fetch) {
                Ok(found) => return Ok(found),
                Err(other) => found = other,
            }
        }
        Err(found)
    }
}

/// `Clone` is asked for by [`Plant::NoLock`] alone.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[derive(Debug)]
pub(crate) enum MutexGuard<'a, T: Clone> {
    Held(loom::sync::MutexGuard<'a, T>),
    Copied { of: &'a Mutex<T>, copy: T },
}

impl<T: Clone> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.guard(self.0.lock().unwrap())
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        Some(self.guard(self.0.try_lock().ok()?))
    }

    fn guard<'a>(&'a self, held: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if is_planted(Plant::NoLock) {
            MutexGuard::Copied { of: self, copy: held.clone() }
        } else {
            MutexGuard::Held(held)
        }
    }
}

impl<T: Clone> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Held(held) => held,
            Self::Copied { copy, .. } => copy,
        }
    }
}

impl<T: Clone> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Held(held) => held,
            Self::Copied { copy, .. } => copy,
        }
    }
}

impl<T: Clone> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if let Self::Copied { of, copy } = self {
            *of.0.lock().unwrap() = copy.clone();
        }
    }
}
