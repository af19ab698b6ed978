//! The invariants of a stack at rest: all callers are gone, and it is not dropped yet.

use crate::layers::Layers;
use crate::plan::{Plan, Protocol};
use crate::run::{Built, Run, SHARED_BANK};
use crate::stack::{Member, Set};
use crate::taps::BreakerTap;
use crate::world::{Kind, World, lock};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tower_failover::balance::EndpointSnapshot;
use tower_failover::circuit_breaker::CircuitState;

/// Objects that must be gone when no caller waits for a response.
const PASSING: [Kind; 4] = [Kind::Future, Kind::ResponseBody, Kind::RequestBody, Kind::Request];

/// Checks a stack that is at rest.
pub(crate) fn check<F: Layers>(run: &Run, set: Option<&Set<F>>, plan: &Plan) {
    let built = lock(&run.built);
    check_passing(&run.world, &built, "left-when-quiet");
    check_attempts(run, &built);
    check_budget(run, &built);
    if let Some(set) = set {
        check_set(run, &built, set, plan);
    }
    if built.nested.iter().any(|in_flight| in_flight() != 0) {
        run.world.violate("in-flight-left-nested", String::new());
    }
    for tap in &built.breakers {
        check_breaker(&run.world, tap);
    }
    for counts in &built.counts {
        run.world.log_counts(&counts());
    }
}

/// Nothing of a request is left.
pub(crate) fn check_passing(world: &World, built: &Built, class: &str) {
    if !built.may_be_stuck() && PASSING.iter().any(|kind| world.live(*kind) != 0) {
        world.violate(class, world.lives());
    }
}

/// No request had more attempts than the layers allow. The largest bound of all layers holds where they
/// know of each other by the record, which a buffer can't be trusted to pass on in time.
fn check_attempts(run: &Run, built: &Built) {
    let carries = run.protocol != Protocol::Plain && built.buffers == 0;
    let more = if carries { built.max_retries + built.max_hedges } else { built.more_attempts };
    let bound = 1 + more;
    for (id, request) in lock(&run.world.requests).iter() {
        let calls = request.calls.iter().filter(|call| !call.backup).count() as u64;
        if calls > bound {
            let text = format!("req {id}: {calls}, and {bound} are allowed");
            run.world.violate("too-many-attempts", text);
        }
    }
}

/// The shared budget still holds everything that was not paid from it.
fn check_budget(run: &Run, built: &Built) {
    let paid: u64 = built.shared_payers.iter().map(|paid| paid()).sum();
    let balance = run.shared_budget.balance();
    run.world.log_counts(&[balance]);
    if run.world.single && balance + paid < SHARED_BANK {
        let text = format!("{balance} left of {SHARED_BANK}, {paid} extra attempts");
        run.world.violate("budget-lost", text);
    }
}

fn check_set<F: Layers>(run: &Run, built: &Built, set: &Set<F>, plan: &Plan) {
    let members = lock(&set.members);
    let shots = set.endpoints.snapshot();
    if shots.len() != members.len() || shots.len() != set.endpoints.len() {
        let text = format!("{} of {}", shots.len(), members.len());
        run.world.violate("set-size", text);
    }
    for shot in &shots {
        if shot.in_flight != 0 {
            run.world.violate("in-flight-left", format!("{shot:?}"));
        }
        if let Some(member) = members.get(&*shot.name) {
            check_endpoint(run, shot, member, plan);
        }
    }
    // removed services are dropped, unless an inner balancer or a buffer keeps them
    if built.may_be_stuck() || !built.nested.is_empty() {
        return;
    }
    for backend in &built.backends {
        let member = members.values().any(|member| Arc::ptr_eq(&member.backend, backend));
        let removed = !backend.backup && !member;
        let services = backend.services();
        if removed && services != 0 {
            let text = format!("{} has {services} services", backend.name);
            run.world.violate("removed-lives", text);
        }
    }
}

/// Every call of an endpoint ended once.
fn check_endpoint(run: &Run, shot: &EndpointSnapshot, member: &Member, plan: &Plan) {
    let counts = &shot.counts;
    let counts = [
        counts.successes,
        counts.failures,
        counts.refused,
        counts.throttled,
        counts.unsuitable,
        counts.neutral,
    ];
    run.world.log_counts(&counts);
    let (ended, calls) = (counts.iter().sum::<u64>(), member.calls.load(SeqCst));
    let text = || format!("{calls} calls, {ended} ends: {shot:?}");
    if ended < calls {
        run.world.violate("endpoint-counts", text());
    }
    // an error of readiness counts without a call
    let unready = member.backend.ever(|behavior| behavior.unready_error > 0);
    if ended > calls && !unready && !plan.has_layers(&shot.name) && !plan.panics {
        run.world.violate("endpoint-counts-more", text());
    }
}

/// Every call of a breaker ended once, and its trials are over.
fn check_breaker(world: &World, tap: &BreakerTap) {
    if tap.inner_live() != 0 {
        world.violate("breaker-live", tap.text.clone());
    }
    let Some(handle) = tap.handle() else { return };
    let shot = handle.snapshot();
    let text = || format!("{shot:?} {}", tap.text);
    if shot.trials != 0 && !tap.is_steered() {
        world.violate("trials-left", text());
    }
    let ends = shot.successes + shot.failures + shot.neutral + shot.refused;
    let calls = tap.outer_calls();
    if ends != calls && !tap.is_steered() {
        world.violate("breaker-counts", format!("{calls} calls, {ends} ends: {}", text()));
    }
    if matches!(shot.state, CircuitState::Closed) && shot.share != 1.0 {
        world.violate("share", text());
    }
}
