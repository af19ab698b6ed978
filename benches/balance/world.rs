//! Clients, servers and the calls between them, event by event.
//!
//! Each client makes requests at random times, whatever became of the others, and sees no more than
//! its own. When they are made and how much work their first calls are does not depend on where those
//! go: every policy meets the very same requests.

use crate::clock;
use crate::hedge::Hedger;
use crate::measure::{Measures, Meter};
use crate::policies::Policy;
use crate::random::Random;
use crate::scenario::{END, FAILS_IN, Kind, Nanos, ROUND_TRIP, Scenario, TIME_OUT, WATCHED};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const ONE_WAY: Nanos = ROUND_TRIP / 2;
/// As the layer: a hedge that could not be sent is due again one delay later, and after this at least.
const ASK_AGAIN: Nanos = 5_000_000;

/// Simulates one scenario with a policy for each client, and the rule by which it hedges.
pub fn simulate<P: Policy>(
    scenario: &Scenario,
    seed: u64,
    policy: impl FnMut(usize) -> (P, Option<Hedger>),
) -> Measures {
    clock::set(0);
    let policies = (0..scenario.clients).map(policy).collect();
    let mut world = World::new(scenario, seed, policies);
    while let Some((now, event)) = world.agenda.next() {
        clock::set(now);
        world.happens(event, now);
    }
    for client in &world.clients {
        for server in 0..scenario.servers {
            world.meter.known(server, client.policy.known(server));
        }
    }
    world.meter.finish()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client makes its next request.
    Sends(usize),
    /// The hedge of a request is due.
    Hedges(usize),
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
    /// CachePadded from the others: all wait for the same time, so that they are in order by themselves.
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

/// What a client wants; it may need several calls.
struct Request {
    client: usize,
    sent: Nanos,
    /// In the order in which they were sent.
    calls: Vec<usize>,
    /// A hedge is to come, unless there is an answer before.
    may_hedge: bool,
    /// How much later it is due again, where it could not be sent.
    due_again: Nanos,
    /// It was due already.
    asked: bool,
    retries: u32,
    /// Its client still waits.
    open: bool,
}

struct Call<T> {
    request: usize,
    server: usize,
    ticket: T,
    sent: Nanos,
    /// Nanoseconds on a server of slowness 1.
    work: f64,
    /// From 0 to 1: fails on a server that fails a larger share.
    luck: f64,
    /// Its client still waits.
    open: bool,
    /// Its server was configured that another call was faster.
    cancelled: bool,
}

struct Client<P> {
    policy: P,
    hedger: Option<Hedger>,
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
    requests: Vec<Request>,
    calls: Vec<Call<P::Ticket>>,
    work: Random,
    /// The same for all but first calls.
    more_work: Random,
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
        (waits + self.scenario.work) * self.slowness(server)
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
    fn new(scenario: &'a Scenario, seed: u64, policies: Vec<(P, Option<Hedger>)>) -> Self {
        let clients = (100..).zip(policies).map(|(stream, (policy, hedger))| {
            let gaps = Random::new(seed, stream);
            Client { policy, hedger, gaps }
        });
        let mut world = Self {
            scenario,
            agenda: Agenda::default(),
            clients: clients.collect(),
            servers: (0..scenario.servers).map(|_| Server::default()).collect(),
            requests: Vec::new(),
            calls: Vec::new(),
            work: Random::new(seed, 1),
            more_work: Random::new(seed, 3),
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
            Event::Hedges(request) => {
                let Request { due_again, asked, open, may_hedge, .. } = self.requests[request];
                let sent = open && may_hedge && self.hedges(request, !asked, now);
                if open && may_hedge && !sent && now < END {
                    let request = &mut self.requests[request];
                    (request.may_hedge, request.asked) = (true, true);
                    self.agenda.note(now + due_again, event);
                }
            }
            Event::Arrives(call) => self.arrives(call, now),
            Event::Works { server, call, life } => {
                if self.servers[server].life == life {
                    self.worked(server, call, now);
                }
            }
            Event::Answers { call, good } => self.ends(call, good, now),
            Event::TimesOut(call) => self.ends(call, false, now),
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
        let due = self.clients[client].hedger.as_ref().and_then(|hedger| hedger.begins(now));
        let request = self.requests.len();
        let (may_hedge, retries) = (due.is_some(), self.scenario.retries);
        let calls = Vec::with_capacity(1);
        let due_again = due.map_or(0, |due| (due - now).max(ASK_AGAIN));
        let (open, asked) = (true, false);
        self.requests.push(Request {
            client,
            sent: now,
            calls,
            may_hedge,
            due_again,
            asked,
            retries,
            open,
        });
        let sent = self.calls(request, &[], true, now);
        assert!(sent, "not all servers are ejected");
        if let Some(due) = due {
            self.agenda.note(due, Event::Hedges(request));
        }
    }

    /// Sends a call of a request to none of those servers, if there is another one.
    fn calls(&mut self, request: usize, tried: &[usize], may_follow: bool, now: Nanos) -> bool {
        let truth = Truth { scenario: self.scenario, servers: &self.servers, now };
        let policy = &mut self.clients[self.requests[request].client].policy;
        let Some((server, ticket)) = policy.pick(now, tried, may_follow, &truth) else {
            return false;
        };
        self.meter.sent(server, now);
        let first = self.requests[request].calls.is_empty();
        let random = if first { &mut self.work } else { &mut self.more_work };
        let work = random.lognormal(self.scenario.work, self.scenario.sigma);
        let luck = random.unit();
        let call = self.calls.len();
        self.requests[request].calls.push(call);
        let (open, cancelled) = (true, false);
        self.calls.push(Call { request, server, ticket, sent: now, work, luck, open, cancelled });
        self.servers[server].backlog += work;
        self.servers[server].calls += 1;
        self.agenda.note(now + ONE_WAY, Event::Arrives(call));
        self.agenda.time_outs.push_back((now + TIME_OUT, call));
        if !first {
            self.meter.extra(self.requests[request].sent);
        }
        true
    }

    fn tried(&self, request: usize) -> Vec<usize> {
        self.requests[request].calls.iter().map(|call| self.calls[*call].server).collect()
    }

    /// A hedge is due, or nothing else is left: tells whether it was sent. `early`: it is due for the first time.
    fn hedges(&mut self, request: usize, early: bool, now: Nanos) -> bool {
        let Request { client, sent, may_hedge, retries, open, .. } = &mut self.requests[request];
        if !*open || !std::mem::take(may_hedge) || self.scenario.servers == 1 {
            return false;
        }
        let (client, sent, may_follow) = (*client, *sent, *retries > 0);
        let pays =
            self.clients[client].hedger.as_ref().is_some_and(|hedger| hedger.pays(now, early));
        if !pays {
            self.meter.denied(sent);
            return false;
        }
        self.calls(request, &self.tried(request), may_follow, now)
    }

    /// All calls of a request have failed: tells whether another one was sent.
    fn retries(&mut self, request: usize, now: Nanos) -> bool {
        let Request { retries, may_hedge, .. } = &mut self.requests[request];
        *may_hedge = false;
        if *retries == 0 {
            return false;
        }
        *retries -= 1;
        let may_follow = *retries > 0;
        self.calls(request, &self.tried(request), may_follow, now)
            || self.calls(request, &[], may_follow, now)
    }

    fn arrives(&mut self, call: usize, now: Nanos) {
        let Call { server, luck, cancelled, .. } = self.calls[call];
        if cancelled {
            return self.leaves(server, call);
        }
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
        self.servers[server].working.retain(|other| *other != call);
        // one that is worked on is worked on to its end all the same
        while let Some(next) = self.servers[server].waiting.pop_front() {
            if !self.calls[next].cancelled {
                return self.works(server, next, now);
            }
            self.leaves(server, next);
        }
    }

    fn leaves(&mut self, server: usize, call: usize) {
        self.servers[server].backlog -= self.calls[call].work;
        self.servers[server].calls -= 1;
    }

    /// A call has its answer or, not `good`, has failed.
    fn ends(&mut self, call: usize, good: bool, now: Nanos) {
        let Call { request: of, server, ticket, sent, open, .. } = &mut self.calls[call];
        if !std::mem::take(open) {
            return;
        }
        let (of, began) = (*of, *sent);
        let request = &mut self.requests[of];
        let client = &mut self.clients[request.client];
        client.policy.done(*server, *ticket, began, now, good);
        if good {
            request.open = false;
            for other in &request.calls {
                let Call { server, ticket, sent, open, cancelled, .. } = &mut self.calls[*other];
                if std::mem::take(open) {
                    *cancelled = self.scenario.cancels;
                    client.policy.lost(*server, *ticket, *sent, now);
                }
            }
            if let Some(hedger) = &client.hedger {
                hedger.answered(request.sent, began);
            }
            return self.meter.answered(request.sent, now);
        }
        let runs = request.calls.iter().any(|call| self.calls[*call].open);
        if runs || self.hedges(of, false, now) || self.retries(of, now) {
            return;
        }
        let request = &mut self.requests[of];
        request.open = false;
        self.meter.failed(request.sent, now, now - began >= TIME_OUT);
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
