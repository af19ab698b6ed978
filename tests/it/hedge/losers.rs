//! What attempts that have lost tell of the services they went to.

use super::web::{Reply, Web};
use super::{NEVER, OK, staged};
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{look, ms, numbered, secs, sleep, timed};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio_test::task::spawn;
use tower::{Layer, ServiceExt};
use tower_failover::balance::{Balance, BalanceLayer, EndpointSnapshot, EndpointState, Endpoints};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
use tower_failover::classify::HttpClassifier;
use tower_failover::hedge::{Hedge, HedgeLayer, Percentile};
use tower_failover::replay::Http;
use tower_failover::trip::Consecutive;
use tower_failover::{Backoff, Jitter};

/// A7: neutral, also where it is older than a call that hangs
#[tokio::test(start_paused = true)]
async fn a_loser_does_not_open_a_circuit() {
    let rule = Consecutive::count::<1>();
    let breaker = CircuitBreakerLayer::plain().hang_after(ms(10)).trip_on(rule);
    let layer = HedgeLayer::plain().delay(ms(50)).no_budget();
    let stage = staged([(0, NEVER), (20, OK)]);
    let service = layer.layer(breaker.layer(stage.clone()));
    service.clone().oneshot(0).await.unwrap();
    let seen = breaker.handle().snapshot();
    assert_eq!((seen.state, seen.successes, seen.failures), (CircuitState::Closed, 1, 0));
    // the same, but given up by its caller
    let mut call = spawn(service.oneshot(0));
    assert!(call.poll().is_pending());
    tokio::time::advance(ms(30)).await;
    assert!(call.poll().is_pending());
    drop(call);
    assert_eq!(breaker.handle().state(), CircuitState::Open);
}

/// A4, A7, F1
#[tokio::test(start_paused = true)]
async fn a_probe_that_loses_gives_its_permit_back() {
    let times = Backoff::constant(ms(100)).jitter(Jitter::None);
    let breaker = CircuitBreakerLayer::plain()
        .trip_on(Consecutive::count::<1>())
        .trials(nonzero(2))
        .successes(nonzero(2))
        .open_for(times);
    let stage = staged([(0, Some(Err("down"))), (0, NEVER), (20, OK), (0, OK)]);
    let service = breaker.layer(stage.clone());
    service.clone().oneshot(0).await.unwrap_err();
    assert_eq!(breaker.handle().state(), CircuitState::Open);
    sleep(ms(101)).await;
    let layer = HedgeLayer::plain().delay(ms(50)).no_budget();
    layer.layer(service.clone()).oneshot(0).await.unwrap();
    let seen = breaker.handle().snapshot();
    assert_eq!((seen.state, seen.failures), (CircuitState::HalfOpen, 1), "one success of two");
    service.oneshot(0).await.unwrap();
    assert_eq!(breaker.handle().state(), CircuitState::Closed);
}

type Set = Balance<Web, HttpClassifier, Http>;

fn request() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

/// A layer that may hedge each request.
fn after(delay: u64) -> HedgeLayer<HttpClassifier, Http> {
    HedgeLayer::http().delay(ms(delay)).no_budget()
}

/// Servers in a set; each attempt does what the order of all attempts says.
struct World {
    set: Endpoints<Web>,
    servers: Vec<Web>,
}

impl World {
    /// Each attempt is answered as the closure says: given the server, and the number of the attempt
    /// among all.
    fn new(count: usize, reply: impl Fn(usize, usize) -> Reply + Clone + Send + 'static) -> Self {
        let numbers = Arc::new(AtomicUsize::new(0));
        let server = |at: usize| {
            let (numbers, reply) = (numbers.clone(), reply.clone());
            Web::with(move |_| reply(at, numbers.fetch_add(1, SeqCst)))
        };
        let servers: Vec<_> = (0..count).map(server).collect();
        Self { set: numbered(&servers, |_, endpoint| endpoint), servers }
    }

    /// Of servers which answer in 10 ms each of the first 40 requests, which are made.
    async fn warm(count: usize, reply: impl Fn(usize) -> Reply + Clone + Send + 'static) -> Self {
        let world = Self::new(count, move |_, number| match number.checked_sub(40) {
            None => (10, 200, &[]),
            Some(number) => reply(number),
        });
        let service = world.balance();
        for _ in 0..40 {
            service.clone().oneshot(request()).await.unwrap();
        }
        assert!(world.servers.iter().all(|server| server.count() > 0));
        world.servers.iter().for_each(Web::forget);
        world
    }

    fn balance(&self) -> Set {
        BalanceLayer::http().slow_start(ms(0)).layer(self.set.clone())
    }

    fn hedged(&self, layer: &HedgeLayer<HttpClassifier, Http>) -> Hedge<Set, HttpClassifier, Http> {
        layer.layer(self.balance())
    }

    fn counts(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.count()).collect()
    }

    fn seen(&self, at: usize) -> EndpointSnapshot {
        look(&self.set, &at.to_string())
    }

    /// The server to which the first attempt of one request went, before its hedge.
    fn first(&self) -> usize {
        let at = |at: &usize| self.servers[*at].times().first().copied();
        (0..self.servers.len()).filter(|index| at(index).is_some()).min_by_key(at).unwrap()
    }
}

/// A7: what is known of its endpoint stays as it was
#[tokio::test(start_paused = true)]
async fn a_fast_loser_changes_nothing() {
    let world =
        World::warm(2, |number| if number == 0 { (900, 200, &[]) } else { (3, 200, &[]) }).await;
    let before = world.set.snapshot();
    world.hedged(&after(5)).oneshot(request()).await.unwrap();
    assert_eq!(world.counts(), [1, 1]);
    let (at, was) = (world.first(), &before[world.first()]);
    let is = world.seen(at);
    assert_eq!((is.latency, is.health, is.state), (was.latency, was.health, was.state));
    assert_eq!((is.in_flight, is.counts.failures), (0, 0));
    assert_eq!(is.counts.successes, was.counts.successes);
}

/// A7: it answers in 10 ms, and was waited for 20
#[tokio::test(start_paused = true)]
async fn a_slow_loser_raises_the_latency_and_does_not_count_as_failed() {
    let world =
        World::warm(2, |number| if number == 0 { (900, 200, &[]) } else { (10, 200, &[]) }).await;
    let before = world.set.snapshot();
    sleep(ms(500)).await;
    world.hedged(&after(10)).oneshot(request()).await.unwrap();
    let at = world.first();
    let (was, is) = (&before[at], world.seen(at));
    assert!(is.latency > was.latency, "{:?} after {:?}", is.latency, was.latency);
    assert_eq!((is.counts.failures, is.health), (0, 1.0));
}

/// A7, J13: it answers in 10 ms, and was waited for 60
#[tokio::test(start_paused = true)]
async fn a_loser_older_than_three_times_the_latency_is_one_failure() {
    let world =
        World::warm(2, |number| if number == 0 { (900, 200, &[]) } else { (10, 200, &[]) }).await;
    let before = world.set.snapshot();
    world.hedged(&after(50)).oneshot(request()).await.unwrap();
    let at = world.first();
    let (was, is) = (&before[at], world.seen(at));
    assert_eq!((is.counts.failures, is.latency), (1, was.latency));
    assert!(is.health < was.health);
    assert_eq!(world.seen(1 - at).counts.failures, 0);
}

/// A4: a trial of an endpoint that hangs is over when the hedge has answered
#[tokio::test(start_paused = true)]
async fn a_trial_that_loses_after_a_long_time_has_failed() {
    let world = World::new(2, |at, _| if at == 0 { (900_000, 200, &[]) } else { (10, 200, &[]) });
    let service = world.hedged(&after(200));
    while world.seen(0).state != EndpointState::Ejected {
        service.clone().oneshot(request()).await.unwrap();
    }
    let (ejections, calls) = (world.seen(0).ejections, world.servers[0].count());
    for _ in 0..300 {
        service.clone().oneshot(request()).await.unwrap();
    }
    assert!(world.servers[0].count() > calls, "no trial was made");
    assert!(world.seen(0).ejections > ejections);
    assert_eq!(world.seen(0).in_flight, 0);
}

/// After how many requests, of which twenty come at once, an endpoint that hangs is ejected.
async fn ejected_after(layer: HedgeLayer<HttpClassifier, Http>, warm: usize) -> usize {
    let hangs = Arc::new(AtomicUsize::new(usize::MAX));
    let which = hangs.clone();
    let world =
        World::new(3, move |at, _| (if at == which.load(SeqCst) { 900_000 } else { 10 }, 200, &[]));
    let service = world.hedged(&layer);
    for _ in 0..warm {
        service.clone().oneshot(request()).await.unwrap();
    }
    hangs.store(0, SeqCst);
    for batch in 1..=50 {
        let calls: Vec<_> =
            (0..20).map(|_| tokio::spawn(service.clone().oneshot(request()))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        if world.seen(0).state == EndpointState::Ejected {
            return 20 * batch;
        }
    }
    panic!("it was never ejected: {:?}", world.seen(0));
}

/// J13: whoever calls one after another meets it seldom, ejected or not
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_behind_a_hedge_gets_few_of_a_thousand_requests() {
    let world = World::new(3, |at, _| (if at == 0 { 900_000 } else { 10 }, 200, &[]));
    let service = world.hedged(&after(50));
    for _ in 0..1_000 {
        service.clone().oneshot(request()).await.unwrap();
    }
    assert!(world.servers[0].count() <= 20, "{:?}", world.counts());
}

/// A12, J13: it takes three failures
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_behind_a_hedge_is_ejected_within_twenty_requests() {
    for (delay, warm) in [(50, 0), (50, 300), (25, 300)] {
        let after = ejected_after(after(delay), warm).await;
        assert!(after <= 20, "{after} requests with a delay of {delay} ms after {warm}");
    }
}

/// A12, J13
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_behind_a_hedge_by_percentile_is_ejected_within_twenty_requests() {
    let after = ejected_after(HedgeLayer::http().delay(Percentile::default()).no_budget(), 300);
    let after = after.await;
    assert!(after <= 20, "{after} requests");
}

/// A12, J13: a delay below the latency, at which losers are never three times as old as that
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_behind_an_early_hedge_is_ejected_within_twenty_requests() {
    let after = ejected_after(after(5), 300).await;
    assert!(after <= 20, "{after} requests");
}

/// A12, J13: calls are on their way all the time, also when it begins to hang, and lose one after another
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_begins_to_hang_under_load_is_ejected_within_twenty_requests_to_it() {
    for (gap, delay) in [(1, 50), (1, 25), (3, 50), (10, 50)] {
        let hangs = Arc::new(AtomicUsize::new(usize::MAX));
        let which = hangs.clone();
        let world = World::new(3, move |at, number| {
            let hangs = at == which.load(SeqCst);
            (if hangs { 900_000 } else { 8 + number as u64 % 5 }, 200, &[])
        });
        let service = world.hedged(&after(delay));
        let send = || drop(tokio::spawn(service.clone().oneshot(request())));
        for _ in 0..300 {
            send();
            sleep(ms(gap)).await;
        }
        hangs.store(0, SeqCst);
        let before = world.servers[0].count();
        for _ in 0..5_000 {
            send();
            sleep(ms(gap)).await;
            if world.seen(0).state == EndpointState::Ejected {
                break;
            }
        }
        let got = world.servers[0].count() - before;
        assert_eq!(world.seen(0).state, EndpointState::Ejected, "a request each {gap} ms");
        assert!(got <= 20, "{got} requests, one each {gap} ms, with a delay of {delay} ms");
    }
}

/// I12
#[tokio::test(start_paused = true)]
async fn a_thousand_of_a_thousand_hedges_go_to_another_endpoint() {
    let world =
        World::warm(4, |number| if number % 2 == 0 { (90, 200, &[]) } else { (1, 200, &[]) }).await;
    let layer = after(5);
    let service = world.hedged(&layer);
    for _ in 0..1_000 {
        service.clone().oneshot(request()).await.unwrap();
        let mut counts = world.counts();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 1, 1]);
        world.servers.iter().for_each(Web::forget);
    }
    assert_eq!(layer.handle().snapshot().hedges, 1_000);
}

/// I12
#[tokio::test(start_paused = true)]
async fn with_one_endpoint_there_is_a_hedge_only_if_asked_for() {
    for (same, made) in [(false, 1), (true, 2)] {
        let world = World::new(1, |_, number| (if number == 0 { 900 } else { 5 }, 200, &[]));
        let layer = if same { after(50).same_endpoint() } else { after(50) };
        world.hedged(&layer).oneshot(request()).await.unwrap();
        assert_eq!(world.counts(), [made]);
        assert_eq!(layer.handle().snapshot().nowhere_else, 2 - made as u64);
    }
}

/// I12: it was there when the first attempt was made
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_has_left_meanwhile_gets_no_hedge() {
    let world = World::new(2, |_, _| (100, 200, &[]));
    let layer = after(50);
    let call = tokio::spawn(world.hedged(&layer).oneshot(request()));
    sleep(ms(10)).await;
    let first = world.first();
    assert!(world.set.remove(&(1 - first).to_string()));
    call.await.unwrap().unwrap();
    assert_eq!(world.counts().iter().sum::<usize>(), 1, "it went to the same endpoint again");
}

#[tokio::test(start_paused = true)]
async fn what_was_throttled_or_unsuitable_is_hedged_elsewhere_at_once() {
    for status in [429, 501] {
        let world =
            World::new(2, move |_, number| (10, if number == 0 { status } else { 200 }, &[]));
        let layer = after(50).same_endpoint();
        let (answer, took) = timed(world.hedged(&layer).oneshot(request())).await;
        assert_eq!((answer.unwrap().status().as_u16(), took), (200, ms(20)), "{status}");
        assert_eq!(world.counts(), [1, 1]);
        let world = World::new(2, move |_, _| (10, status, &[]));
        let layer = after(50).max_hedges(5).same_endpoint();
        world.hedged(&layer).oneshot(request()).await.unwrap();
        assert_eq!(world.counts(), [1, 1], "{status}");
    }
}

/// J1, J14: nothing of a race stays behind
#[tokio::test(start_paused = true)]
async fn all_in_flight_is_over_when_the_call_is() {
    let world = World::new(4, |_, number| (if number < 3 { 900 } else { 5 }, 200, &[]));
    let layer = after(50).max_hedges(3);
    world.hedged(&layer).oneshot(request()).await.unwrap();
    assert_eq!(world.counts(), [1; 4]);
    let mut call = spawn(world.hedged(&layer).oneshot(request()));
    assert!(call.poll().is_pending());
    assert_eq!(world.set.snapshot().iter().map(|seen| seen.in_flight).sum::<u32>(), 1);
    drop(call);
    assert_eq!(world.set.snapshot().iter().map(|seen| seen.in_flight).sum::<u32>(), 0);
    sleep(secs(1)).await;
}
