//! Clients of the library: its own services over connections to the servers.

use crate::client::{Client, Known, Scene};
use crate::random::Random;
use crate::scenario::{Nanos, Scenario};
use crate::wire::{Answer, CallError, Connection, Request};
use crate::world::Truth;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder};
use tower_failover::balance::{Balance, BalanceLayer, Endpoint, Endpoints};
use tower_failover::classify::ErrorsOnly;
use tower_failover::hedge::{Hedge, HedgeHandle, HedgeLayer, Percentile};
use tower_failover::replay::Slot;
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Ratio};

type Kind = Slot<Request>;
type Balanced = Balance<Connection, ErrorsOnly, Kind>;
type Hedged<S> = Hedge<S, ErrorsOnly, Kind>;

/// A client whose requests are answered by this service.
pub(crate) struct Shipped<S> {
    service: S,
    endpoints: Endpoints<Connection>,
    hedges: Option<HedgeHandle>,
    sleeps: bool,
}

/// A request that one of the library's futures makes.
pub(crate) struct Running<F> {
    future: Pin<Box<F>>,
    waker: Waker,
}

impl<S> Client for Shipped<S>
where
    S: Service<Request, Response = (), Error = BoxError>,
{
    type Request = Running<S::Future>;

    fn send(&mut self, number: usize, scene: &Scene, truth: &Truth<'_>) -> Self::Request {
        scene.clock.show(truth.now());
        let waker = if self.sleeps { scene.clock.waker(number) } else { Waker::noop().clone() };
        let ready = self.service.poll_ready(&mut Context::from_waker(&waker));
        assert!(matches!(ready, Poll::Ready(Ok(()))), "a balancer is always ready");
        let future = self.service.call(Request::new(number, &scene.wire));
        Running { future: Box::pin(future), waker }
    }

    fn poll(&mut self, request: &mut Self::Request, scene: &Scene, now: Nanos) -> Poll<Answer> {
        scene.clock.show(now);
        let polled = request.future.as_mut().poll(&mut Context::from_waker(&request.waker));
        // other errors than a call's are those of the balancer: it has no endpoint left
        let error = |error: BoxError| {
            error.downcast_ref::<CallError>().copied().unwrap_or(CallError::Failed)
        };
        polled.map_err(error)
    }

    fn sleeps(&self) -> bool {
        self.sleeps
    }

    fn known(&self) -> Vec<Known> {
        // in the order of the names, which is that of the servers
        let endpoints = self.endpoints.snapshot();
        let known = endpoints.iter().map(|endpoint| Known {
            failures: endpoint.counts.failures,
            ejections: endpoint.ejections,
        });
        known.collect()
    }

    fn denied(&self) -> u64 {
        self.hedges.as_ref().map_or(0, |hedges| hedges.snapshot().out_of_budget)
    }
}

/// Makes the clients of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) seed: u64,
}

impl Maker<'_> {
    fn seed(self, client: usize) -> u64 {
        Random::new(self.seed, 1_000 + client as u64).bits()
    }

    fn endpoints(self) -> Endpoints<Connection> {
        let endpoint = |server: usize| {
            let weight = self.scenario.weight(server);
            Endpoint::new(format!("{server:03}"), Connection(server)).weight(weight)
        };
        (0..self.scenario.servers).map(|server| endpoint(server).expect("a weight")).collect()
    }

    fn balance(self, client: usize, endpoints: &Endpoints<Connection>) -> Balanced {
        let layer = BalanceLayer::plain().seed(self.seed(client)).kind(Request::slot());
        layer.layer(endpoints.clone())
    }

    fn retry(self, client: usize) -> Option<RetryLayer<ErrorsOnly, Kind>> {
        let layer = RetryLayer::plain().no_budget().seed(self.seed(client)).kind(Request::slot());
        let retries = self.scenario.retries;
        (retries > 0).then(|| layer.max_retries(retries))
    }

    /// Balances, and retries where the scenario has it so.
    pub(crate) fn balanced(self, client: usize) -> impl Client {
        let endpoints = self.endpoints();
        let retry = self.retry(client);
        let sleeps = retry.is_some();
        let service =
            ServiceBuilder::new().option_layer(retry).service(self.balance(client, &endpoints));
        Shipped { service, endpoints, hedges: None, sleeps }
    }

    /// The same, with hedges after this percentile.
    pub(crate) fn hedged(self, client: usize, percent: u8) -> impl Client {
        let endpoints = self.endpoints();
        let hedge = HedgeLayer::plain().kind(Request::slot()).delay(percentile(percent));
        let (hedge, hedges) = hedge.with_handle();
        let service = ServiceBuilder::new()
            .option_layer(self.retry(client))
            .layer(hedge)
            .service(self.balance(client, &endpoints));
        Shipped { service, endpoints, hedges: Some(hedges), sleeps: true }
    }

    /// The same with [`Naive`] hedges, and no retries.
    pub(crate) fn hedged_naively(self, client: usize, percent: u8) -> impl Client {
        let endpoints = self.endpoints();
        let service = Naive::new(self.balance(client, &endpoints), percent);
        Shipped { service, endpoints, hedges: None, sleeps: true }
    }
}

fn percentile(percent: u8) -> Percentile {
    Percentile::new(Ratio::new(f64::from(percent) / 100.0).expect("a percentage"))
}

/// Hedges in tower's way: without a budget, and after a percentile of what those attempts took that answered,
/// and not of what requests took. An attempt that is given up tells nothing, so that hedges make the delay
/// shrink.
struct Naive {
    /// Sends no hedges; it measures the attempts.
    attempts: Hedged<Balanced>,
    measured: HedgeHandle,
    delay: Option<Duration>,
    /// Hedges after that delay.
    hedge: Hedged<Hedged<Balanced>>,
}

impl Naive {
    fn new(balance: Balanced, percent: u8) -> Self {
        let layer = HedgeLayer::plain().kind(Request::slot()).no_budget().max_hedges(0);
        let (layer, measured) = layer.delay(percentile(percent)).with_handle();
        let attempts = layer.layer(balance);
        let hedge = Self::after(None, attempts.clone());
        Self { attempts, measured, delay: None, hedge }
    }

    fn after(delay: Option<Duration>, attempts: Hedged<Balanced>) -> Hedged<Hedged<Balanced>> {
        let layer = HedgeLayer::plain().kind(Request::slot()).no_budget();
        let layer = layer.max_hedges(delay.is_some().into()).delay(delay.unwrap_or_default());
        layer.layer(attempts)
    }
}

impl Service<Request> for Naive {
    type Response = ();
    type Error = BoxError;
    type Future = <Hedged<Hedged<Balanced>> as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let delay = self.measured.snapshot().delay;
        if delay != self.delay {
            self.delay = delay;
            self.hedge = Self::after(delay, self.attempts.clone());
        }
        self.hedge.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.hedge.call(request)
    }
}
