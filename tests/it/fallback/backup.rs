//! A backup service: when it is called, with what, and what becomes of its errors.

use super::*;
use crate::kit::settings::Watch as _;
use futures_util::FutureExt;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use tower::{Layer, ServiceBuilder, load_shed::LoadShedLayer, service_fn};
use tower_failover::fallback::{BackupTimeout, Degraded, FallbackFailed, FallbackLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{Budget, Refusal, RequestPolicy};

#[tokio::test]
async fn a_backup_is_sent_the_same_request() {
    let backup = Scripted::doing(|request: Request<_>, _| async move {
        let (head, body): (_, tower_failover::replay::ReplayBody<Full<Bytes>>) =
            request.into_parts();
        assert_eq!((head.method, head.uri.path()), (Method::PUT, "/work"));
        let body = body.collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::new(Full::from(body)))
    });
    let layer = FallbackLayer::http().name("second").service(backup);
    // the first service reads half of the upload before it fails
    let first = Scripted::doing(|mut request: Request<_>, _| async move {
        let body: &mut tower_failover::replay::ReplayBody<_> = request.body_mut();
        assert!(body.frame().await.is_some());
        Ok::<_, BoxError>(status(500))
    });
    let answer = layer.layer(first).oneshot(request(Method::PUT)).await.unwrap();
    let degraded = answer.extensions().get::<Degraded>().unwrap();
    assert_eq!((degraded.by(), degraded.because()), ("second", Outcome::Failure));
    assert_eq!(text(answer).await, "upload");
}

#[tokio::test]
async fn a_backup_is_not_called_while_all_is_well() {
    let backup = always(200);
    let calls = backup.clone();
    let service = FallbackLayer::http().service(backup).layer(always(204));
    assert_eq!(ask(&service, get()).await.unwrap().status(), 204);
    assert_eq!(calls.count(), 0);
}

/// Two layers, each with its own predicate: "throttled: other provider", "unsuitable: larger model".
#[tokio::test]
async fn a_chain_sends_each_outcome_to_its_own_backup() {
    for (code, answered_by) in
        [(200, None), (404, None), (429, Some("provider")), (501, Some("model")), (500, None)]
    {
        let service = ServiceBuilder::new()
            .layer(FallbackLayer::http().name("provider").on(throttled).service(always(201)))
            .layer(
                FallbackLayer::http()
                    .name("model")
                    .on(|outcome| outcome == Outcome::Unsuitable)
                    .service(always(202)),
            )
            .service(always(code));
        let answer = ask(&service, post()).await.unwrap();
        let by = answer.extensions().get::<Degraded>().map(|degraded| degraded.by().to_owned());
        assert_eq!(by.as_deref(), answered_by, "after a {code}");
    }
}

#[tokio::test]
async fn a_chain_goes_on_when_its_first_backup_fails_by_the_others_predicate() {
    let larger = always(429);
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::http().name("provider").on(throttled).service(always(201)))
        .layer(FallbackLayer::http().name("model").service(larger))
        .service(always(501));
    let answer = ask(&service, get()).await.unwrap();
    assert_eq!(answer.extensions().get::<Degraded>().unwrap().by(), "provider");
    assert_eq!(text(answer).await, "201");
}

/// G1
#[tokio::test]
async fn a_backup_is_sent_only_what_may_be_sent_twice() {
    let idempotent = |mut request: Request<_>| {
        request.extensions_mut().insert(RequestPolicy::new().idempotent());
        request
    };
    let keyed = |mut request: Request<_>| {
        request.headers_mut().insert("idempotency-key", "1".parse().unwrap());
        request
    };
    let cases = [
        ("GET after 500", get(), always(500).erased(), true),
        ("POST after 500", post(), always(500).erased(), false),
        ("POST after 503", post(), always(503).erased(), false),
        ("POST after 429", post(), always(429).erased(), true),
        ("POST after 501", post(), always(501).erased(), true),
        ("POST after refused", post(), failing(refused).erased(), true),
        ("POST after an error", post(), failing(|| "broken").erased(), false),
        ("POST after a local refusal", post(), failing(Refusal::new).erased(), true),
        ("idempotent POST after 500", idempotent(post()), always(500).erased(), true),
        ("keyed POST after 500", keyed(post()), always(500).erased(), true),
        ("CONNECT after 500", request(Method::CONNECT), always(500).erased(), false),
    ];
    for (case, request, first, sent) in cases {
        let backup = always(200);
        let calls = backup.clone();
        let layer = FallbackLayer::http().service(backup);
        let handle = layer.handle();
        let result = layer.layer(first).oneshot(request).await;
        assert_eq!(calls.count(), usize::from(sent), "{case}");
        assert_eq!(result.is_ok_and(|answer| answer.status() == 200), sent, "{case}");
        let counts = handle.snapshot();
        assert_eq!((counts.answered, counts.withheld), (u64::from(sent), u64::from(!sent)));
    }
}

type Replayed = Request<tower_failover::replay::ReplayBody<Full<Bytes>>>;
type Boxed = tower::util::BoxCloneService<Replayed, Answer, BoxError>;

trait Erase {
    fn erased(self) -> Boxed;
}

impl<S> Erase for S
where
    S: Service<Replayed, Response = Answer, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    fn erased(self) -> Boxed {
        Boxed::new(self)
    }
}

#[tokio::test]
async fn a_request_that_forbids_it_is_not_sent_to_the_backup() {
    let backup = always(200);
    let calls = backup.clone();
    let service = FallbackLayer::http().service(backup).layer(always(500));
    let mut request = get();
    request.extensions_mut().insert(RequestPolicy::new().no_fallback());
    assert_eq!(ask(&service, request).await.unwrap().status(), 500);
    assert_eq!(calls.count(), 0);
}

#[tokio::test]
async fn only_errors_go_to_the_backup_when_told_so() {
    let layer = FallbackLayer::http().only_errors().service(always(200));
    assert_eq!(layer.layer(always(500)).oneshot(get()).await.unwrap().status(), 500);
    assert_eq!(layer.layer(failing(refused)).oneshot(get()).await.unwrap().status(), 200);
}

/// K9
#[tokio::test]
async fn a_backup_that_fails_tells_its_error_with_the_first_one_behind_it() {
    let layer = FallbackLayer::http().service(failing(|| "second"));
    let handle = layer.handle();
    let error = layer.layer(failing(|| "first")).oneshot(get()).await.unwrap_err();
    let failed = error.downcast_ref::<FallbackFailed>().unwrap();
    assert_eq!(failed.error().to_string(), "second");
    assert_eq!(failed.source().unwrap().to_string(), "first");
    let counts = handle.snapshot();
    assert_eq!((counts.failure, counts.answered, counts.failed), (1, 0, 1));
}

#[tokio::test]
async fn a_failed_answer_of_the_backup_is_its_answer() {
    let layer = FallbackLayer::http().service(always(502));
    let answer = layer.layer(always(500)).oneshot(get()).await.unwrap();
    assert!(answer.extensions().get::<Degraded>().is_some());
    assert_eq!(text(answer).await, "502");
}

#[tokio::test]
async fn the_first_result_comes_back_when_told_so_and_the_backup_fails() {
    let layer = FallbackLayer::http().service(failing(|| "second")).first_result();
    let answer = layer.layer(always(503)).oneshot(get()).await.unwrap();
    assert!(answer.extensions().get::<Degraded>().is_none(), "it is the first service's own");
    assert_eq!(text(answer).await, "503");
    let error = layer.layer(failing(|| "first")).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), "first");
}

/// B7
#[tokio::test]
async fn a_backup_that_panics_is_counted_as_failed_and_the_next_call_works() {
    let backup = Scripted::doing(|_: u64, number| async move {
        assert_ne!(number, 1, "on purpose");
        Ok::<_, BoxError>(9)
    });
    let layer = FallbackLayer::plain().service(backup);
    let handle = layer.handle();
    let service =
        layer.layer(Scripted::doing(|_: u64, _| async { Err::<i32, BoxError>("broken".into()) }));
    assert!(AssertUnwindSafe(ask(&service, 1)).catch_unwind().await.is_err());
    let counts = handle.snapshot();
    assert_eq!((counts.failure, counts.answered, counts.failed), (1, 0, 1));
    assert_eq!(ask(&service, 1).await.unwrap(), 9);
    assert_eq!(handle.snapshot().answered, 1);
}

/// B7: in `call`
#[tokio::test]
async fn a_backup_that_panics_before_its_future_is_counted_as_failed() {
    let layer = FallbackLayer::plain().service(service_fn(
        |_: u64| -> std::future::Ready<Result<u64, BoxError>> { panic!("on purpose") },
    ));
    let handle = layer.handle();
    let service =
        layer.layer(Scripted::doing(|_: u64, _| async { Err::<u64, BoxError>("broken".into()) }));
    let mut call = Box::pin(ask(&service, 1));
    assert!(AssertUnwindSafe(&mut call).catch_unwind().await.is_err());
    assert_eq!(handle.snapshot().failed, 1);
}

/// The primary's refusal is not the fallback's: an outer layer must not repeat what the backup may
/// have done.
#[tokio::test(start_paused = true)]
async fn a_failed_fallback_is_judged_by_its_own_error() {
    for (what, first_error) in
        [("connect", BoxError::from(refused())), ("local", BoxError::from(Refusal::new()))]
    {
        let first_error = Arc::new(std::sync::Mutex::new(Some(first_error)));
        let first = Scripted::doing(move |_: Request<_>, _| {
            let error = first_error.lock().unwrap().take().expect("called once");
            async move { Err::<Answer, BoxError>(error) }
        });
        let backup = failing(|| "broken");
        let (first_calls, calls) = (first.clone(), backup.clone());
        let service = ServiceBuilder::new()
            .layer(RetryLayer::http())
            .layer(FallbackLayer::http().service(backup))
            .service(first);
        let error = ask(&service, post()).await.unwrap_err();
        assert!(error.is::<FallbackFailed>());
        assert_eq!((first_calls.count(), calls.count()), (1, 1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_neither_took_may_be_sent_again() {
    let (first, backup) = (failing(refused), failing(refused));
    let (first_calls, calls) = (first.clone(), backup.clone());
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().max_retries(2))
        .layer(FallbackLayer::http().service(backup))
        .service(first);
    ask(&service, post()).await.unwrap_err();
    assert_eq!((first_calls.count(), calls.count()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_overload_inside_goes_straight_to_the_backup_and_costs_nothing() {
    let budget = Budget::new();
    let retry = RetryLayer::http().budget(budget.clone());
    let fallback = FallbackLayer::http().service(always(200)).budget(budget.clone());
    let (retries, handle) = (retry.handle(), fallback.handle());
    let service = ServiceBuilder::new()
        .layer(fallback)
        .layer(retry)
        .layer(LoadShedLayer::new())
        .service(always(200).gates(|_| Gate::Shut));
    let (watch, before) = (now(), budget.balance());
    let answer = ask(&service, post()).await.unwrap();
    assert_eq!(watch.elapsed(), Duration::ZERO);
    assert_eq!(budget.balance(), before);
    assert_eq!((retries.snapshot().retries, retries.snapshot().nowhere_else), (0, 1));
    assert_eq!((handle.snapshot().refused, handle.snapshot().answered), (1, 1));
    assert_eq!(answer.extensions().get::<Degraded>().unwrap().because(), Outcome::Refused);
    assert_eq!(text(answer).await, "200");
}

#[tokio::test]
async fn a_backup_whose_readiness_fails_has_failed() {
    let backup = super::poll_ready::unready_at_first("not up");
    let layer = FallbackLayer::http().service(backup);
    let handle = layer.handle();
    let error = layer.layer(always(500)).oneshot(get()).await.unwrap_err();
    assert_eq!(error.downcast_ref::<FallbackFailed>().unwrap().error().to_string(), "not up");
    assert_eq!(handle.snapshot().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_the_own_error_of_the_fallback() {
    let backup = Scripted::doing(|_: Request<_>, _| async {
        sleep(ms(60_000)).await;
        Ok::<_, BoxError>(status(200))
    });
    let service = FallbackLayer::http().service(backup).layer(failing(|| "first"));
    let error = ask(&service, get()).await.unwrap_err();
    let failed = error.downcast_ref::<FallbackFailed>().unwrap();
    assert!(failed.error().is::<BackupTimeout>());
    assert_eq!(failed.error().to_string(), "the backup did not answer within 2s");
    assert_eq!(failed.source().unwrap().to_string(), "first");
}
