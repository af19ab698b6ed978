//! What servers ask of those that would send more.

use super::web::{Reply, Web};
use crate::kit::ms;
use crate::kit::settings::Watch as _;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_failover::hedge::{HedgeHandle, HedgeLayer};

/// When the attempts of a gRPC call were made, with two hedges after 50 ms each.
async fn made(replies: [Reply; 3]) -> (Vec<u128>, HedgeHandle) {
    let web = Web::new(replies);
    let layer = HedgeLayer::grpc().idempotent(["/*"]).delay(ms(50)).max_hedges(2).no_budget();
    let request = Request::builder().method("POST").uri("/pkg.Service/Get");
    let request = request.body(Full::<Bytes>::from("hello")).unwrap();
    layer.layer(web.clone()).oneshot(request).await.unwrap();
    (web.made(), layer.handle())
}

const GOOD: &[(&str, &str)] = &[("grpc-status", "0")];

/// I13, H5: gRFC A6
#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_more_gets_no_more() {
    for pushback in [
        &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")],
        &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "soon")],
    ] {
        let (made, handle) = made([(400, 200, GOOD), (10, 200, pushback), (0, 200, GOOD)]).await;
        assert_eq!(made, [0, 50], "{pushback:?}");
        assert_eq!(handle.snapshot().hedges, 1);
    }
}

/// I13, H5
#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_more_for_now_gets_the_next_hedge_later() {
    let pushback = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "200")];
    let (times, _) = made([(900, 200, GOOD), (10, 200, pushback), (5, 200, GOOD)]).await;
    assert_eq!(times, [0, 50, 260]);
    let soon = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "20")];
    let (times, _) = made([(900, 200, GOOD), (10, 200, soon), (5, 200, GOOD)]).await;
    assert_eq!(times, [0, 50, 100], "a shorter time than the delay changes nothing");
}

/// Status 14 in headers alone is a failure, and starts the next one.
#[tokio::test(start_paused = true)]
async fn a_failure_that_asks_for_nothing_is_hedged_at_once() {
    let failed = &[("grpc-status", "14")];
    let (made, _) = made([(10, 200, failed), (10, 200, failed), (5, 200, GOOD)]).await;
    assert_eq!(made, [0, 10, 20]);
}

/// A 429 is asked again nowhere but elsewhere, and there is no balancer here.
#[tokio::test(start_paused = true)]
async fn a_throttled_and_an_unsuitable_request_are_not_sent_to_the_same_service_again() {
    for status in [429, 501] {
        let web = Web::with(move |_| (10, status, &[]));
        let layer = HedgeLayer::http().delay(ms(50)).no_budget();
        let request = Request::new(Full::<Bytes>::default());
        layer.layer(web.clone()).oneshot(request).await.unwrap();
        assert_eq!((web.count(), layer.handle().snapshot().nowhere_else), (1, 1), "{status}");
    }
}
