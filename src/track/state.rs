//! What is known of the endpoint.

use crate::circuit::Admission;
use crate::clock::{self, Instant};
use crate::health::{Health, Place, Roster, Settings};
use crate::record::{Ending, Ledger, Target};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One endpoint, which is never ejected, since it is the only one of its set.
pub(super) struct Tracked {
    pub(super) roster: Roster,
    pub(super) health: Health,
}

impl Tracked {
    pub(super) fn new() -> Arc<Self> {
        let roster = Roster::new(Settings::default(), clock::now());
        roster.enroll(0);
        Arc::new(Self { roster, health: Health::new(false, false, false, None) })
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { roster: &self.roster, name: "tracked", tier: 0, scope: None }
    }

    /// The cost of a call.
    pub(super) fn cost(&self) -> f64 {
        let now = self.roster.tick(clock::now());
        let slow = f64::from(self.health.cost(&self.roster, now));
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
        self.health.settle(self.place(), admission, ending, clock::now());
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
