//! What is known of the endpoint.

use crate::attempt::{AttemptObserver, Ending};
use crate::circuit::Admission;
use crate::clock::{self, Instant};
use crate::endpoints::{Beginning, EndpointRef, Health, SetConfig, SetState};
use crate::ewma::{left, toward};
use crate::outcome::Outcome;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a call is taken to take where one failed and none ever went well, in nanoseconds: nothing is
/// known of its latency, and a failure must not look fast. It is forgotten with time, so that the
/// endpoint is asked again.
const UNKNOWN: f32 = 1e9;
const FORGOTTEN_IN: f32 = 2_000.0;

/// One endpoint, which is never ejected, since it is the only one of its set.
pub(super) struct Tracked {
    pub(super) set_state: SetState,
    pub(super) health: Health,
    /// When a call failed last. Relaxed: an estimate is made of it.
    failed_at: AtomicU64,
}

impl Tracked {
    pub(super) fn new() -> Arc<Self> {
        let set_state = SetState::new(SetConfig::default(), clock::now());
        let health = Health::new(Beginning::default());
        let tracked = Self { set_state, health, failed_at: AtomicU64::default() };
        tracked.health.enroll(tracked.endpoint_ref());
        Arc::new(tracked)
    }

    pub(super) fn endpoint_ref(&self) -> EndpointRef<'_> {
        EndpointRef { set_state: &self.set_state, name: "tracked", tier: 0, account: None }
    }

    /// The cost of a call.
    pub(super) fn cost(&self) -> f64 {
        let now = self.set_state.tick(clock::now());
        let mut slow = f64::from(self.health.cost(&self.set_state, now));
        if self.health.nanos() == 0.0 && self.health.has_failed() {
            let passed = now.saturating_sub(self.failed_at.load(Relaxed));
            slow *= f64::from(toward(UNKNOWN, 1.0, left(passed, FORGOTTEN_IN)));
        }
        slow * (1.0 + f64::from(self.health.in_flight()))
    }

    pub(super) fn admission(&self) -> Admission {
        self.health.admission().unwrap_or(Admission::UNWATCHED)
    }
}

impl AttemptObserver for Tracked {
    fn answered(&self, admission: Admission, started: Option<Instant>, head: Instant) {
        self.health.answered(self.endpoint_ref(), admission, started, head);
    }

    fn succeeded(&self, admission: &Admission, started: &Option<Instant>) {
        self.health.succeeded(self.endpoint_ref(), *admission, *started, clock::now());
    }

    fn settle(&self, admission: Admission, ending: &Ending) {
        let now = clock::now();
        if ending.outcome != Outcome::Success {
            self.failed_at.store(self.set_state.tick(now), Relaxed);
        }
        self.health.settle(self.endpoint_ref(), admission, ending, now);
    }

    fn hang_after(&self) -> Option<Duration> {
        self.set_state.config().hang_after.time(|| self.health.latency())
    }

    fn body_hang_after(&self) -> Option<Duration> {
        self.set_state.config().body_hang_after
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health.fmt(f)
    }
}
