//! Settings of a retry layer.

use super::settings::{Delays, Payment};
use crate::clock::ms;
use crate::plan::LayerSpec;
use crate::random::Rng;
use crate::run::Run;
use crate::world::lock;
use tower_failover::retry::RetryLayer;

pub(super) fn set<C, P>(layer: RetryLayer<C, P>, spec: &LayerSpec, run: &Run) -> RetryLayer<C, P> {
    let rng = &mut Rng::new(spec.seed);
    let max = rng.pick(&[0, 1, 2, 2, 3, 5]);
    let payment = Payment::draw(run, rng);
    let (name, shared) = (payment.name(), payment.is_shared());
    let layer = layer.max_retries(max).seed(rng.next());
    let layer = match payment {
        Payment::Default => layer,
        Payment::Unlimited => layer.no_budget(),
        Payment::Shared(budget) | Payment::Own(budget) => layer.budget(budget),
    };
    let mut text = format!("retry(max {max}, budget {name}");
    let layer = set_times(layer, rng, run, &mut text);
    let layer = note(layer, run, max, shared);
    run.describe(text + ")");
    layer
}

fn set_times<C, P>(
    mut layer: RetryLayer<C, P>,
    rng: &mut Rng,
    run: &Run,
    text: &mut String,
) -> RetryLayer<C, P> {
    if rng.chance(70) {
        let Delays { backoff, .. } = Delays::draw(rng);
        *text += &format!(", {backoff:?}");
        layer = layer.backoff(backoff);
    }
    if rng.chance(20) {
        let time = rng.pick(&[0, 50, 2_000]);
        *text += &format!(", deadline {time}");
        layer = layer.deadline(ms(time));
    }
    if rng.chance(20) {
        let least = rng.pick(&[0, 1_000]);
        *text += &format!(", min_attempt {least}");
        layer = layer.min_attempt(ms(least));
        lock(&run.built).ignores_deadlines |= least == 0;
    }
    if rng.chance(30) {
        let hint = rng.pick(&[0, 1_000, 3_000_000]);
        *text += &format!(", max_hint {hint}");
        layer = layer.max_hint(ms(hint));
    }
    if rng.chance(20) {
        *text += ", delay_elsewhere";
        layer = layer.delay_elsewhere();
    }
    layer
}

fn note<C, P>(layer: RetryLayer<C, P>, run: &Run, max: u32, shared: bool) -> RetryLayer<C, P> {
    let mut built = lock(&run.built);
    built.max_retries = built.max_retries.max(max.into());
    built.multiply_attempts(max.into());
    let (layer, handle) = layer.with_handle();
    if shared {
        let handle = handle.clone();
        built.shared_payers.push(Box::new(move || handle.snapshot().retries));
    }
    built.counts.push(Box::new(move || {
        let shot = handle.snapshot();
        vec![shot.retries, shot.not_repeatable, shot.out_of_retries, shot.out_of_budget]
    }));
    layer
}
