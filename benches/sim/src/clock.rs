//! The clock that the library reads, moved by the simulation: tokio's own, which stands still between two
//! events.

use crate::scenario::Nanos;
use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, EnterGuard, Runtime};

/// The clock of one simulation, which its thread reads as long as it is [entered](Self::enter).
pub(crate) struct Clock {
    runtime: Runtime,
    shown: Cell<Nanos>,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without sockets needs nothing of the system");
        Self { runtime, shown: Cell::new(0), woken: Arc::default() }
    }

    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Shows this time, to the nanosecond.
    pub(crate) fn show(&self, now: Nanos) {
        let passed = now - self.shown.replace(now);
        if passed > 0 {
            // its first poll moves the clock, and then it only waits for other tasks
            let advance = pin!(tokio::time::advance(Duration::from_nanos(passed)));
            let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Wakes the sleeps that have ended, which do so on whole milliseconds; returns the requests that had them.
    pub(crate) fn wake(&self) -> Vec<usize> {
        // where a task yields, the runtime looks after its timers
        self.runtime.block_on(tokio::task::yield_now());
        mem::take(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the sleeps of a request wake.
    pub(crate) fn waker(&self, request: usize) -> Waker {
        Arc::new(Sleeper { request, woken: self.woken.clone() }).into()
    }
}

struct Sleeper {
    request: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.request);
    }
}
