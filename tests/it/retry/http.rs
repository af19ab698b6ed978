//! What an HTTP answer makes of a request.

use super::{Answer, answer, every, refused, request, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{ms, secs, timed};
use ::http::StatusCode;
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_failover::classify::HttpClassifier;
use tower_failover::retry::{RetryLayer, RetrySnapshot};
use tower_failover::{BoxError, Outcome, RequestPolicy};

/// A retry layer whose only delays are those that were asked for.
fn impatient() -> RetryLayer<HttpClassifier, tower_failover::replay::Http> {
    RetryLayer::http().backoff(every(Duration::ZERO))
}

/// How often a request is sent where the first answer is this one and all others are good.
async fn sent(request: ::http::Request<super::Body>, first: Result<Answer, BoxError>) -> usize {
    let mut first = Some(first);
    let inner = upstream(move |_| first.take().unwrap_or(Ok(answer(200, []))));
    let _ = impatient().layer(inner.clone()).oneshot(request).await;
    inner.count()
}

/// What a GET meets that is throttled with this `Retry-After`: the attempts and the time.
async fn throttled(retry_after: &'static str) -> (usize, Duration, RetrySnapshot) {
    let inner = upstream(move |call| match call {
        1 => Ok(answer(429, [("retry-after", retry_after)])),
        _ => Ok(answer(200, [])),
    });
    let layer = RetryLayer::http();
    let (answer, took) = timed(layer.layer(inner.clone()).oneshot(request("GET"))).await;
    assert_eq!(answer.unwrap().status() == 200, inner.count() == 2);
    (inner.count(), took, layer.handle().snapshot())
}

#[tokio::test(start_paused = true)]
async fn a_second_that_is_asked_for_is_waited_for() {
    for _ in 0..100 {
        let (calls, took, _) = throttled("1").await;
        assert_eq!(calls, 2);
        assert!((secs(1)..=ms(1_101)).contains(&took), "{took:?}");
    }
}

/// G13: jitter stands on top of a hint
#[tokio::test(start_paused = true)]
async fn requests_that_were_asked_to_wait_do_not_come_back_in_step() {
    let (_, one, _) = throttled("10").await;
    let (_, other, _) = throttled("10").await;
    let (_, third, _) = throttled("10").await;
    assert!(one != other || other != third, "{one:?}");
}

/// G12, M12
#[tokio::test(start_paused = true)]
async fn a_delay_past_the_deadline_gives_up_at_once_with_the_real_answer() {
    for max_hint in [secs(60), secs(600)] {
        let inner = upstream(|_| Ok(answer(429, [("retry-after", "107"), ("x-request", "a")])));
        let layer = RetryLayer::http().deadline(secs(5)).max_hint(max_hint);
        let (answer, took) = timed(layer.layer(inner.clone()).oneshot(request("GET"))).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status(), took), (StatusCode::TOO_MANY_REQUESTS, Duration::ZERO));
        assert_eq!((answer.headers()["x-request"].as_bytes(), inner.count()), (&b"a"[..], 1));
        let why = layer.handle().snapshot();
        assert_eq!(why.told_to_wait_too_long + why.out_of_time, 1);
    }
}

/// H1, M12
#[tokio::test(start_paused = true)]
async fn a_delay_too_large_for_a_number_gives_up_at_once() {
    for endless in ["1000000000000000000", "100000000000000000000", "18446744073709551616", "61"] {
        let (calls, took, why) = throttled(endless).await;
        assert_eq!((calls, took), (1, Duration::ZERO), "{endless}");
        assert_eq!(why.told_to_wait_too_long, 1);
    }
}

/// H2, H3
#[tokio::test(start_paused = true)]
async fn zero_and_past_dates_are_not_waited_for() {
    for past in [
        "0",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        let (calls, took, _) = throttled(past).await;
        assert_eq!((calls, took), (2, Duration::ZERO), "{past}");
    }
}

/// H2
#[tokio::test(start_paused = true)]
async fn a_delay_that_can_not_be_read_leaves_the_backoff() {
    for junk in ["-3", "+5", "1.5", "1e3", "5, 6", "soon", ""] {
        let (calls, took, _) = throttled(junk).await;
        assert_eq!(calls, 2, "{junk:?}");
        assert!(took <= ms(101), "{junk:?}: {took:?}");
    }
}

/// D1
#[tokio::test(start_paused = true)]
async fn a_date_is_read_against_the_clock_of_the_server() {
    let inner = upstream(|call| match call {
        1 => Ok(answer(
            503,
            [
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"),
            ],
        )),
        _ => Ok(answer(200, [])),
    });
    impatient().layer(inner.clone()).oneshot(request("GET")).await.unwrap();
    assert_eq!(inner.times(), [secs(0), secs(3)]);
}

#[tokio::test(start_paused = true)]
async fn over_several_answers_the_latest_delay_counts() {
    let inner = upstream(|call| match call {
        1 => Ok(answer(429, [("retry-after", "5")])),
        2 => Ok(answer(503, [("retry-after", "1")])),
        3 => Ok(answer(503, [])),
        _ => Ok(answer(200, [])),
    });
    let layer = RetryLayer::http().max_retries(3).backoff(every(ms(100)));
    layer.layer(inner.clone()).oneshot(request("GET")).await.unwrap();
    assert_eq!(inner.times(), [secs(0), secs(5), secs(6), ms(6_100)]);
}

/// H6
#[tokio::test(start_paused = true)]
async fn a_delay_on_an_answer_that_is_no_throttle_is_ignored() {
    for status in [200, 404] {
        let inner = upstream(move |_| Ok(answer(status, [("retry-after", "9")])));
        let (got, took) = timed(impatient().layer(inner.clone()).oneshot(request("GET"))).await;
        assert_eq!((got.unwrap().status().as_u16(), took), (status, Duration::ZERO));
        assert_eq!(inner.count(), 1);
    }
    let inner =
        upstream(|call| Ok(answer(if call == 1 { 500 } else { 200 }, [("retry-after", "9")])));
    let (_, took) = timed(impatient().layer(inner.clone()).oneshot(request("GET"))).await;
    assert_eq!((inner.count(), took), (2, Duration::ZERO));
}

/// D4
#[tokio::test(start_paused = true)]
async fn the_longest_delay_that_is_waited_for_is_a_knob() {
    let inner =
        upstream(|call| Ok(answer(if call == 1 { 429 } else { 200 }, [("retry-after", "90")])));
    let layer = impatient().max_hint(secs(90));
    let (_, took) = timed(layer.layer(inner.clone()).oneshot(request("GET"))).await;
    assert_eq!((inner.count(), took), (2, secs(90)));

    let inner = upstream(|_| Ok(answer(429, [("retry-after", "18446744073709551615")])));
    let call = impatient().max_hint(Duration::MAX).layer(inner.clone()).oneshot(request("GET"));
    assert!(tokio::time::timeout(secs(86_400), call).await.is_err(), "it waits, as it was told");
    assert_eq!(inner.count(), 1);
}

/// G1
#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_only_where_it_was_not_taken() {
    let post = || request("POST");
    assert_eq!(sent(post(), Ok(answer(500, []))).await, 1);
    assert_eq!(sent(post(), Ok(answer(502, []))).await, 1);
    assert_eq!(sent(post(), Ok(answer(503, []))).await, 1);
    assert_eq!(sent(post(), Ok(answer(503, [("retry-after", "1")]))).await, 1);
    assert_eq!(sent(post(), Ok(answer(408, []))).await, 1);
    assert_eq!(sent(post(), Ok(answer(425, []))).await, 1);
    assert_eq!(sent(post(), Err("the connection broke".into())).await, 1);
    assert_eq!(sent(post(), Ok(answer(429, []))).await, 2);
    assert_eq!(sent(post(), Ok(answer(429, [("retry-after", "1")]))).await, 2);
    assert_eq!(sent(post(), Err(refused())).await, 2);
}

/// G1
#[tokio::test(start_paused = true)]
async fn idempotent_requests_are_sent_again_after_any_failure() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        assert_eq!(sent(request(method), Ok(answer(500, []))).await, 2, "{method}");
    }
    for method in ["POST", "PATCH", "PURGE"] {
        assert_eq!(sent(request(method), Ok(answer(500, []))).await, 1, "{method}");
    }
    let mut keyed = request("POST");
    keyed.headers_mut().insert("idempotency-key", "7".parse().unwrap());
    assert_eq!(sent(keyed, Ok(answer(500, []))).await, 2);
}

/// N5
#[tokio::test(start_paused = true)]
async fn a_request_that_takes_the_connection_is_sent_once() {
    assert_eq!(sent(request("CONNECT"), Err(refused())).await, 1);
    let mut upgrade = request("GET");
    upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(sent(upgrade, Ok(answer(503, []))).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_can_say_that_it_may_be_repeated_or_must_not() {
    let with = |method, policy: RequestPolicy| {
        let mut request = request(method);
        request.extensions_mut().insert(policy);
        request
    };
    let failure = || Ok(answer(500, []));
    assert_eq!(sent(with("POST", RequestPolicy::new().idempotent()), failure()).await, 2);
    assert_eq!(sent(with("GET", RequestPolicy::new().no_retry()), failure()).await, 1);
    assert_eq!(sent(with("GET", RequestPolicy::new().no_retry()), Ok(answer(429, []))).await, 1);
    assert_eq!(
        sent(with("GET", RequestPolicy::new().no_hedge().no_fallback()), failure()).await,
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_is_repeated_after_any_throttle_where_that_is_wanted() {
    for (layer, expected) in [(impatient(), 1), (impatient().repeat_throttled(), 2)] {
        let inner =
            upstream(|call| Ok(answer(if call == 1 { 503 } else { 200 }, [("retry-after", "1")])));
        layer.layer(inner.clone()).oneshot(request("POST")).await.unwrap();
        assert_eq!(inner.count(), expected);
    }
    let inner = upstream(|_| Ok(answer(500, [])));
    let layer = impatient().repeat_throttled();
    layer.layer(inner.clone()).oneshot(request("POST")).await.unwrap();
    assert_eq!(inner.count(), 1, "a failure is no throttle");
}

#[tokio::test(start_paused = true)]
async fn paths_and_a_predicate_say_what_is_idempotent() {
    let layer = impatient()
        .idempotent(["/search", "/read/*"])
        .idempotent_if(|head| head.headers.contains_key("safe"));
    let count = async |path: &str, safe: bool| {
        let inner = upstream(|call| Ok(answer(if call == 1 { 500 } else { 200 }, [])));
        let mut request = request("POST");
        *request.uri_mut() = path.parse().unwrap();
        if safe {
            request.headers_mut().insert("safe", "yes".parse().unwrap());
        }
        layer.layer(inner.clone()).oneshot(request).await.unwrap();
        inner.count()
    };
    assert_eq!(count("/search?q=1", false).await, 2);
    assert_eq!(count("/read/any/thing", false).await, 2);
    assert_eq!(count("/searching", false).await, 1);
    assert_eq!(count("/write", false).await, 1);
    assert_eq!(count("/write", true).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_status_is_judged_as_it_was_told() {
    let classifier = HttpClassifier::new().status(StatusCode::CONFLICT, Outcome::Failure);
    let inner = upstream(|call| Ok(answer(if call == 1 { 409 } else { 200 }, [])));
    impatient().classify(classifier).layer(inner.clone()).oneshot(request("GET")).await.unwrap();
    assert_eq!(inner.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_refused_where_a_rule_says_so() {
    let classifier = HttpClassifier::new().refused_if(|error| error.to_string() == "not sent");
    let inner = upstream(|call| match call {
        1 => Err("not sent".into()),
        _ => Ok(answer(200, [])),
    });
    impatient().classify(classifier).layer(inner.clone()).oneshot(request("POST")).await.unwrap();
    assert_eq!(inner.count(), 2);
}

/// Only another endpoint would help, and there is none.
#[tokio::test(start_paused = true)]
async fn an_unsuitable_request_is_not_repeated_here() {
    let inner = upstream(|_| Ok(answer(501, [])));
    let layer = impatient();
    let got = layer.layer(inner.clone()).oneshot(request("GET")).await.unwrap();
    assert_eq!((got.status().as_u16(), inner.count()), (501, 1));
    assert_eq!(layer.handle().snapshot().nowhere_else, 1);
}
