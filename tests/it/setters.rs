//! What holds for the setters, the handles and the services of all layers alike.

use crate::kit::{ms, secs, sleep};
use std::num::NonZeroU32;
use std::time::Duration;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints, Weight};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::FallbackLayer;
use tower_failover::first_frame::FirstFrameLayer;
use tower_failover::hedge::{HedgeHandle, HedgeLayer, Percentile};
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;
use tower_failover::stall::StallLayer;
use tower_failover::track::TrackLayer;
use tower_failover::trip::{Consecutive, FailureRatio, Failures, SlowRatio, TripRule};
use tower_failover::{Backoff, Budget, InvalidSetting, Outcome, Ratio};

async fn fails(_: u64) -> Result<u64, BoxError> {
    Err("down".into())
}

fn classifier(result: Result<&u64, &BoxError>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Failure }
}

/// A stack is built without a question mark.
#[test]
fn what_is_known_when_it_is_compiled_cannot_fail() {
    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();
    const HALF: FailureRatio = FailureRatio::percent::<50>().last(THREE).min_calls(3);
    const SLOW: TripRule = SlowRatio::slower_than(Duration::from_secs(1)).degrade();
    let _ = CircuitBreakerLayer::plain()
        .trip_on(HALF)
        .trip_on(SLOW)
        .trip_on(Failures::count::<51>().within(secs(60)))
        .trials(THREE)
        .successes(THREE)
        .trial_timeout(secs(1))
        .dwell(secs(1))
        .open_for(Backoff::exponential(secs(1)).factor(1.5));
    let _ = BalanceLayer::plain().eject_on(HALF).max_in_flight(THREE);
    let _ = Endpoint::new("one", ()).max_in_flight(THREE);
    let _ = StallLayer::http().idle(secs(1)).total(secs(9));
}

/// A weight that is checked already, and one that is not, go the same way.
#[test]
fn a_weight_comes_as_a_number_or_checked() -> Result<(), InvalidSetting> {
    let weights: [Endpoint<()>; 3] = [
        Endpoint::new("number", ()).weight(2.0)?,
        Endpoint::new("checked", ()).weight(Weight::new(2.0)?)?,
        Endpoint::new("converted", ()).weight(Weight::try_from(2.0)?)?,
    ];
    let endpoints = Endpoints::from_iter(weights);
    assert!(endpoints.snapshot().iter().all(|endpoint| endpoint.weight == 2.0));
    assert_eq!(Weight::default(), Weight::new(1.0)?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn setters_after_with_handle_keep_the_handle_of_retry() {
    let (layer, handle) = RetryLayer::plain().with_handle();
    let layer = layer
        .budget(Budget::new())
        .backoff(Backoff::constant(ms(1)))
        .seed(7)
        .classify(classifier)
        .kind(Plain::default())
        .max_retries(3);
    layer.layer(service_fn(fails)).oneshot(1).await.unwrap_err();
    assert_eq!((handle.snapshot().retries, handle.snapshot().out_of_retries), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn setters_after_with_handle_keep_the_handle_of_a_fallback() {
    let (layer, handle) = FallbackLayer::plain().with_handle();
    let layer = layer.value(|_| 7_u64).name("another").classify(classifier).kind(Plain::default());
    assert_eq!(layer.layer(service_fn(fails)).oneshot(1).await.unwrap(), 7);
    assert_eq!((handle.snapshot().failure, handle.snapshot().answered), (1, 1));
}

fn slow() -> impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone {
    service_fn(|request| async move {
        sleep(ms(100)).await;
        Ok::<_, BoxError>(request)
    })
}

#[tokio::test(start_paused = true)]
async fn a_delay_after_with_handle_keeps_the_handle_of_a_hedge() {
    let (layer, handle) = HedgeLayer::plain().with_handle();
    assert_eq!(handle.snapshot().delay, None, "there is no service yet");
    let layer = layer.delay(ms(30)).no_budget();
    layer.layer(slow()).oneshot(1).await.unwrap();
    assert_eq!((handle.snapshot().delay, handle.snapshot().hedges), (Some(ms(30)), 1));
}

/// The latencies that a service has taken begin with another delay, and the handle stays with the first.
#[tokio::test(start_paused = true)]
async fn a_delay_after_the_first_service_begins_new_latencies() {
    let sampled = Percentile::default().min_samples(1);
    let (layer, handle) = HedgeLayer::plain().delay(sampled).with_handle();
    let first = layer.layer(slow());
    let again = layer.clone().layer(slow());
    first.oneshot(1).await.unwrap();
    sleep(secs(1)).await;
    let known = handle.snapshot().delay;
    assert!(known.is_some_and(|delay| delay >= ms(80)), "{known:?}");

    let (layer, later) = layer.delay(sampled).with_handle();
    let other = layer.layer(slow());
    other.oneshot(1).await.unwrap();
    again.oneshot(1).await.unwrap();
    assert_eq!(later.snapshot().hedges, handle.snapshot().hedges, "one layer counts for both");
    let delays = |handle: &HedgeHandle| handle.snapshot().delay.is_some();
    assert!(delays(&handle) && delays(&later), "both watch services that are used");
}

/// Clones that were set apart don't share what they go by.
#[tokio::test(start_paused = true)]
async fn each_of_two_clones_has_its_own_delay() {
    let (layer, handle) = HedgeLayer::plain().no_budget().with_handle();
    let (soon, late) = (layer.clone().delay(ms(10)), layer.delay(secs(60)));
    let (soon, late) = (soon.layer(slow()), late.layer(slow()));
    late.oneshot(1).await.unwrap();
    assert_eq!(handle.snapshot().hedges, 0);
    soon.oneshot(1).await.unwrap();
    assert_eq!(handle.snapshot().hedges, 1);
    assert_eq!(handle.snapshot().delay, Some(ms(10)), "that of the first service");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_somebody_watches_is_that_of_all_services() {
    let (layer, circuit) =
        CircuitBreakerLayer::plain().trip_on(Consecutive::count::<2>()).with_handle();
    let twin = layer.clone();
    // those that are left say how requests and answers are read
    let layer = layer.classify(ErrorsOnly::new()).kind(Plain::default()).gated();
    layer.layer(service_fn(fails)).oneshot(1).await.unwrap_err();
    twin.layer(service_fn(fails)).oneshot(1).await.unwrap_err();
    assert_eq!(circuit.state(), CircuitState::Open);
    let service = layer.layer(service_fn(fails));
    service.handle().reset();
    assert_eq!(circuit.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_that_of_the_services_that_were_made_before() {
    let layer = CircuitBreakerLayer::plain().trip_on(Consecutive::count::<1>());
    layer.layer(service_fn(fails)).oneshot(1).await.unwrap_err();
    let (_, circuit) = layer.with_handle();
    assert_eq!(circuit.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn the_circuits_of_keys_are_watched_together() {
    let (layer, circuits) = CircuitBreakerLayer::plain()
        .trip_on(Consecutive::count::<1>())
        .keyed(|request: &u64| *request)
        .with_handle();
    for key in [1, 2] {
        let layer = layer.clone().classify(ErrorsOnly::new());
        layer.layer(service_fn(fails)).oneshot(key).await.unwrap_err();
    }
    assert_eq!(circuits.tripped(), [1, 2]);
}

/// Has all that a tower middleware lends of the service inside.
macro_rules! lends {
    ($layer:expr) => {{
        #[derive(Clone, Debug, PartialEq)]
        struct Inner(u32);

        let mut service = $layer.layer(Inner(1));
        assert_eq!(service.get_ref(), &Inner(1));
        service.get_mut().0 += 1;
        assert_eq!(service.get_ref(), &Inner(2));
        assert_eq!(service.into_inner(), Inner(2));
    }};
}

#[test]
fn services_lend_the_service_inside() {
    lends!(RetryLayer::plain());
    lends!(HedgeLayer::http());
    lends!(FallbackLayer::plain().value(|_: tower_failover::fallback::Failed<u64>| 7_u64));
    lends!(FallbackLayer::grpc().unavailable());
    lends!(CircuitBreakerLayer::plain());
    lends!(CircuitBreakerLayer::plain().keyed(|request: &u64| *request));
    lends!(CircuitBreakerLayer::http().with_handle().0);
    lends!(FirstFrameLayer::http());
    lends!(StallLayer::http());
    lends!(TrackLayer::plain());
}

#[test]
fn a_wrong_setting_says_what_was_wrong() {
    for (error, text) in [
        (Ratio::new(1.5).unwrap_err(), "a ratio must be between 0 and 1, not 1.5"),
        (Weight::new(0.0).unwrap_err(), "a weight must be between 0.000001 and 1000000, not 0"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.clone(), error);
    }
    assert_ne!(Ratio::new(1.5).unwrap_err(), Ratio::new(-1.5).unwrap_err());
}
