//! What counts, and for how long it opens the circuit.

use super::bodies::*;
use crate::kit::settings::Watch as _;
use crate::kit::{ms, secs, sleep};
use http::Request;
use http_body_util::BodyExt;
use std::io;
use std::time::Duration;
use tower::load_shed::error::Overloaded;
use tower::{Layer, ServiceExt};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitHandle, CircuitState};
use tower_failover::classify::HttpClassifier;
use tower_failover::replay::Http;
use tower_failover::{Backoff, BoxError, Jitter, Refusal};

type Breaker = CircuitBreakerLayer<HttpClassifier, Http>;

/// Opens for a second at the first failure.
fn breaker() -> Breaker {
    let second = Backoff::constant(secs(1)).jitter(Jitter::None);
    CircuitBreakerLayer::http().trip_on(failures(1)).open_for(second)
}

/// The circuit after a call that was answered so.
async fn after<const N: usize>(
    layer: Breaker,
    status: u16,
    headers: [(&'static str, &'static str); N],
) -> CircuitHandle {
    let circuit = layer.handle();
    let service = layer.layer(upstream(move |_| Ok(answer(status, headers))));
    service.oneshot(Request::new(())).await.unwrap().into_body().collect().await.unwrap();
    circuit
}

async fn after_error(error: BoxError) -> [u64; 3] {
    let layer = breaker();
    let circuit = layer.handle();
    let mut error = Some(error);
    let service = layer.layer(upstream(move |_| Err(error.take().unwrap())));
    service.oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(circuit.state() == CircuitState::Open, counts(&circuit) == BAD);
    counts(&circuit)
}

/// F8
#[tokio::test(start_paused = true)]
async fn answers_count_by_their_status() {
    for (status, expected) in [
        (200, GOOD),
        (204, GOOD),
        (301, GOOD),
        (400, NEUTRAL),
        (404, NEUTRAL),
        (408, BAD),
        (425, NEUTRAL),
        (429, NEUTRAL),
        (500, BAD),
        (501, NEUTRAL),
        (502, BAD),
        (503, BAD),
        (504, BAD),
        (505, NEUTRAL),
    ] {
        assert_eq!(counts(&after(breaker(), status, []).await), expected, "{status}");
    }
}

/// F8
#[tokio::test(start_paused = true)]
async fn every_503_counts_with_and_without_a_hint() {
    for headers in [("x-none", ""), ("retry-after", "2"), ("retry-after", "junk")] {
        let circuit = after(breaker(), 503, [headers]).await;
        assert_eq!((counts(&circuit), circuit.state()), (BAD, CircuitState::Open), "{headers:?}");
    }
}

/// F8
#[tokio::test(start_paused = true)]
async fn a_429_counts_only_if_that_is_asked_for() {
    for headers in [("x-none", ""), ("retry-after", "2")] {
        assert_eq!(counts(&after(breaker(), 429, [headers]).await), NEUTRAL);
        let circuit = after(breaker().count_throttled(), 429, [headers]).await;
        assert_eq!((counts(&circuit), circuit.state()), (BAD, CircuitState::Open));
    }
}

/// H1, M12
#[tokio::test(start_paused = true)]
async fn a_hint_lengthens_the_open_time_and_no_hint_beyond_a_minute() {
    for (status, hint, seconds) in [
        (503, "0", 1),
        (503, "20", 20),
        (503, "60", 60),
        (503, "61", 60),
        (503, "1000000000000000000", 60),
        (503, "100000000000000000000000000", 60),
        (429, "20", 20),
    ] {
        let circuit = after(breaker().count_throttled(), status, [("retry-after", hint)]).await;
        assert_eq!(circuit.snapshot().next_trial, Some(secs(seconds)), "{status} {hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_opens_the_circuit_for_that_long_and_no_longer() {
    let layer = breaker();
    let circuit = layer.handle();
    let service = layer.layer(upstream(|call| {
        Ok(if call == 1 { answer(503, [("retry-after", "20")]) } else { answer(200, []) })
    }));
    let call = || async { service.clone().oneshot(Request::new(())).await.map(|_| ()) };
    call().await.unwrap();
    sleep(ms(19_999)).await;
    call().await.unwrap_err();
    assert_eq!(circuit.snapshot().next_trial, Some(ms(1)));
    sleep(ms(1)).await;
    call().await.unwrap();
    assert_eq!(circuit.state(), CircuitState::HalfOpen);
}

/// F8
#[tokio::test(start_paused = true)]
async fn errors_count_and_a_refused_connection_too() {
    assert_eq!(after_error("broken".into()).await, BAD);
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(after_error(refused.into()).await, BAD);
    assert_eq!(after_error(tower::timeout::error::Elapsed::new().into()).await, BAD);
}

#[derive(Debug)]
struct Around(BoxError);

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("around")
    }
}

impl std::error::Error for Around {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// F8
#[tokio::test(start_paused = true)]
async fn refusals_made_on_our_own_side_do_not_count() {
    assert_eq!(after_error(Refusal::new().after(Duration::MAX).into()).await, NEUTRAL);
    assert_eq!(after_error(Overloaded::new().into()).await, NEUTRAL);
    assert_eq!(after_error(Around(Overloaded::new().into()).into()).await, NEUTRAL);
    let open = CircuitBreakerLayer::http();
    open.handle().force_open();
    let service = open.layer(upstream(|_| Ok(answer(200, []))));
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(after_error(error).await, NEUTRAL, "a circuit inside");
}

/// F14
#[tokio::test(start_paused = true)]
async fn a_circuit_around_an_open_one_stays_closed() {
    let inside = breaker();
    let outside = breaker();
    let (inner, outer) = (inside.handle(), outside.handle());
    inner.force_open();
    let service = outside.layer(inside.layer(upstream(|_| Ok(answer(200, [])))));
    for _ in 0..100 {
        service.clone().oneshot(Request::new(())).await.unwrap_err();
    }
    assert_eq!((outer.state(), counts(&outer)), (CircuitState::Closed, [0, 0, 100]));
    assert_eq!((inner.snapshot().refused, counts(&inner)), (100, NOTHING));
}
