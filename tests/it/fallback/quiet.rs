//! What a fallback says in events, and what it keeps to itself.

use super::*;
use tower::Layer;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::replay::CopyWith;
use tower_failover::{Budget, Ratio, RequestPolicy};

fn made(_: Failed<Answer>) -> Answer {
    status(200)
}

/// An account that nothing can be withdrawn from.
fn empty() -> Budget {
    Budget::new().ratio(Ratio::percent::<0>()).min_per_second(0)
}

#[tokio::test]
async fn an_answer_that_was_made_is_an_event() {
    for (code, outcome) in [(500, "failure"), (429, "throttled"), (501, "unsuitable")] {
        let expected = [format!("fallback: answered instead name=\"page\" outcome=\"{outcome}\"")];
        let value = FallbackLayer::http().name("page").value(made).layer(always(code));
        assert_eq!(Log::of(value.oneshot(get())).await, expected);
        let response = FallbackLayer::http().name("page").respond(made).layer(always(code));
        assert_eq!(Log::of(response.oneshot(get())).await, expected);
    }
}

#[tokio::test]
async fn a_layer_without_a_name_is_called_fallback() {
    let unavailable = FallbackLayer::grpc().unavailable().layer(failing(refused));
    assert_eq!(
        Log::of(unavailable.oneshot(post())).await,
        [r#"fallback: answered instead name="fallback" outcome="refused""#]
    );
}

#[tokio::test]
async fn the_switch_to_a_backup_is_an_event() {
    let service = FallbackLayer::http().name("second").service(always(200)).layer(always(429));
    assert_eq!(
        Log::of(service.oneshot(get())).await,
        [r#"fallback: switching to the backup name="second" outcome="throttled""#]
    );
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_fails_too_is_an_event_with_the_first_outcome() {
    let expected = [
        r#"fallback: switching to the backup name="second" outcome="failure""#,
        r#"fallback: the backup failed too name="second" outcome="failure""#,
    ];
    let layer = || FallbackLayer::http().name("second");
    let broken = layer().service(failing(refused)).layer(always(500));
    assert_eq!(Log::of(broken.oneshot(get())).await, expected);
    let first_result = layer().service(failing(refused)).first_result().layer(always(500));
    assert_eq!(Log::of(first_result.oneshot(get())).await, expected);
    let unready = layer().service(super::poll_ready::unready_at_first("no")).layer(always(500));
    assert_eq!(Log::of(unready.oneshot(get())).await, expected);
    let slow = Scripted::doing(|_: Request<_>, _| pending::<Result<Answer, BoxError>>());
    let late = layer().service(slow).layer(always(500));
    assert_eq!(Log::of(late.oneshot(get())).await, expected);
}

#[tokio::test]
async fn a_request_that_must_not_be_sent_twice_is_an_event() {
    let service = FallbackLayer::http().service(always(200)).layer(always(500));
    assert_eq!(
        Log::of(service.oneshot(post())).await,
        [r#"fallback: not repeatable name="fallback" outcome="failure""#]
    );
}

#[tokio::test]
async fn a_request_that_can_not_be_copied_is_an_event() {
    let answer = |_: u64, _| async { Ok::<_, BoxError>(9) };
    let broken = Scripted::doing(|_: u64, _| async { Err::<i32, BoxError>("broken".into()) });
    let unique = CopyWith::new(|_: &u64| None);
    let service =
        FallbackLayer::plain().service(Scripted::doing(answer)).kind(unique).layer(broken);
    assert_eq!(
        Log::of(service.oneshot(1)).await,
        [r#"fallback: not replayable name="fallback" outcome="failure""#]
    );
}

/// G7
#[tokio::test]
async fn a_body_that_was_too_long_to_keep_is_an_event() {
    let reading = Scripted::doing(|request: Request<_>, _| async move {
        let body: tower_failover::replay::ReplayBody<Full<Bytes>> = request.into_body();
        body.collect().await?;
        Ok::<_, BoxError>(status(500))
    });
    let service = FallbackLayer::http().service(always(200)).replay_limit(3).layer(reading);
    let events = Log::of(service.oneshot(get())).await;
    assert!(events[0].starts_with("replay: body too long to keep"), "{events:?}");
    assert_eq!(events[1..], [r#"fallback: not replayable name="fallback" outcome="failure""#]);
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_an_event() {
    let layer = FallbackLayer::http().service(always(200)).budget(empty());
    assert_eq!(
        Log::of(layer.layer(always(503)).oneshot(get())).await,
        [r#"fallback: out of budget name="fallback" outcome="failure""#]
    );
}

/// M7
#[tokio::test]
async fn what_is_passed_on_is_no_event() {
    let layer = FallbackLayer::http().on(throttled);
    let backed_up = layer.clone().service(always(299));
    let layer = layer.value(made);
    let none = Vec::<String>::new();
    for code in [200, 404, 500] {
        assert_eq!(Log::of(layer.layer(always(code)).oneshot(get())).await, none, "{code}");
        assert_eq!(Log::of(backed_up.layer(always(code)).oneshot(get())).await, none, "{code}");
    }
    assert_eq!(Log::of(layer.layer(failing(refused)).oneshot(get())).await, none);
    assert_eq!(Log::of(backed_up.layer(failing(refused)).oneshot(get())).await, none);
    let mut forbidding = get();
    forbidding.extensions_mut().insert(RequestPolicy::new().no_fallback());
    assert_eq!(Log::of(layer.layer(always(429)).oneshot(forbidding.clone())).await, none);
    assert_eq!(Log::of(backed_up.layer(always(429)).oneshot(forbidding)).await, none);
}

const SECRET: &str = "s3cr3t";

/// A request that has it everywhere.
fn secret_request(method: Method) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://me:{SECRET}@host/{SECRET}?key={SECRET}"))
        .header("authorization", SECRET)
        .body(Full::from(SECRET))
        .unwrap()
}

fn secret_answer(code: u16) -> Answer {
    let answer = Response::builder().status(code).header("set-cookie", SECRET);
    answer.body(Full::from(SECRET)).unwrap()
}

/// A service that reads its request whole, and answers with this status.
fn reading<B>(code: u16) -> Inner<B>
where
    B: http_body::Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
{
    Scripted::doing(move |request: Request<B>, _| async move {
        let _ = request.into_body().collect().await;
        Ok(secret_answer(code))
    })
}

/// M2, M3
#[tokio::test]
async fn no_event_tells_what_is_in_a_request_an_answer_or_an_error() {
    let http = FallbackLayer::http;
    let get = || secret_request(Method::GET);
    let broken = || SECRET;
    let value = http().value_keeping(
        |request: &Request<Full<Bytes>>| request.uri().to_string(),
        |failed: Failed<Answer, String>| failed.result.unwrap_or_else(|_| secret_answer(200)),
    );
    let events = Log::of(async {
        for code in [200, 500] {
            let _ = value.layer(reading(code)).oneshot(get()).await;
            let _ = http().service(failing(broken)).layer(reading(code)).oneshot(get()).await;
        }
        let _ = value.layer(failing(broken)).oneshot(get()).await;
        let _ = http().service(reading(200)).layer(failing(broken)).oneshot(get()).await;
        let _ = http().service(failing(broken)).layer(failing(broken)).oneshot(get()).await;
        let post = secret_request(Method::POST);
        let _ = http().service(reading(200)).layer(reading(500)).oneshot(post).await;
        let short = http().service(reading(200)).replay_limit(1);
        let _ = short.layer(reading(500)).oneshot(get()).await;
        let unpaid = http().service(reading(200)).budget(empty());
        let _ = unpaid.layer(reading(500)).oneshot(get()).await;
    })
    .await;
    for what in [
        "answered instead",
        "switching to the backup",
        "the backup failed too",
        "not repeatable",
        "body too long to keep",
        "not replayable",
        "out of budget",
    ] {
        assert!(events.iter().any(|event| event.contains(what)), "{what} in {events:?}");
    }
    assert!(!events.iter().any(|event| event.contains(SECRET)), "{events:?}");
}
