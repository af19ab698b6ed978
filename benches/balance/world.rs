//! Clients, servers and the calls between them, event by event.
//!
//! Each client sends calls at random times, whatever became of the others, and sees no more than
//! its own. When they are sent and how much work they are does not depend on where they go: every
//! policy meets the very same calls.

use crate::measure::{Measures, Meter};
use crate::policies::Policy;
use crate::random::Random;
use crate::scenario::{
    END, FAILS_IN, Kind, Nanos, ROUND_TRIP, SIGMA, Scenario, TIME_OUT, WATCHED, WORK,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const ONE_WAY: Nanos = ROUND_TRIP / 2;

/// Simulates one scenario with a policy for each client.
pub fn simulate<P: Policy>(
    scenario: &Scenario,
    seed: u64,
    mut policy: impl FnMut(usize) -> P,
) -> Measures {
    let policies = (0..scenario.clients).map(&mut policy).collect();
    let mut world = World::new(scenario, seed, policies);
    while let Some((now, event)) = world.agenda.next() {
        world.happens(event, now);
    }
    world.meter.finish()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client sends its next call.
    Sends(usize),
    /// A call is at its server.
    Arrives(usize),
    /// Its server is done with a call, if it did not lose it since.
    Works {
        server: usize,
        call: usize,
        life: u32,
    },
    /// Its client has the answer.
    Answers {
        call: usize,
        good: bool,
    },
    TimesOut(usize),
    /// A server's neighbours begin or end to be noisy.
    Noise(usize),
    Fault,
}

/// What happens next, what is due at once in the order it was noted.
#[derive(Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    /// Apart from the others: all wait for the same time, so that they are in order by themselves.
    time_outs: VecDeque<(Nanos, usize)>,
    noted: u64,
}

impl Agenda {
    fn note(&mut self, at: Nanos, event: Event) {
        self.noted += 1;
        self.heap.push(Reverse((at, self.noted, event)));
    }

    fn next(&mut self) -> Option<(Nanos, Event)> {
        let first = self.heap.peek().map_or(Nanos::MAX, |Reverse((at, ..))| *at);
        match self.time_outs.front() {
            Some(&(at, call)) if at < first => {
                self.time_outs.pop_front();
                Some((at, Event::TimesOut(call)))
            }
            _ => self.heap.pop().map(|Reverse((at, _, event))| (at, event)),
        }
    }
}

struct Call<T> {
    client: usize,
    server: usize,
    ticket: T,
    sent: Nanos,
    /// Nanoseconds on a server of slowness 1.
    work: f64,
    /// From 0 to 1: fails on a server that fails a larger share.
    luck: f64,
    /// Its client still waits.
    open: bool,
}

struct Client<P> {
    policy: P,
    gaps: Random,
}

#[derive(Default)]
struct Server {
    working: Vec<usize>,
    waiting: VecDeque<usize>,
    noisy: bool,
    /// One more with each loss of all it had.
    life: u32,
    /// Work of all that was sent here and is not done, on a server of slowness 1.
    backlog: f64,
    /// Calls of which the backlog is.
    calls: usize,
}

struct World<'a, P: Policy> {
    scenario: &'a Scenario,
    agenda: Agenda,
    clients: Vec<Client<P>>,
    servers: Vec<Server>,
    calls: Vec<Call<P::Ticket>>,
    work: Random,
    noise: Random,
    meter: Meter<'a>,
}

/// How the servers really are, which no client knows.
pub struct Truth<'a> {
    scenario: &'a Scenario,
    servers: &'a [Server],
    now: Nanos,
}

impl Truth<'_> {
    /// Nanoseconds that a call sent now may expect to take; infinite where it would fail.
    pub fn delay(&self, server: usize) -> f64 {
        let Server { calls, backlog, .. } = self.servers[server];
        if server == WATCHED
            && self.scenario.fault.as_ref().is_some_and(|fault| fault.fails(self.now))
        {
            return f64::INFINITY;
        }
        let workers = self.scenario.workers;
        let waits = if calls < workers { 0.0 } else { backlog / workers as f64 };
        (waits + WORK) * self.slowness(server)
    }

    fn slowness(&self, server: usize) -> f64 {
        let noise = match &self.scenario.neighbours {
            Some(neighbours) if self.servers[server].noisy => neighbours.slowness,
            _ => 1.0,
        };
        let fault = match &self.scenario.fault {
            Some(fault) if server == WATCHED => fault.slowness(self.now),
            _ => 1.0,
        };
        self.scenario.slowness(server) * noise * fault
    }
}

impl<'a, P: Policy> World<'a, P> {
    fn new(scenario: &'a Scenario, seed: u64, policies: Vec<P>) -> Self {
        let clients = (100..).zip(policies);
        let mut world = Self {
            scenario,
            agenda: Agenda::default(),
            clients: clients
                .map(|(stream, policy)| Client { policy, gaps: Random::new(seed, stream) })
                .collect(),
            servers: (0..scenario.servers).map(|_| Server::default()).collect(),
            calls: Vec::new(),
            work: Random::new(seed, 1),
            noise: Random::new(seed, 2),
            meter: Meter::new(scenario),
        };
        for client in 0..scenario.clients {
            world.sends_next(client, 0);
        }
        if scenario.neighbours.is_some() {
            for server in 0..scenario.servers {
                world.changes_noise(server, 0);
            }
        }
        if let Some(fault) = &scenario.fault {
            world.agenda.note(fault.from, Event::Fault);
        }
        world
    }

    fn happens(&mut self, event: Event, now: Nanos) {
        match event {
            Event::Sends(client) if now < END => {
                self.sends_next(client, now);
                self.sends(client, now);
            }
            Event::Noise(server) if now < END => {
                self.servers[server].noisy = !self.servers[server].noisy;
                self.changes_noise(server, now);
            }
            Event::Sends(_) | Event::Noise(_) => {}
            Event::Arrives(call) => self.arrives(call, now),
            Event::Works { server, call, life } => {
                if self.servers[server].life == life {
                    self.worked(server, call, now);
                }
            }
            Event::Answers { call, good } => {
                if let Some(sent) = self.ends(call, good, now) {
                    self.meter.answered(sent, now, good);
                }
            }
            Event::TimesOut(call) => {
                if let Some(sent) = self.ends(call, false, now) {
                    self.meter.timed_out(sent);
                }
            }
            Event::Fault => self.fault(now),
        }
    }

    fn sends_next(&mut self, client: usize, now: Nanos) {
        let gap = self.clients[client].gaps.wait(self.scenario.gap());
        self.agenda.note(now + gap as Nanos, Event::Sends(client));
    }

    fn changes_noise(&mut self, server: usize, now: Nanos) {
        if let Some(neighbours) = &self.scenario.neighbours {
            let noisy = self.servers[server].noisy;
            let mean = if noisy { neighbours.noisy } else { neighbours.quiet };
            self.agenda.note(now + self.noise.wait(mean) as Nanos, Event::Noise(server));
        }
    }

    fn sends(&mut self, client: usize, now: Nanos) {
        let truth = Truth { scenario: self.scenario, servers: &self.servers, now };
        let (server, ticket) = self.clients[client].policy.pick(now, &truth);
        self.meter.sent(server, now);
        let work = self.work.lognormal(WORK, SIGMA);
        let luck = self.work.unit();
        let call = self.calls.len();
        self.calls.push(Call { client, server, ticket, sent: now, work, luck, open: true });
        self.servers[server].backlog += work;
        self.servers[server].calls += 1;
        self.agenda.note(now + ONE_WAY, Event::Arrives(call));
        self.agenda.time_outs.push_back((now + TIME_OUT, call));
    }

    fn arrives(&mut self, call: usize, now: Nanos) {
        let Call { server, luck, .. } = self.calls[call];
        let fault = self.scenario.fault.as_ref();
        if let Some(fault) = fault.filter(|fault| server == WATCHED && fault.acts(now)) {
            let fails = match fault.kind {
                Kind::Fails(share) => luck < share,
                Kind::Silent | Kind::Restart(_) => true,
                Kind::Slow(_) => false,
            };
            if fails {
                self.leaves(server, call);
                if !matches!(fault.kind, Kind::Silent) {
                    let answer = Event::Answers { call, good: false };
                    self.agenda.note(now + FAILS_IN + ONE_WAY, answer);
                }
                return;
            }
        }
        if self.servers[server].working.len() < self.scenario.workers {
            self.works(server, call, now);
        } else {
            self.servers[server].waiting.push_back(call);
        }
    }

    fn works(&mut self, server: usize, call: usize, now: Nanos) {
        let truth = Truth { scenario: self.scenario, servers: &self.servers, now };
        let takes = (self.calls[call].work * truth.slowness(server)) as Nanos;
        let life = self.servers[server].life;
        self.servers[server].working.push(call);
        self.agenda.note(now + takes, Event::Works { server, call, life });
    }

    fn worked(&mut self, server: usize, call: usize, now: Nanos) {
        self.leaves(server, call);
        self.agenda.note(now + ONE_WAY, Event::Answers { call, good: true });
        let Server { working, waiting, .. } = &mut self.servers[server];
        working.retain(|other| *other != call);
        if let Some(next) = waiting.pop_front() {
            self.works(server, next, now);
        }
    }

    fn leaves(&mut self, server: usize, call: usize) {
        self.servers[server].backlog -= self.calls[call].work;
        self.servers[server].calls -= 1;
    }

    /// When the call was sent, if its client still waited.
    fn ends(&mut self, call: usize, good: bool, now: Nanos) -> Option<Nanos> {
        let Call { client, server, ticket, sent, open, .. } = &mut self.calls[call];
        if !std::mem::take(open) {
            return None;
        }
        self.clients[*client].policy.done(*server, *ticket, *sent, now, good);
        Some(*sent)
    }

    /// The connections of a process that ends are closed; those of a machine that dies are not.
    fn fault(&mut self, now: Nanos) {
        let kind = self.scenario.fault.as_ref().map(|fault| fault.kind);
        if !matches!(kind, Some(Kind::Silent | Kind::Restart(_))) {
            return;
        }
        let server = &mut self.servers[WATCHED];
        server.life += 1;
        let mut lost = std::mem::take(&mut server.working);
        lost.extend(server.waiting.drain(..));
        for call in lost {
            self.leaves(WATCHED, call);
            if matches!(kind, Some(Kind::Restart(_))) {
                self.agenda.note(now + ONE_WAY, Event::Answers { call, good: false });
            }
        }
    }
}
