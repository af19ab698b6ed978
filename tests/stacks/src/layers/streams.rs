//! Layers for bodies that stream: first-frame and stall, which exist for HTTP and gRPC only.

use crate::clock::ms;
use crate::family::{BoxService, Erase, Http};
use crate::plan::{LayerSpec, Protocol};
use crate::random::Rng;
use crate::run::Run;
use crate::world::lock;
use std::num::NonZeroU64;
use std::time::Duration;
use tower_failover::Outcome;
use tower_failover::first_frame::{Event, FirstFrameLayer, Verdict};
use tower_failover::stall::StallLayer;
use tower_layer::Layer;

pub(super) fn stall(run: &Run, spec: &LayerSpec, inner: BoxService<Http>) -> BoxService<Http> {
    let rng = &mut Rng::new(spec.seed);
    let mut layer = StallLayer::http();
    if rng.chance(60) {
        layer = layer.idle(ms(rng.pick(&[1, 100, 5_000])));
    }
    if rng.chance(30) {
        layer = layer.total(ms(rng.pick(&[1, 1_000, 50_000])));
    }
    if rng.chance(30) {
        let (rate, grace) = (rng.pick(&[1, 1_000, u64::MAX]), ms(rng.pick(&[1, 500])));
        layer = layer.min_rate(NonZeroU64::new(rate).expect("sim: a rate"), grace);
    }
    lock(&run.built).stalls = true;
    run.describe(format!("{layer:?}"));
    layer.layer(inner).erase()
}

/// The settings that every first-frame layer has.
struct Settings {
    timeout: Option<Duration>,
    limit: Option<usize>,
    exempt_last: bool,
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            timeout: rng.chance(60).then(|| ms(rng.pick(&[0, 20, 1_000, 10_000]))),
            limit: rng.chance(30).then(|| rng.pick(&[0, 1, 500])),
            exempt_last: rng.chance(30),
        }
    }

    fn set<J>(&self, mut layer: FirstFrameLayer<J>) -> FirstFrameLayer<J> {
        if let Some(timeout) = self.timeout {
            layer = layer.timeout(timeout);
        }
        if let Some(limit) = self.limit {
            layer = layer.limit(limit);
        }
        if self.exempt_last { layer.exempt_last() } else { layer }
    }
}

pub(super) fn first_frame(
    run: &Run,
    spec: &LayerSpec,
    inner: BoxService<Http>,
) -> BoxService<Http> {
    /// A macro, as each judge has a type of its own.
    macro_rules! put {
        ($settings:expr, $layer:expr) => {{
            let layer = $settings.set($layer);
            run.describe(format!("{layer:?}"));
            layer.layer(inner).erase()
        }};
    }
    let rng = &mut Rng::new(spec.seed);
    let settings = Settings::draw(rng);
    match (rng.below(3), run.protocol) {
        (_, Protocol::Grpc) => put!(settings, FirstFrameLayer::grpc()),
        (0, _) => put!(settings, FirstFrameLayer::http()),
        (1, _) => put!(settings, FirstFrameLayer::http().sse()),
        _ => put!(settings, FirstFrameLayer::http().events(judge)),
    }
}

fn judge(event: Event<'_>) -> Verdict {
    match &*event.event() {
        "error" => Verdict::Reject(Outcome::Failure),
        "token" => Verdict::Commit,
        _ => Verdict::Skip,
    }
}
