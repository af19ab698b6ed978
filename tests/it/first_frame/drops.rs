//! What is left behind when somebody leaves, or panics.

use super::*;
use crate::kit::{Hostile, ms};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::first_frame::{FirstFrameLayer, Verdict};
use tower_failover::{BoxError, Refusal};

fn watched(steps: impl IntoIterator<Item = Step>) -> (Response<ScriptedBody>, Gauge) {
    let gauge = Gauge::new();
    (Response::new(ScriptedBody::new(steps).holding(&gauge)), gauge)
}

/// A1, A2, A9
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_drops_the_body_at_once() {
    let (answer, gauge) = watched([data(": hi\n\n"), Step::Hang]);
    let held = FirstFrameLayer::http().sse().timeout(ms(100)).layer(service([answer]));
    let mut call = tokio_test::task::spawn(held.oneshot(request()));
    assert!(call.poll().is_pending());
    assert_eq!(gauge.held(), 1);
    drop(call);
    assert_eq!(gauge.held(), 0);
}

/// A9
#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_drops_the_body_at_once() {
    for reads in [0, 1] {
        let (answer, gauge) = watched([data("one"), data("two"), Step::Hang]);
        let held = FirstFrameLayer::http().layer(service([answer]));
        let mut body = held.oneshot(request()).await.unwrap().into_body();
        for _ in 0..reads {
            body.frame().await.unwrap().unwrap();
        }
        assert_eq!(gauge.held(), 1);
        drop(body);
        assert_eq!(gauge.held(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_is_let_go_before_the_timeout_is_told() {
    let (answer, gauge) = watched([Step::Hang]);
    let held = FirstFrameLayer::http().timeout(ms(100)).layer(service([answer]));
    let mut held = held;
    let call = held.ready().await.unwrap().call(request());
    let mut call = tokio_test::task::spawn(call);
    assert!(call.poll().is_pending());
    tokio::time::advance(ms(101)).await;
    let Poll::Ready(Err(_)) = call.poll() else { panic!("the time is up") };
    assert_eq!(gauge.held(), 0);
}

/// A14
#[tokio::test(start_paused = true)]
async fn a_call_that_is_polled_after_its_end_is_pending() {
    let mut held = FirstFrameLayer::http().layer(service([answer([data("x")])]));
    let mut call = tokio_test::task::spawn(held.ready().await.unwrap().call(request()));
    assert!(call.poll().is_ready());
    assert!(call.poll().is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_panics_leaves_nothing_behind() {
    for steps in [vec![data("x"), Step::Hang], vec![Step::Wait(ms(5)), data("x"), Step::Hang]] {
        let waits = steps.len() > 2;
        let (answer, gauge) = watched(steps);
        let layer = FirstFrameLayer::http().frames(|_| -> Verdict { panic!("as it is told") });
        let mut held = layer.layer(service([answer]));
        let mut call = tokio_test::task::spawn(held.ready().await.unwrap().call(request()));
        if waits {
            assert!(call.poll().is_pending());
            tokio::time::advance(ms(6)).await;
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| call.poll().map(drop)));
        assert!(panicked.is_err());
        assert_eq!(gauge.held(), 0);
        assert!(call.poll().is_pending());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_called_was_ready_and_its_errors_stay_what_they_are() {
    let refusing = service_fn(|_: Request<()>| async {
        Err::<Response<ScriptedBody>, BoxError>(Refusal::new().into())
    });
    let held = FirstFrameLayer::http().layer(Hostile::new(refusing));
    let mut first = held.clone();
    first.ready().await.unwrap();
    let second = first.clone();
    for held in [first, second] {
        let error = held.oneshot(request()).await.map(drop).unwrap_err();
        assert!(error.is::<Refusal>());
    }
}

#[test]
fn nothing_prints_what_an_answer_says() {
    let layer = FirstFrameLayer::http().events(|_| Verdict::Commit).exempt_last();
    let held = layer.layer(());
    let text = format!("{layer:?} {held:?}");
    assert!(text.contains("limit: 65536") && text.contains("exempt_last: true"), "{text}");
}
