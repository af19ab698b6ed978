//! Settings of a circuit breaker, and the ways in which its circuits are shared.

use super::settings::{Delays, HangAfter, Rule, nonzero};
use crate::clock::ms;
use crate::random::Rng;
use crate::run::Run;
use crate::taps::{BreakerTap, Watch};
use crate::world::lock;
use std::sync::Arc;
use std::time::Duration;
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitHandle, KeyedHandle};

/// Requests with the same remainder share a keyed circuit.
pub(super) const KEYS: u64 = 5;

/// The scope of a circuit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Circuits {
    Together,
    PerService,
    Keyed,
}

/// A breaker's settings, as drawn.
pub(super) struct Settings {
    pub(super) circuits: Circuits,
    pub(super) watch: Watch,
}

pub(super) fn set<C, P>(
    layer: CircuitBreakerLayer<C, P>,
    rng: &mut Rng,
    run: &Run,
) -> (CircuitBreakerLayer<C, P>, Settings) {
    let mut text = "breaker(".to_owned();
    let mut layer = layer.seed(rng.next());
    for _ in 0..rng.below(3) {
        let rule = Rule::draw(rng).or_degrading(rng);
        text += &format!(", {rule:?}");
        layer = layer.trip_on(rule);
    }
    if rng.chance(70) {
        let Delays { backoff, endless } = Delays::draw(rng);
        text += &format!(", open_for {backoff:?}");
        layer = layer.open_for(backoff);
        lock(&run.built).endless_open_times |= endless;
    }
    let (layer, max_trials, trial_timeout) = set_trials(layer, rng, &mut text);
    let layer = set_times(layer, rng);
    let (circuits, gated, name) = match rng.below(5) {
        0 => (Circuits::Together, false, "together"),
        1 => (Circuits::Together, true, "gated"),
        2 => (Circuits::PerService, false, "per_service"),
        3 => (Circuits::PerService, true, "per_service gated"),
        _ => (Circuits::Keyed, false, "keyed"),
    };
    text += &format!(", {name})");
    run.describe(text.clone());
    lock(&run.built).ignores_deadlines |= gated;
    let watch = Watch { text, gated, max_trials, trial_timeout };
    (layer, Settings { circuits, watch })
}

fn set_trials<C, P>(
    layer: CircuitBreakerLayer<C, P>,
    rng: &mut Rng,
    text: &mut String,
) -> (CircuitBreakerLayer<C, P>, u64, Duration) {
    let trials = rng.pick(&[1, 1, 2, 5]);
    let layer = layer.trials(nonzero(trials));
    let layer = layer.successes(nonzero(rng.pick(&[1, 2, 4])));
    // always set, so that the tap knows when a trial makes room for another
    let timeout = ms(rng.pick(&[1, 100, 1_000, 20_000]));
    let layer = layer.trial_timeout(timeout);
    *text += &format!(", trials {trials}, trial_timeout {timeout:?}");
    (layer, trials.into(), timeout)
}

fn set_times<C, P>(
    mut layer: CircuitBreakerLayer<C, P>,
    rng: &mut Rng,
) -> CircuitBreakerLayer<C, P> {
    if rng.chance(30) {
        layer = layer.ramp(ms(rng.pick(&[1, 2_000])));
    }
    if rng.chance(30) {
        layer = layer.dwell(ms(rng.pick(&[1, 500])));
    }
    layer = match HangAfter::draw(rng) {
        HangAfter::Default => layer,
        HangAfter::Time(time) => layer.hang_after(time),
        HangAfter::Never => layer.no_hang_after(),
    };
    if rng.chance(30) {
        layer = layer.body_hang_after(ms(rng.pick(&[0, 50, 1_000])));
    }
    if rng.chance(30) {
        layer = layer.count_throttled();
    }
    if rng.chance(30) {
        layer = layer.forget_after(ms(rng.pick(&[0, 1, 5_000])));
    }
    layer
}

/// Watches the only circuit of a breaker.
pub(super) fn watch_one(run: &Run, tap: &BreakerTap, handle: CircuitHandle) {
    tap.set_handle(handle.clone());
    lock(&run.built).counts.push(Box::new(move || counts(&handle)));
}

/// Watches the circuits of a keyed breaker, as far as they still exist.
pub(super) fn watch_keys(run: &Run, handle: KeyedHandle<u64>) {
    lock(&run.built).counts.push(Box::new(move || {
        let circuits = (0..KEYS).filter_map(|key| handle.circuit(&key));
        circuits.flat_map(|circuit| counts(&circuit)).collect()
    }));
}

fn counts(circuit: &CircuitHandle) -> Vec<u64> {
    let shot = circuit.snapshot();
    vec![shot.opened, shot.successes, shot.failures, shot.slow, shot.neutral, shot.refused]
}

/// Notes a breaker that is complete.
pub(super) fn note(run: &Run, tap: &Arc<BreakerTap>) {
    lock(&run.built).breakers.push(tap.clone());
}

/// Puts a breaker around a service, with its taps: a macro, as each way of sharing has a type of its own.
macro_rules! breaker {
    ($layer:expr, $spec:expr, $run:expr, $inner:expr) => {{
        use crate::layers::breaker::{self, Circuits, KEYS};
        use std::num::NonZeroUsize;
        let rng = &mut Rng::new($spec.seed);
        let (layer, settings) = breaker::set($layer, rng, $run);
        let tap = BreakerTap::new(&$run.world, settings.watch);
        let watch = tap.clone();
        let inner = taps::before::<Self>($inner, &$run.world, move |_| Some(watch.inner_call()));
        let service = match settings.circuits {
            Circuits::Together => {
                let layer = if tap.gated { layer.gated() } else { layer };
                let (layer, handle) = layer.with_handle();
                breaker::watch_one($run, &tap, handle);
                layer.layer(inner).erase()
            }
            Circuits::PerService => {
                let layer = layer.per_service();
                let layer = if tap.gated { layer.gated() } else { layer };
                let service = layer.layer(inner);
                breaker::watch_one($run, &tap, service.handle());
                service.erase()
            }
            Circuits::Keyed => {
                let (capacity, idle) = (rng.range(1, 4), rng.pick(&[1, 1_000, 600_000]));
                let layer = layer.keyed(|request: &Self::Request| Self::id(request) % KEYS);
                let layer = layer
                    .capacity(NonZeroUsize::new(capacity as usize).expect("sim: one at least"));
                let layer = layer.idle(ms(idle));
                let (layer, handle) = layer.with_handle();
                breaker::watch_keys($run, handle);
                layer.layer(inner).erase()
            }
        };
        breaker::note($run, &tap);
        taps::before::<Self>(service, &$run.world, move |_| {
            tap.outer_call();
            None
        })
    }};
}
pub(super) use breaker;
