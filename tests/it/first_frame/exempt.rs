//! The last possible attempt.

use super::*;
use crate::kit::ms;
use http_body_util::Full;
use std::task::{Context, Poll};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::Attempts;
use tower_failover::classify::OutcomeMark;
use tower_failover::first_frame::{FirstFrameLayer, FirstFrameTimeout, Verdict};
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Outcome};

type Inner<A> = Scripted<Request<A>, Response<ScriptedBody>, ()>;

fn get() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

/// A retry, over which every answer is rejected and hangs.
macro_rules! stack {
    ($layer:expr, $inner:expr) => {
        ServiceBuilder::new()
            .layer(RetryLayer::http().max_retries(1).backoff(Backoff::constant(Duration::ZERO)))
            .layer($layer)
            .service($inner)
    };
}

#[tokio::test(start_paused = true)]
async fn the_last_possible_attempt_is_exempt_when_it_is_so_set() {
    let slow = || answer([Step::Wait(ms(900)), data("late")]);
    let layer = || FirstFrameLayer::http().timeout(ms(100));
    let inner: Inner<_> = service([slow(), slow()]);
    let error = stack!(layer(), inner).oneshot(get()).await.map(drop).unwrap_err();
    assert!(error.is::<FirstFrameTimeout>());

    let inner: Inner<_> = service([slow(), slow()]);
    let answer = stack!(layer().exempt_last(), inner.clone()).oneshot(get()).await.unwrap();
    assert_eq!(inner.times(), [ms(0), ms(100)]);
    assert_eq!(read(answer.into_body()).await.0, b"late");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_rejected_of_the_last_attempt() {
    let bad = || answer([data("bad")]);
    let inner: Inner<_> = service([bad(), bad()]);
    let layer = FirstFrameLayer::http().frames(|_| Verdict::Reject(Outcome::Failure)).exempt_last();
    let answer = stack!(layer, inner.clone()).oneshot(get()).await.unwrap();
    assert!(answer.extensions().get::<OutcomeMark>().is_none());
    assert_eq!(inner.count(), 2);
}

/// A6: the one that it runs beside may be the better one
#[tokio::test(start_paused = true)]
async fn a_hedge_beside_another_attempt_is_not_the_last() {
    let inner: Inner<_> =
        service([answer([Step::Wait(ms(200)), data("good")]), answer([data("bad")])]);
    let judge = |frame: &[u8]| match frame {
        b"bad" => Verdict::Reject(Outcome::Failure),
        _ => Verdict::Commit,
    };
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(0))
        .layer(HedgeLayer::http().delay(ms(50)).no_budget())
        .layer(FirstFrameLayer::http().frames(judge).exempt_last())
        .service(inner.clone());
    let answer = stack.oneshot(get()).await.unwrap();
    assert_eq!(inner.times(), [ms(0), ms(50)]);
    assert_eq!(read(answer.into_body()).await.0, b"good");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_only_once_is_at_its_last_attempt() {
    let inner: Inner<_> = service([answer([Step::Wait(ms(900)), data("late")])]);
    let layer = FirstFrameLayer::http().timeout(ms(100)).exempt_last();
    let post = Request::post("/").body(Full::<Bytes>::default()).unwrap();
    let answer = stack!(layer, inner).oneshot(post).await.unwrap();
    assert_eq!(read(answer.into_body()).await.0, b"late");
}

#[tokio::test(start_paused = true)]
async fn without_a_record_no_attempt_is_exempt() {
    let layer = FirstFrameLayer::http().timeout(ms(100)).exempt_last();
    let held = layer.layer(service([answer([Step::Hang])]));
    assert!(held.oneshot(request()).await.unwrap_err().is::<FirstFrameTimeout>());
}

/// Announces that it reads records.
#[derive(Clone)]
struct Reading<S>(S);

impl<S: Service<Req>, Req> Service<Req> for Reading<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Attempts::announce_reader();
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_goes_on_only_to_a_service_that_reads_it() {
    fn has_record<A>(request: &Request<A>) -> bool {
        request.extensions().get::<Attempts>().is_some()
    }
    let layer = FirstFrameLayer::http().exempt_last();
    let inner = Scripted::noting(has_record, |_| Ok(answer([data("x")])));
    stack!(layer.clone(), inner.clone()).oneshot(get()).await.unwrap();
    stack!(layer, Reading(inner.clone())).oneshot(get()).await.unwrap();
    // a layer that has no use for it lets it pass
    stack!(FirstFrameLayer::http(), Reading(inner.clone())).oneshot(get()).await.unwrap();
    stack!(FirstFrameLayer::http(), inner.clone()).oneshot(get()).await.unwrap();
    assert_eq!(inner.notes(), [false, true, true, false]);
}
