//! Over real connections.

use super::*;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use axum::routing::any;
use http_body_util::{Full, StreamBody};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = ms(200);

/// Three chunks, and then nothing.
fn stalling() -> Router {
    let frames = |sent: u32| async move {
        if sent == 3 {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from("chunk"))), sent + 1))
    };
    let handler = move || async move {
        axum::body::Body::new(StreamBody::new(Box::pin(futures_util::stream::unfold(0, frames))))
    };
    Router::new().route("/", any(handler))
}

async fn get<S, B>(service: S, addr: SocketAddr) -> Response<B>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
{
    let request = Request::get(format!("http://{addr}/")).body(Full::default()).unwrap();
    service.oneshot(request).await.unwrap()
}

/// N10
#[tokio::test]
async fn three_chunks_and_then_nothing_are_a_stall() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let server = Server::axum(stalling()).await;
            let service = idle(LIMIT).layer(client(version));
            let answer = get(service, server.addr).await;
            let began = now();
            let (bytes, error) = read(answer.into_body()).await;
            assert_eq!((bytes, limit(error)), (15, StallLimit::Idle(LIMIT)), "{version:?}");
            assert!((LIMIT..10 * LIMIT).contains(&began.elapsed()), "{version:?}");
        }
    })
    .await;
}

/// N9: the connection is there, and nobody at its other end
#[tokio::test]
async fn a_connection_that_goes_silent_after_the_head_is_a_stall() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.unwrap();
            // until the client has given up
            stream.read(&mut [0; 1]).await
        });
        let answer = get(idle(LIMIT).layer(client(Version::H1)), addr).await;
        let (bytes, error) = read(answer.into_body()).await;
        assert_eq!((bytes, limit(error)), (0, StallLimit::Idle(LIMIT)));
        assert!(!matches!(silent.await.unwrap(), Ok(1..)), "the connection is closed");
    })
    .await;
}

/// The reader of a proxy sees its answer cut, and not one that looks whole.
#[tokio::test]
async fn a_stall_behind_a_proxy_is_no_clean_end_for_its_reader() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let server = Server::axum(stalling()).await;
            let upstream = server.addr;
            let front = any(move || async move {
                let answer = get(idle(LIMIT).layer(client(Version::H1)), upstream).await;
                answer.map(axum::body::Body::new)
            });
            let proxy = Server::axum(Router::new().route("/", front)).await;
            let mut body = get(client(version), proxy.addr).await.into_body();
            let mut bytes = 0;
            let end = loop {
                match body.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    end => break end,
                }
            };
            assert_eq!(bytes, 15, "{version:?}");
            assert!(matches!(end, Some(Err(_))), "{version:?}");
        }
    })
    .await;
}
