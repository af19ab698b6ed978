//! What compiles: bounds, inference and names. Most of it needs not even run.

use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::attempt::RecordBody;
use tower_failover::circuit_breaker::{
    ByKey, CircuitBreaker, CircuitBreakerFuture, CircuitBreakerLayer, CircuitChanges,
    CircuitHandle, CircuitOpen, CircuitSnapshot, CircuitState, Keyed, KeyedHandle, One, PerService,
    RuleSnapshot, Together, Watched,
};
use tower_failover::classify::{
    AtEnd, Classify, ErrorsOnly, Evidence, GrpcClassifier, HttpClassifier,
};
use tower_failover::fallback::{
    Backup, BackupFuture, BackupTimeout, Degraded, EmptyBody, Failed, Fallback, FallbackBody,
    FallbackFailed, FallbackHandle, FallbackLayer, FallbackSnapshot, KeepNothing, Unavailable,
};
use tower_failover::hedge::{
    Delay, Hedge, HedgeFuture, HedgeHandle, HedgeLayer, HedgeSnapshot, Percentile,
};
use tower_failover::replay::{
    CopyWith, Http, HttpCopies, Plain, ReplayBody, RequestBodyLost, Same, Slot,
};
use tower_failover::retry::{Retry, RetryFuture, RetryHandle, RetryLayer, RetrySnapshot};
use tower_failover::trip::{Consecutive, EjectRule, FailureRatio, Failures, SlowRatio, TripRule};
use tower_failover::{
    Attempts, Backoff, BoxError, Budget, Deadline, Hint, InvalidSetting, Jitter, Outcome, Ratio,
    Refusal, RequestPolicy,
};

pub(crate) type Body = Full<Bytes>;
type Fetch = fn(Request<ReplayBody<Body>>) -> Ready<Result<Response<Body>, BoxError>>;
pub(crate) type Client = tower::util::ServiceFn<Fetch>;

pub(crate) fn client() -> Client {
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
    shared::<RequestPolicy>();
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
    shared::<HedgeLayer<HttpClassifier, Http>>();
    shared::<Hedge<Client, HttpClassifier, Http>>();
    type Answered = Ready<Result<Response<Body>, BoxError>>;
    shared::<HedgeFuture<Client, Answered, HttpClassifier, Http, Request<Body>>>();
    shared::<(HedgeHandle, HedgeSnapshot, Delay, Percentile)>();
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
    shared::<AtEnd>();
    shared::<RecordBody<Body>>();
    shared::<CircuitBreakerLayer<HttpClassifier, Http>>();
    shared::<CircuitBreakerLayer<HttpClassifier, Http, PerService>>();
    shared::<CircuitBreakerLayer<HttpClassifier, Http, Keyed<PathOf, String>>>();
    shared::<CircuitBreaker<Client, HttpClassifier, Http>>();
    shared::<CircuitBreaker<Client, HttpClassifier, Http, ByKey<PathOf, String>>>();
    shared::<CircuitHandle>();
    shared::<KeyedHandle<String>>();
    shared::<CircuitChanges>();
    shared::<CircuitSnapshot>();
    shared::<RuleSnapshot>();
    shared::<CircuitState>();
    shared::<CircuitOpen>();
    shared::<(TripRule, EjectRule)>();
    shared::<(FailureRatio, SlowRatio, Failures, Consecutive)>();
    shared::<CircuitBreakerLayer<HttpClassifier, Http, Watched<One>>>();
}

pub(crate) type PathOf = fn(&Request<Body>) -> String;

pub(crate) fn path_of(request: &Request<Body>) -> String {
    request.uri().path().to_owned()
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
    sent(HedgeLayer::http().layer(Inner).oneshot(request())).await.unwrap();
    let breaker = CircuitBreakerLayer::http();
    sent(breaker.layer(Inner).oneshot(request())).await.unwrap();
    sent(breaker.per_service().layer(Inner).oneshot(request())).await.unwrap();
    let keyed = CircuitBreakerLayer::http().keyed(|request: &Request<_>| request.uri().clone());
    sent(keyed.layer(Inner).oneshot(request())).await.unwrap();
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
            let layer = RetryLayer::plain().classify_fn(|result: Result<_, &Local>| match result {
                Ok(_) => Outcome::Success,
                Err(_) => Outcome::Failure,
            });
            let call = tokio::task::spawn_local(layer.layer(inner).oneshot("local".into()));
            assert_eq!(&*call.await.unwrap().unwrap(), "local");
            assert_eq!(calls.get(), 3);
        })
        .await;
}

/// C11, L8: what a circuit breaker takes stays on its thread, and is neither copied nor shown
#[tokio::test(start_paused = true)]
async fn a_circuit_breaker_takes_requests_and_answers_that_stay_on_their_thread() {
    struct Answer(Rc<Cell<u8>>);

    tokio::task::LocalSet::new()
        .run_until(async {
            let inner = service_fn(|request: Rc<Cell<u8>>| async move {
                if request.get() == 0 { Err(Plump) } else { Ok(Answer(request)) }
            });
            let layer = CircuitBreakerLayer::plain();
            let call = layer.layer(inner).oneshot(Rc::new(Cell::new(3)));
            let answer = tokio::task::spawn_local(call).await.unwrap().unwrap();
            assert_eq!(answer.0.get(), 3);
            let keyed = CircuitBreakerLayer::plain().keyed(|request: &Rc<Cell<u8>>| request.get());
            let error = keyed.layer(inner).oneshot(Rc::default()).await;
            assert!(error.err().unwrap().is::<Plump>(), "the error is what it was");
        })
        .await;
}

/// An error that can't be copied.
#[derive(Debug)]
struct Plump;

impl std::fmt::Display for Plump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("plump")
    }
}

impl std::error::Error for Plump {}

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

    let breaker = CircuitBreakerLayer::plain();
    assert_eq!(breaker.layer(Once(Cell::new(0))).oneshot(1).await.unwrap_err().to_string(), "1");
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
        .classify_fn(|result| if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable });
    layer.layer(inner()).oneshot(1).await.unwrap();
    let layer = RetryLayer::plain().kind(CopyWith::new(|request| Some(*request)));
    layer.layer(inner()).oneshot(1).await.unwrap();

    CircuitBreakerLayer::plain().layer(inner()).oneshot(1).await.unwrap();
    CircuitBreakerLayer::plain().per_service().gated().layer(inner()).oneshot(1).await.unwrap();
    CircuitBreakerLayer::plain().classify(judge).layer(inner()).oneshot(1).await.unwrap();
    let layer = CircuitBreakerLayer::plain()
        .classify_fn(|result| if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable });
    layer.layer(inner()).oneshot(1).await.unwrap();
    let layer = CircuitBreakerLayer::plain().keyed(|request: &u64| *request % 7);
    let layer = layer.capacity(nonzero(10)).idle(Duration::from_secs(1));
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
        .classify_fn(
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
        .layer(CircuitBreakerLayer::plain().kind(slot()))
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
    CircuitBreakerLayer::http().layer(service_fn(fine)).oneshot(request()).await.unwrap();
    CircuitBreakerLayer::grpc().gated().layer(service_fn(fine)).oneshot(request()).await.unwrap();
    CircuitBreakerLayer::http()
        .keyed(|request: &Request<Body>| request.uri().host().map(str::to_owned))
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
        .layer(CircuitBreakerLayer::http())
        .service(service_fn(fine));
    let Ok(_) = stack.oneshot(request()).await;
}

type MapBody = fn(ReplayBody<Body>) -> axum::body::Body;

/// Everything a user may want to name in a struct of their own.
struct Named {
    layer: RetryLayer<HttpClassifier, Http<MapBody>>,
    call: Option<RetryFuture<Client, Fetching, HttpClassifier, Http, Request<Body>>>,
    backed_up: Option<BackedUp>,
    breaker: CircuitBreakerLayer<HttpClassifier, Http, Together>,
    guarded: Option<Guarded<One>>,
    keyed: Option<Guarded<ByKey<PathOf, String>>>,
}

type Guarded<K> =
    CircuitBreakerFuture<Ready<Result<Answered, BoxError>>, HttpClassifier, Http, K, Request<Body>>;
pub(crate) type Answered = Response<Body>;

/// A client that is called with what is not replayed.
#[derive(Clone, Debug)]
pub(crate) struct Direct;

impl Service<Request<Body>> for Direct {
    type Response = Answered;
    type Error = BoxError;
    type Future = Ready<Result<Answered, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Full::from("secret-of-the-body"))))
    }
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
    let breaker = CircuitBreakerLayer::http();
    let mut guarded: CircuitBreaker<Direct, HttpClassifier, Http> = breaker.layer(Direct);
    let keyed: CircuitBreakerLayer<_, _, Keyed<PathOf, String>> =
        CircuitBreakerLayer::http().keyed(path_of as PathOf);
    let mut keyed: CircuitBreaker<Direct, HttpClassifier, Http, ByKey<PathOf, String>> =
        keyed.layer(Direct);
    let named = Named {
        layer: RetryLayer::http().body(axum::body::Body::new),
        call: Some(retry.call(Request::new(Body::default()))),
        backed_up: Some(fallback.call(Request::new(Body::default()))),
        breaker,
        guarded: Some(guarded.call(Request::new(Body::default()))),
        keyed: Some(keyed.call(Request::new(Body::default()))),
    };
    let _: Response<RecordBody<Body>> = named.guarded.unwrap().await.unwrap();
    named.keyed.unwrap().await.unwrap();
    assert_eq!(named.breaker.handle().snapshot().neutral, 1, "the body was not read");
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

/// The classifier traits can be used through a pointer.
#[test]
fn a_classifier_can_be_shared_as_a_trait_object() {
    let shared: std::sync::Arc<dyn Classify<u64, BoxError>> = std::sync::Arc::new(judge);
    assert_eq!(shared.classify(Ok(&1)), Outcome::Success);
    assert_eq!(shared.evidence(Ok(&1)), Evidence::default());
}
