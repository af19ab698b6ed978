//! Trailers of a request over HTTP/1, which go only with a body whose length is not told.

use super::*;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use axum::routing::put;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tower::service_fn;
use tower_failover::replay::ReplayBody;

const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum");

/// What arrived at one attempt: the headers that frame the body, the body, and its trailers.
#[derive(Clone, Debug, PartialEq)]
struct Arrived {
    framing: [Option<HeaderValue>; 2],
    data: Bytes,
    trailers: Option<HeaderMap>,
}

/// Reads each request to its end, and answers with these statuses in turn.
async fn server(statuses: &'static [u16]) -> (Server, Arc<Mutex<Vec<Arrived>>>) {
    let log = Arc::<Mutex<Vec<Arrived>>>::default();
    let noted = log.clone();
    let handler = move |request: axum::extract::Request| async move {
        let (head, body) = request.into_parts();
        let framing = ["transfer-encoding", "content-length"];
        let framing = framing.map(|name| head.headers.get(name).cloned());
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        let mut log = noted.lock().unwrap();
        log.push(Arrived { framing, data: body.to_bytes(), trailers });
        http::StatusCode::from_u16(statuses[log.len() - 1]).unwrap()
    };
    (Server::axum(Router::new().route("/", put(handler))).await, log)
}

fn checksum() -> HeaderMap {
    HeaderMap::from_iter([(CHECKSUM, HeaderValue::from(42))])
}

fn upload(
    addr: SocketAddr,
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static> {
    let frames = ["hello", "world"].map(|text| Frame::data(Bytes::from(text)));
    let frames = frames.into_iter().chain([Frame::trailers(checksum())]).map(Ok);
    Request::put(format!("http://{addr}/"))
        .header("trailer", CHECKSUM.as_str())
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap()
}

/// G8
#[tokio::test]
async fn an_upload_that_was_read_to_its_end_is_framed_the_same_the_second_time() {
    bounded(async {
        let (server, log) = server(&[503, 200]).await;
        let service = RetryLayer::http().backoff(every(ms(1))).layer(client(Version::H1));
        assert_eq!(service.oneshot(upload(server.addr)).await.unwrap().status(), 200);
        let log = log.lock().unwrap();
        assert_eq!((log.len(), &log[0].trailers), (2, &Some(checksum())));
        assert_eq!((log[0].data.as_ref(), &log[0]), (&b"helloworld"[..], &log[1]));
    })
    .await;
}

/// G8: where the first service is in this process, the wire is seen only by the backup.
#[tokio::test]
async fn an_upload_that_the_first_service_read_brings_its_trailers_to_the_backup() {
    bounded(async {
        let (server, log) = server(&[200]).await;
        let first = service_fn(|request: Request<ReplayBody<_>>| async {
            let read = request.into_body().collect().await?;
            assert_eq!(read.trailers(), Some(&checksum()));
            status(503)
        });
        let backup = FallbackLayer::http().service(client(Version::H1));
        let service = backup.layer(first);
        assert_eq!(service.oneshot(upload(server.addr)).await.unwrap().status(), 200);
        assert_eq!(log.lock().unwrap()[0].trailers, Some(checksum()));
    })
    .await;
}
