//! What compiles: bounds, inference and names. Most of it needs not even run.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::classify::{
    Classify, ErrorsOnly, Evidence, GrpcClassifier, GrpcCode, HttpClassifier,
};
use tower_failover::fallback::{
    AnswerFuture, Backup, BackupFuture, BackupTimeout, Degraded, EmptyBody, Failed, Fallback,
    FallbackBody, FallbackFailed, FallbackHandle, FallbackLayer, FallbackSnapshot, KeepNothing,
    Respond, Unavailable, Value,
};
use tower_failover::replay::{
    CopyWith, Http, HttpCopies, Plain, ReplayBody, RequestBodyLost, Same, Slot,
};
use tower_failover::retry::{Retry, RetryFuture, RetryHandle, RetryLayer, RetrySnapshot};
use tower_failover::{
    Attempts, Backoff, BoxError, Budget, Deadline, Hint, InvalidSetting, Jitter, Outcome, Policy,
    Ratio, Refusal,
};

type Body = Full<Bytes>;
type Fetch = fn(Request<ReplayBody<Body>>) -> Ready<Result<Response<Body>, BoxError>>;
type Client = tower::util::ServiceFn<Fetch>;

fn client() -> Client {
    service_fn(|_| ready(Ok(Response::new(Full::from("secret-of-the-body")))))
}

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send>(value: T) -> T {
    value
}

/// C12
#[test]
fn everything_is_send_sync_and_static() {
    shared::<Attempts>();
    shared::<Backoff>();
    shared::<Budget>();
    shared::<Deadline>();
    shared::<Hint>();
    shared::<InvalidSetting>();
    shared::<Jitter>();
    shared::<Outcome>();
    shared::<Policy>();
    shared::<Ratio>();
    shared::<Refusal>();
    shared::<ErrorsOnly>();
    shared::<GrpcClassifier>();
    shared::<HttpClassifier>();
    shared::<Evidence>();
    shared::<Plain>();
    shared::<Same>();
    shared::<CopyWith<Request<Body>>>();
    shared::<Slot<Request<Body>>>();
    shared::<Http>();
    shared::<RequestBodyLost>();
    shared::<RetryLayer<HttpClassifier, Http>>();
    shared::<Retry<Client, HttpClassifier, Http>>();
    shared::<RetryHandle>();
    shared::<RetrySnapshot>();
    shared::<FallbackLayer<Backup<Client>, HttpClassifier, Http>>();
    shared::<Fallback<Client, Backup<Client>, HttpClassifier, Http>>();
    shared::<Fallback<Client, Unavailable, GrpcClassifier, Http>>();
    shared::<FallbackHandle>();
    shared::<FallbackSnapshot>();
    shared::<FallbackFailed>();
    shared::<BackupTimeout>();
    shared::<Degraded>();
    shared::<EmptyBody>();
    shared::<FallbackBody<Body, EmptyBody>>();
    shared::<KeepNothing>();
}

/// A body that can be sent to another thread, and not used from two.
type NotSync = PhantomData<Cell<u8>>;
struct OneThread(NotSync);

impl http_body::Body for OneThread {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[test]
fn a_replayed_body_is_sync_where_its_original_is_not() {
    shared::<ReplayBody<OneThread>>();
    shared::<HttpCopies<OneThread>>();
}

/// C11, C12
#[tokio::test]
async fn futures_are_send_with_answers_that_are_not_sync() {
    #[derive(Clone)]
    struct Inner;

    impl<Req> Service<Req> for Inner {
        type Response = Response<OneThread>;
        type Error = BoxError;
        type Future = Ready<Result<Self::Response, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Req) -> Self::Future {
            ready(Ok(Response::new(OneThread(PhantomData))))
        }
    }

    let request = || Request::new(OneThread(PhantomData));
    let retry = RetryLayer::http().layer(Inner);
    sent(retry.clone().oneshot(request())).await.unwrap();
    let service = FallbackLayer::http().service(Inner).layer(retry.clone());
    sent(service.oneshot(request())).await.unwrap();
    let respond = FallbackLayer::http()
        .respond(|_: Failed<Response<OneThread>>| Response::new(OneThread(PhantomData)));
    let Ok(_) = sent(respond.layer(retry).oneshot(request())).await;
}

/// An error that stays on its thread and can't be copied.
#[derive(Debug)]
struct Local(#[expect(dead_code, reason = "it only has to be there")] Rc<Cell<u8>>);

/// C11, L8
#[tokio::test(start_paused = true)]
async fn a_retry_takes_errors_and_requests_that_stay_on_their_thread() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let calls = Rc::new(Cell::new(0));
            let counted = calls.clone();
            let inner = service_fn(move |request: Rc<str>| {
                let counted = counted.clone();
                async move {
                    counted.set(counted.get() + 1);
                    if counted.get() < 3 { Err(Local(Rc::default())) } else { Ok(request) }
                }
            });
            let layer = RetryLayer::plain().judge(|result: Result<_, &Local>| match result {
                Ok(_) => Outcome::Success,
                Err(_) => Outcome::Failure,
            });
            let call = tokio::task::spawn_local(layer.layer(inner).oneshot("local".into()));
            assert_eq!(&*call.await.unwrap().unwrap(), "local");
            assert_eq!(calls.get(), 3);
        })
        .await;
}

/// C11
#[tokio::test]
async fn a_first_service_needs_no_clone() {
    struct Once(Cell<u8>);

    impl Service<u64> for Once {
        type Response = u64;
        type Error = BoxError;
        type Future = Ready<Result<u64, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: u64) -> Self::Future {
            self.0.set(self.0.get() + 1);
            ready(Err(format!("{request}").into()))
        }
    }

    let service = FallbackLayer::plain().value(|_| 7).layer(Once(Cell::new(0)));
    assert_eq!(service.oneshot(1).await.unwrap(), 7);
    let boxed = service_fn(|request: u64| async move { Ok::<_, BoxError>(request) });
    let boxed = tower::util::BoxService::new(boxed);
    assert_eq!(FallbackLayer::plain().value(|_| 7).layer(boxed).oneshot(1).await.unwrap(), 1);
}

async fn plain(request: u64) -> Result<u64, BoxError> {
    if request == 0 { Err("zero".into()) } else { Ok(request) }
}

fn judge(result: Result<&u64, &BoxError>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable }
}

#[tokio::test]
async fn plain_layers_infer() {
    let inner = || service_fn(plain);
    RetryLayer::plain().layer(inner()).oneshot(1).await.unwrap();
    RetryLayer::plain().classify(ErrorsOnly::new()).layer(inner()).oneshot(1).await.unwrap();
    RetryLayer::plain()
        .classify(std::sync::Arc::new(judge))
        .layer(inner())
        .oneshot(1)
        .await
        .unwrap();
    RetryLayer::plain().classify(judge).layer(inner()).oneshot(1).await.unwrap();
    let layer = RetryLayer::plain()
        .judge(|result| if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable });
    layer.layer(inner()).oneshot(1).await.unwrap();
    let layer = RetryLayer::plain().kind(CopyWith::new(|request| Some(*request)));
    layer.layer(inner()).oneshot(1).await.unwrap();

    FallbackLayer::plain().value(|_| 7).layer(inner()).oneshot(0).await.unwrap();
    // a closure that reads the error names no type either
    let text = FallbackLayer::plain().value(|failed: Failed<u64>| match failed.result {
        Ok(answer) => answer,
        Err(error) => error.to_string().len() as u64,
    });
    assert_eq!(text.layer(inner()).oneshot(0).await.unwrap(), 4);
    let layer =
        FallbackLayer::plain().value_keeping(|request: &u64| *request, |failed| failed.kept);
    assert_eq!(layer.layer(inner()).oneshot(0).await.unwrap(), 0);
    let layer = FallbackLayer::plain()
        .judge(
            |result: Result<&u64, _>| {
                if result.is_ok() { Outcome::Success } else { Outcome::Failure }
            },
        )
        .service(inner());
    layer.layer(inner()).oneshot(1).await.unwrap();
    let Ok(_) = FallbackLayer::plain().respond(|_| 7).layer(inner()).oneshot(0).await;
}

#[derive(Clone)]
struct Job {
    attempts: Option<Attempts>,
}

#[tokio::test(start_paused = true)]
async fn a_slot_infers_and_carries_the_record() {
    let slot = || Slot::new(|job: &mut Job| &mut job.attempts);
    let inner = service_fn(|job: Job| async move {
        assert!(job.attempts.is_none(), "the innermost layer took it out");
        Err::<u64, BoxError>("no".into())
    });
    let service = ServiceBuilder::new()
        .layer(
            FallbackLayer::plain().kind(slot()).value(|failed: Failed<u64>| failed.attempts.into()),
        )
        .layer(RetryLayer::plain().kind(slot()))
        .layer(RetryLayer::plain().kind(slot()))
        .service(inner);
    assert_eq!(service.oneshot(Job { attempts: None }).await.unwrap(), 3);
}

async fn fine<B>(_: Request<B>) -> Result<Response<Body>, BoxError> {
    Ok(Response::new(Body::default()))
}

#[tokio::test]
async fn http_and_grpc_layers_infer() {
    let request = || Request::new(Body::default());
    RetryLayer::http().layer(service_fn(fine)).oneshot(request()).await.unwrap();
    RetryLayer::grpc()
        .idempotent(["/a.B/*"])
        .layer(service_fn(fine))
        .oneshot(request())
        .await
        .unwrap();
    FallbackLayer::http()
        .value(|_| Response::new(Body::default()))
        .layer(service_fn(fine))
        .oneshot(request())
        .await
        .unwrap();
    let _ = FallbackLayer::http()
        .service(service_fn(fine))
        .layer(service_fn(fine))
        .oneshot(request())
        .await
        .unwrap();
    let Ok(_) =
        FallbackLayer::grpc().unavailable().layer(service_fn(fine)).oneshot(request()).await;
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::http().respond(|_| Response::new(Body::default())))
        .layer(RetryLayer::http().body(axum::body::Body::new))
        .service(service_fn(fine));
    let Ok(_) = stack.oneshot(request()).await;
}

type MapBody = fn(ReplayBody<Body>) -> axum::body::Body;

/// Everything a user may want to name in a struct of their own.
struct Named {
    layer: RetryLayer<HttpClassifier, Http<MapBody>>,
    call: Option<RetryFuture<Client, Fetching, HttpClassifier, Http, Request<Body>>>,
    backed_up: Option<BackedUp>,
}

type Fetching = <Client as Service<Request<ReplayBody<Body>>>>::Future;
type Fetched = <Client as Service<Request<ReplayBody<Body>>>>::Response;
type BackedUp =
    BackupFuture<Fetching, Fetched, Client, Fetching, HttpClassifier, Http, Request<Body>>;

#[tokio::test]
async fn layers_services_and_futures_can_be_stored() {
    let mut retry: Retry<Client, HttpClassifier, Http> = RetryLayer::http().layer(client());
    let mut fallback: Fallback<Client, Backup<Client>, HttpClassifier, Http> =
        FallbackLayer::http().service(client()).layer(client());
    let named = Named {
        layer: RetryLayer::http().body(axum::body::Body::new),
        call: Some(retry.call(Request::new(Body::default()))),
        backed_up: Some(fallback.call(Request::new(Body::default()))),
    };
    named.call.unwrap().await.unwrap();
    named.backed_up.unwrap().await.unwrap();
    let inner = service_fn(|_: Request<axum::body::Body>| async {
        Ok::<_, Infallible>(Response::new(Body::default()))
    });
    named.layer.layer(inner).oneshot(Request::new(Body::default())).await.unwrap();
}

/// A function over any service, as a library would write it.
fn with_retries<S, B>(inner: S) -> Retry<S, HttpClassifier, Http>
where
    S: Service<Request<ReplayBody<Body>>, Response = Response<B>, Error = BoxError> + Clone,
{
    RetryLayer::http().layer(inner)
}

#[tokio::test]
async fn a_generic_function_can_wrap_any_service() {
    with_retries(client()).oneshot(Request::new(Body::default())).await.unwrap();
}

fn text(value: &dyn Debug) -> String {
    format!("{value:?} {value:#?}")
}

const SECRETS: [&str; 4] =
    ["secret-of-the-body", "secret-of-the-header", "secret-of-the-query", "secret-of-the-path"];

fn secret_request() -> Request<Body> {
    Request::put("http://localhost/secret-of-the-path?secret-of-the-query")
        .header("authorization", "secret-of-the-header")
        .body(Full::from("secret-of-the-body"))
        .unwrap()
}

/// M2, M3
#[tokio::test]
async fn debug_says_something_and_leaks_nothing() {
    let first = |_: Request<Body>| ready(Err::<Response<Body>, BoxError>("broken".into()));
    let answer =
        |_: Failed<Response<Body>, String>| Response::new(Body::from("secret-of-the-body"));
    let keep = |request: &Request<Body>| request.uri().to_string();
    let value: FallbackLayer<Value<_, _>, _, _> = FallbackLayer::http().value_keeping(keep, answer);
    let respond: FallbackLayer<Respond<_, _>, _, _> =
        FallbackLayer::http().respond_keeping(keep, answer);
    let mut retry = RetryLayer::http().idempotent(["/shown"]).layer(client());
    let mut backed = FallbackLayer::http().service(client()).layer(client());
    let mut answered = respond.layer(service_fn(first));
    let in_answer: AnswerFuture<_, _, _, _, _, _> = answered.call(secret_request());
    let Ok(answer) = answered.call(secret_request()).await;
    let by = answer.extensions().get::<Degraded>().unwrap();

    for shown in [
        text(&retry.call(secret_request())),
        text(&backed.call(secret_request())),
        text(&in_answer),
        text(answer.body()),
        text(by),
        text(&retry),
        text(&RetryLayer::http()),
        text(&RetryLayer::http().handle()),
        text(&RetryLayer::http().handle().snapshot()),
        text(&backed),
        text(&answered),
        text(&value),
        text(&respond),
        text(&FallbackLayer::grpc().unavailable()),
        text(&FallbackLayer::http()),
        text(&FallbackLayer::http().handle()),
        text(&KeepNothing::default()),
        text(&ErrorsOnly::new()),
        text(&HttpClassifier::new().reads::<std::io::Error>()),
        text(&GrpcClassifier::new().code(GrpcCode::Aborted, Outcome::Failure)),
        text(&Plain::default()),
        text(&Same::default()),
        text(&Http::new()),
        text(&CopyWith::new(|request: &u64| Some(*request))),
        text(&Slot::new(|job: &mut Job| &mut job.attempts)),
        text(&Budget::new()),
        text(&Backoff::default()),
        text(&Backoff::default().delays(1)),
        text(&Deadline::within(Duration::ZERO)),
        text(&Policy::new()),
        text(&Refusal::new()),
    ] {
        assert!(shown.trim().len() > 3, "{shown:?}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

/// M2, M3: a body and what is kept of a request, while they are full of it
#[tokio::test]
async fn a_kept_request_is_not_shown() {
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = shown.clone();
    let inner = service_fn(move |request: Request<ReplayBody<Body>>| {
        noted.lock().unwrap().push(text(request.body()));
        ready(Ok::<_, BoxError>(Response::new(Body::default())))
    });
    RetryLayer::http().layer(inner).oneshot(secret_request()).await.unwrap();
    let shown = shown.lock().unwrap();
    assert!(shown[0].starts_with("ReplayBody"));
    assert!(SECRETS.iter().all(|secret| !shown[0].contains(secret)), "{shown:?}");
}

/// The classifier traits can be used through a pointer.
#[test]
fn a_classifier_can_be_shared_as_a_trait_object() {
    let shared: std::sync::Arc<dyn Classify<u64, BoxError>> = std::sync::Arc::new(judge);
    assert_eq!(shared.classify(Ok(&1)), Outcome::Success);
    assert_eq!(shared.evidence(Ok(&1)), Evidence::default());
}
