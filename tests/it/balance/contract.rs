//! What tower asks of a service, and where a balancer fits in.

use crate::kit::{Act, Actor, cast, in_flight, look, ms, secs};
use axum::Router;
use axum::body::Body;
use futures_util::future::poll_immediate;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints, NoEndpoint};
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, BoxError, Outcome};
use tower_test::mock;

/// C3, C8
#[tokio::test(start_paused = true)]
async fn it_is_always_ready_and_chooses_when_it_is_called() {
    let set = Endpoints::<Actor>::new();
    let mut balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..10 {
        poll_immediate(ServiceExt::<()>::ready(&mut balance)).await.unwrap().unwrap();
    }
    assert!(balance.call(()).await.unwrap_err().is::<NoEndpoint>());
    let a = Actor::new("a");
    set.insert(Endpoint::new("a", a.clone()));
    assert_eq!(a.polls(), 0);
    assert_eq!(balance.call(()).await.unwrap(), "a", "it was ready before there was anyone");
    assert_eq!(a.polls(), 1);
}

/// C1, C2, C6: the mock panics when it is called unready
#[tokio::test(start_paused = true)]
async fn a_mock_under_it_never_sees_an_unready_call() {
    let (one, mut first) = mock::pair::<u32, u32>();
    let (other, mut second) = mock::pair::<u32, u32>();
    first.allow(0);
    second.allow(0);
    let set: Endpoints<_> =
        [Endpoint::new("a", one), Endpoint::new("b", other)].into_iter().collect();
    let balance = BalanceLayer::plain().layer(set.clone());
    let mut call = tokio_test::task::spawn(balance.oneshot(7));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    second.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (request, respond) = second.next_request().await.unwrap();
    assert_eq!(request, 7);
    respond.send_response(8);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 8);
    assert_eq!(in_flight(&set), 0);
}

/// C10
#[tokio::test(start_paused = true)]
async fn idle_clones_hold_no_permit_of_an_endpoint() {
    let permits = Arc::new(Semaphore::new(1));
    let limited = GlobalConcurrencyLimitLayer::with_semaphore(permits.clone());
    let set: Endpoints<_> =
        [Endpoint::new("a", limited.layer(Actor::new("a")))].into_iter().collect();
    let mut parked = BalanceLayer::plain().layer(set);
    ServiceExt::<()>::ready(&mut parked).await.unwrap();
    let clones: Vec<_> = (0..10).map(|_| parked.clone()).collect();
    for clone in &clones {
        let answer = tokio::time::timeout(secs(1), clone.clone().oneshot(())).await.unwrap();
        assert_eq!(answer.unwrap(), "a");
        assert_eq!(permits.available_permits(), 1);
    }
}

/// C9, C10: who waits for the permit gets it when the other call ends
#[tokio::test(start_paused = true)]
async fn calls_share_the_permits_of_an_endpoint() {
    let actor = Actor::new("a");
    actor.act(Act::AnswersAfter(ms(10)));
    let limited = tower::limit::ConcurrencyLimit::new(actor.clone(), 2);
    let set: Endpoints<_> = [Endpoint::new("a", limited)].into_iter().collect();
    let balance = BalanceLayer::plain().layer(set.clone());
    let start = crate::kit::now();
    let calls = (0..10).map(|_| tokio::spawn(balance.clone().oneshot(())));
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(start.elapsed(), ms(50));
    assert_eq!(in_flight(&set), 0);
}

fn shared<T: Clone + Send + Sync + 'static>(value: T) -> T {
    value
}

/// C11, C12
#[tokio::test(start_paused = true)]
async fn it_can_be_cloned_shared_and_spawned_with_boxed_endpoints() {
    let boxed = |name: &str| Endpoint::new(name, BoxCloneSyncService::new(Actor::new(name)));
    let set: Endpoints<BoxCloneSyncService<(), String, BoxError>> =
        ["a", "b"].map(boxed).into_iter().collect();
    let balance = shared(BalanceLayer::plain().layer(set));
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::new(secs(1)))
        .layer(RetryLayer::plain())
        .service(balance);
    let stack = shared(BoxCloneSyncService::new(stack));
    assert!(tokio::spawn(stack.clone().oneshot(())).await.unwrap().is_ok());
    assert!(tokio::spawn(async move { stack.oneshot(()).await }).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn closures_need_no_more_types_than_they_use() {
    let (_, set) = cast::<2>();
    let only = "b".to_owned();
    let layer = BalanceLayer::plain()
        .allow(move |_: &(), endpoint| endpoint.name() == only)
        .classify_fn(|result: Result<&String, _>| match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        });
    assert_eq!(layer.clone().layer(set).oneshot(()).await.unwrap(), "b");
    let http = BalanceLayer::http().allow(|request: &Request<()>, endpoint| {
        request.headers().contains_key("x-model") == endpoint.label("model").is_some()
    });
    let service =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let set: Endpoints<_> = [Endpoint::new("a", service)].into_iter().collect();
    assert!(http.layer(set).oneshot(Request::new(())).await.is_ok());
}

/// C13: under retry, fallback and timeout, in every order
#[tokio::test(start_paused = true)]
async fn it_works_under_the_other_layers_in_every_order() {
    macro_rules! orders {
        ($([$($layer:expr),*])*) => {$(
            let ([a, b], set) = cast();
            a.act(Act::Fails);
            b.act(Act::AnswersAfter(ms(5)));
            let stack = ServiceBuilder::new()
                $(.layer($layer))*
                .layer(BalanceLayer::plain())
                .service(set.clone());
            for _ in 0..100 {
                let answer = ServiceExt::<()>::oneshot(stack.clone(), ()).await.unwrap();
                assert!(answer == "b" || answer == "instead", "{answer}");
            }
            assert!(b.count() >= 90, "{} calls, {:?}", b.count(), set.snapshot());
            assert!(a.count() <= 10);
            assert_eq!(in_flight(&set), 0);
        )*};
    }
    let retry = || RetryLayer::plain().backoff(Backoff::constant(ms(1)));
    let fallback = || FallbackLayer::plain().value(|_: Failed<String>| "instead".to_owned());
    let timeout = || TimeoutLayer::new(secs(1));
    orders! {
        [fallback(), timeout(), retry()]
        [fallback(), retry(), timeout()]
        [timeout(), fallback(), retry()]
        [timeout(), retry(), fallback()]
        [retry(), timeout(), fallback()]
        [retry(), fallback(), timeout()]
        [fallback(), retry()]
        [retry(), fallback()]
        [fallback()]
    }
}

/// J13: a timeout outside does not hide an endpoint that hangs
#[tokio::test(start_paused = true)]
async fn under_a_timeout_an_endpoint_that_hangs_is_found_out() {
    let ([a, b], set) = cast();
    a.act(Act::Hangs);
    b.act(Act::AnswersAfter(ms(5)));
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::plain().backoff(Backoff::constant(ms(1))))
        .layer(TimeoutLayer::new(secs(1)))
        .layer(BalanceLayer::plain())
        .service(set.clone());
    for _ in 0..1_000 {
        assert!(stack.clone().oneshot(()).await.is_ok());
    }
    let found = look(&set, "a");
    assert!(found.counts.failures >= 1 && a.count() < 20, "{found:?}");
}

/// axum: in front of a router, and as a route of one
#[tokio::test]
async fn it_stands_in_an_axum_router() {
    let served = Arc::new(AtomicU32::new(0));
    let endpoint = |name: &str, status| {
        let served = served.clone();
        let service = service_fn(move |_: Request<Body>| {
            served.fetch_add(1, SeqCst);
            ready(Ok::<_, BoxError>(
                Response::builder().status(status).body(Body::from("hi")).unwrap(),
            ))
        });
        Endpoint::new(name, service)
    };
    let set: Endpoints<_> = [endpoint("a", 500), endpoint("b", 200)].into_iter().collect();
    let unavailable = |_: Failed<Response<_>>| {
        Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty()).unwrap()
    };
    let proxy = ServiceBuilder::new()
        .layer(FallbackLayer::http().respond(unavailable))
        .layer(RetryLayer::http().body(Body::new))
        .layer(BalanceLayer::http())
        .service(set.clone());
    let app: Router = Router::new().route_service("/api", proxy.clone()).fallback_service(proxy);
    for path in ["/api", "/other"] {
        let answer = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
    }
    assert!(served.load(SeqCst) >= 2);
    assert_eq!(in_flight(&set), 0);
    set.remove("a");
    set.remove("b");
    let answer = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// tonic: under a generated stub, over lazy channels that nobody answers
#[tokio::test]
async fn it_stands_under_a_tonic_stub() {
    let channel = |name: &str| {
        // a port on which nothing listens
        let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        Endpoint::new(name, channel)
    };
    let set: Endpoints<Channel> = ["a", "b"].map(channel).into_iter().collect();
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::grpc().body(tonic::body::Body::new).backoff(Backoff::constant(ms(1))))
        .layer(BalanceLayer::grpc())
        .service(set.clone());
    let mut client = HealthClient::new(stack);
    let answer = tokio::time::timeout(secs(5), client.check(HealthCheckRequest::default()));
    assert!(answer.await.unwrap().is_err());
    let bad = |found: &tower_failover::balance::EndpointSnapshot| {
        found.counts.failures + found.counts.refused
    };
    assert!(set.snapshot().iter().all(|found| bad(found) >= 1), "{:?}", set.snapshot());
    assert_eq!(in_flight(&set), 0);
}
