//! The circuit breaker.

mod bodies;
mod counted;
mod degrade;
mod ends;
mod forced;
mod gated;
mod given_up;
mod grpc;
mod half_open;
mod keyed;
mod open;
mod panics;
mod settles;
mod sharing;
mod statuses;
mod stub;
mod trips;
mod wire;

use crate::kit::settings::Watch as _;
use crate::kit::{Act, Scripted, ms, secs, sleep};
use futures_util::FutureExt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_test::task::{Spawn, spawn};
use tower::{Layer, Service, ServiceExt};
use tower_failover::circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, CircuitHandle, CircuitOpen, CircuitSnapshot, CircuitState,
};
use tower_failover::classify::{Classify, ErrorsOnly, Evidence};
use tower_failover::replay::Plain;
use tower_failover::trip::{Consecutive, TripRule};
use tower_failover::{Backoff, BoxError, Jitter, Outcome};

/// What a server does with a request: it answers this, after this time.
#[derive(Clone, Copy, Debug)]
struct Ask {
    answer: Outcome,
    takes: Duration,
}

const GOOD: Ask = Ask { answer: Outcome::Success, takes: Duration::ZERO };
const BAD: Ask = Ask { answer: Outcome::Failure, takes: Duration::ZERO };
const NEUTRAL: Ask = Ask { answer: Outcome::Neutral, takes: Duration::ZERO };
const HANGING: Ask = Ask { answer: Outcome::Success, takes: Duration::MAX };

impl Ask {
    const fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}

/// Does what it is asked to.
type Server = Scripted<Ask, Outcome, ()>;

fn server() -> Server {
    let answers = |ask: Ask, _| std::future::ready(Ok(ask.answer));
    Scripted::doing(answers).acts(|ask, _| Act::AnswersAfter(ask.takes))
}

/// Judges an answer as what it says it is, and errors as [`ErrorsOnly`].
#[derive(Clone, Copy, Debug)]
struct AsTold;

impl Classify<Outcome, BoxError> for AsTold {
    fn classify(&self, result: Result<&Outcome, &BoxError>) -> Outcome {
        result.copied().unwrap_or_else(|error| ErrorsOnly::new().classify(Err::<&(), _>(error)))
    }

    fn evidence(&self, result: Result<&Outcome, &BoxError>) -> Evidence {
        ErrorsOnly::new().evidence(result)
    }
}

type Breaker = CircuitBreakerLayer<AsTold, Plain>;

/// Opens at the second failure in a row, for exactly 10 s.
fn breaker() -> Breaker {
    trips_on(Consecutive::count::<2>())
}

fn trips_on(rule: impl Into<TripRule>) -> Breaker {
    let layer = CircuitBreakerLayer::plain().classify(AsTold).open_for(always(OPEN));
    layer.trip_on(rule)
}

const OPEN: Duration = secs(10);

fn always(time: Duration) -> Backoff {
    Backoff::constant(time).jitter(Jitter::None)
}

/// A server behind a circuit.
struct Scene {
    service: CircuitBreaker<Server, AsTold, Plain>,
    circuit: CircuitHandle,
    server: Server,
}

type Call = Spawn<<CircuitBreaker<Server, AsTold, Plain> as Service<Ask>>::Future>;

impl Scene {
    fn new(layer: Breaker) -> Self {
        let server = server();
        Self { service: layer.layer(server.clone()), circuit: layer.handle(), server }
    }

    /// One whose circuit has opened and is about to let a trial through.
    async fn half_open(layer: Breaker) -> Self {
        let scene = Self::new(layer);
        scene.trip().await;
        sleep(OPEN).await;
        scene
    }

    async fn ask(&self, ask: Ask) -> Result<Outcome, BoxError> {
        self.service.clone().oneshot(ask).await
    }

    /// Asks so many times, one after another.
    async fn ask_each(&self, times: usize, ask: Ask) {
        for _ in 0..times {
            self.ask(ask).await.expect("it is let through");
        }
    }

    /// Asks so many times at once.
    async fn ask_all(&self, times: usize, ask: Ask) {
        let asked = futures_util::future::join_all((0..times).map(|_| self.ask(ask))).await;
        assert!(asked.iter().all(Result::is_ok), "all are let through");
    }

    /// A call that was made and not polled.
    fn call(&self, ask: Ask) -> Call {
        let mut service = self.service.clone();
        service.ready().now_or_never().expect("a breaker is ready").unwrap();
        spawn(service.call(ask))
    }

    /// A call that is under way.
    fn begin(&self, ask: Ask) -> Call {
        let mut call = self.call(ask);
        assert!(call.poll().is_pending());
        call
    }

    async fn trip(&self) {
        self.ask_each(2, BAD).await;
        assert_eq!(self.state(), CircuitState::Open);
    }

    /// The refusal of the next call.
    async fn refusal(&self) -> CircuitOpen {
        refusal(self.ask(GOOD).await)
    }

    fn state(&self) -> CircuitState {
        self.circuit.state()
    }

    fn seen(&self) -> CircuitSnapshot {
        self.circuit.snapshot()
    }

    /// What was counted: successes, failures, and what says nothing.
    fn counts(&self) -> [u64; 3] {
        counts(&self.circuit)
    }
}

fn counts(circuit: &CircuitHandle) -> [u64; 3] {
    let seen = circuit.snapshot();
    [seen.successes, seen.failures, seen.neutral]
}

fn refusal<Res: std::fmt::Debug>(result: Result<Res, BoxError>) -> CircuitOpen {
    *result.expect_err("it is refused").downcast().expect("it is the circuit's error")
}
