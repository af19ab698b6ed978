//! Panics: the endpoint is charged where it was its own, nothing is held, and all goes on.

use crate::kit::{Act, Actor, Gate, cast, in_flight, look, ms};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Outcome};

/// Whether a call to a balancer panics.
async fn panics<S: Service<()> + Clone>(balance: &S) -> bool {
    let balance = balance.clone();
    let call = async move { balance.oneshot(()).await.is_ok() };
    AssertUnwindSafe(call).catch_unwind().await.is_err()
}

/// One panic of an endpoint, and a hundred good calls after it.
async fn one_panic(begins: impl Fn(&Actor), ends: impl Fn(&Actor)) {
    let ([a], set) = cast();
    let balance = BalanceLayer::plain().layer(set.clone());
    begins(&a);
    assert!(panics(&balance).await);
    let found = look(&set, "a");
    assert_eq!((found.in_flight, found.counts.failures, found.counts.neutral), (0, 1, 0));
    ends(&a);
    for _ in 0..100 {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "a");
    }
    assert_eq!((in_flight(&set), look(&set, "a").counts.failures), (0, 1));
}

/// B1, B10
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_panics_when_it_is_called_is_charged_once() {
    one_panic(|a| a.act(Act::PanicsInCall), |a| a.act(Act::Answers)).await;
}

/// B2
#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_future_panics_is_charged_once() {
    one_panic(|a| a.act(Act::PanicsAfter(ms(0))), |a| a.act(Act::Answers)).await;
}

/// B3
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_panics_when_it_is_polled_ready_is_charged_once() {
    one_panic(|a| a.gate(Gate::Panics), |a| a.gate(Gate::Open)).await;
}

/// B8
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_panics_when_it_is_cloned_is_charged_once() {
    one_panic(|a| a.clone_panics(true), |a| a.clone_panics(false)).await;
}

/// B3: the second one panics while the first one is pending
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_second_choice_gives_the_place_of_the_first_one_back() {
    let ([a, b], set) = cast();
    a.gate(Gate::Shut);
    b.gate(Gate::Panics);
    let balance = BalanceLayer::plain().layer(set.clone());
    assert!(panics(&balance).await);
    assert_eq!(in_flight(&set), 0);
    assert_eq!(look(&set, "b").counts.failures, 1);
    assert_eq!(look(&set, "a").counts, Default::default());
}

/// B4, B10
#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_harms_its_caller_alone() {
    let ([a], set) = cast();
    let broken = Arc::new(AtomicBool::new(true));
    let switch = broken.clone();
    let layer = BalanceLayer::plain().allow(move |(): &(), _| {
        assert!(!switch.load(SeqCst), "panics in the filter");
        true
    });
    let balance = layer.layer(set.clone());
    for _ in 0..10 {
        assert!(panics(&balance).await);
    }
    assert_eq!((in_flight(&set), look(&set, "a").counts), (0, Default::default()));
    broken.store(false, SeqCst);
    for _ in 0..100 {
        balance.clone().oneshot(()).await.unwrap();
    }
    assert_eq!((a.count(), in_flight(&set)), (100, 0));
}

/// B4: while one endpoint is pending, the filter is asked about another one
#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_at_the_second_choice_gives_the_place_of_the_first_one_back() {
    let ([a, _b], set) = cast();
    a.gate(Gate::Shut);
    let polled = a.clone();
    let layer = BalanceLayer::plain().allow(move |(): &(), endpoint| {
        assert!(polled.polls() == 0, "panics in the filter");
        endpoint.name() == "a"
    });
    let balance = layer.layer(set.clone());
    assert!(panics(&balance).await);
    assert_eq!((in_flight(&set), look(&set, "a").counts), (0, Default::default()));
}

/// B4: a place is held already, and the filter is asked what would be left for another attempt
#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_at_what_is_left_gives_the_place_back() {
    let service =
        |_| service_fn(|_: Request<String>| ready(Ok::<_, BoxError>(Response::new(String::new()))));
    let set: Endpoints<_> =
        ["a", "b"].map(|name| Endpoint::new(name, service(name))).into_iter().collect();
    let handle = set.clone();
    let balance = BalanceLayer::http().allow(move |_: &Request<String>, _| {
        assert!(handle.snapshot().iter().all(|found| found.in_flight == 0), "panics in the filter");
        true
    });
    let retry = RetryLayer::http().body(|_: ReplayBody<String>| String::new());
    let stack = ServiceBuilder::new().layer(retry).layer(balance).service(set.clone());
    let call = async move { stack.oneshot(Request::new(String::new())).await.is_ok() };
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    for found in set.snapshot() {
        assert_eq!((found.in_flight, found.counts), (0, Default::default()), "{}", found.name);
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_counts_the_call_as_failed_once() {
    for act in [Act::Answers, Act::Fails] {
        let ([a], set) = cast();
        a.act(act);
        let layer = BalanceLayer::plain();
        let judged =
            layer.classify_fn(|_: Result<&String, &BoxError>| -> Outcome { panic!("judge") });
        let balance = judged.layer(set.clone());
        assert!(panics(&balance).await);
        let found = look(&set, "a");
        assert_eq!((found.in_flight, found.counts.failures, found.counts.successes), (0, 1, 0));
    }
    let ([a], set) = cast();
    a.gate(Gate::Broken("broken"));
    let layer = BalanceLayer::plain();
    let balance = layer
        .classify_fn(|_: Result<&String, &BoxError>| -> Outcome { panic!("judge") })
        .layer(set.clone());
    assert!(panics(&balance).await);
    assert_eq!((in_flight(&set), look(&set, "a").counts.failures), (0, 1));
}

/// B2: in the midst of a body
#[tokio::test(start_paused = true)]
async fn a_body_that_panics_counts_the_call_as_failed_once() {
    let service = service_fn(|_: Request<()>| {
        let frames = futures_util::stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
                panic!("panics in the body")
            },
        );
        ready(Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(frames))))
    });
    let set: Endpoints<_> = [Endpoint::new("a", service)].into_iter().collect();
    let mut balance = BalanceLayer::http().layer(set.clone());
    let answer = balance.call(Request::new(())).await.unwrap();
    assert_eq!(in_flight(&set), 1);
    assert!(AssertUnwindSafe(answer.into_body().collect()).catch_unwind().await.is_err());
    let found = look(&set, "a");
    assert_eq!((found.in_flight, found.counts.failures, found.counts.neutral), (0, 1, 0));
}

/// B1: after three of them it is ejected, as after other failures
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_keeps_panicking_is_left_alone() {
    let ([a, b], set) = cast();
    a.act(Act::PanicsAfter(ms(0)));
    let balance = BalanceLayer::plain().layer(set.clone());
    let mut panicked = 0;
    for _ in 0..1_000 {
        panicked += u32::from(panics(&balance).await);
    }
    assert!((1..=3).contains(&panicked), "{panicked}");
    assert_eq!(b.count() as u32, 1_000 - panicked);
    assert_eq!(in_flight(&set), 0);
}
