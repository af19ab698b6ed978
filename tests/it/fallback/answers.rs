//! Answers that the layer makes itself.

use super::*;
use crate::kit::settings::Watch as _;
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use std::convert::Infallible;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_failover::fallback::{Degraded, Failed, FallbackLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{Refusal, RequestPolicy};

async fn broken(_: u64) -> Result<u64, BoxError> {
    Err("broken".into())
}

#[tokio::test]
async fn a_value_stands_in_for_an_error_and_is_told_of_it() {
    let layer = FallbackLayer::plain().value(|failed: Failed<u64>| {
        assert_eq!(failed.result.unwrap_err().to_string(), "broken");
        assert_eq!((failed.outcome, failed.attempts), (Outcome::Failure, 1));
        7
    });
    assert_eq!(layer.layer(service_fn(broken)).oneshot(1).await.unwrap(), 7);
}

#[tokio::test]
async fn a_good_answer_passes() {
    let layer = FallbackLayer::plain().value(|_| unreachable!("nothing failed"));
    let handle = layer.handle();
    let service =
        layer.layer(Scripted::doing(|request: u64, _| async move { Ok::<_, BoxError>(request) }));
    assert_eq!(service.oneshot(1).await.unwrap(), 1);
    assert_eq!(handle.snapshot(), Default::default());
}

#[tokio::test]
async fn what_is_kept_of_the_request_reaches_the_value() {
    let layer = FallbackLayer::plain()
        .value_keeping(|request: &u64| request * 10, |failed: Failed<u64, u64>| failed.kept + 1);
    assert_eq!(layer.layer(service_fn(broken)).oneshot(4).await.unwrap(), 41);
}

#[tokio::test]
async fn what_is_kept_of_the_request_reaches_the_response() {
    let layer = FallbackLayer::http().respond_keeping(
        |request: &Request<Full<Bytes>>| request.uri().path().to_owned(),
        |failed: Failed<Answer, String>| Response::new(Full::from(failed.kept)),
    );
    let answer = layer.layer(always(500)).oneshot(get()).await.unwrap();
    assert_eq!(text(answer).await, "/work");
}

/// What axum's `Router::layer` asks for.
fn never_errs<Req, S: Service<Req, Error = Infallible>>(service: S) -> S {
    service
}

#[tokio::test]
async fn a_response_answers_every_error_and_its_service_has_none() {
    let layer = FallbackLayer::plain().on(throttled).respond(|failed: Failed<u64>| {
        assert_eq!(failed.outcome, Outcome::Failure, "which was not chosen");
        7
    });
    let service = never_errs(layer.layer(service_fn(broken)));
    let Ok(answer) = service.oneshot(1).await;
    assert_eq!(answer, 7);
}

#[tokio::test]
async fn a_response_leaves_answers_alone_that_were_not_chosen() {
    let layer = FallbackLayer::http().on(throttled).respond(|_: Failed<Answer>| status(299));
    let handle = layer.handle();
    let Ok(answer) = layer.layer(always(500)).oneshot(get()).await;
    assert_eq!(text(answer).await, "500");
    let Ok(answer) = layer.layer(always(429)).oneshot(get()).await;
    assert_eq!(text(answer).await, "299");
    assert_eq!((handle.snapshot().throttled, handle.snapshot().answered), (1, 1));
}

#[tokio::test]
async fn an_error_that_was_not_chosen_is_returned_as_it_is_and_not_counted() {
    let layer = FallbackLayer::plain().on(throttled).value(|_| 7);
    let handle = layer.handle();
    let error = layer.layer(service_fn(broken)).oneshot(1).await.unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(handle.snapshot(), Default::default(), "it was not to be replaced");
}

/// K8
#[tokio::test]
async fn the_callers_own_mistakes_are_not_covered_up() {
    for code in [400, 401, 403, 404, 409, 422] {
        let layer = FallbackLayer::http().value(|_: Failed<Answer>| status(200));
        let handle = layer.handle();
        let answer = layer.layer(always(code)).oneshot(get()).await.unwrap();
        assert_eq!(answer.status(), code);
        assert!(answer.extensions().get::<Degraded>().is_none());
        assert_eq!(handle.snapshot(), Default::default());
    }
}

/// K7
#[tokio::test]
async fn an_answer_of_the_fallback_says_who_made_it_and_why() {
    let layer = FallbackLayer::http().name("static page").value(|_: Failed<Answer>| status(200));
    let answer = layer.layer(always(503)).oneshot(get()).await.unwrap();
    let degraded = answer.extensions().get::<Degraded>().expect("it is marked");
    assert_eq!((degraded.by(), degraded.because()), ("static page", Outcome::Failure));
}

#[tokio::test]
async fn an_answer_of_the_first_service_is_not_marked() {
    let layer = FallbackLayer::http().value(|_: Failed<Answer>| status(200));
    let answer = layer.layer(always(204)).oneshot(get()).await.unwrap();
    assert!(answer.extensions().get::<Degraded>().is_none());
}

/// K7
#[tokio::test]
async fn failures_stay_visible_when_the_fallback_answers_all_of_them() {
    let layer = FallbackLayer::http().value(|_: Failed<Answer>| status(200));
    let handle = layer.handle();
    for code in [500, 500, 429, 501] {
        layer.layer(always(code)).oneshot(get()).await.unwrap();
    }
    layer.layer(failing(refused)).oneshot(get()).await.unwrap();
    let counts = handle.snapshot();
    assert_eq!((counts.failure, counts.throttled, counts.unsuitable), (2, 1, 1));
    assert_eq!((counts.refused, counts.neutral), (1, 0));
    assert_eq!((counts.answered, counts.failed, counts.withheld), (5, 0, 0));
}

#[tokio::test]
async fn only_errors_leaves_failed_answers_alone() {
    let layer = FallbackLayer::http().only_errors().value(|_: Failed<Answer>| status(200));
    assert_eq!(layer.layer(always(503)).oneshot(get()).await.unwrap().status(), 503);
    assert_eq!(layer.layer(failing(refused)).oneshot(get()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_forbids_it_gets_no_fallback() {
    let mut request = get();
    request.extensions_mut().insert(RequestPolicy::new().no_fallback());
    let layer = FallbackLayer::http().value(|_: Failed<Answer>| status(200));
    let handle = layer.handle();
    let answer = layer.layer(always(500)).oneshot(request.clone()).await.unwrap();
    assert_eq!(text(answer).await, "500");
    let error = layer.layer(failing(refused)).oneshot(request.clone()).await.unwrap_err();
    assert!(error.is::<io::Error>());
    assert_eq!(handle.snapshot(), Default::default());

    let responding = FallbackLayer::http().respond(|_: Failed<Answer>| status(299));
    let answer = responding.layer(failing(refused)).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 299, "an error has to become something");
}

/// A body of two frames and trailers, of no known size.
fn stream() -> impl Body<Data = Bytes, Error = Infallible> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("checksum", "7".parse().unwrap());
    let frames = [
        Frame::data(Bytes::from_static(b"in two ")),
        Frame::data(Bytes::from_static(b"parts")),
        Frame::trailers(trailers),
    ];
    StreamBody::new(futures_util::stream::iter(frames.map(Ok)))
}

#[tokio::test]
async fn two_body_types_are_joined_without_a_change_to_either() {
    let layer = FallbackLayer::http().value(|_: Failed<Answer>| Response::new(stream()));

    let body = layer.layer(always(200)).oneshot(get()).await.unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "200");

    let body = layer.layer(always(500)).oneshot(get()).await.unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["checksum"], "7");
    assert_eq!(collected.to_bytes(), "in two parts");
}

#[tokio::test]
async fn an_empty_body_is_known_to_be_at_its_end_on_both_sides() {
    let empty = || Response::new(http_body_util::Empty::<Bytes>::new());
    let layer = FallbackLayer::http().value(move |_: Failed<Answer>| empty());
    let body = layer.layer(always(500)).oneshot(get()).await.unwrap().into_body();
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));

    let first = Scripted::doing(move |_: Request<Full<Bytes>>, _| async move {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let body = layer.layer(first).oneshot(get()).await.unwrap().into_body();
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn the_fallback_is_told_how_many_attempts_were_made() {
    let attempts = FallbackLayer::http().value(|failed: Failed<Answer>| {
        Response::new(Full::<Bytes>::from(failed.attempts.to_string()))
    });
    let retried = ServiceBuilder::new()
        .layer(attempts.clone())
        .layer(RetryLayer::http().max_retries(2))
        .service(always(500));
    assert_eq!(text(ask(&retried, get()).await.unwrap()).await, "3");
    assert_eq!(text(attempts.layer(always(500)).oneshot(get()).await.unwrap()).await, "1");
}

#[tokio::test]
async fn a_grpc_caller_is_told_that_the_service_is_unavailable() {
    let layer = FallbackLayer::grpc().unavailable();
    let service = never_errs(layer.layer(failing(|| "the password is hunter2")));
    let Ok(answer) = service.oneshot(post()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let read = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(read.code(), tonic::Code::Unavailable);
    assert!(!read.message().contains("hunter2"));
    assert!(answer.extensions().get::<Degraded>().is_some());
    assert!(answer.body().is_end_stream(), "it is all in the head");
}

#[tokio::test]
async fn a_grpc_answer_passes_also_when_it_failed() {
    let layer = FallbackLayer::grpc().unavailable();
    let first = Scripted::doing(|_: Request<Full<Bytes>>, _| async {
        let answer = Response::builder().header("grpc-status", "13");
        Ok::<_, BoxError>(answer.body(Full::<Bytes>::from("whole")).unwrap())
    });
    let Ok(answer) = layer.layer(first).oneshot(post()).await;
    assert_eq!(answer.headers()["grpc-status"], "13");
    assert_eq!(text(answer).await, "whole");
}

/// B7
#[tokio::test]
async fn a_closure_that_panics_is_counted_as_a_failed_fallback() {
    use futures_util::FutureExt;
    use std::panic::AssertUnwindSafe;
    let layer = FallbackLayer::plain().value(|_: Failed<u64>| -> u64 { panic!("on purpose") });
    let handle = layer.handle();
    let service = layer.layer(Scripted::doing(|request: u64, number| async move {
        if number == 1 { Err(BoxError::from(Refusal::new())) } else { Ok(request) }
    }));
    let call = AssertUnwindSafe(ask(&service, 1));
    assert!(call.catch_unwind().await.is_err());
    let counts = handle.snapshot();
    assert_eq!((counts.refused, counts.answered, counts.failed), (1, 0, 1));
    assert_eq!(ask(&service, 2).await.unwrap(), 2);
}
