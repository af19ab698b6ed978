//! Over real sockets: the answer of a winner is read long after the race.

use crate::kit::settings::Watch as _;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_failover::hedge::HedgeLayer;

const FRAMES: usize = 64;
const FRAME: usize = 8 * 1_024;

/// 512 KiB in frames that differ, and trailers.
fn long_answer() -> Response<Body> {
    let frames = (0..FRAMES).map(|at| Frame::data(Bytes::from(vec![at as u8; FRAME])));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "whole".parse().unwrap());
    let frames = frames.chain([Frame::trailers(trailers)]).map(Ok::<_, Infallible>);
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Response::builder().header("trailer", "x-checksum").body(Body::new(body)).unwrap()
}

/// A8
#[tokio::test]
async fn the_body_of_a_winner_outlives_the_loser() {
    for version in [Version::H1, Version::H2] {
        bounded(async {
            let calls = Arc::<AtomicU32>::default();
            let counted = calls.clone();
            let handler = move || {
                let first = counted.fetch_add(1, SeqCst) == 0;
                async move {
                    if first {
                        std::future::pending::<()>().await;
                    }
                    long_answer()
                }
            };
            let server = Server::axum(Router::new().route("/work", get(handler))).await;
            let layer = HedgeLayer::http().delay(Duration::from_millis(30)).no_budget();
            let request = Request::get(format!("http://{}/work", server.addr))
                // without which HTTP/1 sends no trailers
                .header("te", "trailers")
                .body(Full::<Bytes>::default())
                .unwrap();
            let service = layer.layer(client(version));
            let answer = service.oneshot(request).await.unwrap();
            assert_eq!(calls.load(SeqCst), 2, "{version:?}");
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-checksum"], "whole", "{version:?}");
            let bytes = body.to_bytes();
            assert_eq!(bytes.len(), FRAMES * FRAME, "{version:?}");
            let wrong = bytes.iter().enumerate().find(|(at, byte)| **byte != (at / FRAME) as u8);
            assert_eq!(wrong, None, "{version:?}");
            assert_eq!(layer.handle().snapshot().won, 1);
        })
        .await;
    }
}
