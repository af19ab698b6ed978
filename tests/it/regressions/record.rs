//! The record of a request tells each layer what is true for it.

use super::*;
use http::Request;
use std::task::{Context, Poll, ready};
use tower::Service;
use tower::load_shed::error::Overloaded;
use tower::timeout::TimeoutLayer;
use tower_failover::Attempts;

/// Reads the record of each request, which it announces, and says in it what the function says.
#[derive(Clone)]
struct Reading<S> {
    inner: S,
    read: fn(&Attempts),
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Reading<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Attempts::announce_reader();
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        (self.read)(&request.extensions_mut().remove().expect("it was announced"));
        self.inner.call(request)
    }
}

/// G17, F14: an attempt that a load shed keeps from the balancer learns nothing of its endpoints.
#[tokio::test(start_paused = true)]
async fn an_endpoint_left_to_try_is_forgotten_when_the_next_attempt_finds_none() {
    let inner =
        upstream(|call| if call == 1 { status(503) } else { Err(Overloaded::new().into()) });
    let read = |attempts: &Attempts| {
        if attempts.number() == 1 {
            attempts.set_untried_left(true);
        }
    };
    let layer = RetryLayer::http().max_retries(50).backoff(every(secs(1)));
    let service = layer.layer(Reading { inner: inner.clone(), read });
    assert!(service.oneshot(request("GET")).await.is_err());
    assert_eq!(inner.times(), [secs(0); 2], "one attempt elsewhere, and no more");
}

/// G17: what is left to try stands in the first service's set.
#[tokio::test(start_paused = true)]
async fn an_endpoint_left_to_try_in_the_first_service_hurries_no_backup() {
    let busy = upstream(|_| Ok(answer(429, [("retry-after", "5")])));
    let backup = RetryLayer::http().max_retries(3).layer(busy.clone());
    let read = |attempts: &Attempts| attempts.set_untried_left(true);
    let service = FallbackLayer::http()
        .service(backup)
        .within(secs(100))
        .layer(Reading { inner: upstream(|_| status(503)), read });
    assert_eq!(service.oneshot(request("GET")).await.unwrap().status(), 429);
    let times = busy.times();
    assert_eq!(times.len(), 4);
    assert!(times.windows(2).all(|two| two[1] - two[0] >= secs(5)), "{times:?}");
}

/// Makes a call of its own, with a retry, before it is ready; it does not read records itself.
#[derive(Clone)]
struct Fetching<S>(S);

impl<S: Service<Request<B>>, B> Service<Request<B>> for Fetching<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.0.poll_ready(cx))?;
        let tokens = upstream(|call| status(if call == 1 { 503 } else { 200 }));
        let tokens = RetryLayer::http().backoff(every(Duration::ZERO)).layer(tokens);
        let token = tokens.oneshot(request("GET")).now_or_never().unwrap();
        assert_eq!(token.unwrap().status(), 200);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_made_while_polling_ready_hides_no_reader() {
    let inner = Reading { inner: upstream(|_| status(200)), read: |_| {} };
    let service = RetryLayer::http().layer(Fetching(inner));
    service.oneshot(request("GET")).await.unwrap();
}

/// G12: it makes no difference who opened the record.
#[tokio::test(start_paused = true)]
async fn the_deadline_of_an_outer_layer_is_known_inside_whoever_opened_the_record() {
    let retries = ServiceBuilder::new()
        .layer(RetryLayer::http().deadline(secs(5)))
        .layer(RetryLayer::http())
        .service(upstream(|_| Ok(answer(503, [("retry-after", "30")]))));
    let value = FallbackLayer::http().value(|_: Failed<_>| answer(200, []));
    let covered = value.layer(retries.clone());
    let (got, took) = timed(retries.oneshot(request("GET"))).await;
    assert_eq!((got.unwrap().status().as_u16(), took), (503, Duration::ZERO));
    let (got, took) = timed(covered.oneshot(request("GET"))).await;
    assert_eq!((got.unwrap().status().as_u16(), took), (200, Duration::ZERO));
}

/// A3, G18
#[tokio::test(start_paused = true)]
async fn a_retry_cut_in_its_delay_is_left_to_the_layer_outside() {
    let inner = upstream(|call| status(if call == 1 { 503 } else { 200 }));
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(1).backoff(every(ms(1))))
        .layer(TimeoutLayer::new(secs(1)))
        .layer(RetryLayer::http().max_retries(1).backoff(every(secs(10))))
        .service(inner.clone());
    assert_eq!(service.oneshot(request("GET")).await.unwrap().status(), 200);
    assert_eq!(inner.times(), [ms(0), ms(1_001)]);
}
