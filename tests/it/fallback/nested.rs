//! What travels from the first service to the backup: the record of the attempts, and the time left.

use super::*;
use tower::{Layer, ServiceBuilder};
use tower_failover::fallback::FallbackLayer;
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;
use tower_failover::{Attempts, Deadline, Refusal};

/// A body that two retries keep.
type Twice = ReplayBody<ReplayBody<Full<Bytes>>>;

/// How often the first service and the backup are called for one request, each behind two retries.
async fn calls_behind_retries(first: Inner<Twice>) -> (usize, usize) {
    let backup = always(500);
    let (first_calls, calls) = (first.clone(), backup.clone());
    let retry = || RetryLayer::http().max_retries(2);
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(retry().layer(backup)))
        .layer(retry())
        .service(first);
    ask(&service, get()).await.unwrap();
    (first_calls.count(), calls.count())
}

/// G2
#[tokio::test(start_paused = true)]
async fn the_backups_own_retries_count_with_those_before() {
    let calls = calls_behind_retries(always(500)).await;
    assert_eq!(calls, (3, 1), "all retries were used up before");
}

/// G2
#[tokio::test(start_paused = true)]
async fn the_backups_own_retries_are_there_when_none_was_used_before() {
    let calls = calls_behind_retries(failing(Refusal::new)).await;
    assert_eq!(calls, (1, 3));
}

/// G2: also where the first service could not even be asked
#[tokio::test(start_paused = true)]
async fn an_outer_retry_bounds_the_backups_retries_when_the_first_is_never_ready() {
    let backup = always(500);
    let calls = backup.clone();
    let backup = ServiceBuilder::new().layer(RetryLayer::http().max_retries(2)).service(backup);
    let mut service = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(2))
        .layer(FallbackLayer::http().service(backup))
        .service(always(200).gates(|_| Gate::Broken("broken")));
    // a balancer or a buffer may well poll twice
    for _ in 0..2 {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
    }
    service.call(get()).await.unwrap();
    assert_eq!(calls.count(), 3);
}

/// Takes no record out of its requests, and says so when it finds one.
fn free_of_records<B: 'static>(code: u16) -> Inner<B> {
    Scripted::doing(move |request: Request<B>, _| {
        assert!(request.extensions().get::<Attempts>().is_none(), "a record leaked");
        std::future::ready(Ok(status(code)))
    })
}

#[tokio::test(start_paused = true)]
async fn no_record_gets_to_either_service() {
    let plain = ServiceBuilder::new()
        .layer(RetryLayer::http())
        .layer(FallbackLayer::http().service(free_of_records(500)))
        .service(free_of_records(500));
    ask(&plain, get()).await.unwrap();

    // a reader on one side only
    let reading = ServiceBuilder::new().layer(RetryLayer::http()).service(free_of_records(500));
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(free_of_records(500)))
        .service(reading);
    ask(&service, get()).await.unwrap();
    let reading = ServiceBuilder::new().layer(RetryLayer::http()).service(free_of_records(500));
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().service(reading))
        .service(free_of_records(500));
    ask(&service, get()).await.unwrap();
}

fn header<B>(request: &Request<B>, name: &str) -> Option<String> {
    request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// D15, G11
#[tokio::test(start_paused = true)]
async fn a_backup_is_told_how_much_time_is_left() {
    let first = Scripted::doing(|request: Request<_>, _| async move {
        assert_eq!(header(&request, "grpc-timeout").as_deref(), Some("1S"));
        assert_eq!(header(&request, "grpc-previous-rpc-attempts"), None);
        sleep(ms(400)).await;
        Ok::<_, BoxError>(status(429))
    });
    let backup = Scripted::doing(|request: Request<_>, _| async move {
        assert_eq!(header(&request, "grpc-timeout").as_deref(), Some("600000u"));
        assert_eq!(header(&request, "grpc-previous-rpc-attempts").as_deref(), Some("1"));
        Ok::<_, BoxError>(status(200))
    });
    let service = ServiceBuilder::new().layer(FallbackLayer::http().service(backup)).service(first);
    let mut request = post();
    request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
    assert_eq!(ask(&service, request).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_stricter_deadline_of_the_request_counts_for_the_backup_too() {
    let backup = Scripted::doing(|request: Request<_>, _| async move {
        assert_eq!(header(&request, "grpc-timeout").as_deref(), Some("50000000n"));
        Ok::<_, BoxError>(status(200))
    });
    let first = Scripted::doing(|_: Request<_>, _| async move {
        sleep(ms(100)).await;
        Ok::<_, BoxError>(status(429))
    });
    let service = ServiceBuilder::new().layer(FallbackLayer::http().service(backup)).service(first);
    let mut request = post();
    request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
    request.extensions_mut().insert(Deadline::within(ms(150)));
    assert_eq!(ask(&service, request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_without_a_timeout_gets_none() {
    let backup = Scripted::doing(|request: Request<_>, _| async move {
        assert_eq!(header(&request, "grpc-timeout"), None);
        Ok::<_, BoxError>(status(200))
    });
    let service =
        ServiceBuilder::new().layer(FallbackLayer::http().service(backup)).service(always(429));
    assert_eq!(ask(&service, post()).await.unwrap().status(), 200);
}
