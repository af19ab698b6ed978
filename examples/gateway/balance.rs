//! Stands in for the balance of the crate: takes turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};
use tower_failover::{BoxError, InvalidSetting};

pub(crate) struct Endpoint<S> {
    name: Arc<str>,
    service: S,
    tier: u8,
    weight: f64,
}

impl<S> Endpoint<S> {
    pub(crate) fn new(name: &str, service: S) -> Self {
        Self { name: name.into(), service, tier: 0, weight: 1.0 }
    }
    pub(crate) fn tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }
    pub(crate) fn weight(mut self, weight: f64) -> Result<Self, InvalidSetting> {
        self.weight = weight;
        Ok(self)
    }
}

pub(crate) struct Endpoints<S>(Arc<Vec<Endpoint<S>>>);

impl<S> Clone for Endpoints<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> FromIterator<Endpoint<S>> for Endpoints<S> {
    fn from_iter<T: IntoIterator<Item = Endpoint<S>>>(iter: T) -> Self {
        Self(Arc::new(iter.into_iter().collect()))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointState;
impl EndpointState {
    pub(crate) fn name(self) -> &'static str {
        "available"
    }
}
#[derive(Default)]
pub(crate) struct OutcomeCounts {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) refused: u64,
    pub(crate) throttled: u64,
    pub(crate) unsuitable: u64,
    pub(crate) neutral: u64,
}
pub(crate) struct EndpointSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) tier: u8,
    pub(crate) weight: f64,
    pub(crate) state: EndpointState,
    pub(crate) health: f64,
    pub(crate) in_flight: u32,
    pub(crate) latency: Option<Duration>,
    pub(crate) out_for: Option<Duration>,
    pub(crate) ejections: u64,
    pub(crate) counts: OutcomeCounts,
}

impl<S> Endpoints<S> {
    pub(crate) fn snapshot(&self) -> Vec<EndpointSnapshot> {
        let one = |endpoint: &Endpoint<S>| EndpointSnapshot {
            name: endpoint.name.clone(),
            tier: endpoint.tier,
            weight: endpoint.weight,
            state: EndpointState,
            health: 1.0,
            in_flight: 0,
            latency: Some(Duration::from_micros(1234)),
            out_for: None,
            ejections: 0,
            counts: OutcomeCounts::default(),
        };
        self.0.iter().map(one).collect()
    }
}

pub(crate) struct BalanceLayer;
impl<S> Layer<Endpoints<S>> for BalanceLayer {
    type Service = Balance<S>;
    fn layer(&self, endpoints: Endpoints<S>) -> Balance<S> {
        Balance(endpoints, Arc::default())
    }
}

pub(crate) struct Balance<S>(Endpoints<S>, Arc<AtomicUsize>);
impl<S> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}
impl<S: Service<Req, Error = BoxError> + Clone, Req> Service<Req> for Balance<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = tower::util::Oneshot<S, Req>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Req) -> Self::Future {
        let all = &self.0.0;
        let next = &all[self.1.fetch_add(1, Relaxed) % all.len()];
        tower::ServiceExt::oneshot(next.service.clone(), request)
    }
}
