//! The usual check of an HTTP endpoint.

use crate::kit::{Gate, Scripted, ms, secs, sleep};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, service_fn};
use tower_failover::Ratio;
use tower_failover::balance::{Check, Endpoint, EndpointState, Endpoints, HttpCheck, Report};

type Body = http_body_util::combinators::BoxBody<Bytes, BoxError>;
type Api = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// An endpoint that answers like this, after this time.
fn api(status: u16, body: impl Into<Bytes>, takes: Duration) -> Api {
    let body = body.into();
    BoxCloneSyncService::new(service_fn(move |_: Request<Full<Bytes>>| {
        let body = Full::new(body.clone()).map_err(|never: Infallible| match never {}).boxed();
        async move {
            sleep(takes).await;
            Ok(Response::builder().status(status).body(body).unwrap())
        }
    }))
}

fn usual() -> HttpCheck<Full<Bytes>> {
    HttpCheck::get(PathAndQuery::from_static("/healthz?full"))
}

/// What is found, without what was measured.
async fn found(check: &HttpCheck<Full<Bytes>>, api: Api) -> String {
    let report = format!("{:?}", check.check(api).await);
    report.split(", measurements").next().unwrap().replace("Report { found: ", "")
}

fn told(report: Report) -> String {
    format!("{report:?}").split(", measurements").next().unwrap().replace("Report { found: ", "")
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_is_found() {
    for (status, report) in [
        (200, Report::healthy()),
        (204, Report::healthy()),
        (302, Report::down()),
        (404, Report::down()),
        (503, Report::down()),
        (401, Report::misconfigured()),
        (403, Report::misconfigured()),
    ] {
        let is = found(&usual(), api(status, "", ms(1))).await;
        assert_eq!(is, told(report), "{status}");
    }
    let check = usual().status(|status| status == 404);
    assert_eq!(found(&check, api(404, "", ms(1))).await, told(Report::healthy()));
    assert_eq!(found(&check, api(200, "", ms(1))).await, told(Report::down()));
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_its_path_by_get() {
    let asked = Arc::new(Mutex::new(None));
    let notes = asked.clone();
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        *notes.lock().unwrap() = Some((request.method().clone(), request.uri().clone()));
        std::future::ready(Err::<Response<Body>, BoxError>("no".into()))
    });
    let is = found(&usual(), BoxCloneSyncService::new(api)).await;
    assert_eq!(is, told(Report::down()), "an error is no answer");
    let (method, uri) = asked.lock().unwrap().take().unwrap();
    assert_eq!((method.as_str(), uri.to_string().as_str()), ("GET", "/healthz?full"));
}

/// L1
#[tokio::test(start_paused = true)]
async fn a_body_is_read_where_a_rule_asks_for_it_and_up_to_64_kib() {
    let ok = usual().body(|body| body.starts_with(b"ok"));
    assert_eq!(found(&ok, api(200, "ok then", ms(1))).await, told(Report::healthy()));
    assert_eq!(found(&ok, api(200, "not ok", ms(1))).await, told(Report::down()));
    assert_eq!(found(&ok, api(500, "ok then", ms(1))).await, told(Report::down()));
    for (length, report) in [(64 * 1024, Report::healthy()), (64 * 1024 + 1, Report::down())] {
        let any = usual().body(|_| true);
        assert_eq!(found(&any, api(200, vec![b'x'; length], ms(1))).await, told(report));
    }
}

/// A10
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_down() {
    let api = service_fn(|_: Request<Full<Bytes>>| {
        let frames = futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from_static(b"ok"))),
            Err(BoxError::from("reset")),
        ]);
        let body = BodyExt::boxed(http_body_util::StreamBody::new(frames));
        std::future::ready(Ok::<_, BoxError>(Response::new(body)))
    });
    let ok = usual().body(|body| body.starts_with(b"ok"));
    assert_eq!(found(&ok, BoxCloneSyncService::new(api)).await, told(Report::down()));
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_that_takes_long_is_degraded() {
    let half = Ratio::percent::<50>();
    let check = usual().slower_than(ms(200), half);
    assert_eq!(found(&check, api(200, "", ms(200))).await, told(Report::healthy()));
    assert_eq!(found(&check, api(200, "", ms(201))).await, told(Report::degraded(half)));
    assert_eq!(found(&check, api(500, "", ms(201))).await, told(Report::down()));
}

/// C5
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_become_ready_is_down() {
    let unready = Scripted::doing(|_, _| pending()).gates(|_| Gate::Broken("unready"));
    let is = found(&usual(), BoxCloneSyncService::new(unready)).await;
    assert_eq!(is, told(Report::down()));
}

/// A2: at its timeout the check is dropped, and so is its call
#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_dropped_at_the_timeout_of_its_probe() {
    let api = Scripted::doing(|_, _| pending());
    let inside = api.clone();
    let api: Api = BoxCloneSyncService::new(api);
    let set: Endpoints<_> = [Endpoint::new("a", api)].into_iter().collect();
    let probe = set.probe(usual()).interval(secs(1)).timeout(ms(300));
    let probe = tokio::spawn(probe.fall(NonZeroU32::MIN));
    for _ in 0..50 {
        sleep(ms(100)).await;
        assert!(inside.running() <= 1);
    }
    assert_eq!(set.snapshot()[0].state, EndpointState::Down);
    probe.abort();
    sleep(ms(1)).await;
    assert_eq!(inside.running(), 0);
    assert_eq!(set.snapshot()[0].state, EndpointState::Available, "what it found goes with it");
}
