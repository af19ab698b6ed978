//! Retries in retries, and retries over a set of endpoints.

use super::{Answer, Body, Upstream, account, answer, down, every, request, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{Scripted, ms, secs, timed};
use ::http::Request;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower::load_shed::error::Overloaded;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::replay::{ReplayBody, Slot};
use tower_failover::retry::RetryLayer;
use tower_failover::{Attempts, BoxError, Budget};

/// A balancer that goes through its endpoints in their order.
#[derive(Clone)]
struct Fleet(Vec<Upstream>);

impl Fleet {
    fn new<const N: usize>(answers: [fn() -> Result<Answer, BoxError>; N]) -> Self {
        Self(answers.map(|answer| upstream(move |_| answer())).into())
    }

    fn counts(&self) -> Vec<usize> {
        self.0.iter().map(|endpoint| endpoint.count()).collect()
    }
}

impl Service<Request<ReplayBody<Body>>> for Fleet {
    type Response = Answer;
    type Error = BoxError;
    type Future = <Upstream as Service<Request<ReplayBody<Body>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Attempts::announce_reader();
        for endpoint in &mut self.0 {
            ready!(Service::<Request<ReplayBody<Body>>>::poll_ready(endpoint, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody<Body>>) -> Self::Future {
        let attempts = request.extensions_mut().remove::<Attempts>().expect("it was announced");
        let untried =
            |attempts: &Attempts| (0..self.0.len()).find(|at| !attempts.was_tried(1, *at as u64));
        let chosen = untried(&attempts).unwrap_or(0);
        attempts.mark_tried(1, chosen as u64);
        attempts.set_untried_left(untried(&attempts).is_some());
        self.0[chosen].call(request)
    }
}

fn good() -> Result<Answer, BoxError> {
    Ok(answer(200, []))
}

fn bad() -> Result<Answer, BoxError> {
    Ok(answer(503, []))
}

fn throttled() -> Result<Answer, BoxError> {
    Ok(answer(429, [("retry-after", "30")]))
}

fn unsuitable() -> Result<Answer, BoxError> {
    Ok(answer(501, []))
}

fn overloaded() -> Result<Answer, BoxError> {
    Err(Overloaded::new().into())
}

/// G17
#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another_endpoint_at_once() {
    for first in [bad, throttled, unsuitable, overloaded] {
        let fleet = Fleet::new([first, good]);
        let service = RetryLayer::http().backoff(every(secs(9))).layer(fleet.clone());
        let (answer, took) = timed(service.oneshot(request("GET"))).await;
        assert_eq!((answer.unwrap().status().as_u16(), took), (200, Duration::ZERO));
        assert_eq!(fleet.counts(), [1, 1]);
    }
}

/// G17
#[tokio::test(start_paused = true)]
async fn a_retry_elsewhere_can_be_made_to_wait() {
    for (first, expected) in [(bad as fn() -> _, ms(90)), (throttled, secs(30))] {
        let fleet = Fleet::new([first, good]);
        let layer = RetryLayer::http().backoff(every(ms(90))).delay_elsewhere();
        let (answer, took) = timed(layer.layer(fleet.clone()).oneshot(request("GET"))).await;
        assert_eq!((answer.unwrap().status().as_u16(), took), (200, expected));
    }
}

/// F14: a local refusal is never slept on
#[tokio::test(start_paused = true)]
async fn a_local_refusal_elsewhere_withdraws_nothing_and_does_not_wait() {
    let budget = account(5);
    let fleet = Fleet::new([overloaded, good]);
    let layer = RetryLayer::http().budget(budget.clone()).backoff(every(secs(9))).delay_elsewhere();
    let (answer, took) = timed(layer.layer(fleet.clone()).oneshot(request("POST"))).await;
    assert_eq!((answer.unwrap().status().as_u16(), took), (200, Duration::ZERO));
    assert_eq!((fleet.counts(), budget.balance()), (vec![1, 1], 5));
}

/// G17
#[tokio::test(start_paused = true)]
async fn a_retry_that_comes_back_to_an_endpoint_waits() {
    let fleet = Fleet::new([bad, bad]);
    let layer = RetryLayer::http().max_retries(2).backoff(every(secs(1)));
    let (_, took) = timed(layer.layer(fleet.clone()).oneshot(request("GET"))).await;
    assert_eq!((fleet.counts(), took), (vec![2, 1], secs(1)));
}

/// G17
#[tokio::test(start_paused = true)]
async fn an_unsuitable_request_ends_when_every_endpoint_was_asked() {
    let fleet = Fleet::new([unsuitable, unsuitable, unsuitable]);
    let layer = RetryLayer::http().max_retries(9);
    let (answer, took) = timed(layer.layer(fleet.clone()).oneshot(request("POST"))).await;
    assert_eq!((answer.unwrap().status().as_u16(), took), (501, Duration::ZERO));
    assert_eq!(fleet.counts(), [1, 1, 1]);
    assert_eq!(layer.handle().snapshot().nowhere_else, 1);
}

/// G1: elsewhere is no licence
#[tokio::test(start_paused = true)]
async fn a_post_that_may_have_done_its_work_does_not_go_elsewhere() {
    let fleet = Fleet::new([bad, good]);
    let layer = RetryLayer::http();
    let answer = layer.layer(fleet.clone()).oneshot(request("POST")).await.unwrap();
    assert_eq!((answer.status().as_u16(), fleet.counts()), (503, vec![1, 0]));
    assert_eq!(layer.handle().snapshot().not_repeatable, 1);
}

/// G2
#[tokio::test(start_paused = true)]
async fn nested_layers_make_three_attempts_and_not_nine() {
    let inner = upstream(|_| bad());
    let layer = || RetryLayer::http().max_retries(2);
    let service = layer().layer(layer().layer(inner.clone()));
    assert_eq!(service.oneshot(request("GET")).await.unwrap().status(), 503);
    assert_eq!(inner.count(), 3);
}

/// G2
#[tokio::test(start_paused = true)]
async fn each_nested_layer_has_its_own_limit_on_all_retries() {
    for (outer, middle, inmost) in [(4, 1, 2), (1, 4, 0), (0, 0, 4), (0, 0, 0)] {
        let inner = upstream(|_| bad());
        let layer = |retries| RetryLayer::http().max_retries(retries).no_budget();
        let service = layer(outer).layer(layer(middle).layer(layer(inmost).layer(inner.clone())));
        service.oneshot(request("GET")).await.unwrap();
        assert_eq!(inner.count(), 1 + outer.max(middle).max(inmost) as usize);
    }
}

/// No record reaches the client, whatever stands above it.
#[tokio::test(start_paused = true)]
async fn the_innermost_layer_takes_the_record_out() {
    let inner = upstream(|_| bad());
    let service = RetryLayer::http().layer(RetryLayer::http().layer(inner.clone()));
    service.oneshot(request("GET")).await.unwrap();
    let leaked = |head: &Request<()>| head.extensions().get::<Attempts>().is_some();
    assert!(!inner.notes().iter().any(leaked));
}

/// A handler that hands on the extensions of its request starts two calls, not two parts of one.
#[tokio::test(start_paused = true)]
async fn calls_made_by_a_handler_have_records_of_their_own() {
    let upstreams = [upstream(|_| bad()), upstream(|_| bad())];
    let stacks = upstreams.clone().map(|inner| {
        let outgoing = RetryLayer::http().max_retries(2).no_budget();
        outgoing.clone().layer(outgoing.layer(inner))
    });
    let handler = service_fn(move |inbound: Request<ReplayBody<ReplayBody<Body>>>| {
        let stacks = stacks.clone();
        async move {
            for stack in stacks {
                let mut outgoing = request("GET");
                *outgoing.extensions_mut() = inbound.extensions().clone();
                stack.oneshot(outgoing).await?;
            }
            good()
        }
    });
    let inbound = RetryLayer::http();
    let service = inbound.clone().layer(inbound.layer(handler));
    service.oneshot(request("GET")).await.unwrap();
    assert_eq!(upstreams.map(|inner| inner.count()), [3, 3]);
}

#[derive(Clone, Default)]
struct Job {
    attempts: Option<Attempts>,
}

/// G2
#[tokio::test(start_paused = true)]
async fn a_slot_carries_the_record_of_other_requests() {
    let budget = Budget::new();
    let layer = || {
        let slot = Slot::new(|job: &mut Job| &mut job.attempts);
        RetryLayer::plain().kind(slot).max_retries(2).budget(budget.clone())
    };
    let inner = Scripted::noting(|job: &Job| job.attempts.is_some(), |_| down::<()>());
    let service = layer().layer(layer().layer(inner.clone()));
    assert!(service.oneshot(Job::default()).await.is_err());
    assert_eq!(inner.notes(), [false; 3], "and the innermost layer takes it out");
}

#[tokio::test(start_paused = true)]
async fn a_reader_inside_sees_the_numbers_of_the_attempts() {
    #[derive(Clone)]
    struct Reader<S>(S);
    impl<S: Service<(u32, u32)>> Service<Job> for Reader<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            Attempts::announce_reader();
            self.0.poll_ready(cx)
        }
        fn call(&mut self, mut job: Job) -> S::Future {
            let attempts = job.attempts.take().unwrap();
            assert_eq!(attempts.started(), attempts.number());
            assert_eq!(attempts.deadline().unwrap().remaining(), secs(8));
            self.0.call((attempts.number(), attempts.retries()))
        }
    }

    let inner = Scripted::new(|call| if call < 4 { down() } else { Ok(()) });
    let slot = Slot::new(|job: &mut Job| &mut job.attempts);
    let layer = RetryLayer::plain().kind(slot).max_retries(3).backoff(every(Duration::ZERO));
    let service = layer.deadline(secs(8)).layer(Reader(inner.clone()));
    service.oneshot(Job::default()).await.unwrap();
    assert_eq!(inner.notes(), [(1, 0), (2, 1), (3, 2), (4, 3)]);
}

/// Where the record can't travel, layers count for themselves: that is said in the docs of `Plain`.
#[tokio::test(start_paused = true)]
async fn nested_plain_layers_do_not_know_of_each_other() {
    let inner = Scripted::new(|_| down::<()>());
    let layer = || RetryLayer::plain().max_retries(1).backoff(every(Duration::ZERO));
    assert!(layer().layer(layer().layer(inner.clone())).oneshot(1).await.is_err());
    assert_eq!(inner.count(), 4);
}
