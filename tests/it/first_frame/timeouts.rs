//! Answers that don't begin in time.

use super::*;
use crate::kit::{Log, ms, secs, timed};
use std::iter::repeat_n;
use std::task::Poll;
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::classify::{Classify, HttpClassifier};
use tower_failover::first_frame::{FirstFrameLayer, FirstFrameTimeout};
use tower_failover::{Outcome, Refusal};

/// What a call ends with whose answer takes these steps, after the head has taken its time, and when.
async fn times_out(head: Duration, steps: Vec<Step>) -> (FirstFrameTimeout, Duration) {
    let inner = service([answer(steps)]).taking(head);
    let layer = FirstFrameLayer::http().sse().timeout(ms(500));
    let (result, took) = timed(layer.layer(inner).oneshot(request())).await;
    let error = result.map(drop).unwrap_err();
    (error.downcast_ref::<FirstFrameTimeout>().expect("it is typed").clone(), took)
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_head_ends_with_a_typed_failure() {
    let log = Log::default();
    let _guard = log.follow();
    let (error, took) = times_out(Duration::ZERO, vec![Step::Hang]).await;
    assert_eq!((error.after_head(), took), (true, ms(500)));
    assert_eq!(error.to_string(), "no first frame within 500ms");
    assert!(log.text().contains("timeout timeout=500ms head=true"), "{}", log.text());
    assert_eq!(Refusal::find(&error), None);
    let error = BoxError::from(error);
    let outcome = HttpClassifier::new().classify(Err::<&Response<()>, _>(&error));
    assert_eq!(outcome, Outcome::Failure);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_covers_the_head() {
    let (error, took) = times_out(secs(9), vec![data("data: x\n\n")]).await;
    assert_eq!((error.after_head(), took), (false, ms(500)));
    assert_eq!(error.to_string(), "no answer within 500ms");
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_call_and_not_from_the_head() {
    let (error, took) = times_out(ms(300), vec![Step::Wait(ms(300)), data("data: x\n\n")]).await;
    assert_eq!((error.after_head(), took), (true, ms(500)));
}

#[tokio::test(start_paused = true)]
async fn comments_for_ever_are_no_answer() {
    let ping = [Step::Wait(ms(20)), data(": ping\n\n")];
    let (_, took) = times_out(Duration::ZERO, repeat_n(ping, 1_000).flatten().collect()).await;
    assert_eq!(took, ms(500));
}

/// D16
#[tokio::test(start_paused = true)]
async fn a_frame_that_is_there_beats_a_timeout_that_is_due() {
    for steps in [vec![Step::Wait(ms(500)), data("x")], vec![Step::Wait(ms(400)), data("x")]] {
        let layer = FirstFrameLayer::http().timeout(ms(500));
        let mut call =
            tokio_test::task::spawn(layer.layer(service([answer(steps)])).oneshot(request()));
        assert!(call.poll().is_pending());
        // nobody polls until both are due
        tokio::time::advance(ms(500)).await;
        let Poll::Ready(answer) = call.poll() else { panic!("it is there") };
        assert_eq!(read(answer.unwrap().into_body()).await.0, b"x");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_timeout_of_zero_an_answer_is_there_at_once_or_never() {
    let layer = FirstFrameLayer::http().timeout(Duration::ZERO);
    let at_once = layer.layer(service([answer([data("x")])])).oneshot(request()).await;
    assert!(at_once.is_ok());
    let steps = [Step::Wait(ms(50)), data("x")];
    let (later, took) = timed(layer.layer(service([answer(steps)])).oneshot(request())).await;
    assert!(later.unwrap_err().is::<FirstFrameTimeout>());
    assert!(took <= ms(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_commit_no_time_is_kept() {
    let steps = [data("one"), Step::Wait(secs(60)), data("two")];
    let layer = FirstFrameLayer::http().timeout(ms(500));
    let answer = layer.layer(service([answer(steps)])).oneshot(request()).await.unwrap();
    assert_eq!(read(answer.into_body()).await, (b"onetwo".to_vec(), None, false));
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_an_answer_is_waited_for() {
    let steps = [Step::Wait(secs(3_600)), data("x")];
    let held = FirstFrameLayer::http().layer(service([answer(steps)]));
    assert!(held.oneshot(request()).await.is_ok());
}

/// A body that has always one more frame without a byte in it must not keep the thread.
#[tokio::test(start_paused = true)]
async fn a_flood_of_empty_frames_does_not_keep_the_timeout_away() {
    let empty = || Ok::<_, BoxError>(http_body::Frame::data(Bytes::new()));
    let flood = http_body_util::StreamBody::new(futures_util::stream::repeat_with(empty));
    let inner = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(flood.clone())))
    });
    let layer = FirstFrameLayer::http().timeout(ms(500));
    let mut call = tokio_test::task::spawn(layer.layer(inner).oneshot(request()));
    assert!(call.poll().is_pending() && call.is_woken());
    tokio::time::advance(ms(501)).await;
    let Poll::Ready(result) = call.poll() else { panic!("the time is up") };
    assert!(result.is_err());
}

/// A15
#[tokio::test(start_paused = true)]
async fn polls_without_need_do_not_move_the_timeout() {
    let layer = FirstFrameLayer::http().timeout(ms(500));
    let call = layer.layer(service([answer([Step::Hang])])).oneshot(request());
    let mut call = tokio_test::task::spawn(call);
    for _ in 0..499 {
        assert!(call.poll().is_pending());
        tokio::time::advance(ms(1)).await;
    }
    assert!(call.poll().is_pending());
    tokio::time::advance(ms(2)).await;
    assert!(call.poll().is_ready());
}
