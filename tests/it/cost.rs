//! What a good call costs in memory; `benches/cost` counts instructions.

use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceBuilder, service_fn};
use tower_failover::Ratio;
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::FallbackLayer;
use tower_failover::hedge::{HedgeLayer, Percentile};
use tower_failover::retry::RetryLayer;
use tower_failover::trip::{FailureRatio, Failures, SlowRatio, TripRule};

/// Answers when it is polled for the first time, or for the second.
async fn echo(request: u64, pending: bool) -> Result<u64, &'static str> {
    let mut waits = pending;
    poll_fn(|cx| {
        if waits {
            waits = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
    Ok(request)
}

/// Allocations of a thousand calls, after one to warm up.
fn allocations<S>(mut service: S) -> u64
where
    S: Service<u64, Response = u64, Error: std::fmt::Debug>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut drive = |calls| {
        runtime.block_on(async {
            for call in 0..calls {
                poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
                assert_eq!(service.call(call).await.unwrap(), call);
            }
        });
    };
    drive(1);
    let few = allocation_counter::measure(|| drive(1)).count_total;
    allocation_counter::measure(|| drive(1_001)).count_total - few
}

#[test]
fn a_good_call_allocates_nothing() {
    for pending in [false, true] {
        let inner = service_fn(move |request| echo(request, pending));
        let backup = service_fn(|request| echo(request, false));
        let over_retry = ServiceBuilder::new()
            .layer(FallbackLayer::plain().service(backup))
            .layer(RetryLayer::plain())
            .service(inner);
        assert_eq!(allocations(over_retry), 0, "pending: {pending}");
        let to_a_value = FallbackLayer::plain().value(|_| 0_u64);
        let value = ServiceBuilder::new().layer(to_a_value).service(inner);
        assert_eq!(allocations(value), 0, "pending: {pending}");
    }
}

/// The time of arrival is noted in the future itself.
#[test]
fn a_good_call_with_a_deadline_allocates_nothing() {
    let retry = RetryLayer::plain().deadline(Duration::from_secs(1));
    let service =
        ServiceBuilder::new().layer(retry).service(service_fn(|request| echo(request, true)));
    assert_eq!(allocations(service), 0);
}

/// Also where it is timed, and where the calls are counted in a ring.
#[test]
fn a_good_call_through_a_closed_breaker_allocates_nothing() {
    let half = Ratio::percent::<50>();
    let slow = SlowRatio::slower_than(Duration::from_secs(2)).ratio(half);
    let ring = FailureRatio::new(half).last(nonzero(100));
    for pending in [false, true] {
        let inner = service_fn(move |request| echo(request, pending));
        let rules: [TripRule; 4] = [
            FailureRatio::new(half).into(),
            slow.into(),
            ring.into(),
            Failures::count::<51>().into(),
        ];
        for rule in rules {
            let breaker = CircuitBreakerLayer::plain().trip_on(rule);
            let handle = breaker.handle();
            let alone = ServiceBuilder::new().layer(breaker).service(inner);
            assert_eq!(allocations(alone), 0, "{rule:?}, pending: {pending}");
            assert_eq!(handle.snapshot().successes, 1_003);
        }
        let backup = service_fn(|request| echo(request, false));
        let stack = ServiceBuilder::new()
            .layer(FallbackLayer::plain().service(backup))
            .layer(RetryLayer::plain())
            .layer(CircuitBreakerLayer::plain())
            .layer(TimeoutLayer::new(Duration::from_secs(1)))
            .service(inner);
        assert_eq!(allocations(stack), 0, "pending: {pending}");
    }
}

/// One timer, in the future itself, where a hedge may become due.
#[test]
fn a_good_call_that_is_not_hedged_allocates_nothing() {
    for pending in [false, true] {
        let inner = service_fn(move |request| echo(request, pending));
        let fixed = HedgeLayer::plain().delay(Duration::from_secs(60));
        let adaptive = HedgeLayer::plain()
            .delay(Percentile::default().min_samples(1).floor(Duration::from_secs(60)));
        for hedge in [fixed, adaptive] {
            let service = ServiceBuilder::new().layer(hedge.clone()).service(inner);
            assert_eq!(allocations(service), 0, "pending: {pending}");
            let stack = ServiceBuilder::new().layer(RetryLayer::plain()).layer(hedge);
            assert_eq!(allocations(stack.service(inner)), 0, "pending: {pending}");
        }
    }
}

/// L1: what ten thousand of them take is in `guide::defaults`
#[test]
fn a_circuit_by_key_takes_less_than_three_kilobytes() {
    use tower::Layer;
    const KEYS: u64 = 10_000;
    let layer = CircuitBreakerLayer::plain().keyed(|key: &u64| *key);
    let mut service = layer.layer(service_fn(|request| echo(request, false)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let grown = allocation_counter::measure(|| {
        runtime.block_on(async {
            for key in 0..KEYS {
                poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
                assert_eq!(service.call(key).await.unwrap(), key);
            }
        });
    });
    let each = grown.bytes_current / KEYS as i64;
    assert!((2_000..3_000).contains(&each), "{each} bytes");
}
