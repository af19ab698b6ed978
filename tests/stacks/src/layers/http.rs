//! The layers for HTTP and gRPC.

use super::balance::{Admission, Filter, balance};
use super::breaker::breaker;
use super::fallback::{fallback, fallback_service};
use super::{Layers, hedge, retry, streams};
use crate::clock::ms;
use crate::family::{BoxService, Erase, Family, Http, SimBody, boxed};
use crate::plan::{LayerKind, LayerSpec, Protocol};
use crate::random::Rng;
use crate::run::Run;
use crate::stack::backup;
use crate::taps::{self, BreakerTap};
use crate::world::lock;
use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::Full;
use std::sync::Arc;
use tower_failover::balance::{BalanceLayer, EndpointInfo, Endpoints};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_layer::Layer;

/// Sets how requests are copied.
macro_rules! replay {
    ($layer:expr, $spec:expr) => {{
        // apart from the layer's own draws
        let rng = &mut Rng::new($spec.seed ^ 1);
        let mut layer = $layer.body(boxed);
        if rng.chance(30) {
            layer = layer.replay_limit(rng.pick(&[0, 1, 2_000]));
        }
        if rng.chance(20) {
            layer = layer.idempotent(["/safe"]);
        }
        layer
    }};
}

/// The response that takes the place of a failure.
fn value(_: Failed<Response<SimBody>>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("fallback"));
    response.headers_mut().insert("x-fallback", HeaderValue::from_static("1"));
    response
}

impl Layers for Http {
    fn retry(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        match run.protocol {
            Protocol::Grpc => {
                retry::set(replay!(RetryLayer::grpc(), spec), spec, run).layer(inner).erase()
            }
            _ => retry::set(replay!(RetryLayer::http(), spec), spec, run).layer(inner).erase(),
        }
    }

    fn hedge(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        match run.protocol {
            Protocol::Grpc => {
                hedge::set(replay!(HedgeLayer::grpc(), spec), spec, run).layer(inner).erase()
            }
            _ => hedge::set(replay!(HedgeLayer::http(), spec), spec, run).layer(inner).erase(),
        }
    }

    fn breaker(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        match run.protocol {
            Protocol::Grpc => breaker!(CircuitBreakerLayer::grpc(), spec, run, inner),
            _ => breaker!(CircuitBreakerLayer::http(), spec, run, inner),
        }
    }

    fn fallback(run: &Arc<Run>, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        let rng = &mut Rng::new(spec.seed);
        let mut text = format!("{:?}(", spec.kind);
        let (http, grpc) = (FallbackLayer::http(), FallbackLayer::grpc());
        let service = match (spec.kind, run.protocol) {
            (LayerKind::FallbackService, Protocol::Grpc) => {
                let layer = grpc.body(boxed).service(backup::<Self>(run, rng));
                fallback_service!(layer, rng, text, run).layer(inner).erase()
            }
            (LayerKind::FallbackService, _) => {
                let layer = http.body(boxed).service(backup::<Self>(run, rng));
                fallback_service!(layer, rng, text, run).layer(inner).erase()
            }
            (_, Protocol::Grpc) if rng.chance(40) => grpc.unavailable().layer(inner).erase(),
            (_, Protocol::Grpc) => fallback!(grpc.value(value), rng, text).layer(inner).erase(),
            _ if rng.chance(50) => fallback!(http.respond(value), rng, text).layer(inner).erase(),
            _ => fallback!(http.value(value), rng, text).layer(inner).erase(),
        };
        run.describe(text + ")");
        service
    }

    fn stream(run: &Run, spec: &LayerSpec, inner: BoxService<Self>) -> BoxService<Self> {
        match spec.kind {
            LayerKind::Stall => streams::stall(run, spec, inner),
            _ => streams::first_frame(run, spec, inner),
        }
    }

    fn balance(
        run: &Run,
        seed: u64,
        endpoints: Endpoints<BoxService<Self>>,
    ) -> (BoxService<Self>, Admission) {
        match run.protocol {
            Protocol::Grpc => balance!(BalanceLayer::grpc(), seed, run, endpoints),
            _ => balance!(BalanceLayer::http(), seed, run, endpoints),
        }
    }
}
