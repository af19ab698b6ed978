//! How a client chooses: tower's way, the simplest, the best there is, and ours.

use crate::balance::Ours;
use crate::hedge::{Hedger, Hedging};
use crate::measure::Measures;
use crate::random::Random;
use crate::scenario::{Nanos, Scenario};
use crate::world::{Truth, simulate};

/// The choice of one client.
pub(crate) trait Policy {
    /// What it wants to know of a call when that ends.
    type Ticket: Copy;

    /// Chooses the server of a call that is sent at once, none that was tried for this request. Only a
    /// bound may look at the truth. `may_follow`: another attempt may come after this one.
    fn pick(
        &mut self,
        now: Nanos,
        tried: &[usize],
        may_follow: bool,
        truth: &Truth<'_>,
    ) -> Option<(usize, Self::Ticket)>;

    /// The call ended: with an answer, or, not `good`, with an error or its time-out.
    fn done(&mut self, server: usize, ticket: Self::Ticket, sent: Nanos, now: Nanos, good: bool) {
        _ = (server, ticket, sent, now, good);
    }

    /// The call was given up, since another attempt of its request was faster.
    fn lost(&mut self, server: usize, ticket: Self::Ticket, sent: Nanos, now: Nanos) {
        _ = (server, ticket, sent, now);
    }

    /// What it thinks of a server in the end.
    fn known(&self, server: usize) -> Known {
        _ = server;
        Known::default()
    }
}

/// How often a client took a server for a bad one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    pub failures: u64,
    pub ejections: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RoundRobin,
    Tower,
    Bound,
    Ours,
    /// Ours, with hedges.
    Hedged(Hedging),
}

impl Kind {
    pub const P90: Self = Self::Hedged(Hedging::After { percent: 90 });
    pub const P95: Self = Self::Hedged(Hedging::After { percent: 95 });
    pub const P99: Self = Self::Hedged(Hedging::After { percent: 99 });
    pub const NAIVE: Self = Self::Hedged(Hedging::Naive { percent: 95 });

    /// Compared where the choice is what matters.
    pub const CHOICES: [Self; 4] = [Self::RoundRobin, Self::Tower, Self::Bound, Self::Ours];
    pub const ALL: [Self; 8] = [
        Self::RoundRobin,
        Self::Tower,
        Self::Bound,
        Self::Ours,
        Self::P99,
        Self::P95,
        Self::P90,
        Self::NAIVE,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Tower => "tower",
            Self::Bound => "bound",
            Self::Ours => "ours",
            Self::P99 => "hedged after p99",
            Self::P95 => "hedged after p95",
            Self::P90 => "hedged after p90",
            Self::Hedged(_) => "hedged naively",
        }
    }

    pub fn measure(self, scenario: &Scenario, seed: u64) -> Measures {
        let servers = scenario.servers;
        let random = |client: usize| Random::new(seed, 1_000 + client as u64);
        let ours = |client| Ours::new(scenario, random(client).bits());
        match self {
            Self::RoundRobin => {
                simulate(scenario, seed, |client| (RoundRobin::new(servers, random(client)), None))
            }
            Self::Tower => {
                simulate(scenario, seed, |client| (Tower::new(servers, random(client)), None))
            }
            Self::Bound => {
                simulate(scenario, seed, |client| (Bound { servers, random: random(client) }, None))
            }
            Self::Ours => simulate(scenario, seed, |client| (ours(client), None)),
            Self::Hedged(hedging) => {
                simulate(scenario, seed, |client| (ours(client), Some(Hedger::new(hedging))))
            }
        }
    }
}

struct RoundRobin {
    next: usize,
    servers: usize,
}

impl RoundRobin {
    fn new(servers: usize, mut random: Random) -> Self {
        Self { next: random.below(servers), servers }
    }
}

impl Policy for RoundRobin {
    type Ticket = ();

    fn pick(&mut self, _: Nanos, _: &[usize], _: bool, _: &Truth<'_>) -> Option<(usize, ())> {
        self.next = (self.next + 1) % self.servers;
        Some((self.next, ()))
    }
}

/// Knows everything at once, the queues of all servers too: nobody can do much better.
struct Bound {
    servers: usize,
    random: Random,
}

impl Policy for Bound {
    type Ticket = ();

    fn pick(&mut self, _: Nanos, _: &[usize], _: bool, truth: &Truth<'_>) -> Option<(usize, ())> {
        let start = self.random.below(self.servers);
        let (_, best) = (0..self.servers)
            .map(|step| (start + step) % self.servers)
            .map(|server| (truth.delay(server), server))
            .reduce(|best, other| if other.0 < best.0 { other } else { best })
            .expect("there are servers");
        Some((best, ()))
    }
}

/// `tower::balance::p2c` over `tower::load::PeakEwma`, after their documentation: of two endpoints
/// drawn at random the one with the lower load, which is the estimate of its round trip times one
/// more than its pending calls. A longer round trip raises the estimate at once; otherwise it moves
/// with the time since the last one, and towards zero with each look at the load.
struct Tower {
    endpoints: Vec<Peak>,
    random: Random,
}

struct Peak {
    pending: u32,
    estimate: f64,
    updated: Nanos,
}

impl Peak {
    /// What tower's own examples set: the estimate before the first answer, and the decay.
    const DEFAULT: f64 = 30e6;
    const DECAY: f64 = 10e9;

    fn update(&mut self, sample: f64, now: Nanos) {
        if sample > self.estimate {
            self.estimate = sample;
        } else {
            let kept = (-((now - self.updated) as f64) / Self::DECAY).exp();
            self.estimate = self.estimate * kept + sample * (1.0 - kept);
        }
        self.updated = now;
    }

    fn load(&mut self, now: Nanos) -> f64 {
        self.update(0.0, now);
        self.estimate * f64::from(self.pending + 1)
    }
}

impl Tower {
    fn new(servers: usize, random: Random) -> Self {
        let fresh = || Peak { pending: 0, estimate: Peak::DEFAULT, updated: 0 };
        Self { endpoints: (0..servers).map(|_| fresh()).collect(), random }
    }
}

impl Policy for Tower {
    type Ticket = ();

    fn pick(&mut self, now: Nanos, _: &[usize], _: bool, _: &Truth<'_>) -> Option<(usize, ())> {
        let (first, second) = self.random.two_below(self.endpoints.len());
        let loads = [first, second].map(|endpoint| self.endpoints[endpoint].load(now));
        let picked = if loads[0] <= loads[1] { first } else { second };
        self.endpoints[picked].pending += 1;
        Some((picked, ()))
    }

    fn done(&mut self, server: usize, (): (), sent: Nanos, now: Nanos, _: bool) {
        let endpoint = &mut self.endpoints[server];
        endpoint.pending -= 1;
        endpoint.update((now - sent) as f64, now);
    }
}
