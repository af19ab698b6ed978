//! The layers for plain values, with and without a slot for the record.

use super::balance::{Admission, Filter, balance};
use super::breaker::breaker;
use super::fallback::{fallback, fallback_service};
use super::{Layers, hedge, retry};
use crate::clock::ms;
use crate::family::{BoxService, Done, Erase, Family, Job, Plain};
use crate::plan::{LayerKind, LayerSpec, Protocol};
use crate::random::Rng;
use crate::run::Run;
use crate::stack::backup;
use crate::taps::{self, BreakerTap};
use crate::world::lock;
use std::sync::Arc;
use tower_failover::Attempts;
use tower_failover::balance::{BalanceLayer, EndpointInfo, Endpoints};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::Slot;
use tower_failover::retry::RetryLayer;
use tower_layer::Layer;

fn slot(job: &mut Job) -> &mut Option<Attempts> {
    &mut job.attempts
}

impl Layers for Plain {
    fn retry(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        let layer = RetryLayer::plain();
        match run.protocol {
            Protocol::Slot => {
                retry::set(layer.kind(Slot::new(slot)), spec, run).layer(inner).erase()
            }
            _ => retry::set(layer, spec, run).layer(inner).erase(),
        }
    }

    fn hedge(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        let layer = HedgeLayer::plain();
        match run.protocol {
            Protocol::Slot => {
                hedge::set(layer.kind(Slot::new(slot)), spec, run).layer(inner).erase()
            }
            _ => hedge::set(layer, spec, run).layer(inner).erase(),
        }
    }

    fn breaker(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        breaker!(CircuitBreakerLayer::plain(), spec, run, inner)
    }

    fn fallback(run: &Arc<Run>, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        let rng = &mut Rng::new(spec.seed);
        let mut text = format!("{:?}(", spec.kind);
        let value = |_: Failed<Done>| Done::fallback();
        let layer = FallbackLayer::plain();
        let service = match (spec.kind, run.protocol) {
            (LayerKind::FallbackService, Protocol::Slot) => {
                let layer = layer.kind(Slot::new(slot)).service(backup::<Self>(run, rng));
                fallback_service!(layer, rng, text, run).layer(inner).erase()
            }
            (LayerKind::FallbackService, _) => {
                let layer = layer.service(backup::<Self>(run, rng));
                fallback_service!(layer, rng, text, run).layer(inner).erase()
            }
            (_, Protocol::Slot) => {
                let layer = layer.kind(Slot::new(slot)).value(value);
                fallback!(layer, rng, text).layer(inner).erase()
            }
            _ if rng.chance(50) => fallback!(layer.respond(value), rng, text).layer(inner).erase(),
            _ => fallback!(layer.value(value), rng, text).layer(inner).erase(),
        };
        run.describe(text + ")");
        service
    }

    fn stream(_: &Run, _: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        // plans of plain values have no such layer
        inner
    }

    fn balance(
        run: &Run,
        seed: u64,
        endpoints: Endpoints<BoxService<Self>>,
    ) -> (BoxService<Self>, Admission) {
        let layer = BalanceLayer::plain();
        match run.protocol {
            Protocol::Slot => balance!(layer.kind(Slot::new(slot)), seed, run, endpoints),
            _ => balance!(layer, seed, run, endpoints),
        }
    }
}
