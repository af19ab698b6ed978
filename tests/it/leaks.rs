//! What is shown of layers, services, calls and events: something, and nothing of a request.

use crate::api::{Answered, Body, Direct, PathOf, client, path_of};
use crate::kit::Log;
use crate::kit::settings::Watch as _;
use http::{Request, Response};
use http_body_util::Full;
use std::fmt::Debug;
use std::future::ready;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::classify::{AtEnd, ErrorsOnly, GrpcClassifier, GrpcCode, HttpClassifier};
use tower_failover::fallback::{
    AnswerFuture, Degraded, Failed, FallbackLayer, KeepNothing, Respond, Value,
};
use tower_failover::hedge::{HedgeLayer, Percentile};
use tower_failover::replay::{CopyWith, Http, Plain, ReplayBody, Same, Slot};
use tower_failover::retry::RetryLayer;
use tower_failover::trip::{Consecutive, Failures, TripRule};
use tower_failover::{
    Attempts, Backoff, BoxError, Budget, Deadline, Outcome, Refusal, RequestPolicy,
};

fn text(value: &dyn Debug) -> String {
    format!("{value:?} {value:#?}")
}

const SECRETS: [&str; 4] =
    ["secret-of-the-body", "secret-of-the-header", "secret-of-the-query", "secret-of-the-path"];

fn secret_request() -> Request<Body> {
    Request::put("http://localhost/secret-of-the-path?secret-of-the-query")
        .header("authorization", "secret-of-the-header")
        .body(Full::from("secret-of-the-body"))
        .unwrap()
}

/// M2, M3
#[tokio::test]
async fn debug_says_something_and_leaks_nothing() {
    let first = |_: Request<Body>| ready(Err::<Response<Body>, BoxError>("broken".into()));
    let answer =
        |_: Failed<Response<Body>, String>| Response::new(Body::from("secret-of-the-body"));
    let keep = |request: &Request<Body>| request.uri().to_string();
    let value: FallbackLayer<Value<_, _>, _, _> = FallbackLayer::http().value_keeping(keep, answer);
    let respond: FallbackLayer<Respond<_, _>, _, _> =
        FallbackLayer::http().respond_keeping(keep, answer);
    let mut retry = RetryLayer::http().idempotent(["/shown"]).layer(client());
    let mut backed = FallbackLayer::http().service(client()).layer(client());
    let mut answered = respond.layer(service_fn(first));
    let in_answer: AnswerFuture<_, _, _, _, _, _> = answered.call(secret_request());
    let Ok(answer) = answered.call(secret_request()).await;
    let by = answer.extensions().get::<Degraded>().unwrap();

    for shown in [
        text(&retry.call(secret_request())),
        text(&backed.call(secret_request())),
        text(&in_answer),
        text(answer.body()),
        text(by),
        text(&retry),
        text(&RetryLayer::http()),
        text(&RetryLayer::http().handle()),
        text(&RetryLayer::http().handle().snapshot()),
        text(&backed),
        text(&answered),
        text(&value),
        text(&respond),
        text(&FallbackLayer::grpc().unavailable()),
        text(&FallbackLayer::http()),
        text(&FallbackLayer::http().handle()),
        text(&KeepNothing::default()),
        text(&ErrorsOnly::new()),
        text(&HttpClassifier::new().with_error_type::<std::io::Error>()),
        text(&GrpcClassifier::new().code(GrpcCode::Aborted, Outcome::Failure)),
        text(&Plain::default()),
        text(&Same::default()),
        text(&Http::new()),
        text(&CopyWith::new(|request: &u64| Some(*request))),
        text(&Slot::new(|own: &mut Option<Attempts>| own)),
        text(&Budget::new()),
        text(&Backoff::default()),
        text(&Backoff::default().delays(1)),
        text(&Deadline::within(Duration::ZERO)),
        text(&RequestPolicy::new()),
        text(&Refusal::new()),
    ] {
        assert!(shown.trim().len() > 3, "{shown:?}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

/// M2, M3: a body and what is kept of a request, while they are full of it
#[tokio::test]
async fn a_kept_request_is_not_shown() {
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = shown.clone();
    let inner = service_fn(move |request: Request<ReplayBody<Body>>| {
        noted.lock().unwrap().push(text(request.body()));
        ready(Ok::<_, BoxError>(Response::new(Body::default())))
    });
    RetryLayer::http().layer(inner).oneshot(secret_request()).await.unwrap();
    let shown = shown.lock().unwrap();
    assert!(shown[0].starts_with("ReplayBody"));
    assert!(SECRETS.iter().all(|secret| !shown[0].contains(secret)), "{shown:?}");
}

/// M2, M3
#[tokio::test]
async fn what_a_circuit_breaker_shows_leaks_nothing() {
    let layer = CircuitBreakerLayer::http().name("shown");
    let keyed = CircuitBreakerLayer::http().keyed(|request: &Request<Body>| {
        let secrets = request.headers()["authorization"].clone();
        (request.uri().to_string(), secrets)
    });
    let (handle, circuits) = (layer.handle(), keyed.handle());
    let (mut service, mut by_key) = (layer.layer(Direct), keyed.layer(Direct));
    let mut shown = vec![
        text(&service.call(secret_request())),
        text(&by_key.call(secret_request())),
        text(service.call(secret_request()).await.unwrap().body()),
    ];
    assert_eq!(circuits.len(), 1);
    // the calls above hold it no more, and it is open when it is shown
    handle.force_open();
    let error = layer.layer(Direct).oneshot(secret_request()).await.unwrap_err();
    let refused = layer.layer(Direct).call(secret_request());
    let gated = layer.clone().gated().layer(Direct);
    shown.extend([
        text(&error),
        error.to_string(),
        text(&refused),
        text(&(gated, &service, &by_key)),
        text(&(&layer, &keyed)),
        text(&(&handle, &circuits)),
        text(&handle.snapshot()),
        text(&handle.changes()),
        text(&CircuitBreakerLayer::grpc().per_service()),
        text(&Failures::count::<51>()),
        text(&TripRule::from(Failures::count::<51>())),
        text(&AtEnd::new(|_| Outcome::Success)),
    ]);
    for shown in shown {
        assert!(shown.trim().len() > 3, "{shown:?}");
        assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

/// M2, M3, M7: in the midst of a race
#[tokio::test(start_paused = true)]
async fn what_a_hedge_shows_and_tells_leaks_nothing() {
    let log = Log::default();
    let _following = log.follow();
    let layer = HedgeLayer::http().delay(Duration::from_millis(50)).no_budget();
    let hangs = service_fn(|_: Request<ReplayBody<Body>>| {
        std::future::pending::<Result<Response<Body>, BoxError>>()
    });
    let mut service = layer.layer(hangs);
    let mut call = tokio_test::task::spawn(service.call(secret_request()));
    assert!(call.poll().is_pending());
    let before = call.enter(|_, call| text(&call));
    tokio::time::advance(Duration::from_millis(51)).await;
    assert!(call.poll().is_pending());
    assert_eq!(layer.handle().snapshot().hedges, 1);
    for shown in [
        before,
        call.enter(|_, call| text(&call)),
        text(&service),
        text(&layer),
        text(&layer.handle()),
        text(&layer.handle().snapshot()),
        text(&Percentile::default()),
        text(&tower_failover::hedge::Delay::from(Duration::ZERO)),
        log.text(),
    ] {
        assert!(shown.trim().len() > 3, "{shown:?}");
        assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    assert!(log.text().contains("tower_failover::hedge"), "{}", log.text());
}

/// M2, M3, M7
#[tokio::test(start_paused = true)]
async fn the_events_of_a_circuit_breaker_tell_its_name_and_no_request() {
    let log = Log::default();
    let _following = log.follow();
    let broken = service_fn(|_: Request<Body>| {
        ready(Err::<Answered, BoxError>("secret-of-the-body".into()))
    });
    let layer = CircuitBreakerLayer::http().name("shown").trip_on(Consecutive::count::<1>());
    let layer = layer.keyed(path_of as PathOf);
    for _ in 0..100 {
        layer.layer(broken).oneshot(secret_request()).await.unwrap_err();
    }
    let told = log.text();
    assert!(SECRETS.iter().all(|secret| !told.contains(secret)), "{told}");
    assert_eq!(told.matches("shown").count(), 1, "changes are told, refusals are not: {told}");
}
