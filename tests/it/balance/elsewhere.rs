//! Further attempts of a request: they go to other endpoints, at once.

use crate::kit::{Act, Actor, Gate, cast, in_flight, look, ms, now, timed};
use http::{Request, Response, StatusCode};
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;
use tower_failover::{Attempts, Backoff, BoxError, Budget, Jitter};

fn get() -> Request<String> {
    Request::new(String::new())
}

/// Where requests went.
type Trace = Arc<Mutex<Vec<usize>>>;

type Answer = Result<Response<String>, BoxError>;

/// So many endpoints, which note that a request came and answer as the closure says.
fn noting<const N: usize>(
    answer: impl Fn(usize, &mut Request<String>) -> Answer + Clone + Send + Sync + 'static,
) -> (
    Trace,
    [impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static; N],
) {
    let trace = Trace::default();
    let services = std::array::from_fn(|at| {
        let (trace, answer) = (trace.clone(), answer.clone());
        service_fn(move |mut request: Request<String>| {
            trace.lock().unwrap().push(at);
            ready(answer(at, &mut request))
        })
    });
    (trace, services)
}

fn generous() -> Budget {
    Budget::new().min_per_second(1_000_000)
}

/// A retry layer for requests whose body is of no matter.
macro_rules! retry {
    () => {
        RetryLayer::http().budget(generous()).body(|_: ReplayBody<String>| String::new())
    };
}

/// G17: whoever fails first, in sets of two and more
#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another_endpoint_at_once() {
    for count in [2, 3, 10] {
        let firsts = Arc::new(Mutex::new(true));
        let first = firsts.clone();
        let fails_first = move |_, _: &mut Request<String>| {
            let fails = std::mem::replace(&mut *first.lock().unwrap(), false);
            if fails { Err("failed".into()) } else { Ok(Response::new(String::new())) }
        };
        let (trace, services) = noting::<10>(fails_first);
        let endpoints = services.into_iter().enumerate().take(count);
        let set: Endpoints<_> =
            endpoints.map(|(at, service)| Endpoint::new(at.to_string(), service)).collect();
        let service =
            ServiceBuilder::new().layer(retry!()).layer(BalanceLayer::http()).service(set.clone());
        for call in 0..1_000 {
            *firsts.lock().unwrap() = true;
            let (answer, took) = timed(service.clone().oneshot(get())).await;
            assert_eq!((answer.unwrap().status(), took), (StatusCode::OK, Duration::ZERO));
            let went = std::mem::take(&mut *trace.lock().unwrap());
            assert!(went.len() == 2 && went[0] != went[1], "{went:?}, call {call} of {count}");
        }
        assert_eq!(in_flight(&set), 0);
    }
}

/// G17, J12: a second choice that was given back was not tried
#[tokio::test(start_paused = true)]
async fn a_retry_goes_elsewhere_at_once_also_where_endpoints_are_pending_first() {
    let ([a, b], _) = cast();
    let set: Endpoints<_> = [("a", &a), ("b", &b)]
        .map(|(name, actor)| Endpoint::new(name, http(actor)))
        .into_iter()
        .collect();
    let service =
        ServiceBuilder::new().layer(retry!()).layer(BalanceLayer::http()).service(set.clone());
    [&a, &b].into_iter().for_each(|actor| actor.gate(Gate::Shut));
    a.act(Act::Fails);
    let mut call = tokio_test::task::spawn(service.clone().oneshot(get()));
    tokio_test::assert_pending!(call.poll());
    a.gate(Gate::Open);
    tokio_test::assert_pending!(call.poll(), "a has failed, b is waited for, and no delay");
    assert_eq!((a.count(), look(&set, "b").in_flight), (1, 1));
    b.gate(Gate::Open);
    let answer = tokio_test::assert_ready!(call.poll()).unwrap();
    assert_eq!((answer.status(), b.count()), (StatusCode::OK, 1));
}

/// An actor that speaks HTTP.
fn http(
    actor: &Actor,
) -> impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    ServiceExt::<Request<String>>::map_response(actor.clone(), Response::new)
}

/// G17: with a single endpoint it is the same one, after a delay
#[tokio::test(start_paused = true)]
async fn with_one_endpoint_a_retry_waits_and_goes_there_again() {
    let ([a], _) = cast();
    a.act(Act::Fails);
    let set: Endpoints<_> = [Endpoint::new("a", http(&a))].into_iter().collect();
    let backoff = Backoff::constant(ms(100)).jitter(Jitter::None);
    let service = ServiceBuilder::new()
        .layer(retry!().backoff(backoff))
        .layer(BalanceLayer::http())
        .service(set);
    let (answer, took) = timed(service.oneshot(get())).await;
    assert_eq!(answer.unwrap_err().to_string(), "failed");
    assert_eq!((a.count(), took), (3, ms(200)));
}

/// After all were tried it backs off
#[tokio::test(start_paused = true)]
async fn when_all_were_tried_a_retry_waits() {
    let ([a, b], _) = cast();
    [&a, &b].into_iter().for_each(|actor| actor.act(Act::Fails));
    let set: Endpoints<_> = [("a", &a), ("b", &b)]
        .map(|(name, actor)| Endpoint::new(name, http(actor)))
        .into_iter()
        .collect();
    let backoff = Backoff::constant(ms(100)).jitter(Jitter::None);
    let service = ServiceBuilder::new()
        .layer(retry!().backoff(backoff))
        .layer(BalanceLayer::http())
        .service(set);
    let start = now();
    assert!(service.oneshot(get()).await.is_err());
    assert_eq!((a.count() + b.count(), start.elapsed()), (3, ms(100)));
    assert!(a.count() >= 1 && b.count() >= 1);
}

/// What a record says after one call to a set, through the attempt that a layer outside opened.
async fn left_after_one_call(set: &Endpoints<Actor>) -> bool {
    #[derive(Clone)]
    struct Job(Option<Attempts>);
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let slot = || tower_failover::replay::Slot::new(|job: &mut Job| &mut job.0);
    // a retry layer outside opens the record; what stands between looks at it
    let service = ServiceBuilder::new()
        .layer(RetryLayer::plain().kind(slot()).max_retries(1))
        .map_request(move |job: Job| {
            *keep.lock().unwrap() = job.0.clone();
            job
        })
        .layer(BalanceLayer::plain().kind(slot()))
        .service(set.clone());
    service.oneshot(Job(None)).await.unwrap();
    let kept: Option<Attempts> = kept.lock().unwrap().take();
    kept.expect("a record").untried_left()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_left_to_try_if_it_serves_in_whatever_tier() {
    let ([_a], set) = cast();
    assert!(!left_after_one_call(&set).await, "there is one");
    set.insert(Endpoint::new("b", Actor::new("b")).tier(1));
    assert!(left_after_one_call(&set).await, "the backup");
    assert!(set.drain("b"));
    assert!(!left_after_one_call(&set).await, "it is drained");
    assert!(set.undrain("b"));
    let fails = BalanceLayer::plain().allow(|(): &(), endpoint| endpoint.name() == "b");
    let throttles = fails
        .clone()
        .classify_fn(|_: Result<&String, &BoxError>| tower_failover::Outcome::Throttled {
            retry_after: Some(Duration::from_secs(5)),
        })
        .layer(set.clone());
    throttles.oneshot(()).await.unwrap();
    assert!(!left_after_one_call(&set).await, "it cools down");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(left_after_one_call(&set).await, "it is back");
    let fails = BalanceLayer::plain().allow(|(): &(), endpoint| endpoint.name() == "a");
    let fails = fails.classify_fn(|_: Result<&String, &BoxError>| tower_failover::Outcome::Failure);
    for _ in 0..3 {
        fails.layer(set.clone()).oneshot(()).await.unwrap();
    }
    assert!(!left_after_one_call(&set).await, "it is ejected");
}

/// Balancers in balancers note what was tried for themselves.
#[tokio::test(start_paused = true)]
async fn nested_balancers_note_apart_what_was_tried() {
    let (trace, services) =
        noting::<4>(|at, _| if at < 3 { Err("failed".into()) } else { Ok(Response::default()) });
    let [a, b, c, d] = services;
    let pair = |one, other| {
        let set: Endpoints<_> =
            [Endpoint::new("0", one), Endpoint::new("1", other)].into_iter().collect();
        tower::util::BoxCloneSyncService::new(
            BalanceLayer::http().layer(set).map_response(|answer| answer.map(|_| String::new())),
        )
    };
    let outer: Endpoints<_> =
        [Endpoint::new("left", pair(a, b)), Endpoint::new("right", pair(c, d))]
            .into_iter()
            .collect();
    let service = ServiceBuilder::new()
        .layer(retry!().max_retries(3).backoff(Backoff::constant(ms(0))))
        .layer(BalanceLayer::http())
        .service(outer);
    for _ in 0..20 {
        service.clone().oneshot(get()).await.unwrap();
        let went = std::mem::take(&mut *trace.lock().unwrap());
        let mut once = went.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), went.len(), "none twice: {went:?}");
    }
}

/// M4, M5: the client never gets a record
#[tokio::test(start_paused = true)]
async fn the_record_does_not_get_to_the_client() {
    let (trace, services) = noting::<3>(|_, request| {
        assert!(request.extensions().get::<Attempts>().is_none());
        Err("failed".into())
    });
    let set: Endpoints<_> = services
        .into_iter()
        .enumerate()
        .map(|(at, service)| Endpoint::new(at.to_string(), service))
        .collect();
    let service = ServiceBuilder::new().layer(retry!()).layer(BalanceLayer::http()).service(set);
    service.oneshot(get()).await.unwrap_err();
    assert_eq!(trace.lock().unwrap().len(), 3);
}

/// A service of the endpoint that reads the record gets it: here a retry of its own, which counts on.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_reads_the_record_gets_it() {
    let ([a], _) = cast();
    a.act(Act::Fails);
    let own = retry!().max_retries(2).backoff(Backoff::constant(ms(0)));
    let inner = own.layer(http(&a));
    let set: Endpoints<_> = [Endpoint::new("a", inner)].into_iter().collect();
    let service = ServiceBuilder::new()
        .layer(retry!().max_retries(2).backoff(Backoff::constant(ms(0))))
        .layer(BalanceLayer::http())
        .service(set);
    service.oneshot(get()).await.unwrap_err();
    assert_eq!(a.count(), 3, "both layers count together");
}
