//! Draws a plan from its seed.

use super::LayerKind::{
    Balanced, Breaker, Buffer, FallbackService, FallbackValue, FirstFrame, Hedge, Limit, Retry,
    Shed, Stall, Timeout,
};
use super::{CallerSpec, Edit, EndpointSpec, LayerKind, LayerSpec, Plan, Protocol};
use crate::random::Rng;

/// Layers around the balancer, each as often as it is listed.
const OUTER: [LayerKind; 16] = [
    Retry,
    Retry,
    Retry,
    Hedge,
    Hedge,
    Breaker,
    Breaker,
    FallbackValue,
    FallbackService,
    FirstFrame,
    Stall,
    Timeout,
    Timeout,
    Limit,
    Shed,
    Buffer,
];

/// Layers around an endpoint, each as often as it is listed.
const INNER: [LayerKind; 13] = [
    Timeout,
    Timeout,
    Breaker,
    Breaker,
    Stall,
    FirstFrame,
    Limit,
    Shed,
    Retry,
    Hedge,
    FallbackValue,
    Buffer,
    Balanced,
];

/// The order that the guide recommends.
const RECOMMENDED: [LayerKind; 5] = [FallbackValue, FallbackService, Timeout, Retry, Hedge];

/// The plan of a seed. The order of the draws is part of what a seed means.
pub(crate) fn plan(seed: u64) -> Plan {
    let rng = &mut Rng::new(seed);
    let protocol = rng.pick(&[
        Protocol::Plain,
        Protocol::Slot,
        Protocol::Http,
        Protocol::Http,
        Protocol::Grpc,
    ]);
    let hangs = rng.chance(60);
    let panics = rng.chance(40);
    let layers = outer_layers(rng, protocol);
    let balance = rng.chance(75).then(|| rng.next());
    let count =
        if balance.is_some() { rng.pick(&[0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 12]) } else { 1 };
    let endpoints = (0..count).map(|n| endpoint(rng, protocol, format!("e{n}"))).collect();
    let mut edits = Vec::new();
    if balance.is_some() && rng.chance(50) {
        for n in 0..rng.range(1, 8) {
            edits.push(set_edit(rng, protocol, n, count));
        }
    }
    if rng.chance(10) {
        for _ in 0..rng.range(1, 4) {
            edits.push((rng.below(6_000), Edit::Breaker(rng.next(), rng.below(4) as u8)));
        }
    }
    edits.sort_by_key(|(at, _)| *at);
    let callers = (0..rng.pick(&[1, 2, 5, 10, 20])).map(|_| caller(rng)).collect();
    let patient = !hangs && rng.chance(60);
    Plan { seed, protocol, hangs, panics, patient, layers, balance, endpoints, edits, callers }
}

/// The recommended order with gaps, or any layers in any order.
fn outer_layers(rng: &mut Rng, protocol: Protocol) -> Vec<LayerSpec> {
    if !rng.chance(40) {
        let count = rng.below(7);
        return (0..count).map(|_| layer(rng, protocol, &OUTER)).collect();
    }
    let mut layers = Vec::new();
    for kind in RECOMMENDED {
        if rng.chance(60) {
            layers.push(LayerSpec { kind, seed: rng.next() });
        }
    }
    layers
}

fn layer(rng: &mut Rng, protocol: Protocol, kinds: &[LayerKind]) -> LayerSpec {
    let kind = loop {
        let kind = rng.pick(kinds);
        if protocol.is_http() || !matches!(kind, FirstFrame | Stall) {
            break kind;
        }
    };
    LayerSpec { kind, seed: rng.next() }
}

fn endpoint(rng: &mut Rng, protocol: Protocol, name: String) -> EndpointSpec {
    let count = rng.pick(&[0, 0, 1, 1, 2, 3]);
    let layers = (0..count).map(|_| layer(rng, protocol, &INNER)).collect();
    EndpointSpec { seed: rng.next(), name, layers }
}

/// The `n`th edit of a set that began with `count` endpoints.
fn set_edit(rng: &mut Rng, protocol: Protocol, n: u64, count: u64) -> (u64, Edit) {
    let at = rng.below(8_000);
    let name = format!("e{}", rng.below(count.max(1) + 2));
    let edit = match rng.below(6) {
        0 | 1 => Edit::Remove(name),
        2 => {
            let name = if rng.chance(50) { name } else { format!("n{n}") };
            Edit::Insert(endpoint(rng, protocol, name))
        }
        3 => Edit::Reweight(name, rng.pick(&[1, 10, 100, 1_000_000])),
        4 => Edit::Drain(name),
        _ => Edit::Undrain(name),
    };
    (at, edit)
}

fn caller(rng: &mut Rng) -> CallerSpec {
    CallerSpec {
        seed: rng.next(),
        start: rng.pick(&[0, 0, 0, 500, 3_000]) + rng.pick(&[0, 1, 7, 100]),
        requests: rng.range(1, 12),
    }
}
