//! Streaming uploads through a retry layer: what the service inside receives at each attempt.

use crate::kit::Gauge;
use crate::kit::settings::Watch as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};
use tower::{Service, ServiceExt};
use tower_failover::classify::{Classify, HttpClassifier};
use tower_failover::replay::{Http, MapBody, ReplayBody, RequestBodyLost};
use tower_failover::retry::{RetryHandle, RetryLayer};
use tower_failover::{BoxError, Outcome, Refusal};
use tower_layer::Layer;

type Layered = RetryLayer<HttpClassifier, Http>;

/// How much of a body the service reads before it answers.
#[derive(Clone, Copy)]
enum Reads {
    All,
    Frames(usize),
}

/// What arrived at one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
struct Arrived {
    headers: HeaderMap,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// What arrived, attempt by attempt.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Arrived>>>, Arc<Notify>);

impl Log {
    fn attempts(&self) -> Vec<Arrived> {
        self.0.lock().unwrap().clone()
    }
}

async fn receive<B>(request: Request<B>, reads: Reads) -> Result<Arrived, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (head, mut body) = request.into_parts();
    let mut arrived = Arrived { headers: head.headers, ..Arrived::default() };
    let mut frames = if let Reads::Frames(frames) = reads { frames } else { usize::MAX };
    while frames > 0 {
        let Some(frame) = body.frame().await else { break };
        match frame.map_err(Into::into)?.into_data() {
            Ok(data) => arrived.data.extend_from_slice(&data),
            Err(frame) => arrived.trailers = frame.into_trailers().ok(),
        }
        frames -= 1;
    }
    Ok(arrived)
}

trait Upstream<B>:
    Service<Request<B>, Response = Response<()>, Error = BoxError, Future: Send> + Clone
{
}

impl<B, S> Upstream<B> for S where
    S: Service<Request<B>, Response = Response<()>, Error = BoxError, Future: Send> + Clone
{
}

/// A service that answers with these statuses in turn, each after it has read so much.
fn service<B>(answers: &'static [(u16, Reads)]) -> (impl Upstream<B>, Log)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let log = Log::default();
    let attempts = log.clone();
    let service = tower::service_fn(move |request: Request<B>| {
        let log = log.clone();
        async move {
            let number = log.attempts().len();
            let (status, reads) = answers[number];
            log.0.lock().unwrap().push(Arrived::default());
            log.1.notify_one();
            let arrived = receive(request, reads).await?;
            log.0.lock().unwrap()[number] = arrived;
            Ok(Response::builder().status(status).body(()).unwrap())
        }
    });
    (service, attempts)
}

type Upload = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>>>;

/// An upload of unknown length.
fn upload(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Upload {
    let frames: Vec<_> = frames.into_iter().map(Ok).collect();
    StreamBody::new(stream::iter(frames))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::HeaderName::from_static("digest"), value.parse().unwrap())])
}

fn put<B>(body: B) -> Request<B> {
    Request::builder().method(Method::PUT).uri("http://service/").body(body).unwrap()
}

/// Sends one request through a retry layer; returns the status, what arrived, and the layer's handle.
async fn send<B>(
    layer: Layered,
    answers: &'static [(u16, Reads)],
    request: Request<B>,
) -> (Result<StatusCode, BoxError>, Vec<Arrived>, RetryHandle)
where
    B: Body<Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let handle = layer.handle();
    let (inner, log) = service(answers);
    let answer = layer.layer(inner).oneshot(request).await;
    (answer.map(|answer| answer.status()), log.attempts(), handle)
}

const BUSY_ONCE: &[(u16, Reads)] = &[(503, Reads::All), (200, Reads::All)];

/// G8, G10: the answer may come before, within and after the upload.
#[tokio::test(start_paused = true)]
async fn an_upload_interrupted_by_a_503_arrives_byte_identical_with_its_trailers() {
    const ANSWERS: [&[(u16, Reads)]; 4] = [
        &[(503, Reads::Frames(0)), (200, Reads::All)],
        &[(503, Reads::Frames(2)), (503, Reads::Frames(1)), (200, Reads::All)],
        &[(503, Reads::Frames(4)), (200, Reads::All)],
        BUSY_ONCE,
    ];
    for answers in ANSWERS {
        let body =
            upload([data("one "), data("two "), data("three"), Frame::trailers(trailers("abc"))]);
        let (status, attempts, _) = send(RetryLayer::http(), answers, put(body)).await;
        assert_eq!(status.unwrap(), 200);
        assert_eq!(attempts.len(), answers.len());
        let last = attempts.last().unwrap();
        assert_eq!(last.data, b"one two three");
        assert_eq!(last.trailers, Some(trailers("abc")));
    }
}

/// G10: the second attempt plays the half that was sent and goes on with the live upload.
#[tokio::test(start_paused = true)]
async fn an_upload_that_is_still_under_way_goes_on_in_the_second_attempt() {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let frames = stream::poll_fn(move |cx| frames.poll_recv(cx)).map(Ok::<_, Infallible>);
    sender.send(data("one ")).unwrap();
    let (inner, log) = service(&[(503, Reads::Frames(1)), (200, Reads::All)]);
    let call = RetryLayer::http().layer(inner).oneshot(put(StreamBody::new(frames)));
    let second_half = async {
        while log.attempts().len() < 2 {
            log.1.notified().await;
        }
        sender.send(data("two")).unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(call, second_half);
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(log.attempts()[1].data, b"one two");
}

/// G7, N8
#[tokio::test(start_paused = true)]
async fn an_upload_over_the_limit_passes_whole_and_once_and_its_503_is_returned() {
    for len in [7, 8, 9] {
        let bytes = Bytes::from(vec![b'x'; len]);
        let pieces = bytes.chunks(3).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        let chunked = put(upload(pieces).boxed_unsync());
        let known = put(Full::new(bytes.clone()).map_err(BoxError::from).boxed_unsync());
        for request in [chunked, known] {
            let layer = RetryLayer::http().replay_limit(8);
            let (status, attempts, handle) = send(layer, BUSY_ONCE, request).await;
            let fits = len <= 8;
            assert_eq!(status.unwrap(), if fits { 200 } else { 503 });
            assert_eq!(attempts.len(), if fits { 2 } else { 1 });
            assert!(attempts.iter().all(|attempt| attempt.data == bytes));
            assert_eq!(handle.snapshot().not_replayable, u64::from(!fits), "{len} bytes");
            assert_eq!(handle.snapshot().not_repeatable, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_of_zero_only_empty_bodies_are_sent_again() {
    let layer = || RetryLayer::http().replay_limit(0);
    let (status, attempts, _) = send(layer(), BUSY_ONCE, put(Empty::<Bytes>::new())).await;
    assert_eq!((status.unwrap().as_u16(), attempts.len()), (200, 2));
    let (status, attempts, _) = send(layer(), BUSY_ONCE, put(upload([]))).await;
    assert_eq!((status.unwrap().as_u16(), attempts.len()), (200, 2), "it turned out to be empty");
    let (status, attempts, _) = send(layer(), BUSY_ONCE, put(upload([data("x")]))).await;
    assert_eq!((status.unwrap().as_u16(), attempts.len()), (503, 1));
}

/// M13
#[tokio::test(start_paused = true)]
async fn huge_trailers_count_against_the_limit() {
    let body = upload([data("x"), Frame::trailers(trailers(&"v".repeat(70_000)))]);
    let (status, attempts, _) = send(RetryLayer::http(), BUSY_ONCE, put(body)).await;
    assert_eq!((status.unwrap().as_u16(), attempts.len()), (503, 1));
    assert_eq!(attempts[0].trailers.as_ref().unwrap()["digest"].len(), 70_000);
}

/// M11
#[tokio::test(start_paused = true)]
async fn the_headers_of_every_attempt_are_those_of_the_first() {
    const ANSWERS: &[(u16, Reads)] = &[(503, Reads::All), (503, Reads::All), (200, Reads::All)];
    let framings = [("content-length", "5"), ("transfer-encoding", "chunked")];
    for (framing, value) in framings {
        let mut request = put(Full::new(Bytes::from_static(b"hello")));
        let sent = request.headers_mut();
        sent.insert(framing, value.parse().unwrap());
        sent.insert("connection", "x-hop, close".parse().unwrap());
        sent.append("x-hop", "1".parse().unwrap());
        sent.append("x-hop", "2".parse().unwrap());
        let sent = sent.clone();
        let (_, attempts, _) = send(RetryLayer::http(), ANSWERS, request).await;
        let headers = attempts.into_iter().map(|mut attempt| {
            let previous = attempt.headers.remove("grpc-previous-rpc-attempts");
            (attempt.headers, previous.map(|value| value.to_str().unwrap().to_owned()))
        });
        let expected = [None, Some("1"), Some("2")];
        let expected = expected.map(|previous| (sent.clone(), previous.map(str::to_owned)));
        assert_eq!(headers.collect::<Vec<_>>(), expected);
    }
}

/// G8: what a client would write as `content-length`.
#[tokio::test(start_paused = true)]
async fn a_body_of_known_length_has_that_length_at_every_attempt() {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let log = lengths.clone();
    let inner = tower::service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let log = log.clone();
        async move {
            let length = request.body().size_hint().exact();
            let _ = request.into_body().frame().await;
            log.lock().unwrap().push(length);
            Ok::<_, BoxError>(Response::builder().status(503).body(()).unwrap())
        }
    });
    let request = put(Full::new(Bytes::from_static(b"hello")));
    RetryLayer::http().layer(inner).oneshot(request).await.unwrap();
    assert_eq!(*lengths.lock().unwrap(), [Some(5); 3]);
}

#[derive(Debug)]
struct CallerLeft;

impl std::fmt::Display for CallerLeft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the caller left")
    }
}

impl std::error::Error for CallerLeft {}

/// G9
#[tokio::test(start_paused = true)]
async fn a_broken_upload_is_not_sent_again_and_its_own_error_comes_back() {
    let frames = [Ok(data("one")), Err(BoxError::from(CallerLeft))];
    let body = StreamBody::new(stream::iter(frames.into_iter().collect::<Vec<_>>()));
    let (status, attempts, handle) = send(RetryLayer::http(), BUSY_ONCE, put(body)).await;
    assert!(status.unwrap_err().is::<CallerLeft>());
    assert_eq!(attempts.len(), 1);
    assert_eq!(handle.snapshot().not_replayable, 1);
}

/// N5
#[tokio::test(start_paused = true)]
async fn requests_that_take_over_the_connection_are_sent_once() {
    let mut connect = put(Empty::<Bytes>::new());
    *connect.method_mut() = Method::CONNECT;
    let mut upgrade = put(Empty::<Bytes>::new());
    *upgrade.method_mut() = Method::GET;
    upgrade.headers_mut().insert(header::UPGRADE, "websocket".parse().unwrap());
    for request in [connect, upgrade] {
        let (status, attempts, handle) = send(RetryLayer::http(), BUSY_ONCE, request).await;
        assert_eq!((status.unwrap().as_u16(), attempts.len()), (503, 1));
        assert_eq!(handle.snapshot().not_repeatable, 1);
    }
}

/// The body that an attempt left behind ends with a refusal that is nobody's fault.
#[tokio::test(start_paused = true)]
async fn the_body_of_an_attempt_that_was_given_up_is_lost_by_a_local_refusal() {
    let (sender, mut bodies) = mpsc::unbounded_channel();
    let inner = tower::service_fn(move |request: Request<ReplayBody<Upload>>| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Response::builder().status(503).body(()).unwrap()) }
    });
    let layer = RetryLayer::http().max_retries(1);
    layer.layer(inner).oneshot(put(upload([data("one")]))).await.unwrap();
    let mut old = bodies.recv().await.unwrap();
    let error = old.frame().await.unwrap().unwrap_err();
    assert!(error.is::<RequestBodyLost>());
    assert!(Refusal::find(&*error).is_some());
    let result = Err::<&Response<()>, _>(&error);
    let classifier = HttpClassifier::new();
    assert_eq!(classifier.classify(result), Outcome::Refused);
    assert!(classifier.evidence(result).local);
    let last = bodies.recv().await.unwrap().collect().await.unwrap();
    assert_eq!(last.to_bytes(), "one");
}

/// An upload in pieces, and the gauge of the pieces that are not freed yet.
fn pieces(count: usize) -> (Upload, Gauge) {
    let gauge = Gauge::new();
    let frames = (0..count).map(|_| Frame::data(Bytes::from_owner(gauge.clone())));
    (upload(frames.collect::<Vec<_>>()), gauge)
}

/// A17: no attempt can follow the last one, so it frees what it replays.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_frees_the_body_as_it_reads() {
    let (body, live) = pieces(4);
    let left = Arc::new(Mutex::new(Vec::new()));
    let live = Arc::new(live);
    let (log, count) = (left.clone(), live.clone());
    let inner = tower::service_fn(move |request: Request<ReplayBody<Upload>>| {
        let (log, count) = (log.clone(), count.clone());
        async move {
            let mut body = request.into_body();
            let mut seen = Vec::new();
            while let Some(frame) = body.frame().await {
                drop(frame?);
                seen.push(count.held());
            }
            log.lock().unwrap().push(seen);
            Ok::<_, BoxError>(Response::builder().status(503).body(()).unwrap())
        }
    });
    RetryLayer::http().max_retries(1).layer(inner).oneshot(put(body)).await.unwrap();
    assert_eq!(*left.lock().unwrap(), [[4, 4, 4, 4], [3, 2, 1, 0]]);
}

/// A17: the answer is there, and the rest of the upload goes on without being kept.
#[tokio::test(start_paused = true)]
async fn an_upload_that_outlives_its_answer_is_no_longer_kept() {
    let (body, live) = pieces(4);
    let inner = tower::service_fn(|request: Request<ReplayBody<Upload>>| async {
        let mut body = request.into_body();
        let _ = body.frame().await;
        Ok::<_, BoxError>(Response::new(body))
    });
    let answer = RetryLayer::http().layer(inner).oneshot(put(body)).await.unwrap();
    assert_eq!(live.held(), 3);
    let mut body = answer.into_body();
    let _ = body.frame().await;
    assert_eq!(live.held(), 2);
    drop(body);
    assert_eq!(live.held(), 0);
}

/// A2, A3, A17: in flight, in the delay, and before the first poll.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_poll_leaves_nothing_of_its_body() {
    for polls in 0..8 {
        let (body, live) = pieces(3);
        let inner = tower::service_fn(|request: Request<ReplayBody<Upload>>| async {
            let mut body = request.into_body();
            let _ = body.frame().await;
            tokio::task::yield_now().await;
            let _ = body.frame().await;
            Ok::<_, BoxError>(Response::builder().status(503).body(()).unwrap())
        });
        let mut call = tokio_test::task::spawn(RetryLayer::http().layer(inner).oneshot(put(body)));
        for _ in 0..polls {
            if call.poll().is_ready() {
                break;
            }
            tokio::time::advance(std::time::Duration::from_millis(60)).await;
        }
        drop(call);
        assert_eq!(live.held(), 0, "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_can_be_mapped_to_what_the_service_takes() {
    let (inner, log) = service::<axum::body::Body>(BUSY_ONCE);
    let layer = RetryLayer::http().body(axum::body::Body::new);
    let body = axum::body::Body::from("hello");
    assert_eq!(layer.layer(inner).oneshot(put(body)).await.unwrap().status(), 200);
    assert!(log.attempts().iter().all(|attempt| attempt.data == b"hello"));
    assert_eq!(log.attempts().len(), 2);
}

/// C11, C12: a client may ask for a `Sync` body where the caller's own is only `Send`.
#[test]
fn a_body_that_is_only_send_becomes_one_that_is_sync_too() {
    struct OnlySend(Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>);
    impl Body for OnlySend {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.as_mut().poll_frame(cx)
        }
    }
    fn is_sync_body<B: Body<Data = Bytes> + Send + Sync + Unpin + 'static>() {}
    fn maps<B>(_: impl MapBody<B, Body = ReplayBody<B>>) {}
    is_sync_body::<ReplayBody<OnlySend>>();
    maps::<OnlySend>(|body: ReplayBody<OnlySend>| body);
}
