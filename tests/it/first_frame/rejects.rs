//! Answers that are not good.

use super::*;
use crate::kit::{Log, ms, secs};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_failover::Outcome;
use tower_failover::classify::{Classify, GrpcClassifier, HttpClassifier, OutcomeMark};
use tower_failover::first_frame::{Event, FirstFrameLayer, Verdict};
use tower_failover::retry::RetryLayer;

const BUSY: Outcome = Outcome::Throttled { retry_after: Some(secs(3)) };

/// Rejects error events.
fn judge(event: Event<'_>) -> Verdict {
    match &*event.event() {
        "error" if event.data().contains("busy") => Verdict::Reject(BUSY),
        "error" => Verdict::Reject(Outcome::Failure),
        _ => Verdict::Commit,
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_answer_goes_on_whole_with_its_judgement() {
    let log = Log::default();
    let _guard = log.follow();
    let steps = [
        data(": hi\n\nevent: er"),
        Step::Wait(ms(5)),
        data("ror\ndata: busy\n\nmore"),
        Step::Wait(ms(5)),
        data(" and more"),
        Step::Trailers("x-sum", "7"),
    ];
    let layer = FirstFrameLayer::http().events(judge);
    let answer = layer.layer(service([answer(steps)])).oneshot(request()).await.unwrap();
    assert_eq!(answer.extensions().get::<OutcomeMark>().unwrap().outcome(), BUSY);
    let result = Ok::<_, &BoxError>(&answer);
    assert_eq!(HttpClassifier::new().classify(result), BUSY);
    let stubborn = HttpClassifier::new().status(http::StatusCode::OK, Outcome::Success);
    assert_eq!(stubborn.classify(result), BUSY, "before the status");
    assert_eq!(GrpcClassifier::new().classify(result), BUSY);
    let (bytes, trailers, broken) = read(answer.into_body()).await;
    assert_eq!(bytes, b": hi\n\nevent: error\ndata: busy\n\nmore and more");
    assert!(trailers.unwrap().contains_key("x-sum") && !broken);
    let text = log.text();
    assert!(text.contains("rejected outcome=\"throttled\"") && !text.contains("busy"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_is_rejected_by_the_first_event_that_decides() {
    let steps = [data("data: fine\n\nevent: error\n\n")];
    let layer = FirstFrameLayer::http().events(judge);
    let answer = layer.layer(service([answer(steps)])).oneshot(request()).await.unwrap();
    assert!(answer.extensions().is_empty());
}

/// A10
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_before_the_first_frame_is_a_failure_that_is_delivered() {
    let layer = FirstFrameLayer::http().sse();
    let steps = [data(": hi\n\n"), Step::Fail];
    let answer = layer.layer(service([answer(steps)])).oneshot(request()).await.unwrap();
    assert_eq!(answer.extensions().get::<OutcomeMark>(), Some(&OutcomeMark::new(Outcome::Failure)));
    assert!(!answer.body().is_end_stream());
    assert_eq!(read(answer.into_body()).await, (b": hi\n\n".to_vec(), None, true));
}

/// A10
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_after_the_first_frame_is_passed_on_and_not_asked_for_again() {
    let inner = service([answer([data("one"), Step::Fail])]);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http())
        .layer(FirstFrameLayer::http())
        .service(inner.clone());
    let answer = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    assert!(answer.extensions().get::<OutcomeMark>().is_none());
    assert_eq!(read(answer.into_body()).await, (b"one".to_vec(), None, true));
    assert_eq!(inner.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_outside_asks_again_until_there_is_a_good_first_frame() {
    let inner = service([
        answer([data("event: error\n\n"), Step::Hang]),
        answer([Step::Hang]),
        answer([data(": hi\n\n"), Step::Fail]),
        answer([data(": hi\n\n"), Step::Wait(ms(50)), data("data: good\n\n")]),
    ]);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(3))
        .layer(FirstFrameLayer::http().events(judge).timeout(ms(100)))
        .service(inner.clone());
    let answer = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    assert_eq!(read(answer.into_body()).await.0, b": hi\n\ndata: good\n\n");
    assert_eq!(inner.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_rejected_the_last_answer_is_delivered_whole() {
    let bad = |n: usize| format!("event: error\ndata: {n}\n\ndata: rest\n\n");
    let inner = service((1..=3).map(|n| answer([data(bad(n)), Step::Wait(ms(5)), data("end")])));
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http())
        .layer(FirstFrameLayer::http().events(judge))
        .service(inner);
    let answer = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(read(answer.into_body()).await.0, (bad(3) + "end").as_bytes());
}

/// G1: the error event of a POST may come after the work was done
#[tokio::test(start_paused = true)]
async fn a_post_is_repeated_only_where_the_judge_says_that_nothing_was_done() {
    for (outcome, calls) in [(Outcome::Failure, 1), (Outcome::Refused, 2)] {
        let inner = service([answer([data("bad")]), answer([data("good")])]);
        let service = ServiceBuilder::new()
            .layer(RetryLayer::http())
            .layer(FirstFrameLayer::http().frames(move |frame| match frame {
                b"bad" => Verdict::Reject(outcome),
                _ => Verdict::Commit,
            }))
            .service(inner.clone());
        let request = Request::post("/").body(Full::<Bytes>::default()).unwrap();
        service.oneshot(request).await.unwrap();
        assert_eq!(inner.count(), calls, "{outcome:?}");
    }
}
