//! What is compared: who balances, and how requests are hedged.

use crate::measure::Measures;
use crate::peers::{Bound, Peer, RoundRobin, Tower};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::shipped::Maker;
use crate::world::simulate;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    RoundRobin,
    Tower,
    Bound,
    Ours,
    /// Ours, with hedges as the layer has them by default, after this percentile.
    Hedged(u8),
    /// Ours, with hedges after this percentile in tower's way.
    Naive(u8),
}

impl Kind {
    pub(crate) const P90: Self = Self::Hedged(90);
    pub(crate) const P95: Self = Self::Hedged(95);
    pub(crate) const P99: Self = Self::Hedged(99);
    pub(crate) const NAIVE: Self = Self::Naive(95);

    /// Compared where the choice is what matters.
    pub(crate) const CHOICES: [Self; 4] = [Self::RoundRobin, Self::Tower, Self::Bound, Self::Ours];
    pub(crate) const ALL: [Self; 8] = [
        Self::RoundRobin,
        Self::Tower,
        Self::Bound,
        Self::Ours,
        Self::P99,
        Self::P95,
        Self::P90,
        Self::NAIVE,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Tower => "tower",
            Self::Bound => "bound",
            Self::Ours => "ours",
            Self::P99 => "hedged after p99",
            Self::P95 => "hedged after p95",
            Self::Hedged(_) => "hedged after p90",
            Self::Naive(_) => "hedged naively",
        }
    }

    pub(crate) fn measure(self, scenario: &Scenario, seed: u64) -> Measures {
        let servers = scenario.servers;
        let random = |client: usize| Random::new(seed, 1_000 + client as u64);
        let ours = Maker { scenario, seed };
        match self {
            Self::RoundRobin => {
                simulate(scenario, seed, |client| Peer(RoundRobin::new(servers, random(client))))
            }
            Self::Tower => {
                simulate(scenario, seed, |client| Peer(Tower::new(servers, random(client))))
            }
            Self::Bound => {
                simulate(scenario, seed, |client| Peer(Bound { servers, random: random(client) }))
            }
            Self::Ours => simulate(scenario, seed, |client| ours.balanced(client)),
            Self::Hedged(percent) => {
                simulate(scenario, seed, |client| ours.hedged(client, percent))
            }
            Self::Naive(percent) => {
                simulate(scenario, seed, |client| ours.hedged_naively(client, percent))
            }
        }
    }
}
