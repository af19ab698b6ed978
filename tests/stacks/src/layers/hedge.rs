//! Settings of a hedge layer.

use super::settings::{Payment, ratio_of};
use crate::clock::ms;
use crate::plan::LayerSpec;
use crate::random::Rng;
use crate::run::Run;
use crate::world::lock;
use std::time::Duration;
use tower_failover::hedge::{HedgeLayer, Percentile};

pub(super) fn set<C, P>(layer: HedgeLayer<C, P>, spec: &LayerSpec, run: &Run) -> HedgeLayer<C, P> {
    let rng = &mut Rng::new(spec.seed);
    let max = rng.pick(&[0, 1, 1, 2, 4]);
    let payment = Payment::draw(run, rng);
    let (name, shared) = (payment.name(), payment.is_shared());
    let layer = layer.max_hedges(max);
    let layer = match payment {
        Payment::Default => layer,
        Payment::Unlimited => layer.no_budget(),
        Payment::Shared(budget) | Payment::Own(budget) => layer.budget(budget),
    };
    let mut text = format!("hedge(max {max}, budget {name}");
    let mut layer = set_delay(layer, rng, &mut text);
    if rng.chance(30) {
        text += ", neutral_wins";
        layer = layer.neutral_wins();
    }
    if rng.chance(40) {
        text += ", same_endpoint";
        layer = layer.same_endpoint();
    }
    run.describe(text + ")");
    note(layer, run, max, shared)
}

fn set_delay<C, P>(layer: HedgeLayer<C, P>, rng: &mut Rng, text: &mut String) -> HedgeLayer<C, P> {
    let delay = rng.pick(&[0, 1, 30, 500, u64::MAX, 1, 1]);
    match rng.below(4) {
        0 => layer,
        1 => {
            let ratio = ratio_of(rng.pick(&[0.5, 0.95]));
            let delay = Percentile::new(ratio).min_samples(rng.pick(&[0, 1, 5]));
            layer.delay(delay.floor(ms(rng.pick(&[0, 5]))))
        }
        _ => {
            *text += &format!(", delay {delay}");
            layer.delay(if delay == u64::MAX { Duration::MAX } else { ms(delay) })
        }
    }
}

fn note<C, P>(layer: HedgeLayer<C, P>, run: &Run, max: u32, shared: bool) -> HedgeLayer<C, P> {
    let mut built = lock(&run.built);
    built.max_hedges = built.max_hedges.max(max.into());
    built.multiply_attempts(max.into());
    let (layer, handle) = layer.with_handle();
    if shared {
        let handle = handle.clone();
        built.shared_payers.push(Box::new(move || handle.snapshot().hedges));
    }
    built.counts.push(Box::new(move || {
        let shot = handle.snapshot();
        vec![shot.hedges, shot.won, shot.out_of_budget]
    }));
    layer
}
