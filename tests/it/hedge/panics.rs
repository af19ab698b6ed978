//! Services that panic in the midst of a race.

use super::account;
use crate::kit::settings::Watch as _;
use crate::kit::{Place, Scripted, ms, sleep};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::{BoxError, Layer, ServiceExt};
use tower_failover::hedge::HedgeLayer;
use tower_failover::trip::Consecutive;

const PLACES: [Place; 3] = [Place::Ready, Place::Call, Place::Future(ms(5))];

/// Answers its calls with their numbers.
fn numbers() -> Scripted<(), usize> {
    Scripted::new(Ok).taking(ms(100))
}

/// B1, B2, B3: it reaches the caller, all attempts go, and the next call works
#[tokio::test(start_paused = true)]
async fn a_panic_of_a_hedge_or_of_the_first_attempt_leaves_nothing_behind() {
    for place in PLACES {
        for with in [1, 2] {
            let inner = numbers().panicking(place, with);
            let budget = account(5);
            let layer = HedgeLayer::plain().delay(ms(50)).budget(budget.clone());
            let service = layer.layer(inner.clone());
            let call = AssertUnwindSafe(service.clone().oneshot(())).catch_unwind().await;
            assert!(call.is_err(), "{place:?} {with}");
            assert_eq!(inner.running(), 0, "{place:?} {with}: an attempt is held");
            let hedges = inner.count().saturating_sub(1) as u64;
            assert_eq!(budget.balance(), 5 - hedges, "{place:?} {with}");
            assert_eq!(layer.handle().snapshot().hedges, hedges, "{place:?} {with}");
            assert!(service.oneshot(()).await.is_ok(), "{place:?} {with}");
            assert_eq!(inner.running(), 0);
        }
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_takes_the_race_along() {
    let inner = numbers();
    let judge = |result: Result<&usize, &BoxError>| {
        assert!(!matches!(result, Ok(1)), "as it was told");
        tower_failover::Outcome::Success
    };
    let layer = HedgeLayer::plain().delay(ms(50)).classify_fn(judge).no_budget();
    let service = layer.layer(inner.clone());
    assert!(AssertUnwindSafe(service.clone().oneshot(())).catch_unwind().await.is_err());
    assert_eq!(inner.running(), 0);
    assert_eq!(service.oneshot(()).await.unwrap(), 3);
}

/// B9: a future that panics when it is dropped is not held against those that are given up later
#[tokio::test(start_paused = true)]
async fn a_loser_that_panics_when_it_is_dropped_does_not_make_losers_of_others() {
    use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};

    struct Fragile(bool);
    impl Drop for Fragile {
        fn drop(&mut self) {
            assert!(!self.0, "as it was told");
        }
    }

    let calls = Arc::new(AtomicUsize::new(0));
    let inner = tower::service_fn(move |()| {
        let fragile = Fragile(calls.fetch_add(1, SeqCst) == 0);
        async move {
            sleep(ms(if fragile.0 { 900 } else { 5 })).await;
            Ok::<_, BoxError>(())
        }
    });
    let layer = HedgeLayer::plain().delay(ms(50)).no_budget();
    let call = AssertUnwindSafe(layer.layer(inner).oneshot(())).catch_unwind().await;
    assert!(call.is_err());
    let rule = Consecutive::count::<1>();
    let breaker = CircuitBreakerLayer::plain().hang_after(ms(10)).trip_on(rule);
    let hanging =
        breaker.layer(tower::service_fn(|()| std::future::pending::<Result<(), BoxError>>()));
    let _ = tokio::time::timeout(ms(20), hanging.oneshot(())).await;
    assert_eq!(breaker.handle().state(), CircuitState::Open);
}
