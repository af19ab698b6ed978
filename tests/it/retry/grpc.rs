//! What a gRPC answer makes of a call, and what each attempt says of itself.

use super::{Answer, Upstream, answer, every, refused, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{ms, secs, timed};
use ::http::{Request, Response};
use std::time::Duration;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_failover::classify::GrpcClassifier;
use tower_failover::replay::Http;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Jitter};

const GET: &str = "/pkg.Svc/Get";
const WRITE: &str = "/pkg.Write/Put";

fn call(path: &str) -> Request<super::Body> {
    Request::post(path).body("message".into()).unwrap()
}

fn with_timeout(timeout: &str) -> Request<super::Body> {
    let mut request = call(GET);
    request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

/// Methods of one service may be repeated, and nothing is waited for.
fn layer() -> RetryLayer<GrpcClassifier, Http> {
    RetryLayer::grpc().idempotent(["/pkg.Svc/*"]).backoff(every(Duration::ZERO))
}

fn status<const N: usize>(code: &str, headers: [(&str, &str); N]) -> Answer {
    let mut answer = answer(200, headers);
    answer.headers_mut().insert("grpc-status", code.parse().unwrap());
    answer
}

fn ok() -> Answer {
    Response::new(super::Body::default())
}

/// How often a call of this method is sent that fails once with this code.
async fn sent(path: &str, code: &'static str) -> usize {
    let inner = upstream(move |call| Ok(if call == 1 { status(code, []) } else { ok() }));
    layer().layer(inner.clone()).oneshot(call(path)).await.unwrap();
    inner.count()
}

fn headers(inner: &Upstream, name: &str) -> Vec<Vec<String>> {
    let all = |head: &Request<()>| {
        let values = head.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    inner.notes().iter().map(all).collect()
}

/// G1, N4: the status is in the headers of a 200
#[tokio::test(start_paused = true)]
async fn unavailable_is_repeated_for_methods_declared_idempotent() {
    assert_eq!(sent(GET, "14").await, 2);
    assert_eq!(sent(WRITE, "14").await, 1);
}

/// G1
#[tokio::test(start_paused = true)]
async fn any_method_is_repeated_after_a_refused_connection() {
    for path in [GET, WRITE] {
        let inner = upstream(|call| if call == 1 { Err(refused()) } else { Ok(ok()) });
        layer().layer(inner.clone()).oneshot(call(path)).await.unwrap();
        assert_eq!(inner.count(), 2, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_resource_is_asked_again_only_where_that_is_wanted() {
    assert_eq!(sent(GET, "8").await, 2);
    assert_eq!(sent(WRITE, "8").await, 1);
    let inner = upstream(|call| Ok(if call == 1 { status("8", []) } else { ok() }));
    layer().repeat_throttled().layer(inner.clone()).oneshot(call(WRITE)).await.unwrap();
    assert_eq!(inner.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn codes_that_are_the_callers_own_are_not_repeated() {
    for code in ["0", "1", "3", "5", "6", "7", "9", "10", "11", "12", "16"] {
        assert_eq!(sent(GET, code).await, 1, "{code}");
    }
    for code in ["2", "4", "13", "15", "99"] {
        assert_eq!(sent(GET, code).await, 2, "{code}");
    }
}

/// H5
#[tokio::test(start_paused = true)]
async fn a_negative_or_unreadable_pushback_stops() {
    for never in ["-1", "abc", "", "1.5", "+5"] {
        let inner = upstream(move |_| Ok(status("14", [("grpc-retry-pushback-ms", never)])));
        let layer = layer();
        let (answer, took) = timed(layer.layer(inner.clone()).oneshot(call(GET))).await;
        assert_eq!(answer.unwrap().headers()["grpc-status"], "14");
        assert_eq!((inner.count(), took), (1, Duration::ZERO), "{never:?}");
        assert_eq!(layer.handle().snapshot().told_not_to, 1);
    }
}

/// H5
#[tokio::test(start_paused = true)]
async fn a_pushback_is_waited_for_exactly_and_starts_the_backoff_again() {
    let inner = upstream(|call| match call {
        3 => Ok(status("14", [("grpc-retry-pushback-ms", "250")])),
        6.. => Ok(ok()),
        _ => Ok(status("14", [])),
    });
    let backoff = Backoff::exponential(ms(100)).jitter(Jitter::None);
    let layer = layer().max_retries(5).backoff(backoff);
    layer.layer(inner.clone()).oneshot(call(GET)).await.unwrap();
    assert_eq!(inner.times(), [0, 100, 300, 550, 650, 850].map(ms));
}

/// H5: no jitter is added
#[tokio::test(start_paused = true)]
async fn a_pushback_has_no_jitter() {
    for _ in 0..20 {
        let inner = upstream(|call| match call {
            1 => Ok(status("14", [("grpc-retry-pushback-ms", "250")])),
            _ => Ok(ok()),
        });
        let layer = RetryLayer::grpc().idempotent([GET]);
        layer.layer(inner.clone()).oneshot(call(GET)).await.unwrap();
        assert_eq!(inner.times(), [ms(0), ms(250)]);
    }
}

/// G12
#[tokio::test(start_paused = true)]
async fn a_pushback_past_the_deadline_gives_the_answer_back_at_once() {
    for (timeout, pushback) in [("1S", "1001"), ("99999999H", "60001")] {
        let inner = upstream(move |_| Ok(status("14", [("grpc-retry-pushback-ms", pushback)])));
        let (_, took) = timed(layer().layer(inner.clone()).oneshot(with_timeout(timeout))).await;
        assert_eq!((inner.count(), took), (1, Duration::ZERO));
    }
}

/// D15
#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_the_time_that_is_left() {
    let inner = upstream(|_| Ok(status("14", []))).taking(secs(1));
    let layer = layer().max_retries(9);
    let service = layer.layer(inner.clone());
    let (answer, took) = timed(service.oneshot(with_timeout("2500m"))).await;
    assert!(answer.is_ok());
    assert_eq!(took, secs(3), "an attempt in flight is not cut");
    assert_eq!(headers(&inner, "grpc-timeout"), [["2500m"], ["1500000u"], ["500000u"]]);
    assert_eq!(layer.handle().snapshot().out_of_time, 1);
}

/// D15
#[tokio::test(start_paused = true)]
async fn a_timeout_outside_ends_a_call_in_time() {
    let inner = upstream(|_| Ok(status("14", []))).taking(secs(1));
    let builder = ServiceBuilder::new().timeout(ms(2_500)).layer(layer().max_retries(9));
    let (answer, took) = timed(builder.service(inner.clone()).oneshot(with_timeout("2500m"))).await;
    assert!(answer.unwrap_err().is::<tower::timeout::error::Elapsed>());
    assert_eq!((took, inner.count()), (ms(2_500), 3));
}

#[tokio::test(start_paused = true)]
async fn a_stricter_deadline_is_what_the_first_attempt_is_told() {
    let inner = upstream(|_| Ok(ok()));
    let layer = layer().deadline(secs(1));
    layer.layer(inner.clone()).oneshot(with_timeout("5S")).await.unwrap();
    layer.layer(inner.clone()).oneshot(with_timeout("500m")).await.unwrap();
    layer.layer(inner.clone()).oneshot(call(GET)).await.unwrap();
    let none: [&str; 0] = [];
    assert_eq!(
        headers(&inner, "grpc-timeout"),
        [&["1000000u"][..], &["500m"], &none],
        "a call that came without a timeout gets none"
    );
}

/// G11
#[tokio::test(start_paused = true)]
async fn attempts_after_the_first_say_once_how_many_came_before() {
    let inner = upstream(|_| Ok(status("14", [])));
    let service = layer().max_retries(4).layer(inner.clone());
    service.oneshot(call(GET)).await.unwrap();
    let none: [&str; 0] = [];
    assert_eq!(
        headers(&inner, "grpc-previous-rpc-attempts"),
        [&none[..], &["1"], &["2"], &["3"], &["4"]]
    );
}

/// G11
#[tokio::test(start_paused = true)]
async fn nested_layers_count_the_attempts_before_together() {
    let inner = upstream(|_| Ok(status("14", [])));
    let layers = (layer().max_retries(2), layer().max_retries(1));
    let service = layers.0.layer(layers.1.layer(inner.clone()));
    service.oneshot(with_timeout("1S")).await.unwrap();
    let previous = headers(&inner, "grpc-previous-rpc-attempts");
    assert_eq!(previous.concat(), ["1", "2"]);
    assert!(headers(&inner, "grpc-timeout").iter().all(|values| values.len() == 1));
}
