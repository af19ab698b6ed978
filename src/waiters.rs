//! Tasks that wait for something to change.

use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst};
use std::collections::BTreeMap;
use std::task::Waker;

/// The tasks that wait: all of them are woken, since each may have left.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Relaxed: each number is handed out once, and that is all.
    next: AtomicU64,
    /// Written under the lock. `SeqCst`: one that waits writes it and then reads the word that it waits for, and
    /// whoever changes that word reads this one after it. In one order of all, one of them sees the other.
    count: AtomicU64,
    wakers: Mutex<BTreeMap<u64, Waker>>,
}

impl Waiters {
    /// A place of its own for a task.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    pub(crate) fn wait(&self, number: u64, waker: &Waker) {
        // wakers are cloned and dropped outside of the lock, since that may run anything
        let waker = waker.clone();
        let _old = {
            let mut wakers = self.wakers.lock();
            let old = wakers.insert(number, waker);
            self.count.store(wakers.len() as u64, SeqCst);
            old
        };
    }

    pub(crate) fn leave(&self, number: u64) {
        let _old = {
            let mut wakers = self.wakers.lock();
            let old = wakers.remove(&number);
            self.count.store(wakers.len() as u64, SeqCst);
            old
        };
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(SeqCst) == 0
    }

    pub(crate) fn wake(&self) {
        let wakers = {
            let mut wakers = self.wakers.lock();
            self.count.store(0, SeqCst);
            std::mem::take(&mut *wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }
}
