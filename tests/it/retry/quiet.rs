//! What retry shows of itself, and what its types promise.

use super::{Body, answer, every, request, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{Log, Scripted};
use ::http::Request;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt};
use tower_failover::BoxError;
use tower_failover::classify::{ErrorsOnly, GrpcClassifier, HttpClassifier};
use tower_failover::replay::{Http, Plain, ReplayBody};
use tower_failover::retry::{Retry, RetryHandle, RetryLayer, RetrySnapshot};

const SECRET: &str = "s3cr3t";

/// M2, M3
#[tokio::test(start_paused = true)]
async fn no_event_and_no_debug_tells_what_is_in_a_request_or_an_answer() {
    let log = Log::default();
    let _following = log.follow();
    let inner = upstream(|call| match call {
        1 => Err(SECRET.into()),
        2 => Ok(answer(503, [("set-cookie", SECRET), ("retry-after", "1")]).map(|_| SECRET.into())),
        _ => Ok(answer(500, [("x-token", SECRET)])),
    });
    let layer = RetryLayer::http().backoff(every(Duration::ZERO)).replay_limit(3);
    let mut service = layer.layer(layer.layer(inner));
    for (size, name) in [(0, "empty"), (2, "short"), (99, "long")] {
        let mut secret = request("GET");
        *secret.uri_mut() =
            format!("http://me:{SECRET}@host/{SECRET}/{name}?key={SECRET}").parse().unwrap();
        secret.headers_mut().insert("authorization", SECRET.parse().unwrap());
        *secret.body_mut() = Body::from(SECRET.repeat(size));
        let call = ServiceExt::<Request<Body>>::ready(&mut service).await.unwrap().call(secret);
        let shown = format!("{call:?} {service:?} {layer:?} {:?}", layer.handle());
        assert!(!shown.contains(SECRET), "{shown}");
        let _ = call.await;
    }
    let events = log.text();
    assert!(events.contains("tower_failover::retry: retry"), "{events}");
    assert!(events.contains("tower_failover::retry: gave up"), "{events}");
    assert!(events.contains("tower_failover::replay"), "{events}");
    assert!(!events.contains(SECRET), "{events}");
}

#[tokio::test(start_paused = true)]
async fn each_retry_and_the_end_are_events_with_their_reasons() {
    let log = Log::default();
    let _following = log.follow();
    let inner = Scripted::new(|_| super::down::<()>());
    let layer = RetryLayer::plain().max_retries(2).backoff(every(Duration::from_secs(1)));
    assert!(layer.layer(inner).oneshot(1).await.is_err());
    let text = log.text();
    let events: Vec<_> =
        text.lines().map(|line| line.split_once("tower_failover").unwrap().1).collect();
    assert_eq!(
        events,
        [
            "::retry: retry retry=1 outcome=\"failure\" delay=1s",
            "::retry: retry retry=2 outcome=\"failure\" delay=1s",
            "::retry: gave up retries=2 outcome=\"failure\" reason=\"out_of_retries\"",
        ]
    );
}

/// M7
#[tokio::test(start_paused = true)]
async fn a_good_call_is_no_event() {
    let log = Log::default();
    let _following = log.follow();
    let inner = Scripted::new(Ok::<_, BoxError>);
    RetryLayer::plain().layer(inner).oneshot(1).await.unwrap();
    assert_eq!(log.text(), "");
}

/// C12
#[test]
fn layers_services_and_futures_go_where_their_parts_go() {
    fn everywhere<T: Send + Sync + 'static>() {}
    fn sendable<T: Send + 'static>() {}
    fn unpin<T: Unpin>() {}

    type Answer = http::Response<Body>;
    type Inner<Req> = tower::util::BoxCloneService<Req, Answer, BoxError>;
    type SyncInner<Req> = tower::util::BoxCloneSyncService<Req, Answer, BoxError>;
    type HttpRequest = Request<ReplayBody<Body>>;
    type Future<S, Req> = <S as tower::Service<Req>>::Future;

    everywhere::<RetryLayer<ErrorsOnly, Plain>>();
    everywhere::<RetryLayer<HttpClassifier, Http>>();
    everywhere::<RetryLayer<GrpcClassifier, Http>>();
    everywhere::<Retry<SyncInner<u32>, ErrorsOnly, Plain>>();
    everywhere::<Retry<SyncInner<HttpRequest>, HttpClassifier, Http>>();
    everywhere::<RetryHandle>();
    everywhere::<RetrySnapshot>();
    sendable::<Retry<Inner<u32>, ErrorsOnly, Plain>>();
    sendable::<Future<Retry<Inner<u32>, ErrorsOnly, Plain>, u32>>();
    sendable::<Future<Retry<Inner<HttpRequest>, HttpClassifier, Http>, Request<Body>>>();
    unpin::<Future<Retry<Inner<u32>, ErrorsOnly, Plain>, u32>>();
}
