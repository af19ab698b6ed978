//! A random life of a set, and what always holds in it.

use crate::kit::settings::nonzero;
use crate::kit::{Act, Actor, Dice, Gate, ms, now};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tokio_test::task::{Spawn, spawn};
use tower::{Layer, Service};
use tower_failover::balance::{
    BalanceLayer, Endpoint, EndpointSnapshot, EndpointState, Endpoints, NoEndpoint,
};
use tower_failover::{BoxError, Outcome};

const WAIT: Duration = Duration::from_millis(200);
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

type Answer = Pin<Box<dyn Future<Output = Result<String, BoxError>>>>;

struct Call {
    future: Spawn<Answer>,
    began: Instant,
}

struct World {
    dice: Dice,
    set: Endpoints<Actor>,
    actors: BTreeMap<&'static str, Actor>,
    balance: Box<dyn FnMut() -> Answer>,
    calls: Vec<Call>,
    history: Vec<String>,
}

fn available(set: &[EndpointSnapshot]) -> bool {
    let serves = [EndpointState::Available, EndpointState::Ramp];
    set.iter().any(|endpoint| serves.contains(&endpoint.state) && endpoint.in_flight < 3)
}

impl World {
    fn new(seed: u64) -> Self {
        let set = Endpoints::new();
        let layer =
            BalanceLayer::plain().seed(seed).wait_for(WAIT).max_in_flight(nonzero(3)).classify_fn(
                |result: Result<&String, &BoxError>| match result {
                    Ok(_) => Outcome::Success,
                    Err(error) if error.to_string() == "broken" => {
                        Outcome::Throttled { retry_after: Some(Duration::from_millis(150)) }
                    }
                    Err(_) => Outcome::Failure,
                },
            );
        let mut balance = layer.layer(set.clone());
        let balance = Box::new(move || Box::pin(balance.call(())) as Answer);
        let (actors, calls, history) = Default::default();
        Self { dice: Dice::new(seed), set, actors, balance, calls, history }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.history.push(what.into());
    }

    /// An actor that is in the set or was lately.
    fn actor(&mut self) -> Option<Actor> {
        let name = self.dice.one_of(&NAMES);
        self.actors.get(name).cloned()
    }

    async fn step(&mut self) {
        let name = self.dice.one_of(&NAMES);
        match self.dice.roll(20) {
            0 => {
                let actor = Actor::new(name);
                let tier = self.dice.roll(2) as u8;
                self.set.insert(Endpoint::new(name, actor.clone()).tier(tier));
                self.actors.insert(name, actor);
            }
            1 => drop(self.set.remove(name)),
            2 => drop(self.set.drain(name)),
            3 => drop(self.set.undrain(name)),
            4 => drop(self.set.reweight(name, 1.0 + self.dice.roll(3) as f64)),
            5 | 6 => {
                let gates = [Gate::Open, Gate::Open, Gate::Shut, Gate::Broken("broken")];
                let gate = self.dice.one_of(&gates);
                self.actor().into_iter().for_each(|actor| actor.gate(gate));
            }
            7 | 8 => {
                let soon = Act::AnswersAfter(ms(self.dice.roll(50) as u64));
                let act = self.dice.one_of(&[Act::Answers, soon, soon, Act::Fails, Act::Hangs]);
                self.actor().into_iter().for_each(|actor| actor.act(act));
            }
            9..=14 => {
                let (future, began) = (spawn((self.balance)()), now());
                self.calls.push(Call { future, began });
                self.poll(self.calls.len() - 1);
            }
            15 if !self.calls.is_empty() => {
                let at = self.dice.roll(self.calls.len());
                drop(self.calls.swap_remove(at));
                self.note("given up");
            }
            _ => tokio::time::advance(ms(self.dice.roll(120) as u64)).await,
        }
        self.settle();
    }

    /// Polls what was woken, until nothing is.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "calls wake one another for ever");
            let woken = |call: &Call| call.future.is_woken();
            let Some(at) = self.calls.iter().position(woken) else { break };
            for at in (at..self.calls.len()).rev() {
                if self.calls[at].future.is_woken() {
                    self.poll(at);
                }
            }
        }
        self.check();
    }

    fn poll(&mut self, at: usize) {
        let before = self.set.snapshot();
        let Poll::Ready(answer) = self.calls[at].future.poll() else { return };
        let waited = self.calls.swap_remove(at).began.elapsed();
        match answer {
            Ok(name) => self.note(name),
            Err(error) if error.is::<NoEndpoint>() => {
                assert!(!available(&before), "none, after {waited:?}: {before:#?}");
                assert!(waited >= WAIT, "too early: {waited:?}");
                self.note("none");
            }
            Err(error) => self.note(error.to_string()),
        }
    }

    fn check(&self) {
        let set = self.set.snapshot();
        let in_flight: u32 = set.iter().map(|endpoint| endpoint.in_flight).sum();
        // a call holds two places at most, while it is pending at both
        assert!(in_flight as usize <= 2 * self.calls.len(), "{set:#?}");
        for endpoint in &set {
            assert!(endpoint.in_flight <= 4, "three, and a trial: {endpoint:?}");
            assert!((0.0..=1.0).contains(&endpoint.health), "{endpoint:?}");
        }
    }

    /// Ends all that is under way.
    async fn end(mut self) -> Vec<String> {
        for actor in self.actors.values() {
            actor.act(Act::Answers);
            actor.gate(Gate::Open);
        }
        self.settle();
        tokio::time::advance(WAIT + ms(100)).await;
        self.settle();
        self.calls.clear();
        let left = self.set.snapshot();
        assert!(left.iter().all(|endpoint| endpoint.in_flight == 0), "{left:#?}");
        assert!(self.actors.values().all(|actor| actor.running() == 0));
        self.history
    }
}

/// One life, alone in its own time.
fn life(seed: u64, steps: usize) -> Vec<String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step().await;
        }
        world.end().await
    })
}

/// A2, E2, J1, J2, J4, M9: 10⁵ steps in all
#[test]
fn calls_end_once_and_nothing_leaks_in_a_random_life() {
    for seed in 0..100 {
        let history = life(seed, 1_000);
        assert!(history.len() > 100, "seed {seed}: {}", history.len());
    }
}

/// A seed brings the same life again, on any thread.
#[test]
fn a_life_can_be_lived_again() {
    for seed in [3, 4] {
        let one = life(seed, 1_000);
        let other = std::thread::spawn(move || life(seed, 1_000)).join().unwrap();
        assert_eq!(one, other, "seed {seed}");
    }
}
