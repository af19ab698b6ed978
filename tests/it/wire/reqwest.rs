//! `reqwest::Client` as a tower service, as the documentation shows it.

use super::*;
use crate::kit::settings::Watch as _;
use ::http::{Response, StatusCode};
use ::reqwest::{Body, Client};
use http_body_util::BodyExt;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::replay::CopyWith;
use tower_failover::retry::{RetryHandle, RetryLayer};
use tower_failover::{Deadline, Outcome};

/// Answers this status so many times and then 200, with what it was sent.
async fn fails(
    status: u16,
    times: u32,
    retry_after: Option<&'static str>,
) -> (Server, Arc<AtomicU32>) {
    let calls = Arc::<AtomicU32>::default();
    let counted = calls.clone();
    let handler = move |body: String| {
        let failed = counted.fetch_add(1, SeqCst) < times;
        let mut answer = Response::new(axum::body::Body::from(body));
        if failed {
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(hint) = retry_after {
                answer.headers_mut().insert("retry-after", hint.parse().unwrap());
            }
        }
        std::future::ready(answer)
    };
    let router = axum::Router::new().route("/work", axum::routing::any(handler));
    (Server::axum(router).await, calls)
}

fn bare() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// The client as a service for `http` requests, with retries.
fn retrying()
-> (impl Service<Request<Full<Bytes>>, Response = Response<Body>, Error = BoxError>, RetryHandle) {
    let layer = RetryLayer::http().body(Body::wrap);
    let handle = layer.handle();
    let service = ServiceBuilder::new()
        .layer(layer)
        .map_response(Response::<Body>::from)
        .filter(|request: Request<Body>| ::reqwest::Request::try_from(request))
        .service(bare());
    (service, handle)
}

async fn send(method: Method, addr: SocketAddr) -> (u16, Bytes, u64) {
    let (service, handle) = retrying();
    let answer = service.oneshot(request(method, addr)).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, bytes, handle.snapshot().retries)
}

#[tokio::test]
async fn reqwest_is_judged_by_status() {
    bounded(async {
        let (server, calls) = fails(500, 1, None).await;
        assert_eq!(send(Method::GET, server.addr).await, (200, Bytes::new(), 1));
        assert_eq!(calls.load(SeqCst), 2);

        let (server, calls) = fails(404, 1, None).await;
        assert_eq!(send(Method::GET, server.addr).await.0, 404);
        assert_eq!(calls.load(SeqCst), 1);
    })
    .await;
}

#[tokio::test]
async fn a_body_gets_through_reqwest_twice() {
    bounded(async {
        let (server, calls) = fails(429, 1, None).await;
        assert_eq!(send(Method::POST, server.addr).await, (200, Bytes::from(UPLOAD), 1));
        assert_eq!(calls.load(SeqCst), 2);
    })
    .await;
}

#[tokio::test]
async fn reqwest_waits_as_long_as_the_answer_asks_for() {
    bounded(async {
        let (server, _) = fails(429, 1, Some("1")).await;
        let span = Duration::from_secs(60);
        let watch = Deadline::within(span);
        assert_eq!(send(Method::POST, server.addr).await.0, 200);
        assert!(span - watch.remaining() >= Duration::from_secs(1));
    })
    .await;
}

/// G1
#[tokio::test]
async fn reqwest_sends_a_post_once_after_a_failure() {
    bounded(async {
        for retry_after in [None, Some("0")] {
            let status = if retry_after.is_some() { 503 } else { 500 };
            let (server, calls) = fails(status, 1, retry_after).await;
            let sent = send(Method::POST, server.addr).await;
            assert_eq!(sent, (status, Bytes::from(UPLOAD), 0), "the real answer, with its body");
            assert_eq!(calls.load(SeqCst), 1);
        }
    })
    .await;
}

/// G1: its error is a `BoxError` in this stack, so that its sources are seen
#[tokio::test]
async fn reqwest_repeats_a_post_after_a_refused_connection() {
    bounded(async {
        let (service, handle) = retrying();
        service.oneshot(request(Method::POST, dead_port().await)).await.unwrap_err();
        assert_eq!(handle.snapshot().retries, 2);
    })
    .await;
}

/// What can't be turned into a request of reqwest is an error and no panic.
#[tokio::test]
async fn an_address_that_reqwest_does_not_know_is_an_error() {
    let (service, handle) = retrying();
    let relative = Request::post("/work").body(Full::default()).unwrap();
    service.oneshot(relative).await.unwrap_err();
    assert_eq!(handle.snapshot().retries, 0);
}

/// Straight over the client, with its own requests.
#[tokio::test]
async fn reqwest_requests_are_copied_by_a_function() {
    bounded(async {
        let layer = RetryLayer::plain()
            .kind(CopyWith::new(|request: &::reqwest::Request| {
                if request.method().is_idempotent() { request.try_clone() } else { None }
            }))
            .classify_fn(|result: Result<&::reqwest::Response, _>| match result {
                Ok(answer) if !answer.status().is_server_error() => Outcome::Success,
                _ => Outcome::Failure,
            });
        let service = layer.layer(bare());
        for (method, expected) in [(Method::PUT, 200), (Method::POST, 500)] {
            let (server, calls) = fails(500, 1, None).await;
            let url = format!("http://{}/work", server.addr);
            let request = bare().request(method.clone(), url).body(UPLOAD).build().unwrap();
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), expected, "{method}");
            assert_eq!(answer.text().await.unwrap(), UPLOAD);
            assert_eq!(calls.load(SeqCst), if expected == 200 { 2 } else { 1 });
        }
    })
    .await;
}
