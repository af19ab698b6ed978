//! Retry, on a paused clock and without sockets.

mod budget;
mod cancel;
mod delay;
mod grpc;
mod http;
mod nested;
mod panics;
mod quiet;
mod readiness;

use crate::kit::settings::Watch as _;
use crate::kit::{Scripted, Upstream, ms, response, secs, timed};
use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::classify::{Classify, Evidence, HttpClassifier};
use tower_failover::replay::{CopyWith, ReplayBody};
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, BoxError, Budget, Hint, Jitter, Outcome};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Response<Body>;

/// A server that answers its n-th request with what the closure says.
pub(crate) fn upstream(
    answers: impl FnMut(usize) -> Result<Answer, BoxError> + Send + 'static,
) -> Upstream {
    Upstream::new(answers)
}

/// An answer of this status with these headers.
pub(crate) fn answer<const N: usize>(status: u16, headers: [(&str, &str); N]) -> Answer {
    response(status, headers, Body::default())
}

pub(crate) fn request(method: &str) -> Request<Body> {
    Request::builder().method(method).uri("/").body("hello".into()).unwrap()
}

pub(crate) fn refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn down<T>() -> Result<T, BoxError> {
    Err("down".into())
}

/// The same delay every time.
pub(crate) fn every(delay: Duration) -> Backoff {
    Backoff::constant(delay).jitter(Jitter::None)
}

/// An account with exactly this many retries, which the clock does not visibly raise.
fn account(retries: u64) -> Budget {
    Budget::new().min_per_second(1).bank(secs(retries))
}

#[tokio::test(start_paused = true)]
async fn the_second_attempt_succeeds() {
    let inner = Scripted::list([down(), Ok("served")]);
    let service = RetryLayer::plain().layer(inner.clone());
    assert_eq!(service.oneshot("question").await.unwrap(), "served");
    assert_eq!(inner.notes(), ["question", "question"]);
}

/// G15
#[tokio::test(start_paused = true)]
async fn two_retries_are_three_attempts() {
    let inner = Scripted::new(|_| down::<()>());
    let layer = RetryLayer::plain().max_retries(2);
    let error = layer.layer(inner.clone()).oneshot(1).await.unwrap_err();
    assert_eq!(error.to_string(), "down");
    assert_eq!(inner.count(), 3);
    assert_eq!(layer.handle().snapshot().out_of_retries, 1);
    assert_eq!(layer.handle().snapshot().retries, 2);
}

/// G15, D5
#[tokio::test(start_paused = true)]
async fn no_retries_are_one_attempt() {
    let inner = Scripted::new(|_| down::<()>());
    let service = RetryLayer::plain().max_retries(0).layer(inner.clone());
    assert!(service.oneshot(1).await.is_err());
    assert_eq!(inner.count(), 1);
}

/// G16
#[tokio::test(start_paused = true)]
async fn the_last_answer_comes_unchanged_with_its_body_and_trailers() {
    let calls = AtomicUsize::new(0);
    let inner = service_fn(|_: Request<ReplayBody<Body>>| {
        let call = calls.fetch_add(1, Relaxed) + 1;
        let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), call.into())]);
        let body =
            Body::from(format!("answer {call}")).with_trailers(async move { Some(Ok(trailers)) });
        let answer = Response::builder().status(503).header("call", call).body(body).unwrap();
        async { Ok::<_, BoxError>(answer) }
    });
    let service = RetryLayer::http().max_retries(2).layer(inner);
    let answer = service.oneshot(request("GET")).await.unwrap();
    assert_eq!(calls.load(Relaxed), 3);
    assert_eq!((answer.status().as_u16(), &answer.headers()["call"]), (503, &3.into()));
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["checksum"], "3");
    assert_eq!(body.to_bytes(), "answer 3");
}

/// G16
#[tokio::test(start_paused = true)]
async fn the_last_error_comes_unchanged_with_its_sources() {
    #[derive(Debug)]
    struct Outer(io::Error, usize);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let inner = Scripted::new(|call| Err::<(), _>(Outer(io::Error::other("cause"), call).into()));
    let error = RetryLayer::plain().layer(inner).oneshot(1).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Outer>().unwrap().1, 3);
    assert_eq!(error.source().unwrap().to_string(), "cause");
}

#[tokio::test(start_paused = true)]
async fn a_good_and_a_neutral_answer_are_not_repeated() {
    for outcome in [Outcome::Success, Outcome::Neutral] {
        let inner = Scripted::list([Ok("answer")]);
        let layer = RetryLayer::plain().classify_fn(move |_: Result<&&str, &BoxError>| outcome);
        assert_eq!(layer.layer(inner).oneshot(1).await.unwrap(), "answer");
        assert_eq!(layer.handle().snapshot(), Default::default());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_judged_a_failure_is_repeated() {
    let inner = Scripted::list([Ok(1), Ok(2), Ok(3)]);
    let layer = RetryLayer::plain().classify_fn(|result: Result<&i32, &BoxError>| match result {
        Ok(3) => Outcome::Success,
        _ => Outcome::Failure,
    });
    assert_eq!(layer.layer(inner).oneshot(1).await.unwrap(), 3);
}

/// What a classifier of the user's own says with an answer counts too.
#[tokio::test(start_paused = true)]
async fn a_classifier_can_ask_for_a_delay() {
    #[derive(Clone)]
    struct Busy;
    impl<Res, E> Classify<Res, E> for Busy {
        fn classify(&self, result: Result<&Res, &E>) -> Outcome {
            if result.is_ok() { Outcome::Success } else { Outcome::Failure }
        }

        fn evidence(&self, _: Result<&Res, &E>) -> Evidence {
            let mut evidence = Evidence::default();
            evidence.hint = Some(Hint::Exactly(secs(7)));
            evidence
        }
    }

    let inner = Scripted::list([down(), Ok(())]);
    RetryLayer::plain().classify(Busy).layer(inner.clone()).oneshot(1).await.unwrap();
    assert_eq!(inner.times(), [secs(0), secs(7)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_can_not_be_copied_is_sent_once() {
    struct Unique;
    let inner = Scripted::noting(|_: &Unique| (), |_| down::<()>());
    let layer = RetryLayer::plain().kind(CopyWith::new(|_: &Unique| None));
    let error = layer.layer(inner.clone()).oneshot(Unique).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), inner.count()), ("down", 1));
    assert_eq!(layer.handle().snapshot().not_replayable, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_copied_by_the_function_given() {
    struct Unique(u32);
    let inner = Scripted::noting(
        |request: &Unique| request.0,
        |call| if call < 3 { down() } else { Ok(()) },
    );
    let copies = CopyWith::new(|request: &Unique| Some(Unique(request.0)));
    RetryLayer::plain().kind(copies).layer(inner.clone()).oneshot(Unique(7)).await.unwrap();
    assert_eq!(inner.notes(), [7, 7, 7]);
}

/// L5
#[test]
fn layers_and_services_need_no_runtime_until_they_wait() {
    let inner = service_fn(|fail: bool| async move { if fail { down() } else { Ok(()) } });
    let layer = RetryLayer::plain().max_retries(3).backoff(Backoff::constant(Duration::ZERO));
    let service = layer.layer(inner);
    assert!(service.clone().oneshot(false).now_or_never().unwrap().is_ok());
    assert!(service.clone().oneshot(true).now_or_never().unwrap().is_err());
    assert_eq!(layer.handle().snapshot().retries, 3);
    drop((service, layer));
}

/// A retry is a turn of a loop, not a call of its own.
#[tokio::test(start_paused = true)]
async fn ten_thousand_retries_in_one_poll_need_no_stack() {
    let inner = Scripted::new(|call| if call <= 10_000 { down() } else { Ok(call) });
    let layer = RetryLayer::plain()
        .max_retries(u32::MAX)
        .no_budget()
        .backoff(Backoff::constant(Duration::ZERO));
    let (answer, took) = timed(layer.layer(inner).oneshot(())).await;
    assert_eq!((answer.unwrap(), took), (10_001, Duration::ZERO));
}

/// D4
#[tokio::test(start_paused = true)]
async fn ten_thousand_retries_with_a_growing_delay_stay_at_the_cap() {
    let inner = Scripted::new(|call| if call <= 10_000 { down() } else { Ok(call) });
    let backoff = Backoff::exponential(ms(1)).cap(ms(8)).jitter(Jitter::None);
    let layer = RetryLayer::plain().max_retries(u32::MAX).no_budget().backoff(backoff);
    let (answer, took) = timed(layer.layer(inner).oneshot(())).await;
    assert!(answer.is_ok());
    assert_eq!(took, ms(1 + 2 + 4 + 8 * 9_997));
}

/// G8 in small: the replay has tests of its own
#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_same_bytes() {
    let bodies = std::sync::Mutex::new(Vec::new());
    let inner = service_fn(|request: Request<ReplayBody<Body>>| async {
        let body = request.into_body().collect().await?.to_bytes();
        bodies.lock().unwrap().push(body);
        Ok::<_, BoxError>(answer(503, []))
    });
    let layer = RetryLayer::http().classify(HttpClassifier::new());
    layer.layer(inner).oneshot(request("PUT")).await.unwrap();
    assert_eq!(*bodies.lock().unwrap(), ["hello"; 3]);
}
