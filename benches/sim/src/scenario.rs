//! What is simulated: the clients, the servers, and what goes wrong.

use crate::kinds::Kind as Policy;

/// Nanoseconds since the simulation began.
pub(crate) type Nanos = u64;
pub(crate) const MILLISECOND: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000_000_000;

pub(crate) const END: Nanos = 60 * SECOND;
/// Calls sent before this are not measured.
pub(crate) const WARM_UP: Nanos = 10 * SECOND;
pub(crate) const ROUND_TRIP: Nanos = MILLISECOND / 2;
/// A client gives a call up after this; its server works on.
pub(crate) const TIME_OUT: Nanos = SECOND;
/// How long a server takes to fail a call.
pub(crate) const FAILS_IN: Nanos = MILLISECOND;
/// A server that was restarted gets warm in this time.
pub(crate) const COLD: Nanos = 5 * SECOND;
/// The server that the fault hits, and whose share is watched.
pub(crate) const WATCHED: usize = 0;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) clients: usize,
    pub(crate) servers: usize,
    /// Calls a server works on at a time; the others wait, first in, first out.
    pub(crate) workers: usize,
    /// Work of a call on a server of slowness 1, in nanoseconds: the mean and sigma of a lognormal.
    pub(crate) work: f64,
    pub(crate) sigma: f64,
    /// What is offered, of what all servers can do.
    pub(crate) load: f64,
    /// Factors of the work, dealt out to the servers in turn.
    pub(crate) slowness: &'static [f64],
    /// Dealt out in turn as well; a policy without weights doesn't see them.
    pub(crate) weights: &'static [f64],
    pub(crate) neighbours: Option<Neighbours>,
    pub(crate) fault: Option<Fault>,
    /// Attempts at another server, where all calls of a request have failed.
    pub(crate) retries: u32,
    /// A server takes a call that has lost to another one out of its queue.
    pub(crate) cancels: bool,
    pub(crate) policies: &'static [Policy],
}

/// Other programs on the servers' machines: each server is slow now and then.
pub(crate) struct Neighbours {
    pub(crate) slowness: f64,
    /// Mean nanoseconds of a noisy and of a quiet time.
    pub(crate) noisy: f64,
    pub(crate) quiet: f64,
}

pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) from: Nanos,
    pub(crate) until: Nanos,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Fails this share of the calls at once.
    Fails(f64),
    /// Loses what it has and what comes.
    Silent,
    /// Works slower by this factor.
    Slow(f64),
    /// Loses what it has, fails what comes, and is back slower by this factor, less and less so.
    Restart(f64),
}

impl Scenario {
    pub(crate) fn slowness(&self, server: usize) -> f64 {
        self.slowness[server % self.slowness.len()]
    }

    pub(crate) fn weight(&self, server: usize) -> f64 {
        self.weights[server % self.weights.len()]
    }

    /// Whether hedges are what matters.
    pub(crate) fn is_hedged(&self) -> bool {
        self.policies.iter().any(|policy| matches!(policy, Policy::Hedged(_)))
    }

    /// Mean nanoseconds between two calls of one client.
    pub(crate) fn gap(&self) -> f64 {
        let capacity: f64 = (0..self.servers)
            .map(|server| self.workers as f64 / (self.work * self.slowness(server)))
            .sum();
        self.clients as f64 / (capacity * self.load)
    }

    /// The time in which the watched server's share is taken and errors are the fault's.
    pub(crate) fn window(&self) -> Option<(Nanos, Nanos)> {
        match &self.fault {
            Some(fault) => Some((fault.from, fault.until)),
            None if self.weights.len() > 1 => Some((WARM_UP, END)),
            None => None,
        }
    }

    /// The share of the calls that is the watched server's by its weight.
    pub(crate) fn fair_share(&self) -> f64 {
        let sum: f64 = (0..self.servers).map(|server| self.weight(server)).sum();
        self.weight(WATCHED) / sum
    }
}

impl Fault {
    /// When it no longer shows.
    pub(crate) fn over(&self) -> Nanos {
        match self.kind {
            Kind::Restart(_) => self.until + COLD,
            _ => self.until,
        }
    }

    pub(crate) fn acts(&self, now: Nanos) -> bool {
        (self.from..self.until).contains(&now)
    }

    /// Whether calls fail.
    pub(crate) fn fails(&self, now: Nanos) -> bool {
        self.acts(now) && !matches!(self.kind, Kind::Slow(_))
    }

    /// The factor by which the watched server is slower.
    pub(crate) fn slowness(&self, now: Nanos) -> f64 {
        match self.kind {
            Kind::Slow(factor) if self.acts(now) => factor,
            Kind::Restart(factor) if now >= self.until && now < self.over() => {
                let cold = (self.over() - now) as f64 / COLD as f64;
                1.0 + (factor - 1.0) * cold
            }
            _ => 1.0,
        }
    }
}

/// Twenty clients and twenty servers, all alike.
const ALIKE: Scenario = Scenario {
    name: "",
    clients: 20,
    servers: 20,
    workers: 4,
    work: 10e6,
    sigma: 0.6,
    load: 0.6,
    slowness: &[1.0],
    weights: &[1.0],
    neighbours: None,
    fault: None,
    retries: 0,
    cancels: true,
    policies: &Policy::CHOICES,
};

/// One client of three larger servers.
const GATEWAY: Scenario = Scenario { clients: 1, servers: 3, workers: 8, load: 0.45, ..ALIKE };

/// A few clients that have about ten calls in flight each, and no server ever full.
const ROOMY: Scenario = Scenario { clients: 4, workers: 400, ..ALIKE };

/// Where hedges are what matters.
const HEDGED: Scenario = Scenario { policies: &[Policy::Ours, Policy::P95], ..ALIKE };

const HEDGED_BY: Scenario = Scenario {
    policies: &[Policy::Ours, Policy::P99, Policy::P95, Policy::P90, Policy::NAIVE],
    ..HEDGED
};

/// One client that makes 400 requests a second, as the comparison of whole gateways does, and servers
/// that are never full.
const HEDGED_GATEWAY: Scenario = Scenario {
    clients: 1,
    servers: 3,
    workers: 100,
    work: 5e6,
    sigma: 0.5,
    load: 400.0 * 5e-3 / 300.0,
    retries: 1,
    ..HEDGED
};

const CANARY_SLOWNESS: [f64; 20] = canary(1.05);
/// A hundredth of their sum.
const CANARY_WEIGHTS: [f64; 20] = canary(19.0 / 99.0);

const fn canary(first: f64) -> [f64; 20] {
    let mut all = [1.0; 20];
    all[WATCHED] = first;
    all
}

const NOISY: Option<Neighbours> = Some(Neighbours { slowness: 4.0, noisy: 300e6, quiet: 1_700e6 });

/// As of a collector of garbage.
const STALLING: Option<Neighbours> = Some(Neighbours { slowness: 20.0, noisy: 50e6, quiet: 5e9 });
const NOISY_FOR_SHORT: Option<Neighbours> =
    Some(Neighbours { slowness: 4.0, noisy: 150e6, quiet: 1_850e6 });

const fn fault(kind: Kind) -> Option<Fault> {
    fault_of(kind, 20)
}

const fn fault_of(kind: Kind, seconds: u64) -> Option<Fault> {
    Some(Fault { kind, from: 20 * SECOND, until: (20 + seconds) * SECOND })
}

pub(crate) const SCENARIOS: [Scenario; 30] = [
    Scenario { name: "uniform", load: 0.7, ..ALIKE },
    Scenario { name: "uniform_hot", load: 0.9, ..ALIKE },
    Scenario { name: "hetero", load: 0.75, slowness: &[1.0, 1.0, 2.0, 4.0], ..ALIKE },
    Scenario { name: "antagonist", load: 0.55, neighbours: NOISY, ..ALIKE },
    Scenario {
        name: "antagonist_many_clients",
        clients: 200,
        load: 0.55,
        neighbours: NOISY,
        ..ALIKE
    },
    Scenario { name: "gateway_1x3", load: 0.6, neighbours: NOISY, ..GATEWAY },
    Scenario { name: "blackhole", fault: fault(Kind::Fails(1.0)), ..ALIKE },
    Scenario { name: "blackhole_half", fault: fault(Kind::Fails(0.5)), ..ALIKE },
    Scenario { name: "silent_death", fault: fault(Kind::Silent), ..ALIKE },
    Scenario { name: "slow_10x", fault: fault(Kind::Slow(10.0)), ..ALIKE },
    Scenario { name: "restart_cold", fault: fault_of(Kind::Restart(8.0), 2), ..ALIKE },
    Scenario { name: "gateway_blackhole_1x3", fault: fault(Kind::Fails(1.0)), ..GATEWAY },
    Scenario { name: "gateway_silent_1x3", fault: fault(Kind::Silent), ..GATEWAY },
    Scenario { name: "gateway_slow_1x3", fault: fault(Kind::Slow(10.0)), ..GATEWAY },
    Scenario { name: "gateway_restart_1x3", fault: fault_of(Kind::Restart(8.0), 2), ..GATEWAY },
    // 133 calls a second to each, as the comparison of whole gateways sends them
    Scenario {
        name: "gateway_dead_7s",
        load: 1.0 / 6.0,
        fault: fault_of(Kind::Fails(1.0), 7),
        ..GATEWAY
    },
    // never full, so that nothing but weights and chance tells them apart
    Scenario { name: "weights", servers: 3, weights: &[1.0, 2.0, 4.0], load: 0.03, ..ROOMY },
    // a hundredth of the calls, and a little slower
    Scenario {
        name: "canary",
        servers: 2,
        slowness: &[1.05, 1.0],
        weights: &[1.0, 99.0],
        load: 0.05,
        ..ROOMY
    },
    Scenario {
        name: "canary_of_20",
        slowness: &CANARY_SLOWNESS,
        weights: &CANARY_WEIGHTS,
        load: 0.005,
        ..ROOMY
    },
    Scenario { name: "hedge_uniform", load: 0.6, ..HEDGED_BY },
    Scenario { name: "hedge_noisy", load: 0.4, neighbours: NOISY, ..HEDGED_BY },
    Scenario {
        name: "hedge_noisy_nocancel",
        load: 0.4,
        neighbours: NOISY,
        cancels: false,
        ..HEDGED
    },
    Scenario { name: "hedge_noisy_hot", load: 0.75, neighbours: NOISY_FOR_SHORT, ..HEDGED },
    Scenario {
        name: "hedge_noisy_1x3",
        load: 0.4,
        neighbours: NOISY,
        policies: HEDGED.policies,
        ..GATEWAY
    },
    Scenario { name: "hedge_over", load: 0.95, ..HEDGED },
    Scenario { name: "hedge_over_nocancel", load: 0.95, cancels: false, ..HEDGED_BY },
    Scenario { name: "hedge_stall", load: 0.3, neighbours: STALLING, ..HEDGED_BY },
    Scenario { name: "hedge_hang_1x3", fault: fault_of(Kind::Silent, 7), ..HEDGED_GATEWAY },
    Scenario {
        name: "hedge_hang_1x20",
        servers: 20,
        load: HEDGED_GATEWAY.load * 3.0 / 20.0,
        fault: fault_of(Kind::Silent, 7),
        ..HEDGED_GATEWAY
    },
    Scenario { name: "hedge_slow40_1x3", fault: fault_of(Kind::Slow(40.0), 7), ..HEDGED_GATEWAY },
];
