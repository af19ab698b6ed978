//! Clients that others than the library balance: the simplest way, tower's way, and the best there is.

use crate::client::{Client, Scene};
use crate::random::Random;
use crate::scenario::Nanos;
use crate::wire::Answer;
use crate::world::Truth;
use std::task::Poll;

/// How a client chooses.
pub(crate) trait Choice {
    /// Chooses the server of a call that is sent at once. Only a bound may look at the truth.
    fn pick(&mut self, truth: &Truth<'_>) -> usize;

    /// A call that was sent then has ended, well or not.
    fn done(&mut self, server: usize, sent: Nanos, now: Nanos) {
        _ = (server, sent, now);
    }
}

/// A client whose requests are one call each.
pub(crate) struct Peer<C>(pub(crate) C);

pub(crate) struct OneCall {
    call: usize,
    server: usize,
    sent: Nanos,
}

impl<C: Choice> Client for Peer<C> {
    type Request = OneCall;

    fn send(&mut self, number: usize, scene: &Scene, truth: &Truth<'_>) -> OneCall {
        let server = self.0.pick(truth);
        OneCall { call: scene.wire.send(number, server), server, sent: truth.now() }
    }

    fn poll(&mut self, request: &mut OneCall, scene: &Scene, now: Nanos) -> Poll<Answer> {
        let Some(answer) = scene.wire.take_answer(request.call) else { return Poll::Pending };
        self.0.done(request.server, request.sent, now);
        Poll::Ready(answer)
    }
}

pub(crate) struct RoundRobin {
    next: usize,
    servers: usize,
}

impl RoundRobin {
    pub(crate) fn new(servers: usize, mut random: Random) -> Self {
        Self { next: random.below(servers), servers }
    }
}

impl Choice for RoundRobin {
    fn pick(&mut self, _: &Truth<'_>) -> usize {
        self.next = (self.next + 1) % self.servers;
        self.next
    }
}

/// Knows everything at once, the queues of all servers too: nobody can do much better.
pub(crate) struct Bound {
    pub(crate) servers: usize,
    pub(crate) random: Random,
}

impl Choice for Bound {
    fn pick(&mut self, truth: &Truth<'_>) -> usize {
        let start = self.random.below(self.servers);
        let (_, best) = (0..self.servers)
            .map(|step| (start + step) % self.servers)
            .map(|server| (truth.delay(server), server))
            .reduce(|best, other| if other.0 < best.0 { other } else { best })
            .expect("there are servers");
        best
    }
}

/// `tower::balance::p2c` over `tower::load::PeakEwma`, after their documentation: of two endpoints
/// drawn at random the one with the lower load, which is the estimate of its round trip times one
/// more than its pending calls. A longer round trip raises the estimate at once; otherwise it moves
/// with the time since the last one, and towards zero with each look at the load.
pub(crate) struct Tower {
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
    pub(crate) fn new(servers: usize, random: Random) -> Self {
        let fresh = || Peak { pending: 0, estimate: Peak::DEFAULT, updated: 0 };
        Self { endpoints: (0..servers).map(|_| fresh()).collect(), random }
    }
}

impl Choice for Tower {
    fn pick(&mut self, truth: &Truth<'_>) -> usize {
        let now = truth.now();
        let (first, second) = self.random.two_below(self.endpoints.len());
        let loads = [first, second].map(|endpoint| self.endpoints[endpoint].load(now));
        let picked = if loads[0] <= loads[1] { first } else { second };
        self.endpoints[picked].pending += 1;
        picked
    }

    fn done(&mut self, server: usize, sent: Nanos, now: Nanos) {
        let endpoint = &mut self.endpoints[server];
        endpoint.pending -= 1;
        endpoint.update((now - sent) as f64, now);
    }
}
