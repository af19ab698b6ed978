//! Watches a circuit breaker from both sides.

use crate::clock;
use crate::family::Guard;
use crate::world::{World, lock};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tower_failover::circuit_breaker::{CircuitHandle, CircuitState};

/// The settings of a breaker on which its invariants depend.
pub(crate) struct Watch {
    pub(crate) text: String,
    pub(crate) gated: bool,
    pub(crate) max_trials: u64,
    pub(crate) trial_timeout: Duration,
}

pub(crate) struct BreakerTap {
    world: Arc<World>,
    pub(crate) text: String,
    /// Its readiness waits while the circuit is open.
    pub(crate) gated: bool,
    max_trials: u64,
    trial_timeout: Duration,
    /// None for a keyed breaker, which has many circuits.
    handle: Mutex<Option<CircuitHandle>>,
    outer_calls: AtomicU64,
    inner_calls: AtomicU64,
    inner_live: AtomicI64,
    half_open: Mutex<HalfOpen>,
    steered: AtomicBool,
}

/// The trials of the present half-open period.
#[derive(Default)]
struct HalfOpen {
    /// How often the circuit had opened before.
    opened: u64,
    /// The number of each call that is under way, and since when it is.
    trials: Vec<(u64, Instant)>,
}

impl BreakerTap {
    pub(crate) fn new(world: &Arc<World>, watch: Watch) -> Arc<Self> {
        let Watch { text, gated, max_trials, trial_timeout } = watch;
        Arc::new(Self {
            world: world.clone(),
            text,
            gated,
            max_trials,
            trial_timeout,
            handle: Mutex::default(),
            outer_calls: AtomicU64::new(0),
            inner_calls: AtomicU64::new(0),
            inner_live: AtomicI64::new(0),
            half_open: Mutex::default(),
            steered: AtomicBool::new(false),
        })
    }

    pub(crate) fn set_handle(&self, handle: CircuitHandle) {
        *lock(&self.handle) = Some(handle);
    }

    pub(crate) fn handle(&self) -> Option<CircuitHandle> {
        lock(&self.handle).clone()
    }

    /// From here on its handle is used, so that no bound holds any more.
    pub(crate) fn steer(&self) {
        self.steered.store(true, SeqCst);
    }

    pub(crate) fn is_steered(&self) -> bool {
        self.steered.load(SeqCst)
    }

    pub(crate) fn outer_calls(&self) -> u64 {
        self.outer_calls.load(SeqCst)
    }

    pub(crate) fn inner_live(&self) -> i64 {
        self.inner_live.load(SeqCst)
    }

    /// A call reaches the breaker.
    pub(crate) fn outer_call(&self) {
        self.outer_calls.fetch_add(1, SeqCst);
    }

    /// The breaker lets a call pass, which lasts as long as the guard.
    pub(crate) fn inner_call(self: &Arc<Self>) -> Guard {
        self.inner_live.fetch_add(1, SeqCst);
        let number = self.inner_calls.fetch_add(1, SeqCst);
        if self.world.single && !self.is_steered() {
            self.check_pass(number);
        }
        Box::new(InnerCall { tap: self.clone(), number })
    }

    /// No call passes an open circuit, and a half-open one has a bounded number of trials.
    fn check_pass(&self, number: u64) {
        let Some(handle) = self.handle() else { return };
        let shot = handle.snapshot();
        match shot.state {
            CircuitState::HalfOpen => self.check_trial(number, shot.opened),
            CircuitState::Open => self.world.violate("call-through-open", self.text.clone()),
            _ => {}
        }
    }

    fn check_trial(&self, number: u64, opened: u64) {
        let now = clock::now();
        let mut half_open = lock(&self.half_open);
        if half_open.opened != opened {
            *half_open = HalfOpen { opened, trials: Vec::new() };
        }
        half_open.trials.push((number, now));
        // a trial that takes too long makes room for another
        let young = |(_, since): &&(u64, Instant)| now - *since < self.trial_timeout;
        let trials = half_open.trials.iter().filter(young).count() as u64;
        drop(half_open);
        if trials > self.max_trials {
            let text = format!("{trials} of {} {}", self.max_trials, self.text);
            self.world.violate("too-many-trials", text);
        }
    }
}

struct InnerCall {
    tap: Arc<BreakerTap>,
    number: u64,
}

impl Drop for InnerCall {
    fn drop(&mut self) {
        self.tap.inner_live.fetch_sub(1, SeqCst);
        lock(&self.tap.half_open).trials.retain(|(number, _)| *number != self.number);
    }
}
