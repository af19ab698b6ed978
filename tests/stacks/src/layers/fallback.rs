//! Settings of fallbacks: macros, as each way of falling back has a type of its own.

use crate::run::{Probe, Run};
use crate::world::lock;
use std::sync::atomic::Ordering::SeqCst;
use tower_failover::fallback::FallbackHandle;

/// Notes a fallback to another service.
pub(super) fn note(run: &Run, handle: FallbackHandle, shared: bool) {
    let (world, watch) = (run.world.clone(), handle.clone());
    let paid: Probe<u64> = Box::new(move || {
        let shot = watch.snapshot();
        shot.answered + shot.failed + world.backup_calls.load(SeqCst)
    });
    let mut built = lock(&run.built);
    if shared {
        built.shared_payers.push(paid);
    }
    built.counts.push(Box::new(move || {
        let shot = handle.snapshot();
        vec![shot.answered, shot.failed, shot.withheld]
    }));
}

/// Sets when a fallback takes over.
macro_rules! fallback {
    ($layer:expr, $rng:expr, $text:expr) => {{
        let mut layer = $layer;
        if $rng.chance(30) {
            $text += ", only_errors";
            layer = layer.only_errors();
        }
        if $rng.chance(30) {
            $text += ", on all";
            layer = layer.on(|_| true);
        }
        layer
    }};
}

/// Sets when a fallback to another service takes over, its time limit and its budget.
macro_rules! fallback_service {
    ($layer:expr, $rng:expr, $text:expr, $run:expr) => {{
        let mut layer = crate::layers::fallback::fallback!($layer, $rng, $text);
        if $rng.chance(40) {
            let time = $rng.pick(&[0, 100, 60_000]);
            $text += &format!(", within {time}");
            layer = layer.within(ms(time));
        }
        if $rng.chance(30) {
            $text += ", first_result";
            lock(&$run.built).first_result = true;
            layer = layer.first_result();
        }
        let shared = $rng.chance(30);
        if shared {
            $text += ", budget shared";
            layer = layer.budget($run.shared_budget.clone());
        }
        let (layer, handle) = layer.with_handle();
        crate::layers::fallback::note($run, handle, shared);
        layer
    }};
}
pub(super) use {fallback, fallback_service};
