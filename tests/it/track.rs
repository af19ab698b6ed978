//! A service that is recorded, and tells what a call costs.

use crate::kit::{Act, Scripted, ms};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::Load;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::BoxError;
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;
use tower_failover::track::{Track, TrackLayer};

type Part = Scripted<(), ()>;

/// Answers after 10 ms.
fn part() -> Part {
    Scripted::new(|_| Ok(())).taking(ms(10))
}

const BROKEN: Act = Act::FailsAfter(ms(1));

type Tracked = Track<Part, ErrorsOnly, Plain>;

fn p2c(parts: &[Part]) -> Balance<ServiceList<Vec<Tracked>>, ()> {
    let tracked = parts.iter().map(|part| TrackLayer::plain().layer(part.clone())).collect();
    Balance::new(ServiceList::new::<()>(tracked))
}

async fn calls(balance: &mut Balance<ServiceList<Vec<Tracked>>, ()>, count: usize) -> usize {
    let mut failures = 0;
    for _ in 0..count {
        failures += usize::from(balance.ready().await.unwrap().call(()).await.is_err());
    }
    failures
}

/// J10
#[tokio::test(start_paused = true)]
async fn towers_balancer_goes_past_an_endpoint_that_begins_to_fail_fast() {
    let parts = [part(), part(), part()];
    let mut balance = p2c(&parts);
    assert_eq!(calls(&mut balance, 100).await, 0);
    parts[0].act(BROKEN);
    calls(&mut balance, 50).await;
    let failures = calls(&mut balance, 1_000).await;
    assert!(failures < 40, "{failures}");
}

/// J10: also where none of its calls ever went well
#[tokio::test(start_paused = true)]
async fn towers_balancer_goes_past_an_endpoint_that_fails_from_the_beginning() {
    let parts = [part(), part(), part()];
    parts[0].act(BROKEN);
    let mut balance = p2c(&parts);
    calls(&mut balance, 50).await;
    let failures = calls(&mut balance, 1_000).await;
    assert!(failures < 20, "{failures}");
    parts[0].act(Act::Answers);
    let before = parts[0].count();
    assert!(calls(&mut balance, 3_000).await < 20);
    assert!(parts[0].count() - before > 300, "it is back: {}", parts[0].count() - before);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_cost_and_count_until_they_end() {
    let mut tracked = TrackLayer::plain().layer(part());
    tracked.ready().await.unwrap().call(()).await.unwrap();
    let alone = tracked.load();
    assert!((alone - 1e7).abs() < 1e6, "ten milliseconds: {alone}");
    let mut one = spawn(tracked.ready().await.unwrap().call(()));
    assert_pending!(one.poll());
    assert_eq!(tracked.load(), 2.0 * alone);
    let unpolled = tracked.ready().await.unwrap().call(());
    assert_eq!(tracked.load(), 3.0 * alone);
    drop((one, unpolled));
    assert_eq!(tracked.load(), alone, "given up early, they say nothing");
}

/// B1, B2
#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_ends_the_call() {
    let mut in_call = TrackLayer::plain()
        .layer(service_fn(|(): ()| -> std::future::Ready<Result<(), BoxError>> { panic!("call") }));
    let mut in_future = TrackLayer::plain().layer(service_fn(|(): ()| async {
        if true { panic!("future") } else { Ok::<_, BoxError>(()) }
    }));
    let before = in_call.load();
    let call = async { in_call.ready().await.unwrap().call(()).await.is_ok() };
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert!(in_call.load() > before);
    let call = async { in_future.ready().await.unwrap().call(()).await.is_ok() };
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert!(in_future.load() > before);
}

/// J6
#[test]
fn the_load_is_a_number_before_there_are_any_calls() {
    let tracked = TrackLayer::plain().layer(part());
    assert!(tracked.load().is_finite() && tracked.load() > 0.0);
}
