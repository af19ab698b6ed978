//! Something that is not ours panics.

use super::{Body, account, answer, down, every, request};
use crate::kit::settings::Watch as _;
use crate::kit::{Place, Scripted, ms};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::{CopyWith, Plain, ReplayBody};
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Budget, Outcome};

const PLACES: [Place; 3] = [Place::Ready, Place::Call, Place::Future(Duration::ZERO)];

/// Fails always, and panics the n-th time that it gets to this place.
fn panics(place: Place, nth: usize) -> Scripted<u32, ()> {
    Scripted::new(|_| down()).panicking(place, nth)
}

/// Readies and calls the service; a panic is an `Err`.
async fn catch<S: Service<R>, R>(service: &mut S, request: R) -> Result<(), ()> {
    let call = async { drop(service.ready().await.ok().unwrap().call(request).await) };
    AssertUnwindSafe(call).catch_unwind().await.map_err(drop)
}

fn layer(budget: &Budget) -> RetryLayer<ErrorsOnly, Plain> {
    RetryLayer::plain().backoff(every(ms(5))).budget(budget.clone())
}

/// B1, B2, B3, B10
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_service_the_next_call_works() {
    for place in PLACES {
        for nth in 1..=3 {
            let (inner, budget) = (panics(place, nth), account(9));
            let layer = layer(&budget);
            let mut service = layer.layer(inner.clone());
            assert!(catch(&mut service, 1).await.is_err(), "{place:?} {nth}");
            let made = inner.count();
            let retries = made.saturating_sub(1) as u64;
            assert_eq!(budget.balance(), 9 - retries, "{place:?} {nth}");
            assert_eq!(catch(&mut service, 2).await, Ok(()), "{place:?} {nth}");
            assert_eq!(inner.count(), made + 3);
            assert_eq!(layer.handle().snapshot().retries, retries + 2);
        }
    }
}

/// B3, G18: the retry that a panic of readiness ended was not made
#[tokio::test(start_paused = true)]
async fn a_panic_of_readiness_in_a_retry_gives_the_withdrawal_back() {
    let (inner, budget) = (panics(Place::Ready, 2), account(9));
    assert!(catch(&mut layer(&budget).layer(inner.clone()), 1).await.is_err());
    assert_eq!((inner.count(), budget.balance()), (1, 9));
}

/// A14, B2
#[tokio::test(start_paused = true)]
async fn a_future_that_is_polled_after_a_panic_makes_no_further_attempt() {
    for place in [Place::Ready, Place::Call] {
        let (inner, budget) = (panics(place, 2), account(9));
        let service = layer(&budget).backoff(every(Duration::ZERO)).layer(inner.clone());
        let mut service = service;
        let mut call = tokio_test::task::spawn(service.ready().await.unwrap().call(1));
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| call.poll()));
        assert!(polled.is_err());
        let made = inner.count();
        if place == Place::Call {
            assert!(call.poll().is_pending());
            assert_eq!(inner.count(), made);
        }
        drop(call);
        assert_eq!(budget.balance(), 9 + 1 - made as u64);
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_classifier_the_next_call_works() {
    for nth in 1..=3 {
        let (inner, budget) = (Scripted::new(|_| down::<()>()), account(9));
        let judged = Arc::new(AtomicUsize::new(0));
        let layer = layer(&budget).classify_fn(move |result: Result<&(), &BoxError>| {
            assert!(judged.fetch_add(1, Relaxed) + 1 != nth, "as it was told");
            if result.is_ok() { Outcome::Success } else { Outcome::Failure }
        });
        let mut service = layer.layer(inner.clone());
        assert!(catch(&mut service, 1).await.is_err());
        assert_eq!((inner.count(), budget.balance()), (nth, 10 - nth as u64));
        assert_eq!(catch(&mut service, 2).await, Ok(()));
        assert_eq!(inner.count(), nth + 3);
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_rule_for_idempotent_requests_the_next_call_works() {
    let calls = Arc::new(AtomicUsize::new(0));
    let asked = calls.clone();
    let inner = tower::service_fn(|_: ::http::Request<ReplayBody<Body>>| async {
        Ok::<_, BoxError>(answer(500, []))
    });
    let layer = RetryLayer::http().idempotent_if(move |_| {
        assert!(asked.fetch_add(1, Relaxed) > 0, "as it was told");
        true
    });
    let mut service = layer.layer(inner);
    assert!(catch(&mut service, request("POST")).await.is_err());
    assert_eq!(catch(&mut service, request("POST")).await, Ok(()));
    assert_eq!(layer.handle().snapshot().retries, 2);
}

/// B8
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_copy_the_next_call_works() {
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    for nth in 1..=3 {
        COPIES.store(100 - nth, Relaxed);
        let (inner, budget) = (Scripted::new(|_| down::<()>()), account(9));
        let layer = layer(&budget).kind(CopyWith::new(|request: &u32| {
            assert!(COPIES.fetch_add(1, Relaxed) != 99, "as it was told");
            Some(*request)
        }));
        let mut service = layer.layer(inner.clone());
        assert!(catch(&mut service, 1).await.is_err());
        // the first copy is made before the first call, the others before a retry
        assert_eq!(
            (inner.count(), budget.balance()),
            (nth - 1, 9 - (nth as u64).saturating_sub(2))
        );
        assert_eq!(layer.handle().snapshot().retries, (nth as u64).saturating_sub(2));
        assert_eq!(catch(&mut service, 2).await, Ok(()));
        assert_eq!(inner.count(), nth - 1 + 3);
    }
}

/// B9
#[tokio::test(start_paused = true)]
async fn an_answer_that_panics_when_it_is_dropped_ends_its_call_alone() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0 || std::thread::panicking(), "as it was told");
        }
    }

    let budget = account(9);
    let inner = Scripted::new(|call| Ok(Bomb(call == 1)));
    let layer = layer(&budget).classify_fn(|result: Result<&Bomb, &BoxError>| match result {
        Ok(bomb) if bomb.0 => Outcome::Failure,
        _ => Outcome::Success,
    });
    let mut service = layer.layer(inner.clone());
    assert!(catch(&mut service, 1).await.is_err());
    assert_eq!((inner.count(), budget.balance()), (1, 9));
    assert_eq!(catch(&mut service, 2).await, Ok(()));
}
