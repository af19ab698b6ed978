//! Clients, servers and the calls between them, event by event.
//!
//! Each client makes requests at random times, whatever became of the others, and sees no more than
//! its own. When they are made and how much work their first calls are does not depend on where those
//! go: every client meets the very same requests.

use crate::agenda::{Agenda, Event};
use crate::client::{Client, Scene};
use crate::clock::Clock;
use crate::measure::{Measures, Meter};
use crate::random::Random;
use crate::scenario::{
    END, FAILS_IN, Kind, MILLISECOND, Nanos, ROUND_TRIP, Scenario, TIME_OUT, WARM_UP, WATCHED,
};
use crate::wire::{Answer, CallError, Wire};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

const ONE_WAY: Nanos = ROUND_TRIP / 2;
/// How often tokio's timers look whether they are over.
const TIMER_STEP: Nanos = MILLISECOND;

/// Simulates one scenario with these clients.
pub(crate) fn simulate<C: Client>(
    scenario: &Scenario,
    seed: u64,
    client: impl FnMut(usize) -> C,
) -> Measures {
    let scene = Scene { clock: Clock::new(), wire: Rc::<Wire>::default() };
    let entered = scene.clock.enter();
    let clients = (0..scenario.clients).map(client).collect();
    let mut world = World::new(scenario, &scene, seed, clients);
    while let Some((now, event)) = world.agenda.next() {
        world.happens(event, now);
    }
    let measures = world.finish();
    drop(entered);
    measures
}

/// What a client wants; it may need several calls.
struct Request<R> {
    client: usize,
    sent: Nanos,
    /// None where it has ended.
    running: Option<R>,
    /// It has a call.
    called: bool,
}

struct Call {
    /// Nanoseconds on a server of slowness 1.
    work: f64,
    /// From 0 to 1: fails on a server that fails a larger share.
    luck: f64,
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

struct World<'a, C: Client> {
    scenario: &'a Scenario,
    scene: &'a Scene,
    agenda: Agenda,
    clients: Vec<C>,
    /// When each client makes its requests.
    gaps: Vec<Random>,
    servers: Vec<Server>,
    requests: Vec<Request<C::Request>>,
    /// Requests that have not ended.
    open: usize,
    /// What the servers know of the calls on the wire.
    calls: Vec<Call>,
    work: Random,
    /// The same for all but first calls.
    more_work: Random,
    noise: Random,
    meter: Meter<'a>,
    /// Requests without a hedge that was due, up to where the requests are measured.
    denied: u64,
}

/// How the servers really are, which no client knows.
pub(crate) struct Truth<'a> {
    scenario: &'a Scenario,
    servers: &'a [Server],
    now: Nanos,
}

impl Truth<'_> {
    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Nanoseconds that a call sent now may expect to take; infinite where it would fail.
    pub(crate) fn delay(&self, server: usize) -> f64 {
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

impl<'a, C: Client> World<'a, C> {
    fn new(scenario: &'a Scenario, scene: &'a Scene, seed: u64, clients: Vec<C>) -> Self {
        let gaps = (0..scenario.clients as u64).map(|client| Random::new(seed, 100 + client));
        let mut world = Self {
            scenario,
            scene,
            agenda: Agenda::default(),
            clients,
            gaps: gaps.collect(),
            servers: (0..scenario.servers).map(|_| Server::default()).collect(),
            requests: Vec::new(),
            open: 0,
            calls: Vec::new(),
            work: Random::new(seed, 1),
            more_work: Random::new(seed, 3),
            noise: Random::new(seed, 2),
            meter: Meter::new(scenario),
            denied: 0,
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
        if world.clients.iter().any(Client::sleeps) {
            world.agenda.note(TIMER_STEP, Event::Wakes);
        }
        world.agenda.note(WARM_UP, Event::IsWarm);
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
            Event::Answers { call, good: true } => self.answers(call, Ok(()), now),
            Event::Answers { call, good: false } => {
                self.answers(call, Err(CallError::Failed), now);
            }
            Event::TimesOut(call) => self.answers(call, Err(CallError::TimedOut), now),
            Event::Fault => self.fault(now),
            Event::Wakes => self.wakes(now),
            Event::IsWarm => self.denied = self.clients.iter().map(Client::denied).sum(),
        }
    }

    fn finish(mut self) -> Measures {
        for client in &self.clients {
            for (server, known) in client.known().into_iter().enumerate() {
                self.meter.known(server, known);
            }
        }
        let denied: u64 = self.clients.iter().map(Client::denied).sum();
        self.meter.denied(denied - self.denied);
        self.meter.finish()
    }

    fn truth(&self, now: Nanos) -> Truth<'_> {
        Truth { scenario: self.scenario, servers: &self.servers, now }
    }

    fn sends_next(&mut self, client: usize, now: Nanos) {
        let gap = self.gaps[client].wait(self.scenario.gap());
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
        let number = self.requests.len();
        let truth = Truth { scenario: self.scenario, servers: &self.servers, now };
        let running = Some(self.clients[client].send(number, self.scene, &truth));
        self.requests.push(Request { client, sent: now, running, called: false });
        self.open += 1;
        self.polls(number, now);
    }

    fn polls(&mut self, number: usize, now: Nanos) {
        let Request { client, sent, running, .. } = &mut self.requests[number];
        let (sent, client) = (*sent, &mut self.clients[*client]);
        let Some(request) = running else { return };
        let polled = client.poll(request, self.scene, now);
        if polled.is_ready() {
            *running = None;
            self.open -= 1;
        }
        self.takes_calls(now);
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.meter.answered(sent, now),
            Poll::Ready(Err(error)) => {
                self.meter.failed(sent, now, error == CallError::TimedOut);
            }
        }
    }

    /// Sends the calls that were made just now.
    fn takes_calls(&mut self, now: Nanos) {
        while let Some((request, server)) = self.scene.wire.get(self.calls.len()) {
            let request = &mut self.requests[request];
            self.meter.sent(server, now);
            let first = !std::mem::replace(&mut request.called, true);
            let random = if first { &mut self.work } else { &mut self.more_work };
            let work = random.lognormal(self.scenario.work, self.scenario.sigma);
            let luck = random.unit();
            let call = self.calls.len();
            self.calls.push(Call { work, luck });
            self.servers[server].backlog += work;
            self.servers[server].calls += 1;
            self.agenda.note(now + ONE_WAY, Event::Arrives(call));
            self.agenda.note_time_out(now + TIME_OUT, call);
            if !first {
                self.meter.extra(request.sent);
            }
        }
    }

    /// Polls the requests whose timers are over.
    fn wakes(&mut self, now: Nanos) {
        self.scene.clock.show(now);
        for request in self.scene.clock.wake() {
            self.polls(request, now);
        }
        if now < END || self.open > 0 {
            self.agenda.note(now + TIMER_STEP, Event::Wakes);
        }
    }

    /// A call has an answer, unless its client has left.
    fn answers(&mut self, call: usize, answer: Answer, now: Nanos) {
        if let Some(request) = self.scene.wire.answer(call, answer) {
            self.polls(request, now);
        }
    }

    /// A call is of no use to its client, and its server has heard so.
    fn is_cancelled(&self, call: usize) -> bool {
        self.scenario.cancels && self.scene.wire.is_given_up(call)
    }

    fn arrives(&mut self, call: usize, now: Nanos) {
        let Some((_, server)) = self.scene.wire.get(call) else { return };
        let Call { luck, .. } = self.calls[call];
        if self.is_cancelled(call) {
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
        let takes = (self.calls[call].work * self.truth(now).slowness(server)) as Nanos;
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
            if !self.is_cancelled(next) {
                return self.works(server, next, now);
            }
            self.leaves(server, next);
        }
    }

    fn leaves(&mut self, server: usize, call: usize) {
        self.servers[server].backlog -= self.calls[call].work;
        self.servers[server].calls -= 1;
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
