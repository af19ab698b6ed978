//! What may have been done is not done again.

use super::*;
use crate::kit::settings::Watch as _;
use std::error::Error;
use std::fmt;
use tower_failover::classify::HttpClassifier;

/// Hides the error in it and passes its cause on for its own, as `#[error(transparent)]` does.
#[derive(Debug)]
struct Transparent(BoxError);

impl fmt::Display for Transparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Transparent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// An error of a client, which a rule knows for a refused connection.
#[derive(Debug)]
struct NotConnected;

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not connected")
    }
}

impl Error for NotConnected {}

/// Looks for it in all that can be reached, as a rule of a user may well do.
fn not_connected(error: &(dyn Error + 'static)) -> bool {
    error.is::<NotConnected>() || error.source().is_some_and(not_connected)
}

/// G1, K9
#[tokio::test(start_paused = true)]
async fn an_error_that_hides_a_failed_fallback_repeats_no_post() {
    let first = upstream(|_| Err(refused()));
    let backup = upstream(|_| Err("broke after it booked".into()));
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().backoff(every(ms(1))))
        .map_err(|error: BoxError| BoxError::from(Transparent(error)))
        .layer(FallbackLayer::http().service(backup.clone()))
        .service(first.clone());
    let error = service.oneshot(request("POST")).await.unwrap_err();
    assert_eq!(error.to_string(), "the fallback failed too: broke after it booked");
    assert_eq!((first.count(), backup.count()), (1, 1));
}

/// G1, K9
#[tokio::test(start_paused = true)]
async fn a_rule_that_walks_to_the_first_services_error_repeats_no_post() {
    let classifier = HttpClassifier::new().refused_if(not_connected);
    let first = upstream(|_| Err(NotConnected.into()));
    let backup = upstream(|_| Err("broke after it booked".into()));
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().classify(classifier.clone()).backoff(every(ms(1))))
        .layer(FallbackLayer::http().classify(classifier).service(backup.clone()))
        .service(first.clone());
    let error = service.oneshot(request("POST")).await.unwrap_err();
    assert!(not_connected(&*error), "it can be reached");
    assert_eq!((first.count(), backup.count()), (1, 1));
}

/// G1: the 429 left its own attempt untouched, and says nothing of the one before.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_failure_does_not_make_the_failure_good() {
    let first = upstream(|call| status(if call == 1 { 500 } else { 429 }));
    let backup = upstream(|_| status(200));
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(backup.clone()))
        .layer(RetryLayer::http().idempotent(["/"]).backoff(every(ms(1))))
        .service(first.clone());
    let got = service.oneshot(request("POST")).await.unwrap();
    assert_eq!(got.status(), 429);
    assert_eq!((first.count(), backup.count()), (3, 0));
}

/// Of an outcome that no layer takes for a failure by itself, a predicate still can.
#[tokio::test(start_paused = true)]
async fn a_neutral_answer_that_was_chosen_goes_to_the_backup() {
    let backup = upstream(|_| status(200));
    let service = FallbackLayer::http()
        .on(|outcome| outcome == Outcome::Neutral)
        .service(backup.clone())
        .layer(upstream(|_| status(404)));
    for (method, code, calls) in [("GET", 200, 1), ("POST", 404, 1)] {
        let got = service.clone().oneshot(request(method)).await.unwrap();
        assert_eq!((got.status().as_u16(), backup.count()), (code, calls), "{method}");
    }
}

/// D14: the caller has left by then.
#[tokio::test(start_paused = true)]
async fn a_backup_is_not_called_after_the_deadline() {
    let backup = upstream(|_| Ok(answer(200, [("grpc-status", "0")])));
    let layer = FallbackLayer::grpc().idempotent(["/"]).service(backup.clone());
    let first = || upstream(|_| Ok(answer(200, [("grpc-status", "14")])));
    let asked = || {
        let mut asked = request("POST");
        asked.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
        asked
    };
    let late = layer.layer(first().taking(secs(2))).oneshot(asked()).await.unwrap();
    assert_eq!((&late.headers()["grpc-status"], backup.count()), (&14.into(), 0));
    assert_eq!(layer.handle().snapshot().withheld, 1);
    let timely = layer.layer(first().taking(ms(900))).oneshot(asked()).await.unwrap();
    assert_eq!((&timely.headers()["grpc-status"], backup.count()), (&0.into(), 1));
}

/// L3: tasks beside it have to run, and its caller may want to leave.
#[test]
fn retries_without_a_delay_let_others_run() {
    let inner = upstream(|_| status(503));
    let layer = RetryLayer::http().no_budget().max_retries(200_000);
    let service = layer.backoff(every(Duration::ZERO)).layer(inner.clone());
    let mut call = Box::pin(service.oneshot(request("GET")));
    for _ in 0..10 {
        let before = inner.count();
        assert!(call.as_mut().now_or_never().is_none());
        assert!((1..100).contains(&(inner.count() - before)), "{}", inner.count());
    }
}
