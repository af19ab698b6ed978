//! axum routes that take the layers, and uploads that are sent twice.

use super::*;
use crate::kit::settings::Watch as _;
use ::http::{HeaderMap, Response, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::routing::{any, put};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use tokio::sync::Notify;
use tower::{BoxError, Layer, ServiceExt};
use tower_failover::classify::HttpClassifier;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;

/// A route that answers 500 for so many times, and then 200.
fn fails(times: u32) -> (axum::routing::MethodRouter, Arc<AtomicU32>) {
    let calls = Arc::<AtomicU32>::default();
    let counted = calls.clone();
    let handler = move |body: String| {
        let failed = counted.fetch_add(1, SeqCst) < times;
        let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        std::future::ready((status, format!("handler {body}")))
    };
    (any(handler), calls)
}

async fn fetch(addr: SocketAddr, path: &str) -> (u16, String) {
    let request = Request::put(format!("http://{addr}{path}")).body(Full::from(UPLOAD)).unwrap();
    let answer = client::<Full<Bytes>>(Version::H1).request(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_router_takes_a_retry() {
    bounded(async {
        let (route, calls) = fails(1);
        let router = Router::new().route("/work", route).layer(RetryLayer::http().body(Body::new));
        let server = Server::axum(router).await;
        assert_eq!(fetch(server.addr, "/work").await, (200, "handler upload".to_owned()));
        assert_eq!(calls.load(SeqCst), 2);
    })
    .await;
}

#[tokio::test]
async fn a_router_takes_a_fallback_over_a_retry() {
    bounded(async {
        let (route, calls) = fails(u32::MAX);
        let fallback = FallbackLayer::http().respond(|failed: Failed<_>| {
            let _: Result<Response<Body>, _> = failed.result;
            Response::builder().status(203).body(Full::<Bytes>::from("instead")).unwrap()
        });
        let router = Router::new()
            .route("/broken", route)
            .route("/fine", any(|| async { "fine" }))
            .layer(RetryLayer::http().body(Body::new))
            .layer(fallback);
        let server = Server::axum(router).await;
        assert_eq!(fetch(server.addr, "/broken").await, (203, "instead".to_owned()));
        assert_eq!(calls.load(SeqCst), 3);
        assert_eq!(fetch(server.addr, "/fine").await, (200, "fine".to_owned()));
        assert_eq!(fetch(server.addr, "/nowhere").await.0, 404);
    })
    .await;
}

/// A layer value is applied once per route: all of them share its counts.
#[tokio::test]
async fn routes_share_what_their_layer_counts() {
    bounded(async {
        let layer = RetryLayer::http().body(Body::new);
        let handle = layer.handle();
        let router = Router::new().route("/a", fails(1).0).route("/b", fails(1).0).layer(layer);
        let server = Server::axum(router).await;
        fetch(server.addr, "/a").await;
        fetch(server.addr, "/b").await;
        assert_eq!(handle.snapshot().retries, 2);
    })
    .await;
}

#[tokio::test]
async fn a_living_server_takes_the_place_of_a_dead_one() {
    bounded(async {
        let alive = Server::axum(Router::new().route("/work", fails(0).0)).await;
        let addr = alive.addr;
        let backup =
            tower::service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| async move {
                let (head, body) = request.into_parts();
                let uri = format!("http://{addr}{}", head.uri.path());
                let request = Request::builder().method(head.method).uri(uri).body(body)?;
                Ok::<_, BoxError>(client(Version::H1).request(request).await?)
            });
        let service = FallbackLayer::http().service(backup).layer(client(Version::H1));
        let answer = service.oneshot(request(Method::POST, dead_port().await)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "handler upload");
    })
    .await;
}

const PARTS: [&str; 5] = ["one ", "two ", "", "four ", "five"];

/// A body of several frames and trailers. All but the first frame wait until they are `wanted`.
fn upload(wanted: Arc<Notify>) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    let frames = PARTS.map(|part| Frame::data(Bytes::from(part)));
    let frames = frames.into_iter().chain([Frame::trailers(trailers)]).enumerate();
    StreamBody::new(Box::pin(futures_util::stream::unfold(frames, move |mut frames| {
        let wanted = wanted.clone();
        async move {
            let (at, frame) = frames.next()?;
            if at == 1 {
                wanted.notified().await;
            }
            Some((Ok(frame), frames))
        }
    })))
}

/// Reads the first frame of its first request and answers 503; gives the second one back.
fn interrupting(wanted: Arc<Notify>, calls: Arc<AtomicU32>) -> Router {
    let handler = move |request: axum::extract::Request| async move {
        let mut body = request.into_body();
        if calls.fetch_add(1, SeqCst) == 0 {
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first, PARTS[0]);
            return Response::builder().status(503).body(Body::empty()).unwrap();
        }
        wanted.notify_one();
        let collected = body.collect().await.unwrap();
        let checksum = collected.trailers().and_then(|all| all.get("x-checksum")).cloned();
        Response::builder()
            .header("x-checksum", checksum.unwrap_or(::http::HeaderValue::from_static("lost")))
            .body(Body::from(collected.to_bytes()))
            .unwrap()
    };
    Router::new().route("/", put(handler))
}

/// G8, G10, A8
#[tokio::test]
async fn an_interrupted_upload_arrives_whole_the_second_time() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let (wanted, calls) = (Arc::new(Notify::new()), Arc::<AtomicU32>::default());
            let server = Server::axum(interrupting(wanted.clone(), calls.clone())).await;
            let layer =
                RetryLayer::http().classify(HttpClassifier::new().with_error_type::<ClientError>());
            let request = Request::put(format!("http://{}/", server.addr))
                // without which HTTP/1 sends no trailers
                .header("trailer", "x-checksum")
                .header("te", "trailers")
                .body(upload(wanted))
                .unwrap();
            let answer = layer.layer(client(version)).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200, "{version:?}");
            assert_eq!(answer.headers()["x-checksum"], "abc", "{version:?}");
            let arrived = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(arrived, PARTS.concat(), "{version:?}");
            assert_eq!(calls.load(SeqCst), 2);
        }
    })
    .await;
}

/// G7
#[tokio::test]
async fn an_upload_over_the_limit_is_sent_once_and_gets_the_real_answer() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let (wanted, calls) = (Arc::new(Notify::new()), Arc::<AtomicU32>::default());
            let server = Server::axum(interrupting(wanted.clone(), calls.clone())).await;
            let layer = RetryLayer::http().replay_limit(PARTS[0].len() - 1);
            let handle = layer.handle();
            let request = Request::put(format!("http://{}/", server.addr));
            let request = request.body(upload(wanted)).unwrap();
            let answer = layer.layer(client(version)).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 503, "{version:?}");
            assert_eq!((calls.load(SeqCst), handle.snapshot().not_replayable), (1, 1));
        }
    })
    .await;
}
