//! Layers, each made from its seed.

mod balance;
mod breaker;
mod fallback;
mod hedge;
mod http;
mod plain;
mod retry;
pub(crate) mod settings;
mod streams;

pub(crate) use balance::Admission;

use crate::clock::ms;
use crate::family::{BoxService, Family};
use crate::plan::{EndpointSpec, LayerKind, LayerSpec};
use crate::random::Rng;
use crate::run::Run;
use crate::stack::endpoint;
use crate::world::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::timeout::Timeout;
use tower_failover::balance::{Endpoint, Endpoints};

/// How the library's layers are made for a family.
pub(crate) trait Layers: Family {
    fn retry(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self>;
    fn hedge(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self>;
    fn breaker(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self>;
    fn fallback(run: &Arc<Run>, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self>;
    fn stream(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self>;
    fn balance(
        run: &Run,
        seed: u64,
        endpoints: Endpoints<BoxService<Self>>,
    ) -> (BoxService<Self>, Admission);
}

/// Puts layers around a service, the first of them outermost.
pub(crate) fn wrap<F: Layers>(
    run: &Arc<Run>,
    layers: &[LayerSpec],
    service: BoxService<F>,
) -> BoxService<F> {
    layers.iter().rev().fold(service, |service, spec| layer::<F>(run, spec, service))
}

fn layer<F: Layers>(run: &Arc<Run>, spec: &LayerSpec, inner: BoxService<F>) -> BoxService<F> {
    let rng = &mut Rng::new(spec.seed);
    match spec.kind {
        LayerKind::Retry => F::retry(run, spec, inner),
        LayerKind::Hedge => F::hedge(run, spec, inner),
        LayerKind::Breaker => F::breaker(run, spec, inner),
        LayerKind::FallbackValue | LayerKind::FallbackService => F::fallback(run, spec, inner),
        LayerKind::FirstFrame | LayerKind::Stall => F::stream(run, spec, inner),
        LayerKind::Timeout => {
            let time = rng.pick(&[10, 300, 2_000, 20_000]);
            run.describe(format!("timeout({time})"));
            BoxService::<F>::new(Timeout::new(inner, ms(time)))
        }
        LayerKind::Limit => {
            let limit = rng.pick(&[1, 2, 10]);
            run.describe(format!("concurrency_limit({limit})"));
            lock(&run.built).ignores_deadlines = true;
            BoxService::<F>::new(ConcurrencyLimit::new(inner, limit))
        }
        LayerKind::Shed => {
            run.describe("load_shed");
            BoxService::<F>::new(LoadShed::new(inner))
        }
        LayerKind::Balanced => balanced::<F>(run, rng, inner),
        LayerKind::Buffer => {
            let bound = rng.pick(&[1, 2, 20]);
            run.describe(format!("buffer({bound})"));
            lock(&run.built).buffers += 1;
            run.world.buffered.store(true, SeqCst);
            BoxService::<F>::new(Buffer::new(inner, bound))
        }
    }
}

/// A balancer over a service and one backend beside it.
fn balanced<F: Layers>(run: &Arc<Run>, rng: &mut Rng, inner: BoxService<F>) -> BoxService<F> {
    let endpoints = Endpoints::new();
    let beside = EndpointSpec::bare(rng.next(), "beside");
    endpoints.insert(Endpoint::new("inner", inner));
    endpoints.insert(Endpoint::new("beside", endpoint::<F>(run, &beside, false).0));
    let (service, _) = F::balance(run, rng.next(), endpoints.clone());
    lock(&run.built).nested.push(Box::new(move || {
        endpoints.snapshot().iter().map(|shot| u64::from(shot.in_flight)).sum()
    }));
    service
}
