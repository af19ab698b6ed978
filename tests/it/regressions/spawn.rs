//! Stacks that a task on another thread calls. Their errors are boxes, which is where rustc could not
//! show that the task may be sent: so each of them is here to compile, and runs as well.

use super::*;
use crate::retry::Body;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
use std::future::{Ready, ready};
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneService;
use tower::{Service, service_fn};
use tower_failover::replay::ReplayBody;

async fn fetch(_: Request<ReplayBody<Body>>) -> Result<Answer, BoxError> {
    Ok(answer(200, []))
}

async fn count(request: u32) -> Result<u32, BoxError> {
    Ok(request + 1)
}

/// Without an `async` block, whose type says less.
fn count_at_once(request: u32) -> Ready<Result<u32, BoxError>> {
    ready(Ok(request + 1))
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(secs(1))
}

fn instead(_: Failed<u32>) -> u32 {
    0
}

/// Calls the service in a task, as a user writes it. A function would have to name the bounds that the
/// task has to find for itself.
macro_rules! spawned {
    ($service:expr, $request:expr) => {{
        let (mut service, request) = ($service, $request);
        let task = async move { service.ready().await.unwrap().call(request).await };
        tokio::spawn(task).await.unwrap().unwrap()
    }};
}

/// C12
#[tokio::test(start_paused = true)]
async fn a_task_calls_a_retry() {
    assert_eq!(spawned!(RetryLayer::http().layer(service_fn(fetch)), request("GET")).status(), 200);
    let stack = || ServiceBuilder::new().layer(RetryLayer::http()).layer(timeout());
    assert_eq!(spawned!(stack().service_fn(fetch), request("GET")).status(), 200);
    let stack = || ServiceBuilder::new().layer(RetryLayer::plain()).layer(timeout());
    assert_eq!(spawned!(stack().service_fn(count), 1), 2);
    assert_eq!(spawned!(stack().service_fn(count_at_once), 1), 2);
    assert_eq!(spawned!(stack().service(BoxCloneService::new(service_fn(count))), 1), 2);
}

/// C12
#[tokio::test(start_paused = true)]
async fn a_task_takes_a_service_for_one_call_or_a_call_that_has_begun() {
    let stack = || ServiceBuilder::new().layer(RetryLayer::http()).layer(timeout());
    let service = stack().service_fn(fetch);
    let task = tokio::spawn(async move { service.oneshot(request("GET")).await });
    assert_eq!(task.await.unwrap().unwrap().status(), 200);
    let call = stack().service_fn(fetch).call(request("GET"));
    let task = tokio::spawn(async move { call.await.unwrap().status() });
    assert_eq!(task.await.unwrap(), 200);
}

/// C12
#[tokio::test(start_paused = true)]
async fn a_task_calls_a_fallback_that_answers() {
    let value = FallbackLayer::http().value(|_: Failed<_>| answer(203, []));
    let service = ServiceBuilder::new()
        .layer(value)
        .layer(timeout())
        .service_fn(|_: Request<Body>| async { Err::<Answer, BoxError>("down".into()) });
    assert_eq!(spawned!(service, request("GET")).status(), 203);
    let value = FallbackLayer::plain().value(instead);
    assert_eq!(spawned!(value.clone().layer(service_fn(count)), 1), 2);
    assert_eq!(spawned!(RetryLayer::plain().layer(value.layer(service_fn(count))), 1), 2);
}

/// C12
#[tokio::test(start_paused = true)]
async fn a_task_calls_a_backup() {
    let backup = FallbackLayer::http().service(service_fn(fetch));
    assert_eq!(spawned!(backup.layer(service_fn(fetch)), request("GET")).status(), 200);
    let backup = FallbackLayer::plain().service(service_fn(count));
    assert_eq!(spawned!(backup.layer(timeout().layer(service_fn(count))), 1), 2);
}

/// C12
#[tokio::test]
async fn a_task_calls_a_client_through_retries_timeouts_and_a_fallback() {
    bounded(async {
        let server = Server::axum(Router::new()).await;
        let get = || {
            let uri = format!("http://{}/nowhere", server.addr);
            Request::get(uri).body(Body::default()).unwrap()
        };
        let retry = || ServiceBuilder::new().layer(RetryLayer::http());
        assert_eq!(spawned!(retry().service(client(Version::H1)), get()).status(), 404);
        let stack = retry().layer(timeout());
        assert_eq!(spawned!(stack.service(client(Version::H1)), get()).status(), 404);
        let respond = FallbackLayer::http()
            .only_errors()
            .respond(|_: Failed<Response<Incoming>>| answer(203, []));
        let stack = ServiceBuilder::new().layer(respond).layer(RetryLayer::http());
        let stack = stack.layer(timeout()).layer(timeout());
        assert_eq!(spawned!(stack.service(client(Version::H1)), get()).status(), 404);
    })
    .await;
}
