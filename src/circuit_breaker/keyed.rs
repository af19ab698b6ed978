//! Circuits by key, so many at most.

use super::handle::CircuitHandle;
use super::policy::BreakerConfig;
use super::state::{Listener, ObservedCircuit, SharedCircuit};
use crate::circuit::CircuitState;
use crate::clock::{self, Instant};
use crate::sync::Mutex;
use lru::LruCache;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// So many of the least recently used circuits are asked at a time for one that no call goes through.
const TRIES: usize = 8;

/// The circuits of all keys that were used lately.
pub(super) struct Circuits<K> {
    config: BreakerConfig,
    capacity: usize,
    idle: Duration,
    listed: Mutex<Listed<K>>,
    own: Weak<Self>,
}

/// The circuits by [`rank`], each list with the least recently used first.
///
/// They go by number: a key that panics when it is hashed or compared does not do so inside of them.
struct Listed<K> {
    numbers: HashMap<K, u64>,
    lists: [LruCache<u64, Entry<K>>; 3],
    made: u64,
}

/// In which order circuits go: first those that are closed, then those that may close with time alone,
/// and so may have closed unseen.
fn rank(state: CircuitState) -> usize {
    match state {
        CircuitState::Closed => 0,
        CircuitState::Degraded | CircuitState::Ramp => 1,
        _ => 2,
    }
}

struct Entry<K> {
    key: K,
    circuit: SharedCircuit,
    used: Instant,
}

/// What is no longer listed. It is dropped after the lock, since that may run anything.
struct Gone<K> {
    _entry: Entry<K>,
    _key: Option<(K, u64)>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Circuits<K> {
    pub(super) fn new(config: BreakerConfig, capacity: usize, idle: Duration) -> Arc<Self> {
        let lists = [(); 3].map(|()| LruCache::unbounded());
        let listed = Listed { numbers: HashMap::new(), lists, made: 0 };
        Arc::new_cyclic(|own| Self {
            config,
            capacity,
            idle,
            listed: Mutex::new(listed),
            own: own.clone(),
        })
    }

    pub(super) fn circuit(&self, key: K) -> SharedCircuit {
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
        let circuit =
            Arc::new(ObservedCircuit::new(&self.config, false, Some(self.listener(number))));
        let entry = Entry { key: key.clone(), circuit: circuit.clone(), used: now };
        listed.numbers.insert(key, number);
        listed.lists[rank(CircuitState::Closed)].put(number, entry);
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
        self.lists.iter().map(LruCache::len).sum()
    }

    fn peek(&self, number: u64) -> Option<&Entry<K>> {
        self.lists.iter().find_map(|list| list.peek(&number))
    }

    /// The entry, which is the most recently used one now.
    fn find(&mut self, key: &K) -> Option<&mut Entry<K>> {
        let number = self.numbers.get(key)?;
        self.lists.iter_mut().find_map(|list| list.get_mut(number))
    }

    /// Takes out one that was not used for so long.
    fn expire(&mut self, now: Instant, idle: Duration) -> Option<Gone<K>> {
        let is_old = |entry: &Entry<K>| now.saturating_duration_since(entry.used) >= idle;
        let mut idle_one = None;
        for list in &mut self.lists {
            for _ in 0..TRIES {
                let oldest = list.peek_lru().filter(|(_, entry)| is_old(entry));
                let Some((&number, entry)) = oldest else { break };
                if entry.is_free() {
                    idle_one = Some(number);
                    break;
                }
                // it is in use until now, and out of the way of those behind it
                if let Some(entry) = list.get_mut(&number) {
                    entry.used = now;
                }
            }
        }
        self.take(idle_one?)
    }

    /// Takes out the least recently used one that can be missed best.
    fn evict(&mut self) -> Option<Gone<K>> {
        let list = self.lists.iter_mut().find(|list| !list.is_empty())?;
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
        let list = self.lists.iter_mut().find(|list| list.contains(&number))?;
        // first, since it may panic
        let _key = self.numbers.remove_entry(&list.peek(&number)?.key);
        let _entry = list.pop(&number)?;
        Some(Gone { _entry, _key })
    }

    fn sort(&mut self, number: u64) {
        let Some(from) = self.lists.iter().position(|list| list.contains(&number)) else { return };
        let to = self.lists[from].peek(&number).map_or(from, |entry| rank(entry.state()));
        if from != to {
            if let Some(entry) = self.lists[from].pop(&number) {
                self.lists[to].put(number, entry);
            }
        }
    }
}

impl<K> Entry<K> {
    /// It can be forgotten: no call goes through it, no handle keeps it, and it was not forced.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.circuit) == 1 && self.circuit.circuit.is_automatic()
    }

    fn state(&self) -> CircuitState {
        self.circuit.circuit.state(self.circuit.now())
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
        let others = listed.lists[1..].iter().flat_map(|list| list.iter().rev());
        let entries = others.map(|(_, entry)| entry);
        // a ramp ends by itself, and its circuit is moved by the next call
        let mut tripped: Vec<_> =
            entries.filter(|entry| entry.state() != CircuitState::Closed).collect();
        tripped.sort_by_key(|entry| entry.used);
        tripped.into_iter().map(|entry| entry.key.clone()).collect()
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
