//! Which services share a circuit.

use crate::kit::settings::Watch as _;
use crate::kit::{Scripted, ms, secs};
use futures_util::FutureExt;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::BoxError;
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::FallbackLayer;
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;
use tower_failover::trip::Consecutive;

/// Opens at the third failure in a row.
fn layer() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    CircuitBreakerLayer::plain().trip_on(Consecutive::count::<3>())
}

fn down() -> Scripted<u32, ()> {
    Scripted::new(|_| Err("down".into()))
}

fn fine() -> Scripted<u32, ()> {
    Scripted::new(|_| Ok(()))
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_and_of_its_clones_share_its_circuit() {
    let layer = layer();
    let circuit = layer.handle();
    let services = [layer.layer(down()), layer.clone().layer(down()), layer.layer(down())];
    for service in services {
        assert_eq!(circuit.state(), CircuitState::Closed);
        service.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!(circuit.state(), CircuitState::Open);
    let untouched = fine();
    layer.layer(untouched.clone()).oneshot(1).await.unwrap_err();
    assert_eq!(untouched.count(), 0);
}

/// The circuit is the same whichever of handle and service is made first, and from whichever clone.
#[tokio::test(start_paused = true)]
async fn the_handle_of_a_service_is_that_of_its_layer() {
    let layer = layer();
    let (twin, service) = (layer.clone(), layer.layer(down()));
    for circuit in [layer.handle(), twin.handle(), service.handle(), service.clone().handle()] {
        circuit.force_open();
        assert_eq!(layer.handle().state(), CircuitState::ForcedOpen);
        circuit.reset();
    }
}

#[tokio::test(start_paused = true)]
async fn a_setter_parts_from_what_was_made_before() {
    let before = layer();
    let after = before.clone().name("another").trip_on(Consecutive::count::<2>());
    before.handle().force_open();
    assert_eq!(after.handle().state(), CircuitState::Closed);
    assert_eq!(before.handle().name(), "circuit");
    assert_eq!(after.handle().name(), "another");
}

#[tokio::test(start_paused = true)]
async fn setters_that_change_no_terms_keep_the_circuit() {
    let before = layer();
    before.handle().force_open();
    let gated = before.clone().gated();
    assert_eq!(gated.handle().state(), CircuitState::ForcedOpen);
    let judged = before.classify(ErrorsOnly::new()).kind(Plain::default());
    assert_eq!(judged.handle().state(), CircuitState::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn three_endpoints_of_one_layer_have_a_circuit_each_and_the_bad_one_opens_alone() {
    let layer = layer().per_service();
    let inners = [fine(), down(), fine()];
    let endpoints = inners.clone().map(|inner| layer.layer(inner));
    for call in 0..30 {
        for endpoint in &endpoints {
            let _ = endpoint.clone().oneshot(call).await;
        }
    }
    let states = endpoints.each_ref().map(|endpoint| endpoint.handle().state());
    assert_eq!(states, [CircuitState::Closed, CircuitState::Open, CircuitState::Closed]);
    assert_eq!(inners.each_ref().map(Scripted::count), [30, 3, 30]);
}

/// C9
#[tokio::test(start_paused = true)]
async fn the_clones_of_an_endpoint_share_its_circuit() {
    let endpoint = layer().per_service().layer(down());
    let clones: Vec<_> = (0..64).map(|_| endpoint.clone()).collect();
    for clone in clones {
        clone.oneshot(1).await.unwrap_err();
    }
    let counts = endpoint.handle().snapshot();
    assert_eq!((counts.failures, counts.refused), (3, 61));
}

/// F11
#[tokio::test(start_paused = true)]
async fn a_handle_outlives_its_services_and_services_their_handle() {
    let layer = layer();
    let (circuit, service) = (layer.handle(), layer.layer(down()));
    service.clone().oneshot(1).await.unwrap_err();
    drop((layer, service));
    assert_eq!((circuit.state(), circuit.snapshot().failures), (CircuitState::Closed, 1));
    circuit.force_open();
    assert_eq!(circuit.state(), CircuitState::ForcedOpen);

    let service = self::layer().layer(fine());
    drop(service.handle());
    service.oneshot(1).await.unwrap();
}

/// A17
#[tokio::test(start_paused = true)]
async fn a_circuit_goes_with_the_last_that_knows_it() {
    let layer = layer();
    let mut changes = layer.handle().changes();
    let service = layer.layer(fine().taking(ms(10)));
    let call = tokio_test::task::spawn(service.clone().oneshot(1));
    drop((layer, service));
    assert!(changes.next().now_or_never().is_none(), "a call is on its way");
    drop(call);
    assert_eq!(changes.next().await, None);
}

async fn count(request: u32) -> Result<u32, BoxError> {
    Ok(request + 1)
}

/// Calls the service in a task, as a user writes it; a function would have to name the bounds.
macro_rules! spawned {
    ($service:expr) => {{
        let mut service = $service;
        let task = async move { service.ready().await.unwrap().call(1_u32).await };
        assert_eq!(tokio::spawn(task).await.unwrap().unwrap(), 2);
    }};
}

/// C12
#[tokio::test(start_paused = true)]
async fn a_task_calls_a_circuit_breaker_with_errors_in_boxes() {
    let stack = || ServiceBuilder::new().layer(CircuitBreakerLayer::plain());
    spawned!(stack().service_fn(count));
    spawned!(stack().timeout(secs(1)).service_fn(count));
    spawned!(stack().service(BoxCloneService::new(service_fn(count))));
    spawned!(stack().layer(CircuitBreakerLayer::plain().gated()).service_fn(count));
    spawned!(stack().layer(CircuitBreakerLayer::plain().per_service()).service_fn(count));
    let keyed = || CircuitBreakerLayer::plain().keyed(|request: &u32| request.to_string());
    spawned!(stack().layer(keyed()).timeout(secs(1)).service_fn(count));
    let retried = ServiceBuilder::new().layer(RetryLayer::plain()).layer(keyed());
    spawned!(retried.timeout(secs(1)).service_fn(count));
    let covered = ServiceBuilder::new().layer(FallbackLayer::plain().value(|_| 0));
    let covered = covered.layer(RetryLayer::plain()).layer(CircuitBreakerLayer::plain());
    spawned!(covered.timeout(secs(1)).service_fn(count));
}
