//! Outages: a backend that always fails, and an even load on it.

use crate::clock;
use crate::family::{BoxService, Erase, Http, SimBody, boxed};
use crate::world::lock;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{BoxError, ServiceExt, service_fn};

/// The request and the instant of every attempt.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Vec<(u64, Instant)>>>);

impl Attempts {
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// The largest number of attempts of one request.
    pub(crate) fn most(&self) -> u64 {
        let mut each = HashMap::<u64, u64>::new();
        for (id, _) in lock(&self.0).iter() {
            *each.entry(*id).or_default() += 1;
        }
        each.into_values().max().unwrap_or(0)
    }

    /// The instants of all attempts but the first one of each request.
    pub(crate) fn extra(&self) -> Vec<Instant> {
        let mut seen = std::collections::HashSet::new();
        let attempts = lock(&self.0);
        let extra = attempts.iter().filter(|(id, _)| !seen.insert(*id));
        extra.map(|(_, at)| *at).collect()
    }
}

/// Travels in the extensions of a request.
#[derive(Clone)]
struct Id(u64);

fn empty() -> SimBody {
    boxed(Full::new(Bytes::new()))
}

/// A service that fails after this time.
pub(crate) fn failing(attempts: &Attempts, delay: Duration) -> BoxService<Http> {
    let attempts = attempts.clone();
    let fail = move |request: Request<SimBody>| {
        let id = request.extensions().get::<Id>().map_or(0, |id| id.0);
        lock(&attempts.0).push((id, clock::now()));
        async move {
            clock::sleep(delay).await;
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, BoxError>(response)
        }
    };
    service_fn(fail).erase()
}

/// Separates the layers inside from those outside, as a network does.
pub(crate) fn wall(inner: BoxService<Http>) -> BoxService<Http> {
    service_fn(move |request: Request<SimBody>| inner.clone().oneshot(request)).erase()
}

/// Sends requests at an even rate, and waits until all have ended.
pub(crate) async fn send(service: BoxService<Http>, per_second: u64, seconds: u64) {
    let began = clock::now();
    let mut tasks = JoinSet::new();
    for n in 0..per_second * seconds {
        let at = Duration::from_nanos(n * 1_000_000_000 / per_second);
        clock::sleep_until(began + at).await;
        tasks.spawn(ask(service.clone(), n));
    }
    while tasks.join_next().await.is_some() {}
}

fn ask(service: BoxService<Http>, id: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut request = Request::new(empty());
    *request.uri_mut() = http::Uri::from_static("http://sim.test/");
    request.extensions_mut().insert(Id(id));
    Box::pin(service.oneshot(request).map(drop))
}
