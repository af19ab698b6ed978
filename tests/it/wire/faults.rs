//! Every fault that a hyper-util client can meet: how it is judged, and what is sent again.

use super::*;
use crate::kit::settings::Watch as _;
use ::http::Response;
use h2::Reason;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};
use tower_failover::classify::{Classify, HttpClassifier};
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Outcome};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    ClosedAtOnce,
    ReadThenClosed,
    ReadThenReset,
    HalfAStatusLine,
    Garbage,
    ShortBody,
    ChunkThenReset,
    BadChunk,
    TwoHints,
}

/// Reads one request as `request` makes it; none when the client has gone.
async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let end: &[u8] = if read.starts_with(b"POST") { UPLOAD.as_bytes() } else { b"\r\n\r\n" };
        if read.ends_with(end) {
            return Some(());
        }
    }
}

impl Fault {
    async fn happen(self, mut stream: TcpStream, requests: Arc<AtomicU32>) {
        if matches!(self, Self::ClosedAtOnce) || read_request(&mut stream).await.is_none() {
            return;
        }
        requests.fetch_add(1, SeqCst);
        let answer = match self {
            Self::ClosedAtOnce | Self::ReadThenClosed | Self::ReadThenReset => "",
            Self::HalfAStatusLine => "HTTP/1.1 20",
            Self::Garbage => "\x01\x02 what is this\r\n\r\n",
            Self::ShortBody => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
            Self::ChunkThenReset => {
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
            }
            Self::BadChunk => {
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n"
            }
            Self::TwoHints => {
                "HTTP/1.1 503 Busy\r\nretry-after: 7\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n"
            }
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        if matches!(self, Self::ReadThenReset | Self::ChunkThenReset) {
            // what was written gets there before the reset does
            pass(Duration::from_millis(20)).await;
            stream.set_zero_linger().unwrap();
        }
    }
}

type OutcomeMark = Result<Response<hyper::body::Incoming>, ClientError>;

fn classifier() -> HttpClassifier {
    HttpClassifier::new().with_error_type::<ClientError>()
}

fn judge(result: &OutcomeMark) -> Outcome {
    classifier().classify(result.as_ref())
}

/// Sends this through a layer that retries twice; returns how many retries were made, and the result.
async fn retries(version: Version, request: Request<Full<Bytes>>) -> (u64, OutcomeMark) {
    let layer = RetryLayer::http()
        .classify(classifier())
        .backoff(Backoff::constant(Duration::ZERO))
        .no_budget();
    let handle = layer.handle();
    let result = layer.layer(client(version)).oneshot(request).await;
    (handle.snapshot().retries, result)
}

/// What is known of a fault before the answer's head is there: the request is judged so, and a POST
/// is sent again or not, a GET is in any case.
async fn check(what: &str, version: Version, addr: SocketAddr, outcome: Outcome, post_again: bool) {
    let result = client(version).request(request(Method::POST, addr)).await;
    assert_eq!(judge(&result), outcome, "{what}: {result:?}");
    let (posts, _) = retries(version, request(Method::POST, addr)).await;
    assert_eq!(posts, if post_again { 2 } else { 0 }, "{what}: POST");
    let (gets, _) = retries(version, request(Method::GET, addr)).await;
    assert_eq!(gets, 2, "{what}: GET");
}

/// N1, G1
#[tokio::test]
async fn a_refused_connection_never_took_the_request() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            check("refused", version, dead_port().await, Outcome::Refused, true).await;
        }
    })
    .await;
}

/// N1, G1
#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_may_have_taken_the_request() {
    bounded(async {
        for fault in [
            Fault::ClosedAtOnce,
            Fault::ReadThenClosed,
            Fault::ReadThenReset,
            Fault::HalfAStatusLine,
            Fault::Garbage,
        ] {
            let server =
                Server::per_connection(move |stream, read| fault.happen(stream, read)).await;
            let what = format!("{fault:?}");
            check(&what, Version::H1, server.addr, Outcome::Failure, false).await;
            if !matches!(fault, Fault::ClosedAtOnce) {
                assert_eq!(server.requests(), 1 + 1 + 3, "{what}: what arrived");
            }
        }
    })
    .await;
}

/// N1, G6, A10: the head was the answer; what breaks after it is the reader's
#[tokio::test]
async fn a_body_that_breaks_is_never_asked_for_again() {
    bounded(async {
        for fault in [Fault::ShortBody, Fault::ChunkThenReset, Fault::BadChunk] {
            let server =
                Server::per_connection(move |stream, read| fault.happen(stream, read)).await;
            let (retries, result) = retries(Version::H1, request(Method::GET, server.addr)).await;
            assert_eq!(judge(&result), Outcome::Success);
            let mut body = result.unwrap().into_body();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first, "hello", "{fault:?}");
            assert!(body.frame().await.unwrap().is_err(), "{fault:?}");
            assert_eq!((retries, server.requests()), (0, 1), "{fault:?}");
        }
    })
    .await;
}

/// N1, H4
#[tokio::test]
async fn of_two_hints_the_longest_counts() {
    bounded(async {
        let server =
            Server::per_connection(|stream, read| Fault::TwoHints.happen(stream, read)).await;
        let result = client(Version::H1).request(request(Method::POST, server.addr)).await;
        let retry_after = Some(Duration::from_secs(90));
        assert_eq!(judge(&result), Outcome::Throttled { retry_after });
        let (retries, result) = retries(Version::H1, request(Method::GET, server.addr)).await;
        assert_eq!(retries, 0, "longer than `max_hint`");
        assert_eq!(result.unwrap().status(), 503);
    })
    .await;
}

/// N1, N7: nothing but a timeout ends it
#[tokio::test]
async fn a_server_that_never_answers_is_a_failure_after_its_timeout() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let server = Server::per_connection(|stream, _| async move {
                let _open = stream;
                pending::<()>().await;
            })
            .await;
            for (method, expected) in [(Method::POST, 0), (Method::GET, 2)] {
                let layer = RetryLayer::http()
                    .classify(HttpClassifier::new())
                    .backoff(Backoff::constant(Duration::ZERO));
                let handle = layer.handle();
                let service = ServiceBuilder::new()
                    .layer(layer)
                    .timeout(Duration::from_millis(30))
                    .service(client(version));
                let error: BoxError =
                    service.oneshot(request(method, server.addr)).await.unwrap_err();
                assert!(error.is::<tower::timeout::error::Elapsed>());
                assert_eq!(handle.snapshot().retries, expected, "{version:?}");
            }
        }
    })
    .await;
}

/// What happens to a request over HTTP/2.
#[derive(Clone, Copy, Debug)]
enum Fault2 {
    Reset(Reason),
    GracefulGoAway,
    AbruptGoAway(Reason),
    FrameThenReset(Reason),
    Trailers,
}

impl Fault2 {
    async fn happen(self, stream: TcpStream, requests: Arc<AtomicU32>) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            requests.fetch_add(1, SeqCst);
            // the body is left unread: the client has sent all of it
            drop(request);
            let head = Response::new(());
            match self {
                Self::Reset(reason) => respond.send_reset(reason),
                Self::AbruptGoAway(reason) => {
                    connection.abrupt_shutdown(reason);
                }
                Self::GracefulGoAway => {
                    let mut body = respond.send_response(head, false).unwrap();
                    connection.graceful_shutdown();
                    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
                }
                Self::FrameThenReset(reason) => {
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
                    tokio::spawn(async move {
                        pass(Duration::from_millis(30)).await;
                        body.send_reset(reason);
                    });
                }
                Self::Trailers => {
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
                    let mut trailers = ::http::HeaderMap::new();
                    trailers.insert("grpc-status", "14".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            }
        }
    }

    async fn serve(self) -> Server {
        Server::per_connection(move |stream, read| self.happen(stream, read)).await
    }
}

/// N1, G1
#[tokio::test]
async fn a_refused_stream_never_took_the_request() {
    bounded(async {
        let server = Fault2::Reset(Reason::REFUSED_STREAM).serve().await;
        check("REFUSED_STREAM", Version::H2, server.addr, Outcome::Refused, true).await;
        assert_eq!(server.requests(), 1 + 3 + 3);
    })
    .await;
}

/// N1, N2, G1
#[tokio::test]
async fn any_other_reset_may_have_taken_the_request() {
    bounded(async {
        for fault in [
            Fault2::Reset(Reason::ENHANCE_YOUR_CALM),
            Fault2::Reset(Reason::INTERNAL_ERROR),
            Fault2::Reset(Reason::CANCEL),
            Fault2::AbruptGoAway(Reason::INTERNAL_ERROR),
            Fault2::AbruptGoAway(Reason::ENHANCE_YOUR_CALM),
            Fault2::AbruptGoAway(Reason::REFUSED_STREAM),
        ] {
            let server = fault.serve().await;
            let what = format!("{fault:?}");
            check(&what, Version::H2, server.addr, Outcome::Failure, false).await;
        }
    })
    .await;
}

/// N1
#[tokio::test]
async fn a_graceful_goodbye_does_not_hurt_the_answer() {
    bounded(async {
        let server = Fault2::GracefulGoAway.serve().await;
        let (retries, result) = retries(Version::H2, request(Method::POST, server.addr)).await;
        assert_eq!((retries, judge(&result)), (0, Outcome::Success));
        assert_eq!(result.unwrap().collect().await.unwrap().to_bytes(), "hello");
    })
    .await;
}

/// N1, N3, G6
#[tokio::test]
async fn a_stream_that_is_reset_after_its_head_is_never_asked_for_again() {
    bounded(async {
        for (reason, clean) in [(Reason::INTERNAL_ERROR, false), (Reason::NO_ERROR, true)] {
            let server = Fault2::FrameThenReset(reason).serve().await;
            let (retries, result) = retries(Version::H2, request(Method::GET, server.addr)).await;
            assert_eq!(judge(&result), Outcome::Success);
            let mut body = result.unwrap().into_body();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first, "hello", "{reason:?}");
            // plain HTTP can't tell the cut of a NO_ERROR from an end
            let rest = body.frame().await;
            assert_eq!(rest.is_none(), clean, "{reason:?}: {rest:?}");
            assert_eq!((retries, server.requests()), (0, 1), "{reason:?}");
        }
    })
    .await;
}

/// N1
#[tokio::test]
async fn trailers_pass_through_a_retry() {
    bounded(async {
        let server = Fault2::Trailers.serve().await;
        let (retries, result) = retries(Version::H2, request(Method::GET, server.addr)).await;
        let collected = result.unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "14");
        assert_eq!((retries, server.requests()), (0, 1));
    })
    .await;
}

/// N6: hyper-util repeats by itself what a closed connection of its pool has not taken
#[tokio::test]
async fn a_connection_that_closed_in_the_pool_is_no_failure() {
    bounded(async {
        let server = Server::per_connection(|mut stream, requests| async move {
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, SeqCst);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        let layer = RetryLayer::http().classify(classifier());
        let handle = layer.handle();
        let service = layer.layer(client(Version::H1));
        for _ in 0..5 {
            let answer = service.clone().oneshot(request(Method::POST, server.addr)).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
            pass(Duration::from_millis(20)).await;
        }
        assert_eq!((handle.snapshot().retries, server.requests()), (0, 5));
    })
    .await;
}
