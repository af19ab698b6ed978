//! Real sockets: servers that fail after their 200.

use super::*;
use crate::kit::ms;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{Method, Uri};
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_failover::attempt::RecordBody;
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::classify::OutcomeMark;
use tower_failover::first_frame::{
    Event, Events, FirstFrameBody, FirstFrameLayer, FirstFrameTimeout, Verdict,
};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Outcome};

const GOOD: &str = ": hi\n\ndata: good\n\ndata: bytes\n\n";
const ERROR: &str = "event: error\r\ndata: {\"busy\": 1}\r\n\r\n";
const VERSIONS: [Version; 2] = [Version::H1, Version::H2];

/// A server of events, which tells how often it was asked and whether its answers are still read.
struct Source {
    server: Server,
    calls: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl Source {
    async fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let (calls, gauge) = (Arc::<AtomicUsize>::default(), Gauge::new());
        let (steps, counted, held) =
            (steps.into_iter().collect::<Vec<_>>(), calls.clone(), gauge.clone());
        let handler = move || {
            counted.fetch_add(1, SeqCst);
            let body = axum::body::Body::new(ScriptedBody::new(steps.clone()).holding(&held));
            std::future::ready(([("content-type", "text/event-stream")], body).into_response())
        };
        let server = Server::axum(Router::new().route("/", get(handler))).await;
        Self { server, calls, gauge }
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// Rejects error events.
fn layer() -> FirstFrameLayer<Events> {
    FirstFrameLayer::http().events(|event: Event<'_>| match &*event.event() {
        "error" => Verdict::Reject(Outcome::Failure),
        _ => Verdict::Commit,
    })
}

type Answer = Response<RecordBody<FirstFrameBody<hyper::body::Incoming>>>;

/// Asks these, one after another, as a retry over a balancer does.
async fn ask(
    version: Version,
    layer: &FirstFrameLayer<Events>,
    sources: [&Source; 2],
) -> Result<Answer, BoxError> {
    let endpoints: Endpoints<_> = sources
        .into_iter()
        .zip(["first", "second"])
        .map(|(source, name)| {
            let addr = source.server.addr;
            let service = ServiceBuilder::new()
                .layer(layer.clone())
                .map_request(move |mut request: Request<ReplayBody<Full<Bytes>>>| {
                    *request.uri_mut() = uri(addr);
                    request
                })
                .service(client(version));
            Endpoint::new(name, service).tier(u8::from(name == "second"))
        })
        .collect();
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(1).backoff(Backoff::constant(Duration::ZERO)))
        .layer(BalanceLayer::http())
        .service(endpoints);
    service.oneshot(Request::new(Full::default())).await
}

fn uri(addr: SocketAddr) -> Uri {
    format!("http://{addr}/").parse().unwrap()
}

/// One client behind a layer.
fn held(
    version: Version,
) -> BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<FirstFrameBody<hyper::body::Incoming>>,
    BoxError,
> {
    BoxCloneSyncService::new(layer().layer(client(version)))
}

fn request_to(method: Method, addr: SocketAddr) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(uri(addr)).body(Full::default()).unwrap()
}

async fn good() -> Source {
    Source::new([data(GOOD)]).await
}

#[tokio::test]
async fn after_an_error_event_the_second_endpoint_answers_wherever_the_event_is_cut() {
    bounded(async {
        for version in VERSIONS {
            for cut in 1..=ERROR.len() {
                let (one, two) = ERROR.split_at(cut);
                let bad = Source::new([data(one), data(two), Step::Hang]).await;
                let good = good().await;
                let answer = ask(version, &layer(), [&bad, &good]).await.unwrap();
                assert_eq!(read(answer.into_body()).await.0, GOOD.as_bytes(), "{cut}");
                assert_eq!((bad.calls(), good.calls()), (1, 1), "{version:?} {cut}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn after_comments_for_ever_the_second_endpoint_answers() {
    bounded(async {
        for version in VERSIONS {
            let pings = (0..10_000).flat_map(|_| [data(": ping\n\n"), Step::Wait(ms(3))]);
            let (bad, good) = (Source::new(pings).await, good().await);
            let layer = layer().timeout(ms(150));
            let answer = ask(version, &layer, [&bad, &good]).await.unwrap();
            assert_eq!(read(answer.into_body()).await.0, GOOD.as_bytes());
            assert_eq!((bad.calls(), good.calls()), (1, 1));
        }
    })
    .await;
}

#[tokio::test]
async fn the_last_possible_attempt_is_exempt_over_a_balancer() {
    bounded(async {
        let slow = || Source::new([Step::Wait(ms(300)), data(GOOD)]);
        let (first, second) = (slow().await, slow().await);
        let layer = layer().timeout(ms(100));
        let error = ask(Version::H1, &layer, [&first, &second]).await.map(drop).unwrap_err();
        assert!(error.is::<FirstFrameTimeout>());
        let answer = ask(Version::H1, &layer.exempt_last(), [&first, &second]).await.unwrap();
        assert_eq!(read(answer.into_body()).await.0, GOOD.as_bytes());
        assert_eq!((first.calls(), second.calls()), (2, 2));
    })
    .await;
}

/// A10, N1: the stream is reset before its first frame, and after it
#[tokio::test]
async fn a_reset_before_the_first_frame_goes_to_the_second_endpoint_and_one_after_it_to_the_reader()
{
    bounded(async {
        for version in VERSIONS {
            let comment = || [data(": hi\n\n"), Step::Wait(ms(30)), Step::Fail];
            let (bad, next) = (Source::new(comment()).await, good().await);
            let answer = ask(version, &layer(), [&bad, &next]).await.unwrap();
            assert_eq!(read(answer.into_body()).await, (GOOD.into(), None, false));
            assert_eq!((bad.calls(), next.calls()), (1, 1));

            let late = [data("data: x\n\n"), Step::Wait(ms(30)), Step::Fail];
            let (bad, next) = (Source::new(late).await, good().await);
            let answer = ask(version, &layer(), [&bad, &next]).await.unwrap();
            assert_eq!(read(answer.into_body()).await, (b"data: x\n\n".to_vec(), None, true));
            assert_eq!((bad.calls(), next.calls()), (1, 0), "never after the commit");
        }
    })
    .await;
}

#[tokio::test]
async fn when_all_are_rejected_the_original_answer_arrives_whole() {
    bounded(async {
        for version in VERSIONS {
            let bad = |end| [data(ERROR), Step::Wait(ms(20)), data(end)];
            let (first, second) = (Source::new(bad("1")).await, Source::new(bad("2")).await);
            let answer = ask(version, &layer(), [&first, &second]).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.extensions().get(), Some(&OutcomeMark::new(Outcome::Failure)));
            let said = read(answer.into_body()).await;
            assert_eq!(said, (format!("{ERROR}2").into_bytes(), None, false));
        }
    })
    .await;
}

#[tokio::test]
async fn ten_mebibytes_of_comments_pass_with_little_held() {
    bounded(async {
        const SIZE: usize = 8 * 1_024;
        let comment = [&b":"[..], &[b'x'; SIZE - 3], b"\n\n"].concat();
        for version in VERSIONS {
            let comments = (0..1_280).map(|_| data(&comment)).chain([data(GOOD)]);
            let source = Source::new(comments).await;
            let call = held(version).oneshot(request_to(Method::GET, source.server.addr));
            let answer = call.await.unwrap();
            let held = answer.body().size_hint().lower();
            assert!(held > 64 * 1_024 && held <= 64 * 1_024 + 32 * 1_024, "{held} bytes");
            let expected = [&*comment.repeat(1_280), GOOD.as_bytes()].concat();
            assert!(read(answer.into_body()).await.0 == expected, "{version:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn answers_without_a_body_pass() {
    bounded(async {
        let router = Router::new()
            .route("/", get(|| async { ([("content-type", "text/event-stream")], "") }))
            .route("/none", get(|| async { http::StatusCode::NO_CONTENT }))
            .route("/head", get(|| async { "not sent" }));
        let server = Server::axum(router).await;
        for version in VERSIONS {
            for (method, path, status) in
                [(Method::GET, "", 200), (Method::GET, "none", 204), (Method::HEAD, "head", 200)]
            {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("http://{}/{path}", server.addr))
                    .body(Full::default())
                    .unwrap();
                let answer = held(version).oneshot(request).await.unwrap();
                assert_eq!(answer.status(), status);
                assert!(answer.extensions().get::<OutcomeMark>().is_none());
                assert_eq!(read(answer.into_body()).await, (vec![], None, false), "{path}");
            }
        }
    })
    .await;
}

/// Whether the server sees within 100 ms that nobody reads.
async fn is_left(source: &Source) -> bool {
    for _ in 0..20 {
        // the route holds one
        if source.gauge.held() <= 1 {
            return true;
        }
        sleep(ms(5)).await;
    }
    false
}

/// A9
#[tokio::test]
async fn a_reader_that_leaves_is_noticed_upstream() {
    bounded(async {
        for version in VERSIONS {
            // before the first frame, and after it
            for said in [": hi\n\n", GOOD] {
                let source = Source::new([data(said), Step::Hang]).await;
                let call = held(version).oneshot(request_to(Method::GET, source.server.addr));
                let held = tokio::time::timeout(ms(100), call).await;
                assert_eq!(held.is_ok(), said == GOOD);
                if let Ok(answer) = held {
                    let mut body = answer.unwrap().into_body();
                    body.frame().await.unwrap().unwrap();
                    assert!(source.gauge.held() > 1, "it is read");
                }
                assert!(is_left(&source).await, "{version:?} {said:?}");
            }
        }
    })
    .await;
}
