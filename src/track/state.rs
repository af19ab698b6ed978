//! What is known of the endpoint.

use crate::circuit::Admission;
use crate::clock::{self, Instant};
use crate::ewma::{left, toward};
use crate::health::{Health, Place, Roster, Settings};
use crate::outcome::Outcome;
use crate::record::{Ending, Ledger, Target};
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
    pub(super) roster: Roster,
    pub(super) health: Health,
    /// When a call failed last.
    failed_at: AtomicU64,
}

impl Tracked {
    pub(super) fn new() -> Arc<Self> {
        let roster = Roster::new(Settings::default(), clock::now());
        let health = Health::new(false, false, false, None);
        let tracked = Self { roster, health, failed_at: AtomicU64::default() };
        tracked.health.enroll(tracked.place());
        Arc::new(tracked)
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { roster: &self.roster, name: "tracked", tier: 0, scope: None }
    }

    /// The cost of a call.
    pub(super) fn cost(&self) -> f64 {
        let now = self.roster.tick(clock::now());
        let mut slow = f64::from(self.health.cost(&self.roster, now));
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

impl Ledger for Tracked {
    fn answered(&self, admission: Admission, started: Option<Instant>, head: Instant) {
        self.health.answered(self.place(), admission, started, head);
    }

    fn succeeded(&self, admission: &Admission, started: &Option<Instant>) {
        self.health.succeeded(self.place(), *admission, *started, clock::now());
    }

    fn settle(&self, admission: Admission, ending: &Ending) {
        let now = clock::now();
        if ending.outcome != Outcome::Success {
            self.failed_at.store(self.roster.tick(now), Relaxed);
        }
        self.health.settle(self.place(), admission, ending, now);
    }

    fn hang_after(&self) -> Option<Duration> {
        self.roster.settings().hang_after.time(|| self.health.latency())
    }

    fn body_hang_after(&self) -> Option<Duration> {
        self.roster.settings().body_hang_after
    }
}

#[derive(Clone, Debug)]
pub(super) struct Through(pub(super) Arc<Tracked>);

impl Target for Through {
    type Ledger = Tracked;

    fn ledger(&self) -> &Tracked {
        &self.0
    }

    fn share(&self) -> Arc<dyn Ledger> {
        self.0.clone()
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health.fmt(f)
    }
}
