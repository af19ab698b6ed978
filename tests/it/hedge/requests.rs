//! Which HTTP requests are hedged, and what a hedge sends.

use super::web::Web;
use crate::kit::{ms, sleep};
use crate::retry::every;
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tower::{Layer, ServiceExt};
use tower_failover::classify::HttpClassifier;
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::Http;
use tower_failover::retry::RetryLayer;
use tower_failover::{Attempts, RequestPolicy};

fn hedge() -> HedgeLayer<HttpClassifier, Http> {
    HedgeLayer::http().delay(ms(50)).no_budget()
}

fn request(method: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/work?now").body("hello".into()).unwrap()
}

/// How many attempts such a request makes where the first answer comes late.
async fn attempts(layer: HedgeLayer<HttpClassifier, Http>, request: Request<Full<Bytes>>) -> usize {
    let web = Web::new([(200, 200, &[])]);
    layer.layer(web.clone()).oneshot(request).await.unwrap();
    web.count()
}

#[tokio::test(start_paused = true)]
async fn a_hedge_sends_an_equal_request() {
    let web = Web::new([(200, 200, &[]), (5, 203, &[])]);
    let mut request = request("PUT");
    request.headers_mut().append("x-many", "one".parse().unwrap());
    request.headers_mut().append("x-many", "two".parse().unwrap());
    request.extensions_mut().insert(7_u8);
    let answer = hedge().layer(web.clone()).oneshot(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), web.made()), (203, vec![0, 50]));
    let seen = web.notes();
    let [first, second] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(first.method(), second.method());
    assert_eq!(first.uri(), second.uri());
    assert_eq!(first.extensions().get::<u8>(), second.extensions().get::<u8>());
    let without_number = |headers: &http::HeaderMap| {
        let mut headers = headers.clone();
        headers.remove("grpc-previous-rpc-attempts");
        headers
    };
    assert_eq!(first.headers(), &without_number(second.headers()));
    let bodies = web.bodies();
    assert_eq!(bodies[0].as_deref(), Some(&b"hello"[..]));
    assert_eq!(bodies[0], bodies[1]);
    assert!(seen.iter().all(|seen| seen.extensions().get::<Attempts>().is_none()));
}

/// G11
#[tokio::test(start_paused = true)]
async fn each_attempt_tells_how_many_were_sent_before_it() {
    let web = Web::new([(400, 200, &[]), (400, 200, &[]), (5, 200, &[])]);
    let mut told = request("GET");
    told.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
    hedge().max_hedges(2).layer(web.clone()).oneshot(told).await.unwrap();
    let numbers: Vec<_> = web
        .notes()
        .iter()
        .map(|seen| {
            let all = seen.headers().get_all("grpc-previous-rpc-attempts").iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
        })
        .collect();
    assert_eq!(numbers, ["", "1", "2"]);
    let timeouts: Vec<_> =
        web.notes().iter().map(|seen| seen.headers()["grpc-timeout"].clone()).collect();
    assert_eq!(timeouts, ["1S", "950000u", "900000u"]);
}

/// G11: one that was due and not sent does not count
#[tokio::test(start_paused = true)]
async fn a_hedge_that_was_not_sent_has_no_number() {
    let web = Web::new([(400, 200, &[]), (5, 200, &[])]);
    let permits = Arc::new(tokio::sync::Semaphore::new(1));
    let limit = tower::limit::GlobalConcurrencyLimitLayer::with_semaphore(permits.clone());
    let service = hedge().max_hedges(2).layer(limit.layer(web.clone()));
    let call = tokio::spawn(service.oneshot(request("GET")));
    sleep(ms(75)).await;
    permits.add_permits(1);
    call.await.unwrap().unwrap();
    assert_eq!(web.made(), [0, 100]);
    assert_eq!(web.notes()[1].headers()["grpc-previous-rpc-attempts"], "1");
}

/// G8: what is on its way is sent from its beginning, and then as it comes
#[tokio::test(start_paused = true)]
async fn a_body_that_is_half_sent_is_hedged_whole() {
    let web = Web::new([(300, 200, &[]), (5, 203, &[])]);
    let rest = Arc::new(Notify::new());
    let wanted = rest.clone();
    let frames = futures_util::stream::unfold(0, move |at| {
        let wanted = wanted.clone();
        async move {
            let part = *["one ", "two ", "three"].get(at)?;
            if at == 1 {
                wanted.notified().await;
            }
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(part))), at + 1))
        }
    });
    let body = StreamBody::new(Box::pin(frames));
    let request = Request::builder().method("PUT").uri("/").body(body).unwrap();
    let call = tokio::spawn(hedge().layer(web.clone()).oneshot(request));
    sleep(ms(60)).await;
    assert_eq!((web.count(), web.bodies()[1].clone()), (2, None));
    rest.notify_one();
    assert_eq!(call.await.unwrap().unwrap().status(), 203);
    let bodies: Vec<_> = web.bodies().into_iter().map(Option::unwrap).collect();
    assert_eq!(bodies, ["one two three"; 2]);
}

/// I1
#[tokio::test(start_paused = true)]
async fn only_requests_that_may_be_sent_twice_are_hedged() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        assert_eq!(attempts(hedge(), request(method)).await, 2, "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "BREW"] {
        assert_eq!(attempts(hedge(), request(method)).await, 1, "{method}");
    }
    let mut keyed = request("POST");
    keyed.headers_mut().insert("idempotency-key", "7".parse().unwrap());
    assert_eq!(attempts(hedge(), keyed).await, 2);
    let mut allowed = request("POST");
    allowed.extensions_mut().insert(RequestPolicy::new().idempotent());
    assert_eq!(attempts(hedge(), allowed).await, 2);
    assert_eq!(attempts(hedge().idempotent(["/work"]), request("POST")).await, 2);
}

/// I1: nor after a refusal, which a retry would repeat
#[tokio::test(start_paused = true)]
async fn a_post_is_not_hedged_after_a_failure_either() {
    for status in [429, 501, 503] {
        let web = Web::with(move |_| (0, status, &[]));
        hedge().layer(web.clone()).oneshot(request("POST")).await.unwrap();
        assert_eq!(web.count(), 1, "{status}");
    }
}

/// N5
#[tokio::test(start_paused = true)]
async fn a_request_that_takes_over_the_connection_is_not_hedged() {
    let mut upgrade = request("GET");
    upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(attempts(hedge(), upgrade).await, 1);
    let mut connect = request("CONNECT");
    connect.extensions_mut().insert(RequestPolicy::new().idempotent());
    assert_eq!(attempts(hedge(), connect).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_can_forbid_hedges() {
    let mut once = request("GET");
    once.extensions_mut().insert(RequestPolicy::new().no_hedge());
    assert_eq!(attempts(hedge(), once).await, 1);
}

/// G7, I9
#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_to_be_kept_is_not_hedged() {
    assert_eq!(attempts(hedge().replay_limit(5), request("PUT")).await, 2);
    assert_eq!(attempts(hedge().replay_limit(4), request("PUT")).await, 1);
}

/// I10, G2: three attempts by retry and one hedge, however they stand
#[tokio::test(start_paused = true)]
async fn retries_and_hedges_are_bounded_together() {
    let retry = || RetryLayer::http().max_retries(2).no_budget().backoff(every(Duration::ZERO));
    for takes in [0, 60] {
        let web = Web::with(move |_| (takes, 503, &[]));
        retry().layer(hedge().layer(web.clone())).oneshot(request("GET")).await.unwrap();
        assert_eq!(web.count(), 4, "hedge inside, {takes} ms");
        let web = Web::with(move |_| (takes, 503, &[]));
        hedge().layer(retry().layer(web.clone())).oneshot(request("GET")).await.unwrap();
        assert_eq!(web.count(), 4, "retry inside, {takes} ms");
        let web = Web::with(move |_| (takes, 503, &[]));
        let inside = hedge().layer(retry().layer(hedge().layer(web.clone())));
        retry().layer(inside).oneshot(request("GET")).await.unwrap();
        assert_eq!(web.count(), 4, "both twice, {takes} ms");
    }
}

/// I10
#[tokio::test(start_paused = true)]
async fn a_post_is_neither_hedged_nor_repeated_between_two_layers() {
    let web = Web::new([(60, 503, &[])]);
    let service = RetryLayer::http().layer(hedge().layer(web.clone()));
    service.oneshot(request("POST")).await.unwrap();
    assert_eq!(web.count(), 1);
}
