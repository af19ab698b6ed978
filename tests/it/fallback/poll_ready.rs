//! Readiness: of the first service, and of the backup.

use super::*;
use crate::kit::settings::Watch as _;
use std::future::poll_fn;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, ServiceBuilder};
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::retry::RetryLayer;

/// Is not ready the first time it is polled, on any of its clones, but broken.
pub(super) fn unready_at_first<B>(error: &'static str) -> Inner<B> {
    always(200).gates(move |poll| if poll == 1 { Gate::Broken(error) } else { Gate::Open })
}

async fn ready<S: Service<Req>, Req>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

/// C5
#[tokio::test]
async fn an_error_of_readiness_is_judged_by_the_next_call() {
    let layer = FallbackLayer::http().value(|failed: Failed<Answer>| {
        assert_eq!(failed.attempts, 0, "nothing was sent");
        Response::new(Full::<Bytes>::from(failed.result.unwrap_err().to_string()))
    });
    let first = unready_at_first("no route");
    let polls = first.clone();
    let mut service = layer.layer(first);
    for _ in 0..3 {
        ready::<_, Request<Full<Bytes>>>(&mut service).await.unwrap();
        assert_eq!(polls.polls(), 1, "the error waits, nobody polls past it");
    }
    assert_eq!(text(service.call(get()).await.unwrap()).await, "no route");

    ready::<_, Request<Full<Bytes>>>(&mut service).await.unwrap();
    assert_eq!(polls.polls(), 2, "and then it is polled again");
    assert_eq!(text(service.call(get()).await.unwrap()).await, "200");
}

#[tokio::test]
async fn a_request_that_was_never_sent_may_always_go_to_the_backup() {
    for request in [post(), request(Method::CONNECT)] {
        let layer = FallbackLayer::http().service(always(201));
        let service = layer.layer(unready_at_first("no route"));
        assert_eq!(ask(&service, request).await.unwrap().status(), 201);
        assert_eq!(layer.handle().snapshot().failure, 1);
    }
}

#[tokio::test]
async fn an_error_of_readiness_that_is_not_chosen_is_returned_by_the_call() {
    let layer = FallbackLayer::http().on(throttled).service(always(201));
    let mut service = layer.layer(unready_at_first("no route"));
    ready::<_, Request<Full<Bytes>>>(&mut service).await.unwrap();
    assert_eq!(service.call(get()).await.unwrap_err().to_string(), "no route");
}

/// C9
#[tokio::test]
async fn a_clone_does_not_inherit_the_error_of_readiness() {
    let layer = FallbackLayer::http().value(|_: Failed<Answer>| status(299));
    let mut service = layer.layer(unready_at_first("no route"));
    ready::<_, Request<Full<Bytes>>>(&mut service).await.unwrap();
    let mut clone = service.clone();
    ready::<_, Request<Full<Bytes>>>(&mut clone).await.unwrap();
    assert_eq!(clone.call(get()).await.unwrap().status(), 200);
    assert_eq!(service.call(get()).await.unwrap().status(), 299);
}

/// C1, C2, C6
#[tokio::test(start_paused = true)]
async fn neither_service_is_called_unready_over_three_attempts_and_a_fallback() {
    let (first, backup) = (always(500), always(200));
    let (first_calls, calls) = (first.clone(), backup.clone());
    let mut service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(backup))
        .layer(RetryLayer::http().max_retries(2))
        .service(first);
    for round in 1..=3 {
        ready::<_, Request<Full<Bytes>>>(&mut service).await.unwrap();
        assert_eq!(service.call(get()).await.unwrap().status(), 200);
        assert_eq!((first_calls.count(), calls.count()), (3 * round, round));
    }
}

/// C1, C3: by hand, with tower's own mock on both sides
#[tokio::test(start_paused = true)]
async fn the_mocks_see_no_unready_call() {
    let (first, mut first_handle) = tower_test::mock::pair::<u64, u64>();
    let (backup, mut backup_handle) = tower_test::mock::pair::<u64, u64>();
    first_handle.allow(1);
    backup_handle.allow(0);
    let mut service = FallbackLayer::plain().service(backup).layer(first);
    ready(&mut service).await.unwrap();
    ready(&mut service).await.unwrap();
    let mut call = tokio_test::task::spawn(service.call(5));
    tokio_test::assert_pending!(call.poll());
    let (request, reply) = first_handle.next_request().await.unwrap();
    assert_eq!(request, 5);
    reply.send_error("broken");
    tokio_test::assert_pending!(call.poll(), "the backup is not ready yet");
    backup_handle.allow(1);
    assert!(call.is_woken());
    tokio_test::assert_pending!(call.poll());
    let (request, reply) = backup_handle.next_request().await.unwrap();
    assert_eq!(request, 5);
    reply.send_response(6);
    assert_eq!(tokio_test::assert_ready!(call.poll()).unwrap(), 6);
}

/// C2, C10
#[tokio::test(start_paused = true)]
async fn a_limit_of_one_on_both_sides_hangs_nobody() {
    let work = |code| async move {
        sleep(ms(10)).await;
        Ok::<_, BoxError>(status(code))
    };
    let backup = ConcurrencyLimit::new(Scripted::doing(move |_: Request<_>, _| work(200)), 1);
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(backup))
        .layer(RetryLayer::http().max_retries(1))
        .service(ConcurrencyLimit::new(Scripted::doing(move |_: Request<_>, _| work(500)), 1));
    let calls = (0..20).map(|_| ask(&service, get()));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}
