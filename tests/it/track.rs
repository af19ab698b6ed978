//! A service that is recorded, and tells what a call costs.

use crate::support::{ms, sleep};
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
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

type Answer = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Answers after 10 ms, or fails after 1 ms.
#[derive(Clone, Default)]
struct Part(Arc<(AtomicUsize, AtomicBool)>);

impl Part {
    fn calls(&self) -> usize {
        self.0.0.load(SeqCst)
    }

    fn breaks(&self, broken: bool) {
        self.0.1.store(broken, SeqCst);
    }
}

impl Service<()> for Part {
    type Response = ();
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Answer {
        self.0.0.fetch_add(1, SeqCst);
        let broken = self.0.1.load(SeqCst);
        Box::pin(async move {
            sleep(if broken { ms(1) } else { ms(10) }).await;
            if broken { Err("broken".into()) } else { Ok(()) }
        })
    }
}

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
    let parts: [Part; 3] = Default::default();
    let mut balance = p2c(&parts);
    assert_eq!(calls(&mut balance, 100).await, 0);
    parts[0].breaks(true);
    calls(&mut balance, 50).await;
    let failures = calls(&mut balance, 1_000).await;
    assert!(failures < 40, "{failures}");
}

/// J10: also where none of its calls ever went well
#[tokio::test(start_paused = true)]
async fn towers_balancer_goes_past_an_endpoint_that_fails_from_the_beginning() {
    let parts: [Part; 3] = Default::default();
    parts[0].breaks(true);
    let mut balance = p2c(&parts);
    calls(&mut balance, 50).await;
    let failures = calls(&mut balance, 1_000).await;
    assert!(failures < 20, "{failures}");
    parts[0].breaks(false);
    let before = parts[0].calls();
    assert!(calls(&mut balance, 3_000).await < 20);
    assert!(parts[0].calls() - before > 300, "it is back: {}", parts[0].calls() - before);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_cost_and_count_until_they_end() {
    let mut tracked = TrackLayer::plain().layer(Part::default());
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
    let tracked = TrackLayer::plain().layer(Part::default());
    assert!(tracked.load().is_finite() && tracked.load() > 0.0);
}
