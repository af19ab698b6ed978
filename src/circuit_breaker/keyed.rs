//! Circuits by key, so many at most.

use super::handle::CircuitHandle;
use super::policy::Terms;
use super::state::{Listener, Shared, Watched};
use crate::circuit::CircuitState;
use crate::clock::{self, Instant};
use crate::sync::Mutex;
use lru::LruCache;
use std::collections::HashMap;
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
///
/// They go by number: a key that panics when it is hashed or compared does not do so inside of them.
struct Listed<K> {
    numbers: HashMap<K, u64>,
    closed: LruCache<u64, Entry<K>>,
    others: LruCache<u64, Entry<K>>,
    made: u64,
}

struct Entry<K> {
    key: K,
    circuit: Shared,
    used: Instant,
}

/// What is no longer listed. It is dropped after the lock, since that may run anything.
struct Gone<K> {
    _entry: Entry<K>,
    _key: Option<(K, u64)>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Circuits<K> {
    pub(super) fn new(terms: Terms, capacity: usize, idle: Duration) -> Arc<Self> {
        let (closed, others) = (LruCache::unbounded(), LruCache::unbounded());
        let listed = Listed { numbers: HashMap::new(), closed, others, made: 0 };
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
        // declared before the lock is taken, and so dropped after it
        let (_idle, _evicted);
        let mut listed = self.listed.lock();
        _idle = [listed.expire(now, self.idle), listed.expire(now, self.idle)];
        if let Some(entry) = listed.find(&key) {
            entry.used = now;
            return entry.circuit.clone();
        }
        _evicted = if listed.len() >= self.capacity { listed.evict() } else { None };
        listed.made += 1;
        let number = listed.made;
        let circuit = Arc::new(Watched::new(&self.terms, false, Some(self.listener(number))));
        let entry = Entry { key: key.clone(), circuit: circuit.clone(), used: now };
        listed.numbers.insert(key, number);
        listed.closed.put(number, entry);
        circuit
    }

    /// Moves a circuit that has changed to its list.
    fn listener(&self, number: u64) -> Listener {
        let circuits = self.own.clone();
        Box::new(move |_| {
            if let Some(circuits) = circuits.upgrade() {
                circuits.listed.lock().sort(number);
            }
        })
    }
}

impl<K: Hash + Eq + Clone> Listed<K> {
    fn len(&self) -> usize {
        self.closed.len() + self.others.len()
    }

    fn peek(&self, number: u64) -> Option<&Entry<K>> {
        self.closed.peek(&number).or_else(|| self.others.peek(&number))
    }

    /// The entry, which is the most recently used one now.
    fn find(&mut self, key: &K) -> Option<&mut Entry<K>> {
        let number = self.numbers.get(key)?;
        let list = if self.closed.contains(number) { &mut self.closed } else { &mut self.others };
        list.get_mut(number)
    }

    /// Takes out one that was not used for so long.
    fn expire(&mut self, now: Instant, idle: Duration) -> Option<Gone<K>> {
        let lists = [&mut self.closed, &mut self.others];
        let number = lists.into_iter().find_map(|list| {
            let (&number, entry) = list.peek_lru()?;
            if now.saturating_duration_since(entry.used) < idle {
                return None;
            }
            if entry.is_free() {
                return Some(number);
            }
            // in the first place it would keep all those behind it
            list.promote(&number);
            None
        })?;
        self.take(number)
    }

    /// Takes out the least recently used one that can be missed best.
    fn evict(&mut self) -> Option<Gone<K>> {
        let list = if self.closed.is_empty() { &mut self.others } else { &mut self.closed };
        let mut left = TRIES.min(list.len());
        let number = loop {
            let (&number, entry) = list.peek_lru()?;
            if left == 0 || entry.is_free() {
                break number;
            }
            list.promote(&number);
            left -= 1;
        };
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Gone<K>> {
        let entry = self.closed.peek(&number).or_else(|| self.others.peek(&number))?;
        // first, since it may panic
        let _key = self.numbers.remove_entry(&entry.key);
        let _entry = self.closed.pop(&number).or_else(|| self.others.pop(&number))?;
        Some(Gone { _entry, _key })
    }

    fn sort(&mut self, number: u64) {
        let closed = self.closed.contains(&number);
        let (from, to) = match closed {
            true => (&mut self.closed, &mut self.others),
            false => (&mut self.others, &mut self.closed),
        };
        if from.peek(&number).is_some_and(|entry| entry.is_closed() != closed) {
            if let Some(entry) = from.pop(&number) {
                to.put(number, entry);
            }
        }
    }
}

impl<K> Entry<K> {
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
        let entry = listed.peek(*listed.numbers.get(key)?);
        entry.map(|entry| CircuitHandle(entry.circuit.clone()))
    }

    /// Returns the keys whose circuits are not closed, the least recently used first.
    #[must_use]
    pub fn tripped(&self) -> Vec<K> {
        let listed = self.0.listed.lock();
        // a ramp ends by itself, and its circuit is moved by the next call
        let tripped = listed.others.iter().rev().filter(|(_, entry)| !entry.is_closed());
        tripped.map(|(_, entry)| entry.key.clone()).collect()
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
