//! What compiles of a balancer and of a tracked service: bounds, inference and names.

use crate::api::{Answered, Body, Client, Direct, client};
use http::Request;
use http_body_util::BodyExt;
use std::future::{Ready, ready};
use std::time::Duration;
use tower::load::Load;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::attempt::RecordBody;
use tower_failover::balance::{
    Allow, Balance, BalanceFuture, BalanceLayer, Check, Endpoint, EndpointInfo, EndpointSnapshot,
    EndpointState, Endpoints, Everyone, HttpCheck, LatencyUntil, NoEndpoint, Only, OutcomeCounts,
    Probe, Report, Weight,
};
use tower_failover::classify::{ErrorsOnly, GrpcClassifier, HttpClassifier};
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::replay::{Http, Plain};
use tower_failover::retry::RetryLayer;
use tower_failover::track::{Track, TrackFuture, TrackLayer};
use tower_failover::{Outcome, Ratio};

fn shared<T: Send + Sync + 'static>() {}
fn cloned<T: Clone>() {}
fn shown<T: std::fmt::Debug>() {}
fn allows<A: Allow<Request<Body>>>() {}

type NearBy = fn(&Request<Body>, &EndpointInfo) -> bool;
type Look = fn(Direct) -> Ready<Report>;
type Called = Ready<Result<Answered, BoxError>>;
type Calling = BalanceFuture<Direct, Request<Body>, HttpClassifier, Http, Everyone, Called>;
type Tracking = TrackFuture<Called, HttpClassifier, Http, Request<Body>>;

/// C12
#[test]
fn everything_is_send_sync_and_static() {
    shared::<Balance<Client, HttpClassifier, Http>>();
    shared::<Balance<Client, HttpClassifier, Http, Only<NearBy>>>();
    shared::<BalanceLayer<GrpcClassifier, Http, Only<NearBy>>>();
    shared::<Endpoint<Client>>();
    shared::<EndpointInfo>();
    shared::<EndpointSnapshot>();
    shared::<EndpointState>();
    shared::<Endpoints<Client>>();
    shared::<Everyone>();
    shared::<HttpCheck<Body>>();
    shared::<LatencyUntil>();
    shared::<NoEndpoint>();
    shared::<OutcomeCounts>();
    shared::<Report>();
    shared::<Track<Client, HttpClassifier, Http>>();
    shared::<TrackLayer<GrpcClassifier, Http>>();
    shared::<Weight>();
}

#[test]
fn everyone_and_closures_are_filters() {
    allows::<Everyone>();
    allows::<Only<NearBy>>();
}

#[test]
fn what_can_be_copied_and_shown_is() {
    // a client that is neither
    struct Bare;

    cloned::<Balance<Bare, HttpClassifier, Http>>();
    cloned::<Endpoints<Bare>>();
    cloned::<BalanceLayer<HttpClassifier, Http, Only<NearBy>>>();
    cloned::<EndpointSnapshot>();
    cloned::<HttpCheck<Body>>();
    cloned::<NoEndpoint>();
    cloned::<Report>();
    cloned::<Track<Direct, HttpClassifier, Http>>();
    cloned::<TrackLayer<ErrorsOnly, Plain>>();

    shown::<Balance<Bare, HttpClassifier, Http, Only<NearBy>>>();
    shown::<BalanceLayer<HttpClassifier, Http, Only<NearBy>>>();
    shown::<Endpoint<Bare>>();
    shown::<EndpointInfo>();
    shown::<EndpointSnapshot>();
    shown::<Endpoints<Bare>>();
    shown::<HttpCheck<Body>>();
    shown::<OutcomeCounts>();
    shown::<Probe<Bare, Look>>();
    shown::<Report>();
    shown::<Calling>();
    shown::<Tracking>();
    shown::<Track<Direct, HttpClassifier, Http>>();
    shown::<TrackLayer<ErrorsOnly, Plain>>();
}

/// Everything a user may want to name in a struct of their own.
struct Named {
    endpoints: Endpoints<Direct>,
    service: Balance<Direct, HttpClassifier, Http, Everyone>,
    call: Calling,
    tracked: Tracking,
    probe: Probe<Direct, Look>,
}

#[tokio::test(start_paused = true)]
async fn sets_services_futures_and_probes_can_be_stored() {
    let endpoints: Endpoints<_> = [Endpoint::new("only", Direct)].into_iter().collect();
    let mut service = BalanceLayer::http().layer(endpoints.clone());
    let call = service.call(Request::new(Body::default()));
    let tracked = TrackLayer::http().layer(Direct).call(Request::new(Body::default()));
    let probe = endpoints.probe((|_| ready(Report::healthy())) as Look);
    let named = Named { endpoints, service, call, tracked, probe };
    let answer: http::Response<RecordBody<Body>> = named.call.await.unwrap();
    answer.into_body().collect().await.unwrap();
    named.tracked.await.unwrap();
    assert_eq!(named.endpoints.snapshot()[0].counts.successes, 1);
    drop((named.endpoints, named.service));
    named.probe.await;
}

async fn plain(request: u64) -> Result<u64, BoxError> {
    if request == 0 { Err("zero".into()) } else { Ok(request) }
}

fn judge(result: Result<&u64, &BoxError>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable }
}

#[tokio::test]
async fn layers_infer() {
    let one = || Endpoints::from_iter([Endpoint::new("one", service_fn(plain))]);
    BalanceLayer::plain().layer(one()).oneshot(1).await.unwrap();
    BalanceLayer::plain().classify(judge).layer(one()).oneshot(1).await.unwrap();
    let layer = BalanceLayer::plain()
        .classify_fn(|result| if result.is_ok() { Outcome::Success } else { Outcome::Unsuitable });
    layer.layer(one()).oneshot(1).await.unwrap();
    let layer = BalanceLayer::plain()
        .allow(|request: &u64, endpoint: &EndpointInfo| *request > 0 && endpoint.name() == "one");
    layer.layer(one()).oneshot(1).await.unwrap();
    TrackLayer::plain().classify_fn(judge).layer(service_fn(plain)).oneshot(1).await.unwrap();

    let request = || Request::new(Body::default());
    let direct = || Endpoints::from_iter([Endpoint::new("direct", Direct)]);
    BalanceLayer::http().layer(direct()).oneshot(request()).await.unwrap();
    BalanceLayer::grpc().layer(direct()).oneshot(request()).await.unwrap();
    let tracked = TrackLayer::grpc().layer(Direct);
    assert!(tracked.load().is_finite());
    tracked.oneshot(request()).await.unwrap();
    let clients = Endpoints::from_iter([Endpoint::new("client", client())]);
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::http().respond(|_: Failed<_>| http::Response::new(Body::default())))
        .timeout(Duration::from_secs(1))
        .layer(RetryLayer::http())
        .layer(BalanceLayer::http())
        .service(clients);
    let Ok(_) = stack.oneshot(request()).await;
}

/// E6
#[test]
fn a_weight_that_is_none_is_refused_where_it_is_set() {
    use tower_failover::InvalidSetting;

    let endpoint = || Endpoint::new("one", Direct);
    let text = |error: InvalidSetting| error.to_string();
    for (weight, shown) in [(0.0, "0"), (f64::NAN, "NaN"), (-1.0, "-1"), (f64::INFINITY, "inf")] {
        let told = format!("a weight must be between 0.000001 and 1000000, not {shown}");
        assert_eq!(text(endpoint().weight(weight).unwrap_err()), told);
        assert_eq!(text(Weight::new(weight).unwrap_err()), told);
        let endpoints = Endpoints::from_iter([endpoint()]);
        assert_eq!(text(endpoints.reweight("one", weight).unwrap_err()), told);
    }
    let weight = Weight::new(2.5).unwrap();
    let endpoints = Endpoints::from_iter([endpoint().weight(weight).unwrap()]);
    assert_eq!(endpoints.snapshot()[0].weight, 2.5);
    assert!(endpoints.reweight("one", Weight::default()).unwrap());
    assert!(!endpoints.reweight("other", weight).unwrap());
    assert_eq!(endpoints.snapshot()[0].weight, 1.0);
}

#[tokio::test]
async fn a_check_can_be_a_type_of_ones_own() {
    struct Always;

    impl<S> Check<S> for Always {
        type Future = Ready<Report>;

        fn check(&self, _: S) -> Ready<Report> {
            ready(Report::degraded(Ratio::percent::<50>()))
        }
    }

    assert_eq!(Always.check(()).await, Report::degraded(Ratio::percent::<50>()));
}
