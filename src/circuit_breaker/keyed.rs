//! Circuits by key, so many at most.

use super::handle::CircuitHandle;
use super::policy::Terms;
use super::state::{Listener, Shared, Watched};
use crate::circuit::CircuitState;
use crate::clock::{self, Instant};
use crate::sync::Mutex;
use lru::LruCache;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// So many of the least recently used circuits are asked for one that no call goes through.
const TRIES: usize = 8;

/// The circuits of all keys that were used lately.
pub(super) struct Circuits<K> {
    terms: Terms,
    capacity: usize,
    idle: Duration,
    listed: Mutex<Listed<K>>,
    own: Weak<Self>,
}

/// Two lists, each with the least recently used first: those that are closed go before the others.
struct Listed<K> {
    closed: LruCache<K, Entry>,
    others: LruCache<K, Entry>,
    made: u64,
}

struct Entry {
    circuit: Shared,
    used: Instant,
    number: u64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Circuits<K> {
    pub(super) fn new(terms: Terms, capacity: usize, idle: Duration) -> Arc<Self> {
        let listed =
            Listed { closed: LruCache::unbounded(), others: LruCache::unbounded(), made: 0 };
        Arc::new_cyclic(|own| Self {
            terms,
            capacity,
            idle,
            listed: Mutex::new(listed),
            own: own.clone(),
        })
    }

    pub(super) fn circuit(&self, key: K) -> Shared {
        let now = clock::now();
        let mut listed = self.listed.lock();
        // what is dropped here is dropped after the lock
        let _idle = [listed.expire(now, self.idle), listed.expire(now, self.idle)];
        if let Some(entry) = listed.find(&key) {
            entry.used = now;
            return entry.circuit.clone();
        }
        let _evicted = if listed.len() >= self.capacity { listed.evict() } else { None };
        listed.made += 1;
        let number = listed.made;
        let listener = self.listener(key.clone(), number);
        let circuit = Arc::new(Watched::new(&self.terms, false, Some(listener)));
        let entry = Entry { circuit: circuit.clone(), used: now, number };
        let _none = listed.closed.put(key, entry);
        circuit
    }

    /// Moves a circuit that has changed to its list.
    fn listener(&self, key: K, number: u64) -> Listener {
        let circuits = self.own.clone();
        Box::new(move |_| {
            if let Some(circuits) = circuits.upgrade() {
                circuits.listed.lock().sort(&key, number);
            }
        })
    }
}

impl<K: Hash + Eq + Clone> Listed<K> {
    fn len(&self) -> usize {
        self.closed.len() + self.others.len()
    }

    /// The entry, which is the most recently used one now.
    fn find(&mut self, key: &K) -> Option<&mut Entry> {
        if self.closed.contains(key) { self.closed.get_mut(key) } else { self.others.get_mut(key) }
    }

    /// Takes out one that was not used for so long.
    fn expire(&mut self, now: Instant, idle: Duration) -> Option<(K, Entry)> {
        for list in [&mut self.closed, &mut self.others] {
            let is_idle = list.peek_lru().is_some_and(|(_, entry)| {
                now.saturating_duration_since(entry.used) >= idle && entry.is_free()
            });
            if is_idle {
                return list.pop_lru();
            }
        }
        None
    }

    /// Takes out the least recently used one that can be missed best.
    fn evict(&mut self) -> Option<(K, Entry)> {
        let list = if self.closed.is_empty() { &mut self.others } else { &mut self.closed };
        for _ in 0..TRIES.min(list.len()) {
            let (key, entry) = list.pop_lru()?;
            if entry.is_free() {
                return Some((key, entry));
            }
            list.put(key, entry);
        }
        list.pop_lru()
    }

    fn sort(&mut self, key: &K, number: u64) {
        let is_this = |entry: &Entry| entry.number == number;
        let closed = self.closed.peek(key).is_some_and(is_this);
        if !closed && !self.others.peek(key).is_some_and(is_this) {
            return;
        }
        let (from, to) = match closed {
            true => (&mut self.closed, &mut self.others),
            false => (&mut self.others, &mut self.closed),
        };
        if from.peek(key).is_some_and(|entry| entry.is_closed() != closed) {
            if let Some((key, entry)) = from.pop_entry(key) {
                to.put(key, entry);
            }
        }
    }
}

impl Entry {
    /// No call goes through it, and no handle keeps it.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.circuit) == 1
    }

    fn is_closed(&self) -> bool {
        self.circuit.circuit.state(self.circuit.now()) == CircuitState::Closed
    }
}

impl<K> fmt::Debug for Circuits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuits")
            .field("capacity", &self.capacity)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// Watches the circuits of a breaker with one for each key; clones watch the same.
pub struct KeyedHandle<K>(pub(super) Arc<Circuits<K>>);

impl<K: Hash + Eq + Clone + Send + Sync + 'static> KeyedHandle<K> {
    /// Returns the handle of a key's circuit, if there is one; this does not make one, and does not count
    /// as its use.
    #[must_use]
    pub fn circuit(&self, key: &K) -> Option<CircuitHandle> {
        let listed = self.0.listed.lock();
        let entry = listed.closed.peek(key).or_else(|| listed.others.peek(key));
        entry.map(|entry| CircuitHandle(entry.circuit.clone()))
    }

    /// Returns the keys whose circuits are not closed, the least recently used first.
    #[must_use]
    pub fn tripped(&self) -> Vec<K> {
        let listed = self.0.listed.lock();
        listed.others.iter().rev().map(|(key, _)| key.clone()).collect()
    }

    /// Returns how many circuits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.listed.lock().len()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Clone for KeyedHandle<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for KeyedHandle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedHandle").field(&self.0).finish()
    }
}
