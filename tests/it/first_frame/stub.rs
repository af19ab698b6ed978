//! A generated stub over a real channel: a server that streams, and fails.

use super::*;
use crate::kit::ms;
use crate::wire::bounded;
use h2::Reason;
use h2::server::SendResponse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;
use tower_failover::Backoff;
use tower_failover::first_frame::FirstFrameLayer;
use tower_failover::retry::RetryLayer;

/// `HealthCheckResponse { status: SERVING }`.
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Status(&'static str),
    Reset(Reason),
    Nothing,
}

async fn answer_with(mut respond: SendResponse<Bytes>, messages: &'static [u8], end: End) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    if !messages.is_empty() {
        stream.send_data(Bytes::from_static(messages), false).unwrap();
    }
    // what was written gets there before the end does
    sleep(ms(20)).await;
    match end {
        End::Status(code) => {
            let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static(code));
            stream.send_trailers(HeaderMap::from_iter([status])).unwrap();
        }
        End::Reset(reason) => stream.send_reset(reason),
        End::Nothing => stream.send_data(Bytes::new(), true).unwrap(),
    }
}

async fn serve(stream: TcpStream, calls: Arc<AtomicUsize>, messages: &'static [u8], end: End) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, respond))) = connection.accept().await {
        // only the first call fails
        let failed = calls.fetch_add(1, SeqCst) == 0;
        let (messages, end) = if failed { (messages, end) } else { (SERVING, End::Status("0")) };
        tokio::spawn(answer_with(respond, messages, end));
    }
}

async fn start(messages: &'static [u8], end: End) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, calls) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, counted.clone(), messages, end));
        }
    });
    (addr, calls)
}

/// Watches, where the first answer is this; returns the messages, the end, and the calls.
async fn watch(messages: &'static [u8], end: End) -> (usize, Code, usize) {
    let (addr, calls) = start(messages, end).await;
    let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy();
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::grpc()
                .idempotent(["/grpc.health.v1.Health/*"])
                .backoff(Backoff::constant(Duration::ZERO))
                .body(tonic::body::Body::new),
        )
        .layer(FirstFrameLayer::grpc())
        .service(channel);
    let mut client = HealthClient::new(service);
    let (count, code) = match client.watch(HealthCheckRequest::default()).await {
        Err(status) => (0, status.code()),
        Ok(answer) => {
            let (mut stream, mut count) = (answer.into_inner(), 0);
            loop {
                match stream.message().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break (count, Code::Ok),
                    Err(status) => break (count, status.code()),
                }
            }
        }
    };
    (count, code, calls.load(SeqCst))
}

/// N3, N4, N8
#[tokio::test]
async fn a_stream_that_fails_before_its_first_message_is_asked_for_again() {
    bounded(async {
        for end in [
            End::Status("14"),
            End::Nothing,
            End::Reset(Reason::INTERNAL_ERROR),
            End::Reset(Reason::NO_ERROR),
            End::Reset(Reason::CANCEL),
        ] {
            for messages in [b"", &SERVING[..3]] {
                assert_eq!(watch(messages, end).await, (1, Code::Ok, 2), "{end:?} {messages:?}");
            }
        }
    })
    .await;
}

/// N8, A10
#[tokio::test]
async fn a_stream_that_fails_after_its_first_message_is_never_asked_for_again() {
    bounded(async {
        let (count, code, calls) = watch(SERVING, End::Status("14")).await;
        assert_eq!((count, code, calls), (1, Code::Unavailable, 1));
        let (count, code, calls) = watch(SERVING, End::Reset(Reason::INTERNAL_ERROR)).await;
        assert_eq!((count, code, calls), (1, Code::Internal, 1));
    })
    .await;
}
